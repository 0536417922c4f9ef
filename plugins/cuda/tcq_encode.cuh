/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Encode by a trellis code: the search of docs/FORMAT.md section 4 step 7, whole numbers throughout.
 *
 * A search is one segment of a row, done by a warp (512 states) or half of one (256): 16 states to a lane,
 * whose levels stay in registers. Between two coordinates there is one cost per group of states, in shared
 * memory; a lane reads the costs that its states may follow, finds its groups' next costs and writes them:
 *
 *	lane l of L, bits	groups that it finds			groups that they follow
 *	1			4l + 0..3, 4(l + L) + 0..3		8l .. 8l + 7
 *	2, 3, 4			l, l + L, ...; 16 / 2^bits of them	2^bits from 2^bits (l mod 2^(window - 2 bits)) on
 *
 * A cost m lies as m * 2^15 + 2^14, so that one product and sum adds D * D and the rounding, and the low 15
 * bits of the result give way to the number c of the predecessor: the least of these is the least cost with
 * the first c. The c of four coordinates, 32 bits at most, are one word per lane.
 */
#pragma once
#include "encode.cuh"
#include "tcq_levels.cuh"
#include "tcq_list.h"

#define TCQ_TOP (127 * 256)
#define TCQ_COST_MAX (65535u << 15)
#define TCQ_COST_0 0x4000u
#define TCQ_CHOICE 0x7fffu

template <int W, int B> struct trellis_search {
	static constexpr unsigned L = TQC_TCQ_LANES(W), GROUPS = 1u << (W - B), OWN = 16 >> B, SOURCES = B == 1 ? 8 : 1 << B;
	static constexpr unsigned HALF = GROUPS / 2 + 16; /* 1 bit: where odd fours of groups begin, in other banks */

	uint32_t *cost, *from;
	int *u;
	uint8_t *symbol;
	unsigned lane, mask, turn; /* @turn: where the present half of @cost begins */
	int level[16]; /* [group][c] */
	uint32_t own[OWN];

	__device__ __forceinline__ unsigned group(unsigned o) const
	{
		return B == 1 ? 4 * lane + (o & 3) + (o >> 2) * 4 * L : lane + o * L;
	}

	/* where what led to a group is: lane and number there */
	static __device__ __forceinline__ unsigned lane_of(unsigned group)
	{
		return B == 1 ? (group & (4 * L - 1)) >> 2 : group & (L - 1);
	}

	static __device__ __forceinline__ unsigned number_of(unsigned group)
	{
		return B == 1 ? group / (4 * L) * 4 + (group & 3) : group / L;
	}

	__device__ __forceinline__ void begin(const tqc_plan &p, uint8_t *room)
	{
		unsigned half = (threadIdx.x & 31) / L;

		lane = threadIdx.x & (L - 1);
		mask = L == 32 ? ~0u : 0xffffu << 16 * half;
		room += half * TQC_TCQ_SEARCH(W, B);
		cost = (uint32_t *)room;
		from = cost + 2 * TQC_TCQ_COSTS(W, B);
		u = (int *)(from + TQC_TCQ_FROM * L);
		symbol = (uint8_t *)(u + TRELLIS_SEGMENT);
		turn = 0;
#pragma unroll
		for (unsigned o = 0; o < OWN; o++)
#pragma unroll
			for (unsigned c = 0; c < 1u << B; c++)
				level[o << B | c] = 256 * p.odd[group(o) << B | c];
	}

	__device__ __forceinline__ void load(uint32_t (&in)[SOURCES]) const
	{
		const uint32_t *at = cost + turn + (B == 1 ? 4 * lane : (lane & ((GROUPS >> B) - 1)) << B);

#pragma unroll
		for (unsigned i = 0; i < SOURCES; i += 4) {
			uint4 v = *(const uint4 *)(at + (B == 1 && i ? HALF : i));

			in[i] = v.x;
			in[i + 1] = v.y;
			in[i + 2] = v.z;
			in[i + 3] = v.w;
		}
	}

	/* the lane's costs, for all lanes to read */
	__device__ __forceinline__ void store()
	{
		uint32_t *at = cost + (turn = TQC_TCQ_COSTS(W, B) - turn);

		if (B == 1) {
#pragma unroll
			for (unsigned k = 0; k < 2; k++) {
				unsigned four = lane + k * L;

				*(uint4 *)(at + (four & 1) * HALF + (four >> 1) * 4) =
					make_uint4(own[4 * k % OWN], own[(4 * k + 1) % OWN], own[(4 * k + 2) % OWN], own[(4 * k + 3) % OWN]);
			}
		} else {
#pragma unroll
			for (unsigned o = 0; o < OWN; o++)
				at[group(o)] = own[o];
		}
		__syncwarp(mask);
	}

	/* next costs of the lane's groups, over a coordinate of value @v; what led to them into the top of @word */
	__device__ __forceinline__ void step(int v, uint32_t &word)
	{
		uint32_t in[SOURCES];

		load(in);
#pragma unroll
		for (unsigned o = 0; o < OWN; o++) {
			uint32_t best = TCQ_COST_MAX;

#pragma unroll
			for (unsigned c = 0; c < 1u << B; c++) {
				int d = max(min(v - level[o << B | c], 32767), -32768);
				uint32_t sum = (uint32_t)(d * d) + in[B == 1 ? (2 * o + c) % SOURCES : c];

				best = min(best, (sum & ~TCQ_CHOICE) | c);
			}
			word = __funnelshift_r(word, best, B);
			own[o] = (best & ~TCQ_CHOICE) | TCQ_COST_0;
		}
	}

	/* the least cost becomes 0 */
	__device__ __forceinline__ void rebase()
	{
		uint32_t least = own[0];

#pragma unroll
		for (unsigned o = 1; o < OWN; o++)
			least = min(least, own[o]);
		least = __reduce_min_sync(mask, least) - TCQ_COST_0;
#pragma unroll
		for (unsigned o = 0; o < OWN; o++)
			own[o] -= least;
	}

	/* @steps steps over a segment of @n from coordinate @at on and round; words are kept from block @skip of four on */
	__device__ __forceinline__ void walk(unsigned at, unsigned n, unsigned steps, unsigned skip)
	{
		for (unsigned t = 0; t < steps; t += 4) {
			uint32_t word = 0;

#pragma unroll
			for (unsigned k = 0; k < 4; k++) {
				if (t + k >= steps) {
					word >>= OWN * B;
					continue;
				}
				step(u[at], word);
				at = at + 1 == n ? 0 : at + 1;
				if (k == 3)
					rebase();
				store();
			}
			if (t / 4 >= skip)
				from[(t / 4 - skip) * L + lane] = word;
		}
		__syncwarp(mask);
	}

	/* the c that led to @group in step @t, counted from the first that is kept */
	__device__ __forceinline__ unsigned choice(unsigned t, unsigned group) const
	{
		unsigned at = 32 - 4 * OWN * B + ((t & 3) * OWN + number_of(group)) * B;

		return from[t / 4 * L + lane_of(group)] >> at & ((1u << B) - 1);
	}

	static __device__ __forceinline__ unsigned before(unsigned group, unsigned c)
	{
		return (group << B | c) & (GROUPS - 1);
	}

	/* start from group @only, or from all of them at no cost */
	__device__ __forceinline__ void start(unsigned only)
	{
#pragma unroll
		for (unsigned o = 0; o < OWN; o++)
			own[o] = only >= GROUPS || group(o) == only ? TCQ_COST_0 : TCQ_COST_MAX | TCQ_COST_0;
		store();
	}

	/* the group between the last coordinate and the first */
	__device__ __forceinline__ unsigned seam(unsigned n)
	{
		unsigned warm = B == 1 ? n : min(n, 32u / B), skip = warm / 4, best = ~0u, j;

		start(GROUPS);
		walk(n == warm ? 0 : n - warm, n, 2 * warm, skip);
#pragma unroll
		for (unsigned o = 0; o < OWN; o++)
			best = min(best, (own[o] & ~TCQ_CHOICE) | group(o));
		j = __reduce_min_sync(mask, best) & TCQ_CHOICE;
		for (unsigned t = 2 * warm; t-- > warm;)
			j = before(j, choice(t - 4 * skip, j));
		__syncwarp(mask);
		return j;
	}

	/* symbols of the @n coordinates in u */
	__device__ __forceinline__ void run(unsigned n)
	{
		unsigned j = seam(n);

		start(j);
		walk(0, n, n, 0);
		for (unsigned t = n; t-- > 0;) {
			unsigned c = choice(t, j);

			if (lane == 0)
				symbol[t] = (uint8_t)c;
			j = before(j, c);
		}
		__syncwarp(mask);
	}

	/* the ring of @n symbols to @to, whole bytes by lanes */
	__device__ __forceinline__ void pack(unsigned n, uint8_t *to) const
	{
		for (unsigned k = lane; k < (n * B + 7) / 8; k += L) {
			unsigned v = 0;

			for (unsigned i = 8 * k / B; i < n && i * B < 8 * k + 8; i++)
				v |= i * B < 8 * k ? symbol[i] >> (8 * k - i * B) : (unsigned)symbol[i] << (i * B - 8 * k);
			to[k] = (uint8_t)v;
		}
	}
};

/* Scale and, where there is one, the centre's product of a row whose bits are written: quantize_row()'s last steps */
static __device__ void finish_trellis(const tqc_plan &p, const float *y, float *odd, uint8_t *out, int exponent,
				      float norm2, float cross, encode_box *box)
{
	unsigned d = p.dim;
	float r = sqrtf(norm2 / (float)d), s = r, h = p.half_step;

	if (p.correction >= CORR_NORM && p.correction <= CORR_UNBIASED) {
		long long cc = 0;
		float yc;

		for (unsigned i = threadIdx.x; i < d; i += blockDim.x) {
			int o = trellis_levels::odd(p, out, i);

			odd[i] = (float)o;
			cc += o * o;
		}
		yc = block_dot16(d, [&](unsigned i) { return y[i]; }, [&](unsigned i) { return odd[i]; }, &box->f);
		cc = block_add(cc, &box->ll);
		s = fitted_scale(p.correction, norm2, yc, (float)cc, h);
	}
	if (!(norm2 > 0.0f))
		s = 0.0f;
	if (threadIdx.x == 0) {
		store_scale(p, out, scale_up(s, exponent));
		if (p.center == CENTER_BOTH)
			store_bytes(out + p.cross_at, __float_as_uint(cross), 4);
	}
}

/*
 * The bits of one or two rows @y, @padded apart, of squared norms @norm2, to those at @codes: a row to each search of
 * a warp, whose warps share the segments.
 */
template <int W, int B>
static __device__ __forceinline__ void search_rows(const tqc_plan &p, trellis_search<W, B> &search, const float *y, unsigned padded,
						   unsigned rows, const float (&norm2)[2], uint8_t *codes)
{
	const unsigned d = p.dim, warp = threadIdx.x >> 5, warps = blockDim.x >> 5;
	/* of two searches in a warp without two rows, the second does the first's work and keeps it to itself */
	unsigned half = (threadIdx.x & 31) / search.L, k = half < rows ? half : 0;
	float r = sqrtf((k ? norm2[1] : norm2[0]) / (float)d);
	float inv = r > 0.0f ? 256.0f / (r * p.half_step) : 0.0f;
	unsigned index = 0;

	for (unsigned start = 0, end; start < d; start = end, index++) {
		end = trellis_segment_of(d, start).end;
		if (index % warps != warp)
			continue;
		for (unsigned i = search.lane; i < end - start; i += search.L) {
			float v = y[k * padded + start + i] * inv;

			v = v > TCQ_TOP ? TCQ_TOP : v < -TCQ_TOP ? -TCQ_TOP : v;
			search.u[i] = __float2int_rn(v);
		}
		__syncwarp();
		search.run(end - start);
		if (half < rows)
			search.pack(end - start, codes + k * p.row_bytes + p.section[0].at + start * B / 8);
		__syncwarp();
	}
}

/*
 * A block takes @together rows at a time, one to each search of a warp.
 * Shared memory: spare[dim], y[together][dim], then the searches of each warp.
 */
template <int W, int B>
__device__ __forceinline__ void encode_trellis(const tqc_plan &p, const void *x, int dtype, size_t stride, size_t n,
					       uint8_t *codes, unsigned together)
{
	extern __shared__ __align__(128) uint8_t smem[];
	__shared__ encode_box box;
	const unsigned padded = (p.dim + 3) & ~3u, warp = threadIdx.x >> 5;
	float *spare = (float *)smem, *y = spare + padded;
	trellis_search<W, B> search;
	float norm2[2] = {}, cross[2] = {};
	int e[2] = {};

	search.begin(p, (uint8_t *)(y + together * padded) + warp * TQC_TCQ_TOGETHER(W) * TQC_TCQ_SEARCH(W, B));
	for (size_t first = (size_t)blockIdx.x * together; first < n; first += (size_t)gridDim.x * together) {
		const unsigned rows = n - first < together ? 1 : together;

#pragma unroll
		for (unsigned k = 0; k < 2; k++)
			if (k < rows) {
				load_row(p, (const char *)x + (first + k) * stride * (dtype == F32 ? 4 : 2), dtype, y + k * padded,
					 (int)p.center, &box, &e[k], &norm2[k], &cross[k]);
				rotate(p.rot, y + k * padded, spare);
			}
		__syncthreads();
		search_rows<W, B>(p, search, y, padded, rows, norm2, codes + first * p.row_bytes);
		__syncthreads();
#pragma unroll
		for (unsigned k = 0; k < 2; k++)
			if (k < rows)
				finish_trellis(p, y + k * padded, spare, codes + (first + k) * p.row_bytes, e[k], norm2[k], cross[k],
					       &box);
	}
}

#define TQC_TCQ_ENCODE_KERNEL(name, window, bits)                                                                       \
	extern "C" __global__ void __launch_bounds__(256) name(tqc_plan p, const void *x, int dtype, size_t stride,     \
							       size_t n, uint8_t *codes, unsigned together)             \
	{                                                                                                               \
		encode_trellis<window, bits>(p, x, dtype, stride, n, codes, together);                                  \
	}
