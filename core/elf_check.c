/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A shared object is read as data before dlopen() sees it: a constructor compiled for a newer CPU is
 * an illegal instruction inside dlopen(), and a truncated file is a bus error there.
 */
#include <elf.h>
#include <link.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include "elf_check.h"

#if defined(__x86_64__)
#define MACHINE EM_X86_64
#define MACHINE_NAME "x86-64"
#define RELOC_RESOLVER R_X86_64_IRELATIVE
#elif defined(__aarch64__)
#define MACHINE EM_AARCH64
#define MACHINE_NAME "AArch64"
#define RELOC_RESOLVER R_AARCH64_IRELATIVE
#else
#define MACHINE_NAME "this architecture"
#endif
#define ELF_CLASS (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32)
#define ELF_ORDER (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB)
#define RELOC_TYPE(info) (sizeof(void *) == 8 ? (info) & 0xffffffffu : (info) & 0xffu)

/* Sanitizers and coverage put constructors into everything they instrument, libtq included. */
#ifdef TQ_INSTRUMENTED
#define CODE_AT_LOAD_OK 1
#else
#define CODE_AT_LOAD_OK 0
#endif

struct image {
	const char *at;
	size_t size;
	const ElfW(Ehdr) *head;
	const ElfW(Phdr) *phdr;
	char *why;
	size_t why_size;
};

static int bad(const struct image *im, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static int bad(const struct image *im, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(im->why, im->why_size, fmt, args);
	va_end(args);
	return 0;
}

static int inside(const struct image *im, size_t at, size_t n)
{
	return at <= im->size && n <= im->size - at;
}

/* The bytes that will be mapped at @vaddr, or NULL if the file does not hold all @n */
static const void *mapped(const struct image *im, size_t vaddr, size_t n)
{
	const ElfW(Phdr) *p = im->phdr;
	size_t i, into;

	for (i = 0; i < im->head->e_phnum; i++, p++) {
		if (p->p_type != PT_LOAD || vaddr < p->p_vaddr)
			continue;
		into = vaddr - p->p_vaddr;
		if (into <= p->p_filesz && n <= p->p_filesz - into)
			return im->at + p->p_offset + into;
	}
	return NULL;
}

static int check_head(struct image *im)
{
	const ElfW(Ehdr) *h = (const void *)im->at;

	if (im->size < EI_NIDENT || memcmp(im->at, ELFMAG, SELFMAG))
		return bad(im, "not a shared object: no ELF magic");
	if (im->size < sizeof(*h))
		return bad(im, "truncated: %zu bytes do not hold an ELF header", im->size);
	if (h->e_ident[EI_CLASS] != ELF_CLASS || h->e_ident[EI_DATA] != ELF_ORDER)
		return bad(im, "made for another architecture, not " MACHINE_NAME);
#ifdef MACHINE
	if (h->e_machine != MACHINE)
		return bad(im, "made for another architecture (ELF machine %u), not " MACHINE_NAME,
			   h->e_machine);
#endif
	if (h->e_type != ET_DYN)
		return bad(im, "not a shared object: ELF type %u", h->e_type);
	if (h->e_phentsize != sizeof(ElfW(Phdr)) || h->e_phoff % sizeof(void *) ||
	    !inside(im, h->e_phoff, (size_t)h->e_phnum * sizeof(ElfW(Phdr))))
		return bad(im, "truncated: the program headers lie outside");
	if (!inside(im, h->e_shoff, (size_t)h->e_shnum * h->e_shentsize))
		return bad(im, "truncated: the section headers lie outside");
	im->head = h;
	im->phdr = (const void *)(im->at + h->e_phoff);
	return 1;
}

static int check_segments(const struct image *im, const ElfW(Phdr) **dynamic)
{
	const ElfW(Phdr) *p = im->phdr;
	size_t i;

	*dynamic = NULL;
	for (i = 0; i < im->head->e_phnum; i++, p++) {
		if (p->p_type == PT_LOAD && !inside(im, p->p_offset, p->p_filesz))
			return bad(im, "truncated: a segment ends at %zu of %zu bytes",
				   (size_t)p->p_offset + p->p_filesz, im->size);
		if (p->p_type == PT_GNU_STACK && p->p_flags & PF_X)
			return bad(im, "asks for an executable stack");
		if (p->p_type == PT_DYNAMIC)
			*dynamic = p;
	}
	p = *dynamic;
	if (!p || p->p_offset % sizeof(void *) || !inside(im, p->p_offset, p->p_filesz))
		return bad(im, "not a shared object: no dynamic section");
	return 1;
}

#ifdef RELOC_RESOLVER
/* Both ways to a resolver: a relocation that calls one, or one against a symbol that is one. */
static int check_relocations(const struct image *im, size_t at, size_t bytes, size_t symbols)
{
	const ElfW(Rela) *r = mapped(im, at, bytes);
	const ElfW(Sym) *s;
	size_t i, k;

	if (!bytes)
		return 1;
	if (!r)
		return bad(im, "truncated: the relocations lie outside");
	for (i = 0; i < bytes / sizeof(*r); i++) {
		k = ELF64_R_SYM(r[i].r_info);
		s = k ? mapped(im, symbols + k * sizeof(*s), sizeof(*s)) : NULL;
		if (k && !s)
			return bad(im, "truncated: the symbols lie outside");
		if (RELOC_TYPE(r[i].r_info) == RELOC_RESOLVER ||
		    (s && ELF64_ST_TYPE(s->st_info) == STT_GNU_IFUNC))
			return bad(im, "runs code at load time: an IFUNC resolver");
	}
	return 1;
}
#else
static int check_relocations(const struct image *im, size_t at, size_t bytes, size_t symbols)
{
	return 1;
}
#endif

static int check_dynamic(const struct image *im, const ElfW(Phdr) *dynamic)
{
	const ElfW(Dyn) *d = (const void *)(im->at + dynamic->p_offset);
	size_t n = dynamic->p_filesz / sizeof(*d), rela = 0, rela_size = 0, plt = 0, plt_size = 0;
	size_t symbols = 0;

	for (; n && d->d_tag != DT_NULL; n--, d++) {
		if (!CODE_AT_LOAD_OK &&
		    (d->d_tag == DT_INIT || (d->d_tag == DT_INIT_ARRAYSZ && d->d_un.d_val) ||
		     (d->d_tag == DT_PREINIT_ARRAYSZ && d->d_un.d_val)))
			return bad(im, "runs code at load time: it has a constructor (%s); "
				   "link with -nostartfiles",
				   d->d_tag == DT_INIT ? "DT_INIT" : "INIT_ARRAY");
		if (!CODE_AT_LOAD_OK &&
		    (d->d_tag == DT_FINI || (d->d_tag == DT_FINI_ARRAYSZ && d->d_un.d_val)))
			return bad(im, "runs code at exit: it has a destructor; link with "
				   "-nostartfiles");
		rela = d->d_tag == DT_RELA ? d->d_un.d_ptr : rela;
		rela_size = d->d_tag == DT_RELASZ ? d->d_un.d_val : rela_size;
		symbols = d->d_tag == DT_SYMTAB ? d->d_un.d_ptr : symbols;
		plt = d->d_tag == DT_JMPREL ? d->d_un.d_ptr : plt;
		plt_size = d->d_tag == DT_PLTRELSZ ? d->d_un.d_val : plt_size;
	}
	return check_relocations(im, rela, rela_size, symbols) &&
	       check_relocations(im, plt, plt_size, symbols);
}

int tq_elf_check(int fd, size_t size, char *why, size_t why_size)
{
	struct image im = { .size = size, .why = why, .why_size = why_size };
	const ElfW(Phdr) *dynamic;
	void *at;
	int ok;

	if (size == 0)
		return bad(&im, "not a shared object: the file is empty");
	at = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (at == MAP_FAILED)
		return bad(&im, "cannot be read");
	im.at = at;
	ok = check_head(&im) && check_segments(&im, &dynamic) && check_dynamic(&im, dynamic);
	munmap(at, size);
	return ok;
}
