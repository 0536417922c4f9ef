/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Fused encode of rht + grid, one row at a time: load, centre, scale, rotate, quantize and pack.
 * Each step is the one of the separate stages. Rows that fit stay in registers from the load to the
 * bytes, others go through a buffer that stays in the first level cache.
 */

#include "load.h"
#include "quantize.h"
#include "registers.h"

typedef void (*load_any)(const struct tq_plan *plan, const void *x, float *y,
			 struct tq_row_stat *stat);
typedef void (*encode_rows)(const struct tq_plan *plan, const struct avx512_tables *tab,
			    const char *x, int dtype, size_t step, size_t n, uint8_t *codes);

#define LOAD_AS(name, dtype, center)                                                               \
	static void name(const struct tq_plan *plan, const void *x, float *y,                      \
			 struct tq_row_stat *stat)                                                 \
	{                                                                                          \
		load_row(plan, x, dtype, center, y, stat);                                         \
	}

LOAD_AS(load_f32, TQ_F32, TQ_CENTER_OFF)
LOAD_AS(load_f16, TQ_F16, TQ_CENTER_OFF)
LOAD_AS(load_bf16, TQ_BF16, TQ_CENTER_OFF)
LOAD_AS(load_f32_data, TQ_F32, TQ_CENTER_DATA)
LOAD_AS(load_f16_data, TQ_F16, TQ_CENTER_DATA)
LOAD_AS(load_bf16_data, TQ_BF16, TQ_CENTER_DATA)
LOAD_AS(load_f32_both, TQ_F32, TQ_CENTER_BOTH)
LOAD_AS(load_f16_both, TQ_F16, TQ_CENTER_BOTH)
LOAD_AS(load_bf16_both, TQ_BF16, TQ_CENTER_BOTH)

static const load_any loaders[3][3] = {
	[TQ_CENTER_OFF] = {load_f32, load_f16, load_bf16},
	[TQ_CENTER_DATA] = {load_f32_data, load_f16_data, load_bf16_data},
	[TQ_CENTER_BOTH] = {load_f32_both, load_f16_both, load_bf16_both},
};

static void encode_in_memory(const struct tq_plan *plan, const struct avx512_tables *tab,
			     const char *x, int dtype, size_t step, size_t n, uint8_t *codes)
{
	float buf[SIMD_ROW_FLOATS] __attribute__((aligned(64)));
	float *in = buf + plan->rotation.rounds * plan->rotation.roll;
	load_any load = loaders[plan->center][dtype];
	struct tq_row_stat stat;

	for (; n > 0; n--, x += step, codes += plan->layout.row_bytes) {
		load(plan, x, in, &stat);
		avx512_rht_forward(&plan->rotation, buf);
		avx512_quantize_row(plan, tab, buf, &stat, codes);
	}
}

AVX512_INLINE void store_registers(float *y, const __m512 *v, int regs)
{
	int i;

#pragma GCC unroll 16
	for (i = 0; i < regs; i++)
		_mm512_store_ps(y + 16 * i, v[i]);
}

/* load_row() into registers */
AVX512_INLINE void load_registers(const struct tq_plan *plan, const void *x, int dtype,
				  uint32_t center, __m512 *v, int regs, struct tq_row_stat *stat)
{
	struct load_sums sums = {_mm512_setzero_si512(), _mm512_setzero_ps()};
	__m512 norm = _mm512_setzero_ps(), factor;
	int i;

#pragma GCC unroll 16
	for (i = 0; i < regs; i++)
		v[i] = load_centred(plan, x, dtype, center, 16 * (size_t)i, 0xffff, &sums);
	if (!load_finish(&sums, center, stat)) {
		float y[16 * ROW_REGS_MAX] __attribute__((aligned(64)));

		store_registers(y, v, regs);
		scale_rare(y, 16 * (size_t)regs, stat);
#pragma GCC unroll 16
		for (i = 0; i < regs; i++)
			v[i] = _mm512_load_ps(y + 16 * i);
		return;
	}
	factor = _mm512_set1_ps(tq_pow2(-stat->exponent));
#pragma GCC unroll 16
	for (i = 0; i < regs; i++)
		v[i] = scale_down(v[i], factor, &norm);
	stat->norm2 = sum_tree(norm);
}

/* The row's bytes from registers */
AVX512_INLINE void quantize_registers(const struct tq_plan *plan, const struct avx512_tables *tab,
				      const __m512 *v, int regs, enum search how, int bits,
				      const struct tq_row_stat *stat, uint8_t *row)
{
	struct fit_sums sums = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_si512()};
	float sigma = sqrtf(stat->norm2 / (float)plan->dim);
	struct thresholds th;
	__m512i level;
	int i, part;

	scale_thresholds(tab, sigma, how, &th);
#pragma GCC unroll 4
	for (i = 0; i < regs; i += 4) {
		part = regs - i < 4 ? regs - i : 4;
		level = quantize_chunk(tab, &th, how, bits, v + i, part, 16 * (size_t)part, &sums);
		pack_chunk(&plan->layout, bits, level, 16 * (size_t)i, 16 * (size_t)part, row);
	}
	store_row_head(plan, stat, sum_tree(sums.yc), (int64_t)_mm512_reduce_add_ps(sums.cc_small),
		       row);
}

/* Specs whose levels are found in one pass over registers: their bits, else 0 */
static uint32_t bits_in_registers(const struct tq_plan *plan, const struct avx512_tables *tab)
{
	if (plan->index_bits == 1)
		return 1;
	if (plan->effort || plan->index_bits > 4 || (plan->index_bits > 2 && !tab->in_cells))
		return 0;
	return plan->index_bits;
}

#define LOAD_CASE(center, dtype)                                                                   \
	case 3 * (center) + (dtype):                                                               \
		load_registers(plan, x, dtype, center, v, regs, &stat);                            \
		break

AVX512_INLINE void encode_in_registers(const struct tq_plan *plan, const struct avx512_tables *tab,
				       const char *x, int dtype, size_t step, size_t n,
				       uint8_t *codes, int regs)
{
	float y[16 * ROW_REGS_MAX] __attribute__((aligned(64)));
	uint32_t bits = bits_in_registers(plan, tab);
	struct tq_row_stat stat;
	__m512 v[ROW_REGS_MAX];

	for (; n > 0; n--, x += step, codes += plan->layout.row_bytes) {
		switch (3 * plan->center + (uint32_t)dtype) {
			LOAD_CASE(TQ_CENTER_OFF, TQ_F32);
			LOAD_CASE(TQ_CENTER_OFF, TQ_F16);
			LOAD_CASE(TQ_CENTER_OFF, TQ_BF16);
			LOAD_CASE(TQ_CENTER_DATA, TQ_F32);
			LOAD_CASE(TQ_CENTER_DATA, TQ_F16);
			LOAD_CASE(TQ_CENTER_DATA, TQ_BF16);
			LOAD_CASE(TQ_CENTER_BOTH, TQ_F32);
			LOAD_CASE(TQ_CENTER_BOTH, TQ_F16);
		default:
			load_registers(plan, x, TQ_BF16, TQ_CENTER_BOTH, v, regs, &stat);
		}
		rotate_registers(&plan->rotation, v, regs);
		switch (stat.norm2 > 0.0f ? bits : 0) {
		case 1:
			quantize_registers(plan, tab, v, regs, SEARCH_1, 1, &stat, codes);
			break;
		case 2:
			quantize_registers(plan, tab, v, regs, SEARCH_2, 2, &stat, codes);
			break;
		case 3:
			quantize_registers(plan, tab, v, regs, SEARCH_CELLS, 3, &stat, codes);
			break;
		case 4:
			quantize_registers(plan, tab, v, regs, SEARCH_CELLS, 4, &stat, codes);
			break;
		default:
			store_registers(y, v, regs);
			avx512_quantize_row(plan, tab, y, &stat, codes);
		}
	}
}

#define ENCODE_REGS(regs)                                                                          \
	static void encode_##regs(const struct tq_plan *plan, const struct avx512_tables *tab,     \
				  const char *x, int dtype, size_t step, size_t n, uint8_t *codes) \
	{                                                                                          \
		encode_in_registers(plan, tab, x, dtype, step, n, codes, regs);                    \
	}

ENCODE_REGS(1)
ENCODE_REGS(2)
ENCODE_REGS(3)
ENCODE_REGS(4)
ENCODE_REGS(6)
ENCODE_REGS(8)
ENCODE_REGS(12)
ENCODE_REGS(16)

static const encode_rows encoders[ROW_REGS_MAX + 1] = {
	encode_in_memory, [1] = encode_1, [2] = encode_2,   [3] = encode_3,   [4] = encode_4,
	[6] = encode_6,	  [8] = encode_8, [12] = encode_12, [16] = encode_16,
};

static int avx512_encode(const struct tq_plan *plan, const void *state, const void *x, int dtype,
			 size_t stride, size_t n, uint8_t *codes)
{
	encoders[fits_registers(&plan->rotation)](plan, state, x, dtype,
						  stride * (dtype == TQ_F32 ? 4 : 2), n, codes);
	return TQ_OK;
}

const struct tq_quantizer_ops avx512_encode_ops = {
	.struct_size = sizeof(struct tq_quantizer_ops),
	.create = avx512_tables_create,
	.destroy = avx512_tables_destroy,
	.encode = avx512_encode,
};
