/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attention over tiles of codes (kv_tile.cuh), both products on integer tensor cores.
 *
 * A unit is four query rows of one KV head of one sequence; a row is a (query token, query head) pair. The
 * tokens of a sequence are cut into 4 * splits equal runs of tiles, a warp each: four warps make a block,
 * splits blocks a unit. Warps copy their tiles to shared memory ahead of use and meet only at the end.
 *
 *	tqc_kv_query	rotates and quantizes queries to 15 bits, two signed planes q = 128 * high + low; attends to tokens
 *			in 16 bits, as a split of their own (kv_raw.cuh)
 *	tqc_kv_attend_*	sums of weighted values of each split; tqc_kv_wide_* and tqc_kv_bytes_* (kv_wide.cuh) of any codes
 *	tqc_kv_combine	the splits put together in their order, rotated back (kv_combine.cuh)
 *	tqc_kv_mass	the mass on each page, where it is wanted (kv_mass.cuh)
 *
 * Scores: 16 tokens x 8 columns; columns 2 t and 2 t + 1 are the planes of query t, so that lane (g, t) gets
 * whole scores of query t and tokens g + 8 j: exact in int32. Values: 16 coordinates x 8 columns, which are
 * the planes of the weights, 16 bits unsigned: weight times value scale over the largest of them so far
 * (@most), of which 65535 units are left. Sums stay in int32 until a larger one comes, or before they
 * could overflow; then they are added to float sums, and those scaled to the new largest score (@top).
 * Weights are taken relative to @top, which rises with @most, or when a weight passes 2^20.
 *
 * Logits are in powers of two, so that weights are exp2_fast() of them.
 *
 * Results depend on the number of splits and on nothing else of the launch.
 */
#pragma once
#include "kv_tile.cuh"
#include "kv_view.cuh"
#include "rotate.cuh"

static __device__ __forceinline__ void mma_key(int (&c)[4], const uint32_t (&a)[4], uint2 b)
{
	asm("mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
	    : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
	    : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b.x), "r"(b.y));
}

static __device__ __forceinline__ void mma_value(int (&c)[4], const uint32_t (&a)[4], uint2 b)
{
	asm("mma.sync.aligned.m16n8k32.row.col.s32.u8.u8.s32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
	    : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
	    : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b.x), "r"(b.y));
}

/* over the eight lanes of a query */
static __device__ __forceinline__ float lanes_max(float v)
{
	v = fmaxf(v, __shfl_xor_sync(~0u, v, 4));
	v = fmaxf(v, __shfl_xor_sync(~0u, v, 8));
	return fmaxf(v, __shfl_xor_sync(~0u, v, 16));
}

template <class T> static __device__ __forceinline__ T lanes_sum(T v)
{
	v += __shfl_xor_sync(~0u, v, 4);
	v += __shfl_xor_sync(~0u, v, 8);
	return v + __shfl_xor_sync(~0u, v, 16);
}

/* Prepared queries of a unit: planes of 8 columns, then for each of 4 rows how scores become logits */
struct query_scale {
	float factor; /* of the integer score and the key's scale: the logit in powers of two */
	int bias;     /* what makes grid values levels */
	float add;    /* the part of the keys' centre, likewise a logit */
	int reserved;
};

/* and for keys with a further part in 16 bits: kv_mla.cuh */
static __device__ __forceinline__ size_t unit_bytes(unsigned dim, unsigned raw = 0)
{
	return 8 * dim + 4 * sizeof(query_scale) + (raw ? 16 * raw + 4 * sizeof(float) : 0);
}

static __device__ void raw_query(const tqc_attend &a, unsigned d, size_t at, bool none, uint8_t *queries, unsigned q,
				 float *x, unsigned *box);

inline __device__ void raw_attend(const tqc_attend &a, unsigned block, uint8_t *raw_room);

/*
 * grid: 4 x units, of 128 threads; zeros where the last unit of a head has no row. Then raw_chunks x units, which need nothing
 * of these: a kernel of their own would cost as much again as these do.
 */
extern "C" __global__ void __launch_bounds__(128) tqc_kv_query(tqc_plan p, tqc_attend a)
{
	extern __shared__ __align__(16) float shared[];
	__shared__ unsigned box;
	__shared__ float dot;
	__shared__ long long sum;
	const unsigned queries = 4 * a.sequences * a.kv_heads * a.passes;

	let_next_begin();
	if (blockIdx.x >= queries) {
		raw_attend(a, blockIdx.x - queries, (uint8_t *)shared);
		return;
	}
	const unit_place u(a, blockIdx.x / 4);
	const unsigned d = p.dim, padded = TQC_KV_PADDED(d), i0 = blockIdx.x & 3, row = u.row + i0, token = row / a.group;
	int8_t *out = (int8_t *)a.queries + blockIdx.x / 4 * unit_bytes(padded, a.raw_dim), *high = out + 2 * i0 * padded, *low = high + padded;
	query_scale *scale = (query_scale *)(out + 8 * padded) + i0;
	const size_t from = (u.sequence * (size_t)a.tokens + token) * a.query_stride +
			    (u.head * a.group + row % a.group) * (size_t)(d + a.raw_dim);
	float *y = shared;
	int total = 0;

	for (unsigned i = threadIdx.x; i < d; i += blockDim.x)
		y[i] = token >= a.tokens ? 0.0f : load_element(a.query, a.dtype, from + i);
	const float *centre = a.centre ? a.centre + u.head * (size_t)d : NULL;
	float add = centre ? a.scale * block_dot16(d, [&](unsigned i) { return y[i]; }, [&](unsigned i) { return centre[i]; }, &dot) :
			     0.0f;
	/* the largest becomes 1 to 2, so that no rotation leaves the range of floats */
	int e = block_exponent(y, d, &box);
	__syncthreads();
	for (unsigned i = threadIdx.x; i < d; i += blockDim.x)
		y[i] = scale_down(y[i], e);
	rotate(p.rot, y, y + d);
	__syncthreads();
	unsigned top = 0;
	for (unsigned i = threadIdx.x; i < d; i += blockDim.x)
		top = max(top, __float_as_uint(y[i]) & 0x7fffffffu);
	float m = __uint_as_float(block_max(top, &box)), inv = m >= 9.094947017729282e-13f ? 16256.0f / m : 0.0f;

	for (unsigned i = threadIdx.x; i < padded; i += blockDim.x) {
		int q = i < d ? __float2int_rn(y[i] * inv) : 0, h = (q + 64) >> 7;

		total += q;
		high[i] = (int8_t)h;
		low[i] = (int8_t)(q - 128 * h);
	}
	total = (int)block_add(total, &sum);
	if (threadIdx.x == 0) {
		scale->factor = inv > 0.0f ? scale_up((m / 16256.0f) * p.half_step, e) * a.scale : 0.0f;
		scale->bias = -127 * total;
		scale->add = add;
	}
	if (a.raw_dim)
		raw_query(a, d, from + d, token >= a.tokens, (uint8_t *)out, i0, y, &box);
}

/*
 * One warp's state: what the lane (g, t) holds of query t, and of coordinates 16 i + g and 16 i + g + 8. T: int, or
 * float for products of kv_wide.cuh, whose low plane is what the high one leaves and whose levels are grid values.
 */
template <int D, class T = int> struct attend_state {
	static constexpr float UNITS = T(0.5f) == T(0) ? 65535.0f : 32768.0f; /* of the largest weight */

	T acc[D / 16][4];	  /* high and low plane of either */
	float whole[D / 16][2];	  /* what was flushed, in levels */
	unsigned high, low;	  /* sums of the weights' planes, this lane's tokens */
	float top, most, sum;	  /* sum: this lane's tokens */
	float inv, unit;	  /* units per weight and back */

	__device__ __forceinline__ void clear()
	{
#pragma unroll
		for (int i = 0; i < D / 16; i++) {
			acc[i][0] = acc[i][1] = acc[i][2] = acc[i][3] = 0;
			whole[i][0] = whole[i][1] = 0.0f;
		}
		high = low = 0;
		top = TQC_NOTHING;
		most = sum = inv = unit = 0.0f;
	}

	static __device__ __forceinline__ float plain(int high, int low, int h, int l)
	{
		return (float)(2 * high - h) * 256.0f + (float)(2 * low - l);
	}

	static __device__ __forceinline__ float plain(float high, float low, int, int)
	{
		return high + low;
	}

	/* integers to floats, everything times @factor */
	__device__ __forceinline__ void flush(float factor)
	{
		int h = 127 * (int)lanes_sum(high), l = 127 * (int)lanes_sum(low);

#pragma unroll
		for (int i = 0; i < D / 16; i++) {
#pragma unroll
			for (int k = 0; k < 2; k++) {
				float v = plain(acc[i][2 * k], acc[i][2 * k + 1], h, l);

				whole[i][k] = (whole[i][k] + v * unit) * factor;
				acc[i][2 * k] = acc[i][2 * k + 1] = 0;
			}
		}
		high = low = 0;
		sum *= factor;
	}

	/* new limits for a tile of logits @z and value scales @s */
	__device__ __forceinline__ void raise(const float (&z)[4], const float (&s)[4])
	{
		float m = fmaxf(top, lanes_max(fmaxf(fmaxf(z[0], z[1]), fmaxf(z[2], z[3])))), factor = exp2_fast(top - m);

		flush(factor);
		most *= factor;
		top = m;
#pragma unroll
		for (int j = 0; j < 4; j++)
			most = fmaxf(most, exp2_fast(z[j] - top) * s[j]);
		most = lanes_max(most);
		inv = most >= 1e-30f ? UNITS / most : 0.0f;
		unit = most * (1.0f / UNITS);
	}
};

/* Copies the warp's tiles to shared memory; the table's entries of 32 tiles are in the lanes. PIECES: of codes, 0: any */
template <int PIECES> struct tile_source {
	const uint8_t *pages;
	const uint32_t *table;
	size_t page_bytes, tile_bytes;
	unsigned shift, pieces, next, last, pages_of;

	__device__ __forceinline__ tile_source(const tqc_attend &a, const unit_place &u, unsigned from, unsigned to, unsigned lane)
		: pages(a.pages + u.head * (size_t)a.tile_bytes * (1u << a.tile_shift)), table(a.table + u.sequence * a.table_stride),
		  page_bytes(a.page_bytes), tile_bytes(a.tile_bytes), shift(a.tile_shift), pieces(a.tile_bytes / 16), next(from), last(to)
	{
		look_up(lane);
	}

	__device__ __forceinline__ void look_up(unsigned lane)
	{
		unsigned tile = (next & ~31u) + lane;

		pages_of = tile < last ? __ldg(table + (tile >> shift)) : 0;
	}

	/* starts the copy of the next tile, if there is one */
	__device__ __forceinline__ void fetch(uint8_t *to, unsigned lane)
	{
		if (next < last) {
			const unsigned page = __shfl_sync(~0u, pages_of, next & 31);
			const uint8_t *from = pages + page * page_bytes + (next & ((1u << shift) - 1)) * tile_bytes + 16 * lane;

			to += 16 * lane;
			if (!PIECES)
				for (unsigned u = lane; u < pieces; u += 32, to += 512, from += 512)
					async16(to, from);
#pragma unroll
			for (int u = 0; PIECES && u < (PIECES + 16 + 31) / 32; u++)
				if (32 * u + 31 < PIECES || 32 * u + lane < pieces)
					async16(to + 512 * u, from + 512 * u);
			if (!(++next & 31))
				look_up(lane);
		}
		async_commit();
	}
};

/* The coordinate that a lane has in half @k of fragment @i */
static __device__ __forceinline__ unsigned fragment_coordinate(unsigned g, unsigned i, unsigned k)
{
	return 16 * i + g + 8 * k;
}

/* The warps' sums put together: partial sums and (top + @add, sum) of the split; @room: shared memory */
template <int D, class T>
static __device__ __forceinline__ void store_split(const tqc_attend &a, attend_state<D, T> &w, float add, float *room, size_t split,
						   unsigned d = D, unsigned (*coordinate)(unsigned, unsigned, unsigned) = fragment_coordinate)
{
	constexpr unsigned PITCH = D + 8;
	const unsigned lane = threadIdx.x & 31, warp = threadIdx.x >> 5, g = lane >> 2, t = lane & 3;
	float *sums = room + 4 * warp * PITCH, *tops = room + 16 * PITCH, *totals = tops + 16;

	__syncthreads();
	w.flush(1.0f);
	w.sum = lanes_sum(w.sum);
	if (g == 0) {
		tops[4 * warp + t] = w.top + add;
		totals[4 * warp + t] = w.sum;
	}
#pragma unroll
	for (int i = 0; i < D / 16; i++) {
		sums[t * PITCH + coordinate(g, i, 0)] = w.whole[i][0];
		sums[t * PITCH + coordinate(g, i, 1)] = w.whole[i][1];
	}
	__syncthreads();
	for (unsigned q = 0; q < 4; q++) {
		float top = fmaxf(fmaxf(tops[q], tops[4 + q]), fmaxf(tops[8 + q], tops[12 + q])), f[4], total = 0.0f;

		for (unsigned k = 0; k < 4; k++) {
			f[k] = exp2_fast(tops[4 * k + q] - top);
			total += totals[4 * k + q] * f[k];
		}
		for (unsigned i = threadIdx.x; i < d; i += blockDim.x) {
			float v = 0.0f;

			for (unsigned k = 0; k < 4; k++)
				v += room[(4 * k + q) * PITCH + i] * f[k];
			a.sums[(4 * split + q) * d + i] = v;
		}
		if (threadIdx.x == 0)
			((float2 *)a.tops)[4 * split + q] = make_float2(top, total);
	}
}

/* The weights of a tile, lane (g, t)'s of row t being @sum, relative to @top */
static __device__ __forceinline__ void store_mass(const tqc_attend &a, size_t first, unsigned tile, float top, float sum)
{
	const unsigned lane = threadIdx.x & 31;

	sum = lanes_sum(sum);
	if (lane < 4 && tile < a.mass_tiles)
		((float2 *)a.tile_mass)[(first + tile) * 4 + lane] = make_float2(top, sum);
}

/*
 * The tiles tile .. last - 1 of a warp, and what lane t's row sees of them: tokens from .. to - 1; every row those from
 * full_from to full_to - 1. Grid: passes x splits x heads x sequences, so that blocks that read the same tiles are neighbours.
 */
struct warp_run {
	unsigned unit, split, to, from, full_to, full_from, tile, last;

	__device__ __forceinline__ warp_run(const tqc_attend &a)
	{
		const unsigned t = threadIdx.x & 3, pass = blockIdx.x % a.passes;

		split = blockIdx.x / a.passes % a.splits;
		unit = blockIdx.x / a.passes / a.splits * a.passes + pass;
		const unit_place u(a, unit);
		const kv_view view(a, u.sequence);
		const unsigned begin = view.tile_from(u.row), tiles = view.tile_to(u.row), n = tiles > begin ? tiles - begin : 0;
		const unsigned part = 4 * split + (threadIdx.x >> 5), parts = 4 * a.splits;

		to = view.to(u.row + t);
		from = view.from(u.row + t);
		full_to = view.to(u.row);
		full_from = view.from(u.row + 3);
		tile = begin + (unsigned)((uint64_t)n * part / parts);
		last = begin + (unsigned)((uint64_t)n * (part + 1) / parts);
	}
};

/*
 * Logits @z and value scales @s of a tile's tokens g, g + 8, g + 16, g + 24 to weights times scales, @v, with what is
 * capped or not seen looked after; the state's limits and sum follow.
 */
template <int D, class T>
static __device__ __forceinline__ void weigh(const tqc_attend &a, const warp_run &r, unsigned tile, float add, attend_state<D, T> &w,
					     unsigned &since, float (&z)[4], float (&s)[4], float (&v)[4])
{
	const unsigned g = (threadIdx.x & 31) >> 2;
	float e[4];

	/* tiles that end behind it take the way of logits that are capped or not seen */
	if (TQC_TILE_TOKENS * (tile + 1) > (a.cap > 0.0f ? 0 : r.full_to) || TQC_TILE_TOKENS * tile < r.full_from)
#pragma unroll
		for (int j = 0; j < 4; j++) {
			unsigned k = TQC_TILE_TOKENS * tile + g + 8 * j;

			if (a.cap > 0.0f)
				z[j] = cap_logit(z[j] + add, a.cap);
			z[j] = k >= r.from && k < r.to ? z[j] : -INFINITY;
			s[j] = k >= r.from && k < r.to ? s[j] : 0.0f;
		}
#pragma unroll
	for (int j = 0; j < 4; j++) {
		e[j] = exp2_fast(z[j] - w.top);
		v[j] = e[j] * s[j];
	}
	bool over = !(fmaxf(fmaxf(v[0], v[1]), fmaxf(v[2], v[3])) <= w.most) ||
		    fmaxf(fmaxf(e[0], e[1]), fmaxf(e[2], e[3])) > 1048576.0f;

	over = __any_sync(~0u, over);
	if (over || since >= a.flush_tiles) {
		if (over || since >= TQC_FLUSH_TILES) {
			w.raise(z, s);
			since = 0;
#pragma unroll
			for (int j = 0; j < 4; j++) {
				e[j] = exp2_fast(z[j] - w.top);
				v[j] = e[j] * s[j];
			}
		}
		if (a.page_mass)
			store_mass(a, (size_t)r.unit * a.mass_tiles, tile, w.top + (a.cap > 0.0f ? 0.0f : add), (e[0] + e[1]) + (e[2] + e[3]));
	}
	since++;
	w.sum += (e[0] + e[1]) + (e[2] + e[3]);
}

/* The logit of token g + 8 @j from the products of its key's grid values with both planes, but for its scale */
static __device__ __forceinline__ float whole_logit(const int (&c)[2][4], int j, const query_scale &mine)
{
	return (float)(256 * c[j / 2][2 * (j & 1)] + (2 * c[j / 2][2 * (j & 1) + 1] + mine.bias)) * mine.factor;
}

/* Weights travel from the lanes of their scores to those of their fragment in two turns */
struct weight_turn {
	bool upper, odd;
	unsigned turn0, turn1;

	__device__ __forceinline__ weight_turn(unsigned lane)
	{
		const unsigned g = lane >> 2, t = lane & 3;

		upper = g >> 2;
		odd = g & 1;
		turn0 = 4 * (t + 4 * (g & 1)) + (g >> 1);
		turn1 = turn0 ^ 16;
	}

	__device__ __forceinline__ uint2 turn(uint32_t high, uint32_t low) const
	{
		const uint32_t y0 = __shfl_sync(~0u, upper ? low : high, turn0), y1 = __shfl_sync(~0u, upper ? high : low, turn1);

		return odd ? make_uint2(y1, y0) : make_uint2(y0, y1);
	}

	/* the weights @v in units, two planes, as a fragment; the state's sums of them follow */
	template <int D> __device__ __forceinline__ uint2 weights(attend_state<D> &w, const float (&v)[4]) const
	{
		uint32_t x[4];

		/* 2^23 + units: the number's low bits */
#pragma unroll
		for (int j = 0; j < 4; j++)
			x[j] = __float_as_uint(__fmaf_rn(v[j], w.inv, 8388608.0f));
		uint32_t x01 = prmt(x[0], x[1], 0x5140), x23 = prmt(x[2], x[3], 0x5140), low = prmt(x01, x23, 0x5410),
			 high = prmt(x01, x23, 0x7632);

		w.high = __dp4a(high, 0x01010101u, w.high);
		w.low = __dp4a(low, 0x01010101u, w.low);
		return turn(high, low);
	}
};

template <int D, int KB, int VB> static __device__ __forceinline__ void kv_attend(const tqc_attend &a)
{
	constexpr unsigned STAGES = TQC_KV_STAGES, PIECES = D * (KB + VB) / 4, ROOM = 4 * D * (KB + VB) + 256;
	extern __shared__ __align__(128) uint8_t smem[];
	let_next_begin();
	const unsigned lane = threadIdx.x & 31, warp = threadIdx.x >> 5, g = lane >> 2, t = lane & 3;
	const warp_run run(a);
	const unit_place u(a, run.unit);
	tile_source<PIECES> source(a, u, run.tile, run.last, lane);

	uint8_t *ring = smem + warp * STAGES * ROOM;
#pragma unroll
	for (unsigned s = 0; s < STAGES - 1; s++)
		source.fetch(ring + s * ROOM, lane);

	wait_for_previous();
	const uint8_t *queries = a.queries + run.unit * unit_bytes(D);
	const query_scale mine = ((const query_scale *)(queries + 8 * D))[t];
	uint2 q[D / 32];

#pragma unroll
	for (int i = 0; i < D / 32; i++)
		q[i] = *(const uint2 *)(queries + g * D + t * (D / 4) + 8 * i);

	const weight_turn turn(lane);
	attend_state<D> w;
	unsigned slot = 0, since = 0;

	w.clear();
	for (unsigned tile = run.tile; tile < run.last; tile++) {
		const uint8_t *at = ring + slot * ROOM, *values = at + 4 * D * KB;
		int c[2][4] = {};
		float z[4], s[4], e[4], v[4];

		async_wait<STAGES - 2>();
		__syncwarp();
		source.fetch(ring + (slot ? slot - 1 : STAGES - 1) * ROOM, lane);
		load_scales(at + a.key_scale_at, a.key_scale, g, e);
		load_scales(at + a.value_scale_at, a.value_scale, g, s);
#pragma unroll
		for (int i = 0; i < D / 32; i++) {
			uint32_t n[4], x[4];

			load_words<D, KB>(at, i, lane, n);
			word_levels<KB>(n[0], a.key_levels, x[0], x[2]);
			word_levels<KB>(n[1], a.key_levels, x[1], x[3]);
			mma_key(c[0], x, q[i]);
			word_levels<KB>(n[2], a.key_levels, x[0], x[2]);
			word_levels<KB>(n[3], a.key_levels, x[1], x[3]);
			mma_key(c[1], x, q[i]);
		}
#pragma unroll
		for (int j = 0; j < 4; j++)
			z[j] = whole_logit(c, j, mine) * e[j];
		weigh(a, run, tile, mine.add, w, since, z, s, v);
		const uint2 b = turn.weights(w, v);

#pragma unroll
		for (int i = 0; i < D / 32; i++) {
			uint32_t n[4], f[4];

			load_words<D, VB>(values, i, lane, n);
			word_levels<VB>(n[0], a.value_levels, f[0], f[2]);
			word_levels<VB>(n[1], a.value_levels, f[1], f[3]);
			mma_value(w.acc[2 * i], f, b);
			word_levels<VB>(n[2], a.value_levels, f[0], f[2]);
			word_levels<VB>(n[3], a.value_levels, f[1], f[3]);
			mma_value(w.acc[2 * i + 1], f, b);
		}
		__syncwarp();
		slot = slot + 1 == STAGES ? 0 : slot + 1;
	}
	async_wait<0>();
	/* a number that all logits have in common only moves the top */
	store_split<D>(a, w, a.cap > 0.0f ? 0.0f : mine.add, (float *)smem, (size_t)run.unit * a.splits + run.split);
}

#define TQC_KV_KERNEL(name, d, key_bits, value_bits)                                                                    \
	extern "C" __global__ void __launch_bounds__(128, TQC_KV_BLOCKS(d)) name(tqc_attend a)                           \
	{                                                                                                               \
		kv_attend<d, key_bits, value_bits>(a);                                                                  \
	}
