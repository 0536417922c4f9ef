/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Fused encode of rht + grid: load, centre, scale, rotate, quantize and pack one row at a time in a
 * buffer that stays in the first level cache. Each step is the one of the separate stages.
 */

#include "load.h"
#include "../simd/row.h"

typedef void (*encode_rows)(const struct tq_plan *plan, const struct avx2_tables *tab,
			    const void *x, size_t stride, size_t n, uint8_t *codes);

AVX2_INLINE void encode_as(const struct tq_plan *plan, const struct avx2_tables *tab, const void *x,
			   int dtype, uint32_t center, size_t stride, size_t n, uint8_t *codes)
{
	float buf[SIMD_ROW_FLOATS] __attribute__((aligned(64)));
	float *in = buf + plan->rotation.rounds * plan->rotation.roll;
	size_t step = stride * (dtype == TQ_F32 ? 4 : 2), i;
	struct tq_row_stat stat;

	for (i = 0; i < n; i++) {
		load_row(plan, (const char *)x + i * step, dtype, center, in, &stat);
		avx2_rht_forward(&plan->rotation, buf);
		avx2_quantize_row(plan, tab, buf, &stat, codes + i * plan->layout.row_bytes);
	}
}

#define ENCODE_AS(name, dtype, center)                                                             \
	static void name(const struct tq_plan *plan, const struct avx2_tables *tab, const void *x, \
			 size_t stride, size_t n, uint8_t *codes)                                  \
	{                                                                                          \
		encode_as(plan, tab, x, dtype, center, stride, n, codes);                          \
	}

ENCODE_AS(encode_f32, TQ_F32, TQ_CENTER_OFF)
ENCODE_AS(encode_f16, TQ_F16, TQ_CENTER_OFF)
ENCODE_AS(encode_bf16, TQ_BF16, TQ_CENTER_OFF)
ENCODE_AS(encode_f32_data, TQ_F32, TQ_CENTER_DATA)
ENCODE_AS(encode_f16_data, TQ_F16, TQ_CENTER_DATA)
ENCODE_AS(encode_bf16_data, TQ_BF16, TQ_CENTER_DATA)
ENCODE_AS(encode_f32_both, TQ_F32, TQ_CENTER_BOTH)
ENCODE_AS(encode_f16_both, TQ_F16, TQ_CENTER_BOTH)
ENCODE_AS(encode_bf16_both, TQ_BF16, TQ_CENTER_BOTH)

static const encode_rows encoders[3][3] = {
	[TQ_CENTER_OFF] = {encode_f32, encode_f16, encode_bf16},
	[TQ_CENTER_DATA] = {encode_f32_data, encode_f16_data, encode_bf16_data},
	[TQ_CENTER_BOTH] = {encode_f32_both, encode_f16_both, encode_bf16_both},
};

static int avx2_encode(const struct tq_plan *plan, const void *state, const void *x, int dtype,
		       size_t stride, size_t n, uint8_t *codes)
{
	encoders[plan->center][dtype](plan, state, x, stride, n, codes);
	return TQ_OK;
}

const struct tq_quantizer_ops avx2_encode_ops = {
	.struct_size = sizeof(struct tq_quantizer_ops),
	.create = avx2_tables_create,
	.destroy = avx2_tables_destroy,
	.encode = avx2_encode,
};
