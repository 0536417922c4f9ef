/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_NEON_SUMS_H
#define TQ_NEON_SUMS_H

/*
 * Sums over a row, FORMAT.md section 6, and what they are worth; here four rows with one query, in
 * registers from code bytes to sums.
 *
 * All sums are exact in int32 (65536 * 127 * 127 < 2^31, also twice that for the sum of two of the
 * middle products). Levels of L planes and a query of P planes make
 *
 *	L, P	sums				value, exact in double, rounded once
 *	1, 1	S0				alpha S0 + beta sum(q)
 *	1, 2	S0 hi, S1 lo			alpha (128 S0 + S1) + beta sum(q)
 *	2, 1	S0 hi, S1 lo			128 S0 + S1
 *	2, 2	S0 hi hi, S1 both, S2 lo lo	16384 S0 + 128 S1 + S2
 *
 * Levels are odd integers: alpha = 1, beta = 0. One bit is a mask, the sum of q over the set bits,
 * negated: (-2 odd, -odd). A sketch bit likewise with odd = 1.
 */

#include "levels.h"
#include "dot.h"

/** The field of a row that is summed, and what its bits are worth */
struct shape {
	struct level_tables tables;
	size_t at[3];
	size_t dim;
	int32_t alpha, beta;
};

/** Sums that a value is made of */
NEON_INLINE int sums_count(uint32_t level_planes, uint32_t planes)
{
	return (int)(level_planes + planes) - 1;
}

/* The bytes of @chunk of one row; of the last chunk only those that the row has */
NEON_INLINE void chunk_load(const struct shape *s, const uint8_t *row, size_t chunk, size_t rest,
			    uint32_t bits, uint8x16_t *f)
{
	const uint8_t *p;
	uint32_t k;

	for (k = 0; k < fields_of(bits); k++) {
		p = row + s->at[k] + chunk * field_bytes(bits, k);
		f[k] = rest ? part16(p, (rest * field_width(bits, k) + 7) / 8)
			    : field_load(p, bits, k);
	}
}

/* One chunk of one row and one query */
NEON_INLINE void chunk_add(const struct levels *lev, const int8x16_t *hi, const int8x16_t *lo,
			   uint32_t bits, uint32_t planes, int32x4_t *acc)
{
	uint32_t v;

	for (v = 0; v < levels_registers(bits); v++) {
		if (levels_planes(bits) == 2) {
			acc[0] = dot_add(acc[0], lev->hi[v], hi[v]);
			acc[1] = dot_add(acc[1], lev->lo[v], hi[v]);
		} else {
			acc[0] = dot_add(acc[0], lev->lo[v], hi[v]);
		}
		if (planes == 1)
			continue;
		if (levels_planes(bits) == 2) {
			acc[1] = dot_add(acc[1], lev->hi[v], lo[v]);
			acc[2] = dot_add(acc[2], lev->lo[v], lo[v]);
		} else {
			acc[1] = dot_add(acc[1], lev->lo[v], lo[v]);
		}
	}
}

NEON_INLINE void chunk_of_rows(const struct shape *s, const uint8_t *const *row, size_t chunk,
			       size_t rest, const int8_t *q, size_t plane_bytes, uint32_t bits,
			       uint32_t planes, int32x4_t acc[3][ROWS])
{
	uint32_t n = levels_registers(bits), v;
	int8x16_t hi[8], lo[8];
	int32x4_t own[3];
	uint8x16_t f[3];
	struct levels lev;
	int r, k, count = sums_count(levels_planes(bits), planes);

	for (v = 0; v < n; v++) {
		hi[v] = vld1q_s8(q + 16 * (chunk * n + v));
		if (planes == 2)
			lo[v] = vld1q_s8(q + plane_bytes + 16 * (chunk * n + v));
	}
	for (r = 0; r < ROWS; r++) {
		chunk_load(s, row[r], chunk, rest, bits, f);
		levels_decode(&s->tables, f, bits, &lev);
		for (k = 0; k < count; k++)
			own[k] = acc[k][r];
		chunk_add(&lev, hi, lo, bits, planes, own);
		for (k = 0; k < count; k++)
			acc[k][r] = own[k];
	}
}

/**
 * sums_one - four rows and one query
 * @q:   its planes, @plane_bytes apart
 * @sum: receives sums_count() registers with a row per lane
 */
NEON_INLINE void sums_one(const struct shape *s, const uint8_t *const *row, const int8_t *q,
			  size_t plane_bytes, uint32_t bits, uint32_t planes, int32x4_t *sum)
{
	size_t step = 16 * levels_registers(bits), chunks = s->dim / step, rest = s->dim % step, c;
	int count = sums_count(levels_planes(bits), planes), k, r;
	int32x4_t acc[3][ROWS];

	for (k = 0; k < count; k++)
		for (r = 0; r < ROWS; r++)
			acc[k][r] = vdupq_n_s32(0);
	for (c = 0; c < chunks; c++)
		chunk_of_rows(s, row, c, 0, q, plane_bytes, bits, planes, acc);
	if (rest)
		chunk_of_rows(s, row, c, rest, q, plane_bytes, bits, planes, acc);
	for (k = 0; k < count; k++)
		sum[k] = add_across(acc[k]);
}

/* Two of four int32 lanes at a time, in double */
NEON_INLINE float64x2_t combine2(const int32x2_t *s, int count, const struct shape *shape,
				 double beta_sum)
{
	float64x2_t v = vcvtq_f64_s64(vmovl_s32(s[0]));
	int k;

	for (k = 1; k < count; k++)
		v = vaddq_f64(vmulq_n_f64(v, 128.0), vcvtq_f64_s64(vmovl_s32(s[k])));
	return vaddq_f64(vmulq_n_f64(v, shape->alpha), vdupq_n_f64(beta_sum));
}

/**
 * sums_value - from sums to the values of four rows, rounded to float
 * @sum: as sums_one() leaves them
 * @q:   the sum of the query
 */
NEON_INLINE float32x4_t sums_value(const struct shape *s, const int32x4_t *sum, int64_t q,
				   uint32_t bits, uint32_t planes)
{
	int count = sums_count(levels_planes(bits), planes), k;
	int32x2_t low[3], high[3];
	double beta_sum = (double)(s->beta * q);

	if (count == 1 && bits > 1)
		return vcvtq_f32_s32(sum[0]);
	if (count == 1)
		return vcvtq_f32_s32(
			vmlaq_n_s32(vdupq_n_s32(s->beta * (int32_t)q), sum[0], s->alpha));
	for (k = 0; k < count; k++) {
		low[k] = vget_low_s32(sum[k]);
		high[k] = vget_high_s32(sum[k]);
	}
	return vcvt_high_f32_f64(vcvt_f32_f64(combine2(low, count, s, beta_sum)),
				 combine2(high, count, s, beta_sum));
}

#endif
