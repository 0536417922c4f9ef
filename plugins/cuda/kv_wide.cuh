/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attention (kv_attend.cuh) over codes of any 1 to 8 bits, keys and values of any multiple of 32 coordinates each in tiles.
 *
 * Levels of more than 4 bits take 16 bits. They are looked up in shared memory: an entry is a word for each lane, so that
 * lanes meet no bank twice, the key's grid value of a code in its low half, the value's as a half in its high half.
 *
 * Codes come as words of four bytes, of nibbles j = 0, 2, 4, 6 of a word of kv_tile.cuh, and of 1, 3, 5, 7. Four grid
 * values of keys make a register of each of two planes, 256 * high + low, high signed: scores are exact, as there. Values
 * are products of halves, mma.m16n8k16: levels 2^-12 off at most, weights two halves, the second what the first leaves,
 * sums floats. (Keys as halves would be off by as much of a logit: 1e-3 of a weight.)
 */
#pragma once
#include "kv_attend.cuh"

static __device__ __forceinline__ void mma_key_high(int (&c)[4], const uint32_t (&a)[4], uint2 b)
{
	asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
	    : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
	    : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b.x), "r"(b.y));
}

static __device__ __forceinline__ void mma_half(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1)
{
	asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
	    : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
	    : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

static __device__ __forceinline__ uint32_t halves(float low, float high)
{
	__half2 h = __floats2half2_rn(low, high);

	return *(uint32_t *)&h;
}

/* The words of bytes of a lane and step, @even and @odd nibbles; BITS: 8, or 0 for @bits */
template <int BITS>
static __device__ __forceinline__ void load_bytes(const uint8_t *codes, unsigned dim, unsigned bits, unsigned at, uint32_t (&even)[4],
						  uint32_t (&odd)[4])
{
	if (BITS == 8 || bits == 8) {
		uint4 e = ((const uint4 *)codes)[at], o = ((const uint4 *)codes)[dim + at];

		even[0] = e.x;
		even[1] = e.y;
		even[2] = e.z;
		even[3] = e.w;
		odd[0] = o.x;
		odd[1] = o.y;
		odd[2] = o.z;
		odd[3] = o.w;
		return;
	}
	uint32_t n[4] = {}, h[4] = {};

	if (bits >= 4) {
		load_words<0, 4>(codes, at / 32, at & 31, n);
		if (bits > 4)
			load_few(codes + 16 * dim, dim, bits - 4, at, h);
	} else {
		load_few(codes, dim, bits, at, n);
	}
#pragma unroll
	for (int r = 0; r < 4; r++) {
		even[r] = (n[r] & 0x0f0f0f0fu) | (h[r] << 4 & 0xf0f0f0f0u);
		odd[r] = (n[r] >> 4 & 0x0f0f0f0fu) | (h[r] & 0xf0f0f0f0u);
	}
}

/* The table's entry of byte B of a word; @lane4: 4 * lane */
template <int B> static __device__ __forceinline__ uint32_t entry(const uint8_t *table, unsigned lane4, uint32_t w)
{
	return *(const uint32_t *)(table + (((B ? w >> (8 * B - 7) : w << 7) & 0x7f80u) | lane4));
}

/* The planes of the keys of a word's bytes */
static __device__ __forceinline__ void key_planes(const uint8_t *table, unsigned lane4, uint32_t w, uint32_t &low, uint32_t &high)
{
	const uint32_t first = prmt(entry<0>(table, lane4, w), entry<1>(table, lane4, w), 0x5410),
		       second = prmt(entry<2>(table, lane4, w), entry<3>(table, lane4, w), 0x5410);

	low = prmt(first, second, 0x6420);
	high = prmt(first, second, 0x7531);
}

/* A fragment of the values of coordinates g and g + 8: words r and r + 1 of either parity */
static __device__ __forceinline__ void value_halves(const uint8_t *table, unsigned lane4, uint32_t w, uint32_t v, uint32_t (&f)[4])
{
	f[0] = prmt(entry<0>(table, lane4, w), entry<1>(table, lane4, w), 0x7632);
	f[1] = prmt(entry<0>(table, lane4, v), entry<1>(table, lane4, v), 0x7632);
	f[2] = prmt(entry<2>(table, lane4, w), entry<3>(table, lane4, w), 0x7632);
	f[3] = prmt(entry<2>(table, lane4, v), entry<3>(table, lane4, v), 0x7632);
}

/* Levels of @keys numbers of keys, of @values of values */
static __device__ void fill_table(const tqc_attend &a, unsigned keys, unsigned values, uint8_t *table)
{
	const unsigned n = max(keys, values);

	for (unsigned i = threadIdx.x; i < 8 * n; i += blockDim.x) {
		unsigned k = i / 8;
		uint32_t v = prmt(k < keys ? (uint32_t)a.key_odd[k] : 0, halves(k < values ? (float)a.value_odd[k] : 0.0f, 0.0f), 0x5410);

		*(uint4 *)(table + TQC_WIDE_STEP * k + 16 * (i & 7)) = make_uint4(v, v, v, v);
	}
}

/* @queries: those of a unit, by lanes and steps; PARTED: coordinates 0, 2, 4, 6, 1, 3, 5, 7 of a lane's step in one piece */
template <bool PARTED> static __device__ void fill_queries(const uint8_t *queries, unsigned dim, uint2 *to)
{
	for (unsigned i = threadIdx.x; i < dim; i += blockDim.x) {
		const unsigned step = i >> 5, g = i >> 2 & 7, t = i & 3;
		const uint2 q = *(const uint2 *)(queries + g * dim + t * (dim / 4) + 8 * step);

		to[i] = PARTED ? make_uint2(prmt(q.x, q.y, 0x6420), prmt(q.x, q.y, 0x7531)) : q;
	}
}

/* The weights @v in units, as halves and what these leave, of tokens g and g + 16, g + 8 and g + 24 */
static __device__ __forceinline__ void split_weights(const float (&v)[4], float inv, uint32_t (&high)[2], uint32_t (&low)[2])
{
#pragma unroll
	for (int k = 0; k < 2; k++) {
		const float x = v[k] * inv, y = v[k + 2] * inv;
		const __half2 h = __floats2half2_rn(x, y);

		high[k] = *(const uint32_t *)&h;
		low[k] = halves(x - __low2float(h), y - __high2float(h));
	}
}

/* Keys of codes: the logits of a tile but for the scales of tokens */
template <int BITS> struct code_keys {
	static constexpr bool CODES = true;

	const uint8_t *table;
	unsigned dim, bits, lane;

	__device__ __forceinline__ code_keys(const tqc_attend &a, const uint8_t *tables, unsigned l)
		: table(tables), dim(TQC_KV_PADDED(a.key_dim)), bits(BITS ? BITS : a.key_bits), lane(l)
	{
	}

	__device__ __forceinline__ void logits(const uint8_t *codes, const uint2 *query, const query_scale &mine, float (&z)[4]) const
	{
		int c[2][4] = {}, d[2][4] = {};

		for (unsigned i = 0; i < dim / 32; i++) {
			const uint2 q = query[32 * i + lane];
			uint32_t even[4], odd[4], low[4], high[4];

			load_bytes<BITS>(codes, dim, bits, 32 * i + lane, even, odd);
#pragma unroll
			for (int h = 0; h < 2; h++) {
				key_planes(table, 4 * lane, even[2 * h], low[0], high[0]);
				key_planes(table, 4 * lane, even[2 * h + 1], low[1], high[1]);
				key_planes(table, 4 * lane, odd[2 * h], low[2], high[2]);
				key_planes(table, 4 * lane, odd[2 * h + 1], low[3], high[3]);
				mma_key_high(c[h], high, q);
				mma_key(d[h], low, q);
			}
		}
#pragma unroll
		for (int j = 0; j < 4; j++) {
			const int *high = &c[j / 2][2 * (j & 1)], *low = &d[j / 2][2 * (j & 1)];

			z[j] = ((float)(128 * high[0] + high[1]) * 256.0f + (float)(128 * low[0] + low[1])) * mine.factor;
		}
	}
};

/* Values of codes: their products with the weights @v of a tile */
template <int VMAX, int BITS> struct code_values {
	static constexpr bool CODES = true;
	typedef attend_state<VMAX, float> state;

	const uint8_t *table;
	unsigned dim, bits, lane;
	weight_turn turn;

	__device__ __forceinline__ code_values(const tqc_attend &a, const uint8_t *tables, unsigned l)
		: table(tables + a.value_table), dim(TQC_KV_PADDED(a.dim)), bits(BITS ? BITS : a.value_bits), lane(l), turn(l)
	{
	}

	__device__ __forceinline__ void add(const uint8_t *codes, const float (&v)[4], state &w) const
	{
		uint32_t high[2], low[2];
		uint2 b[2];

		split_weights(v, w.inv, high, low);
#pragma unroll
		for (int k = 0; k < 2; k++)
			b[k] = turn.turn(high[k], low[k]);
#pragma unroll
		for (int i = 0; i < VMAX / 32; i++) {
			uint32_t even[4], odd[4], f[4];

			if (32 * i >= dim)
				break;
			load_bytes<BITS>(codes, dim, bits, 32 * i + lane, even, odd);
#pragma unroll
			for (int h = 0; h < 2; h++) {
				value_halves(table, 4 * lane, even[2 * h], even[2 * h + 1], f);
				mma_half(w.acc[2 * i + h], f, b[0].x, b[0].y);
				value_halves(table, 4 * lane, odd[2 * h], odd[2 * h + 1], f);
				mma_half(w.acc[2 * i + h], f, b[1].x, b[1].y);
			}
		}
	}

	static __device__ __forceinline__ unsigned coordinate(unsigned g, unsigned i, unsigned k)
	{
		return fragment_coordinate(g, i, k);
	}
};

/* Levels of a trellis of @bits, of 2^@window states: tcq_table.cuh */
static __device__ void fill_trellis(const int16_t *odd, unsigned bits, unsigned window, uint8_t *table);

/*
 * as kv_attend(); VMAX: values have no more coordinates. Shared memory: tables, that of keys first; the queries' fragments;
 * tiles
 */
template <int VMAX, class Keys, class Values> static __device__ __forceinline__ void kv_sides(const tqc_attend &a)
{
	constexpr unsigned STAGES = TQC_WIDE_STAGES;
	extern __shared__ __align__(128) uint8_t smem[];
	let_next_begin();
	const unsigned lane = threadIdx.x & 31, warp = threadIdx.x >> 5, g = lane >> 2, t = lane & 3;
	const Keys keys(a, smem, lane);
	const Values values(a, smem, lane);
	const unsigned values_at = 4 * keys.dim * keys.bits, room = values_at + 4 * values.dim * values.bits + 256;
	const warp_run run(a);
	const unit_place u(a, run.unit);
	uint2 *query = (uint2 *)(smem + a.tables);
	uint8_t *ring = (uint8_t *)(query + keys.dim) + warp * STAGES * room;

	tile_source<0> source(a, u, run.tile, run.last, lane);
#pragma unroll
	for (unsigned s = 0; s < STAGES - 1; s++)
		source.fetch(ring + s * room, lane);
	if (Keys::CODES || Values::CODES)
		fill_table(a, Keys::CODES ? 1u << keys.bits : 0, Values::CODES ? 1u << values.bits : 0,
			   smem + (Keys::CODES ? 0 : a.value_table));
	if (!Keys::CODES)
		fill_trellis(a.key_odd, a.key_bits, a.key_window, smem);
	if (!Values::CODES && a.value_table)
		fill_trellis(a.value_odd, a.value_bits, a.value_window, smem + a.value_table);
	wait_for_previous();
	const uint8_t *queries = a.queries + run.unit * unit_bytes(keys.dim);
	const query_scale mine = ((const query_scale *)(queries + 8 * keys.dim))[t];

	fill_queries<Keys::CODES>(queries, keys.dim, query);
	__syncthreads();

	typename Values::state w;
	unsigned slot = 0, since = 0;

	w.clear();
	for (unsigned tile = run.tile; tile < run.last; tile++) {
		const uint8_t *at = ring + slot * room;
		float z[4], s[4], e[4], v[4];

		async_wait<STAGES - 2>();
		__syncwarp();
		source.fetch(ring + (slot ? slot - 1 : STAGES - 1) * room, lane);
		load_scales(at + a.key_scale_at, a.key_scale, g, e);
		load_scales(at + a.value_scale_at, a.value_scale, g, s);
		keys.logits(at, query, mine, z);
#pragma unroll
		for (int j = 0; j < 4; j++)
			z[j] *= e[j];
		weigh(a, run, tile, mine.add, w, since, z, s, v);
		values.add(at + values_at, v, w);
		__syncwarp();
		slot = slot + 1 == STAGES ? 0 : slot + 1;
	}
	async_wait<0>();
	store_split(a, w, a.cap > 0.0f ? 0.0f : mine.add, (float *)smem, (size_t)run.unit * a.splits + run.split, values.dim,
		    Values::coordinate);
}

#define TQC_KV_WIDE_KERNEL(name, d, bits)                                                                               \
	extern "C" __global__ void __launch_bounds__(128, 2) name(tqc_attend a)                                          \
	{                                                                                                               \
		kv_sides<d, code_keys<bits>, code_values<d, bits>>(a);                                                  \
	}
