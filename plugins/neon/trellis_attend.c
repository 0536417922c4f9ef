/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Weighted sums of rows of trellis codes, FORMAT.md section 8: attend.c, but levels come from windows, in the
 * order of coordinates. Compiled for armv8.0 and with dot products.
 */

#include "attend.h"
#include "drivers.h"
#include "trellis.h"
#include "weights.h"

/* Coordinates of a chunk, and lanes of it */
#define CHUNK 64
#define CHUNK_LANES (CHUNK / TRELLIS_LANE)

/* The rows of a call, chunk by chunk */
struct source {
	const struct tq_plan *plan;
	const uint8_t *codes;
	size_t n;
	size_t chunk;
	const struct trellis_tables *tables;
	struct byte_table levels;
};

/* Rows @first .. of a chunk, four at a time, to the tile; rows past the end repeat the last, at no weight */
NEON_INLINE void fill_tile(const struct source *s, size_t first, size_t groups, unsigned window, struct tile *tile)
{
	const struct trellis_lanes *lanes = &s->tables->lanes;
	const uint8_t *field[4];
	uint8_t room[4][16];
	int8x16_t rows[4];
	size_t g, r, t, v;

	for (g = 0; g < groups; g++) {
		for (r = 0; r < 4; r++) {
			t = first + 4 * g + r < s->n ? first + 4 * g + r : s->n - 1;
			field[r] = lanes_field(lanes, s->codes + t * s->plan->layout.row_bytes, room[r]);
		}
		for (v = 0; v < CHUNK_LANES; v++) {
			for (r = 0; r < 4; r++)
				rows[r] = trellis_odd(lanes, &s->levels, field[r], CHUNK_LANES * s->chunk + v, window);
			together(rows, &tile->group[g][0][4 * v]);
		}
	}
}

NEON_INLINE void sum_chunk(const struct source *s, const struct weights *w, size_t nw, unsigned window,
			   struct chunk_sums *sums)
{
	size_t first, groups;
	struct tile tile;

	clear_sums(sums, 1, 4 * CHUNK_LANES, nw);
	for (first = 0; first < s->n; first += 4 * TILE_GROUPS) {
		groups = (s->n - first + 3) / 4 < TILE_GROUPS ? (s->n - first + 3) / 4 : TILE_GROUPS;
		fill_tile(s, first, groups, window, &tile);
		add_tile(&tile, 1, 4 * CHUNK_LANES, groups, w, nw, first, sums);
	}
}

/* Dimensions are multiples of 8, so a register of sums is in the row as a whole or not at all */
NEON_INLINE void add_chunk_sums(const struct source *s, const struct weights *w, size_t i, unsigned window,
				const struct chunk_sums *sums, float *out)
{
	size_t left = s->plan->dim - s->chunk * CHUNK, j;
	float step = w->unit[i] * s->plan->codebook.half_step;
	int32x4_t a;

	(void)window;
	for (j = 0; j < 4 * CHUNK_LANES && 4 * j < left; j++) {
		a = vaddq_s32(vshlq_n_s32(sums->at[0][i][0][j], 7), sums->at[0][i][1][j]);
		vst1q_f32(out + 4 * j, vaddq_f32(vld1q_f32(out + 4 * j), vmulq_n_f32(vcvtq_f32_s32(a), step)));
	}
}

NEON_INLINE void source_open(struct source *s, const void *state, unsigned window)
{
	s->tables = state;
	trellis_table_load(&s->levels, state, window);
}

NEON_INLINE size_t chunk_dim(unsigned window)
{
	(void)window;
	return CHUNK;
}

#define MIX_WINDOWS
#include "../simd/mix.h"

const struct tq_quantizer_ops TRELLIS_ATTEND_OPS = {
	.struct_size = sizeof(struct tq_quantizer_ops),
	.create = neon_trellis_create,
	.destroy = neon_trellis_destroy,
	.mix = mix,
	.logits = neon_logits,
	.weigh = neon_weigh,
	.raw_score = neon_raw_score,
	.raw_mix = neon_raw_mix,
};
