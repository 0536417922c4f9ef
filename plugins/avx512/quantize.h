/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_AVX512_QUANTIZE_H
#define TQ_AVX512_QUANTIZE_H

/*
 * Levels, sums and bytes of rotated coordinates, FORMAT.md section 4 step 7, 64 at a time.
 *
 * yc = sum y * odd is 16 lanes. cc = sum odd^2 is exact: up to 4 bits (|odd| <= 127) in float
 * lanes, which hold every integer up to 2^24, beyond that in 64-bit lanes.
 */

#include "pack.h"
#include "search.h"

/** Coordinates after which a float lane of odd^2 may be full: 127^2 each, 16 lanes */
#define CC_FLOAT_SPAN 8192

struct fit_sums {
	__m512 yc;
	__m512 cc_small;
	__m512i cc_wide;
};

/* odd_k as float of 16 levels; up to 4 bits, 5 bits, more */
AVX512_INLINE __m512 odd_of(const struct avx512_tables *tab, __m512i level, int bits)
{
	__m512 low = _mm512_loadu_ps(tab->odd);

	if (bits <= 4)
		return _mm512_permutexvar_ps(level, low);
	if (bits == 5)
		return _mm512_permutex2var_ps(low, level, _mm512_loadu_ps(tab->odd + 16));
	return _mm512_i32gather_ps(level, tab->odd, 4);
}

AVX512_INLINE void fit_add(struct fit_sums *sums, __m512 y, __m512 odd, int bits)
{
	__m512i o;

	sums->yc = _mm512_add_ps(sums->yc, _mm512_mul_ps(y, odd));
	if (bits <= 4) {
		sums->cc_small = _mm512_fmadd_ps(odd, odd, sums->cc_small);
		return;
	}
	o = _mm512_cvtps_epi32(odd);
	sums->cc_wide = _mm512_add_epi64(sums->cc_wide, _mm512_mul_epi32(o, o));
	o = _mm512_srli_epi64(o, 32);
	sums->cc_wide = _mm512_add_epi64(sums->cc_wide, _mm512_mul_epi32(o, o));
}

/** fit_flush - empty the float lanes of odd^2 into the 64-bit ones */
AVX512_INLINE void fit_flush(struct fit_sums *sums)
{
	__m512i cc = _mm512_cvtps_epi32(sums->cc_small);

	sums->cc_wide =
		_mm512_add_epi64(sums->cc_wide, _mm512_cvtepi32_epi64(_mm512_castsi512_si256(cc)));
	sums->cc_wide = _mm512_add_epi64(sums->cc_wide,
					 _mm512_cvtepi32_epi64(_mm512_extracti64x4_epi64(cc, 1)));
	sums->cc_small = _mm512_setzero_ps();
}

/**
 * quantize_chunk - levels of 16 * @regs coordinates, of which the first @n exist
 * @v:    the coordinates, zero beyond @n
 * @sums: receives their share
 *
 * Return: the levels as bytes, zero beyond @n.
 */
AVX512_INLINE __m512i quantize_chunk(const struct avx512_tables *tab, const struct thresholds *th,
				     enum search how, int bits, const __m512 *v, int regs, size_t n,
				     struct fit_sums *sums)
{
	__m512i level[4];
	__m512 odd;
	int r;

#pragma GCC unroll 4
	for (r = 0; r < regs; r++) {
		level[r] = search_level(tab, th, how, v[r]);
		odd = odd_of(tab, level[r], bits);
		if (n < 16 * (size_t)regs)
			odd = _mm512_maskz_mov_ps(
				n < 16 * (size_t)r ? 0 : lanes(n - 16 * (size_t)r), odd);
		fit_add(sums, v[r], odd, bits);
	}
	return level_bytes(level, regs, n);
}

/** store_row_head - the scale and, with center=both, the product with the centre */
AVX512_INLINE void store_row_head(const struct tq_plan *plan, const struct tq_row_stat *stat,
				  float yc, int64_t cc, uint8_t *row)
{
	float scale = tq_row_scale(plan, stat->norm2, yc, cc);

	tq_store_scale(plan, row, tq_scale_up(scale, stat->exponent));
	if (plan->layout.cross_at != TQ_NO_FIELD)
		memcpy(row + plan->layout.cross_at, &stat->cross, sizeof(stat->cross));
}

#endif
