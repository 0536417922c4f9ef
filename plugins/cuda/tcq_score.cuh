/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scores of trellis codes on integer tensor cores: score_mma.cuh with levels looked up by windows. One look-up
 * gives two coordinates, neighbours whose windows make one of window + bits, or four of 1 bit: the table is
 * 4 to 16 KB of shared memory.
 *
 * Eight coordinates are `bits` bytes and up to 8 bits of the next one, which is the segment's first after its
 * last eight. So dimensions are multiples of 8, and then segments are, too.
 */
#pragma once
#include "score_mma.cuh"
#include "tcq_levels.cuh"
#include "tcq_list.h"

/* Where a lane's coordinates are; the mask of a look-up's bytes */
struct trellis_fields {
	unsigned at, section, first, dim, tail, mask;
};

template <int B> struct trellis_table {
	static constexpr int EACH = B == 1 ? 4 : 2; /* coordinates of a look-up */

	const uint8_t *table;

	static __device__ __forceinline__ unsigned bytes(const tqc_plan &p)
	{
		return EACH * p.count << (EACH - 1) * B;
	}

	__device__ __forceinline__ void load(const tqc_plan &p, uint8_t *room)
	{
		for (unsigned v = threadIdx.x; v < p.count << (EACH - 1) * B; v += blockDim.x) {
			uint32_t entry = 0;

#pragma unroll
			for (int k = 0; k < EACH; k++)
				entry |= (uint32_t)((p.odd[v >> k * B & (p.count - 1)] + 127) / 2) << 8 * k;
			if (B == 1)
				((uint32_t *)room)[v] = entry;
			else
				((uint16_t *)room)[v] = (uint16_t)entry;
		}
		table = room;
	}
};

template <int B> struct trellis_row {
	const uint8_t *tile;
	unsigned row;

	static __device__ __forceinline__ trellis_fields find(const tqc_plan &p, unsigned first)
	{
		unsigned section = p.section[0].at;

		return { section + first * B / 8, section, first, p.dim, trellis_tail(p.dim), trellis_table<B>::bytes(p) - trellis_table<B>::EACH };
	}

	__device__ __forceinline__ void begin(const uint8_t *t, unsigned at, const trellis_fields &f)
	{
		tile = t;
		row = at;
	}

	/* the entry whose window begins at bit @at of @x */
	static __device__ __forceinline__ uint32_t look(const trellis_table<B> &l, uint32_t x, int at, unsigned mask)
	{
		constexpr int SHIFT = B == 1 ? 2 : 1;
		const uint8_t *entry = l.table + ((at >= SHIFT ? x >> (at - SHIFT) : x << (SHIFT - at)) & mask);

		return B == 1 ? *(const uint32_t *)entry : *(const uint16_t *)entry;
	}

	/* levels of the eight coordinates of step @s: 0..3 in lo, 4..7 in hi */
	__device__ __forceinline__ void step(unsigned s, const trellis_fields &f, const trellis_table<B> &l, uint32_t &lo,
					     uint32_t &hi)
	{
		unsigned i = f.first + 8 * s, end = i + 8, at = row + f.at + B * s;
		bool last = end == f.dim || end == f.tail || (end % TRELLIS_SEGMENT == 0 && end < f.tail);
		unsigned start = row + f.section + (i >= f.tail ? f.tail : i & ~(TRELLIS_SEGMENT - 1)) * B / 8;
		uint32_t x = word_at(tile, at);

		if (B == 4) {
			uint32_t next = __funnelshift_r(x, tile[last ? start : at + 4], 23) & f.mask;

			lo = prmt(look(l, x, 0, f.mask), look(l, x, 8, f.mask), 0x5410);
			hi = prmt(look(l, x, 16, f.mask), *(const uint16_t *)(l.table + next), 0x5410);
			return;
		}
		if (last)
			x = (x & ((1u << 8 * (B & 3)) - 1)) | (uint32_t)tile[start] << 8 * (B & 3);
		if (B == 1) {
			lo = look(l, x, 0, f.mask);
			hi = look(l, x, 4, f.mask);
			return;
		}
		lo = prmt(look(l, x, 0, f.mask), look(l, x, 2 * B, f.mask), 0x5410);
		hi = prmt(look(l, x, 4 * B, f.mask), look(l, x, 6 * B, f.mask), 0x5410);
	}
};

#define TRELLIS_OF(b)                                                                                                   \
	template <> struct level_table<TQC_TCQ_BITS + b> : trellis_table<b> {                                           \
	};                                                                                                              \
	template <bool WORDS> struct lane_row<TQC_TCQ_BITS + b, WORDS> : trellis_row<b> {                               \
	};
TRELLIS_OF(1)
TRELLIS_OF(2)
TRELLIS_OF(3)
TRELLIS_OF(4)
