/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_AVX512_DWORDS_H
#define TQ_AVX512_DWORDS_H

/* Sixteen rows turned: a register for a dword of each, one row to a lane. */

#include "levels.h"

/** load_part - 16 bytes of a row, or those of @mask and zeros */
LEVELS_INLINE __m128i load_part(const uint8_t *p, __mmask16 mask)
{
	return mask == 0xffff ? _mm_loadu_si128((const __m128i *)p) : _mm_maskz_loadu_epi8(mask, p);
}

/* Of rows 0, 4, 8, 12: then unpacking four of these leaves the rows in order */
LEVELS_INLINE __m512i load_quarters(const uint8_t *const *row, size_t at, __mmask16 mask)
{
	__m512i x = _mm512_castsi128_si512(load_part(row[0] + at, mask));

	x = _mm512_inserti32x4(x, load_part(row[4] + at, mask), 1);
	x = _mm512_inserti32x4(x, load_part(row[8] + at, mask), 2);
	return _mm512_inserti32x4(x, load_part(row[12] + at, mask), 3);
}

/** load_dwords - dword j of the 16 bytes at @at of rows 0 .. 15 to register j */
LEVELS_INLINE void load_dwords(const uint8_t *const *row, size_t at, __mmask16 mask, __m512i *x)
{
	__m512i r0 = load_quarters(row, at, mask), r1 = load_quarters(row + 1, at, mask);
	__m512i r2 = load_quarters(row + 2, at, mask), r3 = load_quarters(row + 3, at, mask);
	__m512i a0 = _mm512_unpacklo_epi32(r0, r1), a1 = _mm512_unpackhi_epi32(r0, r1);
	__m512i b0 = _mm512_unpacklo_epi32(r2, r3), b1 = _mm512_unpackhi_epi32(r2, r3);

	x[0] = _mm512_unpacklo_epi64(a0, b0);
	x[1] = _mm512_unpackhi_epi64(a0, b0);
	x[2] = _mm512_unpacklo_epi64(a1, b1);
	x[3] = _mm512_unpackhi_epi64(a1, b1);
}

#endif
