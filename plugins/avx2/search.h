/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_AVX2_SEARCH_H
#define TQ_AVX2_SEARCH_H

/*
 * The levels of eight rotated coordinates at a time, FORMAT.md section 4 step 7. Which level it is
 * is always decided by a comparison with the very threshold, bounds[k] * sigma.
 *
 * SEARCH_SPLIT, up to 4 bits: binary search in registers. After s - 1 comparisons the prefix p of
 * the index is known, kept as -p (comparisons give -1), and the next threshold, bounds[(2p + 1) *
 * 2^(b - s) - 1], is fetched by one permutation whose selector is -p modulo 8.
 *
 * SEARCH_FOLD, 4 bits: the sign, then seven thresholds of magnitudes. 0.5 + |y| * to_cell has its
 * exponent and two bits of mantissa in front: four cells of one width below 1, then three of twice
 * that, each with one threshold. So the number of the cell, 504 .. 510, and one comparison give 504
 * + the level of the magnitude, the last four bits of which are the index, inverted for y < 0.
 * There y = -t reaches the threshold and y < -t does not, so a magnitude is compared one unit
 * smaller.
 *
 * SEARCH_CELL, from 5 bits: upwards from the first level of the cell of y; ../simd/cells.h.
 */

#include "lanes.h"

enum search { SEARCH_SPLIT, SEARCH_FOLD, SEARCH_CELL };

/** Where SEARCH_FOLD's cells begin, and a place within the last one */
#define FOLD_FIRST 0.5f
#define FOLD_LAST 1.625f

/**
 * struct thresholds - those of one row: bounds times its sigma (and multiplier)
 * @middle, @split: SEARCH_SPLIT: as in struct avx2_tables
 * @magnitude:      SEARCH_FOLD: by cell modulo 8
 * @to_cell:        cells per unit of y
 * @bounds:         SEARCH_CELL: all of them
 */
struct thresholds {
	__m256 middle;
	__m256 split[3];
	__m256 magnitude;
	__m256 to_cell;
	const float *bounds;
};

/**
 * struct found - what a search finds
 * @level: lanes for level_bytes()
 * @x, @odd: y * odd = @x * @odd; @odd^2 is that of the level
 */
struct found {
	__m256i level;
	__m256 x;
	__m256 odd;
};

/** scale_thresholds - @room: for SEARCH_CELL, 256 floats */
AVX2_INLINE void scale_thresholds(const struct avx2_tables *tab, float sigma, enum search how,
				  uint32_t bits, float *room, struct thresholds *th)
{
	__m256 s = _mm256_set1_ps(sigma);
	uint32_t k;

	if (how == SEARCH_SPLIT) {
		th->middle = _mm256_set1_ps(tab->middle * sigma);
		for (k = 0; k + 1 < bits; k++)
			th->split[k] = _mm256_mul_ps(_mm256_loadu_ps(tab->split[k]), s);
		return;
	}
	th->to_cell = _mm256_set1_ps(tab->to_cell / sigma);
	if (how == SEARCH_FOLD) {
		th->magnitude = _mm256_mul_ps(_mm256_loadu_ps(tab->magnitude), s);
		return;
	}
	th->bounds = room;
	for (k = 0; k < 1u << bits; k += 8)
		_mm256_storeu_ps(room + k, _mm256_mul_ps(_mm256_loadu_ps(tab->bounds + k), s));
}

AVX2_INLINE __m256i at_least(__m256 y, __m256 threshold)
{
	return _mm256_castps_si256(_mm256_cmp_ps(y, threshold, _CMP_GE_OQ));
}

AVX2_INLINE struct found find_split(const struct avx2_tables *tab, const struct thresholds *th,
				    __m256 y, uint32_t bits)
{
	__m256i top = at_least(y, th->middle), level = top, ge;
	struct found f;
	uint32_t s;

#pragma GCC unroll 3
	for (s = 0; s + 1 < bits; s++) {
		ge = at_least(y, _mm256_permutevar8x32_ps(th->split[s], level));
		level = _mm256_add_epi32(_mm256_add_epi32(level, level), ge);
	}
	f.level = level;
	f.x = y;
	f.odd = _mm256_permutevar8x32_ps(_mm256_loadu_ps(tab->odd_low), level);
	if (bits == 4)
		f.odd = _mm256_blendv_ps(
			f.odd, _mm256_permutevar8x32_ps(_mm256_loadu_ps(tab->odd_high), level),
			_mm256_castsi256_ps(top));
	return f;
}

/* The magnitude of y, and what is compared with thresholds in its place */
AVX2_INLINE __m256 fold(__m256 y, __m256i *negative, __m256 *below)
{
	__m256 x = _mm256_and_ps(y, _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff)));

	*negative = _mm256_castps_si256(_mm256_cmp_ps(y, _mm256_setzero_ps(), _CMP_LT_OQ));
	*below = _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(x), *negative));
	return x;
}

/* 504 + the level of the magnitude */
AVX2_INLINE __m256i find_magnitude(const struct thresholds *th, __m256 x, __m256 below)
{
	__m256 place = _mm256_fmadd_ps(x, th->to_cell, _mm256_set1_ps(FOLD_FIRST));
	__m256i cell;

	place = _mm256_min_ps(place, _mm256_set1_ps(FOLD_LAST));
	cell = _mm256_srli_epi32(_mm256_castps_si256(place), 21);
	return _mm256_sub_epi32(cell,
				at_least(below, _mm256_permutevar8x32_ps(th->magnitude, cell)));
}

AVX2_INLINE struct found find_fold(const struct avx2_tables *tab, const struct thresholds *th,
				   __m256 y)
{
	__m256i negative;
	struct found f;
	__m256 below;

	f.x = fold(y, &negative, &below);
	f.level = find_magnitude(th, f.x, below);
	f.odd = _mm256_permutevar8x32_ps(_mm256_loadu_ps(tab->odd + 8), f.level);
	f.level = _mm256_xor_si256(f.level, negative);
	return f;
}

AVX2_INLINE struct found find_cell(const struct avx2_tables *tab, const struct thresholds *th,
				   __m256 y, int want_odd)
{
	__m256 cell = _mm256_add_ps(_mm256_mul_ps(y, th->to_cell),
				    _mm256_set1_ps((float)(AVX2_CELLS / 2)));
	struct found f = {.x = y};
	uint32_t s;

	cell = _mm256_max_ps(cell, _mm256_setzero_ps());
	cell = _mm256_min_ps(cell, _mm256_set1_ps((float)(AVX2_CELLS - 1)));
	f.level =
		_mm256_castps_si256(gather8f((const float *)tab->first, _mm256_cvttps_epi32(cell)));
	for (s = 0; s < tab->steps; s++)
		f.level = _mm256_sub_epi32(f.level, at_least(y, gather8f(th->bounds, f.level)));
	if (want_odd)
		f.odd = gather8f(tab->odd, f.level);
	return f;
}

AVX2_INLINE struct found find_levels(const struct avx2_tables *tab, const struct thresholds *th,
				     __m256 y, enum search how, uint32_t bits, int want_odd)
{
	if (how == SEARCH_SPLIT)
		return find_split(tab, th, y, bits);
	if (how == SEARCH_FOLD)
		return find_fold(tab, th, y);
	return find_cell(tab, th, y, want_odd);
}

/** level_bytes - the index bytes of 32 coordinates from what four searches found */
AVX2_INLINE __m256i level_bytes(const __m256i *level, enum search how)
{
	const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7),
		      last = _mm256_set1_epi16(15);
	__m256i low = _mm256_packs_epi32(level[0], level[1]);
	__m256i high = _mm256_packs_epi32(level[2], level[3]);

	if (how == SEARCH_SPLIT)
		return _mm256_abs_epi8(
			_mm256_permutevar8x32_epi32(_mm256_packs_epi16(low, high), order));
	if (how == SEARCH_FOLD) {
		low = _mm256_and_si256(low, last);
		high = _mm256_and_si256(high, last);
	}
	return _mm256_permutevar8x32_epi32(_mm256_packus_epi16(low, high), order);
}

#endif
