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

/** load_floats - 16 floats of @mask, zeros elsewhere; where the mask is known to be full, plainly
 */
AVX512_INLINE __m512 load_floats(const float *from, __mmask16 mask)
{
	return mask == 0xffff ? _mm512_loadu_ps(from) : _mm512_maskz_loadu_ps(mask, from);
}

AVX512_INLINE void store_floats(float *to, __m512 v, __mmask16 mask)
{
	if (mask == 0xffff)
		_mm512_storeu_ps(to, v);
	else
		_mm512_mask_storeu_ps(to, mask, v);
}

/** sum_tree - lanes l and l+8, then l and l+4, l+2, l+1 */
AVX512_INLINE float sum_tree(__m512 lane)
{
	__m256 s8 = _mm256_add_ps(_mm512_castps512_ps256(lane), upper_half(lane));
	__m128 s4 = _mm_add_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
	__m128 s2 = _mm_add_ps(s4, _mm_movehl_ps(s4, s4));

	return _mm_cvtss_f32(_mm_add_ss(s2, _mm_movehdup_ps(s2)));
}

/** max_lanes - the largest of 16 unsigned lanes, in all of them */
AVX512_INLINE __m512i max_lanes(__m512i v)
{
	v = _mm512_max_epu32(v, _mm512_shuffle_i64x2(v, v, 0x4e));
	v = _mm512_max_epu32(v, _mm512_shuffle_i64x2(v, v, 0xb1));
	v = _mm512_max_epu32(v, _mm512_shuffle_epi32(v, (_MM_PERM_ENUM)0x4e));
	return _mm512_max_epu32(v, _mm512_shuffle_epi32(v, (_MM_PERM_ENUM)0xb1));
}

#endif
