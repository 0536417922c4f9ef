/* SPDX-License-Identifier: Apache-2.0 */
/* What the fast kernels share: byte permutation, asynchronous copies by one warp, fields to nibbles. */
#pragma once
#include <stdint.h>

static __device__ __forceinline__ uint32_t prmt(uint32_t a, uint32_t b, uint32_t s)
{
	uint32_t r;

	asm("prmt.b32 %0, %1, %2, %3;" : "=r"(r) : "r"(a), "r"(b), "r"(s));
	return r;
}

static __device__ __forceinline__ void async16(void *to, const void *from)
{
	asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"((uint32_t)__cvta_generic_to_shared(to)), "l"(from)
		     : "memory");
}

static __device__ __forceinline__ void async_commit(void)
{
	asm volatile("cp.async.commit_group;" ::: "memory");
}

template <int N> static __device__ __forceinline__ void async_wait(void)
{
	asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

/* start copying whole 16-byte pieces to shared memory, by one warp */
static __device__ __forceinline__ void warp_load_pieces(uint8_t *to, const uint8_t *from, unsigned pieces)
{
	unsigned lane = threadIdx.x & 31;

	to += 16 * lane;
	from += 16 * lane;
#pragma unroll 4
	for (unsigned i = lane; i < pieces; i += 32) {
		async16(to, from);
		to += 512;
		from += 512;
	}
}

/* start copying @bytes; both ends aligned to 16; ends without a commit */
static __device__ __forceinline__ void warp_load(uint8_t *to, const uint8_t *from, unsigned bytes)
{
	unsigned lane = threadIdx.x & 31;

	warp_load_pieces(to, from, bytes / 16);
	if (lane < (bytes & 15))
		to[(bytes & ~15u) + lane] = from[(bytes & ~15u) + lane];
}

/* 8 two-bit codes to the low halves of 8 nibbles, 8 bits to their lowest bits */
static __device__ __forceinline__ uint32_t spread2(uint32_t x)
{
	x = (x | x << 8) & 0x00ff00ffu;
	x = (x | x << 4) & 0x0f0f0f0fu;
	return (x | x << 2) & 0x33333333u;
}

static __device__ __forceinline__ uint32_t spread1(uint32_t x)
{
	x = (x | x << 12) & 0x000f000fu;
	x = (x | x << 6) & 0x03030303u;
	return (x | x << 3) & 0x11111111u;
}
