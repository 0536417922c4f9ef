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

#endif
