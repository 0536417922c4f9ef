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
		return load_floats((const float *)x + i, mask);
	half = mask == 0xffff ? _mm256_loadu_si256((const __m256i *)((const uint16_t *)x + i))
			      : _mm256_maskz_loadu_epi16(mask, (const uint16_t *)x + i);
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
		store_floats((float *)x + i, v, mask);
	else if (mask == 0xffff)
		_mm256_storeu_si256((__m256i *)((uint16_t *)x + i), to_half(v, dtype));
	else
		_mm256_mask_storeu_epi16((uint16_t *)x + i, mask, to_half(v, dtype));
}

/** load_centred - elements less the centre, and what they add to the sums of the row */
AVX512_INLINE __m512 load_centred(const struct tq_plan *plan, const void *x, int dtype,
				  uint32_t center, size_t i, __mmask16 mask, struct load_sums *sums)
{
	__m512 v = load_elements(x, dtype, i, mask), m;

	if (center != TQ_CENTER_OFF) {
		m = load_floats(plan->centre + i, mask);
		if (center == TQ_CENTER_BOTH)
			sums->cross = _mm512_add_ps(sums->cross, _mm512_mul_ps(v, m));
		v = _mm512_sub_ps(v, m);
	}
	sums->top = _mm512_max_epu32(
		sums->top, _mm512_and_si512(_mm512_castps_si512(v), _mm512_set1_epi32(0x7fffffff)));
	return v;
}

/** load_factor - 2^-e of a row whose exponent allows one product, in all lanes */
AVX512_INLINE __m512 load_factor(__m512i top)
{
	__m512i exponent = _mm512_and_si512(top, _mm512_set1_epi32(0x7f800000));

	return _mm512_castsi512_ps(_mm512_sub_epi32(_mm512_set1_epi32(0x7f000000), exponent));
}

/** load_exponent - e of a row from its largest magnitude; returns if one product scales it */
AVX512_INLINE int load_exponent(__m512i top, int32_t *e)
{
	uint32_t m = (uint32_t)_mm_cvtsi128_si32(_mm512_castsi512_si128(top));
	float f = tq_bits_f32(m);

	*e = m >= 0x00800000u ? (int)(m >> 23) - 127 : tq_max_exponent(&f, 1);
	return *e >= TQ_EXPONENT_MIN && *e <= TQ_EXPONENT_MAX;
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

/** scale_rare - steps 3 and 4 by the general rule, in place; returns lanes that add to norm2 */
static __m512 scale_rare(float *y, size_t d, int e)
{
	size_t i;

	for (i = 0; i < d; i++)
		y[i] = tq_scale_down(y[i], e);
	return _mm512_castps128_ps512(_mm_set_ss(tq_dot16(y, y, d)));
}

/**
 * load_row - tq_row_load() of rules.h
 * @y:     receives dim floats, and up to the next multiple of 16 what does not matter
 * @norm:  receives the 16 lanes of norm2
 * @cross: receives the 16 lanes of the product with the centre
 *
 * Return: the exponent.
 */
AVX512_INLINE int32_t load_row(const struct tq_plan *plan, const void *x, int dtype,
			       uint32_t center, float *y, __m512 *norm, __m512 *cross)
{
	struct load_sums sums = {_mm512_setzero_si512(), _mm512_setzero_ps()}, ignored = sums;
	size_t d = plan->dim, full = d & ~(size_t)15, i;
	__mmask16 last = lanes(d - full);
	__m512 factor, squares = _mm512_setzero_ps();
	int32_t e;

	for (i = 0; i < full; i += 16)
		load_centred(plan, x, dtype, center, i, 0xffff, &sums);
	if (last)
		load_centred(plan, x, dtype, center, full, last, &sums);
	*cross = sums.cross;
	sums.top = max_lanes(sums.top);
	if (!load_exponent(sums.top, &e)) {
		for (i = 0; i < d; i += 16)
			_mm512_storeu_ps(y + i, load_centred(plan, x, dtype, center, i,
							     lanes(d - i), &ignored));
		*norm = scale_rare(y, d, e);
		return e;
	}
	factor = load_factor(sums.top);
	for (i = 0; i < full; i += 16)
		_mm512_storeu_ps(
			y + i, scale_down(load_centred(plan, x, dtype, center, i, 0xffff, &ignored),
					  factor, &squares));
	if (last)
		_mm512_storeu_ps(y + i,
				 scale_down(load_centred(plan, x, dtype, center, i, last, &ignored),
					    factor, &squares));
	*norm = squares;
	return e;
}

#endif
