/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attention where the coded part of a key is the value too, and a further part of it stays in 16 bits (MLA: a
 * latent of 512 coordinates, 64 rotary ones): codes are read and decoded once.
 *
 * A tile (kv_tile.cuh) has key codes and key scales alone, then the raw part as the fragments of mma.m16n8k16
 * want it: word r of lane 4 g + t, step and half: token 16 * half + g + 8 * (r & 1), coordinates
 * 16 * step + 2 * t + 8 * (r >> 1) and the next.
 *
 * A gang is four units, sixteen query rows of one KV head: what many query heads have in common is read once for
 * all of them. A block of eight warps takes a run of tiles of a gang; a warp has two steps of coordinates, an
 * eighth, of all tokens: sums of its part of the scores go through shared memory, and integers make them exact in
 * any order. Its part of the values is that of the keys, transposed: movmatrix moves pairs of coordinates to the
 * lanes of tokens, prmt parts them.
 *
 * All warps meet twice a tile: when its scores are there, and when its weights are; values of a tile and scores of the
 * next lie between. A third time when weights do not fit the limits of some row; then that row alone is flushed.
 *
 * Threads 16 r .. 16 r + 15 have the softmax of row r, two tokens of a tile each: kv_attend.cuh says what @top,
 * @most and the planes of weights are. @most leaves room for weights twice those seen, so that it seldom rises.
 */
#pragma once
#include "kv_attend.cuh"

#define TQC_MLA_DIM 512
#define TQC_MLA_RAW 64
#define TQC_MLA_PITCH 40 /* of rows of 32 scores: no bank conflicts */

/* How the raw part of a query becomes part of the logit */
static __device__ __forceinline__ float *raw_factor(uint8_t *queries, unsigned d, unsigned raw)
{
	return (float *)(queries + unit_bytes(d, 0) + 16 * raw);
}

/* A query's raw part as two planes of 16 bits whose sum it is but for 2^-16 of its largest */
static __device__ void raw_query(const tqc_attend &a, unsigned d, size_t at, bool none, uint8_t *queries, unsigned q,
				 float *x, unsigned *box)
{
	unsigned short *high = (unsigned short *)(queries + unit_bytes(d, 0)) + 2 * q * a.raw_dim, *low = high + a.raw_dim;

	__syncthreads();
	for (unsigned i = threadIdx.x; i < a.raw_dim; i += blockDim.x)
		x[i] = none ? 0.0f : load_element(a.query, a.dtype, at + i);
	__syncthreads();
	int e = block_exponent(x, a.raw_dim, box);

	for (unsigned i = threadIdx.x; i < a.raw_dim; i += blockDim.x) {
		float v = scale_down(x[i], e);

		store_element(high, a.raw_type, i, v);
		store_element(low, a.raw_type, i, v - load_element(high, a.raw_type, i));
	}
	if (threadIdx.x == 0)
		raw_factor(queries, d, a.raw_dim)[q] = scale_up(a.scale, e);
}

/* A key's raw part into its tile */
static __device__ void raw_append(const tqc_append &a, const uint8_t *x, size_t at, uint8_t *tile, unsigned token)
{
	unsigned short *to = (unsigned short *)(tile + a.raw_at);

	for (unsigned i = threadIdx.x; i < a.raw_dim; i += blockDim.x) {
		unsigned step = i / 16, lane = 4 * (token & 7) + (i / 2 & 3), r = (token >> 3 & 1) + 2 * (i / 8 & 1);
		unsigned place = ((token / 16 * (a.raw_dim / 16) + step) * 32 + lane) * 8 + 2 * r + (i & 1);

		store_element(to, a.raw_type, place, load_element(x, a.dtype, at + i));
	}
}

static __device__ __forceinline__ void mma_raw(float (&c)[4], uint4 a, uint2 b, bool bf16)
{
	if (bf16)
		asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
		    : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
		    : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "r"(b.x), "r"(b.y));
	else
		asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
		    : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
		    : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "r"(b.x), "r"(b.y));
}

static __device__ __forceinline__ uint32_t transposed(uint32_t x)
{
	uint32_t y;

	asm("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(y) : "r"(x));
	return y;
}

/* of tokens 2 * l and 2 * l + 1 */
static __device__ __forceinline__ void two_scales(const uint8_t *scales, int type, unsigned l, float (&s)[2])
{
	const unsigned place = 8 * (l & 3) + (l >> 2);

	if (type == F32) {
		s[0] = ((const float *)scales)[place];
		s[1] = ((const float *)scales)[place + 4];
	} else {
		const uint16_t *at = (const uint16_t *)scales + place;

		s[0] = type == BF16 ? __uint_as_float((uint32_t)at[0] << 16) : __half2float(__ushort_as_half(at[0]));
		s[1] = type == BF16 ? __uint_as_float((uint32_t)at[4] << 16) : __half2float(__ushort_as_half(at[4]));
	}
}

/* over the sixteen lanes of a row */
static __device__ __forceinline__ float half_max(float v)
{
	for (int h = 8; h; h >>= 1)
		v = fmaxf(v, __shfl_xor_sync(~0u, v, h));
	return v;
}

template <class T> static __device__ __forceinline__ T half_sum(T v)
{
	for (int h = 8; h; h >>= 1)
		v += __shfl_xor_sync(~0u, v, h);
	return v;
}

/* What a flush needs to know of a row */
struct mla_flush {
	float unit, factor; /* unit < 0: nothing to do */
	int high, low;
};

template <int BITS> struct mla_shared {
	static constexpr unsigned TILE = (4 * TQC_MLA_DIM * BITS + 128 + 64 * TQC_MLA_RAW + 127) / 128 * 128;

	uint8_t ring[TQC_KV_STAGES][TILE];
	uint2 query[2][4][256]; /* a thread's fragments of the planes */
	float whole[32][256];	/* and its sums that were flushed */
	int score[8][16 * TQC_MLA_PITCH];
	float raw[16 * TQC_MLA_PITCH];
	uint8_t weight[4][8][32]; /* by columns, lanes' tokens side by side */
	mla_flush flush[16];
};

/* integers to floats: kv_attend.cuh's attend_state::flush() */
template <int BITS>
static __device__ __forceinline__ void mla_flush_all(mla_shared<BITS> &m, int (&acc)[4][4][4], unsigned t)
{
#pragma unroll
	for (int q = 0; q < 4; q++) {
		const mla_flush f = m.flush[4 * q + t];

		if (f.unit < 0.0f)
			continue;
#pragma unroll
		for (int i = 0; i < 4; i++)
#pragma unroll
			for (int k = 0; k < 2; k++) {
				float v = (float)(2 * acc[i][q][2 * k] - f.high) * 256.0f + (float)(2 * acc[i][q][2 * k + 1] - f.low);
				float *whole = &m.whole[8 * q + 2 * i + k][threadIdx.x];

				*whole = (*whole + v * f.unit) * f.factor;
				acc[i][q][2 * k] = acc[i][q][2 * k + 1] = 0;
			}
	}
}

/* grid: gangs of a head x splits x heads x sequences */
template <int BITS> static __device__ __forceinline__ void mla_attend(const tqc_attend &a)
{
	constexpr unsigned D = TQC_MLA_DIM, RAW = TQC_MLA_RAW, STAGES = TQC_KV_STAGES;
	extern __shared__ __align__(128) uint8_t smem[];
	mla_shared<BITS> &m = *(mla_shared<BITS> *)smem;
	let_next_begin();
	const unsigned lane = threadIdx.x & 31, warp = threadIdx.x >> 5, g = lane >> 2, t = lane & 3;
	const unsigned gangs = a.passes / 4, gang = blockIdx.x % gangs, split = blockIdx.x / gangs % a.splits;
	const size_t unit = (size_t)(blockIdx.x / gangs / a.splits) * a.passes + 4 * gang;
	const unit_place u(a, (unsigned)unit);
	const unsigned length = a.lengths[u.sequence];
	auto end_of = [&](unsigned row) {
		unsigned behind = a.tokens - 1 - min(row / a.group, a.tokens - 1);

		return length > behind ? length - behind : 0;
	};
	auto start_of = [&](unsigned end) { return a.window && end > a.window ? end - a.window : 0; };
	/* what this thread's row of the softmax sees */
	const unsigned mine = threadIdx.x >> 4, l = threadIdx.x & 15;
	const unsigned to = end_of(u.row + mine), from = start_of(to), begin = start_of(end_of(u.row)) / TQC_TILE_TOKENS;
	const unsigned tiles = (end_of(u.row + 15) + TQC_TILE_TOKENS - 1) / TQC_TILE_TOKENS, n = tiles > begin ? tiles - begin : 0;
	/* all rows see the tokens plain_from .. plain_to - 1; a cap changes all logits */
	const unsigned plain_to = a.cap > 0.0f ? 0 : end_of(u.row), plain_from = start_of(end_of(u.row + 15));
	unsigned tile = begin + (unsigned)((uint64_t)n * split / a.splits);
	const unsigned last = begin + (unsigned)((uint64_t)n * (split + 1) / a.splits);

	const uint8_t *pages = a.pages + u.head * (size_t)a.tile_bytes * (1u << a.tile_shift);
	const uint32_t *table = a.table + u.sequence * a.table_stride;
	constexpr unsigned TILE = mla_shared<BITS>::TILE;
	unsigned next = tile, page = next < last ? __ldg(table + (next >> a.tile_shift)) : 0;
	auto fetch = [&](unsigned slot) {
		if (next < last) {
			const uint8_t *at = pages + page * a.page_bytes + (next & ((1u << a.tile_shift) - 1)) * (size_t)a.tile_bytes;

#pragma unroll
			for (unsigned i = 0; i < TILE / 16; i += 256)
				if (i + 256 <= TILE / 16 - 8 || 16 * (i + threadIdx.x) < a.tile_bytes)
					async16(m.ring[slot] + 16 * (i + threadIdx.x), at + 16 * (i + threadIdx.x));
			if (++next < last)
				page = __ldg(table + (next >> a.tile_shift));
		}
		async_commit();
	};
#pragma unroll
	for (unsigned s = 0; s < STAGES; s++)
		fetch(s);

	wait_for_previous();
	const size_t stride = unit_bytes(D, RAW);
	const uint8_t *queries = a.queries + unit * stride;
	const query_scale scale = ((const query_scale *)(queries + (mine >> 2) * stride + 8 * D))[mine & 3];
	const float rscale = raw_factor((uint8_t *)queries + (mine >> 2) * stride, D, RAW)[mine & 3];

#pragma unroll
	for (int i = 0; i < 2; i++)
#pragma unroll
		for (int q = 0; q < 4; q++)
			m.query[i][q][threadIdx.x] = *(const uint2 *)(queries + q * stride + g * D + t * (D / 4) + 8 * (2 * warp + i));
	/* the raw part: a half of the tokens, a unit of the queries */
	const unsigned half = warp & 1, raw_unit = warp >> 1;
	uint2 raw_q[RAW / 16];
#pragma unroll
	for (int s = 0; s < (int)RAW / 16; s++) {
		const uint32_t *at = (const uint32_t *)(queries + raw_unit * stride + unit_bytes(D, 0)) + (g * RAW + 16 * s) / 2 + t;

		raw_q[s] = make_uint2(at[0], at[4]);
	}
#pragma unroll
	for (int i = 0; i < 32; i++)
		m.whole[i][threadIdx.x] = 0.0f;

	int acc[4][4][4] = {};
	float top = TQC_NOTHING, most = 0.0f, sum = 0.0f, inv = 0.0f, unit_of = 0.0f;
	unsigned high = 0, low = 0, slot = 0, since = 0;

	/* scores of a tile's tokens to shared memory, its levels to the fragments of values */
	uint32_t f[2][2][4];
	auto score = [&](const uint8_t *at) {
		{
			int c[4][2][4] = {};

#pragma unroll
			for (int i = 0; i < 2; i++) {
				uint32_t w[4], x[2][4], y[4];

				load_words<D, BITS>(at, 2 * warp + i, lane, w);
#pragma unroll
				for (int r = 0; r < 4; r++)
					word_levels<BITS>(w[r], a.key_levels, x[0][r], x[1][r]);
				const uint32_t first[4] = { x[0][0], x[0][1], x[1][0], x[1][1] }, second[4] = { x[0][2], x[0][3], x[1][2], x[1][3] };
#pragma unroll
				for (int q = 0; q < 4; q++) {
					uint2 b = m.query[i][q][threadIdx.x];

					mma_key(c[q][0], first, b);
					mma_key(c[q][1], second, b);
				}
#pragma unroll
				for (int h = 0; h < 2; h++) {
#pragma unroll
					for (int r = 0; r < 4; r++)
						y[r] = transposed(x[h][r]);
					f[i][h][0] = prmt(y[0], y[1], 0x6420);
					f[i][h][1] = prmt(y[0], y[1], 0x7531);
					f[i][h][2] = prmt(y[2], y[3], 0x6420);
					f[i][h][3] = prmt(y[2], y[3], 0x7531);
				}
			}
#pragma unroll
			for (int q = 0; q < 4; q++)
#pragma unroll
				for (int j = 0; j < 4; j++)
					m.score[warp][(4 * q + t) * TQC_MLA_PITCH + g + 8 * j] =
						(int)(256u * (unsigned)c[q][j / 2][2 * (j & 1)] + 2u * (unsigned)c[q][j / 2][2 * (j & 1) + 1]);
		}
		{
			float c[4] = {};

#pragma unroll
			for (int s = 0; s < (int)RAW / 16; s++)
				mma_raw(c, ((const uint4 *)(at + a.raw_at))[(half * (RAW / 16) + s) * 32 + lane], raw_q[s],
					a.raw_type == BF16);
			m.raw[(4 * raw_unit + t) * TQC_MLA_PITCH + 16 * half + g] = c[0] + c[1];
			m.raw[(4 * raw_unit + t) * TQC_MLA_PITCH + 16 * half + g + 8] = c[2] + c[3];
		}
	};

	async_wait<STAGES - 1>();
	__syncthreads();
	if (tile < last)
		score(m.ring[0]);
	for (; tile < last; tile++) {
		const uint8_t *at = m.ring[slot];

		__syncthreads();
		const unsigned place = mine * TQC_MLA_PITCH + 2 * l;
		uint2 total = make_uint2((unsigned)scale.bias, (unsigned)scale.bias);
		const float2 r = *(const float2 *)(m.raw + place);
		float z[2], s[2], e[2], v[2];

#pragma unroll
		for (int i = 0; i < 8; i++) {
			uint2 x = *(const uint2 *)(m.score[i] + place);

			total.x += x.x;
			total.y += x.y;
		}
		two_scales(at + a.key_scale_at, a.key_scale, l, s);
		z[0] = (float)(int)total.x * scale.factor * s[0] + r.x * rscale;
		z[1] = (float)(int)total.y * scale.factor * s[1] + r.y * rscale;
		if (TQC_TILE_TOKENS * (tile + 1) > plain_to || TQC_TILE_TOKENS * tile < plain_from)
#pragma unroll
			for (int j = 0; j < 2; j++) {
				unsigned k = TQC_TILE_TOKENS * tile + 2 * l + j;

				if (a.cap > 0.0f)
					z[j] = cap_logit(z[j] + scale.add, a.cap);
				if (k < from || k >= to) {
					z[j] = -INFINITY;
					s[j] = 0.0f;
				}
			}
#pragma unroll
		for (int j = 0; j < 2; j++) {
			e[j] = exp2_fast(z[j] - top);
			v[j] = e[j] * s[j];
		}
		/* 2^23 + units: the number's low bits */
		auto put_weights = [&]() {
			uint32_t x = __float_as_uint(__fmaf_rn(v[0], inv, 8388608.0f)), y = __float_as_uint(__fmaf_rn(v[1], inv, 8388608.0f));
			uint32_t b = prmt(x, y, 0x4501); /* high, low; high, low */
			uint8_t *to_high = &m.weight[mine >> 2][2 * (mine & 3)][8 * (l & 3) + 2 * (l >> 2)];

			*(unsigned short *)to_high = (unsigned short)prmt(b, 0, 0x4420);
			*(unsigned short *)(to_high + 32) = (unsigned short)prmt(b, 0, 0x4431);
			return b;
		};
		uint32_t planes = put_weights();
		bool over = !(fmaxf(v[0], v[1]) <= most) || fmaxf(e[0], e[1]) > 1048576.0f || since == TQC_FLUSH_TILES;

		async_wait<STAGES - 2>();
		if (__syncthreads_or(over)) {
			/* no shuffles where the rows of a warp part */
			const bool raise = half_max(over ? 1.0f : 0.0f) > 0.0f;
			const float up = fmaxf(top, half_max(fmaxf(z[0], z[1]))), factor = exp2_fast(top - up);
			const mla_flush f0 = { raise ? unit_of : -1.0f, factor, 127 * (int)half_sum(high), 127 * (int)half_sum(low) };

			if (raise) {
				high = low = 0;
				since = 0;
				sum *= factor;
				most *= factor;
				top = up;
#pragma unroll
				for (int j = 0; j < 2; j++) {
					e[j] = exp2_fast(z[j] - top);
					v[j] = e[j] * s[j];
				}
			}
			const float largest = half_max(fmaxf(v[0], v[1]));

			if (raise) {
				most = largest > most ? 2.0f * largest : most;
				inv = most >= 1e-30f ? 65535.0f / most : 0.0f;
				unit_of = most * (1.0f / 65535.0f);
				planes = put_weights();
			}
			if (l == 0)
				m.flush[mine] = f0;
			__syncthreads();
			mla_flush_all<BITS>(m, acc, t);
		}
		fetch(slot);
		since++;
		sum += e[0] + e[1];
		if (a.page_mass) {
			const float part = half_sum(e[0] + e[1]);

			if (l == 0 && tile < a.mass_tiles)
				((float2 *)a.tile_mass)[((unit + mine / 4) * a.mass_tiles + tile) * 4 + (mine & 3)] =
					make_float2(top + (a.cap > 0.0f ? 0.0f : scale.add), part);
		}
		high += (planes & 255) + (planes >> 16 & 255);
		low += (planes >> 8 & 255) + (planes >> 24);
#pragma unroll
		for (int q = 0; q < 4; q++) {
			uint2 b = *(const uint2 *)&m.weight[q][g][8 * t];

#pragma unroll
			for (int i = 0; i < 4; i++)
				mma_value(acc[i][q], f[i / 2][i & 1], b);
		}
		slot = slot + 1 == STAGES ? 0 : slot + 1;
		if (tile + 1 < last)
			score(m.ring[slot]);
	}
	async_wait<0>();
	__syncthreads();
	mla_flush f0 = { unit_of, 1.0f, 127 * (int)half_sum(high), 127 * (int)half_sum(low) };

	sum = half_sum(sum);
	if (l == 0) {
		m.flush[mine] = f0;
		/* a number that all logits have in common only moves the top */
		((float2 *)a.tops)[4 * ((unit + mine / 4) * a.splits + split) + (mine & 3)] =
			make_float2(top + (a.cap > 0.0f ? 0.0f : scale.add), sum);
	}
	__syncthreads();
	mla_flush_all<BITS>(m, acc, t);
#pragma unroll
	for (int q = 0; q < 4; q++)
#pragma unroll
		for (int i = 0; i < 4; i++) {
			unsigned at = (g >> 1) * (D / 4) + 8 * (2 * warp + i / 2) + 4 * (i & 1) + 2 * (g & 1);

			*(float2 *)(a.sums + (4 * ((unit + q) * a.splits + split) + t) * D + at) =
				make_float2(m.whole[8 * q + 2 * i][threadIdx.x], m.whole[8 * q + 2 * i + 1][threadIdx.x]);
		}
}

#define TQC_KV_MLA_KERNEL(name, bits)                                                                                    \
	extern "C" __global__ void __launch_bounds__(256, 2) name(tqc_attend a)                                          \
	{                                                                                                               \
		mla_attend<bits>(a);                                                                                    \
	}
