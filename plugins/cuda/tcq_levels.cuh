/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of trellis codes: a coordinate's level is that of its window of its segment's bits (docs/FORMAT.md
 * section 4, tq/trellis.h). A plan's `odd` are the levels of all states here, `count` their number, 2^window.
 */
#pragma once
#include "row.cuh"

#define TRELLIS_SEGMENT 128u

static __device__ __forceinline__ unsigned trellis_window(const tqc_plan &p)
{
	return 31 - __clz(p.count);
}

/* Where whole segments end: a last one of less than 16 coordinates takes half of the one before */
static __device__ __forceinline__ unsigned trellis_tail(unsigned dim)
{
	unsigned rest = dim % TRELLIS_SEGMENT;

	return dim > TRELLIS_SEGMENT && rest > 0 && rest < 16 ? dim - rest - TRELLIS_SEGMENT / 2 : dim;
}

struct trellis_segment {
	unsigned start, end;
};

/* The segment of coordinate @i */
static __device__ __forceinline__ trellis_segment trellis_segment_of(unsigned dim, unsigned i)
{
	unsigned tail = trellis_tail(dim), start = i & ~(TRELLIS_SEGMENT - 1);

	return i >= tail ? trellis_segment{ tail, dim } : trellis_segment{ start, min(start + TRELLIS_SEGMENT, tail) };
}

struct trellis_levels {
	static __device__ __forceinline__ int odd(const tqc_plan &p, const uint8_t *row, unsigned i)
	{
		const trellis_segment s = trellis_segment_of(p.dim, i);
		const uint8_t *ring = row + p.section[0].at + s.start * p.index_bits / 8;
		unsigned nbits = (s.end - s.start) * p.index_bits, at = (i - s.start) * p.index_bits, state = 0;
		unsigned window = trellis_window(p);

		if (at + 16 <= nbits) {
			state = (ring[at / 8] | ring[at / 8 + 1] << 8) >> at % 8 & (p.count - 1);
		} else {
			for (unsigned k = 0; k < window; k++, at = at + 1 == nbits ? 0 : at + 1)
				state |= (ring[at / 8] >> at % 8 & 1u) << k;
		}
		return p.odd[state];
	}
};
