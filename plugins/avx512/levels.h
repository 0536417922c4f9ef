/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_AVX512_LEVELS_H
#define TQ_AVX512_LEVELS_H

/*
 * Code bytes to registers of level bytes. A chunk is 64 bytes of the widest field of the index,
 * with what the narrower fields hold for the same coordinates:
 *
 *	bits	fields	bytes of each	coordinates	registers V
 *	1	1	64		512		8
 *	2	2	64		256		4
 *	3	1 2	32 64		256		4
 *	4	4	64		128		2
 *	5	1 4	16 64		128		2
 *	6	2 4	32 64		128		2
 *	7	1 2 4	16 32 64	128		2
 *	8	8	64		64		1
 *
 * Byte i of register v is coordinate V i + v: what byte i of the widest field holds, low bits
 * first, so no byte moves. The index of a code, or of a pair of them, lies in the low bits of a
 * byte, the bits of narrower fields put above those of the widest by vpmultishiftqb. vpermb looks
 * at six bits, so its tables repeat over the bits that are left over, and nothing is masked.
 */

#include <immintrin.h>
#include "tq/plugin.h"

#define LEVELS_INLINE static inline __attribute__((always_inline))

#define LEVEL_TABLES 6
#define LEVEL_VECTORS 8

/** Tables of one plane of levels, as bytes: state of a driver. */
struct level_bytes {
	uint8_t table[LEVEL_TABLES][64];
};

/** The same in registers, as many as the bits ask for. */
struct level_tables {
	__m512i hi[LEVEL_TABLES];
	__m512i lo[LEVEL_TABLES];
};

/** levels_width - bits per coordinate of the widest field */
LEVELS_INLINE uint32_t levels_width(uint32_t bits)
{
	return bits == 1 ? 1 : bits <= 3 ? 2 : bits <= 7 ? 4 : 8;
}

/** levels_vectors - registers that a chunk becomes */
LEVELS_INLINE uint32_t levels_vectors(uint32_t bits)
{
	return 8 / levels_width(bits);
}

LEVELS_INLINE uint32_t levels_chunk(uint32_t bits)
{
	return 64 * levels_vectors(bits);
}

LEVELS_INLINE uint32_t levels_fields(uint32_t bits)
{
	return bits == 7 ? 3 : bits == 3 || bits == 5 || bits == 6 ? 2 : 1;
}

/** levels_planes - 7-bit planes of a level */
LEVELS_INLINE uint32_t levels_planes(uint32_t bits)
{
	return bits > 4 ? 2 : 1;
}

/** levels_step - bytes of field @k in a chunk */
LEVELS_INLINE size_t levels_step(uint32_t bits, uint32_t k)
{
	if (k + 1 == levels_fields(bits))
		return 64;
	return bits == 5 || (bits == 7 && k == 0) ? 16 : 32;
}

LEVELS_INLINE uint32_t levels_ntables(uint32_t bits)
{
	static const uint8_t n[] = {0, 6, 3, 2, 1, 1, 1, 2, 4};

	return n[bits];
}

/** levels_entry - the index of the code that byte @i of table @t is for */
LEVELS_INLINE uint32_t levels_entry(uint32_t bits, uint32_t t, uint32_t i)
{
	switch (bits) {
	case 1:
		return i >> t & 1;
	case 2:
		return i >> 2 * t & 3;
	case 3:
		return (i >> 2 * t & 3) | (i >> (4 + t) & 1) << 2;
	default:
		return (64 * t + i) & ((1u << bits) - 1);
	}
}

LEVELS_INLINE void level_tables_load(struct level_tables *t, const struct level_bytes *hi,
				     const struct level_bytes *lo, uint32_t bits)
{
	uint32_t k;

	for (k = 0; k < levels_ntables(bits); k++) {
		t->hi[k] = _mm512_loadu_si512(hi->table[k]);
		if (bits > 4)
			t->lo[k] = _mm512_loadu_si512(lo->table[k]);
	}
}

/* Keep the compiler from loading unaligned codes again for each of their uses */
LEVELS_INLINE __m512i keep(__m512i x)
{
	__asm__("" : "+v"(x));
	return x;
}

/* The bytes of field @k, each 2 (4) of them in a 64-bit lane if the field is narrower */
LEVELS_INLINE __m512i load_field(const uint8_t *p, const uint64_t *mask, size_t step)
{
	__m256i half;
	__m128i quarter;

	if (step == 64) {
		if (mask)
			return _mm512_maskz_loadu_epi8(*mask, p);
		return keep(_mm512_loadu_si512(p));
	}
	if (step == 32) {
		if (mask)
			half = _mm256_maskz_loadu_epi8((__mmask32)*mask, p);
		else
			half = _mm256_loadu_si256((const __m256i *)p);
		return _mm512_cvtepu32_epi64(half);
	}
	if (mask)
		quarter = _mm_maskz_loadu_epi8((__mmask16)*mask, p);
	else
		quarter = _mm_loadu_si128((const __m128i *)p);
	return _mm512_cvtepu16_epi64(quarter);
}

/* Byte k of each 64-bit lane: its bits @each * k + @first and up, modulo 64 */
LEVELS_INLINE __m512i bits_from(__m512i x, int each, int first)
{
	uint64_t control = 0;
	int k;

	for (k = 7; k >= 0; k--)
		control = control << 8 | (uint64_t)((each * k + first) & 63);
	return _mm512_multishift_epi64_epi8(_mm512_set1_epi64((long long)control), x);
}

/* @a where @mask has ones, @b elsewhere */
LEVELS_INLINE __m512i select_bits(char mask, __m512i a, __m512i b)
{
	return _mm512_ternarylogic_epi64(_mm512_set1_epi8(mask), a, b, 0xca);
}

/* The indices of a chunk: V registers; half as many for 3 bits, each with two codes per byte */
LEVELS_INLINE void chunk_indices(const __m512i *f, uint32_t bits, __m512i *idx)
{
	__m512i x = f[levels_fields(bits) - 1], y[2], z[2];
	uint32_t v;

	switch (bits) {
	case 1:
		for (v = 0; v < 8; v++)
			idx[v] = v < 6 ? x : _mm512_srli_epi16(x, 2);
		break;
	case 2:
		for (v = 0; v < 4; v++)
			idx[v] = v < 3 ? x : _mm512_srli_epi16(x, 2);
		break;
	case 4:
		idx[0] = x;
		idx[1] = _mm512_srli_epi16(x, 4);
		break;
	case 3:
	case 6:
		idx[0] = select_bits(0x0f, x, bits_from(f[0], 4, -4));
		idx[1] = select_bits(0x0f, _mm512_srli_epi16(x, 4), bits_from(f[0], 4, -2));
		break;
	case 5:
		idx[0] = select_bits(0x0f, x, bits_from(f[0], 2, -4));
		idx[1] = select_bits(0x0f, _mm512_srli_epi16(x, 4), bits_from(f[0], 2, -3));
		break;
	case 7:
		for (v = 0; v < 2; v++) {
			y[v] = bits_from(f[1], 4, v ? -2 : -4);
			z[v] = bits_from(f[0], 2, v ? -5 : -6);
			z[v] = select_bits(0x30, y[v], z[v]);
			idx[v] = select_bits(0x0f, v ? _mm512_srli_epi16(x, 4) : x, z[v]);
		}
		break;
	default:
		idx[0] = x;
	}
}

LEVELS_INLINE __m512i look_up(const __m512i *t, __m512i idx, uint32_t bits)
{
	__m512i low, high;

	if (bits < 7)
		return _mm512_permutexvar_epi8(idx, t[0]);
	low = _mm512_permutex2var_epi8(t[0], idx, t[1]);
	if (bits == 7)
		return low;
	high = _mm512_permutex2var_epi8(t[2], idx, t[3]);
	return _mm512_mask_blend_epi8(_mm512_movepi8_mask(idx), low, high);
}

/**
 * levels_of_fields - one chunk
 * @f:  its fields
 * @hi: receives V registers
 * @lo: from 5 bits, likewise
 */
LEVELS_INLINE void levels_of_fields(const struct level_tables *t, const __m512i *f, uint32_t bits,
				    __m512i *hi, __m512i *lo)
{
	__m512i idx[LEVEL_VECTORS];
	uint32_t v, k;

	chunk_indices(f, bits, idx);
	for (v = 0; v < levels_vectors(bits); v++) {
		if (bits == 3) {
			hi[v] = look_up(t->hi + v % 2, idx[v / 2], bits);
			continue;
		}
		k = bits == 1 ? (v < 6 ? v : v - 2) : bits == 2 ? (v < 3 ? v : 2) : 0;
		hi[v] = look_up(t->hi + k, idx[v], bits);
		if (bits > 4)
			lo[v] = look_up(t->lo, idx[v], bits);
	}
}

/**
 * levels_decode - one chunk from memory
 * @p:    its bytes in each field of the row
 * @mask: which of them exist; NULL for all
 * @hi, @lo: receive V registers; @lo from 5 bits
 */
LEVELS_INLINE void levels_decode(const struct level_tables *t, const uint8_t *const *p,
				 const uint64_t *mask, uint32_t bits, __m512i *hi, __m512i *lo)
{
	__m512i f[3];
	uint32_t k;

	for (k = 0; k < levels_fields(bits); k++)
		f[k] = load_field(p[k], mask ? mask + k : NULL, levels_step(bits, k));
	levels_of_fields(t, f, bits, hi, lo);
}

#endif
