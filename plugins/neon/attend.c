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

#define TILE_GROUPS 32
#define MOST_WEIGHTS 16
/* Registers of a chunk, per plane of levels, after four rows are put together */
#define MOST_REGISTERS 32

struct weights {
	int8_t plane[MOST_WEIGHTS][2][TQ_MIX_ROWS + 16];
	int64_t sum[MOST_WEIGHTS];
	float unit[MOST_WEIGHTS];
};

/* Sums of one chunk: [plane of levels][weight][plane of weights][register] */
struct chunk_sums {
	int32x4_t at[2][MOST_WEIGHTS][2][MOST_REGISTERS];
};

struct tile {
	int8x16_t group[TILE_GROUPS][2][MOST_REGISTERS];
};

/* The rows of a call, chunk by chunk */
struct source {
	const struct tq_plan *plan;
	struct shape shape;
	const uint8_t *codes;
	size_t n;
	size_t chunk;
};

/* One weight: a_t = weight_t * scale_t to integers, as scalar does it; returns what one unit is worth */
static float quantize(const float *weights, const float *scale, size_t n, struct weights *to, size_t w)
{
	float a[TQ_MIX_ROWS], most = 0.0f, inv;
	int32_t q, hi;
	size_t t;

	for (t = 0; t < n; t++) {
		a[t] = weights[t] * scale[t];
		most = fabsf(a[t]) > most ? fabsf(a[t]) : most;
	}
	if (!(most >= TQ_MIX_TINY))
		most = 0.0f;
	inv = most > 0.0f ? (float)TQ_MIX_TOP / most : 0.0f;
	to->sum[w] = 0;
	for (t = 0; t < n; t++) {
		q = (int32_t)tq_rint(a[t] * inv);
		hi = (q + 64) >> 7;
		to->plane[w][0][t] = (int8_t)hi;
		to->plane[w][1][t] = (int8_t)(q - 128 * hi);
		to->sum[w] += q;
	}
	memset(to->plane[w][0] + n, 0, 4);
	memset(to->plane[w][1] + n, 0, 4);
	return most / (float)TQ_MIX_TOP;
}

#ifdef __ARM_FEATURE_DOTPROD
/* Lane k of the m-th register: byte 4 m + k of each row */
NEON_INLINE void together(const int8x16_t *row, int8x16_t *to)
{
	int16x8_t ab[2], cd[2];
	int m;

	ab[0] = vreinterpretq_s16_s8(vzip1q_s8(row[0], row[1]));
	ab[1] = vreinterpretq_s16_s8(vzip2q_s8(row[0], row[1]));
	cd[0] = vreinterpretq_s16_s8(vzip1q_s8(row[2], row[3]));
	cd[1] = vreinterpretq_s16_s8(vzip2q_s8(row[2], row[3]));
	for (m = 0; m < 2; m++) {
		to[2 * m] = vreinterpretq_s8_s16(vzip1q_s16(ab[m], cd[m]));
		to[2 * m + 1] = vreinterpretq_s8_s16(vzip2q_s16(ab[m], cd[m]));
	}
}

/* Four rows' weights where together() has these rows */
NEON_INLINE int8x16_t four_weights(const int8_t *w)
{
	int32_t four;

	memcpy(&four, w, sizeof(four));
	return vreinterpretq_s8_s32(vdupq_n_s32(four));
}
#else
/* dot_add() of armv8.0 adds bytes 2 k, 2 k + 1, 2 k + 8 and 2 k + 9: rows 0 and 1 below, 2 and 3 above */
NEON_INLINE void together(const int8x16_t *row, int8x16_t *to)
{
	int64x2_t ab[2], cd[2];
	int m;

	ab[0] = vreinterpretq_s64_s8(vzip1q_s8(row[0], row[1]));
	ab[1] = vreinterpretq_s64_s8(vzip2q_s8(row[0], row[1]));
	cd[0] = vreinterpretq_s64_s8(vzip1q_s8(row[2], row[3]));
	cd[1] = vreinterpretq_s64_s8(vzip2q_s8(row[2], row[3]));
	for (m = 0; m < 2; m++) {
		to[2 * m] = vreinterpretq_s8_s64(vzip1q_s64(ab[m], cd[m]));
		to[2 * m + 1] = vreinterpretq_s8_s64(vzip2q_s64(ab[m], cd[m]));
	}
}

NEON_INLINE int8x16_t four_weights(const int8_t *w)
{
	int16_t two[2];

	memcpy(two, w, sizeof(two));
	return vreinterpretq_s8_s16(vcombine_s16(vdup_n_s16(two[0]), vdup_n_s16(two[1])));
}
#endif

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

/* One register of a tile times up to four weights of two planes */
NEON_INLINE void add_products_of(const struct tile *tile, uint32_t plane, uint32_t j, size_t groups,
				 const struct weights *w, size_t first, size_t nw, size_t at,
				 struct chunk_sums *sums)
{
	int32x4_t acc[8];
	size_t g, i;

	for (i = 0; i < 2 * nw; i++)
		acc[i] = sums->at[plane][first + i / 2][i % 2][j];
	for (g = 0; g < groups; g++)
		for (i = 0; i < 2 * nw; i++)
			acc[i] = dot_add(acc[i], tile->group[g][plane][j],
					 four_weights(w->plane[first + i / 2][i % 2] + at + 4 * g));
	for (i = 0; i < 2 * nw; i++)
		sums->at[plane][first + i / 2][i % 2][j] = acc[i];
}

NEON_INLINE void sum_chunk(const struct source *s, const struct weights *w, size_t nw, uint32_t bits,
			   struct chunk_sums *sums)
{
	size_t step = 16 * levels_registers(bits), left = s->plan->dim - s->chunk * step;
	size_t rest = left < step ? left : 0, first, groups, i;
	struct tile tile;
	uint32_t p, j;

	for (p = 0; p < levels_planes(bits); p++)
		for (i = 0; i < nw; i++)
			for (j = 0; j < 4 * levels_registers(bits); j++)
				sums->at[p][i][0][j] = sums->at[p][i][1][j] = vdupq_n_s32(0);
	for (first = 0; first < s->n; first += 4 * TILE_GROUPS) {
		groups = (s->n - first + 3) / 4 < TILE_GROUPS ? (s->n - first + 3) / 4 : TILE_GROUPS;
		fill_tile(s, first, groups, rest, bits, &tile);
		for (p = 0; p < levels_planes(bits); p++)
			for (j = 0; j < 4 * levels_registers(bits); j++)
				for (i = 0; i < nw; i += i + 4 <= nw ? 4 : 1)
					add_products_of(&tile, p, j, groups, w, i, i + 4 <= nw ? 4 : 1, first, sums);
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
