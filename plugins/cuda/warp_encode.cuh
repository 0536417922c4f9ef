/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Encode, rht of any dimension from 64 on, levels of 1 to 8 bits, effort 0 or 1, no sketch: a warp to a tile of rows
 * (warp_rht.cuh). Half a warp takes the coordinates of a row 16 at a time, so that a thread has a lane of dot16.
 *
 * As in encode_rht.cuh rows are not scaled to [1, 2) if they need not be: those longer than 2^35 or shorter than
 * 2^-35, or with an element below 2^-40 of the row's largest, are.
 *
 * Levels are symmetric, so that magnitudes are compared: y < 0 reaches the level -o if -y > t, y >= 0 the level o if
 * y >= t, which for the floats of -y is: the one before it >= t.
 */
#pragma once
#include "warp_rht.cuh"

/* The block's tables */
struct warp_levels {
	const tqc_step *step;
	const tqc_magnitude *magnitude;
	uint32_t half, top; /* levels above 0; the last bucket's place as a float's bits */
};

static __device__ __forceinline__ float warp_element(uint32_t pair, int upper, int dtype)
{
	if (dtype == BF16)
		return __uint_as_float(upper ? pair & 0xffff0000u : pair << 16);
	return __half2float(__ushort_as_half((unsigned short)(upper ? pair >> 16 : pair)));
}

/* Rows of whole pieces of 16 bytes to the tile, four pieces of a thread under way at a time */
static __device__ __forceinline__ void load_pieces(const tqc_plan &p, const tqc_warp &w, const uint8_t *x, int dtype, size_t bytes,
						   unsigned left, float *y)
{
	const unsigned share = dtype == F32 ? 4 : 8, each = p.dim / share, total = left * each, by = ~0u / each + 1;

#pragma unroll 1
	for (unsigned i = threadIdx.x & 31; i < total; i += 128) {
		uint4 piece[4];
		float *to[4];

#pragma unroll
		for (int k = 0; k < 4; k++) {
			unsigned at = i + 32 * k, row = __umulhi(at, by), column = share * (at - row * each);

			if (at >= total)
				continue;
			to[k] = y + row * w.pitch + column + (TQC_CHUNK_PITCH - 32) * (column / 32);
			piece[k] = *(const uint4 *)(x + row * bytes + 16 * (at - row * each));
		}
#pragma unroll
		for (int k = 0; k < 4; k++) {
			uint4 v = piece[k];

			if (i + 32 * k >= total)
				continue;
			if (dtype == F32) {
				*(uint4 *)to[k] = v;
			} else {
				*(float4 *)to[k] = make_float4(warp_element(v.x, 0, dtype), warp_element(v.x, 1, dtype),
							       warp_element(v.y, 0, dtype), warp_element(v.y, 1, dtype));
				*(float4 *)(to[k] + 4) = make_float4(warp_element(v.z, 0, dtype), warp_element(v.z, 1, dtype),
								     warp_element(v.w, 0, dtype), warp_element(v.w, 1, dtype));
			}
		}
	}
}

static __device__ __forceinline__ void load_elements(const tqc_plan &p, const tqc_warp &w, const uint8_t *x, int dtype, size_t bytes,
						     unsigned left, float *y)
{
#pragma unroll 1
	for (unsigned row = 0; row < left; row++)
#pragma unroll 4
		for (unsigned i = threadIdx.x & 31; i < p.dim; i += 32)
			y[row * w.pitch + place_of(i)] = load_element(x + row * bytes, dtype, i);
}

/* f(value, coordinate) of this thread's coordinates of a row whose chunks lie in order */
template <class F> static __device__ __forceinline__ void each_of_row(float *row, unsigned d, F f)
{
	float *at = row + (threadIdx.x & 15);
	unsigned i = threadIdx.x & 15;

#pragma unroll 4
	for (unsigned c = d / 32; c > 0; c--) {
		f(at[0], i);
		f(at[16], i + 16);
		at += TQC_CHUNK_PITCH;
		i += 32;
	}
	if (i < d)
		f(at[0], i);
	if (i + 16 < d)
		f(at[16], i + 16);
}

/* Off with the centre, norms, and scaling where it is needed */
static __device__ __forceinline__ void measure_rows(const tqc_plan &p, const tqc_warp &w, const warp_room &room)
{
	const unsigned half = threadIdx.x >> 4 & 1, d = p.dim;

#pragma unroll 1
	for (unsigned r = 0; r < w.rows; r += 2) {
		bool mine = r + half < w.rows;
		float *row = room.y + (mine ? r + half : r) * w.pitch, norm2 = 0.0f, cross = 0.0f, least = 3e38f;
		int power = 0;

		if (p.center != CENTER_OFF) {
			each_of_row(row, d, [&](float &v, unsigned i) { cross = cross + v * p.centre[i]; });
			cross = sum16(cross);
			if (mine)
				each_of_row(row, d, [&](float &v, unsigned i) { v = v - p.centre[i]; });
		}
		each_of_row(row, d, [&](float &v, unsigned) {
			norm2 = norm2 + v * v;
			least = fminf(least, fabsf(v));
		});
		norm2 = sum16(norm2);
		least = least * pow2(38);
		if (!__all_sync(~0u, norm2 >= pow2(-70) && norm2 <= pow2(70) && least * least >= norm2)) {
			unsigned top = 0;

			each_of_row(row, d, [&](float &v, unsigned) { top = max(top, __float_as_uint(v) & 0x7fffffffu); });
			for (int h = 8; h; h >>= 1)
				top = max(top, __shfl_xor_sync(~0u, top, h, 16));
			power = !top ? 0 : top >= 0x00800000u ? (int)(top >> 23) - 127 : -118 - __clz(top);
			if (mine)
				each_of_row(row, d, [&](float &v, unsigned) { v = scale_down(v, power); });
			norm2 = 0.0f;
			each_of_row(row, d, [&](float &v, unsigned) { norm2 = norm2 + v * v; });
			norm2 = sum16(norm2);
		}
		if (mine && (threadIdx.x & 15) == 0)
			room.note[r + half] = { norm2, cross, power, 0 };
	}
	__syncwarp();
}

/* A coordinate as it is compared */
struct warp_value {
	float magnitude;
	int negative; /* 0 or -1 */

	__device__ __forceinline__ warp_value(float y)
	{
		unsigned b = __float_as_uint(y);

		negative = (int)b >> 31;
		magnitude = __uint_as_float((b & 0x7fffffffu) + negative);
	}
};

/* The number of its level among those above 0, thresholds times @r; @unit: buckets over r */
static __device__ __forceinline__ unsigned magnitude_index(const warp_levels &t, float magnitude, float r, float unit)
{
	float place = fminf(__fmaf_rn(magnitude, unit, 12582912.0f + 4), __uint_as_float(t.top));
	tqc_step s = *(const tqc_step *)((const char *)t.step + (__float_as_uint(place) & 0x3ffff8));

	return s.below + (magnitude >= s.bound * r);
}

/* Sums over the levels of a thread's coordinates: integers, exact as a float if levels have one plane */
template <int PLANES> struct level_sum {
	float plain = 0.0f;
	unsigned long long wide = 0;

	__device__ __forceinline__ void add(float odd)
	{
		if (PLANES == 1) {
			plain = __fmaf_rn(odd, odd, plain);
		} else {
			unsigned o = __float_as_uint(odd + 8388608.0f) & 0x7fffffu;

			wide += (unsigned long long)o * o;
		}
	}

	/* over the half warp, rounded once */
	__device__ __forceinline__ float total(void)
	{
		unsigned long long sum = PLANES == 1 ? (unsigned)plain : wide;

		for (int h = 8; h; h >>= 1)
			sum += __shfl_xor_sync(~0u, sum, h, 16);
		return (float)(long long)sum;
	}
};

/* What a row's coordinates become: f(value, index of coordinate) in batches of 4 chunks, of which all are loaded first */
template <class F>
static __device__ __forceinline__ void each_batch(const tqc_warp &w, float *row, unsigned base, unsigned d, F f)
{
	const unsigned lane = threadIdx.x & 15;

#pragma unroll 1
	for (unsigned c = 0; c < w.chunks; c += 4) {
		float v[8], *at[4];

#pragma unroll
		for (int k = 0; k < 4; k++) {
			unsigned slot = slot_of(w, base, c + k < w.chunks ? c + k : c);

			at[k] = row + TQC_CHUNK_PITCH * slot;
			v[2 * k] = at[k][lane];
			v[2 * k + 1] = at[k][lane + 16];
		}
		f(v, at, 32 * c + lane, 32 * (c + 4) <= d);
	}
}

/* effort 1: the multiplier of the thresholds with the best cosine; from one to the next a level can only fall */
template <int PLANES>
static __device__ __forceinline__ float warp_multiplier(const tqc_plan &p, const tqc_warp &w, const warp_levels &t, float *row,
							unsigned base, float r, float lift)
{
	const float first = r * 0.75f, unit = __fdividef(w.unit, first);
	level_sum<PLANES> cc[17];
	float yc[17] = {};

	each_batch(w, row, base, p.dim, [&](const float (&v)[8], float *const (&)[4], unsigned i, bool) {
#pragma unroll 1
		for (int k = 0; k < 8; k++, i += 16) {
			float y = v[0] + lift;

#pragma unroll
			for (int j = 1; j < 8; j++)
				y = k == j ? v[j] + lift : y;
			if (i >= p.dim)
				break;
			warp_value a(y);
			unsigned m = magnitude_index(t, a.magnitude, first, unit);
			tqc_magnitude l = t.magnitude[m];
			float product = fabsf(y) * l.odd;

#pragma unroll
			for (int j = 0; j < 17; j++) {
				float rr = r * (0.75f + (float)j / 32.0f);

				while (j && a.magnitude < l.bound * rr) {
					l = t.magnitude[--m];
					product = fabsf(y) * l.odd;
				}
				yc[j] = yc[j] + product;
				cc[j].add(l.odd);
			}
		}
	});
	float top = -1.0f, best = 0.0f;

#pragma unroll
	for (int j = 0; j < 17; j++) {
		float sum = sum16(yc[j]), squares = cc[j].total(), quality = sum > 0.0f ? (sum * sum) / squares : 0.0f;

		if (quality > top) {
			top = quality;
			best = (float)j;
		}
	}
	return r * (0.75f + best / 32.0f);
}

/* Indices, a byte each, in the place of the coordinates of their chunk; scales into the staged rows */
template <int PLANES, bool SEARCH>
static __device__ __forceinline__ void quantize_rows(const tqc_plan &p, const tqc_warp &w, const warp_levels &t, const warp_room &room,
						     unsigned base, uint8_t *stage)
{
	const unsigned half = threadIdx.x >> 4 & 1, d = p.dim;
	const bool fit = p.correction >= CORR_NORM && p.correction <= CORR_UNBIASED;

#pragma unroll 1
	for (unsigned r2 = 0; r2 < w.rows; r2 += 2) {
		const bool mine = r2 + half < w.rows;
		const unsigned number = mine ? r2 + half : r2;
		float *row = room.y + number * w.pitch;
		const warp_note note = room.note[number];
		/* thresholds of a zero row are 0, which its coordinates reach; and 0 has no sign */
		const bool zero = !(note.norm2 > 0.0f);
		const float r = sqrtf(note.norm2 / (float)d), lift = zero ? 1.0f : 0.0f;
		const float rr = SEARCH ? warp_multiplier<PLANES>(p, w, t, row, base, zero ? 1.0f : r, lift) : r;
		const float unit = zero ? 1e30f : __fdividef(w.unit, rr);
		level_sum<PLANES> cc;
		float yc = 0.0f;

		each_batch(w, row, base, d, [&](const float (&v)[8], float *const (&at)[4], unsigned i, bool whole) {
			uint8_t index[8];

			auto take = [&](int k) {
				float y = v[k] + lift;
				warp_value a(y);
				unsigned m = magnitude_index(t, a.magnitude, zero ? 0.0f : rr, unit);

				index[k] = (uint8_t)(t.half + (m ^ (unsigned)a.negative));
				if (fit) {
					float odd = t.magnitude[m].odd;

					yc = yc + fabsf(y) * odd;
					cc.add(odd);
				}
			};
			__syncwarp();
			if (whole) {
#pragma unroll
				for (int k = 0; k < 8; k++)
					take(k);
			} else {
#pragma unroll
				for (int k = 0; k < 8; k++) {
					index[k] = 0;
					if (i + 16 * k < d)
						take(k);
				}
			}
			if (mine)
#pragma unroll
				for (int k = 0; k < 8; k++)
					if (whole || (i + 16 * k) / 32 < w.chunks)
						((uint8_t *)at[k / 2])[(i & 15) + 16 * (k & 1)] = index[k];
		});
		float s = r;

		if (fit)
			s = fitted_scale(p.correction, note.norm2, sum16(yc), cc.total(), p.half_step);
		if (mine && (threadIdx.x & 15) == 0) {
			uint8_t *out = stage + number * p.row_bytes;

			store_scale(p, out, scale_up(zero ? 0.0f : s, note.power));
			if (p.center == CENTER_BOTH)
				store_bytes(out + p.cross_at, __float_as_uint(note.cross), 4);
		}
	}
	__syncwarp();
}

/* The fields of 32 indices in bytes, WIDTH words */
template <int WIDTH> static __device__ __forceinline__ void fields(const uint32_t (&index)[8], unsigned shift, uint32_t (&word)[8])
{
#pragma unroll
	for (int i = 0; i < WIDTH; i++)
		word[i] = 0;
#pragma unroll
	for (int i = 0; i < 8; i++) {
		uint32_t v = index[i] >> shift;

		if (WIDTH == 4) {
			v &= 0x0f0f0f0fu;
			v = (v | v >> 4) & 0x00ff00ffu;
			v = (v | v >> 8) & 0xffffu;
		} else if (WIDTH == 2) {
			v &= 0x03030303u;
			v = (v | v >> 6) & 0x000f000fu;
			v = (v | v >> 12) & 0xffu;
		} else if (WIDTH == 1) {
			v &= 0x01010101u;
			v = (v | v >> 7) & 0x00030003u;
			v = (v | v >> 14) & 0xfu;
		}
		word[i * WIDTH / 8] |= v << 4 * WIDTH * (i % (8 / WIDTH)) % 32;
	}
}

/* @words of them, the fields of a chunk, to where section bytes from @at on lie */
template <int WIDTH>
static __device__ __forceinline__ void put_fields(const uint32_t (&index)[8], unsigned shift, uint8_t *at, unsigned bytes)
{
	uint32_t word[8];

	fields<WIDTH>(index, shift, word);
	if (bytes >= 4 * WIDTH && !((size_t)at & 3)) {
#pragma unroll
		for (int i = 0; i < WIDTH; i++)
			((uint32_t *)at)[i] = word[i];
	} else if (bytes >= 4 * WIDTH && !((size_t)at & 1)) {
#pragma unroll
		for (int i = 0; i < 2 * WIDTH; i++)
			((uint16_t *)at)[i] = (uint16_t)(word[i / 2] >> 16 * (i & 1));
	} else {
#pragma unroll
		for (int i = 0; i < 4 * WIDTH; i++)
			if (i < (int)bytes)
				at[i] = (uint8_t)(word[i / 4] >> 8 * (i & 3));
	}
}

/* The tile's fields into the staged rows, a chunk to a thread at a time */
static __device__ __forceinline__ void pack_rows(const tqc_plan &p, const tqc_warp &w, const warp_room &room, unsigned base,
						 uint8_t *stage)
{
	const unsigned by = ~0u / w.chunks + 1;

#pragma unroll 1
	for (unsigned u = threadIdx.x & 31; u < w.rows * w.chunks; u += 32) {
		unsigned row = __umulhi(u, by), chunk = u - row * w.chunks;
		const uint4 *from = (const uint4 *)(room.y + row * w.pitch + TQC_CHUNK_PITCH * slot_of(w, base, chunk));
		uint4 a = from[0], b = from[1];
		const uint32_t index[8] = { a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w };

#pragma unroll 1
		for (unsigned f = 0; f < p.nsections; f++) {
			unsigned width = p.section[f].width, shift = p.section[f].shift, first = 4 * width * chunk;
			unsigned bytes = (p.dim * width + 7) / 8 - first;
			uint8_t *at = stage + row * p.row_bytes + p.section[f].at + first;

			if (width == 4)
				put_fields<4>(index, shift, at, bytes);
			else if (width == 8)
				put_fields<8>(index, shift, at, bytes);
			else if (width == 2)
				put_fields<2>(index, shift, at, bytes);
			else
				put_fields<1>(index, shift, at, bytes);
		}
	}
	__syncwarp();
}

/* @bytes of shared memory to where global memory has the same place in its 16 bytes, or the other way */
static __device__ __forceinline__ void copy_staged(uint8_t *to, const uint8_t *from, unsigned bytes)
{
	const unsigned lane = threadIdx.x & 31, head = min(-(unsigned)(size_t)to & 15u, bytes), whole = (bytes - head) / 16;
	const unsigned tail = bytes - head - 16 * whole;

	if (lane < head)
		to[lane] = from[lane];
	to += head;
	from += head;
#pragma unroll 4
	for (unsigned i = lane; i < whole; i += 32)
		((uint4 *)to)[i] = ((const uint4 *)from)[i];
	if (lane < tail)
		to[16 * whole + lane] = from[16 * whole + lane];
}

template <int PLANES, bool SEARCH>
static __device__ __forceinline__ void encode_warp(const tqc_plan &p, const uint8_t *x, int dtype, size_t stride, size_t n,
						   uint8_t *codes, const tqc_warp &w)
{
	extern __shared__ __align__(128) uint8_t smem[];
	const unsigned levels = w.steps * sizeof(tqc_step), half = p.count / 2, warps = blockDim.x / 32;
	const unsigned table = levels + half * sizeof(tqc_magnitude);
	tqc_step *step = (tqc_step *)smem;
	tqc_magnitude *magnitude = (tqc_magnitude *)(smem + levels);
	const size_t bytes = stride * (dtype == F32 ? 4 : 2);
	const bool pieces = !(((size_t)x | bytes) & 15) && p.dim % (dtype == F32 ? 4 : 8) == 0;
	const warp_levels t = { step, magnitude, half, 0x4b400000u + 8 * (w.steps - 1) };
	const warp_signs signs(p, w, smem + ((table + 15) & ~15u));
	const warp_room room(w, smem + TQC_WARP_TABLES(p.rot.rounds, &w, table));

	for (unsigned i = threadIdx.x; i < w.steps; i += blockDim.x)
		step[i] = w.step[i];
	for (unsigned i = threadIdx.x; i < half; i += blockDim.x)
		magnitude[i] = w.magnitude[i];
	__syncthreads();
#pragma unroll 1
	for (size_t row = ((size_t)blockIdx.x * warps + threadIdx.x / 32) * w.rows; row < n; row += (size_t)gridDim.x * warps * w.rows) {
		unsigned left = n - row < w.rows ? (unsigned)(n - row) : w.rows, base;
		uint8_t *out = codes + row * p.row_bytes, *stage = room.stage + ((size_t)out & 15);

		if (pieces)
			load_pieces(p, w, x + row * bytes, dtype, bytes, left, room.y);
		else
			load_elements(p, w, x + row * bytes, dtype, bytes, left, room.y);
		__syncwarp();
		measure_rows(p, w, room);
		base = warp_rotate(p, w, signs, room);
		quantize_rows<PLANES, SEARCH>(p, w, t, room, base, stage);
		pack_rows(p, w, room, base, stage);
		copy_staged(out, stage, left * p.row_bytes);
		__syncwarp();
	}
}

#define TQC_WARP_ENCODE_KERNEL(name, planes, search)                                                                    \
	extern "C" __global__ void __launch_bounds__(TQC_WARP_THREADS, (search) ? 2 : 3) name(                          \
		tqc_plan p, const uint8_t *x, int dtype, size_t stride, size_t n, uint8_t *codes, tqc_warp w)           \
	{                                                                                                               \
		encode_warp<planes, search>(p, x, dtype, stride, n, codes, w);                                          \
	}
