/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_AVX512_BITS_H
#define TQ_AVX512_BITS_H

/* Single bits as numbers of entries of struct bit_sums. */

#include "query.h"

/** entries - the low (@high = 0) or high halves of bytes, the number of the byte in its dword above them */
LEVELS_INLINE __m512i entries(__m512i x, int high)
{
	const __m512i byte = _mm512_set1_epi32(0x30201000);

	if (high)
		x = _mm512_srli_epi32(x, 4);
	/* where the mask has ones x, else the number of the byte */
	return _mm512_ternarylogic_epi32(x, _mm512_set1_epi8(0x0f), byte, 0xe2);
}

/** add_found - to the sums of 16 rows what @table has for their entries: a row's four bytes become one sum */
LEVELS_INLINE __m512i add_found(__m512i sums, __m512i entry, const uint8_t *table)
{
	return _mm512_dpbusd_epi32(sums, _mm512_permutexvar_epi8(entry, _mm512_load_si512(table)),
				   _mm512_set1_epi8(1));
}

#endif
