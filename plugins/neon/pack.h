/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_NEON_PACK_H
#define TQ_NEON_PACK_H

/*
 * Index bytes in coordinate order to the fields of a row and back, 32 coordinates at a time, in two
 * registers. Fields of neighbours are joined by taking even and odd bytes apart and inserting the
 * odd ones above the even ones, and split by the reverse:
 *
 *	w = 8	as they are
 *	w = 4	even | odd << 4
 *	w = 2	even | odd << 2, then w = 4
 *	w = 1	a weight 1 << i % 8 for each set bit, then sums of eight neighbours
 */

#include "lanes.h"

/* 32 nibbles in bytes to 16 bytes */
NEON_INLINE uint8x16_t join_nibbles(uint8x16_t a, uint8x16_t b)
{
	return vsliq_n_u8(vuzp1q_u8(a, b), vuzp2q_u8(a, b), 4);
}

/* 32 two-bit fields in bytes to 16 nibbles in bytes */
NEON_INLINE uint8x16_t join_pairs(uint8x16_t a, uint8x16_t b)
{
	return vsliq_n_u8(vuzp1q_u8(a, b), vuzp2q_u8(a, b), 2);
}

NEON_INLINE uint8x16_t bit_weights(void)
{
	return vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201));
}

/* Bytes of 0 or 0xff to 32 bits, in the low four bytes */
NEON_INLINE uint8x16_t join_bits(uint8x16_t a, uint8x16_t b)
{
	uint8x16_t s = vpaddq_u8(vandq_u8(a, bit_weights()), vandq_u8(b, bit_weights()));

	s = vpaddq_u8(s, s);
	return vpaddq_u8(s, s);
}

/**
 * pack_block - write the fields of up to 32 coordinates
 * @idx:   index bytes, zero beyond @n
 * @first: number of the first coordinate, a multiple of 32
 * @n:     coordinates, 1..32
 */
NEON_INLINE void pack_block(const struct tq_layout *lay, uint8_t *row, const uint8x16_t *idx,
			    size_t first, size_t n)
{
	const struct tq_section *s = lay->section, *end = s + lay->nsections;
	uint8x16_t a, b, mask;
	int8x16_t down;
	uint8_t *to;

	for (; s < end; s++) {
		to = row + s->at + first / 8 * s->width;
		mask = vdupq_n_u8((uint8_t)((1u << s->width) - 1));
		down = vdupq_n_s8((int8_t) - (int)s->shift);
		a = vandq_u8(vshlq_u8(idx[0], down), mask);
		b = vandq_u8(vshlq_u8(idx[1], down), mask);
		switch (s->width) {
		case 1:
			a = join_bits(vtstq_u8(a, a), vtstq_u8(b, b));
			store_part16(to, a, (n + 7) / 8);
			break;
		case 2:
			a = join_pairs(a, b);
			store_part16(to, join_nibbles(a, a), (n + 3) / 4);
			break;
		case 4:
			store_part16(to, join_nibbles(a, b), (n + 1) / 2);
			break;
		default:
			store_part16(to, a, n < 16 ? n : 16);
			if (n > 16)
				store_part16(to + 16, b, n - 16);
			break;
		}
	}
}

/**
 * unpack_field - add one field of up to 32 coordinates to their index bytes
 * @from: where it begins
 */
NEON_INLINE void unpack_field(const uint8_t *from, uint32_t width, uint32_t shift, size_t n, uint8x16_t *idx)
{
	const uint8x16_t each = vshrq_n_u8(byte_numbers(), 3);
	const int8x16_t up = vdupq_n_s8((int8_t)shift);
	uint8x16_t v, low, a, b;

	v = part16(from, width == 8 ? (n < 16 ? n : 16) : (n * width + 7) / 8);
	switch (width) {
	case 1:
		a = vtstq_u8(vqtbl1q_u8(v, each), bit_weights());
		b = vtstq_u8(vqtbl1q_u8(v, vaddq_u8(each, vdupq_n_u8(2))), bit_weights());
		a = vshrq_n_u8(a, 7);
		b = vshrq_n_u8(b, 7);
		break;
	case 2:
		low = vandq_u8(v, vdupq_n_u8(15));
		v = vzip1q_u8(low, vshrq_n_u8(v, 4));
		low = vandq_u8(v, vdupq_n_u8(3));
		v = vshrq_n_u8(v, 2);
		a = vzip1q_u8(low, v);
		b = vzip2q_u8(low, v);
		break;
	case 4:
		low = vandq_u8(v, vdupq_n_u8(15));
		v = vshrq_n_u8(v, 4);
		a = vzip1q_u8(low, v);
		b = vzip2q_u8(low, v);
		break;
	default:
		a = v;
		b = n > 16 ? part16(from + 16, n - 16) : vdupq_n_u8(0);
		break;
	}
	idx[0] = vorrq_u8(idx[0], vshlq_u8(a, up));
	idx[1] = vorrq_u8(idx[1], vshlq_u8(b, up));
}

/** unpack_block - the index bytes of up to 32 coordinates; what lies beyond @n is undefined */
NEON_INLINE void unpack_block(const struct tq_layout *lay, const uint8_t *row, size_t first,
			      size_t n, uint8x16_t *idx)
{
	const struct tq_section *s = lay->section, *end = s + lay->nsections;

	idx[0] = idx[1] = vdupq_n_u8(0);
	for (; s < end; s++)
		unpack_field(row + s->at + first / 8 * s->width, s->width, s->shift, n, idx);
}

#endif
