/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_SIMD_TRELLIS_BACK_H
#define TQ_SIMD_TRELLIS_BACK_H

/* The way back through a trellis on x86, whatever its registers: SSE4.1 finds the least of eight and where. */

#include <immintrin.h>
#include <stdint.h>

static inline __attribute__((always_inline)) __m128i candidates(const int16_t *level, const uint16_t *before,
								 __m128i u)
{
	__m128i d = _mm_subs_epi16(u, _mm_loadu_si128((const __m128i *)(const void *)level));

	return _mm_adds_epu16(_mm_mulhrs_epi16(d, d), _mm_loadu_si128((const __m128i *)(const void *)before));
}

/* The least of eight, and its place in the upper half */
static inline __attribute__((always_inline)) uint32_t least(__m128i cost)
{
	return (uint32_t)_mm_cvtsi128_si32(_mm_minpos_epu16(cost));
}

/**
 * costs_back - the best of 2^@bits states
 * @level:  of the first
 * @before: costs of the first eight; @more: 4 bits: of the others
 */
static inline __attribute__((always_inline)) unsigned costs_back(const int16_t *level, const uint16_t *before,
								 const uint16_t *more, int16_t u, unsigned bits)
{
	__m128i x = _mm_set1_epi16(u), cost = candidates(level, before, x);
	uint32_t low, high;

	if (bits == 1)
		cost = _mm_or_si128(cost, _mm_set_epi32(-1, -1, -1, 0));
	if (bits == 2)
		cost = _mm_or_si128(cost, _mm_set_epi32(-1, -1, 0, 0));
	low = least(cost);
	if (bits < 4)
		return low >> 16;
	high = least(candidates(level + 8, more, x));
	return (high & 0xffff) < (low & 0xffff) ? 8 + (high >> 16) : low >> 16;
}

#endif
