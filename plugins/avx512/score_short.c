/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Sums of one 8-bit query over rows of which two or four fit into a register: up to 64 bytes of
 * codes at d = 128, 4 bits, but 32 bytes at 2 bits and 16 at 1. Rows r, r + 4 (r + 8, r + 12) go
 * together, so that adding across leaves the sums in the order of the rows.
 */

#include "score.h"
#include "short.h"
#include "sums.h"

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
	uint32_t v;

	short_fields(s, row, tail, bits, fold, f);
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
		if (short_mask(s, bits, fold))                                                     \
			sum_short(s, strip, s->tail, q, sum, a, bits, fold);                       \
		else                                                                               \
			sum_short(s, strip, NULL, q, sum, a, bits, fold);                          \
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
