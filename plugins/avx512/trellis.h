/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_AVX512_TRELLIS_H
#define TQ_AVX512_TRELLIS_H

/*
 * Trellis codes: tables, and 64 coordinates from their windows.
 *
 * The bytes of a segment lie in one register as a ring. A permutation gives each group of eight
 * coordinates eight bytes that begin where its first window does; a shift by another number of bits for
 * every byte brings the low eight bits of a coordinate's window to a byte of its own, and another shift
 * its top bit to the top of one:
 *
 *	ring	b0 b1 b2 ... 		4 bits: qword q begins at byte 4 q, byte c of it at bit 4 c
 *
 * A state and its complement have opposite levels, so the top bit is a sign, and states without it have
 * 128 levels, or 256 in two tables.
 */

#include "lanes.h"
#include "tq/trellis.h"

#define TRELLIS_DIM_MAX 4096
#define TRELLIS_UNIT 64
#define TRELLIS_UNITS (TRELLIS_DIM_MAX / TRELLIS_UNIT)

/**
 * struct trellis_unit - where 64 coordinates come from
 * @order: bytes of the ring for each of eight qwords
 * @mask:  bytes of the row that the ring has
 * @at:    where they begin
 */
struct trellis_unit {
	_Alignas(64) uint8_t order[64];
	uint64_t mask;
	size_t at;
	uint8_t pad[48];
};

/** Coordinates of a whole segment */
#define TRELLIS_SEGMENT 128

/**
 * struct trellis_whole - tables for rows of whole segments, see trellis_whole()
 * @grid:  for each of two kinds of coordinates: those of differences whose top bit is clear, and what to add to them
 *         modulo 2 if it is set
 * @order: bytes of the segment for each of eight qwords
 * @shift: of the windows of the coordinates of each register
 * @sign:  the same, the sign at the top of the byte
 * @place: where the coordinates of each register are
 */
struct trellis_whole {
	_Alignas(64) uint8_t grid[2][4][64];
	uint8_t order[64];
	uint8_t shift[2][64];
	uint8_t sign[2][64];
	uint8_t place[2][64];
};

/**
 * struct trellis_tables - state of the drivers
 * @grid:   (level + 127) / 2 of the states whose top bit is clear
 * @target, @level: see search_tables()
 * @transpose: order of costs that turns a register
 */
struct trellis_tables {
	uint8_t grid[256];
	uint8_t shift[64];
	uint8_t sign_shift[64];
	struct trellis_unit unit[TRELLIS_UNITS];
	int16_t target[TQ_TRELLIS_STATES];
	int16_t level[TQ_TRELLIS_STATES + 32];
	uint16_t transpose[32];
	struct trellis_whole whole;
};

int avx512_trellis_create(const struct tq_host *host, const struct tq_plan *plan, void **state);
void avx512_trellis_destroy(const struct tq_host *host, void *state);

/** avx512_trellis_together - rows that a search works on at once: 1 or 2 */
size_t avx512_trellis_together(const struct tq_plan *plan);

/** avx512_trellis_search_tables - what a search wants of the tables */
void avx512_trellis_search_tables(const struct tq_plan *plan, struct trellis_tables *t);

/**
 * avx512_trellis_search - scalar's: the bits of least error
 * @y, @r, @row: of each of @rows rows, as many as go together or one
 */
void avx512_trellis_search(const struct tq_plan *plan, const struct trellis_tables *t,
			   const float *const *y, const float *r, size_t rows, uint8_t *const *row);

/** struct trellis_lookup - the tables in registers */
struct trellis_lookup {
	__m512i grid[4], shift, sign_shift;
};

AVX512_INLINE struct trellis_lookup trellis_lookup_load(const struct trellis_tables *t)
{
	return (struct trellis_lookup){
		{ _mm512_load_si512(t->grid), _mm512_load_si512(t->grid + 64),
		  _mm512_load_si512(t->grid + 128), _mm512_load_si512(t->grid + 192) },
		_mm512_load_si512(t->shift),
		_mm512_load_si512(t->sign_shift),
	};
}

/**
 * trellis_grid - (level + 127) / 2 of the 64 coordinates of a unit, 0 .. 127; those past the row's end
 * are anything
 */
AVX512_INLINE __m512i trellis_grid(const struct trellis_lookup *l, const struct trellis_unit *u,
				   const uint8_t *row, unsigned window)
{
	__m512i ring = _mm512_maskz_loadu_epi8(u->mask, row + u->at);
	__m512i bits = _mm512_permutexvar_epi8(_mm512_load_si512(u->order), ring);
	__m512i state = _mm512_multishift_epi64_epi8(l->shift, bits), grid;
	__mmask64 sign = _mm512_movepi8_mask(
		window == 8 ? state : _mm512_multishift_epi64_epi8(l->sign_shift, bits));

	state = _mm512_mask_sub_epi8(state, sign, _mm512_set1_epi8(-1), state);
	grid = _mm512_permutex2var_epi8(l->grid[0], state, l->grid[1]);
	if (window == 9)
		grid = _mm512_mask_mov_epi8(grid, _mm512_movepi8_mask(state),
					    _mm512_permutex2var_epi8(l->grid[2], state, l->grid[3]));
	return _mm512_mask_sub_epi8(grid, sign, _mm512_set1_epi8(127), grid);
}

/** trellis_odd - level numbers of coordinates 16 @quarter .. of a unit, as float */
AVX512_INLINE __m512 trellis_odd(__m128i grid)
{
	__m512i g = _mm512_cvtepu8_epi32(grid);

	return _mm512_cvtepi32_ps(_mm512_sub_epi32(_mm512_add_epi32(g, g), _mm512_set1_epi32(127)));
}

/**
 * trellis_is_whole - are the segments of a row whole, and do they decode by trellis_whole()
 *
 * A coordinate's level is that of the differences of neighbouring bits in its window, 2^8 choices, with the sign of
 * any one bit f of the window: bits and their complements have the same differences. So the bits of a segment are
 * added modulo 2 to themselves, one on, and 64 coordinates take two look-ups of 128 entries, of which one is added
 * where the top difference is set, and one more sum for the sign.
 *
 * 4 bits: byte i of a segment begins the window of coordinate 2 i, and its upper half that of 2 i + 1. Its top bit
 * is bit 7 of the first window and bit 3 of the other, so one mask of signs serves both, with two tables:
 *
 *	register 0	coordinates 0, 2, 4, ...	windows at bits 0, 8, 16, ...
 *	register 1	coordinates 1, 3, 5, ...	the same, 4 on
 *
 * Fewer bits: eight qwords hold the windows of sixteen coordinates each, eight of them for either register.
 */
AVX512_INLINE int trellis_is_whole(const struct tq_plan *plan)
{
	return plan->window == 9 && plan->dim % TRELLIS_SEGMENT == 0;
}

struct trellis_whole_lookup {
	__m512i grid[2][4], order, shift[2], sign[2];
};

AVX512_INLINE struct trellis_whole_lookup trellis_whole_load(const struct trellis_tables *t)
{
	const struct trellis_whole *w = &t->whole;
	struct trellis_whole_lookup l;
	int i;

#pragma GCC unroll 4
	for (i = 0; i < 4; i++) {
		l.grid[0][i] = _mm512_load_si512(w->grid[0][i]);
		l.grid[1][i] = _mm512_load_si512(w->grid[1][i]);
	}
	l.order = _mm512_load_si512(w->order);
#pragma GCC unroll 2
	for (i = 0; i < 2; i++) {
		l.shift[i] = _mm512_load_si512(w->shift[i]);
		l.sign[i] = _mm512_load_si512(w->sign[i]);
	}
	return l;
}

/* Levels by differences; @sign: 127 where the sign bit is set, else 0 */
AVX512_INLINE __m512i trellis_of_differences(const __m512i *grid, __m512i y, __m512i sign)
{
	__m512i low = _mm512_permutex2var_epi8(grid[0], y, grid[1]);
	__m512i more = _mm512_maskz_permutex2var_epi8(_mm512_movepi8_mask(y), grid[2], y, grid[3]);

	return _mm512_ternarylogic_epi64(low, more, sign, 0x96);
}

AVX512_INLINE __m512i trellis_sign(__m512i top)
{
	return _mm512_maskz_mov_epi8(_mm512_movepi8_mask(top), _mm512_set1_epi8(127));
}

/** trellis_whole - (level + 127) / 2 of the coordinates of segment @p in two registers */
AVX512_INLINE void trellis_whole(const struct trellis_whole_lookup *l, const uint8_t *p, unsigned bits, __m512i *grid)
{
	__m512i x, y, next, sign;
	int i;

	if (bits == 4) {
		x = _mm512_loadu_si512(p);
		next = _mm512_alignr_epi64(x, x, 1);
		y = _mm512_xor_si512(x, _mm512_shrdi_epi64(x, next, 1));
		next = _mm512_alignr_epi64(y, y, 1);
		sign = trellis_sign(x);
		grid[0] = trellis_of_differences(l->grid[0], y, sign);
		grid[1] = trellis_of_differences(l->grid[1], _mm512_shrdi_epi64(y, next, 4), sign);
		return;
	}
	if (bits == 3)
		x = _mm512_maskz_loadu_epi64(0x3f, p);
	else if (bits == 2)
		x = _mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)(const void *)p));
	else
		x = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)(const void *)p));
	x = _mm512_permutexvar_epi8(l->order, x);
	y = _mm512_xor_si512(x, _mm512_srli_epi64(x, 1));
#pragma GCC unroll 2
	for (i = 0; i < 2; i++)
		grid[i] = trellis_of_differences(l->grid[0], _mm512_multishift_epi64_epi8(l->shift[i], y),
						 trellis_sign(_mm512_multishift_epi64_epi8(l->sign[i], x)));
}

#endif
