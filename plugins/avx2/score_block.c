/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Scores of rows in blocks (tq/block.h): two registers hold a dword of each of 16 rows. Shifted and masked
 * they are the indices of the coordinates that stand at the same place in every byte; levels of one such
 * place are multiplied with the same dword of the query, repeated. A row's sum stays in its lane. Single bits are
 * looked up instead: score_bits.c.
 */

#include "block.h"

/** Queries that share decoded rows */
#define BLOCK_QUERIES 4

/* Coordinates in a byte of the widest field */
AVX2_INLINE uint32_t places(uint32_t bits)
{
	return bits == 4 ? 2 : 4;
}

/* Bytes from dword @k of the query for place 0 to that for place @u, and where the former is: query.h */
AVX2_INLINE size_t place_at(uint32_t u)
{
	return 32 * (u & 1) + (u >> 1) * 16;
}

AVX2_INLINE size_t dword_at(uint32_t bits, size_t k)
{
	size_t each = bits == 4 ? 8 : 4;

	return k / each * QUERY_CHUNK + k % each * 4;
}

AVX2_INLINE __m256i repeat_dword(const char *q)
{
	int32_t x;

	memcpy(&x, q, sizeof(x));
	return _mm256_set1_epi32(x);
}

/* 3 bits: nibble k of half @odd of each dword in byte k */
AVX2_INLINE __m256i nibbles(__m256i x, int odd)
{
	const char a = odd ? 2 : 0;
	const __m256i source = _mm256_broadcastsi128_si256(
		_mm_setr_epi8(a, a, a + 1, a + 1, a + 4, a + 4, a + 5, a + 5, a + 8, a + 8, a + 9, a + 9,
			      a + 12, a + 12, a + 13, a + 13));
	__m256i y = _mm256_shuffle_epi8(x, source);

	return _mm256_or_si256(_mm256_and_si256(y, _mm256_set1_epi16(0x000f)),
			       _mm256_and_si256(_mm256_srli_epi16(y, 4), _mm256_set1_epi16(0x0f00)));
}

/* Bit @u of each byte to bit 2 */
AVX2_INLINE __m256i top_bit(__m256i nibble, uint32_t u)
{
	__m256i x = u == 3 ? _mm256_srli_epi16(nibble, 1) : _mm256_slli_epi16(nibble, 2 - (int)u);

	return _mm256_and_si256(x, _mm256_set1_epi8(4));
}

/* The levels at place @u of each byte of eight dwords; @nibble: nibbles() of them, for 3 bits */
AVX2_INLINE __m256i levels_at(const struct level_tables *t, __m256i x, __m256i nibble, uint32_t u,
			      uint32_t bits)
{
	uint32_t width = 8 / places(bits);
	__m256i idx = u ? _mm256_srli_epi16(x, (int)(u * width)) : x;

	idx = _mm256_and_si256(idx, _mm256_set1_epi8((char)((1 << width) - 1)));
	if (bits == 3)
		idx = _mm256_or_si256(idx, top_bit(nibble, u));
	return _mm256_shuffle_epi8(t->grid, idx);
}

/* A dword of 16 rows and of @nq queries: sums of query i in @acc[2 i], @acc[2 i + 1] */
AVX2_INLINE void add_dword(const struct level_tables *t, const uint8_t *wide, const uint8_t *narrow, int odd,
			   const char *q, size_t size, uint32_t bits, uint32_t nq, __m256i *acc)
{
	__m256i x[2], nibble[2], level[2], query;
	uint32_t u, i, h;

	for (h = 0; h < 2; h++) {
		x[h] = _mm256_load_si256((const __m256i *)wide + h);
		nibble[h] = bits == 3 ? nibbles(_mm256_load_si256((const __m256i *)narrow + h), odd) : x[h];
	}
#pragma GCC unroll 8
	for (u = 0; u < places(bits); u++) {
		level[0] = levels_at(t, x[0], nibble[0], u, bits);
		level[1] = levels_at(t, x[1], nibble[1], u, bits);
#pragma GCC unroll 4
		for (i = 0; i < nq; i++) {
			query = repeat_dword(q + i * size + place_at(u));
			acc[2 * i] = dot_add(acc[2 * i], level[0], query);
			acc[2 * i + 1] = dot_add(acc[2 * i + 1], level[1], query);
		}
	}
}

/* The sums of a block: query i's of the first eight rows in @acc[2 i] */
AVX2_INLINE void sum_block(const struct level_tables *t, const uint8_t *wide, const uint8_t *narrow,
			   size_t dwords, const char *q, size_t size, uint32_t bits, uint32_t nq, __m256i *acc)
{
	uint32_t i;
	size_t k;

	for (i = 0; i < 2 * nq; i++)
		acc[i] = _mm256_setzero_si256();
	for (k = 0; k + 2 <= dwords; k += 2, wide += 128, narrow += bits == 3 ? 64 : 0) {
		add_dword(t, wide, narrow, 0, q + dword_at(bits, k), size, bits, nq, acc);
		add_dword(t, wide + 64, narrow, 1, q + dword_at(bits, k) + 4, size, bits, nq, acc);
	}
	if (k < dwords)
		add_dword(t, wide, narrow, 0, q + dword_at(bits, k), size, bits, nq, acc);
}

/* All rows of a job with @nq queries */
AVX2_INLINE void score_some(const struct block_job *job, uint32_t bits, uint32_t nq)
{
	const struct tq_plan *plan = job->plan;
	const size_t wide = tq_block_field_at(plan, plan->layout.nsections - 1), size = query_bytes(plan);
	const size_t narrow = tq_block_field_at(plan, 0), bytes = tq_block_bytes(plan);
	const size_t dwords = (plan->layout.section[plan->layout.nsections - 1].bytes + 3) / 4;
	const char *q = query_part(plan, job->packed, 0);
	const uint8_t *block = job->blocks;
	__m256i sum[2 * BLOCK_QUERIES];
	struct block_end end[BLOCK_QUERIES];
	struct level_tables tables;
	const float *cross;
	uint32_t i, h;
	__m256 scale;
	size_t j;

	level_tables_load(&tables, job->state, bits);
#pragma GCC unroll 4
	for (i = 0; i < nq; i++)
		end[i] = block_end(job->packed + i * size, 2, 127);
	for (j = 0; j < job->n; j += TQ_BLOCK_ROWS, block += bytes) {
		sum_block(&tables, block + wide, block + narrow, dwords, q, size, bits, nq, sum);
		for (h = 0; h < 2 && j + HALF * h < job->n; h++) {
			scale = block_scales(plan->scale, block, h);
			cross = (const float *)(const void *)(block + 64) + HALF * h;
#pragma GCC unroll 4
			for (i = 0; i < nq; i++)
				store_elements8(job->scores + i * job->ld + j + HALF * h,
						end_scores(end + i, sum[2 * i + h], scale, plan->center, cross),
						job->n - j - HALF * h);
		}
	}
}

#define SCORE_SOME(bits, nq)                                                                       \
	static void some_##bits##_##nq(const struct block_job *job)                                \
	{                                                                                          \
		score_some(job, bits, nq);                                                         \
	}

SCORE_SOME(2, 1)
SCORE_SOME(2, 2)
SCORE_SOME(2, 4)
SCORE_SOME(3, 1)
SCORE_SOME(3, 2)
SCORE_SOME(3, 4)
SCORE_SOME(4, 1)
SCORE_SOME(4, 2)
SCORE_SOME(4, 4)

void block_scores(const struct tq_plan *plan, const void *state, const void *packed, size_t nq,
		  const uint8_t *blocks, size_t n, float *scores, size_t ld)
{
	static const block_fn some[4][4] = {
		{avx2_block_bits_1, avx2_block_bits_2, avx2_block_bits_4, avx2_block_bits_8},
		{some_2_1, some_2_2, some_2_4},
		{some_3_1, some_3_2, some_3_4},
		{some_4_1, some_4_2, some_4_4},
	};
	struct block_job job = {plan, state, packed, blocks, n, scores, ld};

	block_run(job, nq, query_bytes(plan), some[plan->index_bits - 1], plan->index_bits == 1 ? 3 : 2);
}
