/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_AVX512_SUMS_H
#define TQ_AVX512_SUMS_H

/*
 * Up to three sums run over a row, all exact in int32 (65536 * 2 * 127 * 127 < 2^31):
 *
 *	levels   query	sums				G
 *	1 plane  s8	g q				S0
 *	1 plane  s16	g qhi, g qlo			128 S0 + S1
 *	2 planes s8	hi q, lo q			128 S0 + S1
 *	2 planes s16	hi qhi, hi qlo + lo qhi, lo qlo	16384 S0 + 128 S1 + S2
 *
 * and A = 2 G - beta sum(q).
 */

#include "levels.h"

/** Rows that share a load of the query */
#define GROUP 4

/** nsums - how many */
LEVELS_INLINE int nsums(uint32_t bits, uint32_t planes)
{
	return (int)(levels_planes(bits) + planes) - 1;
}

/** add_lanes - four registers to one: lane i of each 128 bits is the sum of what register i held
 * there */
LEVELS_INLINE __m512i add_lanes(__m512i a, __m512i b, __m512i c, __m512i d)
{
	__m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
	__m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));

	return _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
}

/** add_quarters - four registers to one: 128 bits i are the sum of those of register i */
LEVELS_INLINE __m512i add_quarters(__m512i a, __m512i b, __m512i c, __m512i d)
{
	__m512i ab = _mm512_add_epi32(_mm512_shuffle_i32x4(a, b, 0x88),
				      _mm512_shuffle_i32x4(a, b, 0xdd));
	__m512i cd = _mm512_add_epi32(_mm512_shuffle_i32x4(c, d, 0x88),
				      _mm512_shuffle_i32x4(c, d, 0xdd));

	return _mm512_add_epi32(_mm512_shuffle_i32x4(ab, cd, 0x88),
				_mm512_shuffle_i32x4(ab, cd, 0xdd));
}

/** fetch_bytes - what a chunk of four rows takes in all its fields */
LEVELS_INLINE size_t fetch_bytes(uint32_t bits)
{
	return bits == 3 || bits == 6 ? 96 * GROUP
	       : bits == 5	      ? 80 * GROUP
	       : bits == 7	      ? 112 * GROUP
				      : 64 * GROUP;
}

/** fetch - ask for as much from @p on */
LEVELS_INLINE void fetch(const char *p, uint32_t bits)
{
	size_t at;

#pragma GCC unroll 7
	for (at = 0; at < fetch_bytes(bits); at += 64)
		_mm_prefetch(p + at, _MM_HINT_T0);
}

LEVELS_INLINE __m512d append(__m512d v, __m256i s)
{
	return _mm512_add_pd(_mm512_mul_pd(v, _mm512_set1_pd(128.0)), _mm512_cvtepi32_pd(s));
}

LEVELS_INLINE __m256 combine8(__m256i s0, __m256i s1, __m256i s2, int n, double beta_sum)
{
	__m512d v = append(_mm512_cvtepi32_pd(s0), s1);

	if (n > 2)
		v = append(v, s2);
	return _mm512_cvtpd_ps(_mm512_sub_pd(_mm512_add_pd(v, v), _mm512_set1_pd(beta_sum)));
}

/**
 * combine - A, rounded to float, of sixteen rows from @n sums
 *
 * One sum stays in int32, where only A itself has to fit. More are put together in double, which
 * is exact below 2^53, and rounded once.
 */
LEVELS_INLINE __m512 combine(const __m512i *s, int n, int32_t beta, int64_t sum)
{
	double beta_sum = (double)beta * (double)sum;
	__m256 low, high;
	__m512i a;

	if (n == 1) {
		a = _mm512_slli_epi32(s[0], 1);
		a = _mm512_sub_epi32(a, _mm512_set1_epi32((int)(beta * sum)));
		return _mm512_cvtepi32_ps(a);
	}
	low = combine8(_mm512_castsi512_si256(s[0]), _mm512_castsi512_si256(s[1]),
		       _mm512_castsi512_si256(s[2]), n, beta_sum);
	high = combine8(_mm512_extracti64x4_epi64(s[0], 1), _mm512_extracti64x4_epi64(s[1], 1),
			_mm512_extracti64x4_epi64(s[2], 1), n, beta_sum);
	return _mm512_insertf32x8(_mm512_castps256_ps512(low), high, 1);
}

#endif
