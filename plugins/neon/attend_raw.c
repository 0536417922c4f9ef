/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Logits, softmax weights, and scores and weighted sums of 16-bit rows, FORMAT.md section 8. The 16 lanes
 * of dot16 are four registers; products and sums stay apart.
 */

#include "attend.h"
#include "load.h"

float neon_logits(float *x, size_t n, float bias, float factor)
{
	float32x4_t top = vdupq_n_f32(-INFINITY), v;
	float most;
	size_t t;

	for (t = 0; t + 4 <= n; t += 4) {
		v = vmulq_n_f32(vaddq_f32(vld1q_f32(x + t), vdupq_n_f32(bias)), factor);
		vst1q_f32(x + t, v);
		top = vmaxq_f32(top, v);
	}
	most = vmaxvq_f32(top);
	for (; t < n; t++) {
		x[t] = (x[t] + bias) * factor;
		most = x[t] > most ? x[t] : most;
	}
	return most;
}

/* tq_exp() of four; n comes out of the low bits of the sum that rounds, and goes into the exponent */
NEON_INLINE float32x4_t exp4(float32x4_t x)
{
	const uint32x4_t some = vcgeq_f32(x, vdupq_n_f32(-87.0f));
	const float32x4_t magic = vdupq_n_f32(12582912.0f);
	float32x4_t t = vmulq_n_f32(x, 1.44269504088896341f), n, f, p;
	int32x4_t e;

	n = vaddq_f32(t, magic);
	f = vsubq_f32(t, vsubq_f32(n, magic));
	p = vdupq_n_f32(1.3264727e-3f);
	p = vaddq_f32(vmulq_f32(p, f), vdupq_n_f32(9.671513e-3f));
	p = vaddq_f32(vmulq_f32(p, f), vdupq_n_f32(5.5507336e-2f));
	p = vaddq_f32(vmulq_f32(p, f), vdupq_n_f32(2.4022242e-1f));
	p = vaddq_f32(vmulq_f32(p, f), vdupq_n_f32(6.9314700e-1f));
	p = vaddq_f32(vmulq_f32(p, f), vdupq_n_f32(1.0f));
	e = vaddq_s32(vreinterpretq_s32_f32(p), vshlq_n_s32(vreinterpretq_s32_f32(n), 23));
	return vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_s32(e), some));
}

float neon_weigh(const float *logits, size_t n, float max, float *weights)
{
	float32x4_t sum[4] = {0}, x;
	float lane[16];
	size_t t;

	for (t = 0; t + 4 <= n; t += 4) {
		x = exp4(vsubq_f32(vld1q_f32(logits + t), vdupq_n_f32(max)));
		vst1q_f32(weights + t, x);
		sum[t / 4 % 4] = vaddq_f32(sum[t / 4 % 4], x);
	}
	if (t == n)
		return sum_tree(sum);
	store_part_floats(lane, sum, 16);
	for (; t < n; t++) {
		weights[t] = tq_exp(logits[t] - max);
		lane[t & 15] = lane[t & 15] + weights[t];
	}
	return tq_sum16(lane);
}

NEON_INLINE void raw_score(int dtype, const float *queries, size_t ldq, size_t nq, const uint16_t *rows,
			   size_t stride, size_t n, size_t d, float *scores, size_t ld)
{
	float32x4_t acc[4], x[4], q[4];
	size_t t, g, i;

	for (t = 0; t < n; t++, rows += stride) {
		for (g = 0; g < nq; g++) {
			acc[0] = acc[1] = acc[2] = acc[3] = vdupq_n_f32(0.0f);
			for (i = 0; i < d; i += 16) {
				load_part(rows, dtype, i, d - i, x);
				load_part(queries + g * ldq, TQ_F32, i, d - i, q);
				add_products(acc, x, q);
			}
			scores[g * ld + t] = sum_tree(acc);
		}
	}
}

void neon_raw_score(int dtype, const float *queries, size_t ldq, size_t nq, const uint16_t *rows,
		    size_t stride, size_t n, size_t d, float *scores, size_t ld)
{
	if (dtype == TQ_F16)
		raw_score(TQ_F16, queries, ldq, nq, rows, stride, n, d, scores, ld);
	else
		raw_score(TQ_BF16, queries, ldq, nq, rows, stride, n, d, scores, ld);
}

/* Sixteen coordinates, or @left, and one weight or four: rows in their order */
NEON_INLINE void mix_lanes(int dtype, const float *weights, size_t ldw, size_t nw, const uint16_t *rows,
			   size_t stride, size_t n, size_t left, float *sums, size_t ld)
{
	float32x4_t acc[4][4], x[4];
	size_t t, w;
	int k;

	left = left < 16 ? left : 16;
	for (w = 0; w < nw; w++)
		part_floats(sums + w * ld, left, acc[w]);
	for (t = 0; t < n; t++) {
		load_part(rows + t * stride, dtype, 0, left, x);
		for (w = 0; w < nw; w++)
			for (k = 0; k < 4; k++)
				acc[w][k] = vaddq_f32(acc[w][k], vmulq_n_f32(x[k], weights[w * ldw + t]));
	}
	for (w = 0; w < nw; w++)
		store_part_floats(sums + w * ld, acc[w], left);
}

NEON_INLINE void raw_mix(int dtype, const float *weights, size_t ldw, size_t nw, const uint16_t *rows,
			 size_t stride, size_t n, size_t d, float *sums, size_t ld)
{
	size_t w, i;

	for (w = 0; w < nw; w += w + 4 <= nw ? 4 : 1) {
		for (i = 0; i < d; i += 16) {
			if (w + 4 <= nw)
				mix_lanes(dtype, weights + w * ldw, ldw, 4, rows + i, stride, n, d - i,
					  sums + w * ld + i, ld);
			else
				mix_lanes(dtype, weights + w * ldw, ldw, 1, rows + i, stride, n, d - i,
					  sums + w * ld + i, ld);
		}
	}
}

void neon_raw_mix(int dtype, const float *weights, size_t ldw, size_t nw, const uint16_t *rows,
		  size_t stride, size_t n, size_t d, float *sums, size_t ld)
{
	if (dtype == TQ_F16)
		raw_mix(TQ_F16, weights, ldw, nw, rows, stride, n, d, sums, ld);
	else
		raw_mix(TQ_BF16, weights, ldw, nw, rows, stride, n, d, sums, ld);
}
