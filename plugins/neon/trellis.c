/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of trellis codes: tables, rotated rows to codes and back.
 */

#include "trellis.h"

int neon_trellis_create(const struct tq_host *host, const struct tq_plan *plan, void **state)
{
	struct trellis_tables *t = host->alloc(host, sizeof(*t));

	if (!t)
		return TQ_ERR_NOMEM;
	memset(t, 0, sizeof(*t));
	lanes_create(plan, &t->lanes);
	memcpy(t->odd, plan->trellis, (size_t)1 << (plan->window - 1));
	neon_trellis_search_tables(plan, t);
	*state = t;
	return TQ_OK;
}

void neon_trellis_destroy(const struct tq_host *host, void *state)
{
	host->free(host, state);
}

/* A row's level numbers, in the order of coordinates, padded to whole lanes */
static void row_odd(const struct tq_plan *plan, const struct trellis_tables *t, const uint8_t *row, int8_t *to)
{
	const uint8_t *field;
	struct byte_table table;
	uint8_t room[16];
	size_t lane;

	field = lanes_field(&t->lanes, row, room);
	trellis_table_load(&table, t, plan->window);
	for (lane = 0; TRELLIS_LANE * lane < plan->dim; lane++, to += TRELLIS_LANE)
		vst1q_s8(to, plan->window == 8 ? trellis_odd(&t->lanes, &table, field, lane, 8) :
						 trellis_odd(&t->lanes, &table, field, lane, 9));
}

/* The level numbers of lane @at as floats */
NEON_INLINE void lane_floats(const int8_t *odd, float32x4_t *f)
{
	int8x16_t v = vld1q_s8(odd);
	const int16x8_t half[2] = {vmovl_s8(vget_low_s8(v)), vmovl_high_s8(v)};

	odd_floats(half, f);
}

static float trellis_fit(const struct tq_plan *plan, const struct trellis_tables *t, const float *y,
			 const uint8_t *row, int64_t *sum)
{
	float32x4_t yc[4] = {vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0)}, f[4], v[4];
	int8_t odd[TRELLIS_DIM_MAX];
	size_t at, i;

	row_odd(plan, t, row, odd);
	for (*sum = 0, i = 0; i < plan->dim; i++)
		*sum += odd[i] * odd[i];
	for (at = 0; at < plan->dim; at += TRELLIS_LANE) {
		lane_floats(odd + at, f);
		part_floats(y + at, plan->dim - at < TRELLIS_LANE ? plan->dim - at : TRELLIS_LANE, v);
		add_products(yc, v, f);
	}
	return sum_tree(yc);
}

static void trellis_floats(const struct tq_plan *plan, const struct trellis_tables *t, const uint8_t *row, float step,
			   float *y)
{
	int8_t odd[TRELLIS_DIM_MAX];
	float32x4_t f[4];
	size_t at;
	int k;

	row_odd(plan, t, row, odd);
	for (at = 0; at < plan->dim; at += TRELLIS_LANE) {
		lane_floats(odd + at, f);
		for (k = 0; k < 4; k++)
			f[k] = vmulq_n_f32(f[k], step);
		store_part_floats(y + at, f, plan->dim - at < TRELLIS_LANE ? plan->dim - at : TRELLIS_LANE);
	}
}

#define trellis_together neon_trellis_together
#define trellis_search neon_trellis_search
#include "../simd/trellis_rows.h"

const struct tq_quantizer_ops neon_trellis_ops = {
	.struct_size = sizeof(struct tq_quantizer_ops),
	.create = neon_trellis_create,
	.destroy = neon_trellis_destroy,
	.quantize = quantize,
	.dequantize = dequantize,
};
