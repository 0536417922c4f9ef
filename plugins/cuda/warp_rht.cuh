/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rotation rht of any dimension from 64 on, by a warp to a tile of rows in its part of shared memory: warps wait for
 * nobody. A tile has as many rows as give 32 threads 32 coordinates each. Every sum is the one of docs/FORMAT.md in
 * its order.
 *
 *	first pass	a thread takes a chunk of 32 coordinates: distances 1 to 16
 *	others		a thread takes coordinate number `lane` of 2^S chunks: distances 32 and up
 *
 * Chunks lie in slots. Where d is three halves of a window a roll moves nothing: chunk c lies in slot (base + c) mod
 * chunks, and the roll, by half a window, changes base; windows begin and wrap round at halves of one. Other tails are
 * done in a second copy of the tile, which takes the row turned so that the tail begins it.
 */
#pragma once
#include "row.cuh"
#include "warp_plan.h"

struct warp_note {
	float norm2, cross;
	int power, reserved;
};

/* The warp's part of shared memory */
struct warp_room {
	float *y, *spare;
	warp_note *note;
	uint8_t *stage;

	__device__ __forceinline__ warp_room(const tqc_warp &w, uint8_t *at)
	{
		unsigned tile = w.rows * w.pitch;

		at += threadIdx.x / 32 * w.room;
		y = (float *)at;
		spare = y + (w.spare ? tile : 0);
		note = (warp_note *)(spare + tile);
		stage = (uint8_t *)(note + w.rows);
	}
};

/* A block's signs: a word to each chunk of each window of each round, then each window's factor */
struct warp_signs {
	uint32_t *word;
	float *factor;

	__device__ __forceinline__ warp_signs(const tqc_plan &p, const tqc_warp &w, uint8_t *at)
	{
		unsigned n = p.rot.rounds * w.windows * w.window;

		word = (uint32_t *)at;
		factor = (float *)(word + n);
		for (unsigned c = threadIdx.x / 32; c < n; c += blockDim.x / 32) {
			unsigned bits = __ballot_sync(~0u, p.rot.signs[32 * c + (threadIdx.x & 31)] < 0.0f);

			if ((threadIdx.x & 31) == 0)
				word[c] = bits;
		}
		for (unsigned i = threadIdx.x; i < p.rot.rounds * w.windows; i += blockDim.x)
			factor[i] = fabsf(p.rot.signs[32 * i * w.window]);
	}
};

static __device__ __forceinline__ unsigned slot_of(const tqc_warp &w, unsigned base, unsigned chunk)
{
	unsigned s = base + chunk;

	return s >= w.chunks ? s - w.chunks : s;
}

template <int N> static __device__ __forceinline__ void butterflies(float *v)
{
#pragma unroll
	for (int h = 1; h < N; h *= 2)
#pragma unroll
		for (int i = 0; i < N; i++)
			if (!(i & h)) {
				float a = v[i], b = v[i + h];

				v[i] = a + b;
				v[i + h] = a - b;
			}
}

static __device__ __forceinline__ void load_chunk(const float *at, float (&v)[32])
{
#pragma unroll
	for (int i = 0; i < 32; i += 4) {
		float4 f = *(const float4 *)(at + i);

		v[i] = f.x;
		v[i + 1] = f.y;
		v[i + 2] = f.z;
		v[i + 3] = f.w;
	}
}

static __device__ __forceinline__ void store_chunk(float *at, const float (&v)[32])
{
#pragma unroll
	for (int i = 0; i < 32; i += 4)
		*(float4 *)(at + i) = make_float4(v[i], v[i + 1], v[i + 2], v[i + 3]);
}

/* Distances 1 to 16 of the window whose first chunk lies in slot @base; with signs before them unless @word is NULL */
template <bool SIGNS>
static __device__ __forceinline__ void first_pass(const tqc_warp &w, float *y, unsigned base, const uint32_t *word, float factor)
{
#pragma unroll 1
	for (unsigned u = threadIdx.x & 31; u < w.rows * w.window; u += 32) {
		unsigned chunk = u & (w.window - 1);
		float *at = y + (u >> w.shift) * w.pitch + TQC_CHUNK_PITCH * slot_of(w, base, chunk), v[32];

		load_chunk(at, v);
		if (SIGNS) {
			unsigned signs = word[chunk];

#pragma unroll
			for (int i = 0; i < 32; i++)
				v[i] = v[i] * __uint_as_float(__float_as_uint(factor) ^ (signs << (31 - i) & 0x80000000u));
		}
		butterflies<32>(v);
		store_chunk(at, v);
	}
	__syncwarp();
}

/*
 * S distances from 32 * 2^FROM on, up to 4 sets of 2^S chunks at a time; then the signs if @signs. Sets of one row are
 * those of chunks that differ in other bits of their number.
 */
template <int S, int FROM>
static __device__ __forceinline__ void chunk_pass(const tqc_warp &w, float *y, unsigned base, bool signs, const uint32_t *word,
						  float factor)
{
	constexpr int N = 1 << S, SETS = N < 8 ? 4 : 32 / N;
	const unsigned lane = threadIdx.x & 31, left = w.shift - S, sets = w.rows << left;

	y += lane;
#pragma unroll 1
	for (unsigned u = 0; u < sets; u += SETS) {
		float v[SETS][N], *at[SETS][2];
		unsigned first[SETS];

#pragma unroll
		for (int k = 0; k < SETS; k++) {
			unsigned set = (u + k) & ((1u << left) - 1);
			float *row = y + ((u + k) >> left) * w.pitch;

			first[k] = (set >> FROM << (FROM + S)) + (set & ((1u << FROM) - 1));
			at[k][0] = row + TQC_CHUNK_PITCH * slot_of(w, base, first[k]);
			at[k][1] = row + TQC_CHUNK_PITCH * slot_of(w, base, first[k] + (N / 2 << FROM));
		}
#pragma unroll
		for (int k = 0; k < SETS; k++)
#pragma unroll
			for (int i = 0; i < N; i++)
				v[k][i] = at[k][i / (N / 2)][TQC_CHUNK_PITCH * (i % (N / 2) << FROM)];
#pragma unroll
		for (int k = 0; k < SETS; k++)
			butterflies<N>(v[k]);
		if (signs) {
			uint4 four = {};

#pragma unroll
			for (int k = 0; k < SETS; k++)
#pragma unroll
				for (int i = 0; i < N; i++) {
					if (FROM == 0 && N >= 4 && i % 4 == 0)
						four = *(const uint4 *)(word + first[k] + i);
					unsigned own = FROM || N < 4 ? word[first[k] + (i << FROM)] :
						       i % 4 == 0 ? four.x : i % 4 == 1 ? four.y : i % 4 == 2 ? four.z : four.w;
					unsigned sign = own << (31 - lane) & 0x80000000u;

					v[k][i] = v[k][i] * __uint_as_float(__float_as_uint(factor) ^ sign);
				}
		}
#pragma unroll
		for (int k = 0; k < SETS; k++)
#pragma unroll
			for (int i = 0; i < N; i++)
				at[k][i / (N / 2)][TQC_CHUNK_PITCH * (i % (N / 2) << FROM)] = v[k][i];
	}
	__syncwarp();
}

/* All distances from 32 on */
static __device__ __forceinline__ void chunk_passes(const tqc_warp &w, float *y, unsigned base, bool signs, const uint32_t *word,
						    float factor)
{
	switch (w.shift) {
	case 1:
		chunk_pass<1, 0>(w, y, base, signs, word, factor);
		return;
	case 2:
		chunk_pass<2, 0>(w, y, base, signs, word, factor);
		return;
	case 5:
		chunk_pass<5, 0>(w, y, base, signs, word, factor);
		return;
	case 4:
	case 7:
		chunk_pass<4, 0>(w, y, base, signs && w.shift == 4, word, factor);
		break;
	default:
		chunk_pass<3, 0>(w, y, base, signs && w.shift == 3, word, factor);
	}
	if (w.shift == 6)
		chunk_pass<3, 3>(w, y, base, signs, word, factor);
	else if (w.shift == 7)
		chunk_pass<3, 4>(w, y, base, signs, word, factor);
}

static __device__ __forceinline__ unsigned place_of(unsigned i)
{
	return i + (TQC_CHUNK_PITCH - 32) * (i / 32);
}

/* to'[(i + by) mod d] = from[i], all rows */
static __device__ __forceinline__ void warp_turn(const tqc_warp &w, float *__restrict__ to, const float *__restrict__ from,
						 unsigned d, unsigned by)
{
#pragma unroll 1
	for (unsigned row = 0; row < w.rows; row++) {
#pragma unroll 8
		for (unsigned i = threadIdx.x & 31; i < d; i += 32)
			to[place_of(i + by < d ? i + by : i + by - d)] = from[place_of(i)];
		to += w.pitch;
		from += w.pitch;
	}
	__syncwarp();
}

/* Rotate the tile; returns the slot of the first chunk */
static __device__ __forceinline__ unsigned warp_rotate(const tqc_plan &p, const tqc_warp &w, const warp_signs &s, const warp_room &room)
{
	unsigned base = 0, d = p.dim, window = p.rot.window;

#pragma unroll 1
	for (unsigned k = 0; k < p.rot.rounds * w.windows; k++) {
		bool tail = w.windows == 2 && (k & 1);
		unsigned first = tail && !w.spare ? slot_of(w, base, w.chunks - w.window) : base;
		float *y = tail && w.spare ? room.spare : room.y;

		if (tail && w.spare)
			warp_turn(w, room.spare, room.y, d, window);
		first_pass<true>(w, y, first, s.word + k * w.window, s.factor[k]);
		chunk_passes(w, y, first, false, NULL, 0.0f);
		if (tail && w.spare)
			warp_turn(w, room.y, room.spare, d, (d - window + p.rot.roll) % d);
		else if (tail)
			base = slot_of(w, base, w.chunks - w.turn);
	}
	return base;
}

/* The slot of the first chunk with which warp_unrotate() ends with slot 0 */
static __device__ __forceinline__ unsigned first_slot(const tqc_plan &p, const tqc_warp &w)
{
	return w.turn ? (w.chunks - w.turn) * p.rot.rounds % w.chunks : 0;
}

/* The transpose; without a spare the first distances of the last window are done. Ends with the first chunk in slot 0 */
static __device__ __forceinline__ void warp_unrotate(const tqc_plan &p, const tqc_warp &w, const warp_signs &s, const warp_room &room)
{
	unsigned base = first_slot(p, w), d = p.dim, window = p.rot.window, steps = p.rot.rounds * w.windows;

#pragma unroll 1
	for (unsigned k = steps; k-- > 0;) {
		bool tail = w.windows == 2 && (k & 1);
		float *y = tail && w.spare ? room.spare : room.y;
		unsigned first;

		if (tail && w.spare)
			warp_turn(w, room.spare, room.y, d, (d - p.rot.roll + window) % d);
		else if (tail)
			base = slot_of(w, base, w.turn);
		first = tail && !w.spare ? slot_of(w, base, w.chunks - w.window) : base;
		if (w.spare || k + 1 < steps)
			first_pass<false>(w, y, first, NULL, 0.0f);
		chunk_passes(w, y, first, true, s.word + k * w.window, s.factor[k]);
		if (tail && w.spare)
			warp_turn(w, room.y, room.spare, d, d - window);
	}
}
