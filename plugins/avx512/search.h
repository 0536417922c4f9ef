/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_AVX512_SEARCH_H
#define TQ_AVX512_SEARCH_H

/*
 * The level of 16 rotated coordinates: how many thresholds bound_k * r are <= y.
 *
 *	1, 2 bits	compare, pick the next threshold by the mask, compare
 *	3, 4 bits	by cell: the number of the cell, as the low bits of a float near 1.5 * 2^23,
 *looks up the one threshold that the cell may hold and the level below it up to 5 bits	binary
 *search in two registers, for codebooks with narrow levels too 6 bits and up	by cell, with
 *gathers, as many thresholds as a cell may hold
 */

#include "lanes.h"

enum search {
	SEARCH_1,
	SEARCH_2,
	SEARCH_CELLS,
	SEARCH_SPLIT,
	SEARCH_WIDE,
};

/** struct thresholds - the codebook's bounds times the row's sigma (and multiplier) */
struct thresholds {
	__m512 t[2];
	__m512i level[2];
	__m512 to_cell;
	__m512 limit;
	float bounds[256];
};

/* The float whose low mantissa bits are 16 + x, for small whole x */
#define CELL_BIAS (12582912.0f + 16.0f)

/**
 * scale_thresholds - thresholds of a row
 * @to_cell: tab->to_cell / sigma
 */
AVX512_INLINE void scale_thresholds(const struct avx512_tables *tab, float sigma, float to_cell,
				    enum search how, struct thresholds *th)
{
	const float *bounds = how == SEARCH_CELLS ? tab->at_cell : tab->bounds;
	__m512 s = _mm512_set1_ps(sigma);
	uint32_t k;

	switch (how) {
	case SEARCH_1:
		th->t[0] = _mm512_set1_ps(tab->bounds[0] * sigma);
		return;
	case SEARCH_2:
		th->t[0] = _mm512_set1_ps(tab->bounds[1] * sigma);
		th->t[1] = _mm512_set1_ps(tab->bounds[0] * sigma);
		th->limit = _mm512_set1_ps(tab->bounds[2] * sigma);
		return;
	case SEARCH_WIDE:
		th->to_cell = _mm512_set1_ps(to_cell);
		for (k = 0; k < 256; k += 16)
			_mm512_storeu_ps(th->bounds + k,
					 _mm512_mul_ps(_mm512_loadu_ps(tab->bounds + k), s));
		return;
	default:
		th->t[0] = _mm512_mul_ps(_mm512_loadu_ps(bounds), s);
		th->t[1] = _mm512_mul_ps(_mm512_loadu_ps(bounds + 16), s);
		if (how == SEARCH_SPLIT)
			return;
		th->level[0] = _mm512_loadu_si512(tab->level);
		th->level[1] = _mm512_loadu_si512(tab->level + 16);
		th->to_cell = _mm512_set1_ps(to_cell);
		th->limit = _mm512_set1_ps(tab->limit * sigma);
		return;
	}
}

/* One level up where the threshold is reached */
AVX512_INLINE __m512i pass(__m512i level, __m512 y, __m512 threshold, int up)
{
	__mmask16 reached = _mm512_cmp_ps_mask(y, threshold, _CMP_GE_OQ);

	return _mm512_mask_add_epi32(level, reached, level, _mm512_set1_epi32(up));
}

AVX512_INLINE __m512i search_2(const struct thresholds *th, __m512 y)
{
	__mmask16 top = _mm512_cmp_ps_mask(y, th->t[0], _CMP_GE_OQ);
	__m512i level = _mm512_maskz_set1_epi32(top, 2);

	return pass(level, y, _mm512_mask_blend_ps(top, th->t[1], th->limit), 1);
}

/* The number of the cell, 32 of which a permutation of two registers tells apart */
AVX512_INLINE __m512i cell_of(const struct thresholds *th, __m512 y)
{
	__m512 near = _mm512_range_ps(y, th->limit, 2);

	return _mm512_castps_si512(_mm512_fmadd_ps(near, th->to_cell, _mm512_set1_ps(CELL_BIAS)));
}

AVX512_INLINE __m512i search_cells(const struct thresholds *th, __m512 y)
{
	__m512i cell = cell_of(th, y);

	return pass(_mm512_permutex2var_epi32(th->level[0], cell, th->level[1]), y,
		    _mm512_permutex2var_ps(th->t[0], cell, th->t[1]), 1);
}

AVX512_INLINE __m512i search_split(const struct thresholds *th, __m512 y)
{
	__m512i level = _mm512_setzero_si512(), at;
	int step;

#pragma GCC unroll 5
	for (step = 16; step > 0; step /= 2) {
		at = _mm512_add_epi32(level, _mm512_set1_epi32(step - 1));
		level = pass(level, y, _mm512_permutex2var_ps(th->t[0], at, th->t[1]), step);
	}
	return level;
}

AVX512_INLINE __m512i search_wide(const struct avx512_tables *tab, const struct thresholds *th,
				  __m512 y)
{
	__m512 cell = _mm512_add_ps(_mm512_mul_ps(y, th->to_cell),
				    _mm512_set1_ps((float)(AVX512_WIDE_CELLS / 2)));
	__m512i level;
	uint32_t s;

	cell = _mm512_max_ps(cell, _mm512_setzero_ps());
	cell = _mm512_min_ps(cell, _mm512_set1_ps((float)(AVX512_WIDE_CELLS - 1)));
	level = _mm512_i32gather_epi32(_mm512_cvttps_epi32(cell), tab->first, 4);
	for (s = 0; s < tab->steps; s++)
		level = pass(level, y, _mm512_i32gather_ps(level, th->bounds, 4), 1);
	return level;
}

/** search_level - the level numbers of @y */
AVX512_INLINE __m512i search_level(const struct avx512_tables *tab, const struct thresholds *th,
				   enum search how, __m512 y)
{
	switch (how) {
	case SEARCH_1:
		return pass(_mm512_setzero_si512(), y, th->t[0], 1);
	case SEARCH_2:
		return search_2(th, y);
	case SEARCH_CELLS:
		return search_cells(th, y);
	case SEARCH_SPLIT:
		return search_split(th, y);
	default:
		return search_wide(tab, th, y);
	}
}

#endif
