/* SPDX-License-Identifier: Apache-2.0 */
/* Decode, any plan: one block per row (docs/FORMAT.md section 5). */
#pragma once
#include "rotate.cuh"

static __device__ __forceinline__ unsigned row_index(const tqc_plan &p, const uint8_t *row, unsigned i)
{
	unsigned k = 0;

	for (unsigned f = 0; f < p.nsections; f++) {
		unsigned w = p.section[f].width, bit = i * w;

		k |= ((row[p.section[f].at + (bit >> 3)] >> (bit & 7)) & ((1u << w) - 1)) << p.section[f].shift;
	}
	return k;
}

/* Level numbers of rows whose coordinates have codes of their own */
struct grid_levels {
	static __device__ __forceinline__ int odd(const tqc_plan &p, const uint8_t *row, unsigned i)
	{
		return p.odd[row_index(p, row, i)];
	}
};

static __device__ __forceinline__ float sketch_sign(const tqc_plan &p, const uint8_t *row, unsigned i)
{
	return row[p.sketch_at + (i >> 3)] >> (i & 7) & 1 ? 1.0f : -1.0f;
}

template <class LEVELS>
static __device__ __forceinline__ void decode_rows(const tqc_plan &p, const uint8_t *codes, size_t n, void *x, int dtype,
						   size_t stride)
{
	extern __shared__ float room[];
	float *y = room, *spare = y + p.dim, *u = spare + p.dim;
	unsigned d = p.dim;

	for (size_t r = blockIdx.x; r < n; r += gridDim.x) {
		const uint8_t *row = codes + r * p.row_bytes;
		void *out = (char *)x + r * stride * (dtype == F32 ? 4 : 2);
		int e;
		float t = split_scale(load_scale(p, row), &e) * p.half_step;

		__syncthreads();
		if (p.has_sketch) {
			for (unsigned i = threadIdx.x; i < d; i += blockDim.x)
				u[i] = sketch_sign(p, row, i);
			unrotate(p.sketch, u, spare);
			__syncthreads();
		}
		float g = p.has_sketch ? p.coef * scale_up(load_scale(p, row + p.rnorm_at), -e) : 0.0f;
		for (unsigned i = threadIdx.x; i < d; i += blockDim.x) {
			float v = p.index_bits ? (float)LEVELS::odd(p, row, i) * t : 0.0f;

			y[i] = p.has_sketch ? v + g * u[i] : v;
		}
		unrotate(p.rot, y, spare);
		__syncthreads();
		for (unsigned i = threadIdx.x; i < d; i += blockDim.x) {
			float v = y[i] * pow2(e);

			if (p.center != CENTER_OFF)
				v = v + p.centre[i];
			store_element(out, dtype, i, v);
		}
	}
}
