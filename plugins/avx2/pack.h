/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_AVX2_PACK_H
#define TQ_AVX2_PACK_H

/*
 * Index bytes in coordinate order to the fields of a row and back, 32 coordinates at a time. A
 * field of width w has 4 w bytes per 32 coordinates:
 *
 *	w = 8	as they are
 *	w = 4	byte i = c[2i] | c[2i+1] << 4		one multiply-add by (1, 16)
 *	w = 2	byte i = c[4i] | ... | c[4i+3] << 6	by (1, 4), then pairs of sums by (1, 16)
 *	w = 1	movemask
 */

#include "lanes.h"

/** pack_field4 - 32 nibbles in bytes to 16 bytes */
AVX2_INLINE __m128i pack_field4(__m256i c)
{
	__m256i pairs = _mm256_maddubs_epi16(c, _mm256_set1_epi16(0x1001));

	return _mm_packus_epi16(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256(pairs, 1));
}

/** pack_field2 - 32 two-bit fields in bytes to 8 bytes */
AVX2_INLINE __m128i pack_field2(__m256i c)
{
	__m256i pairs = _mm256_maddubs_epi16(c, _mm256_set1_epi16(0x0401));
	__m256i quads = _mm256_madd_epi16(pairs, _mm256_set1_epi32(0x00100001));
	__m128i words =
		_mm_packus_epi32(_mm256_castsi256_si128(quads), _mm256_extracti128_si256(quads, 1));

	return _mm_packus_epi16(words, words);
}

/* The field's bits of each byte */
AVX2_INLINE __m256i cut(__m256i idx, uint32_t bits, uint32_t width, uint32_t shift)
{
	if (shift)
		idx = _mm256_srli_epi16(idx, (int)shift);
	if (width == bits)
		return idx;
	return _mm256_and_si256(idx, _mm256_set1_epi8((char)((1u << width) - 1)));
}

/** field_shift - the fields' widths are the binary digits of @bits, the lowest bits in the widest
 */
AVX2_INLINE uint32_t field_shift(uint32_t bits, uint32_t width)
{
	return bits & ~(2 * width - 1);
}

AVX2_INLINE void pack_field(uint8_t *to, __m256i idx, uint32_t bits, uint32_t width, size_t n)
{
	uint32_t shift = field_shift(bits, width);

	switch (width) {
	case 1:
		idx = _mm256_slli_epi16(idx, (int)(7 - shift));
		store_part8(to, (uint32_t)_mm256_movemask_epi8(idx), (n + 7) / 8);
		break;
	case 2:
		idx = cut(idx, bits, width, shift);
		store_part8(to, (uint64_t)_mm_cvtsi128_si64(pack_field2(idx)), (n + 3) / 4);
		break;
	case 4:
		store_part16(to, pack_field4(cut(idx, bits, width, shift)), (n + 1) / 2);
		break;
	default:
		store_part16(to, _mm256_castsi256_si128(idx), n < 16 ? n : 16);
		if (n > 16)
			store_part16(to + 16, _mm256_extracti128_si256(idx, 1), n - 16);
	}
}

/**
 * pack_block - write the fields of up to 32 coordinates
 * @bits:  of an index
 * @idx:   index bytes, zero beyond @n
 * @first: number of the first coordinate, a multiple of 32
 * @n:     coordinates, 1..32
 */
AVX2_INLINE void pack_block(const struct tq_layout *lay, uint32_t bits, uint8_t *row, __m256i idx,
			    size_t first, size_t n)
{
	const struct tq_section *s = lay->section;
	uint32_t width;

#pragma GCC unroll 4
	for (width = 1; width <= 8; width *= 2) {
		if (!(bits & width))
			continue;
		pack_field(row + s->at + first / 8 * width, idx, bits, width, n);
		s++;
	}
}

/** spread_bits - 0xff in byte i where bit i of @bits is set */
AVX2_INLINE __m256i spread_bits(uint32_t bits)
{
	const __m256i source = _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2,
						2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3);
	const __m256i select = _mm256_set1_epi64x((int64_t)0x8040201008040201ull);
	__m256i v = _mm256_shuffle_epi8(_mm256_set1_epi32((int)bits), source);

	return _mm256_cmpeq_epi8(_mm256_and_si256(v, select), select);
}

/** unpack_field2 - 8 bytes to 32 two-bit fields: halves move apart, to 16 bits, then to 8 */
AVX2_INLINE __m256i unpack_field2(uint64_t bits)
{
	__m256i v = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128((int64_t)bits));

	v = _mm256_or_si256(v, _mm256_slli_epi32(v, 12));
	v = _mm256_and_si256(v, _mm256_set1_epi32(0x000f000f));
	v = _mm256_or_si256(v, _mm256_slli_epi32(v, 6));
	return _mm256_and_si256(v, _mm256_set1_epi32(0x03030303));
}

/** unpack_field4 - 16 bytes to 32 nibbles */
AVX2_INLINE __m256i unpack_field4(__m128i bytes)
{
	__m256i v = _mm256_cvtepu8_epi16(bytes);

	v = _mm256_or_si256(v, _mm256_slli_epi16(v, 4));
	return _mm256_and_si256(v, _mm256_set1_epi8(15));
}

AVX2_INLINE __m256i unpack_field(const uint8_t *from, uint32_t bits, uint32_t width, size_t n)
{
	uint32_t shift = field_shift(bits, width);
	__m256i v;

	switch (width) {
	case 1:
		v = spread_bits((uint32_t)part8(from, (n + 7) / 8));
		return _mm256_and_si256(v, _mm256_set1_epi8((char)(1u << shift)));
	case 2:
		v = unpack_field2(part8(from, (n + 3) / 4));
		return shift ? _mm256_slli_epi16(v, (int)shift) : v;
	case 4:
		return unpack_field4(part16(from, (n + 1) / 2));
	default:
		return part32(from, n);
	}
}

/** unpack_block - the index bytes of up to 32 coordinates; what lies beyond @n is undefined */
AVX2_INLINE __m256i unpack_block(const struct tq_layout *lay, uint32_t bits, const uint8_t *row,
				 size_t first, size_t n)
{
	const struct tq_section *s = lay->section;
	__m256i idx = _mm256_setzero_si256();
	uint32_t width;

#pragma GCC unroll 4
	for (width = 1; width <= 8; width *= 2) {
		if (!(bits & width))
			continue;
		idx = _mm256_or_si256(
			idx, unpack_field(row + s->at + first / 8 * width, bits, width, n));
		s++;
	}
	return idx;
}

#endif
