/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Scores of single bits in blocks (tq/block.h). A bit is one of two levels, so all that counts is the sum S
 * of the query where bits are set; struct block_sums has it for every choice of four coordinates, in two
 * bytes, one register for the same half of the four bytes of a dword. What is found is added up
 * as bytes as long as they can hold it, then in the lane of the row.
 */

#include "bits.h"
#include "block.h"

/* Dwords whose sums over 16 are added as bytes: four of -32 .. 31 each; the rest is 0 .. 15 */
#define STEP 2

/* The sums over 16 of a dword of 16 rows, and the rest */
LEVELS_INLINE void add_dword(const uint8_t *at, const struct block_sums *lut, __m512i *high, __m512i *low)
{
	__m512i x = _mm512_load_si512(at), i0 = entries(x, 0), i1 = entries(x, 1);

	*high = _mm512_add_epi8(*high, _mm512_permutexvar_epi8(i0, _mm512_load_si512(lut->high[0])));
	*low = _mm512_add_epi8(*low, _mm512_permutexvar_epi8(i0, _mm512_load_si512(lut->low[0])));
	*high = _mm512_add_epi8(*high, _mm512_permutexvar_epi8(i1, _mm512_load_si512(lut->high[1])));
	*low = _mm512_add_epi8(*low, _mm512_permutexvar_epi8(i1, _mm512_load_si512(lut->low[1])));
}

/* S of 16 rows */
LEVELS_INLINE __m512i sum_bits(const uint8_t *at, size_t dwords, const struct block_sums *lut)
{
	const __m512i zero = _mm512_setzero_si512(), one = _mm512_set1_epi8(1);
	__m512i high0, high1, low, highs = zero, lows = zero;
	size_t k;

	for (k = 0; k + 2 * STEP <= dwords; k += 2 * STEP, at += 2 * STEP * 64, lut += 2 * STEP) {
		high0 = high1 = low = zero;
		_mm_prefetch((const char *)at + BLOCK_AHEAD, _MM_HINT_T0);
		_mm_prefetch((const char *)at + BLOCK_AHEAD + 128, _MM_HINT_T0);
		add_dword(at, lut, &high0, &low);
		add_dword(at + 64, lut + 1, &high0, &low);
		add_dword(at + 128, lut + 2, &high1, &low);
		add_dword(at + 192, lut + 3, &high1, &low);
		highs = _mm512_dpbusd_epi32(highs, one, high0);
		lows = _mm512_dpbusd_epi32(lows, low, one);
		highs = _mm512_dpbusd_epi32(highs, one, high1);
	}
	for (; k < dwords; k++, at += 64, lut++) {
		high0 = low = zero;
		add_dword(at, lut, &high0, &low);
		highs = _mm512_dpbusd_epi32(highs, one, high0);
		lows = _mm512_dpbusd_epi32(lows, low, one);
	}
	return _mm512_add_epi32(_mm512_slli_epi32(highs, 4), lows);
}

void avx512_block_bits(const struct block_job *job)
{
	const struct shape *shape = &((const struct score_tables *)job->state)->level;
	int32_t base = shape->hi.table[0][0], step = shape->hi.table[0][1] - base;
	const void *head = job->packed, *q = query_part(job->plan, job->packed, 0);
	size_t field = tq_block_field_at(job->plan, 0), bytes = tq_block_bytes(job->plan);
	size_t dwords = block_dwords(job->plan), j;
	const uint8_t *block = job->blocks;
	__m512i sum;

	for (j = 0; j < job->n; j += TQ_BLOCK_ROWS, block += bytes) {
		sum = sum_bits(block + field, dwords, query_block_sums(job->plan, q));
		_mm512_mask_storeu_ps(job->scores + j, block_mask(job->n - j),
				      block_scores(job->plan, head, block, sum, 2 * step,
						   shape->beta - 2 * base));
	}
}

void avx512_block_bits_2(const struct block_job *job)
{
	struct block_job second = *job;

	second.packed += query_bytes(job->plan);
	second.scores += job->ld;
	avx512_block_bits(job);
	avx512_block_bits(&second);
}

/* The sums over sixteen choices of four coordinates, one in each lane */
LEVELS_INLINE __m512i choices(const int8_t *q, size_t n)
{
	const __m512i chosen = _mm512_setr_epi32(0, 0x1, 0x100, 0x101, 0x10000, 0x10001, 0x10100, 0x10101,
						 0x1000000, 0x1000001, 0x1000100, 0x1000101, 0x1010000,
						 0x1010001, 0x1010100, 0x1010101);
	int32_t four = 0;

	memcpy(&four, q, n < 4 ? n : 4);
	return _mm512_dpbusd_epi32(_mm512_setzero_si512(), chosen, _mm512_set1_epi32(four));
}

void avx512_block_sums(const int8_t *q, size_t dim, struct block_sums *lut)
{
	const __m512i low_bits = _mm512_set1_epi32(15);
	size_t i, byte, half;
	__m512i sum;

	for (i = 0; i < dim; i += 4) {
		byte = i / 8 % 4;
		half = i / 4 % 2;
		sum = choices(q + i, dim - i);
		_mm_store_si128((__m128i *)lut[i / 32].low[half] + byte,
				_mm512_cvtepi32_epi8(_mm512_and_si512(sum, low_bits)));
		_mm_store_si128((__m128i *)lut[i / 32].high[half] + byte,
				_mm512_cvtepi32_epi8(_mm512_srai_epi32(sum, 4)));
	}
}
