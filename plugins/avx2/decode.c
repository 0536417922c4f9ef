/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Fused decode of rht + grid: unpack, look up, rotate back, scale, add the centre and convert, one
 * row at a time in a buffer that stays in the first level cache.
 */

#include "load.h"
#include "../simd/row.h"

AVX2_INLINE void finish_row(const struct tq_plan *plan, const float *y, int32_t exponent, int dtype,
			    void *x)
{
	__m256 factor = _mm256_set1_ps(tq_pow2(exponent)), v;
	size_t i, d = plan->dim, n;

	for (i = 0; i < d; i += 8) {
		n = d - i < 8 ? d - i : 8;
		v = _mm256_mul_ps(_mm256_loadu_ps(y + i), factor);
		if (plan->center != TQ_CENTER_OFF)
			v = _mm256_add_ps(v, load_part8(plan->centre, TQ_F32, i, (ptrdiff_t)n));
		store_elements(x, dtype, i, v, n);
	}
}

AVX2_INLINE void decode_as(const struct tq_plan *plan, const struct avx2_tables *tab,
			   const uint8_t *codes, size_t n, void *x, int dtype, size_t stride)
{
	float buf[SIMD_ROW_FLOATS] __attribute__((aligned(64)));
	const float *out = buf + plan->rotation.rounds * plan->rotation.roll;
	size_t step = stride * (dtype == TQ_F32 ? 4 : 2), i;
	int32_t exponent;

	for (i = 0; i < n; i++) {
		exponent = avx2_dequantize_row(plan, tab, codes + i * plan->layout.row_bytes, buf);
		avx2_rht_backward(&plan->rotation, buf);
		finish_row(plan, out, exponent, dtype, (char *)x + i * step);
	}
}

static int avx2_decode(const struct tq_plan *plan, const void *state, const uint8_t *codes,
		       size_t n, void *x, int dtype, size_t stride)
{
	if (dtype == TQ_F32)
		decode_as(plan, state, codes, n, x, TQ_F32, stride);
	else if (dtype == TQ_F16)
		decode_as(plan, state, codes, n, x, TQ_F16, stride);
	else
		decode_as(plan, state, codes, n, x, TQ_BF16, stride);
	return TQ_OK;
}

const struct tq_quantizer_ops avx2_decode_ops = {
	.struct_size = sizeof(struct tq_quantizer_ops),
	.create = avx2_tables_create,
	.destroy = avx2_tables_destroy,
	.decode = avx2_decode,
};
