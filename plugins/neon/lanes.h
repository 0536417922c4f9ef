/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_NEON_LANES_H
#define TQ_NEON_LANES_H

/*
 * Registers and memory: loads and stores of a part of a register that touch no other byte, and the
 * fixed tree that ends every 16-lane sum.
 */

#include "common.h"

/** Rows that are scored together, one per lane */
#define ROWS 4

/* Up to 7 bytes, the low ones of the result */
NEON_INLINE uint64_t part7(const uint8_t *p, size_t n)
{
	uint64_t v = 0;
	uint32_t word;
	uint16_t half;
	unsigned at = 0;

	if (n & 4) {
		memcpy(&word, p, 4);
		v = word;
		at = 32;
		p += 4;
	}
	if (n & 2) {
		memcpy(&half, p, 2);
		v |= (uint64_t)half << at;
		at += 16;
		p += 2;
	}
	if (n & 1)
		v |= (uint64_t)*p << at;
	return v;
}

/** part16 - @n <= 16 bytes, zeros above */
NEON_INLINE uint8x16_t part16(const uint8_t *p, size_t n)
{
	uint64_t low = 0, high = 0;

	if (n == 16)
		return vld1q_u8(p);
	if (n & 8) {
		memcpy(&low, p, 8);
		high = part7(p + 8, n & 7);
	} else {
		low = part7(p, n);
	}
	return vcombine_u8(vcreate_u8(low), vcreate_u8(high));
}

/** store_part16 - the low @n <= 16 bytes of @v */
NEON_INLINE void store_part16(uint8_t *p, uint8x16_t v, size_t n)
{
	uint64_t w = vgetq_lane_u64(vreinterpretq_u64_u8(v), 0);

	if (n == 16) {
		vst1q_u8(p, v);
		return;
	}
	if (n & 8) {
		memcpy(p, &w, 8);
		p += 8;
		w = vgetq_lane_u64(vreinterpretq_u64_u8(v), 1);
	}
	if (n & 4) {
		memcpy(p, &w, 4);
		p += 4;
		w >>= 32;
	}
	if (n & 2) {
		memcpy(p, &w, 2);
		p += 2;
		w >>= 16;
	}
	if (n & 1)
		*p = (uint8_t)w;
}

/** part_floats - floats @i .. @i + @n - 1 of @x as 4 registers, zeros above; @n <= 16 */
NEON_INLINE void part_floats(const float *x, size_t n, float32x4_t *v)
{
	float copy[16] = {0};
	size_t i;

	if (n < 16) {
		for (i = 0; i < n; i++)
			copy[i] = x[i];
		x = copy;
	}
	for (i = 0; i < 4; i++)
		v[i] = vld1q_f32(x + 4 * i);
}

/** store_part_floats - the first @n <= 16 floats of 4 registers */
NEON_INLINE void store_part_floats(float *x, const float32x4_t *v, size_t n)
{
	float copy[16], *to = n < 16 ? copy : x;
	size_t i;

	for (i = 0; i < 4; i++)
		vst1q_f32(to + 4 * i, v[i]);
	if (n < 16)
		for (i = 0; i < n; i++)
			x[i] = copy[i];
}

/** byte_numbers - 0, 1, ..., 15 */
NEON_INLINE uint8x16_t byte_numbers(void)
{
	return vcombine_u8(vcreate_u8(0x0706050403020100), vcreate_u8(0x0f0e0d0c0b0a0908));
}

/** bytes_below - 0xff in byte i where i < @n */
NEON_INLINE uint8x16_t bytes_below(size_t n)
{
	return vcltq_u8(byte_numbers(), vdupq_n_u8((uint8_t)(n > 16 ? 16 : n)));
}

/** low_bytes - of 16 lanes of 32 bits; masks become masks */
NEON_INLINE uint8x16_t low_bytes(const uint32x4_t *m)
{
	uint16x8_t a = vuzp1q_u16(vreinterpretq_u16_u32(m[0]), vreinterpretq_u16_u32(m[1]));
	uint16x8_t b = vuzp1q_u16(vreinterpretq_u16_u32(m[2]), vreinterpretq_u16_u32(m[3]));

	return vuzp1q_u8(vreinterpretq_u8_u16(a), vreinterpretq_u8_u16(b));
}

/** sum_tree - 16 lanes: l and l+8, then l and l+4, l+2, l+1 */
NEON_INLINE float sum_tree(const float32x4_t *v)
{
	float32x4_t s = vaddq_f32(vaddq_f32(v[0], v[2]), vaddq_f32(v[1], v[3]));
	float32x2_t p = vadd_f32(vget_low_f32(s), vget_high_f32(s));

	return vget_lane_f32(p, 0) + vget_lane_f32(p, 1);
}

/** add_products - one product and one sum in each of 16 lanes */
NEON_INLINE void add_products(float32x4_t *sum, const float32x4_t *a, const float32x4_t *b)
{
	int k;

	for (k = 0; k < 4; k++)
		sum[k] = vaddq_f32(sum[k], vmulq_f32(a[k], b[k]));
}

#endif
