/* SPDX-License-Identifier: Apache-2.0 */

/* Packing a query: the layout is in query.h, the order of coordinates in levels.h. */

#include "query.h"
#include "../simd/query_pack.h"

static void pack_plane(const int8_t *from, uint32_t bits, size_t dim, size_t stride, int8_t *to)
{
	size_t c, v, i, at;

	for (c = 0; c < dim; c += QUERY_CHUNK, to += stride) {
		for (v = 0; v < 2; v++) {
			for (i = 0; i < 32; i++) {
				at = c + coordinate(bits, v, i);
				to[32 * v + i] = at < dim ? from[at] : 0;
			}
		}
	}
}

static void query_pack_planes(const struct tq_plan *plan, uint32_t bits, const int8_t *hi,
			      const int8_t *lo, int8_t *part)
{
	size_t stride = QUERY_CHUNK * query_planes(plan);

	pack_plane(hi, bits, plan->dim, stride, part);
	if (lo)
		pack_plane(lo, bits, plan->dim, stride, part + QUERY_CHUNK);
	if (block_sums_bytes(plan, bits))
		avx2_bit_sums(hi, plan->dim,
			      (struct bit_sums *)(uintptr_t)query_bit_sums(plan, (const char *)part));
}

size_t avx2_query_size(const struct tq_plan *plan, const void *state)
{
	return query_bytes(plan);
}

void avx2_query_pack(const struct tq_plan *plan, const void *state, const struct tq_query *q,
		     void *packed)
{
	query_pack_all(plan, q, packed);
}
