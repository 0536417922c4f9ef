/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_AVX512_WEIGHTS_H
#define TQ_AVX512_WEIGHTS_H

/*
 * What weighted sums of coded rows have in common, whatever the code: weights to integers (FORMAT.md section
 * 8), four rows of level bytes interleaved, and sums back to the order of coordinates. Included once by
 * each of attend.c, trellis_attend.c and radix_attend.c.
 */

#include "lanes.h"

#define MOST_WEIGHTS 16

/* The integer weights of a call: hi and lo planes, a byte per row, and their sums */
struct weights {
	_Alignas(64) int8_t plane[MOST_WEIGHTS][2][TQ_MIX_ROWS + 64];
	int64_t sum[MOST_WEIGHTS];
	float unit[MOST_WEIGHTS];
};

/* The scales of 16 rows that lie @row bytes apart, where one has four bytes or more */
AVX512_INLINE __m512 gather_scales(uint32_t dtype, const uint8_t *codes, __m512i at)
{
	__m512i x = _mm512_i32gather_epi32(at, codes, 1);

	if (dtype == TQ_F32)
		return _mm512_castsi512_ps(x);
	if (dtype == TQ_BF16)
		return _mm512_castsi512_ps(_mm512_slli_epi32(x, 16));
	return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(x));
}

static inline void load_scales(const struct tq_plan *plan, const uint8_t *codes, size_t n, float *scale)
{
	const __m512i ramp = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
	size_t row = plan->layout.row_bytes, t = 0;
	__m512i at = _mm512_mullo_epi32(ramp, _mm512_set1_epi32((int)row));

	for (; row >= 4 && t + 16 <= n; t += 16)
		_mm512_storeu_ps(scale + t, gather_scales(plan->scale, codes + t * row, at));
	for (; t < n; t++)
		scale[t] = tq_load_scale(plan, codes + t * row);
}

/* 64 of a_t to integers, and those to planes; returns sums of them */
AVX512_INLINE __m512i split_64(const __m512 *a, float inv, int8_t *hi, int8_t *lo)
{
	/* packing leaves dword k of 128 bits L at 4 L + k: it belongs at 4 k + L */
	const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
	__m512i q[4], x[2], h[2], l[2];
	int i;

#pragma GCC unroll 4
	for (i = 0; i < 4; i++)
		q[i] = _mm512_cvtps_epi32(_mm512_mul_ps(a[i], _mm512_set1_ps(inv)));
#pragma GCC unroll 2
	for (i = 0; i < 2; i++) {
		x[i] = _mm512_packs_epi32(q[2 * i], q[2 * i + 1]);
		h[i] = _mm512_srai_epi16(_mm512_add_epi16(x[i], _mm512_set1_epi16(64)), 7);
		l[i] = _mm512_sub_epi16(x[i], _mm512_slli_epi16(h[i], 7));
	}
	_mm512_store_si512(hi, _mm512_permutexvar_epi32(order, _mm512_packs_epi16(h[0], h[1])));
	_mm512_store_si512(lo, _mm512_permutexvar_epi32(order, _mm512_packs_epi16(l[0], l[1])));
	return _mm512_add_epi32(_mm512_add_epi32(q[0], q[1]), _mm512_add_epi32(q[2], q[3]));
}

/* One weight: a_t = weight_t * scale_t to integers, as scalar does it; returns what one unit is worth */
static inline float quantize(const float *weights, const float *scale, size_t n, struct weights *to, int w)
{
	__m512 top = _mm512_setzero_ps(), a[TQ_MIX_ROWS / 16];
	__m512i sum = _mm512_setzero_si512();
	size_t t, k;
	float most, inv;

	for (t = 0, k = 0; t < n; t += 16, k++) {
		a[k] = _mm512_mul_ps(_mm512_maskz_loadu_ps(lanes(n - t), weights + t),
				     _mm512_maskz_loadu_ps(lanes(n - t), scale + t));
		top = _mm512_max_ps(top, _mm512_abs_ps(a[k]));
	}
	most = _mm512_reduce_max_ps(top);
	inv = most >= TQ_MIX_TINY ? (float)TQ_MIX_TOP / most : 0.0f;
	for (; k % 4; k++)
		a[k] = _mm512_setzero_ps();
	for (t = 0; t < k; t += 4)
		sum = _mm512_add_epi32(sum, split_64(a + t, inv, to->plane[w][0] + 16 * t, to->plane[w][1] + 16 * t));
	to->sum[w] = _mm512_reduce_add_epi32(sum);
	return most >= TQ_MIX_TINY ? most / (float)TQ_MIX_TOP : 0.0f;
}

/* Row @t and three more of what lies behind the @n rows of a call: wanted next if it is another head's keys */
AVX512_INLINE void fetch_behind(size_t row, const uint8_t *codes, size_t n, size_t t)
{
	const char *at = (const char *)codes + (n + t) * row, *end = at + 4 * row;

	for (; at < end; at += 64)
		_mm_prefetch(at, _MM_HINT_T1);
}

/* Four rows: register m has, in dword j of 128 bits L, coordinate 16 L + 4 m + j of each */
AVX512_INLINE void interleave(const __m512i *row, __m512i *to)
{
	__m512i ab0 = _mm512_unpacklo_epi8(row[0], row[1]), ab1 = _mm512_unpackhi_epi8(row[0], row[1]);
	__m512i cd0 = _mm512_unpacklo_epi8(row[2], row[3]), cd1 = _mm512_unpackhi_epi8(row[2], row[3]);

	_mm512_store_si512(to, _mm512_unpacklo_epi16(ab0, cd0));
	_mm512_store_si512(to + 1, _mm512_unpackhi_epi16(ab0, cd0));
	_mm512_store_si512(to + 2, _mm512_unpacklo_epi16(ab1, cd1));
	_mm512_store_si512(to + 3, _mm512_unpackhi_epi16(ab1, cd1));
}

/* In each 128 bits of four registers: element i of register j to element j of register i */
AVX512_INLINE void turn_quarters(__m512 *x)
{
	__m512d ab0 = _mm512_castps_pd(_mm512_unpacklo_ps(x[0], x[1])), ab1 = _mm512_castps_pd(_mm512_unpackhi_ps(x[0], x[1]));
	__m512d cd0 = _mm512_castps_pd(_mm512_unpacklo_ps(x[2], x[3])), cd1 = _mm512_castps_pd(_mm512_unpackhi_ps(x[2], x[3]));

	x[0] = _mm512_castpd_ps(_mm512_unpacklo_pd(ab0, cd0));
	x[1] = _mm512_castpd_ps(_mm512_unpackhi_pd(ab0, cd0));
	x[2] = _mm512_castpd_ps(_mm512_unpacklo_pd(ab1, cd1));
	x[3] = _mm512_castpd_ps(_mm512_unpackhi_pd(ab1, cd1));
}

/* 128 bits L of four registers side by side, to the L-th of @a to @d */
AVX512_INLINE void store_quarters(const __m512 *x, float *a, float *b, float *c, float *d)
{
	__m512 ab0 = _mm512_shuffle_f32x4(x[0], x[1], 0x44), ab1 = _mm512_shuffle_f32x4(x[0], x[1], 0xee);
	__m512 cd0 = _mm512_shuffle_f32x4(x[2], x[3], 0x44), cd1 = _mm512_shuffle_f32x4(x[2], x[3], 0xee);

	_mm512_store_ps(a, _mm512_shuffle_f32x4(ab0, cd0, 0x88));
	_mm512_store_ps(b, _mm512_shuffle_f32x4(ab0, cd0, 0xdd));
	_mm512_store_ps(c, _mm512_shuffle_f32x4(ab1, cd1, 0x88));
	_mm512_store_ps(d, _mm512_shuffle_f32x4(ab1, cd1, 0xdd));
}

#endif
