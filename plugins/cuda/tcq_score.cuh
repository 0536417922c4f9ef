/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scores of trellis codes on integer tensor cores: score_mma.cuh with levels looked up by windows, tcq_table.cuh.
 */
#pragma once
#include "score_mma.cuh"
#include "tcq_list.h"
#include "tcq_table.cuh"

/* Where a lane's coordinates are; the mask of a look-up's bytes */
struct trellis_fields {
	unsigned at, section, first, dim, tail, mask;
};

template <int B> struct trellis_row {
	const uint8_t *tile;
	unsigned row;

	static __device__ __forceinline__ trellis_fields find(const tqc_plan &p, unsigned first)
	{
		unsigned section = p.section[0].at;

		return { section + first * B / 8, section, first, p.dim, trellis_tail(p.dim), trellis_table<B>::mask_of(p.count) };
	}

	__device__ __forceinline__ void begin(const uint8_t *t, unsigned at, const trellis_fields &f)
	{
		tile = t;
		row = at;
	}

	/* levels of the eight coordinates of step @s: 0..3 in lo, 4..7 in hi */
	__device__ __forceinline__ void step(unsigned s, const trellis_fields &f, const trellis_table<B> &l, uint32_t &lo,
					     uint32_t &hi)
	{
		unsigned i = f.first + 8 * s, at = row + f.at + B * s, after = trellis_after(f.dim, f.tail, i);
		unsigned next = row + f.section + after * B / 8;
		uint32_t x = word_at(tile, at);

		if (B != 4 && after != i + 8)
			x = (x & ((1u << 8 * (B & 3)) - 1)) | (uint32_t)tile[next] << 8 * (B & 3);
		l.eight(x, B == 4 ? tile[next] : 0, f.mask, lo, hi);
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
