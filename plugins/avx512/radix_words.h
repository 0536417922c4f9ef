/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_AVX512_RADIX_WORDS_H
#define TQ_AVX512_RADIX_WORDS_H

/*
 * 64 words of up to 8 bits to the levels of their digits, for scores, where the order of words is free.
 *
 * 5 and 7 bits: byte 16 t + m of a register is word 4 m + t, so that fields of four and two bits come to their place
 * by shifts of whole lanes:
 *
 *	4 bits	bytes 0 2 4 ... | 0 2 4 ... | 1 3 5 ... | 1 3 5 ...	down by 0 | 4 | 0 | 4
 *	2 bits	bytes 0 1 2 ... four times				up by 4 | 2 | 0 | -2
 *	1 bit	each of 64 picked from one qword
 *
 * Six bits are an index of vpermb; the seventh is a mask that picks between two tables.
 *
 * 8 bits, five digits of three: word = 27 h + l. The upper six bits of the word give h, too small by one at most, and
 * l = word - 27 h is below 32; digits 0 to 2 are looked up by l, 3 and 4 by h put right. If a row has no more than 32
 * words, two rows go together.
 */

#include "radix.h"

/** struct radix_reader - the tables in registers */
struct radix_reader {
	__m512i low[TQ_RADIX_DIGITS], high[3];
	__m512i order[2], bit;
	__m512i quotient, product;
};

AVX512_INLINE void radix_reader_load(const struct radix_tables *t, uint32_t digits, uint32_t width,
				     struct radix_reader *r)
{
	uint32_t j;

#pragma GCC unroll 5
	for (j = 0; j < digits; j++) {
		r->low[j] = _mm512_load_si512(t->low[j]);
		if (width == 7)
			r->high[j] = _mm512_load_si512(t->high[j]);
	}
	if (width == 8) {
		r->quotient = _mm512_load_si512(t->quotient);
		r->product = _mm512_load_si512(t->product);
		return;
	}
	r->order[0] = _mm512_load_si512(t->order[0]);
	r->order[1] = _mm512_load_si512(t->order[1]);
	r->bit = _mm512_load_si512(t->bit);
}

/* Levels + 128 of words of 8 bits, five registers */
AVX512_INLINE void levels_of_bytes(const struct radix_reader *r, __m512i word, __m512i *level)
{
	__m512i upper = _mm512_srli_epi16(word, 2), h = _mm512_permutexvar_epi8(upper, r->quotient);
	__m512i l = _mm512_sub_epi8(word, _mm512_permutexvar_epi8(upper, r->product));

	h = _mm512_mask_sub_epi8(h, _mm512_cmpge_epu8_mask(l, _mm512_set1_epi8(27)), h, _mm512_set1_epi8(-1));
	level[0] = _mm512_permutexvar_epi8(l, r->low[0]);
	level[1] = _mm512_permutexvar_epi8(l, r->low[1]);
	level[2] = _mm512_permutexvar_epi8(l, r->low[2]);
	level[3] = _mm512_permutexvar_epi8(h, r->low[3]);
	level[4] = _mm512_permutexvar_epi8(h, r->low[4]);
}

AVX512_INLINE __m512i load_qword(const uint8_t *p)
{
	long long x;

	memcpy(&x, p, sizeof(x));
	return _mm512_set1_epi64(x);
}

/* Levels + 128 of chunk @c of words of 5 or 7 bits; reads up to 32 bytes before the row's end, and 16 behind a field */
AVX512_INLINE void levels_of_fields_at(const struct radix_reader *r, const struct tq_section *s, const uint8_t *row,
				       size_t c, int whole, uint32_t digits, uint32_t width, __m512i *level)
{
	const __m512i down = _mm512_setr_epi64(0, 0, 4, 4, 0, 0, 4, 4), up = _mm512_setr_epi64(4, 4, 2, 2, 0, 0, 62, 62);
	const struct tq_section *wide = s + (width == 7 ? 2 : 1);
	const uint8_t *nibbles = whole ? row + wide->at + 32 * c : row + wide->at + wide->bytes - 32;
	__m512i low, more, bit = _mm512_multishift_epi64_epi8(r->bit, load_qword(row + s->at + 8 * c));
	__mmask64 top;
	uint32_t j;

	low = _mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)(const void *)nibbles));
	low = _mm512_srlv_epi64(_mm512_permutexvar_epi8(r->order[!whole], low), down);
	if (width == 5) {
		low = _mm512_ternarylogic_epi64(_mm512_set1_epi8(0x0f), low, bit, 0xca);
#pragma GCC unroll 2
		for (j = 0; j < digits; j++)
			level[j] = _mm512_permutexvar_epi8(low, r->low[j]);
		return;
	}
	more = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(const void *)(row + s[1].at + 16 * c)));
	low = _mm512_ternarylogic_epi64(_mm512_set1_epi8(0x0f), low, _mm512_rolv_epi64(more, up), 0xca);
	top = _mm512_movepi8_mask(bit);
#pragma GCC unroll 3
	for (j = 0; j < digits; j++) {
		level[j] = _mm512_permutexvar_epi8(low, r->low[j]);
		level[j] = _mm512_mask_permutexvar_epi8(level[j], top, low, r->high[j]);
	}
}

/** radix_read - levels + 128 of chunk @c of a row, @digits registers; rows as radix_row() gives them */
AVX512_INLINE void radix_read(const struct tq_plan *plan, const struct radix_reader *r, const uint8_t *row, size_t c,
			      uint32_t digits, uint32_t width, __m512i *level)
{
	size_t n = plan->radix->words - RADIX_UNIT * c;

	if (width == 8)
		levels_of_bytes(r, radix_words(plan, row, c, 8), level);
	else if (n >= RADIX_UNIT)
		levels_of_fields_at(r, plan->layout.section, row, c, 1, digits, width, level);
	else
		levels_of_fields_at(r, plan->layout.section, row, c, 0, digits, width, level);
}

/** radix_read_pair - those of two rows of up to 32 words of 8 bits */
AVX512_INLINE void radix_read_pair(const struct tq_plan *plan, const struct radix_reader *r, const uint8_t *a,
				   const uint8_t *b, __m512i *level)
{
	__mmask64 mask = bytes(plan->radix->words);
	size_t at = plan->layout.section->at;
	__m512i word = _mm512_maskz_loadu_epi8(mask, a + at);

	levels_of_bytes(r, _mm512_mask_loadu_epi8(word, mask << 32, b + at - 32), level);
}

/** Room for a small row, with what may be read around it */
#define RADIX_AROUND 32
#define RADIX_ROOM 192

/** radix_is_small - would radix_read() read what lies outside a row: it has less than a chunk of words */
AVX512_INLINE int radix_is_small(const struct tq_plan *plan)
{
	const struct tq_section *s = plan->layout.section;
	size_t end = plan->layout.row_bytes, chunks = radix_chunks(plan);

	if (plan->radix->width == 8)
		return 0;
	return end < 32 || s[0].at + 8 * chunks > end || (plan->radix->width == 7 && s[1].at + 16 * chunks > end) ||
	       s[plan->layout.nsections - 1].at + s[plan->layout.nsections - 1].bytes < 32;
}

/** radix_row - a row as radix_read() takes it: where it is, or in @room if it is small */
AVX512_INLINE const uint8_t *radix_row(const struct tq_plan *plan, int small, const uint8_t *row, uint8_t *room)
{
	return small ? memcpy(room + RADIX_AROUND, row, plan->layout.row_bytes) : row;
}

#endif
