/* SPDX-License-Identifier: Apache-2.0 */
/* Decode, the plans of warp_encode.cuh: a warp to a tile of rows, a thread to 32 coordinates at a time. */
#pragma once
#include "warp_encode.cuh"

/* The fields of a chunk, of WIDTH bits, from any byte on, into the bytes of its indices */
template <int WIDTH> static __device__ __forceinline__ void add_fields(const uint8_t *at, unsigned shift, uint32_t (&index)[8])
{
	const uint32_t *word = (const uint32_t *)((size_t)at & ~(size_t)3);
	const unsigned off = 8 * ((size_t)at & 3);
	uint32_t w[WIDTH + 1];

#pragma unroll
	for (int i = 0; i <= WIDTH; i++)
		w[i] = i < WIDTH || off ? word[i] : 0;
#pragma unroll
	for (int i = 0; i < 8; i++) {
		uint32_t v = __funnelshift_r(w[i * WIDTH / 8], w[i * WIDTH / 8 + 1], off);

		if (WIDTH < 8)
			v = v >> 4 * WIDTH * i % 32 & ((1u << 4 * WIDTH % 32) - 1);
		if (WIDTH == 4)
			v = (v | v << 8) & 0x00ff00ffu;
		if (WIDTH == 4)
			v = (v | v << 4) & 0x0f0f0f0fu;
		if (WIDTH == 2)
			v = (v | v << 12) & 0x000f000fu;
		if (WIDTH == 2)
			v = (v | v << 6) & 0x03030303u;
		if (WIDTH == 1)
			v = (v | v << 14) & 0x00030003u;
		if (WIDTH == 1)
			v = (v | v << 7) & 0x01010101u;
		index[i] |= v << shift;
	}
}

/* Levels of the tile's codes; without a spare, and the first distances of the first window's butterflies */
static __device__ __forceinline__ void level_rows(const tqc_plan &p, const tqc_warp &w, const warp_room &room, const uint8_t *stage,
						  const float *level)
{
	const unsigned base = first_slot(p, w), outside = w.spare ? ~0u : w.chunks - w.window, by = ~0u / w.chunks + 1;

#pragma unroll 1
	for (unsigned u = threadIdx.x & 31; u < w.rows * w.chunks; u += 32) {
		unsigned number = __umulhi(u, by), chunk = u - number * w.chunks;
		const uint8_t *row = stage + number * p.row_bytes;
		uint32_t index[8] = {};
		float v[32], t;
		int e;

#pragma unroll 1
		for (unsigned f = 0; f < p.nsections; f++) {
			unsigned width = p.section[f].width, shift = p.section[f].shift;
			const uint8_t *at = row + p.section[f].at + 4 * width * chunk;

			if (width == 4)
				add_fields<4>(at, shift, index);
			else if (width == 8)
				add_fields<8>(at, shift, index);
			else if (width == 2)
				add_fields<2>(at, shift, index);
			else
				add_fields<1>(at, shift, index);
		}
		t = split_scale(load_scale(p, row), &e) * p.half_step;
		if (chunk == 0)
			room.note[number].norm2 = pow2(e);
#pragma unroll
		for (int i = 0; i < 32; i++)
			v[i] = level[index[i / 4] >> 8 * (i & 3) & 255] * t;
		if (slot_of(w, chunk, w.chunks - w.turn) >= outside)
			butterflies<32>(v);
		store_chunk(room.y + number * w.pitch + TQC_CHUNK_PITCH * slot_of(w, base, chunk), v);
	}
	__syncwarp();
}

static __device__ __forceinline__ uint32_t half_pair(int dtype, float low, float high)
{
	uint32_t pair;

	if (dtype == BF16)
		asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
	else
		asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
	return pair;
}

/* Whole pieces of 16 bytes */
static __device__ __forceinline__ void store_pieces(const tqc_plan &p, const tqc_warp &w, const warp_room &room, uint8_t *x, int dtype,
						    size_t bytes, unsigned left)
{
	const unsigned share = dtype == F32 ? 4 : 8, each = p.dim / share, total = left * each, by = ~0u / each + 1;

#pragma unroll 2
	for (unsigned i = threadIdx.x & 31; i < total; i += 32) {
		unsigned row = __umulhi(i, by), column = share * (i - row * each);
		const float *from = room.y + row * w.pitch + column + (TQC_CHUNK_PITCH - 32) * (column / 32), f = room.note[row].norm2;
		float4 a = *(const float4 *)from, b = dtype == F32 ? a : *(const float4 *)(from + 4);
		float v[8] = { a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w };
		uint32_t word[4];

#pragma unroll
		for (int k = 0; k < 8; k++)
			v[k] = v[k] * f;
		if (p.center != CENTER_OFF)
#pragma unroll
			for (int k = 0; k < 8; k++)
				if (k < (int)share)
					v[k] = v[k] + p.centre[column + k];
		if (dtype == F32)
#pragma unroll
			for (int k = 0; k < 4; k++)
				word[k] = __float_as_uint(v[k]);
		else
#pragma unroll
			for (int k = 0; k < 4; k++)
				word[k] = half_pair(dtype, v[2 * k], v[2 * k + 1]);
		*(uint4 *)(x + row * bytes + 16 * (i - row * each)) = make_uint4(word[0], word[1], word[2], word[3]);
	}
}

static __device__ __forceinline__ void store_elements(const tqc_plan &p, const tqc_warp &w, const warp_room &room, uint8_t *x,
						      int dtype, size_t bytes, unsigned left)
{
#pragma unroll 1
	for (unsigned row = 0; row < left; row++)
#pragma unroll 4
		for (unsigned i = threadIdx.x & 31; i < p.dim; i += 32) {
			float v = room.y[row * w.pitch + place_of(i)] * room.note[row].norm2;

			if (p.center != CENTER_OFF)
				v = v + p.centre[i];
			store_element(x + row * bytes, dtype, i, v);
		}
}

static __device__ __forceinline__ void decode_warp(const tqc_plan &p, const uint8_t *codes, size_t n, uint8_t *x, int dtype,
						   size_t stride, const tqc_warp &w)
{
	extern __shared__ __align__(128) uint8_t smem[];
	const unsigned table = p.count * sizeof(float), warps = blockDim.x / 32;
	const size_t bytes = stride * (dtype == F32 ? 4 : 2);
	const bool pieces = !(((size_t)x | bytes) & 15) && p.dim % (dtype == F32 ? 4 : 8) == 0;
	float *level = (float *)smem;
	const warp_signs signs(p, w, smem + ((table + 15) & ~15u));
	const warp_room room(w, smem + TQC_WARP_TABLES(p.rot.rounds, &w, table));

	for (unsigned i = threadIdx.x; i < p.count; i += blockDim.x)
		level[i] = (float)p.odd[i];
	__syncthreads();
#pragma unroll 1
	for (size_t row = ((size_t)blockIdx.x * warps + threadIdx.x / 32) * w.rows; row < n; row += (size_t)gridDim.x * warps * w.rows) {
		unsigned left = n - row < w.rows ? (unsigned)(n - row) : w.rows;
		const uint8_t *from = codes + row * p.row_bytes;
		uint8_t *stage = room.stage + ((size_t)from & 15);

		copy_staged(stage, from, left * p.row_bytes);
		__syncwarp();
		level_rows(p, w, room, stage, level);
		warp_unrotate(p, w, signs, room);
		if (pieces)
			store_pieces(p, w, room, x + row * bytes, dtype, bytes, left);
		else
			store_elements(p, w, room, x + row * bytes, dtype, bytes, left);
		__syncwarp();
	}
}
