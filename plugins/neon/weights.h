/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_NEON_WEIGHTS_H
#define TQ_NEON_WEIGHTS_H

/*
 * What weighted sums of coded rows have in common, whatever the code: weights to integers (FORMAT.md section
 * 8), levels of four rows put together, and products of those. Included once by each of attend.c and
 * trellis_attend.c.
 */

#include "dot.h"

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

/* All products of a tile with @registers of each of @planes planes of levels, whose first row is number @first */
NEON_INLINE void add_tile(const struct tile *tile, uint32_t planes, uint32_t registers, size_t groups,
			  const struct weights *w, size_t nw, size_t first, struct chunk_sums *sums)
{
	uint32_t p, j;
	size_t i;

	for (p = 0; p < planes; p++)
		for (j = 0; j < registers; j++)
			for (i = 0; i < nw; i += i + 4 <= nw ? 4 : 1)
				add_products_of(tile, p, j, groups, w, i, i + 4 <= nw ? 4 : 1, first, sums);
}

NEON_INLINE void clear_sums(struct chunk_sums *sums, uint32_t planes, uint32_t registers, size_t nw)
{
	uint32_t p, j;
	size_t i;

	for (p = 0; p < planes; p++)
		for (i = 0; i < nw; i++)
			for (j = 0; j < registers; j++)
				sums->at[p][i][0][j] = sums->at[p][i][1][j] = vdupq_n_s32(0);
}

#endif
