/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The k best rows per query. Scores of a stretch of rows are turned into 64-bit keys, score before row, so
 * that a key's order is the result's and no two are equal; keys above the threshold so far are collected
 * (tqc_push), and of these and the best so far the k highest are kept, sorted, the last of which is the new
 * threshold (tqc_select). After the first stretch few keys pass.
 */
#pragma once
#include <stdint.h>

#define TQC_SELECT_THREADS 512

/* What is known of one query between stretches; the keys follow in arrays of their own */
struct tqc_best {
	unsigned long long threshold;
	unsigned count, pad;
};

/* ascending in the score, then descending in the row; -0 counts as 0; never 0 */
static __device__ __forceinline__ unsigned long long best_key(float score, uint32_t row)
{
	uint32_t b = __float_as_uint(score + 0.0f);

	b ^= b >> 31 ? 0xffffffffu : 0x80000000u;
	return (unsigned long long)b << 32 | (uint32_t)~row;
}

extern "C" __global__ void tqc_push(const float *scores, size_t ld, uint32_t first, unsigned n, tqc_best *best,
				    unsigned long long *found, size_t room)
{
	tqc_best *b = best + blockIdx.y;
	unsigned long long threshold = b->threshold, *out = found + blockIdx.y * room;
	const float *s = scores + blockIdx.y * ld;
	unsigned lane = threadIdx.x & 31, step = gridDim.x * blockDim.x;

	for (unsigned base = blockIdx.x * blockDim.x + (threadIdx.x & ~31u); base < n; base += step) {
		unsigned i = base + lane;
		unsigned long long key = i < n ? best_key(s[i], first + i) : 0;
		unsigned who = __ballot_sync(~0u, key > threshold), at = 0;

		if (!who)
			continue;
		if (lane == 0)
			at = atomicAdd(&b->count, __popc(who));
		at = __shfl_sync(~0u, at, 0) + __popc(who & ((1u << lane) - 1));
		if (key > threshold)
			out[at] = key;
	}
}

/* the @need-th highest of the keys, by digits of 8 bits from the top; at least @need keys */
template <class K>
static __device__ unsigned long long nth_key(K key, unsigned n, unsigned need, unsigned *histogram, unsigned *box)
{
	unsigned long long prefix = 0;

	for (int shift = 56; shift >= 0; shift -= 8) {
		for (unsigned i = threadIdx.x; i < 256; i += blockDim.x)
			histogram[i] = 0;
		__syncthreads();
		for (unsigned i = threadIdx.x; i < n; i += blockDim.x) {
			unsigned long long v = key(i);

			if (shift == 56 || v >> (shift + 8) == prefix)
				atomicAdd(&histogram[(unsigned)(v >> shift) & 255], 1);
		}
		__syncthreads();
		if (threadIdx.x < 32) {
			/* lane l has the digits 255 - 8 l and the seven below; @above: keys over them */
			unsigned lane = threadIdx.x, digit = 255 - 8 * lane, mine = 0, above;

			for (unsigned i = 0; i < 8; i++)
				mine += histogram[digit - i];
			above = mine;
			for (int h = 1; h < 32; h *= 2) {
				unsigned other = __shfl_up_sync(~0u, above, h);

				above += lane >= (unsigned)h ? other : 0;
			}
			above -= mine;
			if (above < need && need <= above + mine) {
				while (above + histogram[digit] < need)
					above += histogram[digit--];
				box[0] = digit;
				box[1] = need - above;
				box[2] = histogram[digit];
			}
		}
		__syncthreads();
		prefix = prefix << 8 | box[0];
		need = box[1];
		bool all = box[2] == need;

		__syncthreads();
		if (all)
			return prefix << shift;
	}
	return prefix;
}

/*
 * One block per query. @kept: k keys per query, descending, 0 where there are none. @last: the results go
 * to @ids and @scores.
 */
extern "C" __global__ void __launch_bounds__(TQC_SELECT_THREADS)
tqc_select(tqc_best *best, const unsigned long long *found, size_t room, unsigned long long *kept, unsigned k, int first,
	   int last, long long *ids, float *scores)
{
	__shared__ unsigned long long sorted[1024];
	__shared__ unsigned histogram[256], box[3], taken;
	tqc_best *b = best + blockIdx.x;
	unsigned long long *mine = kept + (size_t)blockIdx.x * k;
	const unsigned long long *in = found + blockIdx.x * room;
	unsigned nfound = b->count, n = nfound + (first ? 0 : k), width = 2;
	auto key = [&](unsigned i) { return i < nfound ? in[i] : mine[i - nfound]; };
	unsigned long long least = 1;

	while (width < k)
		width *= 2;
	for (unsigned i = threadIdx.x; i < width; i += blockDim.x)
		sorted[i] = 0;
	if (threadIdx.x == 0)
		taken = 0;
	__syncthreads();
	if (n > k)
		least = nth_key(key, n, k, histogram, box);
	if (least == 0)
		least = 1;
	for (unsigned i = threadIdx.x; i < n; i += blockDim.x) {
		unsigned long long v = key(i);

		if (v >= least)
			sorted[atomicAdd(&taken, 1)] = v;
	}
	for (unsigned size = 2; size <= width; size *= 2)
		for (unsigned h = size / 2; h; h /= 2) {
			__syncthreads();
			for (unsigned i = threadIdx.x; i < width / 2; i += blockDim.x) {
				unsigned a = i / h * 2 * h + i % h, c = a + h;
				unsigned long long u = sorted[a], v = sorted[c];

				if ((u < v) == !(a & size)) {
					sorted[a] = v;
					sorted[c] = u;
				}
			}
		}
	__syncthreads();
	for (unsigned i = threadIdx.x; i < k; i += blockDim.x) {
		unsigned long long v = sorted[i];
		uint32_t bits = (uint32_t)(v >> 32);

		mine[i] = v;
		if (!last)
			continue;
		bits ^= bits >> 31 ? 0x80000000u : 0xffffffffu;
		ids[(size_t)blockIdx.x * k + i] = v ? (long long)(uint32_t)~(uint32_t)v : -1;
		scores[(size_t)blockIdx.x * k + i] = v ? __uint_as_float(bits) : __uint_as_float(0xff800000u);
	}
	if (threadIdx.x == 0) {
		b->threshold = sorted[k - 1];
		b->count = 0;
	}
}

extern "C" __global__ void tqc_best_clear(tqc_best *best, unsigned nq)
{
	for (unsigned q = blockIdx.x * blockDim.x + threadIdx.x; q < nq; q += gridDim.x * blockDim.x)
		best[q] = tqc_best{};
}
