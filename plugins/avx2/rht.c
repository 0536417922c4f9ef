/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The randomized Hadamard rotation, FORMAT.md section 2.
 *
 * Stages h = 1, 2, 4 stay inside a register: with p = x permuted so that partners change places,
 * p + x * (1, -1, ...) is u + v in the upper place of each pair and u - v in the lower: one
 * permutation and one fma whose product is exact. Stages h = 8, 16, 32 run between eight registers,
 * so the first pass over memory does six stages; further passes do three (two, one) each, eight
 * registers h apart. Blocks of 4096 floats are finished, stage after stage, before the next one is
 * touched: they stay in L1.
 */

#include "lanes.h"
#include "../simd/rounds.h"

#define RHT_BLOCK 4096

/* One stage inside registers; @permuted: each lane's partner, @sign: 1 at the first of a pair, else
 * -1 */
AVX2_INLINE __m256 stage_lanes(__m256 x, __m256 permuted, __m256 sign)
{
	return _mm256_fmadd_ps(x, sign, permuted);
}

AVX2_INLINE __m256 stages_124(__m256 x)
{
	const __m256 s1 = _mm256_setr_ps(1, -1, 1, -1, 1, -1, 1, -1);
	const __m256 s2 = _mm256_setr_ps(1, 1, -1, -1, 1, 1, -1, -1);
	const __m256 s4 = _mm256_setr_ps(1, 1, 1, 1, -1, -1, -1, -1);

	x = stage_lanes(x, _mm256_permute_ps(x, 0xb1), s1);
	x = stage_lanes(x, _mm256_permute_ps(x, 0x4e), s2);
	return stage_lanes(x, _mm256_permute2f128_ps(x, x, 0x01), s4);
}

/* log2(regs) stages between registers v[0 .. regs-1] */
AVX2_INLINE void stages_registers(__m256 *v, int regs)
{
	int h, i;

	for (h = 1; h < regs; h *= 2) {
		for (i = 0; i < regs; i++) {
			__m256 u = v[i], w;

			if (i & h)
				continue;
			w = v[i + h];
			v[i] = _mm256_add_ps(u, w);
			v[i + h] = _mm256_sub_ps(u, w);
		}
	}
}

/* All stages below 8 * regs of 8 * regs floats; @before, @after: signs to multiply by, or NULL */
AVX2_INLINE void first_pass(float *y, const float *before, const float *after, int regs)
{
	__m256 v[8];
	int i;

	for (i = 0; i < regs; i++) {
		v[i] = _mm256_loadu_ps(y + 8 * i);
		if (before)
			v[i] = _mm256_mul_ps(v[i], _mm256_loadu_ps(before + 8 * i));
		v[i] = stages_124(v[i]);
	}
	stages_registers(v, regs);
	for (i = 0; i < regs; i++) {
		if (after)
			v[i] = _mm256_mul_ps(v[i], _mm256_loadu_ps(after + 8 * i));
		_mm256_storeu_ps(y + 8 * i, v[i]);
	}
}

/* Stages h, 2h, ..., regs/2 * h of n floats */
AVX2_INLINE void next_pass(float *y, const float *after, size_t n, size_t h, int regs)
{
	size_t block, j;
	__m256 v[8];
	int i;

	for (block = 0; block < n; block += h * (size_t)regs) {
		for (j = block; j < block + h; j += 8) {
			for (i = 0; i < regs; i++)
				v[i] = _mm256_loadu_ps(y + j + h * (size_t)i);
			stages_registers(v, regs);
			for (i = 0; i < regs; i++) {
				if (after)
					v[i] = _mm256_mul_ps(
						v[i], _mm256_loadu_ps(after + j + h * (size_t)i));
				_mm256_storeu_ps(y + j + h * (size_t)i, v[i]);
			}
		}
	}
}

/* Stages from h up to n/2 of n floats, as few passes as possible */
AVX2_INLINE void passes(float *y, const float *after, size_t n, size_t h)
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

static void butterflies_short(float *y, const float *before, const float *after, size_t w)
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
AVX2_INLINE void window(float *y, const float *before, const float *after, size_t w)
{
	size_t i, part, k;

	switch (w) {
	case 8:
		first_pass(y, before, after, 1);
		return;
	case 16:
		first_pass(y, before, after, 2);
		return;
	case 32:
		first_pass(y, before, after, 4);
		return;
	case 64:
		first_pass(y, before, after, 8);
		return;
	default:
		break;
	}
	if (w < 8) {
		butterflies_short(y, before, after, w);
		return;
	}
	part = w < RHT_BLOCK ? w : RHT_BLOCK;
	for (k = 0; k < w; k += part) {
		for (i = k; i < k + part; i += 64)
			first_pass(y + i, before ? before + i : NULL, NULL, 8);
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

void avx2_rht_forward(const struct tq_rotation *rot, float *buf)
{
	rounds_forward(rot, buf);
}

void avx2_rht_backward(const struct tq_rotation *rot, float *buf)
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

const struct tq_rotation_ops avx2_rht_ops = {
	.struct_size = sizeof(struct tq_rotation_ops),
	.rotate = rht_rotate,
	.unrotate = rht_unrotate,
};
