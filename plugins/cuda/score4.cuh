/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scores of 4-bit rows on integer tensor cores: mma.m16n8k32 u8 x s8, exact in int32.
 *
 * Rows are the canonical ones: scale, then dim / 2 bytes of nibbles. Tiles of 64 rows are contiguous
 * and a multiple of 16 bytes long, so one bulk copy brings a tile into shared memory; STAGES tiles are
 * under way at once. A warp takes 16 rows; per step of 32 coordinates each lane reads one 32-bit word
 * of rows g and g + 8 (g = lane / 4), the eight nibbles of coordinates 32 s + 8 t .. + 7 (t = lane % 4).
 * The product is indifferent to the order of coordinates, so the query's fragment simply uses the
 * same one: eight consecutive bytes.
 *
 * Levels without a table in memory: an index is 8 + m (positive) or 7 - m (negative), m the magnitude
 * 0..7. Flip the low three bits of negative ones; prmt fetches L[m] = 0xBF - u[m] (u = grid - 64);
 * prmt on the sign bits gives 0xFF or 0x80; the xor of both is 64 + u or 63 - u, the grid value.
 */
#pragma once
#include "score.cuh"

#define TQC_TILE 64
#define TQC_STAGES 4

struct tqc_batch {
	size_t query_stride, code_stride, score_stride;
};

static __device__ __forceinline__ uint32_t prmt(uint32_t a, uint32_t b, uint32_t s)
{
	uint32_t r;

	asm("prmt.b32 %0, %1, %2, %3;" : "=r"(r) : "r"(a), "r"(b), "r"(s));
	return r;
}

static __device__ __forceinline__ void levels8(uint32_t w, uint32_t l0, uint32_t l1, uint32_t &lo, uint32_t &hi)
{
	uint32_t neg = (~w >> 3) & 0x11111111u, m = (w ^ (neg * 7)) & 0x77777777u;

	lo = prmt(l0, l1, m) ^ prmt(0x80808080u, 0x80808080u, w);
	hi = prmt(l0, l1, m >> 16) ^ prmt(0x80808080u, 0x80808080u, w >> 16);
}

static __device__ __forceinline__ void mma(int *c, const uint32_t *a, uint32_t b0, uint32_t b1)
{
	asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
		     : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
		     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

static __device__ __forceinline__ void barrier_init(uint64_t *bar)
{
	asm volatile("mbarrier.init.shared.b64 [%0], 1;" ::"r"((uint32_t)__cvta_generic_to_shared(bar)));
}

static __device__ __forceinline__ void barrier_wait(uint64_t *bar, unsigned phase)
{
	asm volatile("{\n.reg .pred p;\nWAIT:\n"
		     "mbarrier.try_wait.parity.shared.b64 p, [%0], %1;\n@!p bra WAIT;\n}" ::"r"(
			     (uint32_t)__cvta_generic_to_shared(bar)),
		     "r"(phase)
		     : "memory");
}

/* one thread: expect and start a bulk copy of @bytes (a multiple of 16) */
static __device__ __forceinline__ void bulk_load(void *to, const void *from, unsigned bytes, uint64_t *bar)
{
	uint32_t b = (uint32_t)__cvta_generic_to_shared(bar);

	asm volatile("mbarrier.arrive.expect_tx.shared.b64 _, [%0], %1;" ::"r"(b), "r"(bytes) : "memory");
	asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(
			     (uint32_t)__cvta_generic_to_shared(to)),
		     "l"(from), "r"(bytes), "r"(b)
		     : "memory");
}
