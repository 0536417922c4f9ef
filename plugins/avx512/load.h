/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_AVX512_LOAD_H
#define TQ_AVX512_LOAD_H

/*
 * Rows in and out: element types, centre, power of two; FORMAT.md section 4 steps 1-4 and the end
 * of section 5.
 *
 * A row whose exponent e lies in TQ_EXPONENT_MIN..TQ_EXPONENT_MAX is scaled by one product with
 * 2^-e: for magnitudes of 2^-40 and above it is exact, and everything below becomes +0 by a mask.
 * The mask comes from the squares, which are there anyway: rounding keeps their order, so
 * |v| >= 2^-40 just where v * v >= 2^-80. Other rows take the rule of tq_scale_down() one by one.
 */

#include "lanes.h"

#define TINY_SQUARED 0x1p-80f

/** struct load_sums - over a row, in 16 lanes: largest magnitude (as bits), products with centre */
struct load_sums {
	__m512i top;
	__m512 cross;
};

/** load_elements - the elements @i .. @i + 15 of @mask, zeros elsewhere */
AVX512_INLINE __m512 load_elements(const void *x, int dtype, size_t i, __mmask16 mask)
{
	__m256i half;

	if (dtype == TQ_F32)
		return _mm512_maskz_loadu_ps(mask, (const float *)x + i);
	half = _mm256_maskz_loadu_epi16(mask, (const uint16_t *)x + i);
	if (dtype == TQ_F16)
		return _mm512_cvtph_ps(half);
	return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}

/** to_half - 16 floats to f16 or bf16, nearest, ties to even; NaN stays NaN */
AVX512_INLINE __m256i to_half(__m512 v, int dtype)
{
	__m512i b = _mm512_castps_si512(v), top = _mm512_srli_epi32(b, 16), round;

	if (dtype == TQ_F16)
		return _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT);
	round = _mm512_add_epi32(_mm512_and_si512(top, _mm512_set1_epi32(1)),
				 _mm512_set1_epi32(0x7fff));
	round = _mm512_srli_epi32(_mm512_add_epi32(b, round), 16);
	round = _mm512_mask_or_epi32(round, _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q), top,
				     _mm512_set1_epi32(0x40));
	return _mm512_cvtepi32_epi16(round);
}

/** store_elements - the elements @i .. @i + 15 of @mask */
AVX512_INLINE void store_elements(void *x, int dtype, size_t i, __m512 v, __mmask16 mask)
{
	if (dtype == TQ_F32)
		_mm512_mask_storeu_ps((float *)x + i, mask, v);
	else
		_mm256_mask_storeu_epi16((uint16_t *)x + i, mask, to_half(v, dtype));
}

/** load_centred - elements less the centre, and what they add to the sums of the row */
AVX512_INLINE __m512 load_centred(const struct tq_plan *plan, const void *x, int dtype,
				  uint32_t center, size_t i, __mmask16 mask, struct load_sums *sums)
{
	__m512 v = load_elements(x, dtype, i, mask), m;

	if (center != TQ_CENTER_OFF) {
		m = _mm512_maskz_loadu_ps(mask, plan->centre + i);
		if (center == TQ_CENTER_BOTH)
			sums->cross = _mm512_add_ps(sums->cross, _mm512_mul_ps(v, m));
		v = _mm512_sub_ps(v, m);
	}
	sums->top = _mm512_max_epu32(
		sums->top, _mm512_and_si512(_mm512_castps_si512(v), _mm512_set1_epi32(0x7fffffff)));
	return v;
}

/** load_finish - exponent and cross of the row; returns if one product with 2^-e scales it */
AVX512_INLINE int load_finish(const struct load_sums *sums, uint32_t center,
			      struct tq_row_stat *stat)
{
	uint32_t top = max_lane(sums->top);
	float f = tq_bits_f32(top);
	int e = top >= 0x00800000u ? (int)(top >> 23) - 127 : tq_max_exponent(&f, 1);

	stat->cross = center == TQ_CENTER_BOTH ? sum_tree(sums->cross) : 0.0f;
	stat->exponent = e;
	return e >= TQ_EXPONENT_MIN && e <= TQ_EXPONENT_MAX;
}

/** scale_down - v * 2^-e, +0 below 2^-40; its squares are added to @norm */
AVX512_INLINE __m512 scale_down(__m512 v, __m512 factor, __m512 *norm)
{
	__mmask16 kept;
	__m512 square;

	v = _mm512_mul_ps(v, factor);
	square = _mm512_mul_ps(v, v);
	kept = _mm512_cmp_ps_mask(square, _mm512_set1_ps(TINY_SQUARED), _CMP_GE_OQ);
	*norm = _mm512_mask_add_ps(*norm, kept, *norm, square);
	return _mm512_maskz_mov_ps(kept, v);
}

/** scale_rare - steps 3 and 4 by the general rule, in place */
static void scale_rare(float *y, size_t d, struct tq_row_stat *stat)
{
	size_t i;

	for (i = 0; i < d; i++)
		y[i] = tq_scale_down(y[i], stat->exponent);
	stat->norm2 = tq_dot16(y, y, d);
}

/**
 * load_row - tq_row_load() of rules.h
 * @y: receives dim floats; zeros up to the next multiple of 16
 */
AVX512_INLINE void load_row(const struct tq_plan *plan, const void *x, int dtype, uint32_t center,
			    float *y, struct tq_row_stat *stat)
{
	struct load_sums sums = {_mm512_setzero_si512(), _mm512_setzero_ps()};
	__m512 norm = _mm512_setzero_ps(), factor;
	size_t d = plan->dim, i;

	for (i = 0; i < d; i += 16)
		_mm512_storeu_ps(y + i,
				 load_centred(plan, x, dtype, center, i, lanes(d - i), &sums));
	if (!load_finish(&sums, center, stat)) {
		scale_rare(y, d, stat);
		return;
	}
	factor = _mm512_set1_ps(tq_pow2(-stat->exponent));
	for (i = 0; i < d; i += 16)
		_mm512_storeu_ps(y + i, scale_down(_mm512_loadu_ps(y + i), factor, &norm));
	stat->norm2 = sum_tree(norm);
}

#endif
