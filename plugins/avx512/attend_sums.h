/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_AVX512_ATTEND_SUMS_H
#define TQ_AVX512_ATTEND_SUMS_H

/* Integer sums of weighted levels, as their rows were interleaved, to floats in the order of coordinates. */

#include "query.h"
#include "weights.h"

/* Registers of a chunk after interleaving, per plane of levels */
#define MOST_LANES (4 * LEVEL_VECTORS)

/* Sums of one chunk: [plane of levels][weight][plane of weights][interleaved register] */
struct chunk_sums {
	__m512i at[2][MOST_WEIGHTS][2][MOST_LANES];
};

/* f32(A) of the sixteen coordinates whose sums lie in register @j, from 5 bits */
LEVELS_INLINE __m512 combine_wide(const struct chunk_sums *s, int w, uint32_t j, int64_t sum)
{
	__m256 half[2];
	__m512d v;
	int h;

	for (h = 0; h < 2; h++) {
#define PART(p, q)                                                                                 \
	_mm512_cvtepi32_pd(h ? _mm512_extracti64x4_epi64(s->at[p][w][q][j], 1)                      \
			     : _mm512_castsi512_si256(s->at[p][w][q][j]))
		v = _mm512_mul_pd(PART(0, 0), _mm512_set1_pd(16384.0));
		v = _mm512_add_pd(v, _mm512_mul_pd(_mm512_add_pd(PART(0, 1), PART(1, 0)),
						   _mm512_set1_pd(128.0)));
		v = _mm512_add_pd(v, PART(1, 1));
#undef PART
		v = _mm512_sub_pd(_mm512_add_pd(v, v), _mm512_set1_pd(16383.0 * (double)sum));
		half[h] = _mm512_cvtpd_ps(v);
	}
	return _mm512_insertf32x8(_mm512_castps256_ps512(half[0]), half[1], 1);
}

/* Likewise up to 4 bits; @fold: of coordinates whose halves lie in registers @j and @k, side by side */
LEVELS_INLINE __m512 combine(const struct chunk_sums *s, int w, uint32_t j, uint32_t k, int64_t sum, uint32_t bits,
			     uint32_t fold)
{
	__m512i a, b;

	if (bits > 4)
		return combine_wide(s, w, j, sum);
	a = _mm512_add_epi32(_mm512_slli_epi32(s->at[0][w][0][j], 7), s->at[0][w][1][j]);
	if (fold == 2) {
		b = _mm512_add_epi32(_mm512_slli_epi32(s->at[0][w][0][k], 7), s->at[0][w][1][k]);
		a = _mm512_add_epi32(_mm512_shuffle_i64x2(a, b, 0x44), _mm512_shuffle_i64x2(a, b, 0xee));
	}
	a = _mm512_sub_epi32(_mm512_add_epi32(a, a), _mm512_set1_epi32((int32_t)(127 * sum)));
	return _mm512_cvtepi32_ps(a);
}

/*
 * f32(A) of a chunk in the order of coordinates. Byte i = c / V of register v = c % V became lane 4 L + i % 4 of
 * register 4 v + m, where L = i / 16 and m = i / 4 % 4. So 16 coordinates that follow each other are in the same
 * 128 bits L of registers whose m is one or follow each other; what two rows shared has L = 0, 1 alone, and
 * comes from two m at once.
 */
LEVELS_INLINE void order_1(const struct chunk_sums *sums, int w, int64_t sum, uint32_t bits, float *to)
{
	__m512 x[4];
	uint32_t m;

	for (m = 0; m < 4; m++)
		x[m] = combine(sums, w, m, m, sum, bits, 1);
	store_quarters(x, to, to + 16, to + 32, to + 48);
}

LEVELS_INLINE void order_2(const struct chunk_sums *sums, int w, int64_t sum, uint32_t bits, uint32_t fold, float *to)
{
	uint32_t m, k, other = fold == 2 ? 2 : 0;
	__m512 x[4], a, b;

#pragma GCC unroll 2
	for (m = 0; m < 4; m += 2 * fold) {
#pragma GCC unroll 2
		for (k = 0; k < 2; k++) {
			a = combine(sums, w, m + k, m + k + other, sum, bits, fold);
			b = combine(sums, w, 4 + m + k, 4 + m + k + other, sum, bits, fold);
			x[2 * k] = _mm512_unpacklo_ps(a, b);
			x[2 * k + 1] = _mm512_unpackhi_ps(a, b);
		}
		if (fold == 1)
			store_quarters(x, to + 8 * m, to + 32 + 8 * m, to + 64 + 8 * m, to + 96 + 8 * m);
		else
			store_quarters(x, to, to + 32, to + 16, to + 48);
	}
}

LEVELS_INLINE void order_4(const struct chunk_sums *sums, int w, int64_t sum, uint32_t bits, uint32_t fold, float *to)
{
	__m512 x[4];
	uint32_t m, v;

#pragma GCC unroll 4
	for (m = 0; m < 4; m += fold, to += 16 * fold) {
#pragma GCC unroll 4
		for (v = 0; v < 4; v++)
			x[v] = combine(sums, w, 4 * v + m, 4 * v + m + 1, sum, bits, fold);
		turn_quarters(x);
		if (fold == 1)
			store_quarters(x, to, to + 64, to + 128, to + 192);
		else
			store_quarters(x, to, to + 64, to + 16, to + 80);
	}
}

/* Single bits: one by one */
LEVELS_INLINE void order_8(const struct chunk_sums *sums, int w, int64_t sum, uint32_t bits, uint32_t fold, float *to)
{
	const __m512i ramp = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
	_Alignas(64) float lane[16 * MOST_LANES];
	__m512i at, byte;
	uint32_t j, c;

	for (j = 0; j < 32; j++)
		_mm512_store_ps(lane + 16 * j, combine(sums, w, j, j, sum, bits, fold));
	for (c = 0; c < 512 / fold; c += 16) {
		byte = _mm512_srli_epi32(_mm512_add_epi32(_mm512_set1_epi32((int)c), ramp), 3);
		at = _mm512_slli_epi32(_mm512_and_si512(ramp, _mm512_set1_epi32(7)), 6);
		at = _mm512_add_epi32(at, _mm512_slli_epi32(_mm512_and_si512(byte, _mm512_set1_epi32(12)), 2));
		at = _mm512_add_epi32(at, _mm512_slli_epi32(_mm512_srli_epi32(byte, 4), 2));
		at = _mm512_add_epi32(at, _mm512_and_si512(byte, _mm512_set1_epi32(3)));
		_mm512_store_ps(to + c, _mm512_i32gather_ps(at, lane, 4));
	}
}

LEVELS_INLINE void order(const struct chunk_sums *sums, int w, int64_t sum, uint32_t bits, uint32_t fold, float *to)
{
	switch (levels_vectors(bits)) {
	case 1:
		order_1(sums, w, sum, bits, to);
		break;
	case 2:
		order_2(sums, w, sum, bits, fold, to);
		break;
	case 4:
		order_4(sums, w, sum, bits, fold, to);
		break;
	default:
		order_8(sums, w, sum, bits, fold, to);
	}
}

#endif
