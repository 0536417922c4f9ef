/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "guard.h"

#define CANARY 0xa5

struct guarded guarded_alloc(size_t size, size_t align, int back)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), body;
	struct guarded g = {.size = size};

	body = (size + page - 1) / page * page + (size ? 0 : page);
	g.map_size = body + 2 * page;
	g.map = mmap(NULL, g.map_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (g.map == MAP_FAILED || mprotect(g.map + page, body, PROT_READ | PROT_WRITE)) {
		perror("checkasm: mmap");
		exit(2);
	}
	memset(g.map + page, CANARY, body);
	g.at = g.map + page;
	if (back)
		g.at += (body - size) / align * align;
	return g;
}

void guarded_seal(const struct guarded *g)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	mprotect(g->map + page, g->map_size - 2 * page, PROT_READ);
}

int guarded_intact(const struct guarded *g)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	const uint8_t *p;

	for (p = g->map + page; p < g->at; p++)
		if (*p != CANARY)
			return 0;
	for (p = g->at + g->size; p < g->map + g->map_size - page; p++)
		if (*p != CANARY)
			return 0;
	return 1;
}

void guarded_free(struct guarded *g)
{
	if (g->map)
		munmap(g->map, g->map_size);
	memset(g, 0, sizeof(*g));
}
