/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_AVX2_QUERY_H
#define TQ_AVX2_QUERY_H

/*
 * An integer part of a packed query (../simd/query.h) holds, for every 64 coordinates, 64 bytes of
 * the upper plane and then, for 16-bit queries, 64 bytes of the lower one. The 64 are reordered to
 * the order in which two registers of levels come out of the code bytes (levels.h). Behind a plane that rows of
 * single bits in blocks are scored with follow its sums over every four of them, and which of these have a rest:
 * bit_sums.nrest numbers 8 dword + half a byte.
 */

#include "levels.h"
#include "../simd/bit_sums.h"
#include "../simd/query.h"

#define QUERY_CHUNK 64

/** query_chunks - of 64 coordinates, the last one perhaps in part */
AVX2_INLINE size_t query_chunks(size_t dim)
{
	return (dim + QUERY_CHUNK - 1) / QUERY_CHUNK;
}

static inline size_t query_plane_bytes(const struct tq_plan *plan, uint32_t bits)
{
	size_t sums = block_sums_bytes(plan, bits), chunks = query_chunks(plan->dim);

	/* a rest takes 2 bytes, and there are as many as fours of coordinates */
	return chunks * QUERY_CHUNK + (sums ? sums + (chunks + 1) / 2 * 64 : 0);
}

/** query_bit_sums - of a part that has them */
AVX2_INLINE const struct bit_sums *query_bit_sums(const struct tq_plan *plan, const char *part)
{
	return (const void *)(part + query_chunks(plan->dim) * QUERY_CHUNK);
}

/** query_rests - which of its tables have one */
AVX2_INLINE const uint16_t *query_rests(const struct bit_sums *lut, size_t dim)
{
	return (const void *)(lut->dword + (dim + 31) / 32);
}

/** avx2_bit_sums - those of a query of @dim coordinates, and the rests; zeros are there */
void avx2_bit_sums(const int8_t *q, size_t dim, struct bit_sums *lut);

size_t avx2_query_size(const struct tq_plan *plan, const void *state);
void avx2_query_pack(const struct tq_plan *plan, const void *state, const struct tq_query *q,
		     void *packed);

#endif
