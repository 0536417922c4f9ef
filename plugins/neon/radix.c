/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of codes of a fraction of a bit to levels: radix.h says how.
 */

#include "radix.h"
#include "pack.h"
#include "../simd/radix_book.h"

int neon_radix_create(const struct tq_host *host, const struct tq_plan *plan, void **state)
{
	struct radix_tables *t = host->alloc(host, sizeof(*t));
	const struct tq_radix *x = plan->radix;
	uint32_t j, k;
	int level;

	if (!t)
		return TQ_ERR_NOMEM;
	memset(t, 0, sizeof(*t));
	t->plan = plan;
	t->planes = plan->codebook.planes;
	radix_books(plan, t);
	for (j = 0; j < x->digits; j++) {
		while (x->count[j] >> (t->shift[j] + 1))
			t->shift[j]++;
		t->factor[j] = (uint8_t)((256u << t->shift[j]) / x->count[j] + 1);
		for (k = 0; k < 32; k++) {
			level = plan->codebook.odd[x->base[j] + k % x->count[j]];
			t->hi[j][k] = (int8_t)(level / 128);
			t->lo[j][k] = (int8_t)(t->planes == 2 ? level % 128 : level);
		}
	}
	t->wide = (int16_t)(32768 / x->count[0] + 1);
	*state = t;
	return TQ_OK;
}

void neon_radix_destroy(const struct tq_host *host, void *state)
{
	host->free(host, state);
}

/* Words @k .. @k + 31, of which @n exist, without their ninth bit: fields of the binary digits of their width */
NEON_INLINE void words_at(const struct radix_tables *t, const uint8_t *row, size_t k, size_t n, unsigned width,
			  uint8x16_t *word)
{
	const struct tq_section *s = t->plan->layout.section;
	unsigned field, left = width;

	word[0] = word[1] = vdupq_n_u8(0);
	for (field = 1; field <= 8; field *= 2) {
		if (!(width & field))
			continue;
		left -= field;
		if (left < 8)
			unpack_field(row + s->at + k / 8 * field, field, left, n, word);
		s++;
	}
}

/* What the digits of a byte take: levels, and what divides by their counts */
struct places {
	uint8x16_t lo[TQ_RADIX_DIGITS], factor[TQ_RADIX_DIGITS], count[TQ_RADIX_DIGITS];
	int8x16_t shift[TQ_RADIX_DIGITS];
};

NEON_INLINE void places_load(const struct radix_tables *t, unsigned digits, struct places *p)
{
	unsigned j;

#pragma GCC unroll 5
	for (j = 0; j < digits; j++) {
		p->lo[j] = vld1q_u8((const uint8_t *)t->lo[j]);
		p->factor[j] = vdupq_n_u8(t->factor[j]);
		p->count[j] = vdupq_n_u8((uint8_t)t->plan->radix->count[j]);
		p->shift[j] = vdupq_n_s8((int8_t)-t->shift[j]);
	}
}

/* Digits of 16 words that fit a byte */
NEON_INLINE void byte_digits(const struct places *p, uint8x16_t word, unsigned digits, size_t words, int8_t *to)
{
	uint8x16_t digit, next;
	uint16x8_t low, high;
	unsigned j;

#pragma GCC unroll 5
	for (j = 0; j < digits; j++, word = next) {
		next = digit = word;
		if (j + 1 < digits) {
			low = vmull_u8(vget_low_u8(word), vget_low_u8(p->factor[j]));
			high = vmull_high_u8(word, p->factor[j]);
			next = vuzp2q_u8(vreinterpretq_u8_u16(low), vreinterpretq_u8_u16(high));
			next = vshlq_u8(next, p->shift[j]);
			digit = vmlsq_u8(word, next, p->count[j]);
		}
		vst1q_s8(to + j * words, vreinterpretq_s8_u8(vqtbl1q_u8(p->lo[j], digit)));
	}
}

/* Words @k and up */
NEON_INLINE void byte_words(const struct radix_tables *t, const struct places *p, const uint8_t *row, size_t k, size_t n,
			    unsigned width, unsigned digits, int8_t *to)
{
	size_t words = t->plan->radix->words;
	uint8x16_t word[2];

	words_at(t, row, k, n, width, word);
	if (n > 16)
		byte_digits(p, word[1], digits, words, to + k + 16);
	byte_digits(p, word[0], digits, words, to + k);
}

/* A digit's bytes may reach into those of the next, which are written later: of the same words, or of earlier ones */
NEON_INLINE void byte_row(const struct radix_tables *t, const uint8_t *row, unsigned width, unsigned digits, int8_t *to)
{
	size_t words = t->plan->radix->words, k = words / RADIX_WORDS * RADIX_WORDS;
	struct places p;

	places_load(t, digits, &p);
	if (words > k)
		byte_words(t, &p, row, k, words - k, width, digits, to);
	while (k) {
		k -= RADIX_WORDS;
		byte_words(t, &p, row, k, RADIX_WORDS, width, digits, to);
	}
}

/* The two digits of 16 words of nine bits, whose top bits are 0 or 0xff */
NEON_INLINE void wide_digits(const struct radix_tables *t, uint8x16_t word, uint8x16_t top, size_t k,
			     struct radix_levels *to)
{
	const int16_t count = (int16_t)t->plan->radix->count[0];
	int16x8_t w, next[2], digit[2];
	uint8x16_t value[2];
	int8x16_t hi, lo;
	uint32_t j;
	size_t at;

	top = vshrq_n_u8(top, 7);
	for (j = 0; j < 2; j++) {
		w = vreinterpretq_s16_u8(j ? vzip2q_u8(word, top) : vzip1q_u8(word, top));
		next[j] = vqdmulhq_n_s16(w, t->wide);
		digit[j] = vmlsq_n_s16(w, next[j], count);
	}
	value[0] = vuzp1q_u8(vreinterpretq_u8_s16(digit[0]), vreinterpretq_u8_s16(digit[1]));
	value[1] = vuzp1q_u8(vreinterpretq_u8_s16(next[0]), vreinterpretq_u8_s16(next[1]));
	for (j = 0; j < 2; j++) {
		at = j * t->plan->radix->words + k;
		radix_look_up(t, j, value[j], &hi, &lo);
		vst1q_s8(to->hi + at, hi);
		vst1q_s8(to->lo + at, lo);
	}
}

static void wide_row(const struct radix_tables *t, const uint8_t *row, struct radix_levels *to)
{
	size_t words = t->plan->radix->words, k = (words - 1) / RADIX_WORDS * RADIX_WORDS + RADIX_WORDS, n, half;
	const uint8x16_t each = vshrq_n_u8(byte_numbers(), 3);
	uint8x16_t word[2], top, byte;

	while (k) {
		k -= RADIX_WORDS;
		n = words - k < RADIX_WORDS ? words - k : RADIX_WORDS;
		words_at(t, row, k, n, 9, word);
		top = part16(row + t->plan->layout.section[0].at + k / 8, (n + 7) / 8);
		for (half = n > 16 ? 2 : 1; half-- > 0;) {
			byte = vqtbl1q_u8(top, vaddq_u8(each, vdupq_n_u8((uint8_t)(2 * half))));
			wide_digits(t, word[half], vtstq_u8(byte, bit_weights()), k + 16 * half, to);
		}
	}
}

void neon_radix_row(const struct radix_tables *t, const uint8_t *row, struct radix_levels *to)
{
	switch (t->plan->radix->width) {
	case 5:
		byte_row(t, row, 5, 2, to->lo);
		break;
	case 7:
		if (t->plan->radix->digits == 2)
			byte_row(t, row, 7, 2, to->lo);
		else
			byte_row(t, row, 7, 3, to->lo);
		break;
	case 8:
		byte_row(t, row, 8, 5, to->lo);
		break;
	default:
		wide_row(t, row, to);
		break;
	}
}

static void dequantize(const struct tq_plan *plan, const void *state, const uint8_t *codes, size_t n, float *y,
		       int32_t *exponent)
{
	const struct radix_tables *t = state;
	struct radix_levels levels;
	int16x8_t odd[2];
	float32x4_t v[4];
	size_t i, at;
	float step;
	int k;

	for (i = 0; i < n; i++, codes += plan->layout.row_bytes, y += plan->dim) {
		step = tq_split_scale(tq_load_scale(plan, codes + plan->layout.scale_at), &exponent[i]) *
		       plan->codebook.half_step;
		neon_radix_row(t, codes, &levels);
		for (at = 0; at < plan->dim; at += 16) {
			radix_odd(t, vld1q_s8(levels.hi + at), vld1q_s8(levels.lo + at), odd);
			odd_floats(odd, v);
			for (k = 0; k < 4; k++)
				v[k] = vmulq_n_f32(v[k], step);
			store_part_floats(y + at, v, plan->dim - at < 16 ? plan->dim - at : 16);
		}
	}
}

const struct tq_quantizer_ops neon_radix_ops = {
	.struct_size = sizeof(struct tq_quantizer_ops),
	.create = neon_radix_create,
	.destroy = neon_radix_destroy,
	.quantize = neon_radix_quantize,
	.dequantize = dequantize,
};
