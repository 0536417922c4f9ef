/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_AVX2_WEIGHTS_H
#define TQ_AVX2_WEIGHTS_H

/*
 * What weighted sums of coded rows have in common, whatever the code: weights to integers (FORMAT.md section
 * 8), four rows of level bytes interleaved, and products of those. Included once by each of attend.c and
 * trellis_attend.c.
 */

#include "levels.h"

/* Groups of four rows in a tile, and registers that a group becomes per plane of levels */
#define TILE_GROUPS 32
#define REGISTERS 8
#define MOST_WEIGHTS 16

/* The integer weights of a call: hi and lo planes, a byte per row, and their sums */
struct weights {
	_Alignas(32) int8_t plane[MOST_WEIGHTS][2][TQ_MIX_ROWS + 32];
	int64_t sum[MOST_WEIGHTS];
	float unit[MOST_WEIGHTS];
};

/* Sums of one chunk: [plane of levels][weight][plane of weights][register] */
struct chunk_sums {
	__m256i at[2][MOST_WEIGHTS][2][REGISTERS];
};

/* 32 of a_t to integers, and those to planes; returns sums of them */
AVX2_INLINE __m256i split_32(const __m256 *a, float inv, int8_t *hi, int8_t *lo)
{
	/* packing leaves dword k of 128 bits L at 4 L + k: it belongs at 2 k + L */
	const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
	__m256i q[4], x[2], h[2], l[2];
	int i;

	for (i = 0; i < 4; i++)
		q[i] = _mm256_cvtps_epi32(_mm256_mul_ps(a[i], _mm256_set1_ps(inv)));
	for (i = 0; i < 2; i++) {
		x[i] = _mm256_packs_epi32(q[2 * i], q[2 * i + 1]);
		h[i] = _mm256_srai_epi16(_mm256_add_epi16(x[i], _mm256_set1_epi16(64)), 7);
		l[i] = _mm256_sub_epi16(x[i], _mm256_slli_epi16(h[i], 7));
	}
	_mm256_store_si256((__m256i *)hi, _mm256_permutevar8x32_epi32(_mm256_packs_epi16(h[0], h[1]), order));
	_mm256_store_si256((__m256i *)lo, _mm256_permutevar8x32_epi32(_mm256_packs_epi16(l[0], l[1]), order));
	return _mm256_add_epi32(_mm256_add_epi32(q[0], q[1]), _mm256_add_epi32(q[2], q[3]));
}

/* One weight: a_t = weight_t * scale_t to integers, as scalar does it; returns what one unit is worth */
static float quantize(const float *weights, const float *scale, size_t n,
		      struct weights *to, int w)
{
	const __m256 sign = _mm256_set1_ps(-0.0f);
	__m256i sum = _mm256_setzero_si256();
	float lane[8], most = 0.0f, inv;
	__m256 top = _mm256_setzero_ps(), a[TQ_MIX_ROWS / 8];
	size_t t;

	for (t = 0; t < n; t += 8) {
		a[t / 8] = _mm256_mul_ps(part8f(weights + t, (ptrdiff_t)(n - t)),
					 part8f(scale + t, (ptrdiff_t)(n - t)));
		top = _mm256_max_ps(top, _mm256_andnot_ps(sign, a[t / 8]));
	}
	_mm256_storeu_ps(lane, top);
	for (t = 0; t < 8; t++)
		most = lane[t] > most ? lane[t] : most;
	if (!(most >= TQ_MIX_TINY))
		most = 0.0f;
	inv = most > 0.0f ? (float)TQ_MIX_TOP / most : 0.0f;
	for (t = (n + 7) / 8 * 8; t % 32; t += 8)
		a[t / 8] = _mm256_setzero_ps();
	for (t = 0; t < n; t += 32)
		sum = _mm256_add_epi32(sum, split_32(a + t / 8, inv, to->plane[w][0] + t, to->plane[w][1] + t));
	to->sum[w] = sum_i64(_mm256_add_epi64(_mm256_cvtepi32_epi64(_mm256_castsi256_si128(sum)),
					      _mm256_cvtepi32_epi64(_mm256_extracti128_si256(sum, 1))));
	return most / (float)TQ_MIX_TOP;
}

/* Bytes of four registers side by side: dword 4 L + k of the m-th result is byte 16 L + 4 m + k of each */
AVX2_INLINE void interleave(const __m256i *row, __m256i *to)
{
	__m256i ab0 = _mm256_unpacklo_epi8(row[0], row[1]), ab1 = _mm256_unpackhi_epi8(row[0], row[1]);
	__m256i cd0 = _mm256_unpacklo_epi8(row[2], row[3]), cd1 = _mm256_unpackhi_epi8(row[2], row[3]);

	_mm256_store_si256(to, _mm256_unpacklo_epi16(ab0, cd0));
	_mm256_store_si256(to + 1, _mm256_unpackhi_epi16(ab0, cd0));
	_mm256_store_si256(to + 2, _mm256_unpacklo_epi16(ab1, cd1));
	_mm256_store_si256(to + 3, _mm256_unpackhi_epi16(ab1, cd1));
}

/* Registers @j and @j + 1 of a tile times @nw weights of two planes */
AVX2_INLINE void add_products(__m256i (*tile)[2 * REGISTERS], size_t j, size_t groups,
			      const struct weights *w, int first, int nw, size_t at, __m256i (*sums)[REGISTERS])
{
	const int8_t *weight = w->plane[first][0] + at;
	__m256i a[4], b[4], x, y, q;
	int32_t four;
	size_t g;
	int i;

	for (i = 0; i < 2 * nw; i++) {
		a[i] = sums[i][j % REGISTERS];
		b[i] = sums[i][j % REGISTERS + 1];
	}
	for (g = 0; g < groups; g++, weight += 4) {
		x = _mm256_load_si256(tile[g] + j);
		y = _mm256_load_si256(tile[g] + j + 1);
		for (i = 0; i < 2 * nw; i++) {
			memcpy(&four, weight + (size_t)i * sizeof(w->plane[0][0]), sizeof(four));
			q = _mm256_set1_epi32(four);
			a[i] = dot_add(a[i], x, q);
			b[i] = dot_add(b[i], y, q);
		}
	}
	for (i = 0; i < 2 * nw; i++) {
		sums[i][j % REGISTERS] = a[i];
		sums[i][j % REGISTERS + 1] = b[i];
	}
}

/* All products of @registers of a tile, whose first row is number @first */
AVX2_INLINE void add_registers(__m256i (*tile)[2 * REGISTERS], size_t registers, size_t groups, const struct weights *w,
			       int nw, size_t first, struct chunk_sums *sums)
{
	size_t j;
	int i;

	for (j = 0; j < registers; j += 2) {
		for (i = 0; i + 2 <= nw; i += 2)
			add_products(tile, j, groups, w, i, 2, first, sums->at[j / REGISTERS][i]);
		if (i < nw)
			add_products(tile, j, groups, w, i, 1, first, sums->at[j / REGISTERS][i]);
	}
}

/* ... with @planes planes of levels */
AVX2_INLINE void add_tile(__m256i (*tile)[2 * REGISTERS], uint32_t planes, size_t groups, const struct weights *w, int nw,
			  size_t first, struct chunk_sums *sums)
{
	add_registers(tile, REGISTERS * planes, groups, w, nw, first, sums);
}

/* Four lanes of the sums of two planes less @off, in double */
AVX2_INLINE __m128 combine_wide4(const struct chunk_sums *s, int w, int j, int upper, double off)
{
#define PART(p, q)                                                                                 \
	_mm256_cvtepi32_pd(upper ? _mm256_extracti128_si256(s->at[p][w][q][j], 1)                   \
				 : _mm256_castsi256_si128(s->at[p][w][q][j]))
	__m256d v = _mm256_mul_pd(PART(0, 0), _mm256_set1_pd(16384.0));

	v = _mm256_add_pd(v, _mm256_mul_pd(_mm256_add_pd(PART(0, 1), PART(1, 0)), _mm256_set1_pd(128.0)));
	v = _mm256_add_pd(v, PART(1, 1));
#undef PART
	return _mm256_cvtpd_ps(_mm256_sub_pd(_mm256_add_pd(v, v), _mm256_set1_pd(off)));
}

/* f32(A) of register @j where levels have two planes, 2 (128 hi + lo) - beta; @off: beta times the weights */
AVX2_INLINE __m256 combine_wide(const struct chunk_sums *s, int w, int j, double off)
{
	return _mm256_insertf128_ps(_mm256_castps128_ps256(combine_wide4(s, w, j, 0, off)), combine_wide4(s, w, j, 1, off), 1);
}

#endif
