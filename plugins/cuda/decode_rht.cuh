/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decode, fast: rht, D = 64 or 128, 1 to 4 bits, no centre, no sketch; rows aligned to 16. As in encode,
 * the power of two of a row of moderate size is multiplied in at the start: nothing leaves the normal range.
 */
#pragma once
#include "rows_rht.cuh"

/* 8 codes as nibbles */
template <int BITS>
static __device__ __forceinline__ uint32_t codes8(const uint8_t *first, const uint8_t *second, bool words, int i)
{
	if (BITS == 4 && words)
		return *(const uint32_t *)(first + i / 2);
	if (BITS == 4)
		return *(const uint16_t *)(first + i / 2) | (uint32_t)*(const uint16_t *)(first + i / 2 + 2) << 16;
	if (BITS == 3)
		return spread2(*(const uint16_t *)(second + i / 4)) | spread1(first[i / 8]) << 2;
	return BITS == 2 ? spread2(*(const uint16_t *)(first + i / 4)) : spread1(first[i / 8]);
}

/*
 * odd * t for 8 codes: the grid value g, 7 bits, goes into the second byte of a float of exponent 15, which
 * is then 2^15 + g; less 2^15 + 63.5 that is odd / 2.
 */
template <int BITS>
static __device__ __forceinline__ void levels8(float *y, uint32_t w, const uint32_t (&l)[4], float t2)
{
#pragma unroll
	for (int h = 0; h < 2; h++) {
		uint32_t v = w >> 16 * h, four = prmt(l[0], l[1], v);

		if (BITS == 4)
			four |= prmt(l[2], l[3], v ^ 0x8888u);
#pragma unroll
		for (int j = 0; j < 4; j++)
			y[4 * h + j] = (__uint_as_float(prmt(four, 0x47000000u, 0x7404 + 16 * j)) - 32831.5f) * t2;
	}
}

template <int D> static __device__ __forceinline__ void store_row(uint8_t *row, int dtype, const float (&y)[D])
{
	if (dtype == F32) {
#pragma unroll
		for (int i = 0; i < D; i += 4)
			*(float4 *)(row + 4 * i) = make_float4(y[i], y[i + 1], y[i + 2], y[i + 3]);
		return;
	}
#pragma unroll
	for (int i = 0; i < D; i += 8) {
		uint32_t w[4];
#pragma unroll
		for (int j = 0; j < 4; j++) {
			if (dtype == BF16)
				asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(w[j]) : "f"(y[i + 2 * j + 1]), "f"(y[i + 2 * j]));
			else
				asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(w[j]) : "f"(y[i + 2 * j + 1]), "f"(y[i + 2 * j]));
		}
		*(uint4 *)(row + 2 * i) = make_uint4(w[0], w[1], w[2], w[3]);
	}
}

template <int D, int BITS>
static __device__ __forceinline__ void decode_rht(const tqc_plan &p, const uint8_t *codes, size_t n, uint8_t *x, int dtype,
						  size_t stride)
{
	extern __shared__ __align__(128) uint8_t smem[];
	const unsigned lane = threadIdx.x & 31, warp = threadIdx.x >> 5, warps = blockDim.x >> 5;
	const unsigned es = element_size(dtype), line = D * es, pitch = line + 16;
	float *signs = (float *)smem;
	uint8_t *in = smem + p.rot.rounds * D * 4 + warp * (32 * pitch + 32 * p.row_bytes), *out = in + 32 * p.row_bytes;
	const size_t ntiles = (n + 31) / 32, pace = (size_t)gridDim.x * warps;
	const bool words = !(p.row_bytes & 3) && !(p.section[0].at & 3);
	const row_pieces<D> piece(lane, es);
	uint32_t l[4] = {};

	auto fetch = [&](size_t tile) {
		if (tile < ntiles) {
			size_t left = n - 32 * tile;

			warp_load(in, codes + 32 * tile * p.row_bytes, (left < 32 ? (unsigned)left : 32) * p.row_bytes);
		}
		async_commit();
	};
	size_t tile = (size_t)blockIdx.x * warps + warp;
	const size_t turns = ((ntiles + warps - 1) / warps - blockIdx.x + gridDim.x - 1) / gridDim.x;

	fetch(tile);
	load_signs(p, signs, p.rot.rounds * D);
#pragma unroll
	for (int k = 0; k < 1 << BITS; k++)
		l[k / 4] |= (uint32_t)((p.odd[k] + 127) / 2) << 8 * (k & 3);
	__syncthreads();
	for (size_t turn = 0; turn < turns; turn++, tile += pace) {
		const uint8_t *row = in + lane * p.row_bytes;
		unsigned left = tile >= ntiles ? 0 : n - 32 * tile < 32 ? (unsigned)(n - 32 * tile) : 32;
		float y[D], scale, t, power = 1.0f;
		int e;

		/* in step: the warps share what they fetch of this long code */
		async_wait<0>();
		__syncthreads();
		scale = lane < left ? load_scale(p, row) : 0.0f;
		t = split_scale(scale, &e) * p.half_step;
		if (e >= -60 && e <= 60)
			t = t * pow2(e);
		else
			power = pow2(e);
#pragma unroll
		for (int i = 0; i < D; i += 8)
			levels8<BITS>(y + i, codes8<BITS>(row + p.section[0].at, row + p.section[1].at, words, i), l, 2.0f * t);
		__syncwarp();
		fetch(tile + pace);

#pragma unroll 1
		for (unsigned round = p.rot.rounds; round-- > 0;) {
			row_hadamard<D>(y);
			row_signs<D>(y, signs + round * D);
		}
		if (__any_sync(~0u, power != 1.0f))
#pragma unroll
			for (int i = 0; i < D; i++)
				y[i] = y[i] * power;
		store_row<D>(out + lane * pitch, dtype, y);
		__syncwarp();
		uint8_t *to = x + (32 * tile + piece.first) * stride * es + piece.column;
		const uint8_t *from = out + piece.first * pitch + piece.column;

#pragma unroll 4
		for (unsigned r = piece.first; r < left; r += piece.step) {
			*(uint4 *)to = *(const uint4 *)from;
			to += piece.step * stride * es;
			from += piece.step * pitch;
		}
		__syncwarp();
	}
	async_wait<0>();
}

#define TQC_DECODE_KERNEL(name, d, bits)                                                                                \
	extern "C" __global__ void __launch_bounds__(TQC_ROWS_THREADS(d), 1) name(                                       \
		tqc_plan p, const uint8_t *codes, size_t n, uint8_t *x, int dtype, size_t stride)                       \
	{                                                                                                               \
		decode_rht<d, bits>(p, codes, n, x, dtype, stride);                                                     \
	}
