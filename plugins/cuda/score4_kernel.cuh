/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel over the pieces of score4.cuh: a persistent block streams tiles through shared memory. */
#pragma once
#include "score4.cuh"

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
#define TQC_BULK 1
#else
#define TQC_BULK 0
#endif

/* Bring tile @t into @to: whole tiles by a bulk copy, the last partial one by bytes. */
static __device__ __forceinline__ void load_tile(uint8_t *to, const uint8_t *codes, size_t t, size_t n,
						 unsigned row_bytes, uint64_t *bar)
{
	size_t rows = n - t * TQC_TILE;
	const uint8_t *from = codes + t * TQC_TILE * row_bytes;

	if (TQC_BULK && rows >= TQC_TILE) {
		if (threadIdx.x == 0)
			bulk_load(to, from, TQC_TILE * row_bytes, bar);
		return;
	}
	unsigned bytes = (rows < TQC_TILE ? (unsigned)rows : TQC_TILE) * row_bytes;

	for (unsigned i = 16 * threadIdx.x; i < bytes; i += 16 * blockDim.x) {
		if (i + 16 <= bytes)
			*(uint4 *)(to + i) = __ldcs((const uint4 *)(from + i));
		else
			for (unsigned j = i; j < bytes; j++)
				to[j] = from[j];
	}
	if (TQC_BULK) {
		__syncthreads();
		if (threadIdx.x == 0)
			asm volatile("mbarrier.arrive.shared.b64 _, [%0];" ::"r"(
					     (uint32_t)__cvta_generic_to_shared(bar))
				     : "memory");
	}
}

/*
 * Scores of NT * 8 queries at most against 4-bit rows; 128 threads, 4 warps of 16 rows.
 * Shared memory: STAGES tiles, then the queries: 8 NT rows of dim bytes at a pitch of dim + 16.
 * grid.y: the batch (heads). Needs dim % 32 == 0, 4-byte scales, 8-bit queries, no sketch, no centre
 * beyond what finish() adds.
 */
template <int NT>
static __device__ void score4(const tqc_plan &p, const uint8_t *prepared, unsigned nq, const uint8_t *codes,
			      size_t n, float *scores, size_t ld, const tqc_batch &batch, uint32_t l0, uint32_t l1)
{
	extern __shared__ __align__(128) uint8_t tiles[];
	__shared__ uint64_t full[TQC_STAGES];
	__shared__ float qscale[8 * NT], qadd[8 * NT];
	__shared__ int qsum[8 * NT];
	const unsigned tile_bytes = TQC_TILE * p.row_bytes, pitch = p.dim + 16;
	const unsigned lane = threadIdx.x & 31, warp = threadIdx.x >> 5, g = lane >> 2, t4 = lane & 3;
	uint8_t *queries = tiles + TQC_STAGES * tile_bytes;
	const size_t ntiles = (n + TQC_TILE - 1) / TQC_TILE;

	prepared += blockIdx.y * batch.query_stride;
	codes += blockIdx.y * batch.code_stride;
	scores += blockIdx.y * batch.score_stride;
	for (unsigned i = threadIdx.x; i < 8 * NT * (p.dim / 16); i += blockDim.x) {
		unsigned q = i / (p.dim / 16), at = i % (p.dim / 16) * 16;
		uint4 v = make_uint4(0, 0, 0, 0);

		if (q < nq)
			v = *(const uint4 *)(prepared + (size_t)q * p.query_bytes + sizeof(tqc_query_head) + at);
		*(uint4 *)(queries + q * pitch + at) = v;
	}
	if (threadIdx.x < 8 * NT) {
		const tqc_query_head *h = (const tqc_query_head *)(prepared + (size_t)threadIdx.x * p.query_bytes);

		qscale[threadIdx.x] = threadIdx.x < nq ? h->scale : 0.0f;
		qadd[threadIdx.x] = threadIdx.x < nq ? h->add : 0.0f;
		qsum[threadIdx.x] = threadIdx.x < nq ? (int)h->sum : 0;
	}
	if (threadIdx.x == 0)
		for (int s = 0; s < TQC_STAGES; s++)
			barrier_init(&full[s]);
	__syncthreads();

	size_t mine = ntiles > blockIdx.x ? (ntiles - blockIdx.x + gridDim.x - 1) / gridDim.x : 0;

	for (int s = 0; s < TQC_STAGES - 1 && (size_t)s < mine; s++)
		load_tile(tiles + s * tile_bytes, codes, blockIdx.x + (size_t)s * gridDim.x, n, p.row_bytes, &full[s]);
	for (size_t k = 0; k < mine; k++) {
		unsigned s = k % TQC_STAGES;
		size_t ahead = k + TQC_STAGES - 1, tile = blockIdx.x + k * gridDim.x;

		if (TQC_BULK)
			barrier_wait(&full[s], (k / TQC_STAGES) & 1);
		__syncthreads();
		if (ahead < mine)
			load_tile(tiles + ahead % TQC_STAGES * tile_bytes, codes, blockIdx.x + ahead * gridDim.x, n,
				  p.row_bytes, &full[ahead % TQC_STAGES]);

		const uint8_t *r0 = tiles + s * tile_bytes + (warp * 16 + g) * p.row_bytes, *r1 = r0 + 8 * p.row_bytes;
		const uint32_t *w0 = (const uint32_t *)(r0 + 4) + t4, *w1 = (const uint32_t *)(r1 + 4) + t4;
		int c[NT][4] = {};

#pragma unroll 4
		for (unsigned step = 0; step < p.dim / 32; step++) {
			uint32_t a[4];

			levels8(w0[4 * step], l0, l1, a[0], a[2]);
			levels8(w1[4 * step], l0, l1, a[1], a[3]);
#pragma unroll
			for (int j = 0; j < NT; j++) {
				uint2 b = *(const uint2 *)(queries + (8 * j + g) * pitch + 32 * step + 8 * t4);

				mma(c[j], a, b.x, b.y);
			}
		}
		size_t row = tile * TQC_TILE + warp * 16 + g;
		float s0 = *(const float *)r0, s1 = *(const float *)r1;

#pragma unroll
		for (int j = 0; j < NT; j++)
#pragma unroll
			for (int i = 0; i < 4; i++) {
				unsigned q = 8 * j + 2 * t4 + (i & 1);
				size_t r = row + (i & 2 ? 8 : 0);
				float a = (float)(2 * c[j][i] - 127 * qsum[q]);
				float v = (a * qscale[q]) * (i & 2 ? s1 : s0);

				if (p.center == CENTER_DATA)
					v = v + qadd[q];
				if (q < nq && r < n)
					__stcs(&scores[q * ld + r], v);
			}
		if (!TQC_BULK)
			__syncthreads();
	}
}

extern "C" __global__ void __launch_bounds__(128) tqc_score4_8(tqc_plan p, const uint8_t *prepared, unsigned nq,
							       const uint8_t *codes, size_t n, float *scores, size_t ld,
							       tqc_batch batch, uint32_t l0, uint32_t l1)
{
	score4<1>(p, prepared, nq, codes, n, scores, ld, batch, l0, l1);
}

extern "C" __global__ void __launch_bounds__(128) tqc_score4_16(tqc_plan p, const uint8_t *prepared, unsigned nq,
								const uint8_t *codes, size_t n, float *scores, size_t ld,
								tqc_batch batch, uint32_t l0, uint32_t l1)
{
	score4<2>(p, prepared, nq, codes, n, scores, ld, batch, l0, l1);
}
