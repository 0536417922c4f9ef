/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Sums of one 8-bit query over rows of which two or four fit into a register: up to 64 bytes of
 * codes at d = 128, 4 bits, but 32 bytes at 2 bits and 16 at 1. Rows r, r + 4 (r + 8, r + 12) go
 * together, so that adding across leaves the sums in the order of the rows.
 */

#include "score.h"
#include "sums.h"

LEVELS_INLINE __m128i load16(const uint8_t *p, const uint64_t *mask)
{
	if (mask)
		return _mm_maskz_loadu_epi8((__mmask16)*mask, p);
	return _mm_loadu_si128((const __m128i *)p);
}

LEVELS_INLINE __m128i load8(const uint8_t *p, const uint64_t *mask)
{
	if (mask)
		return _mm_maskz_loadu_epi8((__mmask16)*mask, p);
	return _mm_loadl_epi64((const __m128i *)p);
}

LEVELS_INLINE __m256i load32(const uint8_t *p, const uint64_t *mask)
{
	if (mask)
		return _mm256_maskz_loadu_epi8((__mmask32)*mask, p);
	return _mm256_loadu_si256((const __m256i *)p);
}

/* 16 bytes of four rows */
LEVELS_INLINE __m512i quarters(const uint8_t *const *row, size_t at, const uint64_t *mask)
{
	__m512i x = _mm512_castsi128_si512(load16(row[0] + at, mask));

	x = _mm512_inserti32x4(x, load16(row[4] + at, mask), 1);
	x = _mm512_inserti32x4(x, load16(row[8] + at, mask), 2);
	return _mm512_inserti32x4(x, load16(row[12] + at, mask), 3);
}

/* 32 bytes of two rows */
LEVELS_INLINE __m512i halves(const uint8_t *const *row, size_t at, const uint64_t *mask)
{
	return _mm512_inserti64x4(_mm512_castsi256_si512(load32(row[0] + at, mask)),
				  load32(row[4] + at, mask), 1);
}

/* 3 bits: what of the narrow field belongs to those, as levels_decode() has it */
LEVELS_INLINE __m512i narrow(const uint8_t *const *row, size_t at, const uint64_t *mask,
			     uint32_t fold)
{
	__m128i low, high;

	if (fold == 2) {
		low = load16(row[0] + at, mask);
		high = load16(row[4] + at, mask);
	} else {
		low = _mm_unpacklo_epi64(load8(row[0] + at, mask), load8(row[4] + at, mask));
		high = _mm_unpacklo_epi64(load8(row[8] + at, mask), load8(row[12] + at, mask));
	}
	return _mm512_cvtepu32_epi64(_mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1));
}

LEVELS_INLINE __m512i repeat(const int8_t *q, uint32_t fold)
{
	if (fold == 2)
		return _mm512_broadcast_i64x4(_mm256_load_si256((const __m256i *)q));
	return _mm512_broadcast_i32x4(_mm_load_si128((const __m128i *)q));
}

/* Rows r, r + 4 and so on of a block */
LEVELS_INLINE __m512i sum_folded(const struct shape *s, const struct level_tables *t,
				 const uint8_t *const *row, const uint64_t *tail, const __m512i *q,
				 uint32_t bits, uint32_t fold)
{
	__m512i f[3], hi[LEVEL_VECTORS], lo[LEVEL_VECTORS], acc = _mm512_setzero_si512();
	uint32_t n = levels_fields(bits), v;
	const uint64_t *mask = tail ? tail + n - 1 : NULL;

	if (fold == 2)
		f[n - 1] = halves(row, s->at[n - 1], mask);
	else
		f[n - 1] = quarters(row, s->at[n - 1], mask);
	if (bits == 3)
		f[0] = narrow(row, s->at[0], tail, fold);
	levels_of_fields(t, f, bits, hi, lo);
#pragma GCC unroll 8
	for (v = 0; v < levels_vectors(bits); v++)
		acc = _mm512_dpbusd_epi32(acc, hi[v], q[v]);
	return acc;
}

/* Four registers of them */
LEVELS_INLINE __m512i sum_group(const struct shape *s, const struct level_tables *t,
				const uint8_t *const *row, const uint64_t *tail, const __m512i *q,
				uint32_t bits, uint32_t fold)
{
	return add_lanes(sum_folded(s, t, row, tail, q, bits, fold),
			 sum_folded(s, t, row + 1, tail, q, bits, fold),
			 sum_folded(s, t, row + 2, tail, q, bits, fold),
			 sum_folded(s, t, row + 3, tail, q, bits, fold));
}

LEVELS_INLINE void sum_short(const struct shape *s, const struct strip *strip, const uint64_t *tail,
			     const int8_t *q, int64_t sum, float *a, uint32_t bits, uint32_t fold)
{
	size_t bytes = (size_t)(strip->row[1] - strip->row[0]) * BLOCK, j, at;
	const __m512i beta = _mm512_set1_epi32((int)(s->beta * sum));
	__m512i total, high, qv[LEVEL_VECTORS];
	struct level_tables t;
	uint32_t v;

	level_tables_load(&t, &s->hi, &s->lo, bits);
#pragma GCC unroll 8
	for (v = 0; v < levels_vectors(bits); v++)
		qv[v] = repeat(q + 64 * v, fold);
	for (j = 0; j < strip->n; j += BLOCK) {
		for (at = 0; strip->ahead && at < bytes; at += 64)
			_mm_prefetch((const char *)strip->row[j] + strip->ahead + at, _MM_HINT_T0);
		total = sum_group(s, &t, strip->row + j, tail, qv, bits, fold);
		if (fold == 2) {
			high = sum_group(s, &t, strip->row + j + 8, tail, qv, bits, fold);
			total = _mm512_add_epi32(_mm512_shuffle_i32x4(total, high, 0x88),
						 _mm512_shuffle_i32x4(total, high, 0xdd));
		}
		total = _mm512_sub_epi32(_mm512_slli_epi32(total, 1), beta);
		_mm512_store_ps(a + j, _mm512_cvtepi32_ps(total));
	}
}

#define SUM_SHORT(bits, fold)                                                                      \
	static void sum_short_##bits##_##fold(const struct shape *s, const struct strip *strip,    \
					      const int8_t *q, int64_t sum, float *a)              \
	{                                                                                          \
		uint32_t last = levels_fields(bits) - 1;                                           \
                                                                                                   \
		if (s->tail[last] == (1ull << 64 / (fold)) - 1)                                    \
			sum_short(s, strip, NULL, q, sum, a, bits, fold);                          \
		else                                                                               \
			sum_short(s, strip, s->tail, q, sum, a, bits, fold);                       \
	}

SUM_SHORT(1, 2)
SUM_SHORT(1, 4)
SUM_SHORT(2, 2)
SUM_SHORT(2, 4)
SUM_SHORT(3, 2)
SUM_SHORT(3, 4)
SUM_SHORT(4, 2)

void avx512_sum_short(const struct shape *shape, const struct strip *strip, const int8_t *q,
		      int64_t sum, float *a)
{
	static void (*const kernel[][2])(const struct shape *s, const struct strip *strip,
					 const int8_t *q, int64_t sum, float *a) = {
		{sum_short_1_2, sum_short_1_4},
		{sum_short_2_2, sum_short_2_4},
		{sum_short_3_2, sum_short_3_4},
		{sum_short_4_2, NULL},
	};

	kernel[shape->bits - 1][shape->fold == 4](shape, strip, q, sum, a);
}
