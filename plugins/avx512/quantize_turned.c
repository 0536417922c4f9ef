/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Levels, sums and bytes of sixteen turned rows. Thresholds are looked up before they are multiplied by the sigma of
 * the lane: the same product. Fields collect in a dword of each row, and are turned back to rows by four dwords.
 */

#include "dwords.h"
#include "search.h"
#include "turned.h"

/* scale_thresholds() with a sigma for each lane; those of cells are multiplied when they are looked up */
AVX512_INLINE void lane_thresholds(const struct avx512_tables *tab, __m512 sigma, enum search how,
				   struct thresholds *th)
{
	switch (how) {
	case SEARCH_1:
		th->t[0] = _mm512_mul_ps(_mm512_set1_ps(tab->bounds[0]), sigma);
		return;
	case SEARCH_2:
		th->t[0] = _mm512_mul_ps(_mm512_set1_ps(tab->bounds[1]), sigma);
		th->t[1] = _mm512_mul_ps(_mm512_set1_ps(tab->bounds[0]), sigma);
		th->limit = _mm512_mul_ps(_mm512_set1_ps(tab->bounds[2]), sigma);
		return;
	default:
		th->t[0] = _mm512_loadu_ps(tab->at_cell);
		th->t[1] = _mm512_loadu_ps(tab->at_cell + 16);
		th->level[0] = _mm512_loadu_si512(tab->level);
		th->level[1] = _mm512_loadu_si512(tab->level + 16);
		th->to_cell = _mm512_div_ps(_mm512_set1_ps(tab->to_cell), sigma);
		th->limit = _mm512_mul_ps(_mm512_set1_ps(tab->limit), sigma);
	}
}

AVX512_INLINE __m512i lane_level(const struct avx512_tables *tab, const struct thresholds *th, enum search how,
				 __m512 sigma, __m512 y)
{
	__m512i cell;

	if (how != SEARCH_CELLS)
		return search_level(tab, th, how, y);
	cell = cell_of(th, y);
	return pass(_mm512_permutex2var_epi32(th->level[0], cell, th->level[1]), y,
		    _mm512_mul_ps(_mm512_permutex2var_ps(th->t[0], cell, th->t[1]), sigma), 1);
}

AVX512_INLINE void store_row(uint8_t *to, __mmask8 part, __m128i v)
{
	if (part == 15)
		_mm_storeu_si128((__m128i *)to, v);
	else
		_mm_mask_storeu_epi32(to, part, v);
}

/* Dwords of row 4 b + k, which are lanes of 128 bits b, to their place, 16 bytes at a time */
AVX512_INLINE void turn_out(const __m512i *dword, size_t n, uint8_t *to, size_t row_bytes)
{
	__m512i x[4];
	__mmask8 part;
	size_t i;
	int k;

	for (i = 0; i < n; i += 4, to += 16) {
		part = (__mmask8)lanes(n - i < 4 ? n - i : 4);
		turn_four(dword[i], dword[i + 1], dword[i + 2], dword[i + 3], x);
#pragma GCC unroll 4
		for (k = 0; k < 4; k++) {
			store_row(to + (size_t)k * row_bytes, part, _mm512_castsi512_si128(x[k]));
			store_row(to + (size_t)(k + 4) * row_bytes, part, _mm512_extracti32x4_epi32(x[k], 1));
			store_row(to + (size_t)(k + 8) * row_bytes, part, _mm512_extracti32x4_epi32(x[k], 2));
			store_row(to + (size_t)(k + 12) * row_bytes, part, _mm512_extracti32x4_epi32(x[k], 3));
		}
	}
}

/* Levels, sums and bytes */
AVX512_INLINE void quantize_turned(const struct tq_plan *plan, const struct avx512_tables *tab, struct turned *t,
				   __m512 sigma, uint8_t *codes, enum search how, int bits)
{
	__m512i one[TURNED_DIM_MAX / 32 + 3], two[TURNED_DIM_MAX / 16 + 3], four[TURNED_DIM_MAX / 8 + 3];
	__m512i part1 = _mm512_setzero_si512(), part2 = part1, part4 = part1, level;
	const __m512 odds = _mm512_loadu_ps(tab->odd);
	const struct tq_section *s = plan->layout.section;
	size_t d = plan->dim, row_bytes = plan->layout.row_bytes, at;
	struct thresholds th;
	__m512 yc[16], cc = _mm512_setzero_ps(), odd, y;
	int i;

	lane_thresholds(tab, sigma, how, &th);
#pragma GCC unroll 16
	for (i = 0; i < 16; i++)
		yc[i] = _mm512_setzero_ps();
	for (at = 0; at < d; at += 16) {
		fetch_lines(t);
#pragma GCC unroll 16
		for (i = 0; i < 16; i++) {
			y = t->y[at + (size_t)i];
			level = lane_level(tab, &th, how, sigma, y);
			odd = _mm512_permutexvar_ps(level, odds);
			yc[i] = _mm512_add_ps(yc[i], _mm512_mul_ps(y, odd));
			cc = _mm512_fmadd_ps(odd, odd, cc);
			/* a field enters at the top and moves down */
			if (bits & 4)
				part4 = _mm512_shrdi_epi32(part4, level, 4);
			if (bits & 2)
				part2 = _mm512_shrdi_epi32(part2, level, 2);
			if (bits & 1)
				part1 = _mm512_shrdi_epi32(part1, bits == 1 ? level : _mm512_srli_epi32(level, 2), 1);
			if (i % 8 == 7)
				four[(at + (size_t)i) / 8] = part4;
		}
		two[at / 16] = part2;
		one[at / 32] = part1;
	}
	if (bits & 1)
		turn_out(one, d / 32, codes + s++->at, row_bytes);
	if (bits & 2)
		turn_out(two, d / 16, codes + s++->at, row_bytes);
	if (bits & 4)
		turn_out(four, d / 8, codes + s->at, row_bytes);
#pragma GCC unroll 16
	for (i = 0; i < 16; i++)
		t->yc[i] = yc[i];
	t->cc = cc;
}

#define QUANTIZE_TURNED(name, how, bits)                                                                             \
	static void name(const struct tq_plan *plan, const struct avx512_tables *tab, struct turned *t,              \
			 __m512 sigma, uint8_t *codes)                                                               \
	{                                                                                                            \
		quantize_turned(plan, tab, t, sigma, codes, how, bits);                                              \
	}

QUANTIZE_TURNED(quantize_1, SEARCH_1, 1)
QUANTIZE_TURNED(quantize_2, SEARCH_2, 2)
QUANTIZE_TURNED(quantize_3, SEARCH_CELLS, 3)
QUANTIZE_TURNED(quantize_4, SEARCH_CELLS, 4)

void avx512_quantize_turned(const struct tq_plan *plan, const struct avx512_tables *tab, struct turned *t,
			    __m512 sigma, uint8_t *codes)
{
	static void (*const by_bits[])(const struct tq_plan *plan, const struct avx512_tables *tab, struct turned *t,
				       __m512 sigma, uint8_t *codes) = {
		quantize_1, quantize_2, quantize_3, quantize_4,
	};

	by_bits[plan->index_bits - 1](plan, tab, t, sigma, codes);
}
