/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_AVX512_DWORDS_H
#define TQ_AVX512_DWORDS_H

/*
 * Sixteen rows turned: a register for a dword of each, one row to a lane.
 *
 * Rows of an odd number of dwords that lie one behind the other need no load of their own. Of as many registers
 * as a row has dwords, in order, dword j of row r is in lane (step r + j) % 16 of register (step r + j) / 16.
 * For one j these are sixteen different lanes, so blends put them into one register, and a permutation
 * in order.
 */

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

/* Dword j of each 128 bits of @ri to lane i of those of register j */
LEVELS_INLINE void turn_four(__m512i r0, __m512i r1, __m512i r2, __m512i r3, __m512i *x)
{
	__m512i a0 = _mm512_unpacklo_epi32(r0, r1), a1 = _mm512_unpackhi_epi32(r0, r1);
	__m512i b0 = _mm512_unpacklo_epi32(r2, r3), b1 = _mm512_unpackhi_epi32(r2, r3);

	x[0] = _mm512_unpacklo_epi64(a0, b0);
	x[1] = _mm512_unpackhi_epi64(a0, b0);
	x[2] = _mm512_unpacklo_epi64(a1, b1);
	x[3] = _mm512_unpackhi_epi64(a1, b1);
}

/** load_dwords - dword j of the 16 bytes at @at of rows 0 .. 15 to register j */
LEVELS_INLINE void load_dwords(const uint8_t *const *row, size_t at, __mmask16 mask, __m512i *x)
{
	turn_four(load_quarters(row, at, mask), load_quarters(row + 1, at, mask), load_quarters(row + 2, at, mask),
		  load_quarters(row + 3, at, mask), x);
}

/** Most dwords of a row that is turned in place */
#define TURN_MOST 5

/** turn_rows - dword j of sixteen rows of @step dwords in the registers @from to @x[j]: 3, 4 or 5
 *
 * The lane of a row: turn_order().
 */
LEVELS_INLINE void turn_rows(const __m512i *from, uint32_t step, __m512i *x)
{
	const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
	const uint32_t first = step == 3 ? 0x9249 : 0x8421; /* every third or fifth lane; 16 % step is 1 */
	__m512i all;
	uint32_t j, k;

	if (step == 4) {
		turn_four(from[0], from[1], from[2], from[3], x);
		return;
	}
#pragma GCC unroll 5
	for (j = 0; j < step; j++) {
		all = from[0];
#pragma GCC unroll 5
		for (k = 1; k < step; k++)
			all = _mm512_mask_blend_epi32((__mmask16)(first << (j + step - k) % step), all, from[k]);
		/* a permutation looks at the low four bits */
		x[j] = _mm512_permutexvar_epi32(
			_mm512_add_epi32(_mm512_mullo_epi32(lane, _mm512_set1_epi32((int)step)), _mm512_set1_epi32((int)j)),
			all);
	}
}

/** turn_order - of sixteen numbers in the lanes of turn_rows(), that of row r in lane r */
LEVELS_INLINE __m512 turn_order(__m512 v, uint32_t step)
{
	const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);

	return step == 4 ? _mm512_permutexvar_ps(order, v) : v;
}

#endif
