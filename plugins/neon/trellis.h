/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_NEON_TRELLIS_H
#define TQ_NEON_TRELLIS_H

/* Trellis codes: tables, and 16 coordinates from their windows, as ../simd/trellis_lanes.h has them. */

#include "odd.h"
#include "../simd/trellis_lanes.h"

/**
 * struct trellis_tables - state of the drivers
 * @odd:    level numbers of the states whose top bit is clear
 * @target, @level: see search_tables()
 */
struct trellis_tables {
	struct trellis_lanes lanes;
	int8_t odd[256];
	int16_t target[TQ_TRELLIS_STATES] __attribute__((aligned(16)));
	int16_t level[TQ_TRELLIS_STATES + 32];
};

int neon_trellis_create(const struct tq_host *host, const struct tq_plan *plan, void **state);
void neon_trellis_destroy(const struct tq_host *host, void *state);

/** neon_trellis_search_tables - what a search wants of the tables */
void neon_trellis_search_tables(const struct tq_plan *plan, struct trellis_tables *t);

/** neon_trellis_together - rows that a search works on at once: 1 or 2 */
size_t neon_trellis_together(const struct tq_plan *plan);

/** neon_trellis_search - scalar's: the bits of least error of so many rows, or of one */
void neon_trellis_search(const struct tq_plan *plan, const struct trellis_tables *t, const float *const *y,
			 const float *r, size_t rows, uint8_t *const *row);

/** trellis_table_load - the levels in registers */
NEON_INLINE void trellis_table_load(struct byte_table *table, const struct trellis_tables *t, unsigned window)
{
	byte_table_load(table, t->odd, window - 1);
}

/**
 * trellis_odd - level numbers of the 16 coordinates of @lane; those past the row's end are anything
 * @field: as lanes_field() gives it
 */
NEON_INLINE int8x16_t trellis_odd(const struct trellis_lanes *t, const struct byte_table *table, const uint8_t *field,
				  size_t lane, unsigned window)
{
	const uint16x8_t factor = vld1q_u16(t->factor);
	uint8x16_t x = vld1q_u8(field + t->at[lane]), high, state, sign;
	uint16x8_t a, b;

	x = vbslq_u8(vld1q_u8(t->first[lane]), vdupq_n_u8(field[t->begin[lane]]), x);
	a = vmulq_u16(vreinterpretq_u16_u8(vqtbl1q_u8(x, vld1q_u8(t->order[0][lane]))), factor);
	b = vmulq_u16(vreinterpretq_u16_u8(vqtbl1q_u8(x, vld1q_u8(t->order[1][lane]))), factor);
	high = vuzp2q_u8(vreinterpretq_u8_u16(a), vreinterpretq_u8_u16(b));
	sign = vreinterpretq_u8_s8(vshrq_n_s8(vreinterpretq_s8_u8(high), 7));
	state = high;
	if (window == 9)
		state = vuzp2q_u8(vreinterpretq_u8_u16(vshlq_n_u16(a, 1)), vreinterpretq_u8_u16(vshlq_n_u16(b, 1)));
	x = vreinterpretq_u8_s8(look_up(table, veorq_u8(state, sign), window - 1));
	return vreinterpretq_s8_u8(vsubq_u8(veorq_u8(x, sign), sign));
}

#endif
