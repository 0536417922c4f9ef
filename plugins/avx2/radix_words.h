/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_AVX2_RADIX_WORDS_H
#define TQ_AVX2_RADIX_WORDS_H

/* 32 words of codes of a fraction of a bit: from the fields of a row to bytes, and those to the levels of their digits. */

#include "radix.h"

/* Up to 16 bytes at @p, @n of which are there, and anything behind them */
AVX2_INLINE __m128i radix_load_16(const uint8_t *row, const uint8_t *p, ptrdiff_t n)
{
	const __m128i ramp = _mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
	uint8_t room[16] = { 0 };

	if (n >= 16)
		return _mm_loadu_si128((const __m128i *)(const void *)p);
	if (n <= 0)
		return _mm_setzero_si128();
	if (p - row >= 16 - n) /* what ends with them, moved down */
		return _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(const void *)(p + n - 16)),
					_mm_add_epi8(ramp, _mm_set1_epi8((char)(16 - n))));
	memcpy(room, p, (size_t)n);
	return _mm_loadu_si128((const __m128i *)(const void *)room);
}

/* The same of @most bytes, where the row may have others behind them */
AVX2_INLINE const uint8_t *radix_field(const struct tq_plan *plan, const uint8_t *row, const uint8_t *p, size_t n, size_t most,
				 uint8_t *room)
{
	return (size_t)(p - row) + most <= plan->layout.row_bytes ? p : memcpy(room, p, n < most ? n : most);
}

AVX2_INLINE __m256i radix_nibbles(__m128i x)
{
	__m128i mask = _mm_set1_epi8(15), low, high;

	low = _mm_and_si128(x, mask);
	high = _mm_and_si128(_mm_srli_epi16(x, 4), mask);
	return _mm256_set_m128i(_mm_unpackhi_epi8(low, high), _mm_unpacklo_epi8(low, high));
}

/* Two bits each: byte k of a dword takes bits 2 k of its lowest */
AVX2_INLINE __m256i radix_crumbs(const uint8_t *p)
{
	__m256i x = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p));

	x = _mm256_or_si256(x, _mm256_slli_epi32(x, 6));
	x = _mm256_or_si256(x, _mm256_slli_epi32(x, 12));
	return _mm256_and_si256(x, _mm256_set1_epi8(3));
}

/* Single bits, as 0 or -1 */
AVX2_INLINE __m256i radix_single_bits(const uint8_t *p)
{
	const __m256i spread = _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3,
						3, 3, 3, 3, 3, 3);
	const __m256i bit = _mm256_set1_epi64x((long long)0x8040201008040201);
	int32_t four;

	memcpy(&four, p, sizeof(four));
	return _mm256_cmpeq_epi8(_mm256_and_si256(_mm256_shuffle_epi8(_mm256_set1_epi32(four), spread), bit), bit);
}

/* Up to 32 likewise */
AVX2_INLINE __m256i radix_load_32(const uint8_t *row, const uint8_t *p, ptrdiff_t n)
{
	return _mm256_set_m128i(radix_load_16(row, p + 16, n - 16), radix_load_16(row, p, n));
}

/** radix_words_at - words @k .. @k + 31, of which @n exist; anything beyond */
AVX2_INLINE __m256i radix_words_at(const struct tq_plan *plan, const uint8_t *row, size_t k, size_t n)
{
	const struct tq_section *s = plan->layout.section;
	uint32_t width = plan->radix->width;
	const uint8_t *p = row + s->at + k;
	uint8_t room[2][8] = { { 0 } };
	__m256i word;

	if (width == 8)
		return radix_load_32(row, p, (ptrdiff_t)n);
	word = radix_single_bits(radix_field(plan, row, row + s[0].at + k / 8, (n + 7) / 8, 4, room[0]));
	word = _mm256_and_si256(word, _mm256_set1_epi8(width == 7 ? 64 : 16));
	if (width == 7)
		word = _mm256_or_si256(word, _mm256_slli_epi16(
			radix_crumbs(radix_field(plan, row, row + s[1].at + k / 4, (n + 3) / 4, 8, room[1])), 4));
	s += width == 7 ? 2 : 1;
	return _mm256_or_si256(word, radix_nibbles(radix_load_16(row, row + s->at + k / 2, (ptrdiff_t)(n + 1) / 2)));
}

/* Bytes divided by a number whose inverse is given */
AVX2_INLINE __m256i radix_divide(__m256i x, uint16_t inverse)
{
	const __m256i factor = _mm256_set1_epi16((short)inverse);
	__m256i even = _mm256_mulhi_epu16(_mm256_and_si256(x, _mm256_set1_epi16(0xff)), factor);
	__m256i odd = _mm256_mulhi_epu16(_mm256_srli_epi16(x, 8), factor);

	return _mm256_or_si256(even, _mm256_slli_epi16(odd, 8));
}

/** radix_digits - g of the @n digits of 32 words */
AVX2_INLINE void radix_digits(const struct radix_tables *t, __m256i word, uint32_t n, __m256i *digit)
{
	const struct tq_radix *x = t->plan->radix;
	__m256i next = word, value, table;
	uint32_t j;

	for (j = 0; j < n; j++, word = next) {
		table = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)t->g[j]));
		value = word;
		if (j + 1 < n) {
			next = radix_divide(word, t->inverse[j]);
			value = _mm256_sub_epi8(word, _mm256_mullo_epi16(next, _mm256_set1_epi16((short)x->count[j])));
		}
		digit[j] = _mm256_shuffle_epi8(table, value);
	}
}

/** radix_wide_values - the two digits of words @k .. @k + 31 of nine bits, of which @n exist; anything beyond */
AVX2_INLINE void radix_wide_values(const struct radix_tables *t, const uint8_t *row, size_t k, size_t n, __m256i *value)
{
	const __m256i factor = _mm256_set1_epi16((short)t->inverse[0]);
	const __m256i count = _mm256_set1_epi16((short)t->plan->radix->count[0]);
	const struct tq_section *s = t->plan->layout.section;
	__m256i low, top, word[2], next[2];
	uint8_t room[8] = { 0 };
	int i;

	low = radix_load_32(row, row + s[1].at + k, (ptrdiff_t)n);
	top = radix_single_bits(radix_field(t->plan, row, row + s[0].at + k / 8, (n + 7) / 8, 4, room));
	top = _mm256_and_si256(top, _mm256_set1_epi8(1));
	word[0] = _mm256_unpacklo_epi8(low, top);
	word[1] = _mm256_unpackhi_epi8(low, top);
	for (i = 0; i < 2; i++) {
		next[i] = _mm256_mulhi_epu16(word[i], factor);
		word[i] = _mm256_sub_epi16(word[i], _mm256_mullo_epi16(next[i], count));
	}
	value[0] = _mm256_packus_epi16(word[0], word[1]);
	value[1] = _mm256_packus_epi16(next[0], next[1]);
}

/* Bytes of a table of 32 */
AVX2_INLINE __m256i radix_look_up(const uint8_t *table, __m256i value)
{
	__m256i low = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)table));
	__m256i high = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)(table + 16)));

	low = _mm256_shuffle_epi8(low, _mm256_add_epi8(value, _mm256_set1_epi8(0x70)));
	return _mm256_or_si256(low, _mm256_shuffle_epi8(high, _mm256_sub_epi8(value, _mm256_set1_epi8(16))));
}

#endif
