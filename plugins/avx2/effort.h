/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_AVX2_EFFORT_H
#define TQ_AVX2_EFFORT_H

/*
 * Effort 1: the multiplier of the thresholds, 0.75 + j/32, j = 0 .. 16, whose levels point best
 * along y: the largest (yc * yc) / cc, of equal ones the first.
 *
 * Up to 4 bits all multipliers go over the row together, 32 coordinates at a time, which are loaded
 * and folded once.
 */

#include "quantize.h"
#include "rows.h"

#define MULTIPLIERS 17

AVX2_INLINE float multiplier(int j)
{
	return 0.75f + (float)j / 32.0f;
}

/* The sums of every multiplier; room for whole groups of eight */
struct many_fits {
	__m256 yc[24][2];
	__m256 cc[24][2];
};

/* Level values of eight coordinates */
AVX2_INLINE __m256 find_odd(const struct avx2_tables *tab, const struct thresholds *th,
			    enum search how, uint32_t bits, __m256 x, __m256 below)
{
	if (how == SEARCH_FOLD)
		return _mm256_permutevar8x32_ps(_mm256_loadu_ps(tab->odd + 8),
						find_magnitude(th, x, below));
	return find_split(tab, th, x, bits).odd;
}

/* 32 coordinates, of which the first @n exist, under all thresholds */
AVX2_INLINE void fit_block(const struct avx2_tables *tab, const struct thresholds *th,
			   enum search how, uint32_t bits, const float *y, size_t n,
			   struct many_fits *fits)
{
	__m256 x[4], below[4], odd, yc[2], cc[2];
	__m256i negative;
	int i, j;

#pragma GCC unroll 4
	for (i = 0; i < 4; i++) {
		x[i] = n == 32 ? _mm256_loadu_ps(y + 8 * i)
			       : part8f(y + 8 * i, (ptrdiff_t)n - 8 * i);
		below[i] = x[i];
		if (how == SEARCH_FOLD)
			x[i] = fold(x[i], &negative, &below[i]);
	}
	for (j = 0; j < MULTIPLIERS; j++) {
		yc[0] = fits->yc[j][0];
		yc[1] = fits->yc[j][1];
		cc[0] = fits->cc[j][0];
		cc[1] = fits->cc[j][1];
#pragma GCC unroll 4
		for (i = 0; i < 4; i++) {
			odd = find_odd(tab, &th[j], how, bits, x[i], below[i]);
			yc[i & 1] = _mm256_add_ps(yc[i & 1], _mm256_mul_ps(x[i], odd));
			if (n < 32)
				odd = _mm256_and_ps(
					odd, _mm256_castsi256_ps(lane_mask((ptrdiff_t)n - 8 * i)));
			cc[i & 1] = _mm256_fmadd_ps(odd, odd, cc[i & 1]);
		}
		fits->yc[j][0] = yc[0];
		fits->yc[j][1] = yc[1];
		fits->cc[j][0] = cc[0];
		fits->cc[j][1] = cc[1];
	}
}

/* (yc * yc) / cc of multipliers @first .. @first + 7, 0 where yc is not above 0 */
AVX2_INLINE __m256 qualities(const struct many_fits *fits, int first)
{
	__m256 yc[8], cc[8], sum, q;
	int j;

#pragma GCC unroll 8
	for (j = 0; j < 8; j++) {
		yc[j] = _mm256_add_ps(fits->yc[first + j][0], fits->yc[first + j][1]);
		cc[j] = _mm256_castsi256_ps(
			_mm256_add_epi32(_mm256_cvtps_epi32(fits->cc[first + j][0]),
					 _mm256_cvtps_epi32(fits->cc[first + j][1])));
	}
	sum = sum_rows(yc, 0);
	q = _mm256_cvtepi32_ps(_mm256_castps_si256(sum_rows(cc, 1)));
	q = _mm256_div_ps(_mm256_mul_ps(sum, sum), q);
	return _mm256_and_ps(q, _mm256_cmp_ps(sum, _mm256_setzero_ps(), _CMP_GT_OQ));
}

/* The first of the best */
AVX2_INLINE float pick_multiplier(const float *quality)
{
	float best = -1.0f;
	int j, at = 0;

	for (j = 0; j < MULTIPLIERS; j++) {
		if (quality[j] > best) {
			best = quality[j];
			at = j;
		}
	}
	return multiplier(at);
}

/* Up to 4 bits, at most CC_FLOAT_SPAN coordinates */
AVX2_INLINE float best_of_many(const struct tq_plan *plan, const struct avx2_tables *tab,
			       const float *y, float sigma, enum search how, uint32_t bits)
{
	struct thresholds th[MULTIPLIERS];
	struct many_fits fits;
	float quality[24];
	size_t at;
	int j;

	memset(&fits, 0, sizeof(fits));
	for (j = 0; j < MULTIPLIERS; j++)
		scale_thresholds(tab, sigma * multiplier(j), how, bits, NULL, &th[j]);
	for (at = 0; at + 32 <= plan->dim; at += 32)
		fit_block(tab, th, how, bits, y + at, 32, &fits);
	if (at < plan->dim)
		fit_block(tab, th, how, bits, y + at, plan->dim - at, &fits);
	for (j = 0; j < 24; j += 8)
		_mm256_storeu_ps(quality + j, qualities(&fits, j));
	return pick_multiplier(quality);
}

/* Any bits and dimension: one after the other */
AVX2_INLINE float best_by_one(const struct tq_plan *plan, const struct avx2_tables *tab,
			      const float *y, float sigma, enum search how, uint32_t bits)
{
	float quality[MULTIPLIERS], yc;
	struct fit_sums sums;
	int j;

	for (j = 0; j < MULTIPLIERS; j++) {
		fit_nearest(plan, tab, y, sigma * multiplier(j), how, bits, 1, 0, NULL, &sums);
		yc = sum_tree(sums.yc[0], sums.yc[1]);
		quality[j] = yc > 0.0f ? (yc * yc) / (float)fit_cc(&sums, bits) : 0.0f;
	}
	return pick_multiplier(quality);
}

AVX2_INLINE float best_multiplier(const struct tq_plan *plan, const struct avx2_tables *tab,
				  const float *y, float sigma, enum search how, uint32_t bits)
{
	if (bits <= 4 && plan->dim <= CC_FLOAT_SPAN)
		return best_of_many(plan, tab, y, sigma, how, bits);
	return best_by_one(plan, tab, y, sigma, how, bits);
}

#endif
