/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_RULES_H
#define TQ_RULES_H

/*
 * The scalar arithmetic that every driver shares, as docs/FORMAT.md defines it: conversions, the power
 * of two of a row, the order of sums, the stored scale. Included by tq/plugin.h. Compile with
 * -ffp-contract=off and without -ffast-math.
 */

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include "tq/plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

static inline uint32_t tq_f32_bits(float x)
{
	uint32_t b;

	memcpy(&b, &x, sizeof(b));
	return b;
}

static inline float tq_bits_f32(uint32_t b)
{
	float x;

	memcpy(&x, &b, sizeof(x));
	return x;
}

/** tq_pow2 - 2^e, for e in -126..127 */
static inline float tq_pow2(int e)
{
	return tq_bits_f32((uint32_t)(e + 127) << 23);
}

static inline float tq_f16_to_f32(uint16_t h)
{
	uint32_t sign = (uint32_t)(h & 0x8000u) << 16, e = (h >> 10) & 31u, m = h & 0x3ffu;

	if (e == 31)
		return tq_bits_f32(sign | 0x7f800000u | m << 13);
	if (e)
		return tq_bits_f32(sign | (e + 112) << 23 | m << 13);
	return tq_bits_f32(sign | tq_f32_bits((float)m * 5.9604644775390625e-8f));
}

/** tq_f32_to_f16 - nearest, ties to even; overflow is infinity */
static inline uint16_t tq_f32_to_f16(float x)
{
	uint32_t b = tq_f32_bits(x), sign = (b >> 16) & 0x8000u, a = b & 0x7fffffffu;
	uint32_t m, shift, half, rest;

	if (a > 0x7f800000u)
		return (uint16_t)(sign | 0x7e00u);
	if (a >= 0x477ff000u)
		return (uint16_t)(sign | 0x7c00u);
	if (a >= 0x38800000u)
		return (uint16_t)(sign | ((a - 0x38000000u + 0xfffu + ((a >> 13) & 1u)) >> 13));
	if (a < 0x33000000u)
		return (uint16_t)sign;
	m = (a & 0x7fffffu) | 0x800000u;
	shift = 126u - (a >> 23);
	half = m >> shift;
	rest = m & ((1u << shift) - 1u);
	if (rest > 1u << (shift - 1) || (rest == 1u << (shift - 1) && (half & 1u)))
		half++;
	return (uint16_t)(sign | half);
}

static inline float tq_bf16_to_f32(uint16_t h)
{
	return tq_bits_f32((uint32_t)h << 16);
}

/** tq_f32_to_bf16 - nearest, ties to even */
static inline uint16_t tq_f32_to_bf16(float x)
{
	uint32_t b = tq_f32_bits(x);

	if ((b & 0x7fffffffu) > 0x7f800000u)
		return (uint16_t)(b >> 16 | 0x40u);
	return (uint16_t)((b + 0x7fffu + ((b >> 16) & 1u)) >> 16);
}

/** tq_load_element - element @i of an array of @dtype, as float (exact) */
static inline float tq_load_element(const void *x, int dtype, size_t i)
{
	uint16_t h;
	float f;

	if (dtype == TQ_F32) {
		memcpy(&f, (const char *)x + 4 * i, sizeof(f));
		return f;
	}
	memcpy(&h, (const char *)x + 2 * i, sizeof(h));
	return dtype == TQ_F16 ? tq_f16_to_f32(h) : tq_bf16_to_f32(h);
}

static inline void tq_store_element(void *x, int dtype, size_t i, float v)
{
	uint16_t h;

	if (dtype == TQ_F32) {
		memcpy((char *)x + 4 * i, &v, sizeof(v));
		return;
	}
	h = dtype == TQ_F16 ? tq_f32_to_f16(v) : tq_f32_to_bf16(v);
	memcpy((char *)x + 2 * i, &h, sizeof(h));
}

/** tq_rint - nearest integer, ties to even, for |x| < 2^22 */
static inline float tq_rint(float x)
{
	return (x + 12582912.0f) - 12582912.0f;
}

/** tq_sum16 - add 16 lanes: the fixed tree 8, 4, 2, 1 */
static inline float tq_sum16(const float *lane)
{
	float s[8];
	int i;

	for (i = 0; i < 8; i++)
		s[i] = lane[i] + lane[i + 8];
	for (i = 0; i < 4; i++)
		s[i] = s[i] + s[i + 4];
	s[0] = s[0] + s[2];
	s[1] = s[1] + s[3];
	return s[0] + s[1];
}

/** tq_dot16 - sum of x_i * y_i: lane i % 16 in index order, product then sum, then the tree */
static inline float tq_dot16(const float *x, const float *y, size_t n)
{
	float lane[16] = { 0 };
	size_t whole = n / 16 * 16, i, j;

	for (i = 0; i < whole; i += 16)
		for (j = 0; j < 16; j++)
			lane[j] = lane[j] + x[i + j] * y[i + j];
	for (; i < n; i++)
		lane[i & 15] = lane[i & 15] + x[i] * y[i];
	return tq_sum16(lane);
}

/** tq_largest_bits - the bits of max |x_i| */
static inline uint32_t tq_largest_bits(const float *x, size_t n)
{
	int32_t lane[16] = { 0 }, a, most = 0;
	size_t whole = n / 16 * 16, i, j;

	for (i = 0; i < whole; i += 16)
		for (j = 0; j < 16; j++) {
			a = (int32_t)(tq_f32_bits(x[i + j]) & 0x7fffffffu);
			lane[j] = a > lane[j] ? a : lane[j];
		}
	for (; i < n; i++) {
		a = (int32_t)(tq_f32_bits(x[i]) & 0x7fffffffu);
		lane[i & 15] = a > lane[i & 15] ? a : lane[i & 15];
	}
	for (j = 0; j < 16; j++)
		most = lane[j] > most ? lane[j] : most;
	return (uint32_t)most;
}

/** tq_max_exponent - floor(log2(max |x_i|)); 0 for a row of zeros. Integers only. */
static inline int tq_max_exponent(const float *x, size_t n)
{
	uint32_t top = tq_largest_bits(x, n);
	int e;

	if (top == 0)
		return 0;
	if (top >= 0x00800000u)
		return (int)(top >> 23) - 127;
	for (e = -127; !(top & 0x00400000u); e--)
		top <<= 1;
	return e;
}

/** Rows whose exponent is in this range may be scaled by one float multiplication. */
#define TQ_EXPONENT_MIN (-80)
#define TQ_EXPONENT_MAX 126
/** Scaled elements below this magnitude become +0: no denormal takes part anywhere. */
#define TQ_TINY 9.094947017729282e-13f /* 2^-40 */

/** tq_scale_down - x * 2^-e, exact, for any finite x and any row exponent e; +0 below TQ_TINY */
static inline float tq_scale_down(float x, int e)
{
	uint32_t b = tq_f32_bits(x), m = b & 0x7fffffu;
	int ex = (int)((b >> 23) & 255u), k;
	float v;

	if (ex)
		m |= 0x800000u;
	else
		ex = 1;
	k = ex - 150 - e;
	if (k < -100 || m == 0)
		return 0.0f;
	v = (float)m * tq_pow2(k);
	if (v < TQ_TINY)
		return 0.0f;
	return b >> 31 ? -v : v;
}

/** tq_settle - tq_scale_down() of a row by its tq_max_exponent(), mostly one product each; returns that */
static inline int tq_settle(float *y, size_t n)
{
	int e = tq_max_exponent(y, n);
	size_t i = 0, j;
	float factor, v;

	if (e >= TQ_EXPONENT_MIN && e <= TQ_EXPONENT_MAX)
		for (factor = tq_pow2(-e); i + 16 <= n; i += 16)
			for (j = 0; j < 16; j++) {
				v = y[i + j] * factor;
				y[i + j] = fabsf(v) < TQ_TINY ? 0.0f : v;
			}
	for (; i < n; i++)
		y[i] = tq_scale_down(y[i], e);
	return e;
}

/** tq_scale_up - v * 2^e for v >= 0 by exponent arithmetic: 0 below 2^-126, FLT_MAX above */
static inline float tq_scale_up(float v, int e)
{
	uint32_t b = tq_f32_bits(v);
	int ex = (int)(b >> 23) + e;

	if (b < 0x00800000u || ex <= 0)
		return 0.0f;
	if (ex >= 255)
		return tq_bits_f32(0x7f7fffffu);
	return tq_bits_f32((b & 0x7fffffu) | (uint32_t)ex << 23);
}

/** tq_split_scale - s = m * 2^e with m in [1, 2); 0 and 0 for a zero (or denormal) scale */
static inline float tq_split_scale(float s, int32_t *e)
{
	uint32_t b = tq_f32_bits(s);

	*e = 0;
	if (b < 0x00800000u)
		return 0.0f;
	*e = (int32_t)(b >> 23) - 127;
	return tq_bits_f32((b & 0x7fffffu) | 0x3f800000u);
}

/**
 * tq_row_load - one input row to the scaled float row and its statistics
 * @y: receives dim floats: (x - centre) * 2^-exponent
 */
static inline void tq_row_load(const struct tq_plan *plan, const void *x, int dtype, float *y,
			       struct tq_row_stat *stat)
{
	size_t d = plan->dim, i;

	if (dtype == TQ_F32)
		memcpy(y, x, d * sizeof(*y));
	for (i = 0; dtype != TQ_F32 && i < d; i++)
		y[i] = tq_load_element(x, dtype, i);
	stat->cross = plan->center == TQ_CENTER_BOTH ? tq_dot16(y, plan->centre, d) : 0.0f;
	if (plan->center != TQ_CENTER_OFF)
		for (i = 0; i < d; i++)
			y[i] = y[i] - plan->centre[i];
	stat->exponent = tq_settle(y, d);
	stat->norm2 = tq_dot16(y, y, d);
}

/** tq_load_scale - the stored scale (or residual norm) as float */
static inline float tq_load_scale(const struct tq_plan *plan, const uint8_t *at)
{
	return tq_load_element(at, (int)plan->scale, 0);
}

/** tq_store_scale - store a scale; f16 stops at 65504, which tq_encode() reports as TQ_ERR_RANGE */
static inline void tq_store_scale(const struct tq_plan *plan, uint8_t *at, float s)
{
	if (plan->scale == TQ_F16 && s > 65504.0f)
		s = 65504.0f;
	if (plan->scale == TQ_BF16 && s > 3.3895313892515355e38f)
		s = 3.3895313892515355e38f;
	tq_store_element(at, (int)plan->scale, 0, s);
}

/**
 * tq_row_scale - the scale of a row, before its power of two
 * @norm2: 16-lane sum of squares of the scaled row
 * @yc:    sum over 16 lanes of y_i * (float)odd_i
 * @cc:    sum of odd_i^2, exact
 *
 * The level of index k is odd[k] * half_step; docs/METHODS.md says what each is.
 */
static inline float tq_row_scale(const struct tq_plan *plan, float norm2, float yc, int64_t cc)
{
	float h = plan->codebook.half_step;

	if (!(norm2 > 0.0f))
		return 0.0f;
	switch (plan->correction) {
	case TQ_CORR_NORM:
		return cc ? sqrtf(norm2 / (float)cc) / h : 0.0f;
	case TQ_CORR_LS:
		return yc > 0.0f ? (yc / (float)cc) / h : 0.0f;
	case TQ_CORR_UNBIASED:
		return yc > 0.0f ? (norm2 / yc) / h : 0.0f;
	default:
		return sqrtf(norm2 / (float)plan->dim);
	}
}

/**
 * tq_pack_indices - write level indices into the fields of a row
 * @index: indices of coordinates @first .. @first + @n - 1
 * @first: a multiple of 8; so is @n, but for the end of the row
 * @row:   the whole row; bits behind the last coordinate become zero
 */
static inline void tq_pack_indices(const struct tq_plan *plan, const uint8_t *index, size_t first,
				   size_t n, uint8_t *row)
{
	const struct tq_section *s = plan->layout.section;
	size_t i, j, per;
	unsigned mask, byte;
	uint8_t *at;

	for (; s < plan->layout.section + plan->layout.nsections; s++) {
		per = 8 / s->width;
		mask = (1u << s->width) - 1u;
		at = row + s->at + first / per;
		for (i = 0; i < n; i += per) {
			byte = 0;
			for (j = 0; j < per && i + j < n; j++)
				byte |= ((unsigned)index[i + j] >> s->shift & mask) << j * s->width;
			*at++ = (uint8_t)byte;
		}
	}
}

/** tq_unpack_indices - read them back; zero where the row has no index fields */
static inline void tq_unpack_indices(const struct tq_plan *plan, const uint8_t *row, size_t first,
				     size_t n, uint8_t *index)
{
	const struct tq_section *s = plan->layout.section;
	size_t i, j, per;
	unsigned mask, byte;
	const uint8_t *at;

	memset(index, 0, n);
	for (; s < plan->layout.section + plan->layout.nsections; s++) {
		per = 8 / s->width;
		mask = (1u << s->width) - 1u;
		at = row + s->at + first / per;
		for (i = 0; i < n; i += per) {
			byte = *at++;
			for (j = 0; j < per && i + j < n; j++)
				index[i + j] = (uint8_t)(index[i + j] |
							 (byte >> j * s->width & mask) << s->shift);
		}
	}
}

/** tq_score_finish - from the integer sum to the score, in the one order of operations */
static inline float tq_score_finish(const struct tq_plan *plan, const struct tq_query *q,
				    const uint8_t *row, float a, float b)
{
	float s = 0.0f, cross;

	if (plan->index_bits)
		s = (a * q->scale) * tq_load_scale(plan, row + plan->layout.scale_at);
	if (plan->layout.rnorm_at != TQ_NO_FIELD)
		s = s + (b * q->sketch_scale) * tq_load_scale(plan, row + plan->layout.rnorm_at);
	if (plan->center != TQ_CENTER_OFF)
		s = s + q->add;
	if (plan->center == TQ_CENTER_BOTH) {
		memcpy(&cross, row + plan->layout.cross_at, sizeof(cross));
		s = s + cross;
	}
	return s;
}

/** tq_pair_finish - from the integer sum over two rows to their score; symmetric in the rows */
static inline float tq_pair_finish(const struct tq_plan *plan, const uint8_t *row,
				   const uint8_t *other, float a)
{
	float h = plan->codebook.half_step, s, cross, other_cross;

	s = (a * (h * h)) * (tq_load_scale(plan, row + plan->layout.scale_at) *
			     tq_load_scale(plan, other + plan->layout.scale_at));
	if (plan->center == TQ_CENTER_BOTH) {
		memcpy(&cross, row + plan->layout.cross_at, sizeof(cross));
		memcpy(&other_cross, other + plan->layout.cross_at, sizeof(other_cross));
		s = s + ((cross + other_cross) - plan->centre_norm2);
	}
	return s;
}

/** Rows of one mix: their integer sums stay below 2^31 with levels of one plane. */
#define TQ_MIX_ROWS 1024
/** Largest magnitude of a weight as an integer. */
#define TQ_MIX_TOP 16256
/** Weights whose largest is below this add nothing: no denormal takes part. */
#define TQ_MIX_TINY 7.888609052210118e-31f /* 2^-100 */

/**
 * tq_exp - e^x for x <= 0, 0 below -87: a fixed polynomial, so all drivers weigh alike
 *
 * x log2(e) = n + f, and 2^f by a minimax polynomial with a constant of 1. Relative error below
 * 2e-7 near 0 and 3e-6 at -87, from the rounding of the first product.
 */
static inline float tq_exp(float x)
{
	float n, f, p;

	if (!(x >= -87.0f))
		return 0.0f;
	x = x * 1.44269504088896341f;
	n = tq_rint(x);
	f = x - n;
	p = 1.3264727e-3f;
	p = p * f + 9.671513e-3f;
	p = p * f + 5.5507336e-2f;
	p = p * f + 2.4022242e-1f;
	p = p * f + 6.9314700e-1f;
	p = p * f + 1.0f;
	return p * tq_pow2((int)n);
}

#ifdef __cplusplus
}
#endif
#endif
