/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory of the segments of an index, which is given back all at once. Small segments, as partitions have, are cut
 * one behind the other from slabs of a huge page: a search reads some hundred of them, far from each other, and waits
 * less if few pages hold them. Large ones have memory of their own, in huge pages too.
 */

#include "index.h"

#define SLAB_MIN (TQ_HUGE_PAGE / 32)
/* Of a slab at most one part in so many is left unused */
#define PARTS 4
#define HUGE_MIN (4 * TQ_HUGE_PAGE)

/** struct tq_index_slab - at the head of its memory, in 64 bytes */
struct tq_index_slab {
	struct tq_index_slab *next;
};

static char *new_slab(struct tq_index *ix, size_t bytes)
{
	struct tq_index_slab *slab = tq_alloc_huge(ix->ctx, bytes);

	if (!slab)
		return NULL;
	slab->next = ix->slabs.all;
	ix->slabs.all = slab;
	return (char *)slab + 64;
}

void *tq_index_slab_take(struct tq_index *ix, size_t size)
{
	struct tq_index_slabs *s = &ix->slabs;
	char *memory;

	size = tq_round_up(size, 64);
	if (!s->bytes)
		s->bytes = SLAB_MIN;
	if (size > s->bytes / PARTS) {
		memory = new_slab(ix, size < HUGE_MIN ? size + 64 : tq_round_up(size + 64, TQ_HUGE_PAGE));
		return memory ? memset(memory, 0, size) : NULL;
	}
	if (size > s->left) {
		memory = new_slab(ix, s->bytes);
		if (!memory)
			return NULL;
		s->at = memory;
		s->left = s->bytes - 64;
		if (s->bytes < TQ_HUGE_PAGE)
			s->bytes *= 2;
	}
	memory = s->at;
	s->at += size;
	s->left -= size;
	return memset(memory, 0, size);
}

void tq_index_slabs_free(struct tq_index *ix)
{
	struct tq_index_slab *slab, *next;

	for (slab = ix->slabs.all; slab; slab = next) {
		next = slab->next;
		tq_free(ix->ctx, slab);
	}
	ix->slabs = (struct tq_index_slabs){NULL, NULL, 0, 0};
}
