/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Scores of single bits in blocks (tq/block.h). A bit is one of two levels, so all that counts is the sum S
 * of the query where bits are set; struct bit_sums has it for every choice of four coordinates, one register
 * for the same half of the four bytes of a dword. What is found is at most 255 above the least that could be,
 * so it is a byte, and what four bytes of a row found is added to the sum in its lane at once. Where four
 * coordinates are so large that a byte does not hold that, one more look-up has the rest.
 */

#include "bits.h"
#include "block.h"

/* Dwords per turn, and independent sums, so that one need not wait for another */
#define STEP 4

/* To the sums what half @half of some dword has beyond a byte; @x: that dword of 16 rows */
LEVELS_INLINE __m512i add_rest(__m512i sums, __m512i x, const struct bit_sums *lut, uint32_t half)
{
	x = _mm512_srl_epi32(x, _mm_cvtsi32_si128((int)(half % 2 * 4)));
	return add_found(sums, entries(x, 0), lut->dword[half / 2].rest[half % 2]);
}

/* S of 16 rows */
LEVELS_INLINE __m512i sum_bits(const uint8_t *at, size_t dwords, const struct bit_sums *lut)
{
	__m512i sum[STEP], x;
	const uint8_t *dword = at;
	uint32_t c, i;
	size_t k;

	sum[0] = _mm512_set1_epi32(lut->base);
	for (c = 1; c < STEP; c++)
		sum[c] = _mm512_setzero_si512();
	for (k = 0; k + STEP <= dwords; k += STEP, dword += STEP * 64) {
		_mm_prefetch((const char *)dword + BLOCK_AHEAD, _MM_HINT_T0);
		_mm_prefetch((const char *)dword + BLOCK_AHEAD + 128, _MM_HINT_T0);
#pragma GCC unroll 4
		for (c = 0; c < STEP; c++) {
			x = _mm512_load_si512(dword + c * 64);
			sum[c] = add_found(sum[c], entries(x, 0), lut->dword[k + c].sum[0]);
			sum[c] = add_found(sum[c], entries(x, 1), lut->dword[k + c].sum[1]);
		}
	}
	for (; k < dwords; k++, dword += 64) {
		x = _mm512_load_si512(dword);
		sum[0] = add_found(sum[0], entries(x, 0), lut->dword[k].sum[0]);
		sum[1] = add_found(sum[1], entries(x, 1), lut->dword[k].sum[1]);
	}
	for (i = 0; i < lut->nrest; i++)
		sum[0] = add_rest(sum[0], _mm512_load_si512(at + lut->half[i] / 2 * 64), lut, lut->half[i]);
	return _mm512_add_epi32(_mm512_add_epi32(sum[0], sum[1]), _mm512_add_epi32(sum[2], sum[3]));
}

void avx512_block_bits(const struct block_job *job)
{
	const struct shape *shape = &((const struct score_tables *)job->state)->level;
	int32_t base = shape->hi.table[0][0], step = shape->hi.table[0][1] - base;
	const struct bit_sums *lut = query_block_sums(job->plan, query_part(job->plan, job->packed, 0));
	const struct block_end end = block_end(job->plan, (const void *)job->packed, 2 * step,
					       shape->beta - 2 * base);
	size_t field = tq_block_field_at(job->plan, 0), bytes = tq_block_bytes(job->plan);
	size_t dwords = block_dwords(job->plan), n = job->n, j;
	const uint8_t *block = job->blocks;
	float *scores = job->scores;

	for (j = 0; j < n; j += TQ_BLOCK_ROWS, block += bytes)
		_mm512_mask_storeu_ps(scores + j, block_mask(n - j),
				      block_scores(&end, block, sum_bits(block + field, dwords, lut)));
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
LEVELS_INLINE __m512i choices(__m512i four)
{
	const __m512i chosen = _mm512_setr_epi32(0, 0x1, 0x100, 0x101, 0x10000, 0x10001, 0x10100, 0x10101,
						 0x1000000, 0x1000001, 0x1000100, 0x1000101, 0x1010000,
						 0x1010001, 0x1010100, 0x1010101);

	return _mm512_dpbusd_epi32(_mm512_setzero_si512(), chosen, four);
}

void avx512_block_sums(const int8_t *q, size_t dim, struct bit_sums *lut)
{
	const __m512i most = _mm512_set1_epi32(255), zero = _mm512_setzero_si512();
	__m512i sum, four, least, byte, base = zero;
	uint8_t over[2] = {0, 0};
	struct block_sums *to;
	size_t i, at, half;
	int32_t x;

	for (i = 0; i < dim; i += 4) {
		at = i / 8 % 4;
		half = i / 4 % 2;
		to = &lut->dword[i / 32];
		x = 0;
		memcpy(&x, q + i, dim - i < 4 ? dim - i : 4);
		four = _mm512_set1_epi32(x);
		/* the least sum is that of what is negative */
		least = _mm512_dpbusd_epi32(zero, _mm512_set1_epi8(1), _mm512_min_epi8(four, zero));
		base = _mm512_add_epi32(base, least);
		sum = _mm512_sub_epi32(choices(four), least);
		byte = _mm512_min_epi32(sum, most);
		_mm_store_si128((__m128i *)to->sum[half] + at, _mm512_cvtepi32_epi8(byte));
		_mm_store_si128((__m128i *)to->rest[half] + at, _mm512_cvtepi32_epi8(_mm512_sub_epi32(sum, byte)));
		over[half] |= _mm512_cmpgt_epi32_mask(sum, most) != 0;
		if (i + 4 < dim && (i + 4) % 32)
			continue;
		for (half = 0; half < 2; half++) {
			if (over[half])
				lut->half[lut->nrest++] = (uint8_t)(i / 32 * 2 + half);
			over[half] = 0;
		}
	}
	lut->base = _mm_cvtsi128_si32(_mm512_castsi512_si128(base));
}
