/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decode, fast: rht, D = 64 or 128, 1 to 4 bits, no centre, no sketch; rows aligned to 16. As in encode,
 * the power of two of a row of moderate size is multiplied in at the start: nothing leaves the normal range. So are
 * those of the rounds. Signs come with the first butterfly of the round before, the last with the conversion.
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

template <int N> static __device__ __forceinline__ void multiply(float (&y)[N], float by)
{
#pragma unroll
	for (int i = 0; i < N; i++)
		y[i] = y[i] * by;
}

/* load_scale() for rows aligned to 2 */
static __device__ __forceinline__ float get_scale(const tqc_plan &p, const uint8_t *row)
{
	unsigned b = *(const uint16_t *)row;

	if (p.scale == F32)
		return __uint_as_float(b | *(const uint16_t *)(row + 2) << 16);
	return p.scale == F16 ? __half2float(__ushort_as_half((unsigned short)b)) : __uint_as_float(b << 16);
}

/* a thread's part of a row; @first, @second: the fields of its first eight coordinates */
template <int D, int P, int BITS>
static __device__ __forceinline__ void load_levels(float (&y)[D / P], const uint8_t *first, const uint8_t *second,
						   bool words, const uint32_t (&l)[4], float t2)
{
#pragma unroll
	for (int i = 0; i < D / P; i += 8)
		levels8<BITS>(y + i, codes8<BITS>(first, second, words, P * i), l, t2);
}

/*
 * One round backwards: what is multiplied by signs @s (FIRST: by none) and, where @gain is not 1, by that, goes
 * through butterflies. A product with a sign is exact, so that it may come with the first sum:
 * (u, v) -> (s u + s' v, s u - s' v).
 * @turn: 1 or -1, by which of two threads this is
 */
template <int D, int P, bool FIRST>
static __device__ __forceinline__ void row_back(float (&y)[D / P], const float *s, float gain, float turn)
{
	constexpr int N = D / P;

	if (!FIRST && gain != 1.0f)
		multiply<N>(y, gain);
	if constexpr (!FIRST) {
#pragma unroll
		for (int i = 0; i < N; i += 4) {
			const float4 f = *(const float4 *)(s + i);
			const float u = y[i] * f.x, v = y[i + 1], w = y[i + 2] * f.z, x = y[i + 3];

			y[i] = __fmaf_rn(v, f.y, u);
			y[i + 1] = __fmaf_rn(-v, f.y, u);
			y[i + 2] = __fmaf_rn(x, f.w, w);
			y[i + 3] = __fmaf_rn(-x, f.w, w);
		}
	}
#pragma unroll
	for (int h = FIRST ? 1 : 2; h < N; h *= 2) {
		if (P == 2 && h == 8)
#pragma unroll
			for (int i = 0; i < N; i++)
				y[i] = __fmaf_rn(y[i], turn, __shfl_xor_sync(~0u, y[i], 16));
#pragma unroll
		for (int i = 0; i < N; i++)
			if (!(i & h)) {
				float a = y[i], b = y[i + h];

				y[i] = a + b;
				y[i + h] = a - b;
			}
	}
}

/*
 * The block's tables: for each thread of a row each round's signs in the order of its registers, the first round's as
 * bits, two to a word, then each round's factor, or 1 where that is a power of two: the product of these is returned.
 */
template <int D, int P> static __device__ __forceinline__ float load_backs(const tqc_plan &p, float *table)
{
	constexpr unsigned N = D / P;
	uint16_t *first = (uint16_t *)table;
	float power = 1.0f, *gains = table + p.rot.rounds * D;

	for (unsigned i = threadIdx.x; i < p.rot.rounds * D; i += blockDim.x) {
		bool minus = p.rot.signs[i / D * D + coordinate<P>(i % N, i / N % P)] < 0.0f;

		if (i < D)
			first[i] = minus ? 0x8000u : 0;
		else
			table[i] = minus ? -1.0f : 1.0f;
	}
	for (unsigned k = 0; k < p.rot.rounds; k++) {
		float a = fabsf(p.rot.signs[k * D]);
		bool exact = !(__float_as_uint(a) & 0x7fffffu);

		power = exact ? power * a : power;
		if (threadIdx.x == 0)
			gains[k] = exact ? 1.0f : a;
	}
	return power;
}

/* a thread's part of a row; @flips: whose signs change */
template <int D, int P, int DTYPE>
static __device__ __forceinline__ void store_row(uint8_t *row, const float (&y)[D / P], const uint32_t *flips)
{
#pragma unroll
	for (int i = 0; i < D / P; i += 8) {
		const uint4 flip = *(const uint4 *)(flips + i / 2);
		const uint32_t f[4] = { flip.x, flip.y, flip.z, flip.w };
		uint32_t w[8];

		if constexpr (DTYPE == F32) {
#pragma unroll
			for (int j = 0; j < 4; j++) {
				w[2 * j] = __float_as_uint(y[i + 2 * j]) ^ f[j] << 16;
				w[2 * j + 1] = __float_as_uint(y[i + 2 * j + 1]) ^ (f[j] & 0xffff0000u);
			}
			*(uint4 *)(row + 4 * P * i) = make_uint4(w[0], w[1], w[2], w[3]);
			*(uint4 *)(row + 4 * P * i + 16) = make_uint4(w[4], w[5], w[6], w[7]);
		} else {
#pragma unroll
			for (int j = 0; j < 4; j++) {
				if (DTYPE == BF16)
					asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(w[j]) : "f"(y[i + 2 * j + 1]), "f"(y[i + 2 * j]));
				else
					asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(w[j]) : "f"(y[i + 2 * j + 1]), "f"(y[i + 2 * j]));
			}
			*(uint4 *)(row + 2 * P * i) = make_uint4(w[0] ^ f[0], w[1] ^ f[1], w[2] ^ f[2], w[3] ^ f[3]);
		}
	}
}

template <int D, int P, int BITS>
static __device__ __forceinline__ void decode_rht(const tqc_plan &p, const uint8_t *codes, size_t n, uint8_t *x, int dtype,
						  size_t stride)
{
	constexpr int N = D / P;
	constexpr unsigned ROWS = 32 / P;
	extern __shared__ __align__(128) uint8_t smem[];
	const unsigned lane = threadIdx.x & 31, warp = threadIdx.x >> 5, warps = blockDim.x >> 5;
	const unsigned es = element_size(dtype), pitch = D * es + 16, mine = lane % ROWS, part = lane / ROWS;
	const float *signs = (const float *)smem + part * N, turn = part ? -1.0f : 1.0f;
	const float *gains = (const float *)smem + p.rot.rounds * D;
	const uint32_t *flips = (const uint32_t *)smem + part * N / 2;
	uint8_t *in = smem + TQC_BACK_FLOATS(D, p.rot.rounds) * 4 + warp * ROWS * (pitch + p.row_bytes), *out = in + ROWS * p.row_bytes;
	const unsigned pace = gridDim.x * warps * ROWS, skip = (blockIdx.x * warps + warp) * ROWS, bytes = ROWS * p.row_bytes;
	const bool words = BITS == 4 && !(p.row_bytes & 3) && !(p.section[0].at & 3), dense = es == 2 && stride == D;
	const row_pieces<D> piece(lane, es);
	const uint8_t *next = codes + (size_t)skip * p.row_bytes + 16 * lane, *from = out + piece.first * pitch + piece.column;
	const uint8_t *first = in + mine * p.row_bytes + p.section[0].at + part * (BITS == 3 ? 1 : BITS);
	const uint8_t *second = in + mine * p.row_bytes + p.section[1].at + part * 2;
	const size_t down = piece.step * stride * es, leap = (size_t)pace * stride * es, leap_codes = (size_t)pace * p.row_bytes;
	uint8_t *to = x + (skip + piece.first) * stride * es + piece.column;
	long long rest = (long long)(n - skip);
	uint32_t l[4] = {};

	/* starts copying the codes, at most 3 times 512 bytes, of rows of which there are @some, if they are positive */
	auto fetch = [&](long long some) {
		if (some >= ROWS) {
#pragma unroll
			for (unsigned i = 0; i < 1536; i += 512)
				if (16 * lane + i < bytes)
					async16(in + 16 * lane + i, next + i);
		} else if (some > 0) {
			warp_load(in, next - 16 * lane, (unsigned)some * p.row_bytes);
		}
		next += leap_codes;
		async_commit();
	};

	fetch(rest);
	const float power2 = load_backs<D, P>(p, (float *)smem);
#pragma unroll
	for (int k = 0; k < 1 << BITS; k++)
		l[k / 4] |= (uint32_t)((p.odd[k] + 127) / 2) << 8 * (k & 3);
	__syncthreads();
	for (; rest > 0; rest -= pace) {
		const unsigned left = rest < ROWS ? (unsigned)rest : ROWS;
		float y[N], scale, t, power = 1.0f;
		int e;

		async_wait<0>();
		__syncwarp();
		scale = mine < left ? get_scale(p, in + mine * p.row_bytes) : 0.0f;
		t = split_scale(scale, &e) * p.half_step * power2;
		if (e >= -60 && e <= 60)
			t = t * pow2(e);
		else
			power = pow2(e);
		if (words)
			load_levels<D, P, BITS>(y, first, second, true, l, 2.0f * t);
		else
			load_levels<D, P, BITS>(y, first, second, false, l, 2.0f * t);
		__syncwarp();
		fetch(rest - pace);

		row_back<D, P, true>(y, signs, 1.0f, turn);
#pragma unroll 1
		for (unsigned round = p.rot.rounds - 1; round > 0; round--)
			row_back<D, P, false>(y, signs + round * D, gains[round], turn);
		if (gains[0] != 1.0f)
			multiply<N>(y, gains[0]);
		if (__any_sync(~0u, power != 1.0f))
			multiply<N>(y, power);
		if (dtype == BF16)
			store_row<D, P, BF16>(out + mine * pitch + 8 * es * part, y, flips);
		else if (dtype == F16)
			store_row<D, P, F16>(out + mine * pitch + 8 * es * part, y, flips);
		else
			store_row<D, P, F32>(out + mine * pitch + 8 * es * part, y, flips);
		__syncwarp();
		if (dense && left == ROWS) {
#pragma unroll
			for (int k = 0; k < (int)ROWS * D / 256; k++)
				*(uint4 *)(to + 512 * k) = *(const uint4 *)(from + k * (256 / D) * (2 * D + 16));
		} else {
			uint8_t *at = to;

#pragma unroll 4
			for (unsigned r = piece.first; r < left; r += piece.step) {
				*(uint4 *)at = *(const uint4 *)(from + (r - piece.first) * pitch);
				at += down;
			}
		}
		to += leap;
		__syncwarp();
	}
	async_wait<0>();
}

#define TQC_DECODE_KERNEL(name, d, bits)                                                                                \
	extern "C" __global__ void __launch_bounds__(TQC_ROWS_THREADS, 1) name(                                          \
		tqc_plan p, const uint8_t *codes, size_t n, uint8_t *x, int dtype, size_t stride)                       \
	{                                                                                                               \
		decode_rht<d, TQC_ROWS_SHARE(d), bits>(p, codes, n, x, dtype, stride);                                  \
	}
