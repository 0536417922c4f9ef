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

/* The registers of a window: the largest power of two */
AVX512_INLINE int window_regs(int regs)
{
	return regs & (regs - 1) ? regs / 3 * 2 : regs;
}

AVX512_INLINE void multiply_signs(__m512 *v, const float *signs, int regs)
{
	int i;

#pragma GCC unroll 16
	for (i = 0; i < regs; i++)
		v[i] = _mm512_mul_ps(v[i], _mm512_loadu_ps(signs + 16 * i));
}

AVX512_INLINE void butterflies(__m512 *v, int regs)
{
	int i;

#pragma GCC unroll 16
	for (i = 0; i < regs; i++)
		v[i] = stages_lanes(v[i]);
	stages_registers(v, regs);
}

/* Registers up by @by, around */
AVX512_INLINE void roll_registers(__m512 *v, int regs, int by)
{
	__m512 from[ROW_REGS_MAX];
	int i;

#pragma GCC unroll 16
	for (i = 0; i < regs; i++)
		from[i] = v[i];
#pragma GCC unroll 16
	for (i = 0; i < regs; i++)
		v[(i + by) % regs] = from[i];
}

/** rotate_registers - y = R x */
AVX512_INLINE void rotate_registers(const struct tq_rotation *rot, __m512 *v, int regs)
{
	int w = window_regs(regs);
	const float *signs;
	uint32_t t;

	for (t = 0; t < rot->rounds; t++) {
		signs = round_signs(rot, t);
		multiply_signs(v, signs, w);
		butterflies(v, w);
		if (w == regs)
			continue;
		multiply_signs(v + regs - w, signs + 16 * w, w);
		butterflies(v + regs - w, w);
		roll_registers(v, regs, regs / 3);
	}
}

/** unrotate_registers - x = R^T y */
AVX512_INLINE void unrotate_registers(const struct tq_rotation *rot, __m512 *v, int regs)
{
	int w = window_regs(regs);
	const float *signs;
	uint32_t t;

	for (t = rot->rounds; t-- > 0;) {
		signs = round_signs(rot, t);
		if (w < regs) {
			roll_registers(v, regs, regs - regs / 3);
			butterflies(v + regs - w, w);
			multiply_signs(v + regs - w, signs + 16 * w, w);
		}
		butterflies(v, w);
		multiply_signs(v, signs, w);
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
