/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The attention mass on each page, all query heads and tokens added up: from what the kernels before left of each
 * tile and row (kv_attend.cuh), of each token in 16 bits (kv_raw.cuh), and of each row (kv_combine.cuh).
 */
#pragma once
#include "kv_view.cuh"

/* of one row @r of a unit, relative to its total */
static __device__ __forceinline__ float row_mass(const tqc_attend &a, const kv_view &view, size_t unit, unsigned r, unsigned page,
						 float2 total)
{
	const unsigned row = 4 * (unsigned)(unit % a.passes), lo = page * a.page_tokens, hi = min(lo + a.page_tokens, view.length);
	const unsigned recent = view.raw_position(a.raw.sinks),
		       last = min(min((page + 1) << a.tile_shift, view.tile_to(row)), a.mass_tiles);
	float mass = 0.0f;

	for (unsigned tile = max(page << a.tile_shift, view.tile_from(row)); tile < last; tile++) {
		float2 m = ((const float2 *)a.tile_mass)[(unit * a.mass_tiles + tile) * 4 + r];

		mass += m.y * exp2_fast(m.x - total.x);
	}
	for (unsigned at = lo; a.raw_chunks && at < hi; at++) {
		if (at >= a.raw.sinks && at < recent) {
			at = recent - 1;
			continue;
		}
		unsigned i = at < a.raw.sinks ? at : a.raw.sinks + (at - recent);
		size_t part = (unit * a.raw_chunks + i / TQC_RAW_CHUNK) * 4 + r;

		mass += a.raw_weights[part * TQC_RAW_CHUNK + i % TQC_RAW_CHUNK] * exp2_fast(a.raw_tops[2 * part] - total.x);
	}
	return mass / total.y;
}

/* grid: mass_pages x sequences, 128 threads; rows of a sequence in turn, threads added in their order */
extern "C" __global__ void __launch_bounds__(128) tqc_kv_mass(tqc_attend a)
{
	__shared__ float sums[128];
	const unsigned page = blockIdx.x % a.mass_pages, sequence = blockIdx.x / a.mass_pages, heads = a.kv_heads * a.group;
	const kv_view view(a, sequence);
	float mass = 0.0f;

	for (unsigned i = threadIdx.x; i < 4 * a.passes * a.kv_heads; i += blockDim.x) {
		size_t unit = sequence * (size_t)(a.passes * a.kv_heads) + i / 4;
		unsigned row = 4 * (unsigned)(unit % a.passes) + (i & 3), token = row / a.group,
			 head = (unsigned)(unit / a.passes % a.kv_heads) * a.group + row % a.group;

		if (token >= a.tokens)
			continue;
		float2 total = ((const float2 *)a.totals)[(sequence * (size_t)a.tokens + token) * heads + head];

		if (total.y > 0.0f)
			mass += row_mass(a, view, unit, i & 3, page, total);
	}
	sums[threadIdx.x] = mass;
	__syncthreads();
	for (unsigned h = 64; h; h >>= 1) {
		if (threadIdx.x < h)
			sums[threadIdx.x] += sums[threadIdx.x + h];
		__syncthreads();
	}
	if (threadIdx.x == 0)
		a.page_mass[sequence * a.table_stride + page] = sums[0];
}
