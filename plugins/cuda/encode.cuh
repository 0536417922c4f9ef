/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Encode, any plan: one block per row, the row in shared memory (docs/FORMAT.md section 4).
 * Shared memory: y[dim], spare[dim], thresholds[256 * 17 at most], row bytes.
 */
#pragma once
#include "rotate.cuh"

struct encode_box {
	float f;
	unsigned u;
	long long ll;
	float yc[17];
	long long cc[17];
	int best;
};

/* how many thresholds are <= y; thresholds ascend */
static __device__ __forceinline__ unsigned index_of(const float *bound, unsigned count, float y)
{
	unsigned k = 0;

	for (unsigned step = count >> 1; step; step >>= 1)
		if (y >= bound[k + step - 1])
			k += step;
	return k;
}

/* load, centre, scale to [1, 2), norm2: what tq_row_load() defines */
static __device__ void load_row(const tqc_plan &p, const void *x, int dtype, float *y, int center,
				encode_box *box, int *exponent, float *norm2, float *cross)
{
	unsigned d = p.dim;

	__syncthreads();
	for (unsigned i = threadIdx.x; i < d; i += blockDim.x)
		y[i] = load_element(x, dtype, i);
	*cross = 0.0f;
	if (center == CENTER_BOTH && cross)
		*cross = block_dot16(d, [&](unsigned i) { return y[i]; },
				     [&](unsigned i) { return p.centre[i]; }, &box->f);
	__syncthreads();
	if (center != CENTER_OFF)
		for (unsigned i = threadIdx.x; i < d; i += blockDim.x)
			y[i] = y[i] - p.centre[i];
	__syncthreads();
	int e = block_exponent(y, d, &box->u);
	for (unsigned i = threadIdx.x; i < d; i += blockDim.x)
		y[i] = scale_down(y[i], e);
	*exponent = e;
	*norm2 = block_dot16(d, [&](unsigned i) { return y[i]; }, [&](unsigned i) { return y[i]; }, &box->f);
}

/* effort 1: the multiplier of the thresholds with the best cosine; 17 x 16 lanes work side by side */
static __device__ float best_multiplier(const tqc_plan &p, const float *y, float r, float *bound,
					encode_box *box)
{
	unsigned d = p.dim, n = p.count - 1;
	unsigned half = threadIdx.x >> 4, lane = threadIdx.x & 15;

	for (unsigned t = threadIdx.x; t < 17 * 256; t += blockDim.x)
		if ((t & 255) < n)
			bound[t] = p.bounds[t & 255] * (r * (0.75f + (float)(t >> 8) / 32.0f));
	__syncthreads();
	for (unsigned j0 = 0; j0 < 17; j0 += blockDim.x >> 4) {
		unsigned j = j0 + half;
		float yc = 0.0f;
		long long cc = 0;

		if (j < 17)
			for (unsigned i = lane; i < d; i += 16) {
				int o = p.odd[index_of(bound + 256 * j, p.count, y[i])];

				yc = yc + y[i] * (float)o;
				cc += (long long)o * o;
			}
		yc = sum16(yc);
		for (int h = 8; h; h >>= 1)
			cc += __shfl_xor_sync(~0u, cc, h, 16);
		if (j < 17 && lane == 0) {
			box->yc[j] = yc;
			box->cc[j] = cc;
		}
	}
	__syncthreads();
	if (threadIdx.x == 0) {
		float top = -1.0f;

		for (int j = 0; j < 17; j++) {
			float yc = box->yc[j];
			float quality = yc > 0.0f ? (yc * yc) / (float)box->cc[j] : 0.0f;

			if (quality > top) {
				top = quality;
				box->best = j;
			}
		}
	}
	__syncthreads();
	return r * (0.75f + (float)box->best / 32.0f);
}

/* one field of the index for the whole row: each thread makes whole bytes */
template <class I>
static __device__ void pack_field(uint8_t *out, unsigned d, unsigned width, unsigned shift, I index)
{
	unsigned per = 8 / width, mask = (1u << width) - 1;

	for (unsigned b = threadIdx.x; b < (d + per - 1) / per; b += blockDim.x) {
		unsigned v = 0;

		for (unsigned k = 0; k < per && b * per + k < d; k++)
			v |= ((index(b * per + k) >> shift) & mask) << (k * width);
		out[b] = (uint8_t)v;
	}
}

static __device__ void quantize_row(const tqc_plan &p, float *y, float *spare, float *bound, uint8_t *out,
				    int exponent, float norm2, float cross, encode_box *box)
{
	unsigned d = p.dim;
	float r = sqrtf(norm2 / (float)d), rr = r, s = r, h = p.half_step;

	if (p.index_bits) {
		if (p.effort && p.count > 2)
			rr = best_multiplier(p, y, r, bound, box);
		__syncthreads();
		for (unsigned k = threadIdx.x; k < p.count - 1; k += blockDim.x)
			bound[k] = p.bounds[k] * rr;
		__syncthreads();
		auto odd = [&](unsigned i) { return (int)p.odd[index_of(bound, p.count, y[i])]; };
		if (p.correction >= CORR_NORM && p.correction <= CORR_UNBIASED) {
			long long cc = 0;
			float yc = 0.0f;

			if (p.correction != CORR_NORM)
				yc = block_dot16(d, [&](unsigned i) { return y[i]; },
						 [&](unsigned i) { return (float)odd(i); }, &box->f);
			for (unsigned i = threadIdx.x; i < d; i += blockDim.x)
				cc += (long long)odd(i) * odd(i);
			cc = block_add(cc, &box->ll);
			s = fitted_scale(p.correction, norm2, yc, (float)cc, h);
		}
		for (unsigned f = 0; f < p.nsections; f++)
			pack_field(out + p.section[f].at, d, p.section[f].width, p.section[f].shift,
				   [&](unsigned i) { return index_of(bound, p.count, y[i]); });
	}
	if (!(norm2 > 0.0f))
		s = 0.0f;
	if (threadIdx.x == 0) {
		store_scale(p, out, scale_up(s, exponent));
		if (p.center == CENTER_BOTH)
			store_bytes(out + p.cross_at, __float_as_uint(cross), 4);
	}
	if (!p.has_sketch)
		return;
	__syncthreads();
	if (p.index_bits) {
		float t = r * h;

		for (unsigned i = threadIdx.x; i < d; i += blockDim.x)
			y[i] = y[i] - (float)p.odd[index_of(bound, p.count, y[i])] * t;
	}
	float e2 = block_dot16(d, [&](unsigned i) { return y[i]; }, [&](unsigned i) { return y[i]; }, &box->f);
	if (threadIdx.x == 0)
		store_scale(p, out + p.rnorm_at, scale_up(sqrtf(e2), exponent));
	rotate(p.sketch, y, spare);
	__syncthreads();
	pack_field(out + p.sketch_at, d, 1, 0, [&](unsigned i) { return y[i] >= 0.0f ? 1u : 0u; });
}

extern "C" __global__ void tqc_encode(tqc_plan p, const void *x, int dtype, size_t stride, size_t n,
				      uint8_t *codes)
{
	extern __shared__ float shared[];
	__shared__ encode_box box;
	float *y = shared, *spare = y + p.dim, *bound = spare + p.dim;

	for (size_t row = blockIdx.x; row < n; row += gridDim.x) {
		int e;
		float norm2, cross;

		load_row(p, (const char *)x + row * stride * (dtype == F32 ? 4 : 2), dtype, y,
			 (int)p.center, &box, &e, &norm2, &cross);
		rotate(p.rot, y, spare);
		__syncthreads();
		quantize_row(p, y, spare, bound, codes + row * p.row_bytes, e, norm2, cross, &box);
		__syncthreads();
	}
}
