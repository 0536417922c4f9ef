/* SPDX-License-Identifier: Apache-2.0 */
/* The search for a row's bits under a trellis code: ../simd/trellis_search.h, eight groups to a register. */

#include "trellis.h"

typedef uint16x8_t costs;
#define COSTS_LANES 8
#define COSTS_PARTS 1

NEON_INLINE costs costs_load(const uint16_t *at)
{
	return vld1q_u16(at);
}

NEON_INLINE void costs_store(uint16_t *at, costs x)
{
	vst1q_u16(at, x);
}

NEON_INLINE costs costs_set(uint16_t x)
{
	return vdupq_n_u16(x);
}

NEON_INLINE costs costs_min(costs a, costs b)
{
	return vminq_u16(a, b);
}

NEON_INLINE costs costs_sub(costs a, costs b)
{
	return vsubq_u16(a, b);
}

/* The product of -2^15 with itself would be cut short by one: that is added again */
NEON_INLINE costs costs_add(costs before, costs u, costs level)
{
	int16x8_t d = vqsubq_s16(vreinterpretq_s16_u16(u), vreinterpretq_s16_u16(level));
	costs square = vreinterpretq_u16_s16(vqrdmulhq_s16(d, d));

	return vqaddq_u16(before, vsubq_u16(square, vceqq_s16(d, vdupq_n_s16(-32768))));
}

NEON_INLINE costs costs_least(costs x)
{
	return vdupq_n_u16(vminvq_u16(x));
}

NEON_INLINE costs costs_repeat(const uint16_t *at, unsigned period)
{
	uint32_t two;

	switch (period) {
	case 1:
		return vdupq_n_u16(*at);
	case 2:
		memcpy(&two, at, sizeof(two));
		return vreinterpretq_u16_u32(vdupq_n_u32(two));
	case 4:
		return vcombine_u16(vld1_u16(at), vld1_u16(at));
	default:
		return vld1q_u16(at);
	}
}

NEON_INLINE costs costs_even(costs a, costs b)
{
	return vuzp1q_u16(a, b);
}

NEON_INLINE costs costs_odd(costs a, costs b)
{
	return vuzp2q_u16(a, b);
}

NEON_INLINE costs costs_zip_low(costs a, costs b)
{
	return vzip1q_u16(a, b);
}

NEON_INLINE costs costs_zip_high(costs a, costs b)
{
	return vzip2q_u16(a, b);
}

/* There is one part */
NEON_INLINE costs costs_join(costs x, unsigned period)
{
	(void)period;
	return x;
}

/* Costs of eight states with their numbers, from @first on, below them; the least of these pairs is the first least */
NEON_INLINE uint32_t least(const int16_t *level, const uint16_t *before, int16_t u, uint16_t first, unsigned n)
{
	const uint16_t number[8] = {0, 1, 2, 3, 4, 5, 6, 7};
	uint16x8_t cost = costs_add(vld1q_u16(before), vreinterpretq_u16_s16(vdupq_n_s16(u)),
				    vreinterpretq_u16_s16(vld1q_s16(level)));
	uint16x8_t at = vld1q_u16(number);
	uint32x4_t low, high;

	if (n < 8)
		cost = vorrq_u16(cost, vcgeq_u16(at, vdupq_n_u16((uint16_t)n)));
	at = vaddq_u16(at, vdupq_n_u16(first));
	low = vreinterpretq_u32_u16(vzip1q_u16(at, cost));
	high = vreinterpretq_u32_u16(vzip2q_u16(at, cost));
	return vminvq_u32(vminq_u32(low, high));
}

NEON_INLINE unsigned costs_back(const int16_t *level, const uint16_t *before, const uint16_t *more, int16_t u,
				unsigned bits)
{
	uint32_t low = least(level, before, u, 0, 1u << bits), high;

	if (bits < 4)
		return low & 0xffff;
	high = least(level + 8, more, u, 8, 8);
	return (high < low ? high : low) & 0xffff;
}

/* As in scalar: clip, then round */
static void to_units(const float *y, size_t n, float inv, int16_t *u)
{
	const float32x4_t top = vdupq_n_f32(TQ_TRELLIS_TOP);
	float32x4_t v[2];
	size_t i;
	int k;

	for (i = 0; i < n; i += 8) {
		for (k = 0; k < 2; k++) {
			v[k] = vmulq_n_f32(vld1q_f32(y + i + 4 * k), inv);
			v[k] = vmaxq_f32(vminq_f32(v[k], top), vnegq_f32(top));
		}
		vst1q_s16(u + i, vcombine_s16(vmovn_s32(vcvtnq_s32_f32(v[0])), vmovn_s32(vcvtnq_s32_f32(v[1]))));
	}
}

#include "../simd/trellis_search.h"

size_t neon_trellis_together(const struct tq_plan *plan)
{
	return search_together(plan);
}

void neon_trellis_search_tables(const struct tq_plan *plan, struct trellis_tables *t)
{
	search_tables(plan, t->target, t->level);
}

void neon_trellis_search(const struct tq_plan *plan, const struct trellis_tables *t, const float *const *y,
			 const float *r, size_t rows, uint8_t *const *row)
{
	search_rows(plan, t, y, r, rows, row);
}
