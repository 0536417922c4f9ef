/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_AVX2_BLOCK_H
#define TQ_AVX2_BLOCK_H

/* Rows in blocks (tq/block.h): the numbers beside their codes, and who scores single bits. */

#include "score.h"
#include "../simd/block.h"

/** Rows of a register of dwords: half a block */
#define HALF 8u

/**
 * struct block_end - what a query brings to the end of a score: A = @factor sums - @offset
 */
struct block_end {
	__m256i factor, offset;
	__m256 scale, add;
};

/** block_end - of a packed query, for A = @factor sums - @beta sum(q) */
AVX2_INLINE struct block_end block_end(const char *packed, int32_t factor, int32_t beta)
{
	const struct query_head *head = (const void *)packed;
	struct block_end end = {
		.factor = _mm256_set1_epi32(factor),
		.offset = _mm256_set1_epi32((int32_t)(beta * head->sum)),
		.scale = _mm256_set1_ps(head->scale),
		.add = _mm256_set1_ps(head->add),
	};

	return end;
}

/** block_scales - the scales of rows 8 @h .. 8 @h + 7 of a block as float */
AVX2_INLINE __m256 block_scales(uint32_t width, const uint8_t *block, uint32_t h)
{
	__m256i x = _mm256_load_si256((const __m256i *)block + h);

	if (width == TQ_F32)
		return _mm256_castsi256_ps(x);
	if (width == TQ_BF16)
		return _mm256_castsi256_ps(_mm256_slli_epi32(x, 16));
	return _mm256_cvtph_ps(_mm_packus_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1)));
}

/** end_scores - tq_score_finish() of eight rows with @scale; @center: plan->center, @cross their numbers then */
AVX2_INLINE __m256 end_scores(const struct block_end *end, __m256i sums, __m256 scale, uint32_t center,
				const float *cross)
{
	__m256i a = _mm256_sub_epi32(_mm256_mullo_epi32(sums, end->factor), end->offset);
	__m256 s = _mm256_mul_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(a), end->scale), scale);

	if (center != TQ_CENTER_OFF)
		s = _mm256_add_ps(s, end->add);
	if (center == TQ_CENTER_BOTH)
		s = _mm256_add_ps(s, _mm256_load_ps(cross));
	return s;
}

/** avx2_block_bits_1 - all rows of a job of single bits with one query; ..._2, ..._4 and ..._8: with as many */
void avx2_block_bits_1(const struct block_job *job);
void avx2_block_bits_2(const struct block_job *job);
void avx2_block_bits_4(const struct block_job *job);
void avx2_block_bits_8(const struct block_job *job);

#endif
