/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_AVX2_TRELLIS_H
#define TQ_AVX2_TRELLIS_H

/*
 * Trellis codes: tables, and 64 coordinates from their windows, as ../simd/trellis_lanes.h has them, two lanes
 * to a register.
 *
 * A shuffle looks up 16 bytes by four bits, and gives 0 where the top bit is set. So 128 levels take eight
 * shuffles, each by an index 16 smaller than the one before: the first looks up level i mod 16, every
 * further one turns it, by an xor, into that of 16 states further on, until the index is below 0.
 */

#include "lanes.h"
#include "../simd/trellis_lanes.h"

/**
 * struct trellis_tables - state of the drivers
 * @grid:   (level + 127) / 2 of the states whose top bit is clear; from 16 on xored with that of 16 states
 *          before, but for number 128 to 143
 * @target, @level: see search_tables()
 */
struct trellis_tables {
	struct trellis_lanes lanes;
	uint8_t grid[256] __attribute__((aligned(32)));
	int16_t target[TQ_TRELLIS_STATES] __attribute__((aligned(32)));
	int16_t level[TQ_TRELLIS_STATES + 32];
};

int avx2_trellis_create(const struct tq_host *host, const struct tq_plan *plan, void **state);
void avx2_trellis_destroy(const struct tq_host *host, void *state);

/** avx2_trellis_search_tables - what a search wants of the tables */
void avx2_trellis_search_tables(const struct tq_plan *plan, struct trellis_tables *t);

/** avx2_trellis_together - rows that a search works on at once: 1 or 2 */
size_t avx2_trellis_together(const struct tq_plan *plan);

/** avx2_trellis_search - scalar's: the bits of least error of so many rows, or of one */
void avx2_trellis_search(const struct tq_plan *plan, const struct trellis_tables *t, const float *const *y,
			 const float *r, size_t rows, uint8_t *const *row);

AVX2_INLINE __m256i trellis_table(const struct trellis_tables *t, unsigned k)
{
	return _mm256_broadcastsi128_si256(_mm_load_si128((const __m128i *)t->grid + k));
}

/* States of 32 coordinates without their top bits, which go to @sign as 0 or -1 */
AVX2_INLINE __m256i trellis_states(const struct trellis_lanes *t, const uint8_t *field, size_t lane, unsigned window,
				   __m256i *sign)
{
	const __m256i factor = _mm256_broadcastsi128_si256(_mm_load_si128((const __m128i *)t->factor));
	__m256i first, x, a, b, sa, sb;

	x = _mm256_inserti128_si256(
		_mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)(field + t->at[lane]))),
		_mm_loadu_si128((const __m128i *)(field + t->at[lane + 1])), 1);
	first = _mm256_set1_epi8((char)field[t->begin[lane]]);
	x = _mm256_blendv_epi8(x, first, _mm256_load_si256((const __m256i *)t->first[lane]));
	a = _mm256_shuffle_epi8(x, _mm256_load_si256((const __m256i *)t->order[0][lane]));
	b = _mm256_shuffle_epi8(x, _mm256_load_si256((const __m256i *)t->order[1][lane]));
	a = _mm256_mullo_epi16(a, factor);
	b = _mm256_mullo_epi16(b, factor);
	sa = _mm256_srai_epi16(a, 15);
	sb = _mm256_srai_epi16(b, 15);
	*sign = _mm256_packs_epi16(sa, sb);
	a = _mm256_srli_epi16(_mm256_xor_si256(a, sa), 16 - (int)window);
	b = _mm256_srli_epi16(_mm256_xor_si256(b, sb), 16 - (int)window);
	return _mm256_packus_epi16(a, b);
}

/* Levels of @state 128 @half .. in two registers */
AVX2_INLINE void trellis_look_up(const struct trellis_tables *t, __m256i x, __m256i y, unsigned half, __m256i *grid)
{
	const __m256i step = _mm256_set1_epi8(16);
	__m256i table = trellis_table(t, 8 * half);
	unsigned k;

	grid[0] = _mm256_shuffle_epi8(table, x);
	grid[1] = _mm256_shuffle_epi8(table, y);
#pragma GCC unroll 8
	for (k = 1; k < 8; k++) {
		table = trellis_table(t, 8 * half + k);
		x = _mm256_sub_epi8(x, step);
		y = _mm256_sub_epi8(y, step);
		grid[0] = _mm256_xor_si256(grid[0], _mm256_shuffle_epi8(table, x));
		grid[1] = _mm256_xor_si256(grid[1], _mm256_shuffle_epi8(table, y));
	}
}

/**
 * trellis_grid - (level + 127) / 2 of the 64 coordinates from @lane on, 0 .. 127; those past the row's end are
 * anything
 * @field: as lanes_field() gives it
 */
AVX2_INLINE void trellis_grid(const struct trellis_tables *t, const uint8_t *field, size_t lane, unsigned window,
			      __m256i *grid)
{
	const __m256i low = _mm256_set1_epi8(127);
	__m256i sign[2], x, y, high[2];

	x = trellis_states(&t->lanes, field, lane, window, &sign[0]);
	y = trellis_states(&t->lanes, field, lane + 2, window, &sign[1]);
	if (window == 8) {
		trellis_look_up(t, x, y, 0, grid);
	} else {
		trellis_look_up(t, _mm256_and_si256(x, low), _mm256_and_si256(y, low), 0, grid);
		trellis_look_up(t, _mm256_and_si256(x, low), _mm256_and_si256(y, low), 1, high);
		grid[0] = _mm256_blendv_epi8(grid[0], high[0], x);
		grid[1] = _mm256_blendv_epi8(grid[1], high[1], y);
	}
	grid[0] = _mm256_xor_si256(grid[0], _mm256_and_si256(sign[0], low));
	grid[1] = _mm256_xor_si256(grid[1], _mm256_and_si256(sign[1], low));
}

/** trellis_row - all of a row, to @to: lanes_padded() bytes, aligned to 32 */
AVX2_INLINE void trellis_row(const struct tq_plan *plan, const struct trellis_tables *t, const uint8_t *row,
			     uint8_t *to)
{
	uint8_t room[16] __attribute__((aligned(16)));
	const uint8_t *field = lanes_field(&t->lanes, row, room);
	__m256i grid[2];
	size_t lane;

	for (lane = 0; TRELLIS_LANE * lane < plan->dim; lane += TRELLIS_GROUP, to += 64) {
		if (plan->window == 8)
			trellis_grid(t, field, lane, 8, grid);
		else
			trellis_grid(t, field, lane, 9, grid);
		_mm256_store_si256((__m256i *)to, grid[0]);
		_mm256_store_si256((__m256i *)to + 1, grid[1]);
	}
}

/** trellis_odd - level numbers of eight coordinates */
AVX2_INLINE __m256i trellis_odd(const uint8_t *grid)
{
	__m256i g = widen8u(grid);

	return _mm256_sub_epi32(_mm256_add_epi32(g, g), _mm256_set1_epi32(127));
}

#endif
