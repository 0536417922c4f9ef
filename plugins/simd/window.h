/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_SIMD_WINDOW_H
#define TQ_SIMD_WINDOW_H

/*
 * Signs and butterflies over a window in memory, FORMAT.md section 2, for registers of any width.
 * The file that includes this one defines before:
 *
 *	vec		a register of VEC_FLOATS floats
 *	VEC_FIRST	registers that the first pass over memory works on, a power of two up to 16
 *	VEC_NEXT	registers of a further pass, likewise
 *	vec_load, vec_store, vec_add, vec_sub, vec_mul
 *	vec_stages	the stages inside a register: h = 1, 2, ..., VEC_FLOATS / 2
 *
 * A pass does as many stages as its registers allow: the first those inside registers and between
 * neighbours, a further one those of registers h apart. Blocks of 4096 floats are finished, stage
 * after stage, before the next one is touched: they stay in the first level cache. The loops over
 * registers are unrolled by request: the compiler keeps an array in registers only if they are gone
 * early.
 */

#include "row.h"

#define WINDOW_BLOCK 4096
#define WINDOW_INLINE static inline __attribute__((always_inline))

/* log2(regs) stages between the registers v[0 .. regs - 1] */
WINDOW_INLINE void window_stages(vec *v, int regs)
{
	vec u, w;
	int h, i;

#pragma GCC unroll 4
	for (h = 1; h < regs; h *= 2) {
#pragma GCC unroll 16
		for (i = 0; i < regs; i++) {
			if (i & h)
				continue;
			u = v[i];
			w = v[i + h];
			v[i] = vec_add(u, w);
			v[i + h] = vec_sub(u, w);
		}
	}
}

/* All stages of regs registers side by side; @before, @after: signs to multiply by, or NULL */
WINDOW_INLINE void first_pass(float *y, const float *before, const float *after, int regs)
{
	vec v[16];
	int i;

#pragma GCC unroll 16
	for (i = 0; i < regs; i++) {
		v[i] = vec_load(y + VEC_FLOATS * i);
		if (before)
			v[i] = vec_mul(v[i], vec_load(before + VEC_FLOATS * i));
		v[i] = vec_stages(v[i]);
	}
	window_stages(v, regs);
#pragma GCC unroll 16
	for (i = 0; i < regs; i++) {
		if (after)
			v[i] = vec_mul(v[i], vec_load(after + VEC_FLOATS * i));
		vec_store(y + VEC_FLOATS * i, v[i]);
	}
}

/* Stages h, 2h, ..., regs/2 * h of n floats */
WINDOW_INLINE void next_pass(float *y, const float *after, size_t n, size_t h, int regs)
{
	size_t block, j;
	vec v[16];
	int i;

	for (block = 0; block < n; block += h * (size_t)regs) {
		for (j = block; j < block + h; j += VEC_FLOATS) {
#pragma GCC unroll 16
			for (i = 0; i < regs; i++)
				v[i] = vec_load(y + j + h * (size_t)i);
			window_stages(v, regs);
#pragma GCC unroll 16
			for (i = 0; i < regs; i++) {
				if (after)
					v[i] = vec_mul(v[i], vec_load(after + j + h * (size_t)i));
				vec_store(y + j + h * (size_t)i, v[i]);
			}
		}
	}
}

/* Stages from h up to n/2 of n floats, as few passes as possible */
WINDOW_INLINE void passes(float *y, const float *after, size_t n, size_t h)
{
	while (h < n) {
		if (VEC_NEXT >= 16 && 16 * h <= n) {
			next_pass(y, 16 * h == n ? after : NULL, n, h, 16);
			h *= 16;
		} else if (VEC_NEXT >= 8 && 8 * h <= n) {
			next_pass(y, 8 * h == n ? after : NULL, n, h, 8);
			h *= 8;
		} else if (4 * h <= n) {
			next_pass(y, 4 * h == n ? after : NULL, n, h, 4);
			h *= 4;
		} else {
			next_pass(y, after, n, h, 2);
			h *= 2;
		}
	}
}

/* Windows smaller than a register */
static void window_short(float *y, const float *before, const float *after, size_t w)
{
	size_t h, block, j;
	float u, v;

	for (j = 0; before && j < w; j++)
		y[j] = y[j] * before[j];
	for (h = 1; h < w; h *= 2) {
		for (block = 0; block < w; block += 2 * h) {
			for (j = block; j < block + h; j++) {
				u = y[j];
				v = y[j + h];
				y[j] = u + v;
				y[j + h] = u - v;
			}
		}
	}
	for (j = 0; after && j < w; j++)
		y[j] = y[j] * after[j];
}

/* Signs, butterflies, or butterflies, signs, over w floats, w a power of two */
WINDOW_INLINE void window(float *y, const float *before, const float *after, size_t w)
{
	const size_t first = VEC_FLOATS * VEC_FIRST;
	size_t i, part, k;

	if (w > first) {
		part = w < WINDOW_BLOCK ? w : WINDOW_BLOCK;
		for (k = 0; k < w; k += part) {
			for (i = k; i < k + part; i += first)
				first_pass(y + i, before ? before + i : NULL, NULL, VEC_FIRST);
			passes(y + k, part == w ? after : NULL, part, first);
		}
		passes(y, after, w, part);
		return;
	}
	switch (w / VEC_FLOATS) {
	case 16:
		first_pass(y, before, after, VEC_FIRST < 16 ? VEC_FIRST : 16);
		break;
	case 8:
		first_pass(y, before, after, 8);
		break;
	case 4:
		first_pass(y, before, after, 4);
		break;
	case 2:
		first_pass(y, before, after, 2);
		break;
	case 1:
		first_pass(y, before, after, 1);
		break;
	default:
		window_short(y, before, after, w);
	}
}

__attribute__((nonnull)) static void window_forward(float *y, const float *signs, size_t w)
{
	window(y, signs, NULL, w);
}

__attribute__((nonnull)) static void window_backward(float *y, const float *signs, size_t w)
{
	window(y, NULL, signs, w);
}

#endif
