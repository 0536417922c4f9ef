/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_NEON_DOT_H
#define TQ_NEON_DOT_H

/*
 * Products of bytes. The files that include this one are compiled for armv8.0, with dot products
 * and with i8mm; only this file knows.
 *
 * Factors lie in -127..127, so that on armv8.0 the sum of two products fits in 16 bits.
 */

#include "lanes.h"

/** Bytes of a row that a tile works on at most; a multiple of 128 */
#define DOT_BLOCK 512

/** dot_add - acc += sums of four products of bytes */
NEON_INLINE int32x4_t dot_add(int32x4_t acc, int8x16_t a, int8x16_t b)
{
#ifdef __ARM_FEATURE_DOTPROD
	return vdotq_s32(acc, a, b);
#else
	int16x8_t p = vmull_s8(vget_low_s8(a), vget_low_s8(b));

	return vpadalq_s16(acc, vmlal_high_s8(p, a, b));
#endif
}

/** add_across - four registers to the four sums of their lanes */
NEON_INLINE int32x4_t add_across(const int32x4_t *v)
{
	return vpaddq_s32(vpaddq_s32(v[0], v[1]), vpaddq_s32(v[2], v[3]));
}

#ifdef __ARM_FEATURE_MATMUL_INT8
/*
 * Eight bytes of one row, then eight of its neighbour, make the left factor of a matrix product;
 * eight bytes of two columns the right one. The result is
 *
 *	row 0 column 0, row 0 column 1, row 1 column 0, row 1 column 1
 */
#define DOT_COLUMNS 8

struct dot_rows {
	int8_t pair[ROWS / 2][DOT_BLOCK / 8][2][8];
};

NEON_INLINE void dot_rows_put(void *to, size_t row, size_t at, int8x16_t v)
{
	struct dot_rows *d = to;

	vst1_s8(d->pair[row / 2][at / 8][row % 2], vget_low_s8(v));
	vst1_s8(d->pair[row / 2][at / 8 + 1][row % 2], vget_high_s8(v));
}

/* Halves of two columns side by side */
NEON_INLINE void column_pair(const int8_t *a, const int8_t *b, int8x16_t *half)
{
	int64x2_t x = vreinterpretq_s64_s8(vld1q_s8(a)), y = vreinterpretq_s64_s8(vld1q_s8(b));

	half[0] = vreinterpretq_s8_s64(vzip1q_s64(x, y));
	half[1] = vreinterpretq_s8_s64(vzip2q_s64(x, y));
}

NEON_INLINE void dot_tile(const struct dot_rows *levels, const int8_t *const *columns, size_t n,
			  int ncolumns, int32x4_t *sum)
{
	int32x4_t acc[DOT_COLUMNS / 2][ROWS / 2];
	int8x16_t level[ROWS / 2][2], q[2];
	int pairs = (ncolumns + 1) / 2, c, r, h;
	size_t i;

	for (c = 0; c < pairs; c++)
		for (r = 0; r < ROWS / 2; r++)
			acc[c][r] = vdupq_n_s32(0);
	for (i = 0; i < n; i += 16) {
		for (r = 0; r < ROWS / 2; r++)
			for (h = 0; h < 2; h++)
				level[r][h] = vld1q_s8(levels->pair[r][i / 8 + (size_t)h][0]);
		for (c = 0; c < pairs; c++) {
			column_pair(columns[2 * c] + i, columns[ncolumns == 1 ? 0 : 2 * c + 1] + i,
				    q);
			for (r = 0; r < ROWS / 2; r++)
				for (h = 0; h < 2; h++)
					acc[c][r] = vmmlaq_s32(acc[c][r], level[r][h], q[h]);
		}
	}
	for (c = 0; c < pairs; c++) {
		sum[2 * c] = vaddq_s32(sum[2 * c], vuzp1q_s32(acc[c][0], acc[c][1]));
		if (2 * c + 1 < ncolumns)
			sum[2 * c + 1] =
				vaddq_s32(sum[2 * c + 1], vuzp2q_s32(acc[c][0], acc[c][1]));
	}
}
#else
#define DOT_COLUMNS 4

/** The levels of four rows, as dot_tile() wants them */
struct dot_rows {
	int8_t row[ROWS][DOT_BLOCK];
};

/** dot_rows_put - 16 levels of one row from byte @at on */
NEON_INLINE void dot_rows_put(void *to, size_t row, size_t at, int8x16_t v)
{
	struct dot_rows *d = to;

	vst1q_s8(d->row[row] + at, v);
}

/**
 * dot_tile - sum[c] += the products of four rows of levels with column c, a row per lane
 * @columns: @ncolumns <= DOT_COLUMNS vectors of bytes
 * @n:       bytes, a multiple of 16
 */
NEON_INLINE void dot_tile(const struct dot_rows *levels, const int8_t *const *columns, size_t n,
			  int ncolumns, int32x4_t *sum)
{
	int32x4_t acc[DOT_COLUMNS][ROWS];
	int8x16_t level[ROWS], q;
	size_t i;
	int c, r;

	for (c = 0; c < ncolumns; c++)
		for (r = 0; r < ROWS; r++)
			acc[c][r] = vdupq_n_s32(0);
	for (i = 0; i < n; i += 16) {
		for (r = 0; r < ROWS; r++)
			level[r] = vld1q_s8(levels->row[r] + i);
		for (c = 0; c < ncolumns; c++) {
			q = vld1q_s8(columns[c] + i);
			for (r = 0; r < ROWS; r++)
				acc[c][r] = dot_add(acc[c][r], level[r], q);
		}
	}
	for (c = 0; c < ncolumns; c++)
		sum[c] = vaddq_s32(sum[c], add_across(acc[c]));
}
#endif

#endif
