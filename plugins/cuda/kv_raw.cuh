/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attention of units (kv_attend.cuh) over tokens in 16 bits: the sinks and the last ones of a sequence. A block takes
 * TQC_RAW_CHUNK of them, and leaves what a split leaves, but its sums of values are not rotated.
 */
#pragma once
#include "kv_view.cuh"
#include "lanes.cuh"
#include "row.cuh"

static __device__ __forceinline__ float2 pair_of(uint32_t v, unsigned type)
{
	if (type == BF16)
		return make_float2(__uint_as_float(v << 16), __uint_as_float(v & 0xffff0000u));
	return make_float2(__half2float(__ushort_as_half((unsigned short)v)), __half2float(__ushort_as_half((unsigned short)(v >> 16))));
}

/* Start copying the rows of the places, @step elements apart, to rows @pitch bytes apart; all threads */
static __device__ __forceinline__ void fetch_rows(uint8_t *to, unsigned pitch, const uint16_t *from, size_t step,
						  const int (&place)[TQC_RAW_CHUNK], unsigned d)
{
	for (unsigned i = threadIdx.x; i < TQC_RAW_CHUNK * (d / 8); i += blockDim.x) {
		unsigned k = i / (d / 8), piece = i % (d / 8);

		if (place[k] >= 0)
			async16(to + k * pitch + 16 * piece, from + (size_t)place[k] * step + 8 * piece);
	}
	async_commit();
}

static __device__ __forceinline__ float raw_logit(const uint4 *key, const float4 *q, unsigned d, unsigned type)
{
	float s = 0.0f;

#pragma unroll 4
	for (unsigned i = 0; i < d / 8; i++) {
		const uint4 x = key[i];
		const float4 a = q[2 * i], b = q[2 * i + 1];
		const float2 x0 = pair_of(x.x, type), x1 = pair_of(x.y, type), x2 = pair_of(x.z, type), x3 = pair_of(x.w, type);

		s = __fmaf_rn(x0.x, a.x, __fmaf_rn(x0.y, a.y, __fmaf_rn(x1.x, a.z, __fmaf_rn(x1.y, a.w, s))));
		s = __fmaf_rn(x2.x, b.x, __fmaf_rn(x2.y, b.y, __fmaf_rn(x3.x, b.z, __fmaf_rn(x3.y, b.w, s))));
	}
	return s;
}

/* Chunk number @block of all units', by 128 threads; a warp for each row's logits. @raw_room: TQC_RAW_SHARED(key_dim, dim) */
inline __device__ void raw_attend(const tqc_attend &a, unsigned block, uint8_t *raw_room)
{
	__shared__ float weights[4][TQC_RAW_CHUNK];
	__shared__ int place[TQC_RAW_CHUNK];
	const unsigned kd = a.key_dim, d = a.dim, chunk = block % a.raw_chunks, unit = block / a.raw_chunks, first = chunk * TQC_RAW_CHUNK,
		       warp = threadIdx.x >> 5, lane = threadIdx.x & 31;
	const unit_place u(a, unit);
	const kv_view view(a, u.sequence);
	const size_t step = a.kv_heads * (size_t)(kd + d), part = 4 * (size_t)block;
	const uint16_t *rows = (const uint16_t *)a.raw.rows +
			       a.areas[u.sequence] * (size_t)(a.raw.sinks + a.raw.ring) * step;
	/* 16 bytes more, so that the lanes of a warp read from all banks */
	const unsigned pitch = 2 * kd + 16;
	uint8_t *keys = raw_room, *values = keys + TQC_RAW_KEYS(kd);
	float *q = (float *)(values + TQC_RAW_CHUNK * 2 * d), *room = (float *)keys;

	if (threadIdx.x < TQC_RAW_CHUNK) {
		unsigned i = first + threadIdx.x, at = view.raw_position(i);

		place[threadIdx.x] = i >= a.raw.sinks + a.raw.recent || at >= view.length ? -1 :
				     at < a.raw.sinks ? (int)at : (int)(a.raw.sinks + (at - a.raw.sinks) % a.raw.ring);
	}
	__syncthreads();
	fetch_rows(keys, pitch, rows + u.head * (size_t)kd, step, place, kd);
	fetch_rows(values, 2 * d, rows + a.kv_heads * (size_t)kd + u.head * (size_t)d, step, place, d);
	for (unsigned i = threadIdx.x; i < 4 * kd; i += blockDim.x) {
		unsigned row = u.row + i / kd, token = row / a.group;

		q[i] = token >= a.tokens ? 0.0f :
					   a.scale * load_element(a.query, a.dtype,
								  (u.sequence * (size_t)a.tokens + token) * a.query_stride +
									  (u.head * a.group + row % a.group) * (size_t)kd + i % kd);
	}
	async_wait<1>();
	__syncthreads();

	/* logits and weights of a warp's row; what it does not see weighs nothing */
	float z = raw_logit((const uint4 *)(keys + lane * pitch), (const float4 *)(q + warp * kd), kd, a.raw.type), top, sum;

	if (a.cap > 0.0f)
		z = cap_logit(z, a.cap);
	if (place[lane] < 0 || !view.sees_raw(u.row + warp, view.raw_position(first + lane)))
		z = -INFINITY;
	top = fmaxf(z, TQC_NOTHING);
	for (int h = 16; h; h >>= 1)
		top = fmaxf(top, __shfl_xor_sync(~0u, top, h));
	sum = z = exp2_fast(z - top);
	for (int h = 16; h; h >>= 1)
		sum += __shfl_xor_sync(~0u, sum, h);
	weights[warp][lane] = z;
	if (a.page_mass)
		a.raw_weights[(part + warp) * TQC_RAW_CHUNK + lane] = z;
	if (lane == 0)
		((float2 *)a.raw_tops)[part + warp] = make_float2(top, sum);
	async_wait<0>();
	__syncthreads();

	/* groups of threads take every so manieth token, two coordinates a thread */
	const unsigned pairs = d / 2, groups = blockDim.x / pairs, group = threadIdx.x / pairs, i2 = 2 * (threadIdx.x % pairs);
	float v[4][2] = {};

	if (group < groups) {
		for (unsigned k = group; k < TQC_RAW_CHUNK; k += groups)
			if (place[k] >= 0) {
				float2 x = pair_of(*(const uint32_t *)(values + k * 2 * d + 2 * i2), a.raw.type);

#pragma unroll
				for (int r = 0; r < 4; r++) {
					v[r][0] = __fmaf_rn(weights[r][k], x.x, v[r][0]);
					v[r][1] = __fmaf_rn(weights[r][k], x.y, v[r][1]);
				}
			}
#pragma unroll
		for (int r = 0; r < 4; r++)
			*(float2 *)(room + (group * 4 + r) * d + i2) = make_float2(v[r][0], v[r][1]);
	}
	__syncthreads();
	for (unsigned i = threadIdx.x; i < 4 * d; i += blockDim.x) {
		float total = 0.0f;

		for (unsigned k = 0; k < groups; k++)
			total += room[4 * k * d + i];
		a.raw_sums[part * d + i] = total;
	}
}
