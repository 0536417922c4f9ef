/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Levels of trellis codes eight at a time. One look-up gives two coordinates, neighbours whose windows make one of
 * window + bits, or four of 1 bit: the table is 4 to 16 KB of shared memory.
 *
 * Eight coordinates are `bits` bytes and up to 8 bits of the next one, which is the segment's first after its
 * last eight. So dimensions are multiples of 8, and then segments are, too.
 */
#pragma once
#include "lanes.cuh"
#include "tcq_levels.cuh"

/* The coordinate whose bits follow those of @i .. @i + 7 in their ring */
static __device__ __forceinline__ unsigned trellis_after(unsigned dim, unsigned tail, unsigned i)
{
	const unsigned end = i + 8;

	if (end < dim && end != tail && (end % TRELLIS_SEGMENT || end > tail))
		return end;
	return i >= tail ? tail : i & ~(TRELLIS_SEGMENT - 1);
}

template <int B> struct trellis_table {
	static constexpr int EACH = B == 1 ? 4 : 2; /* coordinates of a look-up */

	const uint8_t *table;

	static __device__ __forceinline__ unsigned bytes(unsigned count)
	{
		return EACH * count << (EACH - 1) * B;
	}

	static __device__ __forceinline__ unsigned bytes(const tqc_plan &p)
	{
		return bytes(p.count);
	}

	/* what of a look-up's place is the window */
	static __device__ __forceinline__ unsigned mask_of(unsigned count)
	{
		return bytes(count) - EACH;
	}

	__device__ __forceinline__ void load(const int16_t *odd, unsigned count, uint8_t *room)
	{
		for (unsigned v = threadIdx.x; v < count << (EACH - 1) * B; v += blockDim.x) {
			uint32_t entry = 0;

#pragma unroll
			for (int k = 0; k < EACH; k++)
				entry |= (uint32_t)((odd[v >> k * B & (count - 1)] + 127) / 2) << 8 * k;
			if (B == 1)
				((uint32_t *)room)[v] = entry;
			else
				((uint16_t *)room)[v] = (uint16_t)entry;
		}
		table = room;
	}

	__device__ __forceinline__ void load(const tqc_plan &p, uint8_t *room)
	{
		load(p.odd, p.count, room);
	}

	/* the entry whose window begins at bit @at of @x */
	__device__ __forceinline__ uint32_t look(uint32_t x, int at, unsigned mask) const
	{
		constexpr int SHIFT = B == 1 ? 2 : 1;
		const uint8_t *entry = table + ((at >= SHIFT ? x >> (at - SHIFT) : x << (SHIFT - at)) & mask);

		return B == 1 ? *(const uint32_t *)entry : *(const uint16_t *)entry;
	}

	/* coordinates 0..3 in lo, 4..7 in hi: @x has their bits and the next byte, which for 4 bits is the low one of @next */
	__device__ __forceinline__ void eight(uint32_t x, uint32_t next, unsigned mask, uint32_t &lo, uint32_t &hi) const
	{
		if (B == 1) {
			lo = look(x, 0, mask);
			hi = look(x, 4, mask);
			return;
		}
		lo = prmt(look(x, 0, mask), look(x, 2 * B, mask), 0x5410);
		hi = prmt(look(x, 4 * B, mask), B == 4 ? look(__funnelshift_r(x, next, 23), 1, mask) : look(x, 6 * B, mask), 0x5410);
	}
};
