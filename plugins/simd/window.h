/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_SIMD_WINDOW_H
#define TQ_SIMD_WINDOW_H

/*
 * Signs and butterflies over a window in memory, FORMAT.md section 2, for registers of any width.
 * The file that includes this one defines before:
 *
 *	vec		a register of VEC_FLOATS floats
 *	VEC_NEXT	registers of a further pass over memory, a power of two up to 16
 *	vec_load, vec_store, vec_add, vec_sub, vec_mul
 *	vec_stages	the stages inside a register: h = 1, 2, ..., VEC_FLOATS / 2
 *
 * A pass does as many stages as its registers allow: the first those inside 16 registers and between
 * neighbours, a further one those of registers h apart. Blocks of 4096 floats are finished, stage
 * after stage, before the next one is touched: they stay in the first level cache. The loops over
 * registers are unrolled by request: the compiler keeps an array in registers only if they are gone
 * early.
 */

#include "row.h"

#define WINDOW_BLOCK 4096
#define WINDOW_FIRST 16
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

/* Windows of more than eight registers: apart, because smaller ones need no room on the stack */
WINDOW_INLINE void window_large(float *y, const float *before, const float *after, size_t w)
{
	const size_t first = VEC_FLOATS * WINDOW_FIRST;
	size_t i, part, k;

	if (w == first) {
		first_pass(y, before, after, WINDOW_FIRST);
		return;
	}
	part = w < WINDOW_BLOCK ? w : WINDOW_BLOCK;
	for (k = 0; k < w; k += part) {
		for (i = k; i < k + part; i += first)
			first_pass(y + i, before ? before + i : NULL, NULL, WINDOW_FIRST);
		passes(y + k, part == w ? after : NULL, part, first);
	}
	passes(y, after, w, part);
}

__attribute__((noinline, nonnull)) static void large_forward(float *y, const float *signs, size_t w)
{
	window_large(y, signs, NULL, w);
}

__attribute__((noinline, nonnull)) static void large_backward(float *y, const float *signs,
							      size_t w)
{
	window_large(y, NULL, signs, w);
}

/* Up to eight registers; returns whether the window was that small */
WINDOW_INLINE int window_small(float *y, const float *before, const float *after, size_t w)
{
	switch (w / VEC_FLOATS) {
	case 8:
		first_pass(y, before, after, 8);
		return 1;
	case 4:
		first_pass(y, before, after, 4);
		return 1;
	case 2:
		first_pass(y, before, after, 2);
		return 1;
	case 1:
		first_pass(y, before, after, 1);
		return 1;
	case 0:
		window_short(y, before, after, w);
		return 1;
	default:
		return 0;
	}
}

/* Signs, then butterflies over w floats, w a power of two */
__attribute__((nonnull)) static void window_forward(float *y, const float *signs, size_t w)
{
	if (!window_small(y, signs, NULL, w))
		large_forward(y, signs, w);
}

/* Butterflies, then signs */
__attribute__((nonnull)) static void window_backward(float *y, const float *signs, size_t w)
{
	if (!window_small(y, NULL, signs, w))
		large_backward(y, signs, w);
}

#endif
