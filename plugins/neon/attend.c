/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Weighted sums of coded rows, FORMAT.md section 8. Compiled for armv8.0 and with dot products.
 *
 * A weight is 128 hi + lo, both s8, and a level one or two bytes with the sign of odd (levels.h). The level
 * bytes of four rows are put together so that a 32-bit lane of the products belongs to one coordinate: a
 * dot product adds the four. A tile of rows is put together once for all weights; one register of it and four
 * weights are in work at a time. Sums over a call stay in int32: with 1024 rows at most,
 * |sum of hi * level| < 1024 * 127 * 127, and with one plane of levels the whole sum A fits too.
 */

#include "attend.h"
#include "drivers.h"
#include "sums.h"
#include "weights.h"

/* The rows of a call, chunk by chunk */
struct source {
	const struct tq_plan *plan;
	struct shape shape;
	const uint8_t *codes;
	size_t n;
	size_t chunk;
};

/* Rows @first .. of a chunk, four at a time, to the tile; rows past the end repeat the last, at no weight */
NEON_INLINE void fill_tile(const struct source *s, size_t first, size_t groups, size_t rest, uint32_t bits,
			   struct tile *tile)
{
	uint32_t n = levels_registers(bits), v;
	struct levels lev[4];
	int8x16_t rows[4];
	uint8x16_t f[3];
	size_t g, t;
	int r;

	for (g = 0; g < groups; g++) {
		for (r = 0; r < 4; r++) {
			t = first + 4 * g + (size_t)r < s->n ? first + 4 * g + (size_t)r : s->n - 1;
			chunk_load(&s->shape, s->codes + t * s->plan->layout.row_bytes, s->chunk, rest, bits, f);
			levels_decode(&s->shape.tables, f, bits, &lev[r]);
		}
		for (v = 0; v < n; v++) {
			for (r = 0; r < 4; r++)
				rows[r] = lev[r].lo[v];
			together(rows, &tile->group[g][levels_planes(bits) - 1][4 * v]);
			for (r = 0; bits > 4 && r < 4; r++)
				rows[r] = lev[r].hi[v];
			if (bits > 4)
				together(rows, &tile->group[g][0][4 * v]);
		}
	}
}

NEON_INLINE void sum_chunk(const struct source *s, const struct weights *w, size_t nw, uint32_t bits,
			   struct chunk_sums *sums)
{
	size_t step = 16 * levels_registers(bits), left = s->plan->dim - s->chunk * step;
	size_t rest = left < step ? left : 0, first, groups;
	struct tile tile;

	clear_sums(sums, levels_planes(bits), 4 * levels_registers(bits), nw);
	for (first = 0; first < s->n; first += 4 * TILE_GROUPS) {
		groups = (s->n - first + 3) / 4 < TILE_GROUPS ? (s->n - first + 3) / 4 : TILE_GROUPS;
		fill_tile(s, first, groups, rest, bits, &tile);
		add_tile(&tile, levels_planes(bits), 4 * levels_registers(bits), groups, w, nw, first, sums);
	}
}

/* f32(A) of the four coordinates of a register: from one plane of levels in int32, from two in int64 */
NEON_INLINE void combine(const struct source *s, const struct chunk_sums *sums, size_t w, uint32_t j,
			 int64_t sum, uint32_t bits, float *a)
{
	int32_t part[2][2][4];
	int64_t whole;
	uint32_t p, k;

	for (p = 0; p < levels_planes(bits); p++)
		for (k = 0; k < 2; k++)
			vst1q_s32(part[p][k], sums->at[p][w][k][j]);
	for (k = 0; k < 4; k++) {
		whole = 128 * (int64_t)part[0][0][k] + part[0][1][k];
		if (bits > 4)
			whole = 128 * whole + 128 * (int64_t)part[1][0][k] + part[1][1][k];
		if (bits == 1)
			whole = s->shape.alpha * whole + s->shape.beta * sum;
		a[k] = (float)whole;
	}
}

NEON_INLINE void add_chunk_sums(const struct source *s, const struct weights *w, size_t i, uint32_t bits,
				const struct chunk_sums *sums, float *out)
{
	uint32_t per = levels_registers(bits), j, k, c;
	size_t left = s->plan->dim - s->chunk * 16 * per;
	float step = w->unit[i] * s->plan->codebook.half_step, a[4];

	for (j = 0; j < 4 * per; j++) {
		combine(s, sums, i, j, w->sum[i], bits, a);
		for (k = 0; k < 4; k++) {
			c = per * (j % 4 * 4 + k) + j / 4;
			if (c < left)
				out[c] = out[c] + a[k] * step;
		}
	}
}

NEON_INLINE void source_open(struct source *s, const void *state, uint32_t bits)
{
	const struct tq_plan *plan = s->plan;
	uint32_t i;

	s->shape.alpha = -2 * plan->codebook.odd[1];
	s->shape.beta = -plan->codebook.odd[1];
	for (i = 0; i < plan->layout.nsections; i++)
		s->shape.at[i] = plan->layout.section[i].at;
	level_tables_load(&s->shape.tables, state, bits);
}

NEON_INLINE size_t chunk_dim(uint32_t bits)
{
	return 16 * levels_registers(bits);
}

#include "../simd/mix.h"

const struct tq_quantizer_ops ATTEND_OPS = {
	.struct_size = sizeof(struct tq_quantizer_ops),
	.create = neon_tables_create,
	.destroy = neon_tables_destroy,
	.mix = mix,
	.logits = neon_logits,
	.weigh = neon_weigh,
	.raw_score = neon_raw_score,
	.raw_mix = neon_raw_mix,
};
