/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Dense rotations (haar) and sketches (gauss, ortho): y_i = sum over j, in order from 0.0, of
 * R[i][j] * x_j, product and sum apart. Lanes are outputs i, 16 at a time, so the table is read by
 * rows of the transpose; each part of it serves up to four input rows.
 *
 * The last 16 outputs overlap the ones before where the dimension is no multiple of 16: they are
 * computed twice, and are the same both times.
 */

#include "lanes.h"
#include "drivers.h"

#define TILE 16
#define TILE_ROWS 4

NEON_INLINE void dense_tile(const float *table, size_t d, const float *x, float *y, int rows)
{
	float32x4_t sum[TILE_ROWS][4], t;
	size_t j;
	int r, k;

	for (r = 0; r < rows; r++)
		for (k = 0; k < 4; k++)
			sum[r][k] = vdupq_n_f32(0.0f);
	for (j = 0; j < d; j++, table += d) {
		for (k = 0; k < 4; k++) {
			t = vld1q_f32(table + 4 * k);
			for (r = 0; r < rows; r++)
				sum[r][k] =
					vaddq_f32(sum[r][k], vmulq_n_f32(t, x[(size_t)r * d + j]));
		}
	}
	for (r = 0; r < rows; r++)
		for (k = 0; k < 4; k++)
			vst1q_f32(y + (size_t)r * d + 4 * k, sum[r][k]);
}

static void dense_few(const float *table, size_t d, const float *x, float *y)
{
	size_t i, j;
	float sum;

	for (i = 0; i < d; i++) {
		for (j = 0, sum = 0.0f; j < d; j++)
			sum = sum + table[j * d + i] * x[j];
		y[i] = sum;
	}
}

static void dense_apply(const float *table, size_t d, const float *x, float *y, size_t n)
{
	size_t rows, i, at;

	for (; n > 0; n -= rows, x += rows * d, y += rows * d) {
		rows = n >= TILE_ROWS && d >= TILE ? TILE_ROWS : 1;
		if (d < TILE)
			dense_few(table, d, x, y);
		for (i = 0; d >= TILE && i < d; i += TILE) {
			at = i + TILE <= d ? i : d - TILE;
			if (rows == 1)
				dense_tile(table + at, d, x, y + at, 1);
			else
				dense_tile(table + at, d, x, y + at, TILE_ROWS);
		}
	}
}

static void dense_rotate(const struct tq_rotation *rot, const void *state, const float *x, float *y,
			 size_t n, float *scratch)
{
	dense_apply(rot->columns, rot->dim, x, y, n);
}

static void dense_unrotate(const struct tq_rotation *rot, const void *state, const float *x,
			   float *y, size_t n, float *scratch)
{
	dense_apply(rot->rows, rot->dim, x, y, n);
}

const struct tq_rotation_ops neon_dense_ops = {
	.struct_size = sizeof(struct tq_rotation_ops),
	.rotate = dense_rotate,
	.unrotate = dense_unrotate,
};
