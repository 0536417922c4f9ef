/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_AVX2_SCORE_H
#define TQ_AVX2_SCORE_H

/*
 * From sums to scores, eight rows at once, in the order of operations of tq_score_finish().
 */

#include "query.h"

/** load_field8 - a float field of eight rows: of type plan->scale, or float */
AVX2_INLINE __m256 load_field8(const uint8_t *const *row, size_t at, uint32_t dtype)
{
	__m256i v = _mm256_setzero_si256();
	uint16_t half[8] __attribute__((aligned(16)));
	float full[8] __attribute__((aligned(32)));
	int r;

	if (dtype == TQ_F32) {
		for (r = 0; r < 8; r++)
			memcpy(full + r, row[r] + at, sizeof(*full));
		return _mm256_setr_ps(full[0], full[1], full[2], full[3], full[4], full[5], full[6],
				      full[7]);
	}
	for (r = 0; r < 8; r++)
		memcpy(half + r, row[r] + at, sizeof(*half));
	if (dtype == TQ_F16)
		return _mm256_cvtph_ps(_mm_load_si128((const __m128i *)half));
	v = _mm256_cvtepu16_epi32(_mm_load_si128((const __m128i *)half));
	return _mm256_castsi256_ps(_mm256_slli_epi32(v, 16));
}

/** score_finish8 - tq_score_finish() of eight rows */
AVX2_INLINE __m256 score_finish8(const struct tq_plan *plan, const struct query_head *head,
				 const uint8_t *const *row, __m256 a, __m256 b)
{
	__m256 s = _mm256_setzero_ps();

	if (plan->index_bits)
		s = _mm256_mul_ps(_mm256_mul_ps(a, _mm256_set1_ps(head->scale)),
				  load_field8(row, plan->layout.scale_at, plan->scale));
	if (plan->layout.rnorm_at != TQ_NO_FIELD)
		s = _mm256_add_ps(
			s, _mm256_mul_ps(_mm256_mul_ps(b, _mm256_set1_ps(head->sketch_scale)),
					 load_field8(row, plan->layout.rnorm_at, plan->scale)));
	if (plan->center != TQ_CENTER_OFF)
		s = _mm256_add_ps(s, _mm256_set1_ps(head->add));
	if (plan->center == TQ_CENTER_BOTH)
		s = _mm256_add_ps(s, load_field8(row, plan->layout.cross_at, TQ_F32));
	return s;
}

/** store_elements8 - the first @n of eight scores */
AVX2_INLINE void store_elements8(float *to, __m256 s, size_t n)
{
	if (n >= 8)
		_mm256_storeu_ps(to, s);
	else
		_mm256_maskstore_ps(to, lane_mask((ptrdiff_t)n), s);
}

/**
 * avx2_score_float - scores of float queries
 * @ids: row numbers, or NULL for rows 0 .. @n - 1
 */
void avx2_score_float(const struct tq_plan *plan, const struct avx2_tables *tab, const char *packed,
		      size_t nq, const uint8_t *codes, const uint32_t *ids, size_t n, float *scores,
		      size_t ld);

#endif
