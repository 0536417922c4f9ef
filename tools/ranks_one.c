/* SPDX-License-Identifier: Apache-2.0 */

/* One process. Where mpirun started several, become tq-mpi, which knows how to be one of them. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cli.h"
#include "ranks.h"

static int processes(void)
{
	static const char *const names[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"};
	int most = 1;

	for (int i = 0; i < 2; i++) {
		const char *text = getenv(names[i]);

		if (text && atoi(text) > most)
			most = atoi(text);
	}
	return most;
}

int ranks_begin(int *argc, char ***argv)
{
	char path[4096];
	ssize_t n;
	char *slash;

	if (processes() == 1)
		return 0;
	n = readlink("/proc/self/exe", path, sizeof(path) - sizeof("tq-mpi"));
	path[n > 0 ? n : 0] = 0;
	slash = strrchr(path, '/');
	strcpy(slash ? slash + 1 : path, "tq-mpi");
	execv(path, *argv);
	return cli_fail(CLI_UNMET, "one of %d processes of mpirun, and cannot run %s: %s (meson -Dmpi=enabled builds it)",
			processes(), path, strerror(errno));
}

void ranks_end(void)
{
}

uint32_t ranks_size(void)
{
	return 1;
}

uint32_t ranks_rank(void)
{
	return 0;
}

int ranks_agree(int ret)
{
	return ret;
}

int ranks_merge(uint32_t metric, size_t n, size_t k, int64_t *ids, float *scores)
{
	return 0;
}
