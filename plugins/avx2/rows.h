/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_AVX2_ROWS_H
#define TQ_AVX2_ROWS_H

/*
 * What is one number per row, for eight rows at a time: row r is lane r. Sums over 16 lanes end in
 * the same fixed tree for all rows at once, and roots, divisions and the power of two of the scale
 * are vector operations; a row alone would wait for each of them in turn.
 */

#include "load.h"

AVX2_INLINE __m256 add_lanes(__m256 a, __m256 b, int integer)
{
	if (integer)
		return _mm256_castsi256_ps(
			_mm256_add_epi32(_mm256_castps_si256(a), _mm256_castps_si256(b)));
	return _mm256_add_ps(a, b);
}

/**
 * sum_rows - for each of eight registers the sum of its lanes: l and l+4, l+2, l+1
 * @lane:    the registers; overwritten
 * @integer: lanes are int32
 *
 * Each step halves two registers into one. Row r ends in lane (0, 2, 1, 3)[r % 4] of its half.
 */
AVX2_INLINE __m256 sum_rows(__m256 *lane, int integer)
{
	int i;

#pragma GCC unroll 4
	for (i = 0; i < 4; i++)
		lane[i] = add_lanes(_mm256_permute2f128_ps(lane[i], lane[i + 4], 0x20),
				    _mm256_permute2f128_ps(lane[i], lane[i + 4], 0x31), integer);
#pragma GCC unroll 2
	for (i = 0; i < 2; i++)
		lane[i] = add_lanes(_mm256_shuffle_ps(lane[i], lane[i + 2], 0x44),
				    _mm256_shuffle_ps(lane[i], lane[i + 2], 0xee), integer);
	lane[0] = add_lanes(_mm256_shuffle_ps(lane[0], lane[1], 0x88),
			    _mm256_shuffle_ps(lane[0], lane[1], 0xdd), integer);
	return _mm256_permute_ps(lane[0], 0xd8);
}

/** scales_of_rows - tq_row_scale() of eight rows; 0 where it is */
AVX2_INLINE __m256 scales_of_rows(const struct tq_plan *plan, __m256 norm2, __m256 yc, __m256 cc)
{
	__m256 h = _mm256_set1_ps(plan->codebook.half_step), zero = _mm256_setzero_ps(), s;
	__m256 given = _mm256_cmp_ps(norm2, zero, _CMP_GT_OQ);

	switch (plan->correction) {
	case TQ_CORR_NORM:
		s = _mm256_div_ps(_mm256_sqrt_ps(_mm256_div_ps(norm2, cc)), h);
		given = _mm256_and_ps(given, _mm256_cmp_ps(cc, zero, _CMP_GT_OQ));
		break;
	case TQ_CORR_LS:
		s = _mm256_div_ps(_mm256_div_ps(yc, cc), h);
		given = _mm256_and_ps(given, _mm256_cmp_ps(yc, zero, _CMP_GT_OQ));
		break;
	case TQ_CORR_UNBIASED:
		s = _mm256_div_ps(_mm256_div_ps(norm2, yc), h);
		given = _mm256_and_ps(given, _mm256_cmp_ps(yc, zero, _CMP_GT_OQ));
		break;
	default:
		s = _mm256_sqrt_ps(_mm256_div_ps(norm2, _mm256_set1_ps((float)plan->dim)));
	}
	return _mm256_and_ps(s, given);
}

/** scale_rows_up - tq_scale_up() of eight rows */
AVX2_INLINE __m256 scale_rows_up(__m256 scale, __m256i exponent)
{
	__m256i b = _mm256_castps_si256(scale), mantissa = _mm256_set1_epi32(0x7fffff), e, normal;

	normal = _mm256_cmpgt_epi32(b, mantissa);
	e = _mm256_add_epi32(_mm256_srli_epi32(b, 23), exponent);
	normal = _mm256_and_si256(normal, _mm256_cmpgt_epi32(e, _mm256_setzero_si256()));
	b = _mm256_or_si256(_mm256_and_si256(b, mantissa), _mm256_slli_epi32(e, 23));
	b = _mm256_blendv_epi8(b, _mm256_set1_epi32(0x7f7fffff),
			       _mm256_cmpgt_epi32(e, _mm256_set1_epi32(254)));
	return _mm256_castsi256_ps(_mm256_and_si256(b, normal));
}

/** store_scales - tq_store_scale() of @n rows, @codes the field of the first */
AVX2_INLINE void store_scales(const struct tq_plan *plan, __m256 scale, size_t n, uint8_t *codes)
{
	const float most = plan->scale == TQ_F16 ? 65504.0f : 3.3895313892515355e38f;
	size_t row_bytes = plan->layout.row_bytes, i;
	uint16_t half[8];
	float full[8];

	if (plan->scale == TQ_F32) {
		_mm256_storeu_ps(full, scale);
		for (i = 0; i < n; i++)
			memcpy(codes + i * row_bytes, &full[i], sizeof(full[i]));
		return;
	}
	scale = _mm256_min_ps(scale, _mm256_set1_ps(most));
	_mm_storeu_si128((__m128i *)half,
			 plan->scale == TQ_F16 ? to_half(scale, TQ_F16) : to_half(scale, TQ_BF16));
	for (i = 0; i < n; i++)
		memcpy(codes + i * row_bytes, &half[i], sizeof(half[i]));
}

#endif
