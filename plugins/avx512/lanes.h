/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_AVX512_LANES_H
#define TQ_AVX512_LANES_H

/* Lane masks, and the sums and maxima over the lanes of a register. */

#include "common.h"

/** lanes - the first @n of 16 lanes; any @n */
AVX512_INLINE __mmask16 lanes(size_t n)
{
	return n >= 16 ? 0xffff : (__mmask16)((1u << n) - 1u);
}

/** bytes - the first @n of 64 bytes; any @n */
AVX512_INLINE __mmask64 bytes(size_t n)
{
	return n >= 64 ? ~0ull : (1ull << n) - 1u;
}

AVX512_INLINE __m256 upper_half(__m512 v)
{
	return _mm512_extractf32x8_ps(v, 1);
}

/** sum_tree - lanes l and l+8, then l and l+4, l+2, l+1 */
AVX512_INLINE float sum_tree(__m512 lane)
{
	__m256 s8 = _mm256_add_ps(_mm512_castps512_ps256(lane), upper_half(lane));
	__m128 s4 = _mm_add_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
	__m128 s2 = _mm_add_ps(s4, _mm_movehl_ps(s4, s4));

	return _mm_cvtss_f32(_mm_add_ss(s2, _mm_movehdup_ps(s2)));
}

/** max_lane - the largest of 16 unsigned lanes */
AVX512_INLINE uint32_t max_lane(__m512i v)
{
	__m256i m8 = _mm256_max_epu32(_mm512_castsi512_si256(v), _mm512_extracti64x4_epi64(v, 1));
	__m128i m4 = _mm_max_epu32(_mm256_castsi256_si128(m8), _mm256_extracti128_si256(m8, 1));

	m4 = _mm_max_epu32(m4, _mm_shuffle_epi32(m4, 0x4e));
	m4 = _mm_max_epu32(m4, _mm_shuffle_epi32(m4, 0xb1));
	return (uint32_t)_mm_cvtsi128_si32(m4);
}

#endif
