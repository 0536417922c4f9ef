/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_AVX2_LEVELS_H
#define TQ_AVX2_LEVELS_H

/*
 * Code bytes of 64 coordinates to two registers of levels, in the order that costs the fewest
 * instructions; queries are packed in the same order. Byte i of register v is coordinate
 *
 *	1 bit		8 (i % 8) + 2 (i / 8) + v	quarter q is the field shifted by 2q
 *	2, 3 bits	4 (i % 16) + 2 (i / 16) + v	the upper half is the field shifted by 4
 *	4..7 bits	2 i + v				low and high nibbles
 *	8 bits		32 v + i
 *
 * A level is its place on the grid, unsigned: up to 4 bits odd = 2 g - 127, and 1 bit is just the
 * bit; from 5 bits odd = 2 (128 hi + lo) - 16383. There the tables hold the positive half, and a
 * negative level is the complement, in 7 and 7 bits, of the positive one that mirrors it.
 */

#include "lanes.h"

/** Level tables in registers, as far as they are few. */
struct level_tables {
	__m256i grid;
	__m256i hi[8];
	__m256i lo[8];
};

/** Two registers of levels; @lo from 5 bits. */
struct levels {
	__m256i hi[2];
	__m256i lo[2];
};

/** coordinate - the one of 64 whose level lies at byte @i of register @v */
AVX2_INLINE size_t coordinate(uint32_t bits, size_t v, size_t i)
{
	switch (bits) {
	case 1:
		return 8 * (i % 8) + 2 * (i / 8) + v;
	case 2:
	case 3:
		return 4 * (i % 16) + 2 * (i / 16) + v;
	case 8:
		return 32 * v + i;
	default:
		return 2 * i + v;
	}
}

AVX2_INLINE __m256i both_lanes(const uint8_t *p)
{
	return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)p));
}

AVX2_INLINE void level_tables_load(struct level_tables *t, const struct avx2_tables *tab,
				   uint32_t bits)
{
	uint32_t k;

	if (bits <= 4)
		t->grid = both_lanes(tab->grid);
	for (k = 0; bits > 4 && k < 1u << (bits - 5); k++) {
		t->hi[k] = both_lanes(tab->grid_hi + 16 * k);
		t->lo[k] = both_lanes(tab->grid_lo + 16 * k);
	}
}

/* table[m] for m < 16 * n; all bytes of @m below 128 */
AVX2_INLINE __m256i look_up(const __m256i *table, __m256i m, uint32_t n)
{
	__m256i t[8], select;
	uint32_t k, width;
	int shift = 3;

	for (k = 0; k < n; k++)
		t[k] = _mm256_shuffle_epi8(table[k], m);
	for (width = n; width > 1; width /= 2, shift--) {
		select = _mm256_slli_epi16(m, shift);
		for (k = 0; k < width / 2; k++)
			t[k] = _mm256_blendv_epi8(t[2 * k], t[2 * k + 1], select);
	}
	return t[0];
}

/* 8 bytes of a 1-bit field to bits */
AVX2_INLINE void indices1(const uint8_t *p, __m256i *idx)
{
	const __m256i one = _mm256_set1_epi8(1);
	__m256i x;
	int64_t v;

	memcpy(&v, p, sizeof(v));
	x = _mm256_srlv_epi64(_mm256_set1_epi64x(v), _mm256_setr_epi64x(0, 2, 4, 6));
	idx[0] = _mm256_and_si256(x, one);
	idx[1] = _mm256_and_si256(_mm256_srli_epi16(x, 1), one);
}

/* 16 bytes of a 2-bit field to index bytes */
AVX2_INLINE void indices2(const uint8_t *p, __m256i *idx)
{
	const __m256i mask = _mm256_set1_epi8(3);
	__m256i x = _mm256_srlv_epi64(both_lanes(p), _mm256_setr_epi64x(0, 0, 4, 4));

	idx[0] = _mm256_and_si256(x, mask);
	idx[1] = _mm256_and_si256(_mm256_srli_epi16(x, 2), mask);
}

/* 3 bits: bit 4(i % 2) + 2 (i / 16) + v of byte i / 2 of the 1-bit field is the upper bit */
AVX2_INLINE void indices3(const uint8_t *p1, const uint8_t *p2, __m256i *idx)
{
	const __m256i source = _mm256_setr_epi8(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 0,
						0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
	const __m256i even = _mm256_setr_epi64x(0x1001100110011001, 0x1001100110011001,
						0x4004400440044004, 0x4004400440044004);
	const __m256i four = _mm256_set1_epi8(4);
	__m256i top, odd = _mm256_slli_epi16(even, 1), set;
	int64_t v;

	memcpy(&v, p1, sizeof(v));
	top = _mm256_shuffle_epi8(_mm256_set1_epi64x(v), source);
	indices2(p2, idx);
	set = _mm256_cmpeq_epi8(_mm256_and_si256(top, even), even);
	idx[0] = _mm256_or_si256(idx[0], _mm256_and_si256(set, four));
	set = _mm256_cmpeq_epi8(_mm256_and_si256(top, odd), odd);
	idx[1] = _mm256_or_si256(idx[1], _mm256_and_si256(set, four));
}

AVX2_INLINE void indices4(const uint8_t *p, __m256i *idx)
{
	const __m256i mask = _mm256_set1_epi8(15);
	__m256i x = _mm256_loadu_si256((const __m256i *)p);

	idx[0] = _mm256_and_si256(x, mask);
	idx[1] = _mm256_and_si256(_mm256_srli_epi16(x, 4), mask);
}

/* 8 bytes of a 1-bit field: 0xff where bit 2(i % 4) + v of byte i / 4 is clear */
AVX2_INLINE void clear_bits(const uint8_t *p, __m256i *clear)
{
	const __m256i source = _mm256_setr_epi8(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4,
						4, 4, 4, 5, 5, 5, 5, 6, 6, 6, 6, 7, 7, 7, 7);
	const __m256i even = _mm256_set1_epi32(0x40100401), zero = _mm256_setzero_si256();
	__m256i x;
	int64_t v;

	memcpy(&v, p, sizeof(v));
	x = _mm256_shuffle_epi8(_mm256_set1_epi64x(v), source);
	clear[0] = _mm256_cmpeq_epi8(_mm256_and_si256(x, even), zero);
	clear[1] = _mm256_cmpeq_epi8(_mm256_and_si256(x, _mm256_slli_epi16(even, 1)), zero);
}

/* 16 bytes of a 2-bit field: bits 5..4 of byte i are those of coordinate 2i + v */
AVX2_INLINE void pairs_above_nibbles(const uint8_t *p, __m256i *pair)
{
	const __m256i source =
		_mm256_setr_epi8(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10,
				 11, 11, 12, 12, 13, 13, 14, 14, 15, 15);
	const __m256i mask = _mm256_set1_epi8(0x30);
	__m256i v, x, high;

	/* lane 0 needs bytes 0..7, lane 1 bytes 8..15: both lanes hold all 16 */
	v = _mm256_shuffle_epi8(both_lanes(p), source);
	high = _mm256_slli_epi16(v, 4);
	x = _mm256_blendv_epi8(high, v, _mm256_set1_epi16((short)0xff00));
	pair[0] = _mm256_and_si256(x, mask);
	x = _mm256_blendv_epi8(_mm256_slli_epi16(v, 2), _mm256_srli_epi16(v, 2),
			       _mm256_set1_epi16((short)0xff00));
	pair[1] = _mm256_and_si256(x, mask);
}

/**
 * levels_indices - the numbers of 64 levels
 * @p:   their bytes in each field of the row
 * @idx: up to 4 bits the index; from 5 bits the number of its magnitude
 * @neg: from 5 bits: 0xff where the level is negative
 */
AVX2_INLINE void levels_indices(const uint8_t *const *p, uint32_t bits, __m256i *idx, __m256i *neg)
{
	__m256i pair[2], mask;
	int v;

	switch (bits) {
	case 1:
		indices1(p[0], idx);
		return;
	case 2:
		indices2(p[0], idx);
		return;
	case 3:
		indices3(p[0], p[1], idx);
		return;
	case 4:
		indices4(p[0], idx);
		return;
	case 5:
		clear_bits(p[0], neg);
		indices4(p[1], idx);
		break;
	case 6:
		pairs_above_nibbles(p[0], pair);
		indices4(p[1], idx);
		for (v = 0; v < 2; v++) {
			neg[v] = _mm256_cmpgt_epi8(_mm256_set1_epi8(0x20), pair[v]);
			pair[v] = _mm256_and_si256(pair[v], _mm256_set1_epi8(0x10));
			idx[v] = _mm256_or_si256(idx[v], pair[v]);
		}
		break;
	case 7:
		clear_bits(p[0], neg);
		pairs_above_nibbles(p[1], pair);
		indices4(p[2], idx);
		for (v = 0; v < 2; v++)
			idx[v] = _mm256_or_si256(idx[v], pair[v]);
		break;
	default:
		for (v = 0; v < 2; v++) {
			idx[v] = _mm256_loadu_si256((const __m256i *)(p[0] + 32 * v));
			neg[v] = _mm256_cmpgt_epi8(idx[v], _mm256_set1_epi8(-1));
			idx[v] = _mm256_and_si256(idx[v], _mm256_set1_epi8(0x7f));
		}
		break;
	}
	mask = _mm256_set1_epi8((char)((1u << (bits - 1)) - 1));
	for (v = 0; v < 2; v++)
		idx[v] = _mm256_xor_si256(idx[v], _mm256_and_si256(neg[v], mask));
}

/** levels_decode - 64 levels on the grid */
AVX2_INLINE void levels_decode(const struct level_tables *t, const uint8_t *const *p, uint32_t bits,
			       struct levels *out)
{
	uint32_t n = bits > 4 ? 1u << (bits - 5) : 0;
	__m256i idx[2], neg[2], flip;
	int v;

	levels_indices(p, bits, idx, neg);
	for (v = 0; v < 2; v++) {
		if (bits <= 4) {
			out->hi[v] = bits == 1 ? idx[v] : _mm256_shuffle_epi8(t->grid, idx[v]);
			continue;
		}
		flip = _mm256_and_si256(neg[v], _mm256_set1_epi8(0x7f));
		out->hi[v] = _mm256_xor_si256(look_up(t->hi, idx[v], n), flip);
		out->lo[v] = _mm256_xor_si256(look_up(t->lo, idx[v], n), flip);
	}
}

/** dot_add - acc += sums of products of four neighbouring bytes, u7 x s8 */
AVX2_INLINE __m256i dot_add(__m256i acc, __m256i u7, __m256i s8)
{
#ifdef __AVXVNNI__
	return _mm256_dpbusd_avx_epi32(acc, u7, s8);
#else
	return _mm256_add_epi32(
		acc, _mm256_madd_epi16(_mm256_maddubs_epi16(u7, s8), _mm256_set1_epi16(1)));
#endif
}

#endif
