/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Sums of one 8-bit query over rows of up to 16 bytes of bits. A bit is one of two levels, so all
 * that counts is the sum S of the query where bits are set. A table has the sums of the query over
 * the sixteen values of four bits, in a byte, or two where one cannot hold it; one register of it serves
 * the four bytes of a dword, the number of the byte being the upper part of the index. Sixteen rows become
 * registers with a dword of each row, so what is found adds up in the lane of the row.
 */

#include "bits.h"
#include "dwords.h"
#include "score.h"

/* S of sixteen rows from their dwords; two short chains rather than one long one. @rests: which halves have one */
LEVELS_INLINE __m512i sum_dwords(const struct bit_sums *lut, const __m512i *x, uint32_t rests)
{
	__m512i s0 = _mm512_set1_epi32(lut->base), s1 = _mm512_setzero_si512();
	uint32_t j;

#pragma GCC unroll 4
	for (j = 0; j < BIT_SUMS; j++) {
		s0 = add_found(s0, entries(x[j], 0), lut->dword[j].sum[0]);
		s1 = add_found(s1, entries(x[j], 1), lut->dword[j].sum[1]);
	}
#pragma GCC unroll 4
	for (j = 0; j < BIT_SUMS; j++) {
		if (rests >> 2 * j & 1)
			s0 = add_found(s0, entries(x[j], 0), lut->dword[j].rest[0]);
		if (rests >> 2 * j & 2)
			s1 = add_found(s1, entries(x[j], 1), lut->dword[j].rest[1]);
	}
	return _mm512_add_epi32(s0, s1);
}

/* A = 2 (base sum(q) + step S) - beta sum(q): all below 2^24, so exact in float */
void avx512_sum_bits(const struct shape *s, const struct strip *strip, const struct bit_sums *lut,
		     int64_t sum, float *a)
{
	size_t bytes = (size_t)(strip->row[1] - strip->row[0]) * BLOCK, j, to;
	int32_t base = s->hi.table[0][0], step = s->hi.table[0][1] - base;
	const __m512 offset = _mm512_set1_ps((float)((s->beta - 2 * base) * sum));
	const __m512 factor = _mm512_set1_ps((float)(2 * step));
	const uint8_t *const *row = strip->row;
	__m512i x[BIT_SUMS];
	uint32_t rests = 0, i;
	__m512 total;

	for (i = 0; i < lut->nrest; i++)
		rests |= 1u << lut->half[i];
	for (j = 0; j < strip->n; j += BLOCK, row += BLOCK) {
		for (to = 0; strip->ahead && to < bytes; to += 64)
			_mm_prefetch((const char *)row[0] + strip->ahead + to, _MM_HINT_T0);
		load_dwords(row, s->window, 0xffff, x);
		total = _mm512_cvtepi32_ps(sum_dwords(lut, x, rests));
		_mm512_store_ps(a + j, _mm512_sub_ps(_mm512_mul_ps(total, factor), offset));
	}
}

/* The query where its bits are in a window of 128 that ends where the row's do */
void avx512_bit_sums(const int8_t *q, size_t dim, struct bit_sums *lut)
{
	int8_t window[BIT_SUMS_DIM_MAX] = {0};

	memcpy(window + BIT_SUMS_DIM_MAX - (dim + 7) / 8 * 8, q, dim);
	avx512_block_sums(window, BIT_SUMS_DIM_MAX, lut);
}
