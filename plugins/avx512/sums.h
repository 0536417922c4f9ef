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

/** nsums - how many */
LEVELS_INLINE int nsums(uint32_t bits, uint32_t planes)
{
	return (int)(levels_planes(bits) + planes) - 1;
}

LEVELS_INLINE __m256 combine8(const __m256i *s, int n, double beta_sum)
{
	__m512d v = _mm512_cvtepi32_pd(s[0]);
	int k;

	for (k = 1; k < n; k++)
		v = _mm512_add_pd(_mm512_mul_pd(v, _mm512_set1_pd(128.0)),
				  _mm512_cvtepi32_pd(s[k]));
	return _mm512_cvtpd_ps(_mm512_sub_pd(_mm512_add_pd(v, v), _mm512_set1_pd(beta_sum)));
}

/**
 * combine - A, rounded to float, of sixteen rows
 *
 * One sum stays in int32, where only A itself has to fit. More are put together in double, which
 * is exact below 2^53, and rounded once.
 */
LEVELS_INLINE __m512 combine(const __m512i *total, int n, int32_t beta, int64_t sum)
{
	double beta_sum = (double)beta * (double)sum;
	__m256i half[3];
	__m256 low;
	__m512i a;
	int k;

	if (n == 1) {
		a = _mm512_slli_epi32(total[0], 1);
		a = _mm512_sub_epi32(a, _mm512_set1_epi32((int)(beta * sum)));
		return _mm512_cvtepi32_ps(a);
	}
	for (k = 0; k < n; k++)
		half[k] = _mm512_castsi512_si256(total[k]);
	low = combine8(half, n, beta_sum);
	for (k = 0; k < n; k++)
		half[k] = _mm512_extracti64x4_epi64(total[k], 1);
	return _mm512_insertf32x8(_mm512_castps256_ps512(low), combine8(half, n, beta_sum), 1);
}

#endif
