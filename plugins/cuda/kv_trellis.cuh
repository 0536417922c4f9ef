/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tiles with trellis codes, and attention over them (kv_wide.cuh), on one side or both.
 *
 * Eight coordinates of a row, `bits` bytes, are a group. A lane's groups of a step lie together, four of them,
 * [step][lane][r], dim / 32 steps; with lane l = 4 g + t:
 *
 *	keys	group r: token g + 8 r, coordinates t * dim / 4 + 8 * step on
 *	values	group r: token t + 4 * (step & 1) + 8 r, coordinates 32 * (step & ~1) + 8 * g on; if a last step has no other
 *		half, its lanes 4 g + t, g < 4, have token t + 8 r, those of g + 4 token t + 4 + 8 r of coordinates 8 g on
 *
 * So the bits of a group are its lane's, but for the last windows' ends, which are in the first byte of the group that
 * follows in its ring: the lane's next one, a neighbour's, or, where a segment ends, the segment's first.
 *
 * Levels are 7-bit grid values as those of kv_attend.cuh, and so are the products, but for the order of coordinates of
 * values: half k of fragment 4 m + i has coordinate 64 m + 8 g + 2 i + k.
 */
#pragma once
#include "kv_append.cuh"
#include "kv_wide.cuh"
#include "tcq_encode.cuh"
#include "tcq_table.cuh"

/* The place of group @q of a row of @dim coordinates, padded, of token g or t of the four that lie together from there on */
static __device__ __forceinline__ unsigned key_groups(unsigned dim, unsigned g, unsigned q)
{
	const unsigned steps = dim / 32, t = q / steps;

	return 4 * (32 * (q - t * steps) + 4 * g + t);
}

/* @h: of tokens t + 4 + 8 r */
static __device__ __forceinline__ unsigned value_groups(unsigned dim, unsigned t, unsigned h, unsigned q)
{
	const unsigned step = q / 8 * 2, g = q & 7;

	return 32 * step + 64 <= dim ? 4 * (32 * (step + h) + 4 * g + t) : 4 * (32 * step + 4 * (g + 4 * h) + t);
}

/* ---- append ---- */

/* grid: heads x tokens, keys or values as @a.first_side says; a warp to each segment. Shared memory: spare, y, searches, row */
template <int W, int B> __device__ __forceinline__ void append_trellis(const tqc_plan &p, const tqc_append &a)
{
	extern __shared__ __align__(128) uint8_t smem[];
	__shared__ encode_box box;
	const unsigned padded = (p.dim + 3) & ~3u, warp = threadIdx.x >> 5, head = blockIdx.x % a.kv_heads, dim = TQC_KV_PADDED(p.dim);
	const size_t token = blockIdx.x / a.kv_heads;
	const bool value = a.first_side;
	const uint8_t *x = append_source(p, a, value, head, token);
	const int64_t slot = a.slots[token];
	float *spare = (float *)smem, *y = spare + padded, norm2[2] = {};
	uint8_t *searches = (uint8_t *)(y + padded), *row = searches + (blockDim.x >> 5) * TQC_TCQ_TOGETHER(W) * TQC_TCQ_SEARCH(W, B);
	trellis_search<W, B> search;
	int e;

	if (a.raw_slots && a.raw_slots[token] >= 0)
		keep_row(a, x, p.dim, value, head, (uint64_t)a.raw_slots[token]);
	if (slot < 0)
		return;
	const append_place to(a, value, head, slot);

	search.begin(p, searches + warp * TQC_TCQ_TOGETHER(W) * TQC_TCQ_SEARCH(W, B));
	load_turned(p, a, x, value, head, y, spare, &e, &norm2[0], &box);
	search_rows<W, B>(p, search, y, padded, 1, norm2, row);
	__syncthreads();
	finish_trellis(p, y, spare, row, e, norm2[0], 0.0f, &box);
	__syncthreads();
	for (unsigned i = threadIdx.x; i < p.dim / 8 * B; i += blockDim.x) {
		const unsigned q = i / B, k = to.token,
			       group = value ? value_groups(dim, k & 3, k >> 2 & 1, q) : key_groups(dim, k & 7, q);

		to.codes[(group + (k >> 3)) * B + i % B] = row[p.section[0].at + i];
	}
	if (threadIdx.x == 0)
		to.put_scale(p, row);
}

#define TQC_KV_APPEND_TCQ_KERNEL(name, window, bits)                                                                    \
	extern "C" __global__ void __launch_bounds__(64) name(const __grid_constant__ tqc_plan p, tqc_append a)          \
	{                                                                                                               \
		append_trellis<window, bits>(p, a);                                                                     \
	}

/* ---- attend ---- */

static __device__ void fill_trellis(const int16_t *odd, unsigned bits, unsigned window, uint8_t *table)
{
	switch (bits) {
	case 1:
		return trellis_table<1>().load(odd, 1u << window, table);
	case 2:
		return trellis_table<2>().load(odd, 1u << window, table);
	case 3:
		return trellis_table<3>().load(odd, 1u << window, table);
	default:
		return trellis_table<4>().load(odd, 1u << window, table);
	}
}

/* The bits of a lane's four groups of a step, what is above them is anything */
template <int B> static __device__ __forceinline__ void load_groups(const uint8_t *codes, unsigned groups, uint32_t (&n)[4])
{
	if (B == 4) {
		uint4 v = *(const uint4 *)(codes + 4 * groups);

		n[0] = v.x;
		n[1] = v.y;
		n[2] = v.z;
		n[3] = v.w;
	} else if (B == 3) {
		const uint32_t *w = (const uint32_t *)(codes + 3 * groups);
		uint32_t w0 = w[0], w1 = w[1], w2 = w[2];

		n[0] = w0;
		n[1] = __funnelshift_r(w0, w1, 24);
		n[2] = __funnelshift_r(w1, w2, 16);
		n[3] = w2 >> 8;
	} else if (B == 2) {
		uint2 v = *(const uint2 *)(codes + 2 * groups);

		n[0] = v.x;
		n[1] = v.x >> 16;
		n[2] = v.y;
		n[3] = v.y >> 16;
	} else {
		uint32_t v = *(const uint32_t *)(codes + groups);

		n[0] = v;
		n[1] = v >> 8;
		n[2] = v >> 16;
		n[3] = v >> 24;
	}
}

/* The first bytes of four groups that lie together */
template <int B> static __device__ __forceinline__ uint32_t first_bytes(const uint8_t *codes, unsigned groups)
{
	const uint8_t *at = codes + B * groups;

	return at[0] | at[B] << 8 | at[2 * B] << 16 | (uint32_t)at[3 * B] << 24;
}

/* The levels of a group of bits @n, followed by byte @r of @next */
template <int B>
static __device__ __forceinline__ void group_levels(const trellis_table<B> &table, unsigned mask, uint32_t n, uint32_t next, unsigned r,
						    uint32_t &lo, uint32_t &hi)
{
	if (B == 4)
		next >>= 8 * r;
	else
		n = prmt(n, next, (0x210u & ((1u << 4 * (B & 3)) - 1)) | (4 + r) << 4 * (B & 3));
	table.eight(n, next, mask, lo, hi);
}

/* Keys of a trellis code, as code_keys */
struct trellis_keys {
	static constexpr bool CODES = false;

	const uint8_t *table;
	unsigned dim, bits, lane, real, tail, states;

	__device__ __forceinline__ trellis_keys(const tqc_attend &a, const uint8_t *tables, unsigned l)
		: table(tables), dim(TQC_KV_PADDED(a.key_dim)), bits(a.key_bits), lane(l), real(a.key_dim), tail(trellis_tail(a.key_dim)),
		  states(1u << a.key_window)
	{
	}

	template <int B> __device__ __forceinline__ void products(const uint8_t *codes, const uint2 *query, int (&c)[2][4]) const
	{
		const trellis_table<B> levels = { table };
		const unsigned steps = dim / 32, mask = trellis_table<B>::mask_of(states), first = (lane & 3) * steps;
		uint32_t n[4], m[4];

		load_groups<B>(codes, 4 * lane, m);
		for (unsigned i = 0; i < steps; i++) {
			const unsigned after = trellis_after(real, tail, 8 * (first + i)) / 8;
			const uint2 q = query[32 * i + lane];
			uint32_t next[4], lo[4], hi[4];

#pragma unroll
			for (int r = 0; r < 4; r++)
				n[r] = m[r];
			if (i + 1 < steps)
				load_groups<B>(codes, 4 * (32 * (i + 1) + lane), m);
#pragma unroll
			for (int r = 0; r < 4; r++)
				next[r] = m[r];
			if (i + 1 == steps || after != first + i + 1) {
				const uint32_t bytes = first_bytes<B>(codes, key_groups(dim, lane >> 2, after));

#pragma unroll
				for (int r = 0; r < 4; r++)
					next[r] = bytes >> 8 * r;
			}
#pragma unroll
			for (int r = 0; r < 4; r++)
				group_levels<B>(levels, mask, n[r], next[r], 0, lo[r], hi[r]);
#pragma unroll
			for (int h = 0; h < 2; h++) {
				const uint32_t f[4] = { lo[2 * h], lo[2 * h + 1], hi[2 * h], hi[2 * h + 1] };

				mma_key(c[h], f, q);
			}
		}
	}

	__device__ __forceinline__ void logits(const uint8_t *codes, const uint2 *query, const query_scale &mine, float (&z)[4]) const
	{
		int c[2][4] = {};

		if (bits == 4)
			products<4>(codes, query, c);
		else if (bits == 3)
			products<3>(codes, query, c);
		else if (bits == 2)
			products<2>(codes, query, c);
		else
			products<1>(codes, query, c);
#pragma unroll
		for (int j = 0; j < 4; j++)
			z[j] = whole_logit(c, j, mine);
	}
};

/* Byte k of the words x to word k's bytes */
static __device__ __forceinline__ void transpose_bytes(const uint32_t (&x)[4], uint32_t *to)
{
	const uint32_t a = prmt(x[0], x[1], 0x5140), b = prmt(x[2], x[3], 0x5140), c = prmt(x[0], x[1], 0x7362),
		       d = prmt(x[2], x[3], 0x7362);

	to[0] = prmt(a, b, 0x5410);
	to[1] = prmt(a, b, 0x7632);
	to[2] = prmt(c, d, 0x5410);
	to[3] = prmt(c, d, 0x7632);
}

/* Values of a trellis code, as code_values */
template <int VMAX> struct trellis_values {
	static constexpr bool CODES = false;
	typedef attend_state<VMAX> state;

	const uint8_t *table;
	unsigned dim, bits, lane, real, tail, states;
	weight_turn turn;

	__device__ __forceinline__ trellis_values(const tqc_attend &a, const uint8_t *tables, unsigned l)
		: table(tables + a.value_table), dim(TQC_KV_PADDED(a.dim)), bits(a.value_bits), lane(l), real(a.dim),
		  tail(trellis_tail(a.dim)), states(1u << a.value_window), turn(l)
	{
	}

	template <int B> __device__ __forceinline__ void products(const uint8_t *codes, uint2 weights, state &w) const
	{
		const trellis_table<B> levels = { table };
		const unsigned mask = trellis_table<B>::mask_of(states), t = lane & 3;

#pragma unroll
		for (int m = 0; m < VMAX / 64; m++) {
			if (64 * m >= dim)
				break;
			/* of a last half, lanes above have no coordinates: they do what others do, and nobody reads their sums */
			const unsigned g = 64 * m + 64 <= dim ? lane >> 2 : lane >> 2 & 3, q = 8 * m + g;
			const unsigned after = trellis_after(real, tail, 8 * q) / 8;
			const bool apart = after != q + 1 || g == (64 * m + 64 <= dim ? 7 : 3);
			uint32_t f[2][8];

#pragma unroll
			for (int h = 0; h < 2; h++) {
				uint32_t n[4], lo[4], hi[4], next;

				load_groups<B>(codes, value_groups(dim, t, h, q), n);
				next = prmt(prmt(n[0], n[1], 0x0040), prmt(n[2], n[3], 0x0040), 0x5410);
				next = __shfl_sync(~0u, next, (lane + 4) & 31);
				if (apart)
					next = first_bytes<B>(codes, value_groups(dim, t, h, after));
#pragma unroll
				for (int r = 0; r < 4; r++)
					group_levels<B>(levels, mask, n[r], next, r, lo[r], hi[r]);
				transpose_bytes(lo, f[h]);
				transpose_bytes(hi, f[h] + 4);
			}
#pragma unroll
			for (int i = 0; i < 4; i++) {
				const uint32_t x[4] = { f[0][2 * i], f[0][2 * i + 1], f[1][2 * i], f[1][2 * i + 1] };

				mma_value(w.acc[4 * m + i], x, weights);
			}
		}
	}

	__device__ __forceinline__ void add(const uint8_t *codes, const float (&v)[4], state &w) const
	{
		const uint2 b = turn.weights(w, v);

		if (bits == 4)
			products<4>(codes, b, w);
		else if (bits == 3)
			products<3>(codes, b, w);
		else if (bits == 2)
			products<2>(codes, b, w);
		else
			products<1>(codes, b, w);
	}

	static __device__ __forceinline__ unsigned coordinate(unsigned g, unsigned i, unsigned k)
	{
		return 64 * (i / 4) + 8 * g + 2 * (i % 4) + k;
	}
};

#define TQC_KV_TCQ_KERNEL(name, d, ...)                                                                                  \
	extern "C" __global__ void __launch_bounds__(128, 2) name(tqc_attend a)                                          \
	{                                                                                                               \
		kv_sides<d, __VA_ARGS__>(a);                                                                            \
	}
