/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_AVX512_BLOCK_H
#define TQ_AVX512_BLOCK_H

/*
 * Rows in blocks (tq/block.h): a register is a dword of each of 16 rows. Its levels come out as those of a
 * chunk do (levels.h): byte i of dword k is byte 4 k + i of the field, and so is the query's.
 */

#include "query.h"
#include "../simd/block.h"

/** Bytes between what is in work and what is fetched from memory */
#define BLOCK_AHEAD 4096

/** block_dwords - registers of the widest field of a block */
LEVELS_INLINE size_t block_dwords(const struct tq_plan *plan)
{
	return (plan->layout.section[plan->layout.nsections - 1].bytes + 3) / 4;
}

/* Byte k of each dword: its bits 4 k + @first and up, of the same dword from its bit 0 on */
LEVELS_INLINE __m512i dword_bits(__m512i x, int first)
{
	uint64_t control = 0;
	int k;

	for (k = 7; k >= 0; k--)
		control = control << 8 | (uint64_t)((k / 4 * 32 + k % 4 * 4 + first) & 63);
	return _mm512_multishift_epi64_epi8(_mm512_set1_epi64((long long)control), x);
}

/**
 * block_levels - the V registers of levels of a dword of 16 rows, up to 4 bits
 * @x:      the dword of the widest field
 * @narrow: 3 bits: the dword of the other field that belongs to two of @x
 * @odd:    3 bits: is @x the second of them
 */
LEVELS_INLINE void block_levels(const struct level_tables *t, __m512i x, __m512i narrow, int odd,
				uint32_t bits, __m512i *level)
{
	__m512i idx[2];
	uint32_t v;

	if (bits != 3) {
		levels_of_fields(t, &x, bits, level, level);
		return;
	}
	idx[0] = select_bits(0x0f, x, dword_bits(narrow, 16 * odd - 4));
	idx[1] = select_bits(0x0f, _mm512_srli_epi16(x, 4), dword_bits(narrow, 16 * odd - 2));
	for (v = 0; v < 4; v++)
		level[v] = look_up(t->hi + v % 2, idx[v / 2], bits);
}

/**
 * add_products - products of the levels of a dword of 16 rows with the four bytes at @q, added to their sums
 *
 * In assembly, because gcc 12 neither takes the four bytes as the instruction's operand nor leaves the sums
 * where they are: half of its loop would be moves.
 */
LEVELS_INLINE __m512i add_products(__m512i sums, __m512i level, const int8_t *q)
{
	__asm__("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(sums) : "v"(level), "m"(*(const int8_t(*)[4])q));
	return sums;
}

/**
 * struct block_end - what the end of a score needs beside a block, in registers from block to block
 * @width: of a scale: TQ_F32, TQ_F16 or TQ_BF16
 */
struct block_end {
	__m512i factor, offset;
	__m512 scale, add;
	uint32_t width, center;
	int twice;
};

/** block_end - of a query, for A = @factor sums - @offset sum(q) */
LEVELS_INLINE struct block_end block_end(const struct tq_plan *plan, const struct query_head *head, int32_t factor,
					 int32_t offset)
{
	struct block_end end = {
		.factor = _mm512_set1_epi32(factor),
		.offset = _mm512_set1_epi32((int)(offset * head->sum)),
		.scale = _mm512_set1_ps(head->scale),
		.add = _mm512_set1_ps(head->add),
		.width = plan->scale,
		.center = plan->center,
		.twice = factor == 2,
	};

	return end;
}

/** block_scales - the scales of the 16 rows as float */
LEVELS_INLINE __m512 block_scales(uint32_t width, const uint8_t *block)
{
	__m512i x = _mm512_load_si512(block);

	if (width == TQ_F32)
		return _mm512_castsi512_ps(x);
	if (width == TQ_F16)
		return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(x));
	return _mm512_castsi512_ps(_mm512_slli_epi32(x, 16));
}

/** block_mask - which of 16 scores there are if @left rows are left */
LEVELS_INLINE __mmask16 block_mask(size_t left)
{
	return left < TQ_BLOCK_ROWS ? (__mmask16)((1u << left) - 1) : 0xffff;
}

/** block_scores - tq_score_finish() of 16 rows */
LEVELS_INLINE __m512 block_scores(const struct block_end *end, const uint8_t *block, __m512i sums)
{
	__m512i a = end->twice ? _mm512_slli_epi32(sums, 1) : _mm512_mullo_epi32(sums, end->factor);
	__m512 s;

	a = _mm512_sub_epi32(a, end->offset);
	s = _mm512_mul_ps(_mm512_cvtepi32_ps(a), end->scale);
	s = _mm512_mul_ps(s, block_scales(end->width, block));
	if (end->center != TQ_CENTER_OFF)
		s = _mm512_add_ps(s, end->add);
	if (end->center == TQ_CENTER_BOTH)
		s = _mm512_add_ps(s, _mm512_load_ps(block + 64));
	return s;
}

/** avx512_block_bits, avx512_block_bits_2 - all rows of a job, of single bits, with one query or two */
void avx512_block_bits(const struct block_job *job);
void avx512_block_bits_2(const struct block_job *job);

/** avx512_score_blocks - the operation of that name, without matrix products */
void avx512_score_blocks(const struct tq_plan *plan, const void *state, const void *packed, size_t nq,
			 const uint8_t *blocks, size_t n, float *scores, size_t ld);

#endif
