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
 *
 * The roll by floor(d/3) after a round moves the vector to a lower address instead of around: only
 * the last floor(d/3) coordinates are copied, to just below the others.
 */

#include "lanes.h"

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

/* The signs of round t: the head's, then the tail's */
AVX2_INLINE const float *round_signs(const struct tq_rotation *rot, uint32_t t)
{
	return rot->signs + (size_t)t * rot->window * (rot->window < rot->dim ? 2 : 1);
}

static void round_forward(const struct tq_rotation *rot, uint32_t t, float *y)
{
	const float *signs = round_signs(rot, t);
	size_t w = rot->window;

	window_forward(y, signs, w);
	if (w < rot->dim)
		window_forward(y + rot->dim - w, signs + w, w);
}

static void round_backward(const struct tq_rotation *rot, uint32_t t, float *y)
{
	const float *signs = round_signs(rot, t);
	size_t w = rot->window;

	if (w < rot->dim)
		window_backward(y + rot->dim - w, signs + w, w);
	window_backward(y, signs, w);
}

void avx2_rht_forward(const struct tq_rotation *rot, float *buf)
{
	size_t d = rot->dim, r = rot->roll;
	float *y = buf + rot->rounds * r;
	uint32_t t;

	for (t = 0; t < rot->rounds; t++) {
		round_forward(rot, t, y);
		if (r)
			memcpy(y - r, y + d - r, r * sizeof(float));
		y -= r;
	}
}

void avx2_rht_backward(const struct tq_rotation *rot, float *buf)
{
	size_t d = rot->dim, r = rot->roll;
	float *y = buf;
	uint32_t t;

	for (t = rot->rounds; t-- > 0;) {
		if (r)
			memcpy(y + d, y, r * sizeof(float));
		y += r;
		round_backward(rot, t, y);
	}
}

/* Dimensions whose buffer would not fit the stack: the vector moves between @y and @scratch instead
 */
static void roll_to(const float *from, float *to, size_t d, size_t r)
{
	memcpy(to + r, from, (d - r) * sizeof(float));
	memcpy(to, from + d - r, r * sizeof(float));
}

static void rotate_large(const struct tq_rotation *rot, const float *x, float *y, float *scratch)
{
	size_t d = rot->dim, r = rot->roll;
	float *from = r && (rot->rounds & 1) ? scratch : y, *to = from == y ? scratch : y, *swap;
	uint32_t t;

	memcpy(from, x, d * sizeof(float));
	for (t = 0; t < rot->rounds; t++) {
		round_forward(rot, t, from);
		if (r) {
			roll_to(from, to, d, r);
			swap = from;
			from = to;
			to = swap;
		}
	}
}

static void unrotate_large(const struct tq_rotation *rot, const float *x, float *y, float *scratch)
{
	size_t d = rot->dim, r = rot->roll;
	float *from = r && (rot->rounds & 1) ? scratch : y, *to = from == y ? scratch : y, *swap;
	uint32_t t;

	memcpy(from, x, d * sizeof(float));
	for (t = rot->rounds; t-- > 0;) {
		if (r) {
			roll_to(from, to, d, d - r);
			swap = from;
			from = to;
			to = swap;
		}
		round_backward(rot, t, from);
	}
}

static void rht_rotate(const struct tq_rotation *rot, const void *state, const float *x, float *y,
		       size_t n, float *scratch)
{
	float buf[2 * AVX2_FUSED_DIM_MAX] __attribute__((aligned(64)));
	size_t d = rot->dim, i;

	for (i = 0; i < n; i++, x += d, y += d) {
		if (rot->roll == 0) {
			memcpy(y, x, d * sizeof(float));
			avx2_rht_forward(rot, y);
		} else if (d <= AVX2_FUSED_DIM_MAX) {
			memcpy(buf + rot->rounds * rot->roll, x, d * sizeof(float));
			avx2_rht_forward(rot, buf);
			memcpy(y, buf, d * sizeof(float));
		} else {
			rotate_large(rot, x, y, scratch);
		}
	}
}

static void rht_unrotate(const struct tq_rotation *rot, const void *state, const float *x, float *y,
			 size_t n, float *scratch)
{
	float buf[2 * AVX2_FUSED_DIM_MAX] __attribute__((aligned(64)));
	size_t d = rot->dim, i;

	for (i = 0; i < n; i++, x += d, y += d) {
		if (rot->roll == 0) {
			memcpy(y, x, d * sizeof(float));
			avx2_rht_backward(rot, y);
		} else if (d <= AVX2_FUSED_DIM_MAX) {
			memcpy(buf, x, d * sizeof(float));
			avx2_rht_backward(rot, buf);
			memcpy(y, buf + rot->rounds * rot->roll, d * sizeof(float));
		} else {
			unrotate_large(rot, x, y, scratch);
		}
	}
}

const struct tq_rotation_ops avx2_rht_ops = {
	.struct_size = sizeof(struct tq_rotation_ops),
	.rotate = rht_rotate,
	.unrotate = rht_unrotate,
};
