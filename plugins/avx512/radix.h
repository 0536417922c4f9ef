/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_AVX512_RADIX_H
#define TQ_AVX512_RADIX_H

/*
 * Codes of a fraction of a bit. Up to 3.5: 64 words of a row to bytes, and from those the levels of their
 * digits by tables. A digit of 64 words in turn is 64 coordinates side by side: a unit. Unit
 * j * radix_chunks() + c has the digits j of words 64 c and up.
 *
 * 4.5, called wide: 32 words of 9 bits in 16-bit lanes, whose two digits come by a division.
 */

#include "lanes.h"
#include "levels.h"
#include "tq/radix.h"

#define RADIX_DIM_MAX 4096
#define RADIX_UNIT 64
#define RADIX_UNITS (RADIX_DIM_MAX / RADIX_UNIT + TQ_RADIX_DIGITS)

/** struct radix_book - the levels of a digit: alone, and in the forms that their search wants */
struct radix_book {
	struct tq_codebook levels;
	struct avx512_tables tables;
};

/**
 * struct radix_tables - state of the drivers
 * @level: up to 3.5 bits: level number + 128 of the digits of each word, repeated
 * @low, @high: for radix_read(): levels + 128 by six bits of a word and for its seventh, or by l and h
 * @order: ... bytes of the field of four bits, for a whole chunk and the last one
 * @bit:   ... where the single bit of each word is taken from
 * @quotient, @product: ... h and 27 h by the upper six bits of a word
 * @place: ... words of a chunk in the order that it gives
 * @wide:  4.5 bits: level number of the two digits
 * @hi, @lo: ... the same for radix_wide_digits(): 128 hi + lo = level number + 16384
 * @book:  of the first digit and, if @books is 2, of the other
 */
struct radix_tables {
	uint8_t level[TQ_RADIX_DIGITS][256];
	_Alignas(64) uint8_t low[TQ_RADIX_DIGITS][64];
	uint8_t high[3][64];
	uint8_t order[2][64];
	uint8_t bit[64];
	uint8_t quotient[64];
	uint8_t product[64];
	uint8_t place[64];
	_Alignas(64) uint8_t hi[64];
	uint8_t lo[64];
	int16_t wide[2][32];
	uint32_t books;
	struct radix_book book[2];
};

int avx512_radix_create(const struct tq_host *host, const struct tq_plan *plan, void **state);
void avx512_radix_destroy(const struct tq_host *host, void *state);
void avx512_radix_quantize(const struct tq_plan *plan, const void *state, const float *y,
			   const struct tq_row_stat *stat, size_t n, uint8_t *codes);

/** avx512_radix_quantize_rows - avx512_quantize_rows() of these codes */
void avx512_radix_quantize_rows(const struct tq_plan *plan, const void *state, const float *y, size_t stride,
				const struct tq_row_stat *stat, size_t n, const struct avx512_ahead *ahead,
				uint8_t *codes);

/** struct radix_lookup - the tables in registers, as many as there are */
struct radix_lookup {
	__m512i level[TQ_RADIX_DIGITS][4];
};

AVX512_INLINE void radix_lookup_load(const struct radix_tables *t, uint32_t digits, uint32_t width,
				     struct radix_lookup *l)
{
	uint32_t j, k;

#pragma GCC unroll 5
	for (j = 0; j < digits; j++)
#pragma GCC unroll 4
		for (k = 0; k < levels_ntables(width); k++)
			l->level[j][k] = _mm512_loadu_si512(t->level[j] + 64 * k);
}

/** radix_levels - level numbers + 128, 1 .. 255, of digit @j of 64 words */
AVX512_INLINE __m512i radix_levels(const struct radix_lookup *l, uint32_t j, __m512i words, uint32_t width)
{
	return look_up(l->level[j], words, width);
}

static inline size_t radix_chunks(const struct tq_plan *plan)
{
	return (plan->radix->words + RADIX_UNIT - 1) / RADIX_UNIT;
}

/** radix_unit - coordinates of the unit of digit @j and chunk @c; @first receives the first of them */
static inline size_t radix_unit(const struct tq_plan *plan, size_t j, size_t c, size_t *first)
{
	size_t words = plan->radix->words, n = words - RADIX_UNIT * c;

	*first = j * words + RADIX_UNIT * c;
	if (*first >= plan->dim)
		return 0;
	n = n < RADIX_UNIT ? n : RADIX_UNIT;
	return n < plan->dim - *first ? n : plan->dim - *first;
}

/* Fields of @each bits of 64 words from word @k on: field i at bit @first of byte i */
AVX512_INLINE __m512i radix_field(const uint8_t *field, size_t k, size_t n, int each, int first)
{
	uint64_t mask = n < RADIX_UNIT ? bytes((n * (size_t)each + 7) / 8) : 0;
	const uint8_t *p = field + k * (size_t)each / 8;

	if (each == 1)
		return bits_from(_mm512_cvtepu8_epi64(mask ? _mm_maskz_loadu_epi8((__mmask16)mask, p)
							   : _mm_loadl_epi64((const __m128i *)(const void *)p)),
				 1, -first);
	return bits_from(load_field(p, mask ? &mask : NULL, (size_t)each * 8), each, -first);
}

/**
 * radix_words - words 64 @c and up of a row of words of @width bits, in the low bits of bytes; above them,
 * and past the end of the row, is anything
 */
AVX512_INLINE __m512i radix_words(const struct tq_plan *plan, const uint8_t *row, size_t c, uint32_t width)
{
	const struct tq_section *s = plan->layout.section;
	size_t k = RADIX_UNIT * c, n = plan->radix->words - k;
	__m512i top;

	if (width == 8)
		return n < RADIX_UNIT ? _mm512_maskz_loadu_epi8(bytes(n), row + s->at + k)
				      : _mm512_loadu_si512(row + s->at + k);
	if (width == 5)
		return select_bits(0x0f, radix_field(row + s[1].at, k, n, 4, 0),
				   radix_field(row + s[0].at, k, n, 1, 4));
	top = select_bits(0x30, radix_field(row + s[1].at, k, n, 2, 4), radix_field(row + s[0].at, k, n, 1, 6));
	return select_bits(0x0f, radix_field(row + s[2].at, k, n, 4, 0), top);
}

/** RADIX_EACH_WIDTH - call(digits, width) for the code of @x, constants; up to 3.5 bits */
#define RADIX_EACH_WIDTH(x, call)                                                                  \
	do {                                                                                       \
		if ((x)->width == 8)                                                               \
			call(5, 8);                                                                \
		else if ((x)->width == 5)                                                          \
			call(2, 5);                                                                \
		else if ((x)->digits == 2)                                                         \
			call(2, 7);                                                                \
		else                                                                               \
			call(3, 7);                                                                \
	} while (0)

#define RADIX_WIDE_UNIT 32

/** radix_wide_words - words @k .. @k + 31 of 9 bits, of which @n exist, in 16-bit lanes; zeros beyond */
AVX512_INLINE __m512i radix_wide_words(const struct tq_plan *plan, const uint8_t *row, size_t k, size_t n)
{
	const uint8_t *top = row + plan->layout.section[0].at + k / 8, *low = row + plan->layout.section[1].at + k;
	uint32_t bits;
	__m512i word;

	if (n >= RADIX_WIDE_UNIT) {
		memcpy(&bits, top, sizeof(bits));
		word = _mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i *)(const void *)low));
	} else {
		bits = (uint32_t)_mm_cvtsi128_si32(_mm_maskz_loadu_epi8((__mmask16)bytes((n + 7) / 8), top));
		word = _mm512_cvtepu8_epi16(_mm256_maskz_loadu_epi8((__mmask32)bytes(n), low));
	}
	return _mm512_mask_add_epi16(word, bits, word, _mm512_set1_epi16(256));
}

/** radix_wide_second - second digits of words, as they are before the last remainder: 0 .. 22; 2850 / 2^16 is 1 / 23 */
AVX512_INLINE __m512i radix_wide_second(__m512i word)
{
	return _mm512_mulhi_epu16(word, _mm512_set1_epi16(2850));
}

/** radix_wide_first - first digits, 0 .. 22 */
AVX512_INLINE __m512i radix_wide_first(__m512i word, __m512i second)
{
	return _mm512_sub_epi16(word, _mm512_mullo_epi16(second, _mm512_set1_epi16(23)));
}

/** radix_wide_digits - first digits in the even bytes, 32 + second ones in the odd ones */
AVX512_INLINE __m512i radix_wide_digits(__m512i word)
{
	__m512i second = radix_wide_second(word);

	word = _mm512_add_epi16(word, _mm512_set1_epi16(32 << 8));
	return _mm512_add_epi16(word, _mm512_mullo_epi16(second, _mm512_set1_epi16(256 - 23)));
}

#endif
