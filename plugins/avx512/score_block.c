/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Scores of rows in blocks. A dword of 16 rows is decoded once and multiplied with the same dword of up
 * to eight queries, repeated over the register; the sums of a row stay in its lane from the first
 * coordinate to the score. So nothing is added across registers, and no row has an end of its own to mask.
 */

#include "block.h"
#include "score.h"

/** Queries that share decoded rows */
#define BLOCK_QUERIES 8

/* Independent sums per query, so that products need not wait for each other */
LEVELS_INLINE uint32_t chains(uint32_t nq)
{
	return nq >= 4 ? 2 : 4;
}

/*
 * A dword of 16 rows and of @nq queries. @q: the query's at register 0, that at the next 64 bytes on;
 * @odd: the number of the dword is
 */
LEVELS_INLINE void add_dword(const struct level_tables *t, __m512i x, __m512i narrow, int odd,
			     const int8_t *q, size_t size, uint32_t bits, uint32_t nq, __m512i *acc)
{
	uint32_t vectors = levels_vectors(bits), v, i, c;
	__m512i level[LEVEL_VECTORS];

	block_levels(t, x, narrow, odd, bits, level);
#pragma GCC unroll 8
	for (v = 0; v < vectors; v++) {
		c = ((uint32_t)odd * vectors + v) % chains(nq);
#pragma GCC unroll 8
		for (i = 0; i < nq; i++)
			acc[i * chains(nq) + c] = add_products(acc[i * chains(nq) + c], level[v],
							       q + i * size + 64 * v);
	}
}

/* Where dword @k of the query is in register 0 */
LEVELS_INLINE const int8_t *query_at(const int8_t *q, size_t k, uint32_t bits)
{
	return q + k / 16 * levels_chunk(bits) + k % 16 * 4;
}

/* The sums of one block with @nq queries */
LEVELS_INLINE void sum_block(const struct level_tables *t, const uint8_t *wide, const uint8_t *narrow,
			     size_t dwords, const int8_t *q, size_t size, uint32_t bits, uint32_t nq,
			     __m512i *sum)
{
	__m512i acc[BLOCK_QUERIES * 4], other = _mm512_setzero_si512();
	uint32_t i, c;
	size_t k;

#pragma GCC unroll 32
	for (i = 0; i < nq * chains(nq); i++)
		acc[i] = _mm512_setzero_si512();
	for (k = 0; k + 2 <= dwords; k += 2, wide += 128) {
		if (bits == 3)
			other = _mm512_load_si512(narrow + k / 2 * 64);
		_mm_prefetch((const char *)wide + BLOCK_AHEAD, _MM_HINT_T0);
		_mm_prefetch((const char *)wide + BLOCK_AHEAD + 64, _MM_HINT_T0);
		add_dword(t, keep(_mm512_load_si512(wide)), other, 0, query_at(q, k, bits), size, bits, nq,
			  acc);
		add_dword(t, keep(_mm512_load_si512(wide + 64)), other, 1, query_at(q, k, bits) + 4, size,
			  bits, nq, acc);
	}
	if (k < dwords) {
		if (bits == 3)
			other = _mm512_load_si512(narrow + k / 2 * 64);
		add_dword(t, keep(_mm512_load_si512(wide)), other, 0, query_at(q, k, bits), size, bits, nq,
			  acc);
	}
#pragma GCC unroll 8
	for (i = 0; i < nq; i++) {
		sum[i] = acc[i * chains(nq)];
		for (c = 1; c < chains(nq); c++)
			sum[i] = _mm512_add_epi32(sum[i], acc[i * chains(nq) + c]);
	}
}

/* All rows of a job with @nq queries */
LEVELS_INLINE void score_some(const struct block_job *job, uint32_t bits, uint32_t nq)
{
	const struct tq_plan *plan = job->plan;
	const size_t wide = tq_block_field_at(plan, plan->layout.nsections - 1), size = query_bytes(plan);
	const size_t narrow = tq_block_field_at(plan, 0), bytes = tq_block_bytes(plan);
	const size_t dwords = block_dwords(plan), n = job->n, ld = job->ld;
	const int8_t *q = query_part(plan, job->packed, 0);
	const struct shape *shape = &((const struct score_tables *)job->state)->level;
	const uint8_t *block = job->blocks;
	struct block_end end[BLOCK_QUERIES];
	__m512i sum[BLOCK_QUERIES];
	float *scores = job->scores;
	struct level_tables t;
	__mmask16 mask;
	uint32_t i;
	size_t j;

	level_tables_load(&t, &shape->hi, &shape->lo, bits);
#pragma GCC unroll 8
	for (i = 0; i < nq; i++)
		end[i] = block_end(plan, (const void *)(job->packed + i * size), 2, shape->beta);
	for (j = 0; j < n; j += TQ_BLOCK_ROWS, block += bytes) {
		sum_block(&t, block + wide, block + narrow, dwords, q, size, bits, nq, sum);
		mask = block_mask(n - j);
#pragma GCC unroll 8
		for (i = 0; i < nq; i++)
			_mm512_mask_storeu_ps(scores + i * ld + j, mask, block_scores(end + i, block, sum[i]));
	}
}

#define SCORE_SOME(bits, nq)                                                                       \
	static void some_##bits##_##nq(const struct block_job *job)                                \
	{                                                                                          \
		score_some(job, bits, nq);                                                         \
	}

SCORE_SOME(1, 4)
SCORE_SOME(1, 8)
SCORE_SOME(2, 1)
SCORE_SOME(2, 2)
SCORE_SOME(2, 4)
SCORE_SOME(2, 8)
SCORE_SOME(3, 1)
SCORE_SOME(3, 2)
SCORE_SOME(3, 4)
SCORE_SOME(3, 8)
SCORE_SOME(4, 1)
SCORE_SOME(4, 2)
SCORE_SOME(4, 4)
SCORE_SOME(4, 8)

void avx512_score_blocks(const struct tq_plan *plan, const void *state, const void *packed, size_t nq,
			 const uint8_t *blocks, size_t n, float *scores, size_t ld)
{
	static const block_fn some[4][4] = {
		{avx512_block_bits, avx512_block_bits_2, some_1_4, some_1_8},
		{some_2_1, some_2_2, some_2_4, some_2_8},
		{some_3_1, some_3_2, some_3_4, some_3_8},
		{some_4_1, some_4_2, some_4_4, some_4_8},
	};
	struct block_job job = {plan, state, packed, blocks, n, scores, ld};

	block_run(job, nq, query_bytes(plan), some[plan->index_bits - 1], 3);
}
