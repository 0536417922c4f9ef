/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_AVX512_QUERY_H
#define TQ_AVX512_QUERY_H

/*
 * State of a score driver, and a packed query:
 *
 *	struct query_head	64 bytes
 *	part: the query		64-byte multiples
 *	part: the sketched query	if the plan has a sketch
 *
 * An integer part holds, for each register of levels that a row becomes (levels.h), 64 bytes of the
 * upper plane and then, for 16-bit queries, 64 bytes of the lower one, in the order of that
 * register; zeros where the row has no coordinate. A float part is in coordinate order,
 * zero-padded. Behind an 8-bit part for up to 128 single bits follow its sums over four of them, and behind
 * one that rows of single bits in blocks are scored with the same for every dword.
 */

#include "levels.h"
#include "../simd/bit_sums.h"

struct query_head {
	float scale;
	float sketch_scale;
	float add;
	uint32_t reserved;
	int64_t sum;
	int64_t sketch_sum;
	uint8_t pad[32];
};

/** Dwords of a window that rows of single bits are scored in, and the coordinates that it has */
#define BIT_SUMS 4
#define BIT_SUMS_DIM_MAX 128

/**
 * struct shape - how the bits of some fields become a sum over a row
 * @bits:   of the index, or 1 for a sketch; 0 if there are none
 * @chunks: whole chunks in a row
 * @rest:   is there part of one behind them
 * @at:     where the fields are
 * @tail:   which bytes of each there are in that part
 * @fold:   rows that a register holds, if a row is that short: 1, 2 or 4
 * @windowed: single bits, as few as a window holds, that end at least 16 bytes into the row
 * @window: ... where the 16 bytes are that end with them
 * @beta:   A = 2 G - beta sum(q), where G is the sum of the levels on their grid and q
 * @hi, @lo: levels on the grid: odd = 2 hi - 127, or 2 (128 hi + lo) - 16383 from 5 bits; a sketch
 *          bit as 0 or 1
 */
struct shape {
	uint32_t bits;
	uint32_t chunks;
	uint32_t rest;
	uint32_t fold;
	uint32_t windowed;
	uint32_t window;
	int32_t beta;
	uint32_t at[3];
	uint64_t tail[3];
	struct level_bytes hi, lo;
};

/**
 * struct score_tables - state of a score driver
 * @pair_hi, @pair_lo: levels as a query has them: odd = hi, or 128 hi + lo from 5 bits
 * @odd: levels as float
 */
struct score_tables {
	struct shape level;
	struct shape sketch;
	struct level_bytes pair_hi, pair_lo;
	float odd[256];
};

/** query_planes - 8-bit planes of an integer query */
LEVELS_INLINE uint32_t query_planes(const struct tq_plan *plan)
{
	return plan->query == TQ_QUERY_S16 ? 2 : 1;
}

LEVELS_INLINE int has_sketch(const struct tq_plan *plan)
{
	return plan->layout.sketch_at != TQ_NO_FIELD;
}

/** packed_bytes - size of an integer part over codes of @bits bits */
LEVELS_INLINE size_t packed_bytes(size_t dim, uint32_t bits, uint32_t planes)
{
	size_t chunk = levels_chunk(bits);

	return (dim + chunk - 1) / chunk * chunk * planes;
}

LEVELS_INLINE int has_bit_sums(const struct tq_plan *plan, uint32_t bits)
{
	return bits == 1 && plan->query == TQ_QUERY_S8 && plan->dim <= BIT_SUMS_DIM_MAX;
}

LEVELS_INLINE size_t query_part_bytes(const struct tq_plan *plan, uint32_t bits)
{
	if (!bits)
		return 0;
	if (plan->query == TQ_QUERY_F32)
		return ((size_t)plan->dim + 15) / 16 * 64;
	return packed_bytes(plan->dim, bits, query_planes(plan)) +
	       (has_bit_sums(plan, bits) ? bit_sums_bytes(BIT_SUMS) : 0) + block_sums_bytes(plan, bits);
}

LEVELS_INLINE size_t query_bytes(const struct tq_plan *plan)
{
	return sizeof(struct query_head) + query_part_bytes(plan, plan->index_bits) +
	       query_part_bytes(plan, has_sketch(plan) ? 1 : 0);
}

/** query_part - the query itself, or its sketch */
LEVELS_INLINE const void *query_part(const struct tq_plan *plan, const void *packed, int sketch)
{
	return (const char *)packed + sizeof(struct query_head) +
	       (sketch ? query_part_bytes(plan, plan->index_bits) : 0);
}

/** query_bit_sums - of a part that has them */
LEVELS_INLINE const struct bit_sums *query_bit_sums(const struct tq_plan *plan, const void *part)
{
	return (const void *)((const char *)part + packed_bytes(plan->dim, 1, 1));
}

/** query_block_sums - likewise */
LEVELS_INLINE const struct bit_sums *query_block_sums(const struct tq_plan *plan, const void *part)
{
	return (const void *)((const char *)query_bit_sums(plan, part) +
			      (has_bit_sums(plan, 1) ? bit_sums_bytes(BIT_SUMS) : 0));
}

/** avx512_block_sums - those of a query of @dim coordinates; zeros are there */
void avx512_block_sums(const int8_t *q, size_t dim, struct bit_sums *sums);

/** avx512_bit_sums - those of a query of @dim coordinates */
void avx512_bit_sums(const int8_t *q, size_t dim, struct bit_sums *sums);

int avx512_score_create(const struct tq_host *host, const struct tq_plan *plan, void **state);
void avx512_score_destroy(const struct tq_host *host, void *state);
size_t avx512_query_size(const struct tq_plan *plan, const void *state);
void avx512_query_pack(const struct tq_plan *plan, const void *state, const struct tq_query *q,
		       void *packed);

#endif
