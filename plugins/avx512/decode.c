/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Fused decode of rht + grid, one row at a time: unpack, look up, rotate back, scale, add the
 * centre and convert; in registers or in a buffer that stays in the first level cache, as encode.
 */

#include "load.h"
#include "registers.h"
#include "unpack.h"

typedef void (*decode_rows)(const struct tq_plan *plan, const struct avx512_tables *tab,
			    const uint8_t *codes, size_t n, char *x, int dtype, size_t step);

/* The end of section 5 for the elements @i .. @i + 15 of @mask */
AVX512_INLINE void finish(const struct tq_plan *plan, __m512 v, __m512 factor, int dtype, char *x,
			  size_t i, __mmask16 mask)
{
	v = _mm512_mul_ps(v, factor);
	if (plan->center != TQ_CENTER_OFF)
		v = _mm512_add_ps(v, _mm512_maskz_loadu_ps(mask, plan->centre + i));
	store_elements(x, dtype, i, v, mask);
}

static void decode_in_memory(const struct tq_plan *plan, const struct avx512_tables *tab,
			     const uint8_t *codes, size_t n, char *x, int dtype, size_t step)
{
	float buf[SIMD_ROW_FLOATS] __attribute__((aligned(64)));
	const float *out = buf + plan->rotation.rounds * plan->rotation.roll;
	size_t d = plan->dim, i;
	__m512 factor;

	for (; n > 0; n--, x += step, codes += plan->layout.row_bytes) {
		factor = _mm512_set1_ps(tq_pow2(avx512_dequantize_row(plan, tab, codes, buf)));
		avx512_rht_backward(&plan->rotation, buf);
		for (i = 0; i < d; i += 16)
			finish(plan, _mm512_loadu_ps(out + i), factor, dtype, x, i, lanes(d - i));
	}
}

AVX512_INLINE void unpack_registers(const struct tq_plan *plan, const struct level_values *values,
				    int bits, const uint8_t *row, __m512 *v, int regs)
{
	int i;

#pragma GCC unroll 16
	for (i = 0; i < regs; i++)
		v[i] = values_at(plan, values, bits, row, 16 * (size_t)i, 16);
}

/* Rotated coordinates of one row; returns 2^exponent */
AVX512_INLINE __m512 dequantize_registers(const struct tq_plan *plan,
					  const struct avx512_tables *tab, const uint8_t *row,
					  __m512 *v, int regs)
{
	struct level_values values;
	int32_t exponent = values_of_row(plan, tab, row, &values);

	switch (plan->index_bits) {
	case 1:
		unpack_registers(plan, &values, 1, row, v, regs);
		break;
	case 2:
		unpack_registers(plan, &values, 2, row, v, regs);
		break;
	case 3:
		unpack_registers(plan, &values, 3, row, v, regs);
		break;
	case 4:
		unpack_registers(plan, &values, 4, row, v, regs);
		break;
	default:
		unpack_registers(plan, &values, 5, row, v, regs);
	}
	return _mm512_set1_ps(tq_pow2(exponent));
}

AVX512_INLINE void finish_registers(const struct tq_plan *plan, const __m512 *v, __m512 factor,
				    int dtype, char *x, int regs)
{
	int i;

#pragma GCC unroll 16
	for (i = 0; i < regs; i++)
		finish(plan, v[i], factor, dtype, x, 16 * (size_t)i, 0xffff);
}

/* @rows rows at once */
AVX512_INLINE void decode_side_by_side(const struct tq_plan *plan, const struct avx512_tables *tab,
				       const uint8_t *codes, char *x, int dtype, size_t step,
				       int regs, int rows)
{
	__m512 v[SIDE_BY_SIDE][ROW_REGS_MAX], factor[SIDE_BY_SIDE];
	size_t r;

#pragma GCC unroll 4
	for (r = 0; r < (size_t)rows; r++)
		factor[r] = dequantize_registers(plan, tab, codes + r * plan->layout.row_bytes,
						 v[r], regs);
	unrotate_registers(&plan->rotation, v, regs, rows);
#pragma GCC unroll 4
	for (r = 0; r < (size_t)rows; r++) {
		if (dtype == TQ_F32)
			finish_registers(plan, v[r], factor[r], TQ_F32, x + r * step, regs);
		else if (dtype == TQ_F16)
			finish_registers(plan, v[r], factor[r], TQ_F16, x + r * step, regs);
		else
			finish_registers(plan, v[r], factor[r], TQ_BF16, x + r * step, regs);
	}
}

AVX512_INLINE void decode_in_registers(const struct tq_plan *plan, const struct avx512_tables *tab,
				       const uint8_t *codes, size_t n, char *x, int dtype,
				       size_t step, int regs)
{
	const size_t rows = (size_t)rows_side_by_side(regs), row_bytes = plan->layout.row_bytes;

	for (; n >= rows; n -= rows, x += rows * step, codes += rows * row_bytes)
		decode_side_by_side(plan, tab, codes, x, dtype, step, regs, (int)rows);
	for (; n > 0; n--, x += step, codes += row_bytes)
		decode_side_by_side(plan, tab, codes, x, dtype, step, regs, 1);
}

#define DECODE_REGS(regs)                                                                          \
	static void decode_##regs(const struct tq_plan *plan, const struct avx512_tables *tab,     \
				  const uint8_t *codes, size_t n, char *x, int dtype, size_t step) \
	{                                                                                          \
		decode_in_registers(plan, tab, codes, n, x, dtype, step, regs);                    \
	}

DECODE_REGS(1)
DECODE_REGS(2)
DECODE_REGS(3)
DECODE_REGS(4)
DECODE_REGS(6)
DECODE_REGS(8)
DECODE_REGS(12)
DECODE_REGS(16)

static const decode_rows decoders[ROW_REGS_MAX + 1] = {
	decode_in_memory, [1] = decode_1, [2] = decode_2,   [3] = decode_3,   [4] = decode_4,
	[6] = decode_6,	  [8] = decode_8, [12] = decode_12, [16] = decode_16,
};

static int avx512_decode(const struct tq_plan *plan, const void *state, const uint8_t *codes,
			 size_t n, void *x, int dtype, size_t stride)
{
	int regs = plan->index_bits <= 5 ? fits_registers(&plan->rotation) : 0;

	decoders[regs](plan, state, codes, n, x, dtype, stride * (dtype == TQ_F32 ? 4 : 2));
	return TQ_OK;
}

const struct tq_quantizer_ops avx512_decode_ops = {
	.struct_size = sizeof(struct tq_quantizer_ops),
	.create = avx512_tables_create,
	.destroy = avx512_tables_destroy,
	.decode = avx512_decode,
};
