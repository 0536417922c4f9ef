/* SPDX-License-Identifier: Apache-2.0 */
/* Rotations of one row in shared memory by one block (docs/FORMAT.md section 2), any dimension. */
#pragma once
#include "row.cuh"

/*
 * Butterflies over w coordinates at y. Stages h, 2h, 4h, 8h are done on 16 registers per thread when
 * enough remain: the sums are the same ones in the same order, with a fourth of the barriers.
 */
template <int STAGES>
static __device__ __forceinline__ void butterfly_pass(float *y, unsigned w, unsigned h)
{
	const int n = 1 << STAGES;

	for (unsigned t = threadIdx.x; t < w / n; t += blockDim.x) {
		unsigned base = (t / h) * (h * n) + (t % h);
		float v[n];

#pragma unroll
		for (int i = 0; i < n; i++)
			v[i] = y[base + i * h];
#pragma unroll
		for (int s = 1; s < n; s <<= 1)
#pragma unroll
			for (int i = 0; i < n; i++)
				if (!(i & s)) {
					float a = v[i], b = v[i + s];

					v[i] = a + b;
					v[i + s] = a - b;
				}
#pragma unroll
		for (int i = 0; i < n; i++)
			y[base + i * h] = v[i];
	}
	__syncthreads();
}

static __device__ void hadamard(float *y, unsigned w)
{
	unsigned h = 1;

	__syncthreads();
	while (h * 16 <= w) {
		butterfly_pass<4>(y, w, h);
		h *= 16;
	}
	if (w / h == 8)
		butterfly_pass<3>(y, w, h);
	else if (w / h == 4)
		butterfly_pass<2>(y, w, h);
	else if (w / h == 2)
		butterfly_pass<1>(y, w, h);
}

static __device__ void multiply(float *y, const float *s, unsigned w)
{
	__syncthreads();
	for (unsigned i = threadIdx.x; i < w; i += blockDim.x)
		y[i] = y[i] * s[i];
	__syncthreads();
}

/* y'[(i + by) mod d] = y[i], through the second row buffer */
static __device__ void roll(float *y, float *spare, unsigned d, unsigned by)
{
	__syncthreads();
	for (unsigned i = threadIdx.x; i < d; i += blockDim.x)
		spare[i] = y[i];
	__syncthreads();
	for (unsigned i = threadIdx.x; i < d; i += blockDim.x)
		y[i + by < d ? i + by : i + by - d] = spare[i];
	__syncthreads();
}

static __device__ void rht(const tqc_rotation &r, float *y, float *spare)
{
	unsigned d = r.dim, w = r.window;
	const float *s = r.signs;

	for (unsigned t = 0; t < r.rounds; t++) {
		multiply(y, s, w);
		hadamard(y, w);
		s += w;
		if (w == d)
			continue;
		multiply(y + d - w, s, w);
		hadamard(y + d - w, w);
		s += w;
		roll(y, spare, d, r.roll);
	}
}

static __device__ void rht_transpose(const tqc_rotation &r, float *y, float *spare)
{
	unsigned d = r.dim, w = r.window;
	const float *s = r.signs + (size_t)r.rounds * w * (w < d ? 2 : 1);

	for (unsigned t = 0; t < r.rounds; t++) {
		if (w < d) {
			roll(y, spare, d, r.roll ? d - r.roll : 0);
			s -= w;
			hadamard(y + d - w, w);
			multiply(y + d - w, s, w);
		}
		s -= w;
		hadamard(y, w);
		multiply(y, s, w);
	}
}

/* y_i = chain over j of m[j * d + i] * x_j */
static __device__ void dense(const float *m, float *y, float *spare, unsigned d)
{
	__syncthreads();
	for (unsigned i = threadIdx.x; i < d; i += blockDim.x)
		spare[i] = y[i];
	__syncthreads();
	for (unsigned i = threadIdx.x; i < d; i += blockDim.x) {
		float a = 0.0f;

		for (unsigned j = 0; j < d; j++)
			a = a + m[(size_t)j * d + i] * spare[j];
		y[i] = a;
	}
	__syncthreads();
}

static __device__ void givens(const tqc_rotation &r, float *y, bool transpose)
{
	unsigned d = r.dim, half = d / 2;

	for (unsigned n = 0; n < r.rounds; n++) {
		unsigned l = transpose ? r.rounds - 1 - n : n;

		__syncthreads();
		for (unsigned t = threadIdx.x; t < half; t += blockDim.x) {
			unsigned a = r.order[(size_t)l * d + 2 * t], b = r.order[(size_t)l * d + 2 * t + 1];
			float c = r.cosines[(size_t)l * half + t], s = r.sines[(size_t)l * half + t];
			float u = y[a], v = y[b];

			y[a] = transpose ? c * u + s * v : c * u - s * v;
			y[b] = transpose ? c * v - s * u : s * u + c * v;
		}
	}
	__syncthreads();
}

static __device__ void rotate(const tqc_rotation &r, float *y, float *spare)
{
	if (r.kind == TQC_ROT_RHT)
		rht(r, y, spare);
	else if (r.kind == TQC_ROT_DENSE)
		dense(r.columns, y, spare, r.dim);
	else if (r.kind == TQC_ROT_GIVENS)
		givens(r, y, false);
}

static __device__ void unrotate(const tqc_rotation &r, float *y, float *spare)
{
	if (r.kind == TQC_ROT_RHT)
		rht_transpose(r, y, spare);
	else if (r.kind == TQC_ROT_DENSE)
		dense(r.rows, y, spare, r.dim);
	else if (r.kind == TQC_ROT_GIVENS)
		givens(r, y, true);
}
