/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Packing a query: the layout is in query.h, the order of coordinates in levels.h.
 */

#include "query.h"

/* The coordinate, 0..63, whose level lies at byte @i of register @v */
static size_t coordinate(uint32_t bits, size_t v, size_t i)
{
	switch (bits) {
	case 1:
		return 8 * (i % 8) + 2 * (i / 8) + v;
	case 2:
	case 3:
		return 4 * (i % 16) + 2 * (i / 16) + v;
	case 8:
		return 32 * v + i;
	default:
		return 2 * i + v;
	}
}

static void pack_plane(const int8_t *from, uint32_t bits, size_t dim, size_t chunks, size_t stride,
		       int8_t *to)
{
	size_t c, v, i, at;

	for (c = 0; c < chunks; c++, to += stride) {
		for (v = 0; v < 2; v++) {
			for (i = 0; i < 32; i++) {
				at = c * QUERY_CHUNK + coordinate(bits, v, i);
				to[32 * v + i] = at < dim ? from[at] : 0;
			}
		}
	}
}

static void pack_part(const struct tq_plan *plan, uint32_t bits, const int8_t *hi, const int8_t *lo,
		      const float *y, char *part)
{
	size_t chunks = query_chunks(plan), stride = QUERY_CHUNK * query_planes(plan);

	if (plan->query == TQ_QUERY_F32) {
		memset(part, 0, query_part_bytes(plan));
		memcpy(part, y, plan->dim * sizeof(*y));
		return;
	}
	pack_plane(hi, bits, plan->dim, chunks, stride, (int8_t *)part);
	if (query_planes(plan) == 2)
		pack_plane(lo, bits, plan->dim, chunks, stride, (int8_t *)part + QUERY_CHUNK);
}

size_t avx2_query_size(const struct tq_plan *plan, const void *state)
{
	return query_bytes(plan);
}

void avx2_query_pack(const struct tq_plan *plan, const void *state, const struct tq_query *q,
		     void *packed)
{
	struct query_head head = {
		.scale = q->scale,
		.sketch_scale = q->sketch_scale,
		.add = q->add,
		.sum = q->sum,
		.sketch_sum = q->sketch_sum,
	};
	char *part = (char *)packed + sizeof(head);

	memcpy(packed, &head, sizeof(head));
	if (plan->index_bits)
		pack_part(plan, plan->index_bits, q->hi, q->lo, q->y, part);
	else
		memset(part, 0, query_part_bytes(plan));
	if (has_sketch(plan))
		pack_part(plan, 1, q->sketch_hi, q->sketch_lo, q->sketch_y,
			  part + query_part_bytes(plan));
}
