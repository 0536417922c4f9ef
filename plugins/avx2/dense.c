/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Dense rotations (haar) and sketches (gauss, ortho): y_i = sum over j, in order from 0.0, of
 * R[i][j] * x_j, product and sum apart. Lanes are outputs i: the table is read by rows of the
 * transpose, 16 outputs wide, and each part serves up to four input rows.
 *
 *	             j ->
 *	sum[r][i] += x[r][j] * table[j * d + i ..  i + 15]
 *
 * The last part of a row may be narrower than 16. It is loaded with the beginning of the next row,
 * as far as there is one; the lanes past d are not stored.
 */

#include "lanes.h"

#define DENSE_ROWS 4

AVX2_INLINE void dense_tile(const float *table, size_t d, const float *x, float *y, size_t i,
			    int rows)
{
	__m256i mask[2] = {lane_mask((ptrdiff_t)(d - i)), lane_mask((ptrdiff_t)(d - i) - 8)};
	__m256 sum[DENSE_ROWS][2], t[2], v;
	const float *from = table + i;
	size_t j;
	int r;

	for (r = 0; r < rows; r++)
		sum[r][0] = sum[r][1] = _mm256_setzero_ps();
	for (j = 0; j < d; j++, from += d) {
		if ((d - 1 - j) * d + d - i >= 16) {
			t[0] = _mm256_loadu_ps(from);
			t[1] = _mm256_loadu_ps(from + 8);
		} else {
			t[0] = part8f(from, (ptrdiff_t)(d - i));
			t[1] = part8f(from + 8, (ptrdiff_t)(d - i) - 8);
		}
		for (r = 0; r < rows; r++) {
			v = _mm256_broadcast_ss(x + (size_t)r * d + j);
			sum[r][0] = _mm256_add_ps(sum[r][0], _mm256_mul_ps(t[0], v));
			sum[r][1] = _mm256_add_ps(sum[r][1], _mm256_mul_ps(t[1], v));
		}
	}
	for (r = 0; r < rows; r++) {
		_mm256_maskstore_ps(y + (size_t)r * d + i, mask[0], sum[r][0]);
		_mm256_maskstore_ps(y + (size_t)r * d + i + 8, mask[1], sum[r][1]);
	}
}

static void dense_apply(const float *table, size_t d, const float *x, float *y, size_t n)
{
	size_t i;

	for (; n >= DENSE_ROWS; n -= DENSE_ROWS, x += DENSE_ROWS * d, y += DENSE_ROWS * d)
		for (i = 0; i < d; i += 16)
			dense_tile(table, d, x, y, i, DENSE_ROWS);
	for (; n > 0; n--, x += d, y += d)
		for (i = 0; i < d; i += 16)
			dense_tile(table, d, x, y, i, 1);
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

const struct tq_rotation_ops avx2_dense_ops = {
	.struct_size = sizeof(struct tq_rotation_ops),
	.rotate = dense_rotate,
	.unrotate = dense_unrotate,
};
