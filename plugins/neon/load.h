/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_NEON_LOAD_H
#define TQ_NEON_LOAD_H

/*
 * Rows in and out: element types, centre, power of two; FORMAT.md section 4 steps 1-4 and the end
 * of section 5, 16 elements at a time. The last, partial 16 go through a copy with zeros behind.
 *
 * A row whose exponent e lies in TQ_EXPONENT_MIN..TQ_EXPONENT_MAX is scaled by one product with
 * 2^-e: for magnitudes of 2^-40 and above it is exact, and everything below becomes +0 by a mask.
 * That includes denormal inputs, so the flush-to-zero mode of the caller does not show. Other rows
 * take the rule of tq_scale_down() one by one.
 */

#include "lanes.h"

/** load16 - elements @i .. @i + 15 */
NEON_INLINE void load16(const void *x, int dtype, size_t i, float32x4_t *v)
{
	const uint16_t *half = (const uint16_t *)x + i;
	uint16x8_t h;
	int k;

	for (k = 0; k < 4; k += 2) {
		if (dtype == TQ_F32) {
			v[k] = vld1q_f32((const float *)x + i + 4 * k);
			v[k + 1] = vld1q_f32((const float *)x + i + 4 * k + 4);
			continue;
		}
		h = vld1q_u16(half + 4 * k);
		if (dtype == TQ_F16) {
			float16x8_t f = vreinterpretq_f16_u16(h);

			v[k] = vcvt_f32_f16(vget_low_f16(f));
			v[k + 1] = vcvt_high_f32_f16(f);
		} else {
			v[k] = vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(h), 16));
			v[k + 1] = vreinterpretq_f32_u32(vshll_high_n_u16(h, 16));
		}
	}
}

/** load_part - the first @n <= 16 of these, zeros above */
NEON_INLINE void load_part(const void *x, int dtype, size_t i, size_t n, float32x4_t *v)
{
	size_t size = dtype == TQ_F32 ? 4 : 2;
	uint8_t copy[64] = {0};

	if (n >= 16) {
		load16(x, dtype, i, v);
		return;
	}
	memcpy(copy, (const char *)x + i * size, n * size);
	load16(copy, dtype, 0, v);
}

/* Eight floats to bf16, nearest, ties to even; NaN stays NaN */
NEON_INLINE uint16x8_t to_bf16(const float32x4_t *v)
{
	uint32x4_t b, round, nan, r[2];
	int k;

	for (k = 0; k < 2; k++) {
		b = vreinterpretq_u32_f32(v[k]);
		round = vandq_u32(vshrq_n_u32(b, 16), vdupq_n_u32(1));
		round = vaddq_u32(vaddq_u32(round, vdupq_n_u32(0x7fff)), b);
		nan = vorrq_u32(b, vdupq_n_u32(0x400000));
		r[k] = vbslq_u32(vceqq_f32(v[k], v[k]), round, nan);
	}
	return vcombine_u16(vshrn_n_u32(r[0], 16), vshrn_n_u32(r[1], 16));
}

/** store16 - to elements @i .. @i + 15 */
NEON_INLINE void store16(void *x, int dtype, size_t i, const float32x4_t *v)
{
	uint16_t *half = (uint16_t *)x + i;
	int k;

	for (k = 0; k < 4; k += 2) {
		if (dtype == TQ_F32) {
			vst1q_f32((float *)x + i + 4 * k, v[k]);
			vst1q_f32((float *)x + i + 4 * k + 4, v[k + 1]);
		} else if (dtype == TQ_F16) {
			float16x8_t f = vcvt_high_f16_f32(vcvt_f16_f32(v[k]), v[k + 1]);

			vst1q_u16(half + 4 * k, vreinterpretq_u16_f16(f));
		} else {
			vst1q_u16(half + 4 * k, to_bf16(v + k));
		}
	}
}

/** store_part - the first @n <= 16 of these */
NEON_INLINE void store_part(void *x, int dtype, size_t i, const float32x4_t *v, size_t n)
{
	size_t size = dtype == TQ_F32 ? 4 : 2;
	uint8_t copy[64];

	if (n >= 16) {
		store16(x, dtype, i, v);
		return;
	}
	store16(copy, dtype, 0, v);
	memcpy((char *)x + i * size, copy, n * size);
}

/* floor(log2 max) of a row from its largest magnitude's bits; 0 for zeros */
NEON_INLINE int row_exponent(uint32x4_t top)
{
	float most = tq_bits_f32(vmaxvq_u32(top));

	return tq_max_exponent(&most, 1);
}

NEON_INLINE float32x4_t scale_and_flush(float32x4_t v, float factor)
{
	uint32x4_t keep;

	v = vmulq_n_f32(v, factor);
	keep = vcageq_f32(v, vdupq_n_f32(TQ_TINY));
	return vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(v), keep));
}

/* Steps 3 and 4 by the general rule */
static void scale_rare(float *y, size_t d, int e, struct tq_row_stat *stat)
{
	size_t i;

	for (i = 0; i < d; i++)
		y[i] = tq_scale_down(y[i], e);
	stat->norm2 = tq_dot16(y, y, d);
}

/**
 * load_row - tq_row_load() of rules.h
 * @y: receives dim floats; up to the next multiple of 16 zeros are written behind them
 */
NEON_INLINE void load_row(const struct tq_plan *plan, const void *x, int dtype, uint32_t center,
			  float *y, struct tq_row_stat *stat)
{
	const uint32x4_t magnitude = vdupq_n_u32(0x7fffffff);
	float32x4_t cross[4] = {0}, norm[4] = {0}, v[4], m[4];
	uint32x4_t top = vdupq_n_u32(0);
	size_t d = plan->dim, i;
	float factor;
	int e, k;

	for (i = 0; i < d; i += 16) {
		load_part(x, dtype, i, d - i, v);
		if (center != TQ_CENTER_OFF)
			load_part(plan->centre, TQ_F32, i, d - i, m);
		if (center == TQ_CENTER_BOTH)
			add_products(cross, v, m);
		for (k = 0; k < 4; k++) {
			if (center != TQ_CENTER_OFF)
				v[k] = vsubq_f32(v[k], m[k]);
			vst1q_f32(y + i + 4 * k, v[k]);
			top = vmaxq_u32(top, vandq_u32(vreinterpretq_u32_f32(v[k]), magnitude));
		}
	}
	stat->cross = center == TQ_CENTER_BOTH ? sum_tree(cross) : 0.0f;
	e = row_exponent(top);
	stat->exponent = e;
	if (e < TQ_EXPONENT_MIN || e > TQ_EXPONENT_MAX) {
		scale_rare(y, d, e, stat);
		return;
	}
	factor = tq_pow2(-e);
	for (i = 0; i < d; i += 16) {
		for (k = 0; k < 4; k++) {
			v[k] = scale_and_flush(vld1q_f32(y + i + 4 * k), factor);
			vst1q_f32(y + i + 4 * k, v[k]);
		}
		add_products(norm, v, v);
	}
	stat->norm2 = sum_tree(norm);
}

#endif
