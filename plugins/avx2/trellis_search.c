/* SPDX-License-Identifier: Apache-2.0 */
/* The search for a row's bits under a trellis code: ../simd/trellis_search.h, two runs of eight groups to a register. */

#include "trellis.h"

typedef __m256i costs;
#define COSTS_LANES 16
#define COSTS_PARTS 2

AVX2_INLINE costs costs_load(const uint16_t *at)
{
	return _mm256_load_si256((const __m256i *)(const void *)at);
}

AVX2_INLINE void costs_store(uint16_t *at, costs x)
{
	_mm256_store_si256((__m256i *)(void *)at, x);
}

AVX2_INLINE costs costs_set(uint16_t x)
{
	return _mm256_set1_epi16((short)x);
}

AVX2_INLINE costs costs_min(costs a, costs b)
{
	return _mm256_min_epu16(a, b);
}

AVX2_INLINE costs costs_sub(costs a, costs b)
{
	return _mm256_sub_epi16(a, b);
}

AVX2_INLINE costs costs_add(costs before, costs u, costs level)
{
	__m256i d = _mm256_subs_epi16(u, level);

	return _mm256_adds_epu16(before, _mm256_mulhrs_epi16(d, d));
}

AVX2_INLINE costs costs_least(costs x)
{
	__m128i half = _mm_min_epu16(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));

	return _mm256_broadcastw_epi16(_mm_minpos_epu16(half));
}

/* Both runs of groups have the same costs before them */
AVX2_INLINE costs costs_repeat(const uint16_t *at, unsigned period)
{
	switch (period) {
	case 1:
		return _mm256_set1_epi16((short)*at);
	case 2:
		return _mm256_broadcastd_epi32(_mm_loadu_si32(at));
	case 4:
		return _mm256_broadcastq_epi64(_mm_loadl_epi64((const __m128i *)(const void *)at));
	default:
		return _mm256_broadcastsi128_si256(_mm_load_si128((const __m128i *)(const void *)at));
	}
}

/* Even places of each part in front, odd ones behind */
AVX2_INLINE __m256i parted(__m256i x)
{
	return _mm256_shuffle_epi8(x, _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10,
										11, 14, 15)));
}

AVX2_INLINE costs costs_even(costs a, costs b)
{
	return _mm256_unpacklo_epi64(parted(a), parted(b));
}

AVX2_INLINE costs costs_odd(costs a, costs b)
{
	return _mm256_unpackhi_epi64(parted(a), parted(b));
}

AVX2_INLINE costs costs_zip_low(costs a, costs b)
{
	return _mm256_unpacklo_epi16(a, b);
}

AVX2_INLINE costs costs_zip_high(costs a, costs b)
{
	return _mm256_unpackhi_epi16(a, b);
}

/* A period's first half of places is in the lower part */
AVX2_INLINE costs costs_join(costs x, unsigned period)
{
	const __m256i zip = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15));

	switch (period) {
	case 2:
		return _mm256_shuffle_epi8(_mm256_permute4x64_epi64(x, 0xd8), zip);
	case 4:
		return _mm256_permutevar8x32_epi32(x, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
	case 8:
		return _mm256_permute4x64_epi64(x, 0xd8);
	default:
		return x;
	}
}

/* As in scalar: clip, then round; @n is a multiple of 8 */
static void to_units(const float *y, size_t n, float inv, int16_t *u)
{
	const __m256 factor = _mm256_set1_ps(inv), top = _mm256_set1_ps(TQ_TRELLIS_TOP);
	__m256i whole;
	__m256 v;
	size_t i;

	for (i = 0; i < n; i += 8) {
		v = _mm256_mul_ps(_mm256_loadu_ps(y + i), factor);
		v = _mm256_max_ps(_mm256_min_ps(v, top), _mm256_sub_ps(_mm256_setzero_ps(), top));
		whole = _mm256_cvtps_epi32(v);
		_mm_storeu_si128((__m128i *)(void *)(u + i), _mm_packs_epi32(_mm256_castsi256_si128(whole),
									    _mm256_extracti128_si256(whole, 1)));
	}
}

#include "../simd/trellis_back.h"
#include "../simd/trellis_search.h"

size_t avx2_trellis_together(const struct tq_plan *plan)
{
	return search_together(plan);
}

void avx2_trellis_search_tables(const struct tq_plan *plan, struct trellis_tables *t)
{
	search_tables(plan, t->target, t->level);
}

void avx2_trellis_search(const struct tq_plan *plan, const struct trellis_tables *t, const float *const *y,
			 const float *r, size_t rows, uint8_t *const *row)
{
	search_rows(plan, t, y, r, rows, row);
}
