/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_AVX2_LOAD_H
#define TQ_AVX2_LOAD_H

/*
 * Rows in and out: element types, centre, power of two; FORMAT.md section 4 steps 1-4 and the end
 * of section 5.
 *
 * A row whose exponent e lies in TQ_EXPONENT_MIN..TQ_EXPONENT_MAX is scaled by one product with
 * 2^-e: for magnitudes of 2^-40 and above it is exact, and everything below becomes +0 by a mask.
 * That includes denormal inputs, so the flush-to-zero mode of the caller does not show. Other rows
 * take the rule of tq_scale_down() one by one.
 */

#include "lanes.h"

/** load8 - elements @i .. @i + 7 */
AVX2_INLINE __m256 load8(const void *x, int dtype, size_t i)
{
	__m128i half;

	if (dtype == TQ_F32)
		return _mm256_loadu_ps((const float *)x + i);
	half = _mm_loadu_si128((const __m128i *)((const uint16_t *)x + i));
	if (dtype == TQ_F16)
		return _mm256_cvtph_ps(half);
	return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
}

/** load_part8 - elements @i .. @i + @n - 1, zeros above; @n may be below 0 or above 8 */
AVX2_INLINE __m256 load_part8(const void *x, int dtype, size_t i, ptrdiff_t n)
{
	__m128i half;

	if (n >= 8)
		return load8(x, dtype, i);
	if (n <= 0)
		return _mm256_setzero_ps();
	if (dtype == TQ_F32)
		return part8f((const float *)x + i, n);
	half = part16((const uint8_t *)((const uint16_t *)x + i), 2 * (size_t)n);
	if (dtype == TQ_F16)
		return _mm256_cvtph_ps(half);
	return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
}

/** to_half - eight floats to f16 or bf16, nearest, ties to even; NaN stays NaN */
AVX2_INLINE __m128i to_half(__m256 v, int dtype)
{
	__m256i b = _mm256_castps_si256(v), odd, nan;

	if (dtype == TQ_F16)
		return _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT);
	odd = _mm256_and_si256(_mm256_srli_epi32(b, 16), _mm256_set1_epi32(1));
	nan = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
	odd = _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff));
	odd = _mm256_srli_epi32(_mm256_add_epi32(b, odd), 16);
	nan = _mm256_and_si256(nan,
			       _mm256_or_si256(_mm256_srli_epi32(b, 16), _mm256_set1_epi32(0x40)));
	b = _mm256_blendv_epi8(odd, nan, _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q)));
	return _mm_packus_epi32(_mm256_castsi256_si128(b), _mm256_extracti128_si256(b, 1));
}

/** store_part8f - elements @i .. @i + @n - 1 */
AVX2_INLINE void store_elements(void *x, int dtype, size_t i, __m256 v, size_t n)
{
	if (dtype == TQ_F32) {
		if (n >= 8)
			_mm256_storeu_ps((float *)x + i, v);
		else
			_mm256_maskstore_ps((float *)x + i, lane_mask((ptrdiff_t)n), v);
		return;
	}
	store_part16((uint8_t *)((uint16_t *)x + i), to_half(v, dtype), n >= 8 ? 16 : 2 * n);
}

/** row_exponent - floor(log2 max) from eight lanes of magnitude bits; 0 for zeros */
AVX2_INLINE int row_exponent(__m256i top)
{
	__m128i t = _mm_max_epu32(_mm256_castsi256_si128(top), _mm256_extracti128_si256(top, 1));
	uint32_t m;
	float f;

	t = _mm_max_epu32(t, _mm_shuffle_epi32(t, 0x4e));
	t = _mm_max_epu32(t, _mm_shuffle_epi32(t, 0xb1));
	m = (uint32_t)_mm_cvtsi128_si32(t);
	if (m >= 0x00800000u)
		return (int)(m >> 23) - 127;
	f = tq_bits_f32(m);
	return tq_max_exponent(&f, 1);
}

AVX2_INLINE __m256 scale_and_flush(__m256 v, __m256 factor)
{
	const __m256 magnitude = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff));

	v = _mm256_mul_ps(v, factor);
	return _mm256_and_ps(
		v, _mm256_cmp_ps(_mm256_and_ps(v, magnitude), _mm256_set1_ps(TQ_TINY), _CMP_GE_OQ));
}

/* Step 3 and 4 by the general rule */
static void scale_rare(float *y, size_t d, int e, struct tq_row_stat *stat)
{
	size_t i;

	for (i = 0; i < d; i++)
		y[i] = tq_scale_down(y[i], e);
	stat->norm2 = tq_dot16(y, y, d);
}

/* What a row's 16 lanes hold after its first pass */
struct load_sums {
	__m256i top[2];
	__m256 cross[2];
};

/* Elements @i .. @i + 15, of which the first @n exist, less the centre */
AVX2_INLINE void load_centred(const struct tq_plan *plan, const void *x, int dtype, uint32_t center,
			      size_t i, ptrdiff_t n, float *y, struct load_sums *sums)
{
	const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
	__m256 v, m;
	int k;

#pragma GCC unroll 2
	for (k = 0; k < 2; k++, n -= 8, i += 8) {
		v = load_part8(x, dtype, i, n);
		if (center != TQ_CENTER_OFF) {
			m = load_part8(plan->centre, TQ_F32, i, n);
			if (center == TQ_CENTER_BOTH)
				sums->cross[k] = _mm256_add_ps(sums->cross[k], _mm256_mul_ps(v, m));
			v = _mm256_sub_ps(v, m);
		}
		_mm256_storeu_ps(y + i, v);
		sums->top[k] = _mm256_max_epu32(
			sums->top[k], _mm256_and_si256(_mm256_castps_si256(v), magnitude));
	}
}

/**
 * load_row - tq_row_load() of rules.h
 * @y: receives dim floats; up to the next multiple of 16 zeros are written behind them
 */
AVX2_INLINE void load_row(const struct tq_plan *plan, const void *x, int dtype, uint32_t center,
			  float *y, struct tq_row_stat *stat)
{
	struct load_sums sums = {{_mm256_setzero_si256(), _mm256_setzero_si256()},
				 {_mm256_setzero_ps(), _mm256_setzero_ps()}};
	__m256 norm[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()}, v, factor;
	size_t i, d = plan->dim;
	int e, k;

	for (i = 0; i + 16 <= d; i += 16)
		load_centred(plan, x, dtype, center, i, 16, y, &sums);
	if (i < d)
		load_centred(plan, x, dtype, center, i, (ptrdiff_t)(d - i), y, &sums);
	stat->cross = center == TQ_CENTER_BOTH ? sum_tree(sums.cross[0], sums.cross[1]) : 0.0f;
	e = row_exponent(_mm256_max_epu32(sums.top[0], sums.top[1]));
	stat->exponent = e;
	if (e < TQ_EXPONENT_MIN || e > TQ_EXPONENT_MAX) {
		scale_rare(y, d, e, stat);
		return;
	}
	factor = _mm256_set1_ps(tq_pow2(-e));
	for (i = 0; i < d; i += 16) {
#pragma GCC unroll 2
		for (k = 0; k < 2; k++) {
			v = scale_and_flush(_mm256_loadu_ps(y + i + 8 * k), factor);
			_mm256_storeu_ps(y + i + 8 * k, v);
			norm[k] = _mm256_add_ps(norm[k], _mm256_mul_ps(v, v));
		}
	}
	stat->norm2 = sum_tree(norm[0], norm[1]);
}

#endif
