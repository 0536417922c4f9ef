/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Sums of one 8-bit query over rows of up to 16 bytes of bits. A bit is one of two levels, so all
 * that counts is the sum S of the query where bits are set. A table has the sums of the query over
 * the sixteen values of four bits, in two bytes; one register of it serves the four bytes of a
 * dword, the number of the byte being the upper part of the index. Sixteen rows become registers
 * with a dword of each row, so what is found adds up in the lane of the row.
 */

#include "bits.h"
#include "dwords.h"
#include "score.h"

/* What half of dword @j of sixteen rows adds to sums over 16 and to the rest */
LEVELS_INLINE void add_half(__m512i *high, __m512i *low, const struct block_sums *lut, __m512i x,
			    uint32_t j, int half)
{
	__m512i idx = entries(x, half);

	*high = _mm512_dpbusd_epi32(
		*high, _mm512_set1_epi8(16),
		_mm512_permutexvar_epi8(idx, _mm512_load_si512(lut[j].high[half])));
	*low = _mm512_dpbusd_epi32(
		*low, _mm512_set1_epi8(1),
		_mm512_permutexvar_epi8(idx, _mm512_load_si512(lut[j].low[half])));
}

/* S of sixteen rows from their dwords; four short chains rather than one long one */
LEVELS_INLINE __m512i sum_dwords(const struct block_sums *lut, const __m512i *x)
{
	const __m512i zero = _mm512_setzero_si512();
	__m512i h0 = zero, l0 = zero, h1 = zero, l1 = zero;
	uint32_t j;

#pragma GCC unroll 4
	for (j = 0; j < 4; j++) {
		add_half(&h0, &l0, lut, x[j], j, 0);
		add_half(&h1, &l1, lut, x[j], j, 1);
	}
	return _mm512_add_epi32(_mm512_add_epi32(h0, l0), _mm512_add_epi32(h1, l1));
}

/* A = 2 (base sum(q) + step S) - beta sum(q): all below 2^24, so exact in float */
void avx512_sum_bits(const struct shape *s, const struct strip *strip, const struct block_sums *lut,
		     int64_t sum, float *a)
{
	size_t bytes = (size_t)(strip->row[1] - strip->row[0]) * BLOCK, j, to;
	int32_t base = s->hi.table[0][0], step = s->hi.table[0][1] - base;
	const __m512 offset = _mm512_set1_ps((float)((s->beta - 2 * base) * sum));
	const __m512 factor = _mm512_set1_ps((float)(2 * step));
	const uint8_t *const *row = strip->row;
	__m512i x[4];
	__m512 total;

	for (j = 0; j < strip->n; j += BLOCK, row += BLOCK) {
		for (to = 0; strip->ahead && to < bytes; to += 64)
			_mm_prefetch((const char *)row[0] + strip->ahead + to, _MM_HINT_T0);
		load_dwords(row, s->window, 0xffff, x);
		total = _mm512_cvtepi32_ps(sum_dwords(lut, x));
		_mm512_store_ps(a + j, _mm512_sub_ps(_mm512_mul_ps(total, factor), offset));
	}
}

/* The query where its bits are in a window of 128 that ends where the row's do */
void avx512_bit_sums(const int8_t *q, size_t dim, struct block_sums *lut)
{
	int8_t window[BIT_SUMS_DIM_MAX] = {0};

	memcpy(window + BIT_SUMS_DIM_MAX - (dim + 7) / 8 * 8, q, dim);
	avx512_block_sums(window, BIT_SUMS_DIM_MAX, lut);
}
