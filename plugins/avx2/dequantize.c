/* SPDX-License-Identifier: Apache-2.0 */

/* Codes to rotated rows, FORMAT.md section 5. */

#include "pack.h"

/* f32(odd) * t of eight bytes: level numbers, up to 3 bits with the products in @low; 4 bits: odd
 */
AVX2_INLINE __m256 level_values(const struct avx2_tables *tab, __m128i bytes, __m256 low, __m256 t,
				uint32_t bits)
{
	if (bits < 4)
		return _mm256_permutevar8x32_ps(low, _mm256_cvtepu8_epi32(bytes));
	if (bits == 4)
		return _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)), t);
	return _mm256_mul_ps(gather8f(tab->odd, _mm256_cvtepu8_epi32(bytes)), t);
}

/* 32 of them */
AVX2_INLINE void block_values(const struct tq_plan *plan, const struct avx2_tables *tab,
			      const uint8_t *row, size_t at, size_t n, __m256 low, __m256 t,
			      uint32_t bits, __m256 *v)
{
	const __m256i odd =
		_mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)tab->odd_bytes));
	__m256i idx = unpack_block(&plan->layout, bits, row, at, n);
	__m128i half;

	if (bits == 4)
		idx = _mm256_shuffle_epi8(odd, idx);
	half = _mm256_castsi256_si128(idx);
	v[0] = level_values(tab, half, low, t, bits);
	v[1] = level_values(tab, _mm_unpackhi_epi64(half, half), low, t, bits);
	half = _mm256_extracti128_si256(idx, 1);
	v[2] = level_values(tab, half, low, t, bits);
	v[3] = level_values(tab, _mm_unpackhi_epi64(half, half), low, t, bits);
}

AVX2_INLINE void dequantize_bits(const struct tq_plan *plan, const struct avx2_tables *tab,
				 const uint8_t *row, float step, float *y, uint32_t bits)
{
	__m256 t = _mm256_set1_ps(step), low = _mm256_mul_ps(_mm256_loadu_ps(tab->odd), t), v[4];
	size_t d = plan->dim, at;
	int i;

	for (at = 0; at + 32 <= d; at += 32) {
		block_values(plan, tab, row, at, 32, low, t, bits, v);
#pragma GCC unroll 4
		for (i = 0; i < 4; i++)
			_mm256_storeu_ps(y + at + 8 * i, v[i]);
	}
	if (at == d)
		return;
	block_values(plan, tab, row, at, d - at, low, t, bits, v);
#pragma GCC unroll 4
	for (i = 0; i < 4; i++)
		_mm256_maskstore_ps(y + at + 8 * i, lane_mask((ptrdiff_t)(d - at) - 8 * i), v[i]);
}

int32_t avx2_dequantize_row(const struct tq_plan *plan, const struct avx2_tables *tab,
			    const uint8_t *row, float *y)
{
	int32_t exponent;
	float step = tq_split_scale(tq_load_scale(plan, row + plan->layout.scale_at), &exponent) *
		     plan->codebook.half_step;

	switch (plan->index_bits) {
	case 0:
		memset(y, 0, plan->dim * sizeof(*y));
		break;
	case 1:
		dequantize_bits(plan, tab, row, step, y, 1);
		break;
	case 2:
		dequantize_bits(plan, tab, row, step, y, 2);
		break;
	case 3:
		dequantize_bits(plan, tab, row, step, y, 3);
		break;
	case 4:
		dequantize_bits(plan, tab, row, step, y, 4);
		break;
	case 5:
		dequantize_bits(plan, tab, row, step, y, 5);
		break;
	case 6:
		dequantize_bits(plan, tab, row, step, y, 6);
		break;
	case 7:
		dequantize_bits(plan, tab, row, step, y, 7);
		break;
	default:
		dequantize_bits(plan, tab, row, step, y, 8);
	}
	return exponent;
}

void avx2_dequantize(const struct tq_plan *plan, const void *state, const uint8_t *codes, size_t n,
		     float *y, int32_t *exponent)
{
	size_t i;

	for (i = 0; i < n; i++)
		exponent[i] = avx2_dequantize_row(plan, state, codes + i * plan->layout.row_bytes,
						  y + i * plan->dim);
}
