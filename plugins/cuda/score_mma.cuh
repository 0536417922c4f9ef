/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scores on integer tensor cores: mma.m16n8k32, u8 levels x s8 queries, exact in int32.
 *
 * Rows are the canonical ones. A warp takes tiles of 16 rows, which lie together in memory and start at
 * a multiple of 16 bytes; each warp keeps STAGES tiles under way with cp.async and meets no barrier of
 * the block. Lane (g, t) = (lane / 4, lane % 4) owns coordinates 8 t S .. 8 t S + 8 S - 1 of rows g and
 * g + 8, S = ceil(dim / 32): at step s their eight codes make registers a0, a2 (row g) and a1, a3 (row
 * g + 8). The product does not mind the order of coordinates as long as the query's fragments, laid out
 * once per block in shared memory in the order in which lanes read them, use the same one. Coordinates
 * beyond dim meet zeros of the query.
 *
 * Levels of up to 4 bits come from registers: prmt looks four nibbles up in eight bytes; a selector with
 * its top bit set gives the sign of a byte, which is 0 for a 7-bit level, so
 * prmt(low half, w) | prmt(high half, w ^ 8...8) is a table of sixteen. Longer codes look up a 16-bit
 * table of (high, low) planes in shared memory. A query of 16 bits takes two columns, high and low plane.
 */
#pragma once
#include "lanes.cuh"
#include "score.cuh"

static __device__ __forceinline__ void mma(int *c, const uint32_t *a, uint2 b)
{
	asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
		     : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
		     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b.x), "r"(b.y));
}

/* 32 bits at any byte of shared memory */
static __device__ __forceinline__ uint32_t word_at(const uint8_t *tile, unsigned at)
{
	const uint32_t *w = (const uint32_t *)(tile + (at & ~3u));

	return __funnelshift_r(w[0], w[1], 8 * (at & 3));
}

/* the scales of two rows; WORDS: rows are aligned to 4 and scales are f32 */
template <bool WORDS>
static __device__ __forceinline__ float2 scales_at(const tqc_plan &p, const uint8_t *tile, unsigned r0, unsigned r1)
{
	if (WORDS)
		return make_float2(*(const float *)(tile + r0), *(const float *)(tile + r1));
	uint32_t v = word_at(tile, r0), w = word_at(tile, r1);

	if (p.scale == F32)
		return make_float2(__uint_as_float(v), __uint_as_float(w));
	if (p.scale == BF16)
		return make_float2(__uint_as_float(v << 16), __uint_as_float(w << 16));
	return make_float2(__half2float(__ushort_as_half((unsigned short)v)),
			   __half2float(__ushort_as_half((unsigned short)w)));
}

/*
 * The levels of a plan in the form that a kernel of BITS looks up; BITS = 8 stands for 5 to 8. A table that
 * takes bytes() of shared memory would lie at its start (tcq_score.cuh).
 */
template <int BITS> struct level_table {
	uint32_t t[4];

	static __device__ __forceinline__ unsigned bytes(const tqc_plan &p)
	{
		return 0;
	}

	__device__ __forceinline__ void load(const tqc_plan &p, uint8_t *room)
	{
#pragma unroll
		for (int k = 0; k < (1 << (BITS < 5 ? BITS : 4)); k++)
			t[k / 4] |= (uint32_t)((p.odd[k] + 127) / 2) << 8 * (k & 3);
	}
};

/* Where a lane's codes begin in its row, per field of width 4 (8 for 8 bits), 2 and 1; shift of the 1 */
struct lane_fields {
	unsigned at4, at2, at1, shift1;
	bool has4, has2, has1, has8;
};

static __device__ __forceinline__ lane_fields find_fields(const tqc_plan &p, unsigned first)
{
	lane_fields f = {};

	for (unsigned i = 0; i < p.nsections; i++) {
		unsigned w = p.section[i].width, at = p.section[i].at + first * w / 8;

		if (w >= 4) {
			f.at4 = at;
			f.has4 = w == 4;
			f.has8 = w == 8;
		} else if (w == 2) {
			f.at2 = at;
			f.has2 = true;
		} else {
			f.at1 = at;
			f.shift1 = p.section[i].shift;
			f.has1 = true;
		}
	}
	return f;
}

/* The codes of one row that a lane reads, one step of 8 coordinates after the other; WORDS: aligned to 4 */
template <int BITS, bool WORDS> struct lane_row {
	const uint8_t *tile;
	unsigned row, shift;
	const uint32_t *next;
	uint32_t word;

	static __device__ __forceinline__ lane_fields find(const tqc_plan &p, unsigned first)
	{
		return find_fields(p, first);
	}

	__device__ __forceinline__ void begin(const uint8_t *t, unsigned at, const lane_fields &f)
	{
		tile = t;
		row = at;
		if (BITS != 4)
			return;
		next = (const uint32_t *)(tile + ((row + f.at4) & ~3u));
		shift = 8 * ((row + f.at4) & 3);
		if (!WORDS)
			word = *next++;
	}

	/* one-plane levels of step s: coordinates 0..3 in lo, 4..7 in hi */
	__device__ __forceinline__ void step(unsigned s, const lane_fields &f, const level_table<BITS> &l, uint32_t &lo,
					     uint32_t &hi)
	{
		uint32_t x;

		if (BITS == 4) {
			if (WORDS) {
				x = next[s];
			} else {
				uint32_t after = *next++;

				x = __funnelshift_r(word, after, shift);
				word = after;
			}
			uint32_t y = x ^ 0x88888888u;

			lo = prmt(l.t[0], l.t[1], x) | prmt(l.t[2], l.t[3], y);
			hi = prmt(l.t[0], l.t[1], x >> 16) | prmt(l.t[2], l.t[3], y >> 16);
			return;
		}
		if (BITS == 1) {
			x = spread1(tile[row + f.at1 + s]);
		} else {
			const uint8_t *at = tile + row + f.at2 + 2 * s;

			x = spread2(at[0] | at[1] << 8);
			if (BITS == 3)
				x |= spread1(tile[row + f.at1 + s]) << 2;
		}
		lo = prmt(l.t[0], l.t[1], x);
		hi = prmt(l.t[0], l.t[1], x >> 16);
	}

	/* two planes: registers for coordinates 0..3 and 4..7 */
	__device__ __forceinline__ void step_wide(unsigned s, const lane_fields &f, const uint16_t *table, uint32_t *low,
						  uint32_t *high)
	{
		uint32_t x4 = f.has4 ? word_at(tile, row + f.at4 + 4 * s) : 0, x2 = 0, x1 = 0;

		if (f.has2) {
			const uint8_t *at = tile + row + f.at2 + 2 * s;

			x2 = at[0] | at[1] << 8;
		}
		if (f.has1)
			x1 = tile[row + f.at1 + s];
#pragma unroll
		for (int h = 0; h < 2; h++) {
			uint32_t v[4];
#pragma unroll
			for (int i = 0; i < 4; i++) {
				int c = 4 * h + i;
				unsigned k = f.has8 ? tile[row + f.at4 + 8 * s + c] :
						      ((x4 >> 4 * c) & 15) | ((x2 >> 2 * c) & 3) << 4 |
							      ((x1 >> c) & 1) << f.shift1;

				v[i] = table[k];
			}
			uint32_t p01 = v[0] | v[1] << 16, p23 = v[2] | v[3] << 16;

			low[h] = prmt(p01, p23, 0x6420);
			high[h] = prmt(p01, p23, 0x7531);
		}
	}
};

/* What finishes the sums of one query: tq_score_finish() in its one order of operations */
struct finisher {
	float scale, add;
	long long bias; /* sum of q times the level of grid value 0 */
};

static __device__ __forceinline__ float finish_mma(const tqc_plan &p, float a, const finisher &f, float row_scale,
						   float cross)
{
	float s = (a * f.scale) * row_scale;

	if (p.center != CENTER_OFF)
		s = s + f.add;
	if (p.center == CENTER_BOTH)
		s = s + cross;
	return s;
}

/*
 * BITS: 1..4, or 8 for 5..8, or what tcq_score.cuh adds. NT: tiles of 8 columns. PQ: planes of the query, so 8 NT / PQ queries.
 * STEPS: S where it is known (the query then lives in registers), else 0. WORDS: see scales_at().
 * Shared memory: what level_table takes, query fragments (256 NT S bytes), then per warp the ring of tiles of @tile_room bytes.
 */
template <int BITS, int NT, int PQ, int STEPS, bool WORDS>
__device__ __forceinline__ void score_mma(const tqc_plan &p, const uint8_t *prepared, unsigned nq,
				 const uint8_t *codes, size_t n, float *scores, size_t ld,
				 const tqc_batch &batch, unsigned tile_room)
{
	constexpr int PA = BITS == 8 ? 2 : 1, Q = 8 * NT / PQ, OWN = 2 / PQ, STAGES = TQC_SCORE_STAGES(STEPS);
	extern __shared__ __align__(128) uint8_t smem[];
	__shared__ finisher finishers[Q];
	__shared__ uint16_t wide[BITS == 8 ? 256 : 1];
	const unsigned S = STEPS ? STEPS : (p.dim + 31) / 32, padded = (p.dim + 63) & ~63u, tile_bytes = 16 * p.row_bytes;
	const unsigned lane = threadIdx.x & 31, warp = threadIdx.x >> 5, warps = blockDim.x >> 5, g = lane >> 2, t = lane & 3;
	uint8_t *fragments = smem + level_table<BITS>::bytes(p), *ring = fragments + 256 * NT * S + warp * STAGES * tile_room;
	const unsigned ntiles = (unsigned)((n + 15) / 16), first = blockIdx.x * warps + warp, pace = gridDim.x * warps;
	const int top = p.planes == 2 ? 16383 : 127;
	uint2 bq[STEPS ? STEPS * NT : 1];

	prepared += blockIdx.y * batch.query_stride;
	codes += blockIdx.y * batch.code_stride;
	scores += blockIdx.y * batch.score_stride;

	auto fetch = [&](unsigned tile, unsigned slot) {
		uint8_t *to = ring + slot * tile_room;
		const uint8_t *from = codes + (size_t)tile * tile_bytes;

		if (tile + 1 < ntiles && STEPS && BITS % 16 == 4) {
			/* 64 to 96 pieces: d = 128 has 66 to 72 at 4 bits */
			to += 16 * lane;
			from += 16 * lane;
			async16(to, from);
			async16(to + 512, from + 512);
			if (lane + 64 < p.row_bytes)
				async16(to + 1024, from + 1024);
		} else if (tile + 1 < ntiles)
			warp_load_pieces(to, from, p.row_bytes);
		else if (tile < ntiles)
			warp_load(to, from, (unsigned)(n - (size_t)16 * tile) * p.row_bytes);
		async_commit();
	};
#pragma unroll
	for (int s = 0; s < STAGES - 1; s++)
		fetch(first + s * pace, s);

	for (unsigned i = threadIdx.x; i < 32 * NT * S; i += blockDim.x) {
		unsigned l = i & 31, j = (i >> 5) % NT, s = (i >> 5) / NT, column = 8 * j + (l >> 2), q = column / PQ;
		uint2 v = make_uint2(0, 0);

		if (q < nq)
			v = *(const uint2 *)(prepared + (size_t)q * p.query_bytes + sizeof(tqc_query_head) +
					     column % PQ * padded + 8 * ((l & 3) * S + s));
		*(uint2 *)(fragments + 8 * i) = v;
	}
	if (threadIdx.x < Q) {
		const tqc_query_head *h = (const tqc_query_head *)(prepared + (size_t)threadIdx.x * p.query_bytes);
		finisher f = {};

		if (threadIdx.x < nq)
			f = finisher{ h->scale, h->add, (long long)top * h->sum };
		finishers[threadIdx.x] = f;
	}
	level_table<BITS> levels = {};
	if constexpr (BITS == 8) {
		for (unsigned k = threadIdx.x; k < 256; k += blockDim.x) {
			unsigned grid = k < p.count ? (unsigned)(p.odd[k] + top) / 2 : 0;

			wide[k] = (uint16_t)((grid >> 7) << 8 | (grid & 127));
		}
	} else {
		levels.load(p, smem);
	}
	__syncthreads();
	if (STEPS) {
#pragma unroll
		for (int i = 0; i < STEPS * NT; i++)
			bq[i] = *(const uint2 *)(fragments + 8 * (32 * i + lane));
	}

	/* a lane's queries: OWN of each tile of columns; in registers where these are few */
	auto query_of = [&](int j, int i) { return 8 * j / PQ + OWN * t + i; };
	finisher mine[NT <= 2 ? NT * OWN : 1];

	if (NT <= 2)
#pragma unroll
		for (int i = 0; i < NT * OWN; i++)
			mine[i] = finishers[query_of(i / OWN, i % OWN)];

	const auto fields = lane_row<BITS, WORDS>::find(p, 8 * t * S);
	const unsigned r0 = g * p.row_bytes, r1 = r0 + 8 * p.row_bytes;
	const unsigned rows = (unsigned)n;
	float *out = scores + (size_t)(OWN * t) * ld + 16 * (size_t)first + g;
	unsigned slot = 0;

	for (unsigned tile = first; tile < ntiles; tile += pace) {
		const uint8_t *at = ring + slot * tile_room;
		lane_row<BITS, WORDS> row0, row1;
		int c[PA][NT][4] = {};

		async_wait<STAGES - 2>();
		__syncwarp();
		fetch(tile + (STAGES - 1) * pace, slot ? slot - 1 : STAGES - 1);
		row0.begin(at, r0, fields);
		row1.begin(at, r1, fields);
		auto product = [&](unsigned s) {
			uint32_t a[PA][4];

			if constexpr (BITS == 8) {
				uint32_t low0[2], high0[2], low1[2], high1[2];

				row0.step_wide(s, fields, wide, low0, high0);
				row1.step_wide(s, fields, wide, low1, high1);
				a[0][0] = low0[0];
				a[0][1] = low1[0];
				a[0][2] = low0[1];
				a[0][3] = low1[1];
				a[PA - 1][0] = high0[0];
				a[PA - 1][1] = high1[0];
				a[PA - 1][2] = high0[1];
				a[PA - 1][3] = high1[1];
			} else {
				row0.step(s, fields, levels, a[0][0], a[0][2]);
				row1.step(s, fields, levels, a[0][1], a[0][3]);
			}
#pragma unroll
			for (int j = 0; j < NT; j++) {
				uint2 b = STEPS ? bq[STEPS ? s * NT + j : 0] : *(const uint2 *)(fragments + 8 * (32 * (s * NT + j) + lane));
#pragma unroll
				for (int h = 0; h < PA; h++)
					mma(c[h][j], a[h], b);
			}
		};
		if (STEPS) {
#pragma unroll
			for (int s = 0; s < STEPS; s++)
				product(s);
		} else {
#pragma unroll 4
			for (unsigned s = 0; s < S; s++)
				product(s);
		}

		float2 scale = scales_at<WORDS>(p, at, r0, r1);
		float cross0 = 0.0f, cross1 = 0.0f;

		if (p.center == CENTER_BOTH) {
			cross0 = __uint_as_float(word_at(at, r0 + p.cross_at));
			cross1 = __uint_as_float(word_at(at, r1 + p.cross_at));
		}
		const bool low = 16 * tile + g < rows, high = 16 * tile + g + 8 < rows;
#pragma unroll
		for (int j = 0; j < NT; j++)
#pragma unroll
			for (int i = 0; i < 4; i += PQ) {
				int k = PQ == 1 ? i & 1 : 0;
				const finisher f = NT <= 2 ? mine[NT <= 2 ? j * OWN + k : 0] : finishers[query_of(j, k)];
				float a;

				if (PA == 1 && PQ == 1) {
					a = (float)(2 * c[0][j][i] - (int)f.bias);
				} else {
					long long sum = 0;
#pragma unroll
					for (int h = PA - 1; h >= 0; h--) {
						long long part = c[h][j][i];

						if (PQ == 2)
							part = 128 * part + c[h][j][i + PQ - 1];
						sum = 128 * sum + part;
					}
					a = (float)(2 * sum - f.bias);
				}
				float v = finish_mma(p, a, f, i & 2 ? scale.y : scale.x, i & 2 ? cross1 : cross0);

				if (query_of(j, k) < nq && (i & 2 ? high : low))
					out[(size_t)(8 * j / PQ + k) * ld + (i & 2 ? 8 : 0)] = v;
			}
		__syncwarp();
		out += 16 * pace;
		slot = slot + 1 == STAGES ? 0 : slot + 1;
	}
	async_wait<0>();
}

#define TQC_SCORE_KERNEL(name, bits, nt, pq, steps, words)                                                              \
	extern "C" __global__ void __launch_bounds__(256) name(                                                         \
		tqc_plan p, const uint8_t *prepared, unsigned nq, const uint8_t *codes, size_t n, float *scores,        \
		size_t ld, tqc_batch batch, unsigned tile_room)                                                         \
	{                                                                                                               \
		score_mma<bits, nt, pq, steps, words>(p, prepared, nq, codes, n, scores, ld, batch, tile_room);         \
	}
