/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gate for attend(*): weights, weighted sums of coded rows and of 16-bit rows, bit for bit as
 * scalar has them, with what lies between the outputs left alone.
 */
#include <math.h>
#include <string.h>
#include "gate.h"

#define WEIGHTS 5
#define ROWS 200
#define GAP 3

static const struct tq_quantizer_ops *scalar_ops(const struct tq_gate_bench *b)
{
	return tq_gate_scalar(b->ctx, b->driver->name)->driver->ops;
}

static float *floats(struct tq_gate_bench *b, size_t n, size_t off)
{
	struct tq_gate_buffer *buf = tq_gate_buffer(b, n * sizeof(float), off);

	return (float *)(void *)buf->at;
}

/* Two equal runs of one operation: the driver's into a guarded buffer, scalar's beside it */
struct outputs {
	struct tq_gate_buffer *got, *want;
	size_t bytes;
};

static int outputs_open(struct tq_gate_bench *b, struct outputs *o, size_t n)
{
	o->bytes = n * sizeof(float);
	o->got = tq_gate_buffer(b, o->bytes, 4);
	o->want = tq_gate_buffer(b, o->bytes, 0);
	return b->err;
}

static void outputs_arm(struct tq_gate_bench *b, struct outputs *o)
{
	float *want = (float *)(void *)o->want->at;
	size_t i;

	tq_gate_arm(o->got, o->bytes);
	for (i = 0; i < o->bytes / sizeof(float); i++)
		want[i] = tq_gate_normal(b);
	memcpy(o->got->at, want, o->bytes);
}

static void outputs_check(struct tq_gate_bench *b, const struct outputs *o, const char *what, size_t n)
{
	tq_gate_intact(b, o->got, what, n);
	if (memcmp(o->got->at, o->want->at, o->bytes))
		tq_gate_fault(b, "%s of %zu rows differs from scalar (d=%u)", what, n, b->dim);
}

static void test_weigh(struct tq_gate_bench *b, float *logits)
{
	struct outputs o;
	float sum, want, max;
	size_t i, k, n;

	if (outputs_open(b, &o, ROWS))
		return;
	for (i = 0; !b->err && (n = tq_gate_size(ROWS, i)); i++) {
		for (max = -INFINITY, k = 0; k < n; k++) {
			logits[k] = 40.0f * tq_gate_normal(b);
			max = logits[k] > max ? logits[k] : max;
		}
		if (n > 2)
			logits[n / 2] = logits[n / 2] == max ? max : -INFINITY;
		outputs_arm(b, &o);
		sum = b->driver->ops->weigh(logits, n, max, (float *)(void *)o.got->at);
		want = scalar_ops(b)->weigh(logits, n, max, (float *)(void *)o.want->at);
		outputs_check(b, &o, "weigh", n);
		if (tq_f32_bits(sum) != tq_f32_bits(want))
			tq_gate_fault(b, "weigh: sum of %zu weights differs from scalar", n);
	}
}

static void test_logits(struct tq_gate_bench *b)
{
	struct outputs o;
	float top, want;
	size_t i, n;

	if (outputs_open(b, &o, ROWS))
		return;
	for (i = 0; !b->err && (n = tq_gate_size(ROWS, i)); i++) {
		outputs_arm(b, &o);
		top = b->driver->ops->logits((float *)(void *)o.got->at, n, 0.3f, 1.7f);
		want = scalar_ops(b)->logits((float *)(void *)o.want->at, n, 0.3f, 1.7f);
		outputs_check(b, &o, "logits", n);
		if (tq_f32_bits(top) != tq_f32_bits(want))
			tq_gate_fault(b, "logits: largest of %zu differs from scalar", n);
	}
}

static void draw_weights(struct tq_gate_bench *b, float *weights, size_t n)
{
	size_t k;

	for (k = 0; k < n; k++)
		weights[k] = k % 7 == 3 ? 0.0f : tq_exp(-fabsf(3.0f * tq_gate_normal(b)));
}

static void test_mix(struct tq_gate_bench *b, const struct tq_plan *plan, float *weights)
{
	struct tq_gate_buffer *codes = tq_gate_buffer(b, ROWS * plan->layout.row_bytes, 1);
	size_t ld = plan->dim + GAP, i, n;
	struct outputs o;

	if (outputs_open(b, &o, WEIGHTS * ld))
		return;
	tq_gate_codes(b, plan, codes->at, ROWS);
	for (i = 0; !b->err && (n = tq_gate_size(ROWS, i)); i++) {
		draw_weights(b, weights, WEIGHTS * ROWS);
		outputs_arm(b, &o);
		b->driver->ops->mix(plan, b->state, weights, ROWS, 1 + n % WEIGHTS, codes->at, n,
				    (float *)(void *)o.got->at, ld);
		scalar_ops(b)->mix(plan, NULL, weights, ROWS, 1 + n % WEIGHTS, codes->at, n,
				   (float *)(void *)o.want->at, ld);
		outputs_check(b, &o, "mix", n);
	}
}

static void test_raw(struct tq_gate_bench *b, float *weights, float *queries, int dtype)
{
	size_t d = b->dim, stride = d + GAP, ld = (d > ROWS ? d : ROWS) + GAP, i, k, n, g;
	struct tq_gate_buffer *rows = tq_gate_buffer(b, ROWS * stride * sizeof(uint16_t), 2);
	const struct tq_quantizer_ops *ops = b->driver->ops, *want = scalar_ops(b);
	const uint16_t *from = (const uint16_t *)(const void *)rows->at;
	struct outputs o;

	if (outputs_open(b, &o, WEIGHTS * ld))
		return;
	for (k = 0; k < ROWS * stride; k++)
		tq_store_element(rows->at, dtype, k, tq_gate_normal(b));
	for (k = 0; k < WEIGHTS * d; k++)
		queries[k] = tq_gate_normal(b);
	for (i = 0; !b->err && (n = tq_gate_size(ROWS, i)); i++) {
		g = 1 + n % WEIGHTS;
		outputs_arm(b, &o);
		ops->raw_score(dtype, queries, d, g, from, stride, n, d,
			       (float *)(void *)o.got->at, ld);
		want->raw_score(dtype, queries, d, g, from, stride, n, d,
				(float *)(void *)o.want->at, ld);
		outputs_check(b, &o, "raw_score", n);
		draw_weights(b, weights, WEIGHTS * ROWS);
		outputs_arm(b, &o);
		ops->raw_mix(dtype, weights, ROWS, g, from, stride, n, d,
			     (float *)(void *)o.got->at, ld);
		want->raw_mix(dtype, weights, ROWS, g, from, stride, n, d,
			      (float *)(void *)o.want->at, ld);
		outputs_check(b, &o, "raw_mix", n);
	}
}

int tq_gate_test_attend(struct tq_gate_bench *b, const struct tq_plan *plan)
{
	float *weights = floats(b, WEIGHTS * ROWS, 4), *queries = floats(b, WEIGHTS * b->dim, 4);

	if (tq_gate_is_scalar(b->entry))
		return b->err;
	if (!b->err)
		test_logits(b);
	if (!b->err)
		test_weigh(b, weights);
	if (!b->err)
		test_mix(b, plan, weights);
	if (!b->err)
		test_raw(b, weights, queries, TQ_F16);
	if (!b->err)
		test_raw(b, weights, queries, TQ_BF16);
	return b->err;
}
