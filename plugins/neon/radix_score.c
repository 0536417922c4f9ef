/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scores of rows of codes of a fraction of a bit: score_odd.h, where rows are decoded as a whole (radix.h). Compiled
 * for armv8.0 and with dot products.
 */

#include "drivers.h"
#include "group.h"
#include "radix.h"

struct code_rows {
	struct radix_levels levels[ROWS];
};

static uint32_t like_bits(const struct tq_plan *plan)
{
	return plan->codebook.planes == 2 ? 5 : 4;
}

static void rows_open(const struct tq_plan *plan, const void *state, const uint8_t *const *row, struct code_rows *rows)
{
	size_t r;

	(void)plan;
	for (r = 0; r < ROWS; r++)
		neon_radix_row(state, row[r], &rows->levels[r]);
}

NEON_INLINE size_t write_plane(const int8_t *levels, size_t n, int zeros, void *to, size_t row,
			       void (*put)(void *to, size_t row, size_t at, int8x16_t v))
{
	int8x16_t v;
	size_t at;

	for (at = 0; at < n; at += 16) {
		v = vld1q_s8(levels + at);
		if (zeros)
			v = vandq_s8(v, vreinterpretq_s8_u8(bytes_below(n - at)));
		put(to, row, at, v);
	}
	return at;
}

NEON_INLINE size_t rows_write(const struct tq_plan *plan, const void *state, const struct code_rows *rows, size_t first,
			      int zeros, void *to, size_t plane_bytes,
			      void (*put)(void *to, size_t row, size_t at, int8x16_t v))
{
	size_t n = plan->dim - first < DOT_BLOCK ? plan->dim - first : DOT_BLOCK, r, bytes = 0;
	int wide = plan->codebook.planes == 2;

	(void)state;
	for (r = 0; r < ROWS; r++) {
		if (wide)
			write_plane(rows->levels[r].hi + first, n, zeros, to, r, put);
		bytes = write_plane(rows->levels[r].lo + first, n, zeros, (char *)to + (wide ? plane_bytes : 0), r, put);
	}
	return bytes;
}

#include "score_odd.h"

const struct tq_quantizer_ops RADIX_SCORE_OPS = {
	.struct_size = sizeof(struct tq_quantizer_ops),
	.create = neon_radix_create,
	.destroy = neon_radix_destroy,
	.query_size = query_size,
	.query_pack = query_pack,
	.score = score,
	.score_list = score_list,
	.score_pairs = score_pairs,
};
