/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_AVX512_SHORT_H
#define TQ_AVX512_SHORT_H

/*
 * Code bytes of rows that fill half or a quarter of a chunk: rows r and r + 4 (r + 8, r + 12) share a register,
 * and the levels of one chunk (levels.h) are those of two (four) rows.
 */

#include "query.h"

LEVELS_INLINE __m128i load16(const uint8_t *p, const uint64_t *mask)
{
	if (mask)
		return _mm_maskz_loadu_epi8((__mmask16)*mask, p);
	return _mm_loadu_si128((const __m128i *)p);
}

LEVELS_INLINE __m128i load8(const uint8_t *p, const uint64_t *mask)
{
	if (mask)
		return _mm_maskz_loadu_epi8((__mmask16)*mask, p);
	return _mm_loadl_epi64((const __m128i *)p);
}

LEVELS_INLINE __m256i load32(const uint8_t *p, const uint64_t *mask)
{
	if (mask)
		return _mm256_maskz_loadu_epi8((__mmask32)*mask, p);
	return _mm256_loadu_si256((const __m256i *)p);
}

/* 16 bytes of four rows */
LEVELS_INLINE __m512i quarters(const uint8_t *const *row, size_t at, const uint64_t *mask)
{
	__m512i x = _mm512_castsi128_si512(load16(row[0] + at, mask));

	x = _mm512_inserti32x4(x, load16(row[4] + at, mask), 1);
	x = _mm512_inserti32x4(x, load16(row[8] + at, mask), 2);
	return _mm512_inserti32x4(x, load16(row[12] + at, mask), 3);
}

/* 32 bytes of two rows */
LEVELS_INLINE __m512i halves(const uint8_t *const *row, size_t at, const uint64_t *mask)
{
	return _mm512_inserti64x4(_mm512_castsi256_si512(load32(row[0] + at, mask)),
				  load32(row[4] + at, mask), 1);
}

/* 3 bits: what of the narrow field belongs to those, as levels_decode() has it */
LEVELS_INLINE __m512i narrow(const uint8_t *const *row, size_t at, const uint64_t *mask,
			     uint32_t fold)
{
	__m128i low, high;

	if (fold == 2) {
		low = load16(row[0] + at, mask);
		high = load16(row[4] + at, mask);
	} else {
		low = _mm_unpacklo_epi64(load8(row[0] + at, mask), load8(row[4] + at, mask));
		high = _mm_unpacklo_epi64(load8(row[8] + at, mask), load8(row[12] + at, mask));
	}
	return _mm512_cvtepu32_epi64(_mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1));
}

/** short_fields - the fields of the rows @row[0], @row[4] and so on; @mask: which bytes each has, NULL for all */
LEVELS_INLINE void short_fields(const struct shape *s, const uint8_t *const *row, const uint64_t *mask, uint32_t bits,
				uint32_t fold, __m512i *f)
{
	uint32_t last = levels_fields(bits) - 1;

	if (fold == 2)
		f[last] = halves(row, s->at[last], mask ? mask + last : NULL);
	else
		f[last] = quarters(row, s->at[last], mask ? mask + last : NULL);
	if (bits == 3)
		f[0] = narrow(row, s->at[0], mask, fold);
}

/** short_mask - what of its share of a register a row fills: NULL for all */
LEVELS_INLINE const uint64_t *short_mask(const struct shape *s, uint32_t bits, uint32_t fold)
{
	return s->tail[levels_fields(bits) - 1] == (1ull << 64 / fold) - 1 ? NULL : s->tail;
}

#endif
