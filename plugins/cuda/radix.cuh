/* SPDX-License-Identifier: Apache-2.0 */
/* Encode by a fraction of a bit, one block per row, as encode.cuh; and levels of such rows for decode and scores. */
#pragma once
#include "decode.cuh"
#include "encode.cuh"
#include "radix_plan.h"

static __device__ __forceinline__ const tqc_radix &radix_of(const tqc_plan &p)
{
	return *(const tqc_radix *)p.buckets;
}

struct radix_levels {
	static __device__ __forceinline__ int odd(const tqc_plan &p, const uint8_t *row, unsigned i)
	{
		const tqc_radix &x = radix_of(p);
		unsigned j = i / x.words;

		return x.level[j][row_index(p, row, i - j * x.words)];
	}
};

/* The index of coordinate @i among the levels of all digits: how many thresholds of its digit are <= y */
static __device__ __forceinline__ unsigned radix_index(const tqc_radix &x, const float *bound, float y, unsigned i)
{
	unsigned j = i / x.words, k = x.base[j], left = x.count[j] - 1;

	while (left) {
		unsigned half = left / 2;

		if (y >= bound[k + half]) {
			k += half + 1;
			left -= half + 1;
		} else {
			left = half;
		}
	}
	return k;
}

struct radix_fit {
	float yc;
	long long cc;
};

/* The row under thresholds bounds * r, which stay in @bound */
static __device__ radix_fit radix_fit_of(const tqc_plan &p, const float *y, float r, float *bound, encode_box *box)
{
	const tqc_radix &x = radix_of(p);
	unsigned d = p.dim;
	radix_fit fit;

	__syncthreads();
	for (unsigned k = threadIdx.x; k < p.count - 1; k += blockDim.x)
		bound[k] = p.bounds[k] * r;
	__syncthreads();
	auto odd = [&](unsigned i) { return (int)p.odd[radix_index(x, bound, y[i], i)]; };
	fit.yc = block_dot16(d, [&](unsigned i) { return y[i]; }, [&](unsigned i) { return (float)odd(i); }, &box->f);
	fit.cc = 0;
	for (unsigned i = threadIdx.x; i < d; i += blockDim.x)
		fit.cc += (long long)odd(i) * odd(i);
	fit.cc = block_add(fit.cc, &box->ll);
	return fit;
}

/* effort 1: the multiplier of the thresholds with the best cosine, the first of the best */
static __device__ float radix_multiplier(const tqc_plan &p, const float *y, float r, float *bound, encode_box *box)
{
	float best = 0.75f, top = -1.0f;

	for (int j = 0; j < 17; j++) {
		float mu = 0.75f + (float)j / 32.0f;
		radix_fit fit = radix_fit_of(p, y, r * mu, bound, box);
		float quality = fit.yc > 0.0f ? (fit.yc * fit.yc) / (float)fit.cc : 0.0f;

		if (quality > top) {
			top = quality;
			best = mu;
		}
	}
	return best;
}

static __device__ void radix_quantize(const tqc_plan &p, const float *y, uint8_t *index, float *bound, uint8_t *out,
				      int exponent, float norm2, float cross, encode_box *box)
{
	const tqc_radix &x = radix_of(p);
	float r = sqrtf(norm2 / (float)p.dim), rr = r, s = r;

	if (p.effort)
		rr = r * radix_multiplier(p, y, r, bound, box);
	radix_fit fit = radix_fit_of(p, y, rr, bound, box);
	if (p.correction >= CORR_NORM && p.correction <= CORR_UNBIASED)
		s = fitted_scale(p.correction, norm2, fit.yc, (float)fit.cc, p.half_step);
	for (unsigned i = threadIdx.x; i < p.dim; i += blockDim.x)
		index[i] = (uint8_t)(radix_index(x, bound, y[i], i) - x.base[i / x.words]);
	__syncthreads();
	auto word = [&](unsigned k) {
		unsigned w = 0;

		for (unsigned j = 0; j < x.digits && j * x.words + k < p.dim; j++)
			w += index[j * x.words + k] * x.place[j];
		return w;
	};
	for (unsigned f = 0; f < p.nsections; f++)
		pack_field(out + p.section[f].at, x.words, p.section[f].width, p.section[f].shift, word);
	if (threadIdx.x == 0) {
		store_scale(p, out, norm2 > 0.0f ? scale_up(s, exponent) : 0.0f);
		if (p.center == CENTER_BOTH)
			store_bytes(out + p.cross_at, __float_as_uint(cross), 4);
	}
}

static __device__ __forceinline__ void encode_radix(const tqc_plan &p, const void *x, int dtype, size_t stride, size_t n,
						    uint8_t *codes, encode_box *box)
{
	extern __shared__ float space[];
	float *y = space, *spare = y + p.dim, *bound = spare + p.dim;

	for (size_t row = blockIdx.x; row < n; row += gridDim.x) {
		float norm2, cross;
		int e;

		load_row(p, (const char *)x + row * stride * (dtype == F32 ? 4 : 2), dtype, y, (int)p.center, box, &e, &norm2,
			 &cross);
		rotate(p.rot, y, spare);
		__syncthreads();
		radix_quantize(p, y, (uint8_t *)spare, bound, codes + row * p.row_bytes, e, norm2, cross, box);
		__syncthreads();
	}
}
