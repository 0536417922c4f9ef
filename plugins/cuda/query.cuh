/* SPDX-License-Identifier: Apache-2.0 */
/* Query preparation, one block per query (docs/FORMAT.md section 6). */
#pragma once
#include "encode.cuh"

/* y to integers (or float) at @out; the scale and the sum through *scale and *sum */
static __device__ void quantize_query(const tqc_plan &p, const float *y, float factor, int exponent,
				      uint8_t *out, unsigned padded, encode_box *box, float *scale,
				      long long *sum)
{
	unsigned d = p.dim, top = 0;
	long long total = 0;

	if (p.query == QUERY_F32) {
		for (unsigned i = threadIdx.x; i < padded; i += blockDim.x)
			((float *)out)[i] = i < d ? y[i] : 0.0f;
		*scale = scale_up(factor, exponent);
		*sum = 0;
		return;
	}
	for (unsigned i = threadIdx.x; i < d; i += blockDim.x)
		top = max(top, __float_as_uint(y[i]) & 0x7fffffffu);
	float m = __uint_as_float(block_max(top, &box->u)), limit = p.query == QUERY_S8 ? 127.0f : 16256.0f;
	float inv = m >= 9.094947017729282e-13f ? limit / m : 0.0f;

	for (unsigned i = threadIdx.x; i < padded; i += blockDim.x) {
		int q = i < d ? __float2int_rn(y[i] * inv) : 0;

		total += q;
		if (p.query == QUERY_S8) {
			out[i] = (uint8_t)(int8_t)q;
		} else {
			int hi = (q + 64) >> 7;

			out[i] = (uint8_t)(int8_t)hi;
			out[padded + i] = (uint8_t)(int8_t)(q - 128 * hi);
		}
	}
	*sum = block_add(total, &box->ll);
	*scale = inv > 0.0f ? scale_up((m / limit) * factor, exponent) : 0.0f;
}

extern "C" __global__ void tqc_query(tqc_plan p, const float *x, size_t stride, size_t n, uint8_t *prepared)
{
	extern __shared__ float shared[];
	__shared__ encode_box box;
	float *y = shared, *spare = y + p.dim;
	unsigned padded = (p.dim + 63) & ~63u;

	for (size_t r = blockIdx.x; r < n; r += gridDim.x) {
		uint8_t *out = prepared + r * p.query_bytes, *plane = out + sizeof(tqc_query_head);
		unsigned plane_bytes = padded * (p.query == QUERY_F32 ? 4 : p.query == QUERY_S16 ? 2 : 1);
		const float *q = x + r * stride;
		tqc_query_head head = {};
		float norm2, cross;
		int e;

		load_row(p, q, F32, y, p.center == CENTER_BOTH ? CENTER_BOTH : CENTER_OFF, &box, &e, &norm2, &cross);
		rotate(p.rot, y, spare);
		__syncthreads();
		quantize_query(p, y, p.half_step, e, plane, padded, &box, &head.scale, (long long *)&head.sum);
		if (p.has_sketch) {
			rotate(p.sketch, y, spare);
			__syncthreads();
			quantize_query(p, y, p.coef, e, plane + plane_bytes, padded, &box, &head.sketch_scale,
				       (long long *)&head.sketch_sum);
		}
		if (p.center != CENTER_OFF) {
			head.add = block_dot16(p.dim, [&](unsigned i) { return p.centre[i]; },
					       [&](unsigned i) { return q[i]; }, &box.f);
			if (p.center == CENTER_BOTH)
				head.add = head.add - p.centre_norm2;
		}
		if (threadIdx.x == 0)
			*(tqc_query_head *)out = head;
		__syncthreads();
	}
}
