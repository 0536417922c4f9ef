/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_AVX512_REGISTERS_H
#define TQ_AVX512_REGISTERS_H

/*
 * Rotations of rows that stay in registers: up to 256 floats, where the windows and the roll of a
 * round are whole registers: dimension 16 * regs with regs a power of two, or three times one. The
 * tail's window then starts at a register and the roll renames registers.
 */

#include "butterfly.h"
#include "../simd/row.h"

#define ROW_REGS_MAX 16

/** Rows that may be rotated side by side: their chains of stages fill each other's gaps */
#define SIDE_BY_SIDE 4

/** rows_side_by_side - so many that they fill about 16 registers */
AVX512_INLINE int rows_side_by_side(int regs)
{
	return regs > 8 ? 1 : regs > 4 ? 2 : SIDE_BY_SIDE;
}

/* The registers of a window: the largest power of two */
AVX512_INLINE int window_regs(int regs)
{
	return regs & (regs - 1) ? regs / 3 * 2 : regs;
}

/* Signs of the registers v[first ..] of each row */
AVX512_INLINE void multiply_signs(__m512 (*v)[ROW_REGS_MAX], const float *signs, int first,
				  int regs, int rows)
{
	__m512 s;
	int i, r;

#pragma GCC unroll 16
	for (i = 0; i < regs; i++) {
		s = _mm512_loadu_ps(signs + 16 * i);
#pragma GCC unroll 4
		for (r = 0; r < rows; r++)
			v[r][first + i] = _mm512_mul_ps(v[r][first + i], s);
	}
}

AVX512_INLINE void butterflies(__m512 (*v)[ROW_REGS_MAX], int first, int regs, int rows)
{
	int i, r;

#pragma GCC unroll 16
	for (i = 0; i < regs; i++)
#pragma GCC unroll 4
		for (r = 0; r < rows; r++)
			v[r][first + i] = stages_lanes(v[r][first + i]);
#pragma GCC unroll 4
	for (r = 0; r < rows; r++)
		stages_registers(v[r] + first, regs);
}

/* Registers up by @by, around */
AVX512_INLINE void roll_registers(__m512 (*v)[ROW_REGS_MAX], int regs, int by, int rows)
{
	__m512 from[ROW_REGS_MAX];
	int i, r;

#pragma GCC unroll 4
	for (r = 0; r < rows; r++) {
#pragma GCC unroll 16
		for (i = 0; i < regs; i++)
			from[i] = v[r][i];
#pragma GCC unroll 16
		for (i = 0; i < regs; i++)
			v[r][(i + by) % regs] = from[i];
	}
}

/** rotate_registers - y = R x of @rows rows side by side */
AVX512_INLINE void rotate_registers(const struct tq_rotation *rot, __m512 (*v)[ROW_REGS_MAX],
				    int regs, int rows)
{
	int w = window_regs(regs);
	const float *signs;
	uint32_t t;

	for (t = 0; t < rot->rounds; t++) {
		signs = round_signs(rot, t);
		multiply_signs(v, signs, 0, w, rows);
		butterflies(v, 0, w, rows);
		if (w == regs)
			continue;
		multiply_signs(v, signs + 16 * w, regs - w, w, rows);
		butterflies(v, regs - w, w, rows);
		roll_registers(v, regs, regs / 3, rows);
	}
}

/** unrotate_registers - x = R^T y */
AVX512_INLINE void unrotate_registers(const struct tq_rotation *rot, __m512 (*v)[ROW_REGS_MAX],
				      int regs, int rows)
{
	int w = window_regs(regs);
	const float *signs;
	uint32_t t;

	for (t = rot->rounds; t-- > 0;) {
		signs = round_signs(rot, t);
		if (w < regs) {
			roll_registers(v, regs, regs - regs / 3, rows);
			butterflies(v, regs - w, w, rows);
			multiply_signs(v, signs + 16 * w, regs - w, w, rows);
		}
		butterflies(v, 0, w, rows);
		multiply_signs(v, signs, 0, w, rows);
	}
}

/** fits_registers - registers of a row that can be rotated here, else 0 */
AVX512_INLINE int fits_registers(const struct tq_rotation *rot)
{
	int regs = (int)(rot->dim / 16);

	if (rot->dim % 16 || regs > ROW_REGS_MAX)
		return 0;
	if ((regs & (regs - 1)) && (regs % 3 || ((regs / 3) & (regs / 3 - 1))))
		return 0;
	return regs;
}

#endif
