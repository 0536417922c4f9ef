/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Encode, fast: rht, D = 64 or 128, 1 to 4 bits, effort 0, no centre, no sketch; rows aligned to 16.
 *
 * Instructions bound it, their number and that they have to be fetched: those of comparison, selection and logic (half
 * a warp a cycle) more than additions and products (a whole one). So signs come with the butterflies, the first with the
 * conversion. Warps do not wait for each other: the loop fits the instruction cache, which is why two threads share a
 * row of 128; one thread's loop would not.
 *
 * The row is not scaled to [1, 2): every step but the last is indifferent to a power of two as long as
 * nothing leaves the range of normal floats. A warp with a row longer than 2^35 or shorter than 2^-35, or with an
 * element below 2^-40 of the row's largest (which has to become 0), scales its rows as the definition says.
 */
#pragma once
#include "quantize_rht.cuh"
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

/*
 * One of a pair; @flip: both signs of a pair, to be changed, or 0. A sum does to the topmost bit what exclusive or
 * does, and comes with the shift.
 */
template <bool BF> static __device__ __forceinline__ float half_value(uint32_t pair, int upper, uint32_t flip)
{
	if (BF)
		return __uint_as_float(upper ? (pair & 0xffff0000u) ^ (flip & 0xffff0000u) : pair * 65536u + (flip & 0xffff0000u));
	pair ^= flip;
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
		uint32_t w[4] = { v.x, v.y, v.z, v.w };
#pragma unroll
		for (int j = 0; j < 4; j++) {
			low[j] = pair_least<BF>(w[j], low[j]);
			y[i + 2 * j] = half_value<BF>(w[j], 0, flip);
			y[i + 2 * j + 1] = half_value<BF>(w[j], 1, flip);
		}
	}
	low[0] = pair_least<BF>(pair_least<BF>(low[0], low[1]), pair_least<BF>(low[2], low[3]));
	least = row_least<P>(fminf(fabsf(half_value<BF>(low[0], 0, 0)), fabsf(half_value<BF>(low[0], 1, 0))));
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

/* Copy rows' codes out, by one warp: of @bytes, which are at most 3 times 512, whole pieces of 16 and what is left */
static __device__ __forceinline__ void store_rows(uint8_t *to, const uint8_t *from, unsigned bytes)
{
	const unsigned lane = threadIdx.x & 31, whole = bytes & ~15u;

	to += 16 * lane;
	from += 16 * lane;
#pragma unroll
	for (unsigned i = 0; i < 1536; i += 512)
		if (16 * lane + i < whole)
			*(uint4 *)(to + i) = *(const uint4 *)(from + i);
	if (whole < bytes && lane < bytes - whole)
		(to - 15 * lane)[whole] = (from - 15 * lane)[whole];
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
	const unsigned pace = gridDim.x * warps * ROWS, skip = (blockIdx.x * warps + warp) * ROWS;
	const bool words = !(p.row_bytes & 3) && !(p.section[0].at & 3);
	level_bytes levels = {};
	const float odd0 = BITS == 2 ? p.odd[H] : 0.0f, odd1 = BITS == 2 ? p.odd[H + 1] : p.odd[H];
	const row_pieces<D> piece(lane, es);
	const size_t down = piece.step * stride * es, leap = pace * stride * es;
	const uint8_t *next = x + (piece.first + skip) * stride * es + piece.column;
	uint8_t *const to = in + piece.first * pitch + piece.column;
	const bool dense = es == 2 && stride == D;
	long long rest = (long long)(n - skip);

	/* starts copying rows of which there are @some, if they are positive */
	auto fetch = [&](long long some) {
		if (dense && some >= ROWS) {
#pragma unroll
			for (int k = 0; k < (int)ROWS * D / 256; k++)
				async16(to + k * (256 / D) * (2 * D + 16), next + 512 * k);
		} else {
			const uint8_t *from = next;

#pragma unroll 1
			for (unsigned r = piece.first; r < ROWS && r < some; r += piece.step) {
				async16(to + (r - piece.first) * pitch, from);
				from += down;
			}
		}
		next += leap;
		async_commit();
	};

	fetch(rest);
	codes += (size_t)skip * p.row_bytes;
	const float unit = load_rounds<D, P>(p, rounds, part), power2 = fabsf(unit);
	const uint32_t flip = unit < 0.0f ? 0x80008000u : 0;

	if (BITS >= 3)
		for (unsigned i = threadIdx.x; i < TQC_BUCKETS; i += blockDim.x)
			((float2 *)buckets)[i] = ((const float2 *)p.buckets)[i];
	if (FIT && BITS >= 3)
#pragma unroll
		for (int m = 0; m < 8; m++)
			levels.put(m, BITS == 3 ? abs(p.odd[m]) : p.odd[H + m]);
	__syncthreads();
	for (; rest > 0; rest -= pace) {
		float y[N], least, norm2;
		int power = 0;
		unsigned left = rest < ROWS ? (unsigned)rest : ROWS;
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
		fetch(rest - pace);

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
		for (int g = 0; g < N / 8; g++) {
			/* eight in a row; of 3 bits those of four words in turn */
			constexpr int S = BITS == 3 ? 4 : 1;
			const int i = BITS == 3 ? g / 4 * 32 + g % 4 : 8 * g;
			float level[8];
			uint32_t w;

			if (BITS >= 3)
				w = prmt(__float_as_uint(quantize4<S>(y + i, t)), __float_as_uint(quantize4<S>(y + i + 4 * S, t)), 0x5410);
			else
				w = BITS == 2 ? quantize2(y + i, t, odd0, odd1, level, cc) : quantize1(y + i);

			index[g] = w;
			if (BITS < 3)
				put8<BITS>(first, P * i, w);
			if (!FIT)
				continue;
			if (BITS >= 3)
				levels8<BITS>(w, levels, level, cc);
#pragma unroll
			for (int j = 0; j < 8; j++) {
				float &lane = fit[(i + S * j) % (16 / P)];

				lane = lane + fabsf(y[i + S * j]) * (BITS == 1 ? odd1 : level[j]);
			}
		}
		if (BITS == 3)
#pragma unroll
			for (int g = 0; g < N / 8; g += 4)
				put32<P>(first + g * P, second + 2 * g * P, { index[g], index[g + 1], index[g + 2], index[g + 3] });
		if (BITS == 4 && words)
#pragma unroll
			for (int i = 0; i < N; i += 8)
				*(uint32_t *)(first + P * i / 2) = index[i / 8];
		else if (BITS == 4)
#pragma unroll
			for (int i = 0; i < N; i += 8)
				put8<BITS>(first, P * i, index[i / 8]);
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
		store_rows(codes, out, left * p.row_bytes);
		codes += (size_t)pace * p.row_bytes;
		__syncwarp();
	}
	async_wait<0>();
}

#define TQC_ENCODE_KERNEL(name, d, bits, fit)                                                                           \
	extern "C" __global__ void __launch_bounds__(TQC_ROWS_THREADS, 1) name(                                      \
		tqc_plan p, const uint8_t *x, int dtype, size_t stride, size_t n, uint8_t *codes)                       \
	{                                                                                                               \
		encode_rht<d, TQC_ROWS_SHARE(d), bits, fit>(p, x, dtype, stride, n, codes);                           \
	}
