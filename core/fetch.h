/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_CORE_FETCH_H
#define TQ_CORE_FETCH_H

#include <stddef.h>

/** tq_fetch - ask for @bytes that will be read soon; they may lie anywhere */
static inline void tq_fetch(const void *from, size_t bytes)
{
	const char *at = from;
	size_t i;

	for (i = 0; i < bytes; i += 64)
		__builtin_prefetch(at + i);
	/* what does not begin with a line may end in one more */
	if (bytes)
		__builtin_prefetch(at + bytes - 1);
}

#endif
