/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The linker's name for an object's contents: a note in one of its segments.
 */
#include <elf.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include "calibration.h"

struct search {
	uintptr_t address;
	char *text;
	size_t size;
};

static size_t padded(size_t n)
{
	return (n + 3) & ~(size_t)3;
}

static void read_notes(const struct search *s, const char *p, size_t size)
{
	const ElfW(Nhdr) * note;
	const unsigned char *id;
	size_t i, n;

	while (size >= sizeof(*note)) {
		note = (const void *)p;
		n = sizeof(*note) + padded(note->n_namesz) + padded(note->n_descsz);
		if (n > size)
			return;
		id = (const unsigned char *)p + sizeof(*note) + padded(note->n_namesz);
		if (note->n_type == NT_GNU_BUILD_ID && note->n_namesz == 4 &&
		    !memcmp(p + sizeof(*note), "GNU", 4)) {
			for (i = 0; i < note->n_descsz && 2 * i + 3 <= s->size; i++)
				snprintf(s->text + 2 * i, 3, "%02x", id[i]);
			return;
		}
		p += n;
		size -= n;
	}
}

static int look_at(struct dl_phdr_info *info, size_t size, void *arg)
{
	const struct search *s = arg;
	const ElfW(Phdr) * p;
	bool here = false;
	uintptr_t at;
	int i;

	for (i = 0; i < info->dlpi_phnum; i++) {
		p = &info->dlpi_phdr[i];
		at = info->dlpi_addr + p->p_vaddr;
		here |= p->p_type == PT_LOAD && s->address >= at && s->address - at < p->p_memsz;
	}
	for (i = 0; here && i < info->dlpi_phnum; i++) {
		p = &info->dlpi_phdr[i];
		if (p->p_type == PT_NOTE)
			read_notes(s, (const char *)(info->dlpi_addr + p->p_vaddr), p->p_memsz);
	}
	return here;
}

void tq_build_id(const void *address, char *text, size_t size)
{
	struct search s = {(uintptr_t)address, text, size};

	text[0] = '\0';
	dl_iterate_phdr(look_at, &s);
}
