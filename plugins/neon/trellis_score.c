/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scores of rows of trellis codes: score_odd.h, where levels come from windows. Compiled for armv8.0 and with dot
 * products.
 */

#include "drivers.h"
#include "group.h"
#include "trellis.h"

struct code_rows {
	const uint8_t *const *row;
};

/* Levels are odd integers of one plane */
static uint32_t like_bits(const struct tq_plan *plan)
{
	(void)plan;
	return 4;
}

NEON_INLINE void rows_open(const struct tq_plan *plan, const void *state, const uint8_t *const *row,
			   struct code_rows *rows)
{
	(void)plan;
	(void)state;
	rows->row = row;
}

NEON_INLINE size_t write_window(const struct tq_plan *plan, const struct trellis_tables *t, const uint8_t *const *row,
				size_t first, int zeros, void *to,
				void (*put)(void *to, size_t row, size_t at, int8x16_t v), unsigned window)
{
	size_t end = plan->dim - first < DOT_BLOCK ? plan->dim : first + DOT_BLOCK, at = 0, r;
	const uint8_t *field;
	struct byte_table table;
	uint8_t room[16];
	int8x16_t odd;

	trellis_table_load(&table, t, window);
	for (r = 0; r < ROWS; r++) {
		field = lanes_field(&t->lanes, row[r], room);
		for (at = 0; first + at < end; at += TRELLIS_LANE) {
			odd = trellis_odd(&t->lanes, &table, field, (first + at) / TRELLIS_LANE, window);
			if (zeros)
				odd = vandq_s8(odd, vreinterpretq_s8_u8(bytes_below(end - first - at)));
			put(to, r, at, odd);
		}
	}
	return at;
}

NEON_INLINE size_t rows_write(const struct tq_plan *plan, const void *state, const struct code_rows *rows, size_t first,
			      int zeros, void *to, size_t plane_bytes,
			      void (*put)(void *to, size_t row, size_t at, int8x16_t v))
{
	(void)plane_bytes;
	return plan->window == 8 ? write_window(plan, state, rows->row, first, zeros, to, put, 8) :
				   write_window(plan, state, rows->row, first, zeros, to, put, 9);
}

#include "score_odd.h"

const struct tq_quantizer_ops TRELLIS_SCORE_OPS = {
	.struct_size = sizeof(struct tq_quantizer_ops),
	.create = neon_trellis_create,
	.destroy = neon_trellis_destroy,
	.query_size = query_size,
	.query_pack = query_pack,
	.score = score,
	.score_list = score_list,
	.score_pairs = score_pairs,
};
