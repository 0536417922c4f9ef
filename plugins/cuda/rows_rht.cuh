/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fast encode and decode share this: rht of a power-of-two dimension D with one thread per row (of
 * D = 128: two) and the whole row in registers, so that butterflies, 16-lane sums and packing need no other thread.
 *
 * A warp takes 32 rows (16) at a time. Rows come and go through shared memory, whose copies are coalesced and,
 * on the way in, asynchronous: the next 32 rows arrive while these are worked on. Rows in shared memory
 * lie 16 bytes more apart than they are long, so that 8 threads reading 16 bytes each meet no bank twice.
 * Every sum is the one of docs/FORMAT.md in its order.
 */
#pragma once
#include "kernel_list.h"
#include "lanes.cuh"
#include "row.cuh"

/*
 * Rows of D coordinates on P threads, 1 or 2: lanes l and l + 16, of which one has the coordinates whose bit 3 is
 * 0, the other the rest, so that each has 8 of the 16 lanes of every sum. Register r of thread t:
 */
template <int P> static __device__ __forceinline__ unsigned coordinate(unsigned r, unsigned t)
{
	return P == 1 ? r : (r & ~7u) * 2 + 8 * t + (r & 7);
}

/*
 * A round of signs and butterflies at once. With the sign of its first coordinate taken out of each block, what
 * is left of a pair of blocks is one sign: (u, v) -> (u + s v, u - s v), and the sign of the first coordinate of
 * all stays out. Rounding does not see signs, so only those of zeros may differ, which no code depends on. Each
 * product is exact. @table: the signs of a thread's registers at a distance of 1, 2, ...; of those that two
 * threads exchange after the distance 4; at the end what the coordinates are multiplied by first.
 */
template <int D, int P> static __device__ __forceinline__ void row_round(float (&y)[D / P], const float *table)
{
	constexpr int N = D / P, F = TQC_ROUND_FLOATS(D, P);
	float4 s = *(const float4 *)(table + F - 4);
	const float last = s.z, last2[2] = { s.x, s.y };

	if (s.w != 1.0f)
#pragma unroll
		for (int i = 0; i < N; i++)
			y[i] = y[i] * s.w;
#pragma unroll
	for (int h = 1; h < N; h *= 2) {
		if (P == 2 && h == 8)
#pragma unroll
			for (int i = 0; i < N; i++) {
				if (i % 32 == 0)
					s = *(const float4 *)(table + N - N / 8 + i / 8);
				float f = i / 8 % 4 == 0 ? s.x : i / 8 % 4 == 1 ? s.y : i / 8 % 4 == 2 ? s.z : s.w;

				y[i] = __fmaf_rn(__shfl_xor_sync(~0u, y[i], 16), f, y[i]);
			}
#pragma unroll
		for (int i = 0; i < N; i++) {
			const int b = i / (2 * h);

			if (h <= N / 8 && i % (8 * h) == 0)
				s = *(const float4 *)(table + N - N / h + (h < 8 ? 0 : F - N) + b);
			if (!(i & h)) {
				float f = h == N / 2 ? last : h == N / 4 ? last2[b % 2] : b % 4 == 0 ? s.x : b % 4 == 1 ? s.y : b % 4 == 2 ? s.z : s.w;
				float u = y[i], v = y[i + h];

				y[i] = __fmaf_rn(v, f, u);
				y[i + h] = __fmaf_rn(-v, f, u);
			}
		}
	}
}

/* An entry of the table, but for what thread @t's other signs make of an exchange */
template <int D, int P> static __device__ __forceinline__ float round_entry(const float *signs, unsigned t, unsigned k)
{
	constexpr unsigned N = D / P, F = TQC_ROUND_FLOATS(D, P);
	unsigned h = 1, b;

	if (k == F - 1)
		return __float_as_uint(signs[0]) & 0x7fffffu ? fabsf(signs[0]) : 1.0f;
	if (P == 2 && k >= N - N / 8 && k < N) {
		b = k - (N - N / 8);
		return (signs[16 * b] < 0.0f) == (signs[16 * b + 8] < 0.0f) ? 1.0f : -1.0f;
	}
	b = k < N - N / 8 ? k : k - (F - N);
	for (; b >= N / (2 * h); h *= 2)
		b -= N / (2 * h);
	return (signs[coordinate<P>(2 * h * b, t)] < 0.0f) == (signs[coordinate<P>(2 * h * b + h, t)] < 0.0f) ? 1.0f : -1.0f;
}

/*
 * The block's tables for row_round(), of all rounds and threads of a row. Of an exchange one thread gets u + s v, the
 * other v - s u, which is the definition's with another sign. What stays out for thread @t is returned, a sign
 * and a power of two: by the sign its coordinates are to be multiplied before, by the power of two they lack after.
 */
template <int D, int P> static __device__ __forceinline__ float load_rounds(const tqc_plan &p, float *table, unsigned t)
{
	constexpr unsigned N = D / P, F = TQC_ROUND_FLOATS(D, P);
	float power = 1.0f;
	unsigned out[2] = {}, before[2];

	for (unsigned k = 0; k < p.rot.rounds; k++) {
		float a = p.rot.signs[k * D];

		out[0] ^= __float_as_uint(a) >> 31;
		out[1] ^= 1u ^ __float_as_uint(p.rot.signs[k * D + 8]) >> 31;
		if (!(__float_as_uint(a) & 0x7fffffu))
			power = power * fabsf(a);
	}
	before[0] = before[1] = 0;
	for (unsigned k = 0; k < p.rot.rounds; k++) {
		const float *signs = p.rot.signs + k * D;
		unsigned turn = out[0] ^ out[1] ^ before[0] ^ before[1];

		for (unsigned i = threadIdx.x; i < F * P; i += blockDim.x) {
			unsigned thread = i / F, at = i % F;
			bool exchange = P == 2 && at >= N - N / 8 && at < N;
			float f = round_entry<D, P>(signs, thread, at);

			table[(k * P + thread) * F + at] = exchange && (thread ^ turn) ? -f : f;
		}
		before[0] ^= __float_as_uint(signs[0]) >> 31;
		before[1] ^= 1u ^ __float_as_uint(signs[8]) >> 31;
	}
	return (P == 1 ? out[0] : out[t]) ? -power : power;
}

/* the tree of dot16 over its 16 lanes, of which each of two threads has 8; both get the sum */
template <int P> static __device__ __forceinline__ float shared_tree(float (&lane)[16 / P])
{
	float a[8];

#pragma unroll
	for (int i = 0; i < 8; i++)
		a[i] = lane[i] + (P == 2 ? __shfl_xor_sync(~0u, lane[i], 16) : lane[(i + 8) % (16 / P)]);
	return ((a[0] + a[4]) + (a[2] + a[6])) + ((a[1] + a[5]) + (a[3] + a[7]));
}

static __device__ __forceinline__ unsigned element_size(int dtype)
{
	return dtype == F32 ? 4 : 2;
}

/*
 * How a warp copies 32 rows of D elements 16 bytes at a time: a lane stays in its column and goes down the
 * rows. A row is a power of two of at most 32 such pieces.
 */
template <int D> struct row_pieces {
	unsigned first, column, step;

	__device__ __forceinline__ row_pieces(unsigned lane, unsigned es)
	{
		unsigned pieces = D * es / 16, shift = es == 4 ? (D == 128 ? 5 : 4) : (D == 128 ? 4 : 3);

		first = lane >> shift;
		column = 16 * (lane & (pieces - 1));
		step = 32 >> shift;
	}
};
