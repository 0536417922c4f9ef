/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Encode, fast: rht, D = 64 or 128, 1 to 4 bits, effort 0, no centre, no sketch; rows aligned to 16.
 *
 * Instructions bound it, their number and that they have to be fetched: those of comparison, selection and logic (half
 * a warp a cycle) more than additions and products (a whole one). So signs come with the butterflies, indices
 * are summed as floats, and a look-up leaves one comparison of 4 with thresholds. Warps do not wait for each other: the loop
 * fits the instruction cache, which is why two threads share a row of 128; one thread's loop would not.
 *
 * The row is not scaled to [1, 2): every step but the last is indifferent to a power of two as long as
 * nothing leaves the range of normal floats. A warp with a row longer than 2^35 or shorter than 2^-35, or with an element
 * below 2^-40 of the row's largest (which has to become 0), scales its rows as the definition says.
 */
#pragma once
#include "rows_rht.cuh"

/* the smaller magnitudes of 16-bit pairs, with any sign; @b: what this made, or without sign */
template <bool BF> static __device__ __forceinline__ uint32_t pair_least(uint32_t a, uint32_t b)
{
	uint32_t least;

#if __CUDA_ARCH__ >= 860
	if (BF)
		asm("min.xorsign.abs.bf16x2 %0, %1, %2;" : "=r"(least) : "r"(a), "r"(b));
	else
		asm("min.xorsign.abs.f16x2 %0, %1, %2;" : "=r"(least) : "r"(a), "r"(b));
#else
	a &= 0x7fff7fffu;
	if (BF)
		asm("min.bf16x2 %0, %1, %2;" : "=r"(least) : "r"(a), "r"(b));
	else
		asm("min.f16x2 %0, %1, %2;" : "=r"(least) : "r"(a), "r"(b));
#endif
	return least;
}

template <bool BF> static __device__ __forceinline__ float half_value(uint32_t pair, int upper)
{
	if (BF)
		return __uint_as_float(upper ? pair & 0xffff0000u : pair << 16);
	return __half2float(__ushort_as_half((unsigned short)(upper ? pair >> 16 : pair)));
}

/* The smallest magnitude of a row of P threads */
template <int P> static __device__ __forceinline__ float row_least(float least)
{
	return P == 1 ? least : fminf(least, __shfl_xor_sync(~0u, least, 16));
}

/* a thread's part of a row of 16-bit elements, with the signs of @flip changed, and the row's smallest magnitude */
template <int D, int P, bool BF>
static __device__ __forceinline__ void load_half(const uint8_t *row, uint32_t flip, float (&y)[D / P], float &least)
{
	uint32_t low[4] = { 0x7bff7bffu, 0x7bff7bffu, 0x7bff7bffu, 0x7bff7bffu };

#pragma unroll
	for (int i = 0; i < D / P; i += 8) {
		uint4 v = *(const uint4 *)(row + 2 * P * i);
		uint32_t w[4] = { v.x ^ flip, v.y ^ flip, v.z ^ flip, v.w ^ flip };
#pragma unroll
		for (int j = 0; j < 4; j++) {
			low[j] = pair_least<BF>(w[j], low[j]);
			y[i + 2 * j] = half_value<BF>(w[j], 0);
			y[i + 2 * j + 1] = half_value<BF>(w[j], 1);
		}
	}
	low[0] = pair_least<BF>(pair_least<BF>(low[0], low[1]), pair_least<BF>(low[2], low[3]));
	least = row_least<P>(fminf(fabsf(half_value<BF>(low[0], 0)), fabsf(half_value<BF>(low[0], 1))));
}

template <int D, int P>
static __device__ __forceinline__ void load_row_f32(const uint8_t *row, uint32_t flip, float (&y)[D / P], float &least)
{
	float low[4] = { 3e38f, 3e38f, 3e38f, 3e38f };

#pragma unroll
	for (int i = 0; i < D / P; i += 4) {
		uint4 v = *(const uint4 *)(row + 4 * coordinate<P>(i, 0));

		y[i] = __uint_as_float(v.x ^ flip);
		y[i + 1] = __uint_as_float(v.y ^ flip);
		y[i + 2] = __uint_as_float(v.z ^ flip);
		y[i + 3] = __uint_as_float(v.w ^ flip);
#pragma unroll
		for (int j = 0; j < 4; j++)
			low[j] = fminf(low[j], fabsf(y[i + j]));
	}
	least = row_least<P>(fminf(fminf(low[0], low[1]), fminf(low[2], low[3])));
}

/* floor(log2 of the largest magnitude), 0 for zeros */
template <int N, int P> static __device__ __forceinline__ int row_exponent(const float (&y)[N])
{
	float most[4] = {};

#pragma unroll
	for (int i = 0; i < N; i++)
		most[i & 3] = fmaxf(most[i & 3], fabsf(y[i]));
	unsigned top = __float_as_uint(fmaxf(fmaxf(most[0], most[1]), fmaxf(most[2], most[3])));

	if (P == 2)
		top = max(top, __shfl_xor_sync(~0u, top, 16));
	return !top ? 0 : top >= 0x00800000u ? (int)(top >> 23) - 127 : -118 - __clz(top);
}

/* x * 2^-e and what that makes too small becomes +0; exact: see scale_down() */
template <int N> static __device__ __forceinline__ void scale_row(float (&y)[N], int e)
{
	float f = pow2(-(e / 2)), g = pow2(-(e - e / 2));

#pragma unroll
	for (int i = 0; i < N; i++) {
		float v = y[i] * f * g;

		y[i] = fabsf(v) < 9.094947017729282e-13f ? 0.0f : v;
	}
}

/* Squares of 16-bit elements are exact in 24 bits, so that the product and sum round once like the fma */
template <int N, int P, bool EXACT> static __device__ __forceinline__ float square_sum(const float (&y)[N])
{
	constexpr int L = 16 / P;
	float lane[L];

#pragma unroll
	for (int i = 0; i < L; i++)
		lane[i] = y[i] * y[i];
#pragma unroll
	for (int i = L; i < N; i++)
		lane[i % L] = EXACT ? __fmaf_rn(y[i], y[i], lane[i % L]) : lane[i % L] + y[i] * y[i];
	return shared_tree<P>(lane);
}

/* What a row's coordinates are compared with: r, and for 3 and 4 bits the unit of buckets; for 2 the threshold */
struct row_thresholds {
	float r, unit, t;
	const uint8_t *buckets;
};

/*
 * 2^23 and the indices of 4 coordinates, as float: by nibbles of 3 and 4 bits, else @shift places up by what they
 * have. @level, for 2 bits: those chosen, of @odd0 and @odd1.
 */
template <int BITS>
static __device__ __forceinline__ float quantize4(const float *y, const row_thresholds &t, int shift, float odd0, float odd1,
						  float *level)
{
	float sum = shift ? 0.0f : 8388608.0f;

#pragma unroll
	for (int j = 0; j < 4; j++) {
		float one = (float)(1u << ((BITS < 3 ? BITS : 4) * j + shift));

		if (BITS >= 3) {
			float place = __fmaf_rn(y[j], t.unit, 12582912.0f + 4 * TQC_BUCKETS + 4);
			float2 e = *(const float2 *)(t.buckets + (__float_as_uint(place) & (8 * TQC_BUCKETS - 8)));

			sum = j ? __fmaf_rn(e.y, one, sum) : sum + e.y;
			asm("{.reg .pred p;\n"
			    "setp.ge.f32 p, %1, %2;\n"
			    "@p add.rn.f32 %0, %0, %3;}"
			    : "+f"(sum)
			    : "f"(y[j]), "f"(e.x * t.r), "f"(one));
		} else if (BITS == 2) {
			asm("{.reg .pred p, q, r;\n"
			    "setp.ge.f32 p, %2, %3;\n"
			    "setp.ge.and.f32 q, %2, %4, !p;\n"
			    "setp.ge.f32 r, %2, 0f00000000;\n"
			    "@p add.rn.f32 %0, %0, %6;\n"
			    "@q add.rn.f32 %0, %0, %5;\n"
			    "@r add.rn.f32 %0, %0, %5;\n"
			    "selp.f32 %1, %7, %8, q;}"
			    : "+f"(sum), "=f"(level[j])
			    : "f"(y[j]), "f"(t.t), "f"(-t.t), "f"(one), "f"(2.0f * one), "f"(odd0), "f"(odd1));
		} else {
			asm("{.reg .pred p;\n"
			    "setp.ge.f32 p, %1, 0f00000000;\n"
			    "@p add.rn.f32 %0, %0, %2;}"
			    : "+f"(sum)
			    : "f"(y[j]), "f"(one));
		}
	}
	return sum;
}

/* Indices of 8 coordinates: a byte, 16 bits, or 8 nibbles */
template <int BITS>
static __device__ __forceinline__ uint32_t quantize8(const float *y, const row_thresholds &t, float odd0, float odd1, float *level)
{
	if (BITS >= 3)
		return prmt(__float_as_uint(quantize4<BITS>(y, t, 0, odd0, odd1, level)),
			    __float_as_uint(quantize4<BITS>(y + 4, t, 0, odd0, odd1, level + 4)), 0x5410);
	return __float_as_uint(quantize4<BITS>(y, t, 0, odd0, odd1, level) +
			       quantize4<BITS>(y + 4, t, 4 * BITS, odd0, odd1, level + 4)) & 0xffffu;
}

/* Magnitudes of levels, up to 8 of at most 127: as bytes, and the upper two bytes of them as floats */
struct level_bytes {
	uint32_t odd[2], upper[2], lower[2];

	__device__ __forceinline__ void put(unsigned m, unsigned value)
	{
		uint32_t f = __float_as_uint((float)value);

		odd[m / 4] |= value << 8 * (m & 3);
		upper[m / 4] |= (f >> 24) << 8 * (m & 3);
		lower[m / 4] |= (f >> 16 & 255) << 8 * (m & 3);
	}
};

/* The magnitudes of 8 levels, and their squares into @cc. prmt's sign mode makes zeros of a float's positive sign. */
template <int BITS>
static __device__ __forceinline__ void levels8(uint32_t w, const level_bytes &l, float *level, unsigned &cc)
{
	constexpr uint32_t top = 0x11111111u << (BITS - 1), low = top - 0x11111111u;
	uint32_t magnitude = ~(w ^ ((w & top) - ((w & top) >> (BITS - 1)))) & low;

#pragma unroll
	for (int h = 0; h < 2; h++) {
		uint32_t m = magnitude >> 16 * h, four = prmt(l.odd[0], l.odd[1], m);
		uint32_t upper = prmt(l.upper[0], l.upper[1], m), lower = prmt(l.lower[0], l.lower[1], m);

		cc = __dp4a(four, four, cc);
#pragma unroll
		for (int j = 0; j < 4; j++)
			level[4 * h + j] = __uint_as_float(prmt(lower, upper, 0x40cc + 0x1111 * j));
	}
}

/* the low two bits of 8 nibbles to 16 bits, the third to 8: the product moves each to its place, and none meet */
static __device__ __forceinline__ uint32_t gather2(uint32_t x)
{
	x = (x & 0x03030303u) | (x >> 2 & 0x0c0c0c0cu);
	x = (x & 0x000f000fu) | (x >> 4 & 0x00f000f0u);
	return prmt(x, 0, 0x4420);
}

static __device__ __forceinline__ uint32_t gather1(uint32_t x)
{
	x = (x & 0x44444444u) * 0x249u;
	return (x >> 11 & 0xfu) | (x >> 23 & 0xf0u);
}

static __device__ __forceinline__ void put16(uint8_t *at, uint32_t v)
{
	*(uint16_t *)at = (uint16_t)v;
}

/* The fields of coordinates i .. i + 7 */
template <int BITS> static __device__ __forceinline__ void put8(uint8_t *first, uint8_t *second, int i, uint32_t w)
{
	if (BITS == 4) {
		put16(first + i / 2, w);
		put16(first + i / 2 + 2, w >> 16);
	} else if (BITS == 3) {
		first[i / 8] = (uint8_t)gather1(w);
		put16(second + i / 4, gather2(w));
	} else if (BITS == 2) {
		put16(first + i / 4, w);
	} else {
		first[i / 8] = (uint8_t)w;
	}
}

/* store_scale() for rows aligned to 2 */
static __device__ __forceinline__ void put_scale(const tqc_plan &p, uint8_t *row, float s)
{
	if (p.scale == F32) {
		put16(row, __float_as_uint(s));
		put16(row + 2, __float_as_uint(s) >> 16);
	} else if (p.scale == F16) {
		put16(row, f16_bits(s > 65504.0f ? 65504.0f : s));
	} else {
		put16(row, bf16_bits(s > 3.3895313892515355e38f ? 3.3895313892515355e38f : s));
	}
}

/* P threads to a row; FIT: the correction needs the sums over the chosen levels */
template <int D, int P, int BITS, bool FIT>
static __device__ __forceinline__ void encode_rht(const tqc_plan &p, const uint8_t *x, int dtype, size_t stride, size_t n,
						  uint8_t *codes)
{
	constexpr int H = 1 << (BITS - 1), N = D / P, F = TQC_ROUND_FLOATS(D, P);
	constexpr unsigned ROWS = 32 / P;
	extern __shared__ __align__(128) uint8_t smem[];
	const unsigned lane = threadIdx.x & 31, warp = threadIdx.x >> 5, warps = blockDim.x >> 5;
	const unsigned es = element_size(dtype), line = D * es, pitch = line + 16, mine = lane % ROWS, part = lane / ROWS;
	uint8_t *buckets = smem;
	float *rounds = (float *)(smem + TQC_BUCKETS * sizeof(tqc_bucket));
	uint8_t *in = (uint8_t *)(rounds + p.rot.rounds * P * F) + warp * ROWS * (pitch + p.row_bytes), *out = in + ROWS * pitch;
	const size_t ntiles = (n + ROWS - 1) / ROWS, pace = (size_t)gridDim.x * warps;
	const bool words = !(p.row_bytes & 3) && !(p.section[0].at & 3);
	level_bytes levels = {};
	const float odd0 = BITS == 2 ? p.odd[H] : 0.0f, odd1 = BITS == 2 ? p.odd[H + 1] : p.odd[H];
	const row_pieces<D> piece(lane, es);
	const size_t down = piece.step * stride * es;
	const uint8_t *const column = x + piece.first * stride * es + piece.column;
	uint8_t *const to = in + piece.first * pitch + piece.column;

	auto fetch = [&](size_t tile) {
		unsigned left = n - ROWS * tile < ROWS ? (unsigned)(n - ROWS * tile) : ROWS;

		if (tile < ntiles && es == 2 && left == ROWS) {
			const uint8_t *from = column + ROWS * tile * stride * 2;

#pragma unroll
			for (int k = 0; k < (int)ROWS * D / 256; k++) {
				async16(to + k * (256 / D) * (2 * D + 16), from);
				from += down;
			}
		} else if (tile < ntiles) {
			const uint8_t *from = column + ROWS * tile * stride * es;

#pragma unroll 1
			for (unsigned r = piece.first; r < left; r += piece.step) {
				async16(to + (r - piece.first) * pitch, from);
				from += down;
			}
		}
		async_commit();
	};
	size_t tile = (size_t)blockIdx.x * warps + warp;

	fetch(tile);
	const float unit = load_rounds<D, P>(p, rounds, part), power2 = fabsf(unit);
	const uint32_t flip = unit < 0.0f ? 0x80008000u : 0;

	if (BITS >= 3)
		for (unsigned i = threadIdx.x; i < TQC_BUCKETS; i += blockDim.x)
			((float2 *)buckets)[i] = ((const float2 *)p.buckets)[i];
	if (FIT && BITS >= 3)
#pragma unroll
		for (int m = 0; m < H; m++)
			levels.put(m, p.odd[H + m]);
	__syncthreads();
	for (; tile < ntiles; tile += pace) {
		float y[N], least, norm2;
		int power = 0;
		unsigned left = n - ROWS * tile < ROWS ? (unsigned)(n - ROWS * tile) : ROWS;
		const uint8_t *from = in + mine * pitch + 8 * es * part;

		async_wait<0>();
		__syncwarp();
		if (dtype == F32)
			load_row_f32<D, P>(from, flip & 0x80000000u, y, least);
		else if (dtype == BF16)
			load_half<D, P, true>(from, flip, y, least);
		else
			load_half<D, P, false>(from, flip, y, least);
		__syncwarp();
		fetch(tile + pace);

		norm2 = dtype == F32 ? square_sum<N, P, false>(y) : square_sum<N, P, true>(y);
		least = least * pow2(38);
		bool plain = norm2 >= pow2(-70) && norm2 <= pow2(70) && least * least >= norm2;

		if (!__all_sync(~0u, plain || mine >= left)) {
			power = row_exponent<N, P>(y);
			scale_row<N>(y, power);
			norm2 = square_sum<N, P, false>(y);
		}
#pragma unroll 1
		for (unsigned round = 0; round < p.rot.rounds; round++)
			row_round<D, P>(y, rounds + (round * P + part) * F);

		/* thresholds of a zero row are 0, which its coordinates reach */
		if (__any_sync(~0u, !(norm2 > 0.0f)))
#pragma unroll
			for (int i = 0; i < N; i++)
				y[i] = norm2 > 0.0f ? y[i] : 1.0f;

		float r = sqrtf(norm2 / (float)D), fit[16 / P] = {}, s = r, rotated = r * __frcp_rn(power2);
		uint8_t *row = out + mine * p.row_bytes, *first = row + p.section[0].at, *second = row + p.section[1].at;
		row_thresholds t = { rotated, norm2 > 0.0f ? __fdividef(p.bucket_unit, rotated) : 8.0f * TQC_BUCKETS / 4,
				     BITS == 2 ? p.bounds[2] * rotated : 0.0f, buckets };
		unsigned cc = 0;
		uint32_t index[N / 8];

		first += part * (BITS == 3 ? 1 : BITS);
		second += part * 2;
#pragma unroll
		for (int i = 0; i < N; i += 8) {
			float level[8];
			const uint32_t w = quantize8<BITS>(y + i, t, odd0, odd1, level);

			if (BITS == 4)
				index[i / 8] = w;
			else
				put8<BITS>(first, second, P * i, w);
			if (!FIT)
				continue;
			if (BITS >= 3)
				levels8<BITS>(w, levels, level, cc);
			else if (BITS == 2)
				cc += __popc((w ^ w >> 1) & 0x5555u);
#pragma unroll
			for (int j = 0; j < 8; j++)
				fit[(i + j) % (16 / P)] = fit[(i + j) % (16 / P)] + fabsf(y[i + j]) * (BITS == 1 ? odd1 : level[j]);
		}
		if (BITS == 4 && words)
#pragma unroll
			for (int i = 0; i < N; i += 8)
				*(uint32_t *)(first + P * i / 2) = index[i / 8];
		else if (BITS == 4)
#pragma unroll
			for (int i = 0; i < N; i += 8)
				put8<BITS>(first, second, P * i, index[i / 8]);
		if (FIT) {
			if (P == 2)
				cc += __shfl_xor_sync(~0u, cc, 16);
			float sum = BITS >= 3 ? (float)cc : (float)(D - cc) * (odd1 * odd1) + (float)cc * (odd0 * odd0);

			s = fitted_scale(p.correction, norm2, shared_tree<P>(fit) * power2, sum, p.half_step);
		}
		s = scale_up(norm2 > 0.0f ? s : 0.0f, power);
		if (part == 0)
			put_scale(p, row, s);
		__syncwarp();
		warp_store(codes + ROWS * tile * p.row_bytes, out, left * p.row_bytes);
		__syncwarp();
	}
	async_wait<0>();
}

#define TQC_ENCODE_KERNEL(name, d, bits, fit)                                                                           \
	extern "C" __global__ void __launch_bounds__(TQC_ENCODE_THREADS, 1) name(                                      \
		tqc_plan p, const uint8_t *x, int dtype, size_t stride, size_t n, uint8_t *codes)                       \
	{                                                                                                               \
		encode_rht<d, TQC_ENCODE_SHARE(d), bits, fit>(p, x, dtype, stride, n, codes);                           \
	}
