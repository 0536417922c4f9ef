/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rotated rows to codes of a fraction of a bit: simd/radix_rows.h. A level is as many thresholds as are reached, of 22
 * at most, for 16 coordinates at a time.
 */

#include "radix.h"
#include "pack.h"
#include "../simd/radix_rows.h"

/* Levels of 16 coordinates under thresholds bounds * r */
NEON_INLINE uint8x16_t levels_of(const struct tq_codebook *book, float r, const float32x4_t *y)
{
	uint32x4_t reached[4] = { vdupq_n_u32(0), vdupq_n_u32(0), vdupq_n_u32(0), vdupq_n_u32(0) };
	float32x4_t threshold;
	uint32_t k;
	int i;

	for (k = 0; k + 1 < book->count; k++) {
		threshold = vdupq_n_f32(book->bounds[k] * r);
		for (i = 0; i < 4; i++)
			reached[i] = vsubq_u32(reached[i], vcgeq_f32(y[i], threshold));
	}
	return low_bytes(reached);
}

/* Those of 16 bytes from @first to @end - 1 */
static void store_range(uint8x16_t v, size_t first, size_t end, uint8_t *to)
{
	uint8_t all[16];

	if (first == 0 && end >= 16) {
		vst1q_u8(to, v);
		return;
	}
	vst1q_u8(all, v);
	memcpy(to + first, all + first, (end < 16 ? end : 16) - first);
}

static struct fit fit_nearest(const struct tq_plan *plan, const struct radix_tables *t, const float *y, float r,
			      uint8_t *index)
{
	float32x4_t yc[4] = { vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0) }, v[4], f[4];
	size_t first = 0, end, at, from, d = plan->dim;
	int8x16_t there, hi, lo;
	int64x2_t cc = vdupq_n_s64(0);
	uint8x16_t level;
	int16x8_t odd[2];
	uint32_t b;

	for (b = 0; b < t->books; b++, first = end) {
		end = book_end(plan, t, b);
		for (at = first & ~(size_t)15; at < end; at += 16) {
			from = at < first ? first - at : 0;
			part_floats(y + at, d - at < 16 ? d - at : 16, v);
			level = levels_of(&t->book[b].levels, r, v);
			there = vreinterpretq_s8_u8(vbicq_u8(bytes_below(end - at), bytes_below(from)));
			radix_look_up(t, b, level, &hi, &lo);
			radix_odd(t, vandq_s8(hi, there), vandq_s8(lo, there), odd);
			odd_floats(odd, f);
			add_products(yc, v, f);
			cc = add_squares(cc, odd);
			if (index)
				store_range(level, from, end - at, index + at);
		}
	}
	return (struct fit){ sum_tree(yc), vaddvq_s64(cc) };
}

/* Words @k .. @k + 15 and up, of which @n exist, as bytes; zeros beyond. @top: of nine bits, the last */
NEON_INLINE uint8x16_t words_of(const struct tq_plan *plan, const uint8_t *index, size_t k, size_t n, uint8x16_t *top)
{
	const struct tq_radix *x = plan->radix;
	uint16x8_t word[2] = { vdupq_n_u16(0), vdupq_n_u16(0) };
	uint8x16_t digit;
	size_t j, at, m;

	for (j = x->digits; j-- > 0;) {
		at = j * x->words + k;
		m = at >= plan->dim ? 0 : plan->dim - at < n ? plan->dim - at : n;
		digit = m ? vandq_u8(vld1q_u8(index + at), bytes_below(m)) : vdupq_n_u8(0);
		word[0] = vaddw_u8(vmulq_n_u16(word[0], x->count[j]), vget_low_u8(digit));
		word[1] = vaddw_high_u8(vmulq_n_u16(word[1], x->count[j]), digit);
	}
	*top = vuzp2q_u8(vreinterpretq_u8_u16(word[0]), vreinterpretq_u8_u16(word[1]));
	return vuzp1q_u8(vreinterpretq_u8_u16(word[0]), vreinterpretq_u8_u16(word[1]));
}

static void pack_words(const struct tq_plan *plan, const uint8_t *index, uint8_t *row)
{
	size_t words = plan->radix->words, k, n, half, m;
	uint8x16_t word[2], top[2];

	for (k = 0; k < words; k += RADIX_WORDS) {
		n = words - k < RADIX_WORDS ? words - k : RADIX_WORDS;
		for (half = 0; half < 2; half++) {
			m = n < 16 * half ? 0 : n - 16 * half < 16 ? n - 16 * half : 16;
			word[half] = words_of(plan, index, k + 16 * half, m, &top[half]);
		}
		pack_block(&plan->layout, row, word, k, n);
		if (plan->radix->width == 9)
			store_part16(row + plan->layout.section[0].at + k / 8,
				     join_bits(vtstq_u8(top[0], top[0]), vtstq_u8(top[1], top[1])), (n + 7) / 8);
	}
}

void neon_radix_quantize(const struct tq_plan *plan, const void *state, const float *y, const struct tq_row_stat *stat,
			 size_t n, uint8_t *codes)
{
	uint8_t index[RADIX_ROOM];

	for (; n; n--, y += plan->dim, stat++, codes += plan->layout.row_bytes)
		quantize_row(plan, state, y, stat, index, codes);
}
