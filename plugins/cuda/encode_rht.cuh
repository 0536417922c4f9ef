/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Encode, fast: rht, D = 64 or 128, 1 to 4 bits, effort 0, no centre, no sketch; rows aligned to 16.
 *
 * The row is not scaled to [1, 2): every step but the last is indifferent to a power of two as long as
 * nothing leaves the range of normal floats. A warp with a row of an exponent beyond 40, or with an
 * element below 2^-40 of the row's largest (which has to become 0), scales its rows as the definition says.
 */
#pragma once
#include "rows_rht.cuh"

/* a 16-bit pair's magnitudes into the running maximum and minimum */
template <bool BF> static __device__ __forceinline__ void pair_limits(uint32_t v, uint32_t &high, uint32_t &low)
{
	uint32_t a = v & 0x7fff7fffu;

	if (BF) {
		asm("max.bf16x2 %0, %0, %1;" : "+r"(high) : "r"(a));
		asm("min.bf16x2 %0, %0, %1;" : "+r"(low) : "r"(a));
	} else {
		asm("max.f16x2 %0, %0, %1;" : "+r"(high) : "r"(a));
		asm("min.f16x2 %0, %0, %1;" : "+r"(low) : "r"(a));
	}
}

template <bool BF> static __device__ __forceinline__ float half_value(uint32_t pair, int upper)
{
	if (BF)
		return __uint_as_float(upper ? pair & 0xffff0000u : pair << 16);
	return __half2float(__ushort_as_half((unsigned short)(upper ? pair >> 16 : pair)));
}

/* one row of 16-bit elements, its largest and its smallest magnitude */
template <int D, bool BF>
static __device__ __forceinline__ void load_half(const uint8_t *row, float (&y)[D], float &most, float &least)
{
	uint32_t high[4] = {}, low[4] = { 0x7bff7bffu, 0x7bff7bffu, 0x7bff7bffu, 0x7bff7bffu };

#pragma unroll
	for (int i = 0; i < D; i += 8) {
		uint4 v = *(const uint4 *)(row + 2 * i);
		uint32_t w[4] = { v.x, v.y, v.z, v.w };
#pragma unroll
		for (int j = 0; j < 4; j++) {
			pair_limits<BF>(w[j], high[j], low[j]);
			y[i + 2 * j] = half_value<BF>(w[j], 0);
			y[i + 2 * j + 1] = half_value<BF>(w[j], 1);
		}
	}
#pragma unroll
	for (int j = 1; j < 4; j++) {
		pair_limits<BF>(high[j], high[0], low[j]);
		pair_limits<BF>(low[j], high[j], low[0]);
	}
	most = fmaxf(half_value<BF>(high[0], 0), half_value<BF>(high[0], 1));
	least = fminf(half_value<BF>(low[0], 0), half_value<BF>(low[0], 1));
}

template <int D>
static __device__ __forceinline__ void load_row_f32(const uint8_t *row, float (&y)[D], float &most, float &least)
{
	float high[4] = {}, low[4] = { 3e38f, 3e38f, 3e38f, 3e38f };

#pragma unroll
	for (int i = 0; i < D; i += 4) {
		float4 v = *(const float4 *)(row + 4 * i);

		y[i] = v.x;
		y[i + 1] = v.y;
		y[i + 2] = v.z;
		y[i + 3] = v.w;
#pragma unroll
		for (int j = 0; j < 4; j++) {
			high[j] = fmaxf(high[j], fabsf(y[i + j]));
			low[j] = fminf(low[j], fabsf(y[i + j]));
		}
	}
	most = fmaxf(fmaxf(high[0], high[1]), fmaxf(high[2], high[3]));
	least = fminf(fminf(low[0], low[1]), fminf(low[2], low[3]));
}

/* x * 2^-e and what that makes too small becomes +0; exact: see scale_down() */
template <int D> static __device__ __forceinline__ void scale_row(float (&y)[D], int e)
{
	float f = pow2(-(e / 2)), g = pow2(-(e - e / 2));

#pragma unroll
	for (int i = 0; i < D; i++) {
		float v = y[i] * f * g;

		y[i] = fabsf(v) < 9.094947017729282e-13f ? 0.0f : v;
	}
}

/* Squares of 16-bit elements are exact in 24 bits, so that the product and sum round once like the fma */
template <int D, bool EXACT> static __device__ __forceinline__ float square_sum(const float (&y)[D])
{
	float lane[16];

#pragma unroll
	for (int i = 0; i < 16; i++)
		lane[i] = y[i] * y[i];
#pragma unroll
	for (int i = 16; i < D; i++)
		lane[i & 15] = EXACT ? __fmaf_rn(y[i], y[i], lane[i & 15]) : lane[i & 15] + y[i] * y[i];
	return row_tree(lane);
}

/*
 * Magnitude indices of 8 coordinates as nibbles, and F in each nibble of a negative one. Thresholds are
 * symmetric; a value on one goes up, so the magnitude of a negative one counts one unit in the last place
 * less. That turns -0 into a NaN, which no threshold reaches, without a sign: it is level 0 of the positive.
 */
template <int BITS>
static __device__ __forceinline__ void quantize8(const float *y, const float *t, uint32_t &magnitude, uint32_t &negative)
{
	float a[8];
	int c[8];

	magnitude = 0;
#pragma unroll
	for (int j = 0; j < 8; j++) {
		c[j] = __float_as_int(y[j]) + (__float_as_int(y[j]) >> 31);
		a[j] = fabsf(__int_as_float(c[j]));
	}
#pragma unroll
	for (int j = 0; j < 8; j++) {
		if (BITS == 4)
			asm("{.reg .pred p, q, r;\n"
			    ".reg .f32 s, u;\n"
			    "setp.ge.f32 p, %1, %5;\n"
			    "selp.f32 s, %7, %3, p;\n"
			    "setp.ge.f32 q, %1, s;\n"
			    "selp.f32 s, %4, %2, q;\n"
			    "selp.f32 u, %8, %6, q;\n"
			    "selp.f32 s, u, s, p;\n"
			    "setp.ge.f32 r, %1, s;\n"
			    "@p add.u32 %0, %0, %9;\n"
			    "@q add.u32 %0, %0, %10;\n"
			    "@r add.u32 %0, %0, %11;}"
			    : "+r"(magnitude)
			    : "f"(a[j]), "f"(t[0]), "f"(t[BITS == 4 ? 1 : 0]), "f"(t[BITS == 4 ? 2 : 0]), "f"(t[BITS == 4 ? 3 : 0]),
			      "f"(t[BITS == 4 ? 4 : 0]), "f"(t[BITS == 4 ? 5 : 0]), "f"(t[BITS == 4 ? 6 : 0]), "r"(4u << 4 * j),
			      "r"(2u << 4 * j), "r"(1u << 4 * j));
		if (BITS == 3)
			asm("{.reg .pred p, q;\n"
			    ".reg .f32 s;\n"
			    "setp.ge.f32 p, %1, %3;\n"
			    "selp.f32 s, %4, %2, p;\n"
			    "setp.ge.f32 q, %1, s;\n"
			    "@p add.u32 %0, %0, %5;\n"
			    "@q add.u32 %0, %0, %6;}"
			    : "+r"(magnitude)
			    : "f"(a[j]), "f"(t[0]), "f"(t[BITS == 3 ? 1 : 0]), "f"(t[BITS == 3 ? 2 : 0]), "r"(2u << 4 * j),
			      "r"(1u << 4 * j));
		if (BITS == 2)
			asm("{.reg .pred p;\n"
			    "setp.ge.f32 p, %1, %2;\n"
			    "@p add.u32 %0, %0, %3;}"
			    : "+r"(magnitude)
			    : "f"(a[j]), "f"(t[0]), "r"(1u << 4 * j));
	}
	/* prmt's sign mode: bytes of the signs of coordinates 0, 2, 4, 6, then 1, 3, 5, 7 */
	uint32_t even = prmt(prmt(c[0], c[2], 0x00fb), prmt(c[4], c[6], 0x00fb), 0x5410);
	uint32_t odd = prmt(prmt(c[1], c[3], 0x00fb), prmt(c[5], c[7], 0x00fb), 0x5410);

	negative = (even & 0x0f0f0f0fu) | (odd & 0xf0f0f0f0u);
}

/* sum of y * odd by 16 lanes and of odd^2, 8 coordinates more: both factors have one sign */
static __device__ __forceinline__ void fit8(const float *y, const uint32_t (&odd)[2], uint32_t magnitude, float *lane,
					    unsigned &cc)
{
#pragma unroll
	for (int h = 0; h < 2; h++) {
		uint32_t four = prmt(odd[0], odd[1], magnitude >> 16 * h);

		cc = __dp4a(four, four, cc);
#pragma unroll
		for (int j = 0; j < 4; j++) {
			float o = __uint_as_float(prmt(four, 0x4b000000u, 0x7440 + j)) - 8388608.0f;

			lane[4 * h + j] = lane[4 * h + j] + fabsf(y[4 * h + j]) * o;
		}
	}
}

/* 8 nibbles of 2 bits to 16 bits, of 1 bit to 8 */
static __device__ __forceinline__ uint32_t gather2(uint32_t x)
{
	x = (x | x >> 2) & 0x0f0f0f0fu;
	x = (x | x >> 4) & 0x00ff00ffu;
	return (x | x >> 8) & 0xffffu;
}

static __device__ __forceinline__ uint32_t gather1(uint32_t x)
{
	x = (x | x >> 3) & 0x03030303u;
	x = (x | x >> 6) & 0x000f000fu;
	return (x | x >> 12) & 0xffu;
}

static __device__ __forceinline__ void put16(uint8_t *at, uint32_t v)
{
	*(uint16_t *)at = (uint16_t)v;
}

/* The fields of coordinates i .. i + 7; @words: the row and its fields are aligned to 4 */
template <int BITS>
static __device__ __forceinline__ void put8(uint8_t *first, uint8_t *second, bool words, int i, uint32_t magnitude,
					    uint32_t negative)
{
	if (BITS == 4) {
		uint32_t w = magnitude ^ negative ^ 0x88888888u;

		if (words) {
			*(uint32_t *)(first + i / 2) = w;
		} else {
			put16(first + i / 2, w);
			put16(first + i / 2 + 2, w >> 16);
		}
	} else if (BITS == 3) {
		first[i / 8] = (uint8_t)gather1(~negative & 0x11111111u);
		put16(second + i / 4, gather2((magnitude ^ negative) & 0x33333333u));
	} else if (BITS == 2) {
		put16(first + i / 4, gather2((((magnitude ^ negative) & 0x11111111u) | 0x22222222u) ^ (negative & 0x22222222u)));
	} else {
		first[i / 8] = (uint8_t)gather1(~negative & 0x11111111u);
	}
}

/* FIT: the correction needs the sums over the chosen levels */
template <int D, int BITS, bool FIT>
static __device__ __forceinline__ void encode_rht(const tqc_plan &p, const uint8_t *x, int dtype, size_t stride, size_t n,
						  uint8_t *codes)
{
	constexpr int H = 1 << (BITS - 1);
	extern __shared__ __align__(128) uint8_t smem[];
	const unsigned lane = threadIdx.x & 31, warp = threadIdx.x >> 5, warps = blockDim.x >> 5;
	const unsigned es = element_size(dtype), line = D * es, pitch = line + 16;
	float *signs = (float *)smem;
	uint8_t *in = smem + p.rot.rounds * D * 4 + warp * (32 * pitch + 32 * p.row_bytes), *out = in + 32 * pitch;
	const size_t ntiles = (n + 31) / 32, pace = (size_t)gridDim.x * warps;
	const bool words = !(p.row_bytes & 3) && !(p.section[0].at & 3);
	uint32_t odd[2] = {};

	const row_pieces<D> piece(lane, es);

	auto fetch = [&](size_t tile) {
		if (tile < ntiles) {
			unsigned left = n - 32 * tile < 32 ? (unsigned)(n - 32 * tile) : 32;
			const uint8_t *from = x + (32 * tile + piece.first) * stride * es + piece.column;
			uint8_t *to = in + piece.first * pitch + piece.column;

#pragma unroll 4
			for (unsigned r = piece.first; r < left; r += piece.step) {
				async16(to, from);
				to += piece.step * pitch;
				from += piece.step * stride * es;
			}
		}
		async_commit();
	};
	size_t tile = (size_t)blockIdx.x * warps + warp;
	const size_t turns = ((ntiles + warps - 1) / warps - blockIdx.x + gridDim.x - 1) / gridDim.x;

	fetch(tile);
	load_signs(p, signs, p.rot.rounds * D);
	if (FIT)
#pragma unroll
		for (int m = 0; m < H; m++)
			odd[m / 4] |= (uint32_t)p.odd[H + m] << 8 * (m & 3);
	__syncthreads();
	for (size_t turn = 0; turn < turns; turn++, tile += pace) {
		float y[D], most, least, norm2;
		unsigned left = tile >= ntiles ? 0 : n - 32 * tile < 32 ? (unsigned)(n - 32 * tile) : 32;

		/* in step: the warps share what they fetch of this long code */
		async_wait<0>();
		__syncthreads();
		if (dtype == F32)
			load_row_f32<D>(in + lane * pitch, y, most, least);
		else if (dtype == BF16)
			load_half<D, true>(in + lane * pitch, y, most, least);
		else
			load_half<D, false>(in + lane * pitch, y, most, least);
		__syncwarp();
		fetch(tile + pace);

		unsigned top = __float_as_uint(most);
		int e = !top ? 0 : top >= 0x00800000u ? (int)(top >> 23) - 127 : -118 - __clz(top), power = 0;
		bool plain = e >= -40 && e <= 40 && least >= pow2(max(e, -40) - 40);

		if (!__all_sync(~0u, plain || lane >= left)) {
			scale_row<D>(y, e);
			power = e;
		}
		norm2 = dtype == F32 ? square_sum<D, false>(y) : square_sum<D, true>(y);
#pragma unroll 1
		for (unsigned round = 0; round < p.rot.rounds; round++) {
			row_signs<D>(y, signs + round * D);
			row_hadamard<D>(y);
		}

		/* thresholds of a zero row are 0, which -0 reaches too */
		if (__any_sync(~0u, !(norm2 > 0.0f)))
#pragma unroll
			for (int i = 0; i < D; i++)
				y[i] = norm2 > 0.0f ? y[i] : 0.0f;

		__syncthreads();
		float r = sqrtf(norm2 / (float)D), t[H > 1 ? H - 1 : 1], fit[16] = {}, s = r;
		uint8_t *row = out + lane * p.row_bytes;
		unsigned cc = 0;

#pragma unroll
		for (int m = 0; m < H - 1; m++)
			t[m] = __ldg(p.bounds + H + m) * r;
#pragma unroll
		for (int i = 0; i < D; i += 8) {
			uint32_t magnitude, negative;

			quantize8<BITS>(y + i, t, magnitude, negative);
			put8<BITS>(row + p.section[0].at, row + p.section[1].at, words, i, magnitude, negative);
			if (FIT)
				fit8(y + i, odd, magnitude, fit + (i & 8), cc);
		}
		if (FIT) {
			float yc = row_tree(fit), h = p.half_step;

			if (p.correction == CORR_NORM)
				s = sqrtf(norm2 / (float)cc) / h;
			else if (!(yc > 0.0f))
				s = 0.0f;
			else
				s = (p.correction == CORR_LS ? yc / (float)cc : norm2 / yc) / h;
		}
		s = scale_up(norm2 > 0.0f ? s : 0.0f, power);
		if (p.scale == F32) {
			put16(row, __float_as_uint(s));
			put16(row + 2, __float_as_uint(s) >> 16);
		} else if (p.scale == F16) {
			put16(row, f16_bits(s > 65504.0f ? 65504.0f : s));
		} else {
			put16(row, bf16_bits(s > 3.3895313892515355e38f ? 3.3895313892515355e38f : s));
		}
		__syncwarp();
		if (left)
			warp_store(codes + 32 * tile * p.row_bytes, out, left * p.row_bytes);
		__syncwarp();
	}
	async_wait<0>();
}

#define TQC_ENCODE_KERNEL(name, d, bits, fit)                                                                           \
	extern "C" __global__ void __launch_bounds__(TQC_ROWS_THREADS(d), 1) name(                                       \
		tqc_plan p, const uint8_t *x, int dtype, size_t stride, size_t n, uint8_t *codes)                       \
	{                                                                                                               \
		encode_rht<d, bits, fit>(p, x, dtype, stride, n, codes);                                                \
	}
