/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_AVX512_PACK_H
#define TQ_AVX512_PACK_H

/*
 * Level numbers to the fields of a row, 64 coordinates at a time. Four registers of 32-bit lanes
 * become bytes by shifts into each other and one permutation; a field of width w then has 8 w
 *bytes:
 *
 *	w = 8	as they are
 *	w = 4	byte i = c[2i] | c[2i+1] << 4		one multiply-add by (1, 16)
 *	w = 2	byte i = c[4i] | ... | c[4i+3] << 6	by (1, 4), then pairs of sums by (1, 16)
 *	w = 1	a mask
 */

#include "lanes.h"

/** level_bytes - lane i of register r to byte 16 r + i of the first @n bytes; zeros above */
AVX512_INLINE __m512i level_bytes(const __m512i *level, int regs, size_t n)
{
	const __m512i by_register = _mm512_setr_epi32(
		0x0c080400, 0x1c181410, 0x2c282420, 0x3c383430, 0x0d090501, 0x1d191511, 0x2d292521,
		0x3d393531, 0x0e0a0602, 0x1e1a1612, 0x2e2a2622, 0x3e3a3632, 0x0f0b0703, 0x1f1b1713,
		0x2f2b2723, 0x3f3b3733);
	__m512i all = level[0];
	int r;

#pragma GCC unroll 4
	for (r = 1; r < regs; r++)
		all = _mm512_or_si512(all, _mm512_slli_epi32(level[r], 8 * r));
	all = _mm512_permutexvar_epi8(by_register, all);
	return n < 16 * (size_t)regs || regs < 4 ? _mm512_maskz_mov_epi8(bytes(n), all) : all;
}

/* The field's bits of each byte */
AVX512_INLINE __m512i cut(__m512i c, int width, int shift)
{
	if (shift)
		c = _mm512_srli_epi16(c, (unsigned)shift);
	return _mm512_and_si512(c, _mm512_set1_epi8((char)((1 << width) - 1)));
}

/* Nibbles in bytes to bytes */
AVX512_INLINE __m256i bytes_of_nibbles(__m512i c)
{
	return _mm512_cvtepi16_epi8(_mm512_maddubs_epi16(c, _mm512_set1_epi16(0x1001)));
}

/* Two-bit fields in bytes to bytes */
AVX512_INLINE __m128i bytes_of_crumbs(__m512i c)
{
	c = _mm512_maddubs_epi16(c, _mm512_set1_epi16(0x0401));
	return _mm512_cvtepi32_epi8(_mm512_madd_epi16(c, _mm512_set1_epi32(0x00100001)));
}

/* One field of 64 coordinates */
AVX512_INLINE void pack_whole_field(uint8_t *to, __m512i c, int width, int shift)
{
	uint64_t mask;

	switch (width) {
	case 1:
		mask = _mm512_test_epi8_mask(c, _mm512_set1_epi8((char)(1 << shift)));
		memcpy(to, &mask, sizeof(mask));
		break;
	case 2:
		_mm_storeu_si128((__m128i *)to, bytes_of_crumbs(cut(c, width, shift)));
		break;
	case 4:
		_mm256_storeu_si256((__m256i *)to, bytes_of_nibbles(cut(c, width, shift)));
		break;
	default:
		_mm512_storeu_si512(to, c);
	}
}

/** pack_field - one field of up to 64 coordinates */
AVX512_INLINE void pack_field(uint8_t *to, __m512i c, int width, int shift, size_t n)
{
	__mmask64 mask = bytes((n * (size_t)width + 7) / 8);

	if (n == 64) {
		pack_whole_field(to, c, width, shift);
		return;
	}
	if (width == 1) {
		_mm_mask_storeu_epi8(to, (__mmask16)mask,
				     _mm_cvtsi64_si128((long long)_mm512_test_epi8_mask(
					     c, _mm512_set1_epi8((char)(1 << shift)))));
		return;
	}
	if (width == 8) {
		_mm512_mask_storeu_epi8(to, mask, c);
		return;
	}
	c = cut(c, width, shift);
	if (width == 4)
		_mm256_mask_storeu_epi8(to, (__mmask32)mask, bytes_of_nibbles(c));
	else
		_mm_mask_storeu_epi8(to, (__mmask16)mask, bytes_of_crumbs(c));
}

/**
 * pack_chunk - write the fields of up to 64 coordinates
 * @level: bytes, zero beyond @n
 * @first: number of the first coordinate, a multiple of 64
 */
AVX512_INLINE void pack_chunk(const struct tq_layout *lay, int bits, __m512i level, size_t first,
			      size_t n, uint8_t *row)
{
	const struct tq_section *s = lay->section;
	int width;

#pragma GCC unroll 4
	for (width = 1; width <= 8; width *= 2) {
		if (!(bits & width))
			continue;
		pack_field(row + s->at + first / 8 * (size_t)width, level, width,
			   bits & ~(2 * width - 1), n);
		s++;
	}
}

#endif
