/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gate for encode(*,grid) and decode(*,grid): one pass against scalar's stages, in every element
 * type, at odd strides, with nothing written between the rows.
 */
#include <string.h>
#include "gate.h"
#include "tq/quantizer.h"

#define GAP 3

/* Two pipelines for one plan: scalar's, and scalar's with the driver's fused operation */
struct sides {
	struct tq_pipeline want, got;
};

static int sides_open(struct tq_gate_bench *b, const struct tq_plan *plan, struct sides *s)
{
	b->err = tq_gate_pipeline(b->ctx, NULL, plan, &s->want);
	if (b->err)
		return b->err;
	b->err = tq_gate_pipeline(b->ctx, b->entry, plan, &s->got);
	if (b->err)
		tq_pipeline_destroy(&s->want);
	return b->err;
}

static void sides_close(struct sides *s)
{
	tq_pipeline_destroy(&s->got);
	tq_pipeline_destroy(&s->want);
}

static double row_cost(const struct tq_plan *plan)
{
	double d = plan->dim, cost = plan->effort == 0 ? 40 : plan->effort == 1 ? 140 : 340;

	if (plan->rotation.kind == TQ_ROT_DENSE || plan->sketch.kind == TQ_ROT_DENSE)
		cost += d;
	if (plan->rotation.kind == TQ_ROT_GIVENS)
		cost += 3.0 * plan->rotation.rounds;
	return d * cost;
}

/* @n rows as @dtype, dim + GAP elements apart; beyond f16's range becomes the range's end */
static void convert(const float *from, uint32_t dim, size_t n, int dtype, void *x)
{
	size_t i, j;
	float v;

	for (i = 0; i < n; i++)
		for (j = 0; j < dim; j++) {
			v = from[i * dim + j];
			if (dtype == TQ_F16)
				v = v > 65504.0f ? 65504.0f : v < -65504.0f ? -65504.0f : v;
			tq_store_element(x, dtype, i * (dim + GAP) + j, v);
		}
}

static void encode_twice(struct tq_gate_bench *b, const struct sides *s, const void *x, int dtype,
			 size_t n, struct tq_gate_buffer *codes, struct tq_gate_buffer *again)
{
	size_t bytes = n * s->got.plan->layout.row_bytes, stride = b->dim + GAP;
	int err;

	tq_gate_arm(codes, bytes);
	tq_gate_arm(again, bytes);
	err = tq_pipeline_encode(&s->got, x, dtype, stride, n, codes->at);
	if (!err)
		err = tq_pipeline_encode(&s->got, x, dtype, stride, n, again->at);
	if (err)
		tq_gate_fault(b, "encode fails on valid input: %s (d=%u)", tq_status_text(err), b->dim);
	tq_gate_intact(b, codes, "encode", n);
	tq_gate_intact(b, again, "encode", n);
	if (memcmp(codes->at, again->at, bytes))
		tq_gate_fault(b, "encode is not deterministic: two runs on %zu equal rows differ (d=%u)",
			      n, b->dim);
}

static void test_encode(struct tq_gate_bench *b, const struct sides *s, int dtype, size_t max)
{
	size_t element = tq_dtype_size(dtype), row = s->want.plan->layout.row_bytes, i, n;
	struct tq_gate_buffer *from, *x, *codes, *again, *want;

	from = tq_gate_buffer(b, max * b->dim * sizeof(float), 0);
	x = tq_gate_buffer(b, max * (b->dim + GAP) * element, element);
	codes = tq_gate_buffer(b, max * row, 1);
	again = tq_gate_buffer(b, max * row, 3);
	want = tq_gate_buffer(b, max * row, 0);
	if (b->err)
		return;
	tq_gate_vectors(b, (float *)(void *)from->at, max, s->want.plan->scale == TQ_F16);
	convert((const float *)(const void *)from->at, b->dim, max, dtype, x->at);
	b->err = tq_pipeline_encode(&s->want, x->at, dtype, b->dim + GAP, max, want->at);
	for (i = 0; !b->err && (n = tq_gate_size(max, i)); i++) {
		encode_twice(b, s, x->at, dtype, n, codes, again);
		tq_gate_same(b, "encode", codes->at, row, want->at, row, row, n);
	}
}

static void test_decode(struct tq_gate_bench *b, const struct sides *s, int dtype, size_t max)
{
	size_t element = tq_dtype_size(dtype), row = s->want.plan->layout.row_bytes, i, j, k, n;
	size_t out = b->dim * element, step = out + GAP * element;
	struct tq_gate_buffer *codes, *got, *again, *want;
	int err;

	codes = tq_gate_buffer(b, max * row, 1);
	got = tq_gate_buffer(b, max * step, element);
	again = tq_gate_buffer(b, max * step, 2 * element);
	want = tq_gate_buffer(b, max * out, 0);
	if (b->err)
		return;
	tq_gate_codes(b, s->want.plan, codes->at, max);
	b->err = tq_pipeline_decode(&s->want, codes->at, max, want->at, dtype, b->dim);
	for (i = 0; !b->err && (n = tq_gate_size(max, i)); i++) {
		tq_gate_arm(got, n * step - GAP * element);
		tq_gate_arm(again, n * step - GAP * element);
		err = tq_pipeline_decode(&s->got, codes->at, n, got->at, dtype, b->dim + GAP);
		if (!err)
			err = tq_pipeline_decode(&s->got, codes->at, n, again->at, dtype, b->dim + GAP);
		if (err)
			tq_gate_fault(b, "decode fails on valid input: %s (d=%u)", tq_status_text(err),
				      b->dim);
		tq_gate_intact(b, got, "decode", n);
		if (memcmp(got->at, again->at, got->used))
			tq_gate_fault(b, "decode is not deterministic: two runs on %zu equal rows "
				      "differ (d=%u)", n, b->dim);
		for (k = 0; k + 1 < n; k++)
			for (j = k * step + out; j < (k + 1) * step; j++)
				if (got->at[j] != TQ_GATE_POISON)
					tq_gate_fault(b, "decode writes into the gap between rows (d=%u)",
						      b->dim);
		tq_gate_same(b, "decode", got->at, step, want->at, out, out, n);
	}
}

typedef void (*test_fn)(struct tq_gate_bench *, const struct sides *, int, size_t);

static int test_types(struct tq_gate_bench *b, const struct tq_plan *plan, test_fn test)
{
	size_t max = tq_gate_rows_for(b, row_cost(plan));
	struct sides s;

	if (sides_open(b, plan, &s))
		return b->err;
	test(b, &s, TQ_F32, max);
	tq_gate_close(b);
	/* other types differ in how elements are read and written: of long rows fewer will do */
	max = max < 19 ? (max + 1) / 2 : 19;
	test(b, &s, TQ_F16, max);
	tq_gate_close(b);
	test(b, &s, TQ_BF16, max);
	sides_close(&s);
	return b->err;
}

int tq_gate_test_encode(struct tq_gate_bench *b, const struct tq_plan *plan)
{
	return test_types(b, plan, test_encode);
}

int tq_gate_test_decode(struct tq_gate_bench *b, const struct tq_plan *plan)
{
	return test_types(b, plan, test_decode);
}
