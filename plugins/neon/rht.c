/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The windows of the randomized Hadamard rotation, FORMAT.md section 2; simd/rounds.h has the
 * rounds.
 *
 * Stages h = 1, 2 stay inside a register: with p = x and partners changed over, p + x * (1, -1,
 * ...) is u + v in the first place of each pair and u - v in the second: one permutation and one
 * fma whose product is exact. Stages h = 4 .. 32 run between the 16 registers that hold 64 floats,
 * so the first pass over memory does six stages; a further pass does up to three, on eight
 * registers h apart. Blocks of 4096 floats are finished, stage after stage, before the next one is
 * touched: they stay in the first level cache.
 */

#include "lanes.h"
#include "drivers.h"
#include "../simd/rounds.h"

#define RHT_BLOCK 4096

NEON_INLINE float32x4_t stages_12(float32x4_t x)
{
	const float32x4_t s1 = {1, -1, 1, -1}, s2 = {1, 1, -1, -1};

	x = vfmaq_f32(vrev64q_f32(x), x, s1);
	return vfmaq_f32(vextq_f32(x, x, 2), x, s2);
}

/* log2(regs) stages between registers v[0 .. regs-1] */
NEON_INLINE void stages_registers(float32x4_t *v, int regs)
{
	float32x4_t u, w;
	int h, i;

#pragma GCC unroll 4
	for (h = 1; h < regs; h *= 2) {
#pragma GCC unroll 16
		for (i = 0; i < regs; i++) {
			if (i & h)
				continue;
			u = v[i];
			w = v[i + h];
			v[i] = vaddq_f32(u, w);
			v[i + h] = vsubq_f32(u, w);
		}
	}
}

/* All stages below 4 * regs of 4 * regs floats; @before, @after: signs to multiply by, or NULL */
NEON_INLINE void first_pass(float *y, const float *before, const float *after, int regs)
{
	float32x4_t v[16];
	int i;

#pragma GCC unroll 16
	for (i = 0; i < regs; i++) {
		v[i] = vld1q_f32(y + 4 * i);
		if (before)
			v[i] = vmulq_f32(v[i], vld1q_f32(before + 4 * i));
		v[i] = stages_12(v[i]);
	}
	stages_registers(v, regs);
#pragma GCC unroll 16
	for (i = 0; i < regs; i++) {
		if (after)
			v[i] = vmulq_f32(v[i], vld1q_f32(after + 4 * i));
		vst1q_f32(y + 4 * i, v[i]);
	}
}

/* Stages h, 2h, ..., regs/2 * h of n floats */
NEON_INLINE void next_pass(float *y, const float *after, size_t n, size_t h, int regs)
{
	float32x4_t v[8];
	size_t block, j;
	int i;

	for (block = 0; block < n; block += h * (size_t)regs) {
		for (j = block; j < block + h; j += 4) {
#pragma GCC unroll 8
			for (i = 0; i < regs; i++)
				v[i] = vld1q_f32(y + j + h * (size_t)i);
			stages_registers(v, regs);
#pragma GCC unroll 8
			for (i = 0; i < regs; i++) {
				if (after)
					v[i] = vmulq_f32(v[i],
							 vld1q_f32(after + j + h * (size_t)i));
				vst1q_f32(y + j + h * (size_t)i, v[i]);
			}
		}
	}
}

/* Stages from h up to n/2 of n floats, as few passes as possible */
NEON_INLINE void passes(float *y, const float *after, size_t n, size_t h)
{
	while (h < n) {
		if (8 * h <= n) {
			next_pass(y, 8 * h == n ? after : NULL, n, h, 8);
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

/* One or two floats */
NEON_INLINE void window_few(float *y, const float *before, const float *after, size_t w)
{
	float u = before ? y[0] * before[0] : y[0], v = 0.0f, sum = u;

	if (w == 2) {
		v = before ? y[1] * before[1] : y[1];
		sum = u + v;
		y[1] = u - v;
		if (after)
			y[1] = y[1] * after[1];
	}
	y[0] = after ? sum * after[0] : sum;
}

/* Signs, butterflies, or butterflies, signs, over w floats, w a power of two */
NEON_INLINE void window(float *y, const float *before, const float *after, size_t w)
{
	size_t i, part, k;

	if (w <= 2) {
		window_few(y, before, after, w);
		return;
	}
	switch (w) {
	case 4:
		first_pass(y, before, after, 1);
		return;
	case 8:
		first_pass(y, before, after, 2);
		return;
	case 16:
		first_pass(y, before, after, 4);
		return;
	case 32:
		first_pass(y, before, after, 8);
		return;
	case 64:
		first_pass(y, before, after, 16);
		return;
	default:
		break;
	}
	part = w < RHT_BLOCK ? w : RHT_BLOCK;
	for (k = 0; k < w; k += part) {
		for (i = k; i < k + part; i += 64)
			first_pass(y + i, before ? before + i : NULL, NULL, 16);
		passes(y + k, part == w ? after : NULL, part, 64);
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

void neon_rht_forward(const struct tq_rotation *rot, float *buf)
{
	rounds_forward(rot, buf);
}

void neon_rht_backward(const struct tq_rotation *rot, float *buf)
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

const struct tq_rotation_ops neon_rht_ops = {
	.struct_size = sizeof(struct tq_rotation_ops),
	.rotate = rht_rotate,
	.unrotate = rht_unrotate,
};
