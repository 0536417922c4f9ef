/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fast encode and decode share this: rht of a power-of-two dimension D with one thread per row and
 * the whole row in registers, so that butterflies, 16-lane sums and packing need no other thread.
 *
 * A warp takes 32 rows at a time. Rows come and go through shared memory, whose copies are coalesced and,
 * on the way in, asynchronous: the next 32 rows arrive while these are worked on. Rows in shared memory
 * lie 16 bytes more apart than they are long, so that 8 threads reading 16 bytes each meet no bank twice.
 * Every sum is the one of docs/FORMAT.md in its order.
 */
#pragma once
#include "lanes.cuh"
#include "row.cuh"

/* h = 1, 2, 4, ..., D / 2 */
template <int D> static __device__ __forceinline__ void row_hadamard(float (&y)[D])
{
#pragma unroll
	for (int h = 1; h < D; h *= 2)
#pragma unroll
		for (int i = 0; i < D; i++)
			if (!(i & h)) {
				float a = y[i], b = y[i + h];

				y[i] = a + b;
				y[i + h] = a - b;
			}
}

/* @signs: in shared memory; every thread reads the same ones */
template <int D> static __device__ __forceinline__ void row_signs(float (&y)[D], const float *signs)
{
#pragma unroll
	for (int i = 0; i < D; i += 4) {
		float4 s = *(const float4 *)(signs + i);

		y[i] = y[i] * s.x;
		y[i + 1] = y[i + 1] * s.y;
		y[i + 2] = y[i + 2] * s.z;
		y[i + 3] = y[i + 3] * s.w;
	}
}

/* the tree of dot16 over its 16 lanes */
static __device__ __forceinline__ float row_tree(float (&lane)[16])
{
	float a[8], b[4];

#pragma unroll
	for (int i = 0; i < 8; i++)
		a[i] = lane[i] + lane[i + 8];
#pragma unroll
	for (int i = 0; i < 4; i++)
		b[i] = a[i] + a[i + 4];
	return (b[0] + b[2]) + (b[1] + b[3]);
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

/* The block's copy of the signs */
static __device__ __forceinline__ void load_signs(const tqc_plan &p, float *signs, unsigned n)
{
	for (unsigned i = threadIdx.x; i < n; i += blockDim.x)
		signs[i] = p.rot.signs[i];
}

/* copy @bytes of shared memory out, by one warp; both aligned to 16 */
static __device__ __forceinline__ void warp_store(uint8_t *to, const uint8_t *from, unsigned bytes)
{
	unsigned lane = threadIdx.x & 31, whole = bytes & ~15u;

	for (unsigned i = 16 * lane; i < whole; i += 512)
		*(uint4 *)(to + i) = *(const uint4 *)(from + i);
	if (lane < bytes - whole)
		to[whole + lane] = from[whole + lane];
}
