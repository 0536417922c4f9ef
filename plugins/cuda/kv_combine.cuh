/* SPDX-License-Identifier: Apache-2.0 */
/* The partial results of splits (kv_attend.cuh) and of tokens in 16 bits (kv_raw.cuh) to outputs. */
#pragma once
#include "kv_view.cuh"
#include "rotate.cuh"

/*
 * grid: rows of output, sequences x tokens x query heads. Groups of threads add up every so manieth split, four
 * coordinates a thread, then the groups are added in their order. Values in 16 bits were never rotated.
 */
extern "C" __global__ void __launch_bounds__(TQC_KV_COMBINE) tqc_kv_combine(tqc_plan p, tqc_attend a)
{
	extern __shared__ __align__(16) float combine_room[];
	__shared__ float whole[4]; /* of all weights: sum relative to the top of keys; sum and top of the lse; without the sink's */
	const unsigned d = p.dim, padded = TQC_KV_PADDED(d), heads = a.kv_heads * a.group, head = blockIdx.x % heads;
	const size_t query = blockIdx.x / heads;
	const unsigned token = (unsigned)(query % a.tokens), row = token * a.group + head % a.group;
	const size_t unit = (query / a.tokens * a.kv_heads + head / a.group) * a.passes + row / 4;
	const float2 *tops = (const float2 *)a.tops + 4 * unit * a.splits + (row & 3);
	const unsigned groups = TQC_KV_COMBINE / (d / 4), group = threadIdx.x / (d / 4), i4 = threadIdx.x % (d / 4);
	const float4 *sums = (const float4 *)(a.sums + (4 * unit * a.splits + (row & 3)) * padded) + i4;
	const float2 *raw_tops = (const float2 *)a.raw_tops + 4 * unit * a.raw_chunks + (row & 3);
	const unsigned parts = a.splits + a.raw_chunks;
	float *room = combine_room, *y = room + 4 * TQC_KV_COMBINE, *factor = y + 2 * d;

	auto part = [&](unsigned s) { return s < a.splits ? tops[4 * s] : raw_tops[4 * (s - a.splits)]; };

	wait_for_previous();
	if (threadIdx.x < 32) {
		float top = TQC_NOTHING, total = 0.0f;

		for (unsigned s = threadIdx.x; s < parts; s += 32)
			top = fmaxf(top, part(s).x);
		for (int h = 16; h; h >>= 1)
			top = fmaxf(top, __shfl_xor_sync(~0u, top, h));
		for (unsigned s = threadIdx.x; s < parts; s += 32) {
			float2 v = part(s);
			float f = exp2_fast(v.x - top);

			factor[s] = f;
			total += v.y * f;
		}
		for (int h = 16; h; h >>= 1)
			total += __shfl_xor_sync(~0u, total, h);
		if (threadIdx.x == 0) {
			if (a.page_mass)
				((float2 *)a.totals)[blockIdx.x] = make_float2(top, total);
			whole[3] = total;
			if (a.sink_logits) {
				/* relative to the larger of the two; the others' share may be nothing */
				float sink = 1.4426950408889634f * a.sink_logits[head], higher = fmaxf(top, sink);

				whole[0] = total + exp2_fast(sink - top);
				whole[1] = total * exp2_fast(top - higher) + exp2_fast(sink - higher);
				whole[2] = higher;
			} else {
				whole[0] = whole[1] = total;
				whole[2] = top;
			}
		}
	}
	__syncthreads();
	if (group < groups) {
		float4 v = {};

#pragma unroll 8
		for (unsigned s = group; s < a.splits; s += groups) {
			float4 x = sums[(size_t)s * padded];
			float f = factor[s];

			v.x += x.x * f;
			v.y += x.y * f;
			v.z += x.z * f;
			v.w += x.w * f;
		}
		((float4 *)room)[threadIdx.x] = v;
	}
	__syncthreads();
	const float total = whole[0], inv = total > 0.0f ? p.half_step / total : 0.0f;

	for (unsigned i = threadIdx.x; i < d; i += blockDim.x) {
		float v = 0.0f;

		for (unsigned k = 0; k < groups; k++)
			v += room[k * d + i];
		y[i] = v * inv;
	}
	__syncthreads();
	unrotate(p.rot, y, y + d);
	__syncthreads();
	const float *raw_sums = a.raw_sums + (4 * unit * a.raw_chunks + (row & 3)) * d, share = total > 0.0f ? 1.0f / total : 0.0f;

	for (unsigned i = threadIdx.x; i < d; i += blockDim.x) {
		float v = 0.0f;

		for (unsigned c = 0; c < a.raw_chunks; c++)
			v += raw_sums[4 * (size_t)c * d + i] * factor[a.splits + c];
		/* keys that are values too have their centre taken off */
		if (a.raw_dim && a.centre)
			v += whole[3] * a.centre[head / a.group * (size_t)d + i];
		store_element(a.out, a.dtype, query * a.out_stride + head * (size_t)d + i, y[i] + v * share);
	}
	if (a.lse && threadIdx.x == 0)
		a.lse[query * heads + head] = whole[1] > 0.0f ? (whole[2] + log2f(whole[1])) * 0.6931471805599453f : -INFINITY;
}
