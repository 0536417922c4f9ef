/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_NEON_LEVELS_H
#define TQ_NEON_LEVELS_H

/*
 * Code bytes to registers of signed levels, in the order that costs the fewest instructions;
 * queries are packed in the same order. A chunk is 16 * per coordinates, at most 16 bytes of each
 * field, and becomes per registers: byte i of register v is coordinate per * i + v.
 *
 *	bits	per	chunk	how
 *	1	8	128	register v: is bit v set, -1 or 0
 *	2	4	64	a nibble is two coordinates: one table for its lower one, one for
 *its upper 3	4	64	likewise, with the upper bits above the nibble: the coordinate's own
 *				is bit 4, for the upper coordinate after a shift by one
 *	4	2	32	low and high nibbles
 *	5..7	2	32	likewise, with the bits of the narrower fields above
 *	8	1	16	as they are
 *
 * Up to 4 bits a level is odd itself (for 1 bit, the mask). From 5 bits on it is two bytes, odd =
 * 128 * hi + lo, both with the sign of odd.
 */

#include "odd.h"

/** levels_registers - registers of levels per chunk */
NEON_INLINE uint32_t levels_registers(uint32_t bits)
{
	return bits == 1 ? 8 : bits <= 3 ? 4 : bits <= 7 ? 2 : 1;
}

/** levels_planes - bytes of a level */
NEON_INLINE uint32_t levels_planes(uint32_t bits)
{
	return bits > 4 ? 2 : 1;
}

/** Tables in registers. @pair: for 2 and 3 bits, of the lower and the upper half of a nibble. */
struct level_tables {
	struct byte_table hi, lo;
	uint8x16x2_t pair[2];
};

/** One chunk. */
struct levels {
	int8x16_t hi[2];
	int8x16_t lo[8];
};

NEON_INLINE void level_tables_load(struct level_tables *t, const struct neon_tables *tab,
				   uint32_t bits)
{
	uint8_t pair[2][32];
	uint32_t k, top;

	if (bits == 2 || bits == 3) {
		for (k = 0; k < 32; k++) {
			top = bits == 3 ? k >> 2 & 4 : 0;
			pair[0][k] = (uint8_t)tab->lo[(k & 3) | top];
			pair[1][k] = (uint8_t)tab->lo[(k >> (bits == 3 ? 1 : 2) & 3) | top];
		}
		t->pair[0] = vld1q_u8_x2(pair[0]);
		t->pair[1] = vld1q_u8_x2(pair[1]);
	}
	if (bits < 4)
		return;
	if (bits == 8) {
		byte_table_load(&t->hi, tab->hi + 128, 7);
		byte_table_load(&t->lo, tab->lo + 128, 7);
		return;
	}
	byte_table_load(&t->lo, tab->lo, bits);
	if (bits > 4)
		byte_table_load(&t->hi, tab->hi, bits);
}

/** fields_of - number of fields of an index, and the width of each */
NEON_INLINE uint32_t fields_of(uint32_t bits)
{
	return (bits & 1) + (bits >> 1 & 1) + (bits >> 2 & 1) + (bits >> 3 & 1);
}

NEON_INLINE uint32_t field_width(uint32_t bits, uint32_t k)
{
	while (k--)
		bits &= bits - 1;
	return bits & (0u - bits);
}

/** field_bytes - bytes of field @k per chunk: 4, 8 or 16 */
NEON_INLINE uint32_t field_bytes(uint32_t bits, uint32_t k)
{
	return 2 * levels_registers(bits) * field_width(bits, k);
}

/** field_load - those of one chunk, in the low bytes */
NEON_INLINE uint8x16_t field_load(const uint8_t *p, uint32_t bits, uint32_t k)
{
	uint32_t word;

	switch (field_bytes(bits, k)) {
	case 4:
		memcpy(&word, p, 4);
		return vreinterpretq_u8_u32(vsetq_lane_u32(word, vdupq_n_u32(0), 0));
	case 8:
		return vcombine_u8(vld1_u8(p), vdup_n_u8(0));
	default:
		return vld1q_u8(p);
	}
}

NEON_INLINE uint8x16_t low_bits(uint8x16_t v, unsigned n)
{
	return vandq_u8(v, vdupq_n_u8((uint8_t)((1u << n) - 1)));
}

/* The low @n bits of @v under the others of @above */
NEON_INLINE uint8x16_t under(uint8x16_t v, uint8x16_t above, unsigned n)
{
	return vbslq_u8(vdupq_n_u8((uint8_t)((1u << n) - 1)), v, above);
}

/* 4 bytes of a 1-bit field: bits @at and @at + 1 of byte i are those of coordinates 2i, 2i + 1 */
NEON_INLINE uint8x16_t bits_of_pairs(uint8x16_t v, int at)
{
	const uint8x16_t byte = vshrq_n_u8(byte_numbers(), 2);
	int8x16_t up = vsubq_s8(
		vdupq_n_s8((int8_t)at),
		vreinterpretq_s8_u8(vandq_u8(vshlq_n_u8(byte_numbers(), 1), vdupq_n_u8(6))));

	return vshlq_u8(vqtbl1q_u8(v, byte), up);
}

/* 8 bytes of a 2-bit field: bits 4, 5 and 6, 7 of byte i are those of coordinates 2i, 2i + 1 */
NEON_INLINE uint8x16_t fields_of_pairs(uint8x16_t v)
{
	const int8x16_t up = vreinterpretq_s8_u16(vdupq_n_u16(4));

	return vshlq_u8(vzip1q_u8(v, v), up);
}

NEON_INLINE void levels1(uint8x16_t x, int8x16_t *level)
{
	int v;

#pragma GCC unroll 8
	for (v = 0; v < 8; v++)
		level[v] = vreinterpretq_s8_u8(vtstq_u8(x, vdupq_n_u8((uint8_t)(1u << v))));
}

NEON_INLINE void levels2(const struct level_tables *t, uint8x16_t x, int8x16_t *level)
{
	uint8x16_t low = low_bits(x, 4), high = vshrq_n_u8(x, 4);

	level[0] = vreinterpretq_s8_u8(vqtbl1q_u8(t->pair[0].val[0], low));
	level[1] = vreinterpretq_s8_u8(vqtbl1q_u8(t->pair[1].val[0], low));
	level[2] = vreinterpretq_s8_u8(vqtbl1q_u8(t->pair[0].val[0], high));
	level[3] = vreinterpretq_s8_u8(vqtbl1q_u8(t->pair[1].val[0], high));
}

/* The four upper bits of a byte's coordinates go above its low nibble, then above its high one */
NEON_INLINE void levels3(const struct level_tables *t, uint8x16_t top, uint8x16_t x,
			 int8x16_t *level)
{
	uint8x16_t set = vzip1q_u8(low_bits(top, 4), vshrq_n_u8(top, 4));
	uint8x16_t high = vsriq_n_u8(vshlq_n_u8(set, 2), x, 4), low = vsliq_n_u8(x, set, 4);

	level[0] = vreinterpretq_s8_u8(vqtbl2q_u8(t->pair[0], low_bits(low, 5)));
	level[1] = vreinterpretq_s8_u8(vqtbl2q_u8(t->pair[1], low_bits(vshrq_n_u8(low, 1), 5)));
	level[2] = vreinterpretq_s8_u8(vqtbl2q_u8(t->pair[0], low_bits(high, 5)));
	level[3] = vreinterpretq_s8_u8(vqtbl2q_u8(t->pair[1], vshrq_n_u8(high, 1)));
}

/* Bit 7 set: the k-th positive level; clear: the negative of the one that all bits inverted name */
NEON_INLINE void levels8(const struct level_tables *t, uint8x16_t x, struct levels *out)
{
	uint8x16_t negative = vcgezq_s8(vreinterpretq_s8_u8(x));
	uint8x16_t idx = low_bits(veorq_u8(x, negative), 7);
	int8x16_t s = vreinterpretq_s8_u8(negative);

	out->hi[0] = vsubq_s8(veorq_s8(look_up(&t->hi, idx, 7), s), s);
	out->lo[0] = vsubq_s8(veorq_s8(look_up(&t->lo, idx, 7), s), s);
}

/* Bits 4..7: the index of the even coordinates, then of the odd ones */
NEON_INLINE void index_pairs(const uint8x16_t *f, uint32_t bits, uint8x16_t *idx)
{
	uint8x16_t x = f[fields_of(bits) - 1], above;

	switch (bits) {
	case 5:
		above = bits_of_pairs(f[0], 4);
		idx[0] = low_bits(under(x, above, 4), 5);
		idx[1] = low_bits(vsriq_n_u8(vshrq_n_u8(above, 1), x, 4), 5);
		break;
	case 6:
	case 7:
		above = fields_of_pairs(f[bits - 6]);
		idx[0] = under(x, above, 4);
		idx[1] = vsriq_n_u8(vshrq_n_u8(above, 2), x, 4);
		if (bits == 6) {
			idx[0] = low_bits(idx[0], 6);
			break;
		}
		above = bits_of_pairs(f[0], 6);
		idx[0] = low_bits(under(idx[0], above, 6), 7);
		idx[1] = under(idx[1], vshrq_n_u8(above, 1), 6);
		break;
	default:
		idx[0] = low_bits(x, 4);
		idx[1] = vshrq_n_u8(x, 4);
		break;
	}
}

/**
 * levels_decode - one chunk
 * @f: its bytes of each field, field_load()
 */
NEON_INLINE void levels_decode(const struct level_tables *t, const uint8x16_t *f, uint32_t bits,
			       struct levels *out)
{
	uint8x16_t idx[2];
	int v;

	switch (bits) {
	case 1:
		levels1(f[0], out->lo);
		return;
	case 2:
		levels2(t, f[0], out->lo);
		return;
	case 3:
		levels3(t, f[0], f[1], out->lo);
		return;
	case 8:
		levels8(t, f[0], out);
		return;
	default:
		break;
	}
	index_pairs(f, bits, idx);
	for (v = 0; v < 2; v++) {
		out->lo[v] = look_up(&t->lo, idx[v], bits);
		if (bits > 4)
			out->hi[v] = look_up(&t->hi, idx[v], bits);
	}
}

#endif
