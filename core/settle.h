/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_SETTLE_H
#define TQ_SETTLE_H

/*
 * What tq_row_load() of tq/rules.h does to a row, to the bit, in lanes of 16 for the compiler: the core's own stages do it to
 * every row and query.
 */

#include "core.h"

#define TQ_LANES 16

/** tq_largest_bits - the bits of the largest magnitude */
static inline uint32_t tq_largest_bits(const float *y, size_t n)
{
	int32_t lane[TQ_LANES] = {0}, a, most = 0;
	size_t whole = n / TQ_LANES * TQ_LANES, i, j;

	for (i = 0; i < whole; i += TQ_LANES)
		for (j = 0; j < TQ_LANES; j++) {
			a = (int32_t)(tq_f32_bits(y[i + j]) & 0x7fffffffu);
			lane[j] = a > lane[j] ? a : lane[j];
		}
	for (j = 0; i < n; i++, j++) {
		a = (int32_t)(tq_f32_bits(y[i]) & 0x7fffffffu);
		lane[j] = a > lane[j] ? a : lane[j];
	}
	for (j = 0; j < TQ_LANES; j++)
		most = lane[j] > most ? lane[j] : most;
	return (uint32_t)most;
}

/** tq_settle - @y times 2^-e, its largest magnitude in [1, 2), tiny ones +0; returns e */
static inline int tq_settle(float *y, size_t n)
{
	size_t whole = n / TQ_LANES * TQ_LANES, i, j;
	float max = tq_bits_f32(tq_largest_bits(y, n)), factor, v;
	int e = tq_max_exponent(&max, 1);

	if (e < TQ_EXPONENT_MIN || e > TQ_EXPONENT_MAX)
		whole = 0;
	factor = whole ? tq_pow2(-e) : 0.0f;
	for (i = 0; i < whole; i += TQ_LANES)
		for (j = 0; j < TQ_LANES; j++) {
			v = y[i + j] * factor;
			y[i + j] = fabsf(v) < TQ_TINY ? 0.0f : v;
		}
	for (; i < n; i++)
		y[i] = tq_scale_down(y[i], e);
	return e;
}

/** tq_norm2 - tq_dot16(y, y) */
static inline float tq_norm2(const float *y, size_t n)
{
	size_t whole = n / TQ_LANES * TQ_LANES, i, j;
	float lane[TQ_LANES] = {0};

	for (i = 0; i < whole; i += TQ_LANES)
		for (j = 0; j < TQ_LANES; j++)
			lane[j] = lane[j] + y[i + j] * y[i + j];
	for (j = 0; i < n; i++, j++)
		lane[j] = lane[j] + y[i] * y[i];
	return tq_sum16(lane);
}

#endif
