/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Fused encode and decode of rht + grid: one row at a time in a buffer that stays in the first
 * level cache. Each step is the one of the separate stages: load, centre, scale, rotate, quantize
 * and pack; unpack, look up, rotate back, scale, add the centre and convert.
 */

#include "load.h"
#include "drivers.h"
#include "../simd/row.h"

struct work {
	const struct tq_plan *plan;
	const struct neon_tables *tab;
	char *x;
	size_t step;
	uint8_t *codes;
	size_t n;
};

NEON_INLINE void encode_as(const struct work *w, int dtype, uint32_t center)
{
	float buf[SIMD_ROW_FLOATS] __attribute__((aligned(64)));
	const struct tq_rotation *rot = &w->plan->rotation;
	struct tq_row_stat stat;
	size_t i;

	for (i = 0; i < w->n; i++) {
		load_row(w->plan, w->x + i * w->step, dtype, center, buf + rot->rounds * rot->roll,
			 &stat);
		neon_rht_forward(rot, buf);
		neon_quantize_row(w->plan, w->tab, buf, &stat,
				  w->codes + i * w->plan->layout.row_bytes);
	}
}

NEON_INLINE void decode_as(const struct work *w, int dtype)
{
	float buf[SIMD_ROW_FLOATS] __attribute__((aligned(64)));
	size_t d = w->plan->dim, row_bytes = w->plan->layout.row_bytes, i, at, k;
	float32x4_t v[4], m[4];
	const float *y = buf + w->plan->rotation.rounds * w->plan->rotation.roll;
	float factor;
	char *x = w->x;

	for (i = 0; i < w->n; i++, x += w->step) {
		factor = tq_pow2(
			neon_dequantize_row(w->plan, w->tab, w->codes + i * row_bytes, buf));
		neon_rht_backward(&w->plan->rotation, buf);
		for (at = 0; at < d; at += 16) {
			load_part(y, TQ_F32, at, d - at, v);
			if (w->plan->center != TQ_CENTER_OFF)
				load_part(w->plan->centre, TQ_F32, at, d - at, m);
			for (k = 0; k < 4; k++) {
				v[k] = vmulq_n_f32(v[k], factor);
				if (w->plan->center != TQ_CENTER_OFF)
					v[k] = vaddq_f32(v[k], m[k]);
			}
			store_part(x, dtype, at, v, d - at);
		}
	}
}

#define ROWS_AS(type, dtype)                                                                       \
	static void encode_##type(const struct work *w)                                            \
	{                                                                                          \
		encode_as(w, dtype, TQ_CENTER_OFF);                                                \
	}                                                                                          \
	static void encode_##type##_data(const struct work *w)                                     \
	{                                                                                          \
		encode_as(w, dtype, TQ_CENTER_DATA);                                               \
	}                                                                                          \
	static void encode_##type##_both(const struct work *w)                                     \
	{                                                                                          \
		encode_as(w, dtype, TQ_CENTER_BOTH);                                               \
	}                                                                                          \
	static void decode_##type(const struct work *w)                                            \
	{                                                                                          \
		decode_as(w, dtype);                                                               \
	}

ROWS_AS(f32, TQ_F32)
ROWS_AS(f16, TQ_F16)
ROWS_AS(bf16, TQ_BF16)

static int neon_encode(const struct tq_plan *plan, const void *state, const void *x, int dtype,
		       size_t stride, size_t n, uint8_t *codes)
{
	static void (*const encoders[3][3])(const struct work *) = {
		[TQ_F32] = {encode_f32, encode_f32_data, encode_f32_both},
		[TQ_F16] = {encode_f16, encode_f16_data, encode_f16_both},
		[TQ_BF16] = {encode_bf16, encode_bf16_data, encode_bf16_both},
	};
	struct work w = {plan, state, (char *)(uintptr_t)x, 0, codes, n};

	w.step = stride * (dtype == TQ_F32 ? 4 : 2);
	encoders[dtype][plan->center](&w);
	return TQ_OK;
}

static int neon_decode(const struct tq_plan *plan, const void *state, const uint8_t *codes,
		       size_t n, void *x, int dtype, size_t stride)
{
	static void (*const decoders[3])(const struct work *) = {
		[TQ_F32] = decode_f32, [TQ_F16] = decode_f16, [TQ_BF16] = decode_bf16};
	struct work w = {plan, state, x, 0, (uint8_t *)(uintptr_t)codes, n};

	w.step = stride * (dtype == TQ_F32 ? 4 : 2);
	decoders[dtype](&w);
	return TQ_OK;
}

const struct tq_quantizer_ops neon_encode_ops = {
	.struct_size = sizeof(struct tq_quantizer_ops),
	.create = neon_tables_create,
	.destroy = neon_tables_destroy,
	.encode = neon_encode,
};

const struct tq_quantizer_ops neon_decode_ops = {
	.struct_size = sizeof(struct tq_quantizer_ops),
	.create = neon_tables_create,
	.destroy = neon_tables_destroy,
	.decode = neon_decode,
};
