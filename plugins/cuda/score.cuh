/* SPDX-License-Identifier: Apache-2.0 */
/* Scores, any plan: one warp per row, its levels decoded once for all queries (FORMAT.md section 6). */
#pragma once
#include "decode.cuh"

static __device__ __forceinline__ float finish(const tqc_plan &p, const tqc_query_head &q, const uint8_t *row,
					       float a, float b)
{
	float s = 0.0f;

	if (p.index_bits)
		s = (a * q.scale) * load_scale(p, row);
	if (p.has_sketch)
		s = s + (b * q.sketch_scale) * load_scale(p, row + p.rnorm_at);
	if (p.center != CENTER_OFF)
		s = s + q.add;
	if (p.center == CENTER_BOTH)
		s = s + load_f32(row + p.cross_at);
	return s;
}

static __device__ __forceinline__ long long warp_add(long long v)
{
	for (int h = 16; h; h >>= 1)
		v += __shfl_xor_sync(~0u, v, h);
	return v;
}

/* the integer or float dot of one decoded value per coordinate with a query's planes */
template <class V>
static __device__ float row_dot(const tqc_plan &p, const uint8_t *plane, unsigned padded, V value)
{
	unsigned d = p.dim, lane = threadIdx.x & 31;

	if (p.query == QUERY_F32) {
		float a = 0.0f;

		for (unsigned i = lane & 15; i < d; i += 16)
			a = a + (float)value(i) * ((const float *)plane)[i];
		return sum16(a);
	}
	long long a = 0;

	for (unsigned i = lane; i < d; i += 32) {
		int q = (int8_t)plane[i];

		if (p.query == QUERY_S16)
			q = 128 * q + (int8_t)plane[padded + i];
		a += (long long)value(i) * q;
	}
	return (float)warp_add(a);
}

template <class LEVELS>
static __device__ __forceinline__ void score_rows(const tqc_plan &p, const uint8_t *prepared, unsigned nq,
						  const uint8_t *codes, const uint32_t *ids, size_t n, float *scores, size_t ld)
{
	unsigned padded = (p.dim + 63) & ~63u, warps = blockDim.x >> 5;
	unsigned plane_bytes = padded * (p.query == QUERY_F32 ? 4 : p.query == QUERY_S16 ? 2 : 1);

	for (size_t r = (size_t)blockIdx.x * warps + (threadIdx.x >> 5); r < n; r += (size_t)gridDim.x * warps) {
		const uint8_t *row = codes + (ids ? ids[r] : r) * (size_t)p.row_bytes;

		for (unsigned k = 0; k < nq; k++) {
			const uint8_t *q = prepared + (size_t)k * p.query_bytes, *plane = q + sizeof(tqc_query_head);
			float a = 0.0f, b = 0.0f;

			if (p.index_bits)
				a = row_dot(p, plane, padded, [&](unsigned i) { return LEVELS::odd(p, row, i); });
			if (p.has_sketch)
				b = row_dot(p, plane + plane_bytes, padded,
					    [&](unsigned i) { return (int)sketch_sign(p, row, i); });
			if ((threadIdx.x & 31) == 0)
				scores[k * ld + r] = finish(p, *(const tqc_query_head *)q, row, a, b);
		}
	}
}
