/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attention over rows, FORMAT.md section 8: weights of logits, weighted sums of coded rows in integers,
 * and the same over rows that are kept in 16 bits.
 */

#include "scalar.h"

float scalar_logits(float *x, size_t n, float bias, float factor)
{
	float top = -INFINITY;
	size_t t;

	for (t = 0; t < n; t++) {
		x[t] = (x[t] + bias) * factor;
		top = x[t] > top ? x[t] : top;
	}
	return top;
}

float scalar_weigh(const float *logits, size_t n, float max, float *weights)
{
	float lane[16] = { 0 };
	size_t t;

	for (t = 0; t < n; t++) {
		weights[t] = tq_exp(logits[t] - max);
		lane[t & 15] = lane[t & 15] + weights[t];
	}
	return tq_sum16(lane);
}

/*
 * The weights of @n rows, their scales included, as integers of at most TQ_MIX_TOP. Returns what one
 * unit is worth, 0 if no weight counts.
 */
static float quantize_weights(const struct tq_plan *plan, const float *weights,
			      const uint8_t *codes, size_t n, int32_t *q)
{
	float a[TQ_MIX_ROWS], top = 0.0f, inv;
	size_t t;

	for (t = 0; t < n; t++) {
		a[t] = weights[t] * tq_load_scale(plan, codes + t * plan->layout.row_bytes);
		top = fabsf(a[t]) > top ? fabsf(a[t]) : top;
	}
	if (!(top >= TQ_MIX_TINY))
		return 0.0f;
	inv = (float)TQ_MIX_TOP / top;
	for (t = 0; t < n; t++)
		q[t] = (int32_t)tq_rint(a[t] * inv);
	return top / (float)TQ_MIX_TOP;
}

static void mix_chunk(const struct tq_plan *plan, const int32_t *q, const uint8_t *codes, size_t n,
		      float step, size_t at, size_t width, float *sums)
{
	int64_t whole[SCALAR_CHUNK] = { 0 };
	int16_t level[SCALAR_CHUNK];
	size_t t, i;

	for (t = 0; t < n; t++) {
		if (!q[t])
			continue;
		scalar_load_levels(plan, codes + t * plan->layout.row_bytes, at, width, level);
		for (i = 0; i < width; i++)
			whole[i] += q[t] * level[i];
	}
	for (i = 0; i < width; i++)
		sums[i] = sums[i] + (float)whole[i] * step;
}

void scalar_mix(const struct tq_plan *plan, const void *state, const float *weights, size_t ldw,
		size_t nw, const uint8_t *codes, size_t n, float *sums, size_t ld)
{
	int32_t q[TQ_MIX_ROWS];
	size_t w, at, width;
	float unit;

	for (w = 0; w < nw; w++, weights += ldw, sums += ld) {
		unit = quantize_weights(plan, weights, codes, n, q);
		if (unit == 0.0f)
			continue;
		for (at = 0; at < plan->dim; at += width) {
			width = plan->dim - at < SCALAR_CHUNK ? plan->dim - at : SCALAR_CHUNK;
			mix_chunk(plan, q, codes, n, unit * plan->codebook.half_step, at, width,
				  sums + at);
		}
	}
}

void scalar_raw_score(int dtype, const float *queries, size_t ldq, size_t nq, const uint16_t *rows,
		      size_t stride, size_t n, size_t d, float *scores, size_t ld)
{
	const float *query;
	size_t t, g, i;
	float x;

	for (t = 0; t < n; t++, rows += stride) {
		for (g = 0; g < nq; g++) {
			float lane[16] = { 0 };

			query = queries + g * ldq;
			for (i = 0; i < d; i++) {
				x = tq_load_element(rows, dtype, i);
				lane[i & 15] = lane[i & 15] + x * query[i];
			}
			scores[g * ld + t] = tq_sum16(lane);
		}
	}
}

void scalar_raw_mix(int dtype, const float *weights, size_t ldw, size_t nw, const uint16_t *rows,
		    size_t stride, size_t n, size_t d, float *sums, size_t ld)
{
	size_t t, w, i;
	float x;

	for (t = 0; t < n; t++, rows += stride) {
		for (i = 0; i < d; i++) {
			x = tq_load_element(rows, dtype, i);
			for (w = 0; w < nw; w++)
				sums[w * ld + i] = sums[w * ld + i] + weights[w * ldw + t] * x;
		}
	}
}
