/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Leave to use tiles. Linux saves their 8 KiB for those processes alone that ask for it, since a
 * signal handler's stack has to hold them.
 */

#include <asm/prctl.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "amx.h"

#ifndef ARCH_REQ_XCOMP_PERM
#define ARCH_REQ_XCOMP_PERM 0x1023
#endif
#define XFEATURE_TILE_DATA 18

int avx512_amx_supports(const struct tq_plan *plan, char *why, size_t why_size)
{
	if (plan->query == TQ_QUERY_F32) {
		snprintf(why, why_size, "float queries are not for tiles");
		return 0;
	}
	if (syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_TILE_DATA) == 0)
		return 1;
	snprintf(why, why_size, "the kernel does not let this process use tiles: %s",
		 strerror(errno));
	return 0;
}
