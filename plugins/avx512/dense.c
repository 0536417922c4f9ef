/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Dense rotations (haar) and sketches (gauss, ortho): y_i = sum over j, in order from 0.0, of
 * R[i][j] * x_j, product and sum apart. Lanes are outputs i: the table is read by rows of the
 * transpose, 32 outputs wide, and each part serves up to eight input rows. The tile of 32 columns
 * stays in L2 while all rows pass it.
 *
 *	             j ->
 *	sum[r][i] += x[r][j] * table[j * d + i ..  i + 31]
 */

#include "lanes.h"

#define DENSE_ROWS 8
#define DENSE_REGS 2

AVX512_INLINE void dense_tile(const float *table, size_t d, const float *x, float *y, size_t i,
			      int rows)
{
	__mmask16 mask[DENSE_REGS] = {lanes(d - i), d - i < 16 ? 0 : lanes(d - i - 16)};
	__m512 sum[DENSE_ROWS][DENSE_REGS], t[DENSE_REGS], v;
	size_t j;
	int r, k;

#pragma GCC unroll 8
	for (r = 0; r < rows; r++)
		sum[r][0] = sum[r][1] = _mm512_setzero_ps();
	for (j = 0; j < d; j++) {
		t[0] = _mm512_maskz_loadu_ps(mask[0], table + j * d + i);
		t[1] = _mm512_maskz_loadu_ps(mask[1], table + j * d + i + 16);
#pragma GCC unroll 8
		for (r = 0; r < rows; r++) {
			v = _mm512_set1_ps(x[(size_t)r * d + j]);
			sum[r][0] = _mm512_add_ps(sum[r][0], _mm512_mul_ps(t[0], v));
			sum[r][1] = _mm512_add_ps(sum[r][1], _mm512_mul_ps(t[1], v));
		}
	}
#pragma GCC unroll 8
	for (r = 0; r < rows; r++)
		for (k = 0; k < DENSE_REGS; k++)
			_mm512_mask_storeu_ps(y + (size_t)r * d + i + 16 * k, mask[k], sum[r][k]);
}

static void dense_apply(const float *table, size_t d, const float *x, float *y, size_t n)
{
	size_t i, r;

	for (i = 0; i < d; i += 16 * DENSE_REGS) {
		for (r = 0; r + DENSE_ROWS <= n; r += DENSE_ROWS)
			dense_tile(table, d, x + r * d, y + r * d, i, DENSE_ROWS);
		for (; r < n; r++)
			dense_tile(table, d, x + r * d, y + r * d, i, 1);
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

const struct tq_rotation_ops avx512_dense_ops = {
	.struct_size = sizeof(struct tq_rotation_ops),
	.rotate = dense_rotate,
	.unrotate = dense_unrotate,
};
