/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_ELF_CHECK_H
#define TQ_ELF_CHECK_H

#include <stddef.h>

/**
 * tq_elf_check - may this file be given to dlopen()
 * @fd:  open for reading; a regular file of @size bytes
 * @why: receives the reason if not
 *
 * The file must be a whole shared object of this machine, and dlopen() must have none of its code to
 * run: no DT_INIT, no DT_INIT_ARRAY, no DT_PREINIT_ARRAY, no resolvers (IFUNC), and nothing for exit
 * either (DT_FINI, DT_FINI_ARRAY). Link with -nostartfiles, or the compiler's own start-up files put
 * such functions in. An executable stack is refused too.
 *
 * Return: 1 if so, 0 with @why.
 */
int tq_elf_check(int fd, size_t size, char *why, size_t why_size);

#endif
