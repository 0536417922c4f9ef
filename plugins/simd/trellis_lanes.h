/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_SIMD_TRELLIS_LANES_H
#define TQ_SIMD_TRELLIS_LANES_H

/*
 * Levels of a trellis code where a byte shuffle works on 16 bytes, FORMAT.md section 3: 16 coordinates, a lane,
 * from 16 bytes of the row.
 *
 * A shuffle gives each coordinate the two bytes that its window of 8 or 9 bits lies in, and a product by a
 * power of two brings the window to the top of those 16 bits:
 *
 *	bytes	b0 b1 b2 ...	3 bits, window 9: coordinate 2 begins at bit 6 of b0, so it has b0 b1,
 *				times 2^(16 - 9 - 6)
 *
 * The last window of a segment goes on in the segment's first byte, which takes the place of a byte of the 16
 * that no window of its lane needs. A state and its complement have opposite levels, so the top bit is a sign,
 * and states without it have 128 levels, or 256.
 */

#include "tq/trellis.h"

#define TRELLIS_DIM_MAX 4096
#define TRELLIS_LANE 16
/* Lanes that are worked on together; tables and rows of levels are padded to as many */
#define TRELLIS_GROUP 4
#define TRELLIS_LANES (TRELLIS_DIM_MAX / TRELLIS_LANE)

/**
 * struct trellis_lanes - where levels come from
 * @order:  places of the two bytes of coordinates 0-7 and 8-15 of every lane
 * @first:  0xff where the first byte of the segment goes
 * @at:     where the 16 bytes begin, from @field on
 * @begin:  where the segment does
 * @factor: of coordinates 8 k + i
 * @field:  of the row; @bytes of it
 */
struct trellis_lanes {
	uint8_t order[2][TRELLIS_LANES][16] __attribute__((aligned(32)));
	uint8_t first[TRELLIS_LANES][16] __attribute__((aligned(32)));
	uint16_t at[TRELLIS_LANES];
	uint16_t begin[TRELLIS_LANES];
	uint16_t factor[8] __attribute__((aligned(16)));
	size_t field, bytes;
};

/* Lane number @k of a row */
static inline void lane_create(const struct tq_plan *plan, size_t k, struct trellis_lanes *t)
{
	size_t bits = plan->index_bits, first = TRELLIS_LANE * k, start, end, from, to, at, i, h, byte;
	size_t most = t->bytes > 16 ? t->bytes - 16 : 0;

	tq_trellis_segment(plan->dim, first, &start, &end);
	from = start * bits / 8;
	to = end * bits / 8;
	at = first * bits / 8 < most ? first * bits / 8 : most;
	if (first + TRELLIS_LANE >= end)
		at = to > 16 ? to - 16 : 0;
	t->at[k] = (uint16_t)at;
	t->begin[k] = (uint16_t)from;
	for (i = 0; i < TRELLIS_LANE && first + i < end; i++) {
		for (h = 0; h < 2; h++) {
			byte = (first + i) * bits / 8 + h;
			if (byte == to) {
				byte = from;
				if (byte < at) {
					byte = at;
					t->first[k][0] = 0xff;
				}
			}
			t->order[i / 8][k][2 * (i % 8) + h] = (uint8_t)(byte - at);
		}
	}
}

/** lanes_create - for plans whose segments end with a byte */
static inline void lanes_create(const struct tq_plan *plan, struct trellis_lanes *t)
{
	size_t i, k;

	memset(t, 0, sizeof(*t));
	t->field = plan->layout.section[0].at;
	t->bytes = plan->dim * plan->index_bits / 8;
	for (i = 0; i < 8; i++)
		t->factor[i] = (uint16_t)(1u << (16 - plan->window - i * plan->index_bits % 8));
	for (k = 0; TRELLIS_LANE * k < plan->dim; k++)
		lane_create(plan, k, t);
}

/** lanes_padded - coordinates of a row that levels are made of */
static inline size_t lanes_padded(const struct tq_plan *plan)
{
	return (plan->dim + TRELLIS_GROUP * TRELLIS_LANE - 1) / (TRELLIS_GROUP * TRELLIS_LANE) *
	       (TRELLIS_GROUP * TRELLIS_LANE);
}

/** lanes_field - the bits of a row, 16 bytes of which can be read from everywhere that lanes do; @room if short */
static inline const uint8_t *lanes_field(const struct trellis_lanes *t, const uint8_t *row, uint8_t *room)
{
	if (t->bytes >= 16)
		return row + t->field;
	memset(room, 0, 16);
	memcpy(room, row + t->field, t->bytes);
	return room;
}

#endif
