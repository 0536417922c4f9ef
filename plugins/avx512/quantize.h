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

/* 64 coordinates of @element bytes, towards the cache; a prefetch may point anywhere */
AVX512_INLINE void fetch_chunk(const char *x, size_t element)
{
	int i;

#pragma GCC unroll 4
	for (i = 0; i < 4; i++)
		_mm_prefetch(x + 16 * i * element, _MM_HINT_T0);
}

/**
 * quantize_span - quantize_chunk() and pack_chunk() over a row in memory
 * @y:   the row
 * @row: its code; NULL: only the sums
 * @next: with @row, a row of @element bytes a coordinate to fetch towards the cache
 */
AVX512_INLINE void quantize_span(const struct tq_plan *plan, const struct avx512_tables *tab,
				 const struct thresholds *th, enum search how, int bits,
				 const float *y, uint8_t *row, const char *next, size_t element,
				 struct fit_sums *sums)
{
	size_t d = plan->dim, at, n;
	__m512i level;
	__m512 v[4];
	int r;

	for (at = 0; at + 64 <= d; at += 64) {
#pragma GCC unroll 4
		for (r = 0; r < 4; r++)
			v[r] = _mm512_loadu_ps(y + at + 16 * r);
		level = quantize_chunk(tab, th, how, bits, v, 4, 64, sums);
		if (row) {
			fetch_chunk(next + at * element, element);
			pack_chunk(&plan->layout, bits, level, at, 64, row);
		}
		if (at % CC_FLOAT_SPAN == CC_FLOAT_SPAN - 64)
			fit_flush(sums);
	}
	n = d - at;
	if (n == 0)
		return;
	if (n == 32) {
		v[0] = _mm512_loadu_ps(y + at);
		v[1] = _mm512_loadu_ps(y + at + 16);
		level = quantize_chunk(tab, th, how, bits, v, 2, 32, sums);
		if (row)
			fetch_chunk(next + at * element, element);
		if (row)
			pack_chunk(&plan->layout, bits, level, at, 32, row);
		return;
	}
#pragma GCC unroll 4
	for (r = 0; r < 4; r++)
		v[r] = n > 16 * (size_t)r
			       ? _mm512_maskz_loadu_ps(lanes(n - 16 * (size_t)r), y + at + 16 * r)
			       : _mm512_setzero_ps();
	level = quantize_chunk(tab, th, how, bits, v, 4, n, sums);
	if (row)
		pack_chunk(&plan->layout, bits, level, at, n, row);
}

#endif
