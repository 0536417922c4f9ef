/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_AVX512_ROWS_H
#define TQ_AVX512_ROWS_H

/*
 * What is one number per row, for 16 rows at a time: row r is lane r. The sums over 16 lanes end in
 * the same fixed tree for all rows at once, and roots, divisions and the power of two of the scale
 * are vector operations; a row alone would wait for each of them in turn.
 */

#include "load.h"

#define BATCH_ROWS 16

AVX512_INLINE __m512 add_lanes(__m512 a, __m512 b, int integer)
{
	if (integer)
		return _mm512_castsi512_ps(
			_mm512_add_epi32(_mm512_castps_si512(a), _mm512_castps_si512(b)));
	return _mm512_add_ps(a, b);
}

/**
 * sum_rows - for each of 16 registers the sum of its lanes: l and l+8, l and l+4, l+2, l+1
 * @lane:    the registers; overwritten
 * @integer: lanes are int32
 *
 * Each step halves two registers into one. Row r ends in lane (0, 2, 1, 3)[r % 4] of block
 * (0, 2, 1, 3)[r / 4], from where one permutation fetches it.
 */
AVX512_INLINE __m512 sum_rows(__m512 *lane, int integer)
{
	const __m512i order =
		_mm512_setr_epi32(0, 2, 1, 3, 8, 10, 9, 11, 4, 6, 5, 7, 12, 14, 13, 15);
	int i;

#pragma GCC unroll 8
	for (i = 0; i < 8; i++)
		lane[i] = add_lanes(_mm512_shuffle_f32x4(lane[i], lane[i + 8], 0x44),
				    _mm512_shuffle_f32x4(lane[i], lane[i + 8], 0xee), integer);
#pragma GCC unroll 4
	for (i = 0; i < 4; i++)
		lane[i] = add_lanes(_mm512_shuffle_f32x4(lane[i], lane[i + 4], 0x88),
				    _mm512_shuffle_f32x4(lane[i], lane[i + 4], 0xdd), integer);
#pragma GCC unroll 2
	for (i = 0; i < 2; i++)
		lane[i] = add_lanes(_mm512_shuffle_ps(lane[i], lane[i + 2], 0x44),
				    _mm512_shuffle_ps(lane[i], lane[i + 2], 0xee), integer);
	lane[0] = add_lanes(_mm512_shuffle_ps(lane[0], lane[1], 0x88),
			    _mm512_shuffle_ps(lane[0], lane[1], 0xdd), integer);
	return _mm512_permutexvar_ps(order, lane[0]);
}

/** scales_of_rows - tq_row_scale() of 16 rows; 0 where it is */
AVX512_INLINE __m512 scales_of_rows(const struct tq_plan *plan, __m512 norm2, __m512 yc, __m512 cc)
{
	__m512 h = _mm512_set1_ps(plan->codebook.half_step), s;
	__mmask16 given = _mm512_cmp_ps_mask(norm2, _mm512_setzero_ps(), _CMP_GT_OQ);
	__mmask16 ahead = _mm512_cmp_ps_mask(yc, _mm512_setzero_ps(), _CMP_GT_OQ);

	switch (plan->correction) {
	case TQ_CORR_NORM:
		s = _mm512_div_ps(_mm512_sqrt_ps(_mm512_div_ps(norm2, cc)), h);
		given &= _mm512_cmp_ps_mask(cc, _mm512_setzero_ps(), _CMP_GT_OQ);
		break;
	case TQ_CORR_LS:
		s = _mm512_div_ps(_mm512_div_ps(yc, cc), h);
		given &= ahead;
		break;
	case TQ_CORR_UNBIASED:
		s = _mm512_div_ps(_mm512_div_ps(norm2, yc), h);
		given &= ahead;
		break;
	default:
		s = _mm512_sqrt_ps(_mm512_div_ps(norm2, _mm512_set1_ps((float)plan->dim)));
	}
	return _mm512_maskz_mov_ps(given, s);
}

/** scale_rows_up - tq_scale_up() of 16 rows */
AVX512_INLINE __m512 scale_rows_up(__m512 scale, __m512i exponent)
{
	__m512i b = _mm512_castps_si512(scale), mantissa = _mm512_set1_epi32(0x7fffff), e;
	__mmask16 normal = _mm512_cmpgt_epi32_mask(b, mantissa), large;

	e = _mm512_add_epi32(_mm512_srli_epi32(b, 23), exponent);
	normal &= _mm512_cmpgt_epi32_mask(e, _mm512_setzero_si512());
	large = _mm512_cmpgt_epi32_mask(e, _mm512_set1_epi32(254));
	b = _mm512_or_si512(_mm512_and_si512(b, mantissa), _mm512_slli_epi32(e, 23));
	b = _mm512_mask_mov_epi32(b, large, _mm512_set1_epi32(0x7f7fffff));
	return _mm512_castsi512_ps(_mm512_maskz_mov_epi32(normal, b));
}

/** store_scales - tq_store_scale() of @n rows */
AVX512_INLINE void store_scales(const struct tq_plan *plan, __m512 scale, size_t n, uint8_t *codes)
{
	const float most = plan->scale == TQ_F16 ? 65504.0f : 3.3895313892515355e38f;
	size_t row_bytes = plan->layout.row_bytes, i;
	uint16_t half[BATCH_ROWS];
	float full[BATCH_ROWS];

	if (plan->scale == TQ_F32) {
		_mm512_storeu_ps(full, scale);
		for (i = 0; i < n; i++)
			memcpy(codes + i * row_bytes, &full[i], sizeof(full[i]));
		return;
	}
	scale = _mm512_min_ps(scale, _mm512_set1_ps(most));
	_mm256_storeu_si256((__m256i *)half, plan->scale == TQ_F16 ? to_half(scale, TQ_F16)
								   : to_half(scale, TQ_BF16));
	for (i = 0; i < n; i++)
		memcpy(codes + i * row_bytes, &half[i], sizeof(half[i]));
}

#endif
