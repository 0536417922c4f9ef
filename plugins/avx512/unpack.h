/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_AVX512_UNPACK_H
#define TQ_AVX512_UNPACK_H

/*
 * The fields of a row to rotated coordinates, 16 at a time.
 *
 * A multishift puts the field of coordinate i into the low bits of lane i, what follows it in the
 * row above; a permutation of 16 values looks at the low four bits alone, and a table that repeats
 * itself at two. A one-bit field is a mask that picks between two such tables. From 6 bits on the
 * level number is put together and fetched by a gather.
 */

#include "lanes.h"

/** struct level_values - odd_k times the step of the row */
struct level_values {
	__m512 low;
	__m512 high;
	__m512 step;
	const float *odd;
};

/** values_of_row - the tables of one row; returns the exponent of its scale */
AVX512_INLINE int32_t values_of_row(const struct tq_plan *plan, const struct avx512_tables *tab,
				    const uint8_t *row, struct level_values *v)
{
	int32_t exponent;
	float m = tq_split_scale(tq_load_scale(plan, row), &exponent);

	v->step = _mm512_set1_ps(m * plan->codebook.half_step);
	v->low = _mm512_mul_ps(_mm512_loadu_ps(tab->low), v->step);
	v->high = _mm512_mul_ps(_mm512_loadu_ps(tab->high), v->step);
	v->odd = tab->odd;
	return exponent;
}

/* @n <= 8 bytes, zeros above */
AVX512_INLINE uint64_t load_bytes(const uint8_t *from, size_t n)
{
	uint64_t v;

	if (n == 8) {
		memcpy(&v, from, sizeof(v));
		return v;
	}
	if (n == 4) {
		uint32_t half;

		memcpy(&half, from, sizeof(half));
		return half;
	}
	return (uint64_t)_mm_cvtsi128_si64(_mm_maskz_loadu_epi8((__mmask16)bytes(n), from));
}

/* Fields of 4 bits: byte 4 i of the result begins at bit 4 i */
AVX512_INLINE __m512i spread_4(const uint8_t *from, size_t n)
{
	const __m512i at = _mm512_setr_epi64(
		0x0000000400000000, 0x0000000c00000008, 0x0000001400000010, 0x0000001c00000018,
		0x0000002400000020, 0x0000002c00000028, 0x0000003400000030, 0x0000003c00000038);

	return _mm512_multishift_epi64_epi8(
		at, _mm512_set1_epi64((long long)load_bytes(from, (n + 1) / 2)));
}

/* Fields of 2 bits */
AVX512_INLINE __m512i spread_2(const uint8_t *from, size_t n)
{
	const __m512i at = _mm512_setr_epi64(
		0x0000000200000000, 0x0000000600000004, 0x0000000a00000008, 0x0000000e0000000c,
		0x0000001200000010, 0x0000001600000014, 0x0000001a00000018, 0x0000001e0000001c);

	return _mm512_multishift_epi64_epi8(
		at, _mm512_set1_epi64((long long)load_bytes(from, (n + 3) / 4)));
}

AVX512_INLINE __mmask16 load_mask(const uint8_t *from, size_t n)
{
	uint16_t mask;

	if (n <= 8)
		return *from;
	memcpy(&mask, from, sizeof(mask));
	return mask;
}

/** levels_at - the level numbers of the @n <= 16 coordinates from @at on, a multiple of 16 */
AVX512_INLINE __m512i levels_at(const struct tq_layout *lay, int bits, const uint8_t *row,
				size_t at, size_t n)
{
	const struct tq_section *s = lay->section;
	__m512i level = _mm512_setzero_si512(), field;

	if (bits == 8)
		return _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(lanes(n), row + s->at + at));
	if (bits & 1) {
		level = _mm512_maskz_set1_epi32(load_mask(row + s->at + at / 8, n),
						1 << (bits - 1));
		s++;
	}
	if (bits & 2) {
		field = _mm512_and_si512(spread_2(row + s->at + at / 4, n), _mm512_set1_epi32(3));
		level = _mm512_or_si512(level, _mm512_slli_epi32(field, bits & 4));
		s++;
	}
	if (bits & 4) {
		field = _mm512_and_si512(spread_4(row + s->at + at / 2, n), _mm512_set1_epi32(15));
		level = _mm512_or_si512(level, field);
	}
	return level;
}

/**
 * values_at - y_i of the coordinates @at .. @at + 15
 * @at:   a multiple of 16
 * @left: how many coordinates the row has from there; values beyond are undefined
 */
AVX512_INLINE __m512 values_at(const struct tq_plan *plan, const struct level_values *v, int bits,
			       const uint8_t *row, size_t at, size_t left)
{
	const struct tq_section *s = plan->layout.section;
	size_t n = left < 16 ? left : 16;
	__mmask16 top = 0;
	__m512i field;
	__m512 y;

	if (bits > 5)
		return _mm512_mul_ps(
			_mm512_i32gather_ps(levels_at(&plan->layout, bits, row, at, n), v->odd, 4),
			v->step);
	if (bits & 1) {
		top = load_mask(row + s->at + at / 8, n);
		s++;
	}
	if (bits == 1)
		return _mm512_mask_blend_ps(top, v->low, v->high);
	field = bits < 4 ? spread_2(row + s->at + at / 4, n) : spread_4(row + s->at + at / 2, n);
	y = _mm512_permutexvar_ps(field, v->low);
	return bits & 1 ? _mm512_mask_permutexvar_ps(y, top, field, v->high) : y;
}

#endif
