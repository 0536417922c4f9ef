/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_NEON_ODD_H
#define TQ_NEON_ODD_H

/*
 * From index bytes, in any order, to levels as odd integers, 16 at a time. A byte table of up to 64
 * entries is one look-up in registers; longer ones are chained: a byte past the end of one look-up
 * leaves the result of the others alone.
 */

#include "lanes.h"

/** Table registers of a look-up by @bits bits */
#define TABLE_QUADS(bits) ((bits) <= 6 ? 1 : (bits) == 7 ? 2 : 4)

/** A byte table, as registers: one[0], two[0] or four[], by the number of bits */
struct byte_table {
	uint8x16_t one;
	uint8x16x2_t two;
	uint8x16x4_t four[4];
};

NEON_INLINE void byte_table_load(struct byte_table *t, const void *from, uint32_t bits)
{
	const uint8_t *p = from;
	int k;

	if (bits <= 4)
		t->one = vld1q_u8(p);
	else if (bits == 5)
		t->two = vld1q_u8_x2(p);
	else
		for (k = 0; k < TABLE_QUADS(bits); k++)
			t->four[k] = vld1q_u8_x4(p + 64 * k);
}

/** look_up - entries of the table; @idx below 2^bits */
NEON_INLINE int8x16_t look_up(const struct byte_table *t, uint8x16_t idx, uint32_t bits)
{
	uint8x16_t v;
	int k;

	if (bits <= 4)
		return vreinterpretq_s8_u8(vqtbl1q_u8(t->one, idx));
	if (bits == 5)
		return vreinterpretq_s8_u8(vqtbl2q_u8(t->two, idx));
	v = vqtbl4q_u8(t->four[0], idx);
	for (k = 1; k < TABLE_QUADS(bits); k++) {
		idx = vsubq_u8(idx, vdupq_n_u8(64));
		v = vqtbx4q_u8(v, t->four[k], idx);
	}
	return vreinterpretq_s8_u8(v);
}

/** The two bytes of each level */
struct odd_tables {
	struct byte_table hi, lo;
};

NEON_INLINE void odd_tables_load(struct odd_tables *t, const struct neon_tables *tab, uint32_t bits)
{
	if (bits > 4)
		byte_table_load(&t->hi, tab->hi, bits);
	byte_table_load(&t->lo, tab->lo, bits);
}

/** odd_values - 16 index bytes to two registers of odd integers */
NEON_INLINE void odd_values(const struct odd_tables *t, uint8x16_t idx, uint32_t bits,
			    int16x8_t *odd)
{
	int8x16_t lo = look_up(&t->lo, idx, bits), hi;

	if (bits <= 4) {
		odd[0] = vmovl_s8(vget_low_s8(lo));
		odd[1] = vmovl_high_s8(lo);
		return;
	}
	hi = look_up(&t->hi, idx, bits);
	odd[0] = vaddw_s8(vshll_n_s8(vget_low_s8(hi), 7), vget_low_s8(lo));
	odd[1] = vaddw_high_s8(vshll_high_n_s8(hi, 7), lo);
}

/** odd_floats - the same as floats */
NEON_INLINE void odd_floats(const int16x8_t *odd, float32x4_t *f)
{
	int k;

	for (k = 0; k < 2; k++) {
		f[2 * k] = vcvtq_f32_s32(vmovl_s16(vget_low_s16(odd[k])));
		f[2 * k + 1] = vcvtq_f32_s32(vmovl_high_s16(odd[k]));
	}
}

/** add_squares - the exact sum of squares of 16 odd integers, added to two lanes */
NEON_INLINE int64x2_t add_squares(int64x2_t sum, const int16x8_t *odd)
{
	int32x4_t s = vmull_s16(vget_low_s16(odd[0]), vget_low_s16(odd[0]));

	s = vmlal_high_s16(s, odd[0], odd[0]);
	s = vmlal_s16(s, vget_low_s16(odd[1]), vget_low_s16(odd[1]));
	s = vmlal_high_s16(s, odd[1], odd[1]);
	return vpadalq_s32(sum, s);
}

#endif
