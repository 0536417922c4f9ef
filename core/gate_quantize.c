/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gate for quantize(grid): the rows' bytes and the way back, bit for bit as scalar has them, ties
 * on the thresholds among the inputs.
 */
#include <string.h>
#include "gate.h"
#include "tq/polar.h"

static const struct tq_quantizer_ops *reference_ops(const struct tq_gate_bench *b)
{
	struct tq_entry *scalar = tq_gate_scalar(b->ctx, b->driver->name);

	return tq_gate_is_scalar(b->entry) || !scalar ? b->driver->ops : scalar->driver->ops;
}

/* Every third row lies on the thresholds themselves, at r = 1 */
static void tie_row(const struct tq_plan *plan, float *y, struct tq_row_stat *stat)
{
	size_t i;

	for (i = 0; i < plan->dim; i++)
		y[i] = plan->polar ? (i & 1 ? plan->polar->bound[0][i / 2 % 3] : 1.0f) :
		       plan->codebook.count < 2	  ? 0.0f :
		       i % 5 == 3 ? -0.0f :
				    plan->codebook.bounds[i % (plan->codebook.count - 1)];
	stat->norm2 = (float)plan->dim;
	stat->exponent = 0;
	stat->cross = 1.0f;
}

static void inputs(struct tq_gate_bench *b, const struct tq_plan *plan, float *y,
		   struct tq_row_stat *stat, size_t n)
{
	struct tq_gate_buffer *x = tq_gate_buffer(b, n * b->dim * sizeof(float), 0);
	const float *from = (const float *)(const void *)x->at;
	size_t i;

	if (b->err)
		return;
	tq_gate_vectors(b, (float *)(void *)x->at, n, plan->scale == TQ_F16);
	for (i = 0; i < n; i++) {
		tq_row_load(plan, from + i * b->dim, TQ_F32, y + i * b->dim, &stat[i]);
		if (i % 23 == 11 || i % 23 == 17)
			tie_row(plan, y + i * b->dim, &stat[i]);
	}
}

/* A trellis is searched through all its states: some hundred steps a coordinate where it is done well */
static double row_cost(const struct tq_gate_bench *b, const struct tq_plan *plan)
{
	static const double effort[] = { 10.0, 100.0, 300.0 };

	if (plan->window)
		return plan->dim * (tq_gate_is_scalar(b->entry) ? 8192.0 : 1024.0);
	return plan->dim * (plan->effort < 3 ? effort[plan->effort] : 300.0);
}

static void test_quantize(struct tq_gate_bench *b, const struct tq_plan *plan, size_t max)
{
	size_t row = plan->layout.row_bytes, i, n;
	struct tq_gate_buffer *codes, *again, *want, *y, *stat;
	const struct tq_row_stat *s;
	const float *v;

	y = tq_gate_buffer(b, max * b->dim * sizeof(float), 0);
	stat = tq_gate_buffer(b, max * sizeof(struct tq_row_stat), 0);
	want = tq_gate_buffer(b, max * row, 0);
	codes = tq_gate_buffer(b, max * row, 1);
	again = tq_gate_buffer(b, max * row, 3);
	if (b->err)
		return;
	inputs(b, plan, (float *)(void *)y->at, (struct tq_row_stat *)(void *)stat->at, max);
	if (b->err)
		return;
	v = (const float *)(const void *)y->at;
	s = (const struct tq_row_stat *)(const void *)stat->at;
	tq_gate_arm(want, max * row);
	for (i = 0; i < max; i++)
		reference_ops(b)->quantize(plan, reference_ops(b) == b->driver->ops ? b->state : NULL,
					   v + i * b->dim, s + i, 1, want->at + i * row);
	for (i = 0; !b->err && (n = tq_gate_size(max, i)); i++) {
		tq_gate_arm(codes, n * row);
		tq_gate_arm(again, n * row);
		b->driver->ops->quantize(plan, b->state, v, s, n, codes->at);
		b->driver->ops->quantize(plan, b->state, v, s, n, again->at);
		tq_gate_intact(b, codes, "quantize", n);
		tq_gate_intact(b, again, "quantize", n);
		if (memcmp(codes->at, again->at, n * row))
			tq_gate_fault(b, "quantize is not deterministic: two runs on %zu equal rows "
				      "differ (d=%u)", n, b->dim);
		tq_gate_same(b, "quantize", codes->at, row, want->at, row, row, n);
	}
}

static void test_dequantize(struct tq_gate_bench *b, const struct tq_plan *plan, size_t max)
{
	size_t row = plan->layout.row_bytes, out = b->dim * sizeof(float), i, n;
	struct tq_gate_buffer *codes, *y, *e, *again, *e_again, *want, *e_want;

	codes = tq_gate_buffer(b, max * row, 1);
	y = tq_gate_buffer(b, max * out, 0);
	again = tq_gate_buffer(b, max * out, 0);
	want = tq_gate_buffer(b, max * out, 0);
	e = tq_gate_buffer(b, max * 4, 4);
	e_again = tq_gate_buffer(b, max * 4, 4);
	e_want = tq_gate_buffer(b, max * 4, 4);
	if (b->err)
		return;
	tq_gate_codes(b, plan, codes->at, max);
	for (i = 0; i < max; i++)
		reference_ops(b)->dequantize(plan,
					     reference_ops(b) == b->driver->ops ? b->state : NULL,
					     codes->at + i * row, 1,
					     (float *)(void *)(want->at + i * out),
					     (int32_t *)(void *)(e_want->at + 4 * i));
	for (i = 0; !b->err && (n = tq_gate_size(max, i)); i++) {
		tq_gate_arm(y, n * out);
		tq_gate_arm(e, n * 4);
		tq_gate_arm(again, n * out);
		tq_gate_arm(e_again, n * 4);
		b->driver->ops->dequantize(plan, b->state, codes->at, n, (float *)(void *)y->at,
					   (int32_t *)(void *)e->at);
		b->driver->ops->dequantize(plan, b->state, codes->at, n,
					   (float *)(void *)again->at,
					   (int32_t *)(void *)e_again->at);
		tq_gate_intact(b, y, "dequantize", n);
		tq_gate_intact(b, e, "dequantize", n);
		if (memcmp(y->at, again->at, n * out) || memcmp(e->at, e_again->at, n * 4))
			tq_gate_fault(b, "dequantize is not deterministic: two runs on %zu equal "
				      "rows differ (d=%u)", n, b->dim);
		tq_gate_same(b, "dequantize", y->at, out, want->at, out, out, n);
		tq_gate_same(b, "dequantize (exponents)", e->at, 4, e_want->at, 4, 4, n);
	}
}

int tq_gate_test_quantize(struct tq_gate_bench *b, const struct tq_plan *plan)
{
	if (b->driver->ops->quantize)
		test_quantize(b, plan, tq_gate_rows_for(b, row_cost(b, plan)));
	tq_gate_close(b);
	if (!b->err && b->driver->ops->dequantize)
		test_dequantize(b, plan, tq_gate_rows_for(b, 6.0 * plan->dim));
	return b->err;
}
