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

/**
 * dot_tile - sum[c] += the products of four rows of levels with column c, a row per lane
 * @levels:  4 rows, @stride bytes apart
 * @columns: @ncolumns <= 4 vectors of bytes
 * @n:       bytes, a multiple of 16
 */
NEON_INLINE void dot_tile(const int8_t *levels, size_t stride, const int8_t *const *columns,
			  size_t n, int ncolumns, int32x4_t *sum)
{
	int32x4_t acc[4][4];
	int8x16_t level[4], q;
	size_t i;
	int c, r;

	for (c = 0; c < ncolumns; c++)
		for (r = 0; r < 4; r++)
			acc[c][r] = vdupq_n_s32(0);
	for (i = 0; i < n; i += 16) {
		for (r = 0; r < 4; r++)
			level[r] = vld1q_s8(levels + (size_t)r * stride + i);
		for (c = 0; c < ncolumns; c++) {
			q = vld1q_s8(columns[c] + i);
			for (r = 0; r < 4; r++)
				acc[c][r] = dot_add(acc[c][r], level[r], q);
		}
	}
	for (c = 0; c < ncolumns; c++)
		sum[c] = vaddq_s32(sum[c], add_across(acc[c]));
}

#endif
