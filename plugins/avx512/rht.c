/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The randomized Hadamard rotation in memory, any dimension. The first pass over a window does the
 * eight stages of 256 floats in 16 registers; further passes do four (three, two, one) stages each,
 * up to 16 registers h apart. Blocks of 4096 floats are finished, stage after stage, before the
 * next one is touched: they stay in L1.
 */

#include "butterfly.h"
#include "../simd/rounds.h"

#define FIRST_REGS 16
#define RHT_BLOCK 4096

/* All stages below 16 * regs of 16 * regs floats; @before, @after: signs to multiply by, or NULL */
AVX512_INLINE void first_pass(float *y, const float *before, const float *after, int regs)
{
	__m512 v[FIRST_REGS];
	int i;

#pragma GCC unroll 16
	for (i = 0; i < regs; i++) {
		v[i] = _mm512_loadu_ps(y + 16 * i);
		if (before)
			v[i] = _mm512_mul_ps(v[i], _mm512_loadu_ps(before + 16 * i));
		v[i] = stages_lanes(v[i]);
	}
	stages_registers(v, regs);
#pragma GCC unroll 16
	for (i = 0; i < regs; i++) {
		if (after)
			v[i] = _mm512_mul_ps(v[i], _mm512_loadu_ps(after + 16 * i));
		_mm512_storeu_ps(y + 16 * i, v[i]);
	}
}

/* Stages h, 2h, ..., regs/2 * h of n floats */
AVX512_INLINE void next_pass(float *y, const float *after, size_t n, size_t h, int regs)
{
	__m512 v[FIRST_REGS];
	size_t block, j;
	int i;

	for (block = 0; block < n; block += h * (size_t)regs) {
		for (j = block; j < block + h; j += 16) {
#pragma GCC unroll 16
			for (i = 0; i < regs; i++)
				v[i] = _mm512_loadu_ps(y + j + h * (size_t)i);
			stages_registers(v, regs);
#pragma GCC unroll 16
			for (i = 0; i < regs; i++) {
				if (after)
					v[i] = _mm512_mul_ps(
						v[i], _mm512_loadu_ps(after + j + h * (size_t)i));
				_mm512_storeu_ps(y + j + h * (size_t)i, v[i]);
			}
		}
	}
}

/* Stages from h up to n/2 of n floats, as few passes as possible */
AVX512_INLINE void passes(float *y, const float *after, size_t n, size_t h)
{
	while (h < n) {
		if (16 * h <= n) {
			next_pass(y, 16 * h == n ? after : NULL, n, h, 16);
			h *= 16;
		} else if (8 * h <= n) {
			next_pass(y, after, n, h, 8);
			h *= 8;
		} else if (4 * h <= n) {
			next_pass(y, after, n, h, 4);
			h *= 4;
		} else {
			next_pass(y, after, n, h, 2);
			h *= 2;
		}
	}
}

/* Windows of 1, 2, 4 and 8 */
AVX512_INLINE void window_short(float *y, const float *before, const float *after, size_t w)
{
	__mmask16 mask = lanes(w);
	__m512 v = _mm512_maskz_loadu_ps(mask, y);

	if (before)
		v = _mm512_mul_ps(v, _mm512_maskz_loadu_ps(mask, before));
	if (w > 1)
		v = stage_1(v);
	if (w > 2)
		v = stage_2(v);
	if (w > 4)
		v = stage_4(v);
	if (after)
		v = _mm512_mul_ps(v, _mm512_maskz_loadu_ps(mask, after));
	_mm512_mask_storeu_ps(y, mask, v);
}

/* Signs, butterflies, or butterflies, signs, over w floats, w a power of two */
AVX512_INLINE void window(float *y, const float *before, const float *after, size_t w)
{
	size_t i, part, k;

	switch (w) {
	case 16:
		first_pass(y, before, after, 1);
		return;
	case 32:
		first_pass(y, before, after, 2);
		return;
	case 64:
		first_pass(y, before, after, 4);
		return;
	case 128:
		first_pass(y, before, after, 8);
		return;
	case 256:
		first_pass(y, before, after, 16);
		return;
	default:
		break;
	}
	if (w < 16) {
		window_short(y, before, after, w);
		return;
	}
	part = w < RHT_BLOCK ? w : RHT_BLOCK;
	for (k = 0; k < w; k += part) {
		for (i = k; i < k + part; i += 16 * FIRST_REGS)
			first_pass(y + i, before ? before + i : NULL, NULL, FIRST_REGS);
		passes(y + k, part == w ? after : NULL, part, 16 * FIRST_REGS);
	}
	passes(y, after, w, part);
}

static void window_forward(float *y, const float *signs, size_t w)
{
	window(y, signs, NULL, w);
}

static void window_backward(float *y, const float *signs, size_t w)
{
	window(y, NULL, signs, w);
}

void avx512_rht_forward(const struct tq_rotation *rot, float *buf)
{
	rounds_forward(rot, buf);
}

void avx512_rht_backward(const struct tq_rotation *rot, float *buf)
{
	rounds_backward(rot, buf);
}

static void rht_rotate(const struct tq_rotation *rot, const void *state, const float *x, float *y,
		       size_t n, float *scratch)
{
	rounds_rotate(rot, x, y, n, scratch);
}

static void rht_unrotate(const struct tq_rotation *rot, const void *state, const float *x, float *y,
			 size_t n, float *scratch)
{
	rounds_unrotate(rot, x, y, n, scratch);
}

const struct tq_rotation_ops avx512_rht_ops = {
	.struct_size = sizeof(struct tq_rotation_ops),
	.rotate = rht_rotate,
	.unrotate = rht_unrotate,
};
