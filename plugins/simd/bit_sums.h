/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_SIMD_BIT_SUMS_H
#define TQ_SIMD_BIT_SUMS_H

/*
 * Sums of an 8-bit query over the coordinates of which single bits are set, by look-up of four bits at a time.
 * Rows of single bits in blocks (tq/block.h) are scored so.
 */

#include "tq/plugin.h"

/**
 * struct block_sums - sums of an 8-bit query over every choice of four coordinates, for a dword of bits
 * @sum:  what they exceed the least of them by, at most 255, for the low and high halves of its bytes: sixteen
 *        entries for each
 * @rest: ... and what that leaves, mostly nothing
 */
struct block_sums {
	uint8_t sum[2][64];
	uint8_t rest[2][64];
};

/**
 * struct bit_sums - the same for a row
 * @base:  the least sum of all
 * @nrest: how many halves of dwords have a rest, and which: 2 dword + half; or what the backend's query.h says
 */
struct bit_sums {
	_Alignas(64) int32_t base;
	uint32_t nrest;
	uint8_t half[312];
	struct block_sums dword[];
};

static inline size_t bit_sums_bytes(size_t dwords)
{
	return sizeof(struct bit_sums) + dwords * sizeof(struct block_sums);
}

/** block_sums_bytes - of the sums for rows in blocks, behind the part of a packed query for @bits bits */
static inline size_t block_sums_bytes(const struct tq_plan *plan, uint32_t bits)
{
	return bits == 1 && tq_block_bytes(plan) ? bit_sums_bytes(((size_t)plan->dim + 31) / 32) : 0;
}

#endif
