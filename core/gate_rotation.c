/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gate for rotate(*): bit for bit what scalar does; for a rotation of a plugin's own, which nobody
 * else knows, that it is a rotation: inner products stay, the transpose undoes it, and a row does not
 * depend on the batch that it comes in.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "gate.h"

typedef void (*map_fn)(const struct tq_rotation *, const void *, const float *, float *, size_t,
		       float *);

/* Elementary steps per row, to keep the test short */
static double row_cost(const struct tq_rotation *rot)
{
	double d = rot->dim;

	switch (rot->kind) {
	case TQ_ROT_DENSE:
		return d * d;
	case TQ_ROT_RHT:
		return d * rot->rounds * (rot->roll ? 32 : 16);
	case TQ_ROT_GIVENS:
		return d * 3 * rot->rounds;
	default:
		return d * 16;
	}
}

/* One row at a time, by scalar or, for want of it, by the driver itself */
static void reference(struct tq_gate_bench *b, const struct tq_rotation *rot, bool back,
		      const float *x, float *want, size_t n, float *scratch)
{
	struct tq_entry *scalar = tq_gate_is_scalar(b->entry) ? NULL :
								tq_gate_scalar(b->ctx, b->driver->name);
	const struct tq_rotation_ops *ops = scalar ? scalar->driver->rotation_ops :
						     b->driver->rotation_ops;
	map_fn map = back ? ops->unrotate : ops->rotate;
	size_t i;

	for (i = 0; i < n; i++)
		map(rot, scalar ? NULL : b->state, x + i * b->dim, want + i * b->dim, 1, scratch);
}

static void test_map(struct tq_gate_bench *b, const struct tq_rotation *rot, bool back,
		     const float *x, const float *want, size_t max)
{
	map_fn map = back ? b->driver->rotation_ops->unrotate : b->driver->rotation_ops->rotate;
	const char *what = back ? "unrotate" : "rotate";
	size_t row = b->dim * sizeof(float), i, n;
	struct tq_gate_buffer *y, *again, *scratch;

	y = tq_gate_buffer(b, max * row, 0);
	again = tq_gate_buffer(b, max * row, 0);
	scratch = tq_gate_buffer(b, row, 0);
	for (i = 0; !b->err && (n = tq_gate_size(max, i)); i++) {
		tq_gate_arm(y, n * row);
		tq_gate_arm(again, n * row);
		tq_gate_arm(scratch, row);
		map(rot, b->state, x, (float *)(void *)y->at, n, (float *)(void *)scratch->at);
		map(rot, b->state, x, (float *)(void *)again->at, n, (float *)(void *)scratch->at);
		tq_gate_intact(b, y, what, n);
		tq_gate_intact(b, again, what, n);
		tq_gate_intact(b, scratch, "rotate, into its scratch,", n);
		if (memcmp(y->at, again->at, n * row))
			tq_gate_fault(b, "%s is not deterministic: two runs on %zu equal rows differ "
				      "(d=%u)", what, n, b->dim);
		tq_gate_same(b, what, y->at, row, want, row, row, n);
	}
}

/* x and y = R x: is R orthogonal, is @back its transpose */
static void test_orthogonal(struct tq_gate_bench *b, const float *x, const float *y,
			    const float *back, size_t n)
{
	size_t d = b->dim, i, j;
	double xx, yy, xz, yz, size;

	for (i = 0; !b->err && i < n; i++) {
		j = (i + 1) % n;
		xx = tq_inner(x + i * d, x + i * d, d);
		yy = tq_inner(y + i * d, y + i * d, d);
		if (!(fabs(xx - yy) <= 1e-5 * xx))
			tq_gate_fault(b, "rotate does not keep norms: %g became %g (d=%u)", sqrt(xx),
				      sqrt(yy), b->dim);
		size = sqrt(xx * tq_inner(x + j * d, x + j * d, d));
		xz = tq_inner(x + i * d, x + j * d, d);
		yz = tq_inner(y + i * d, y + j * d, d);
		if (!(fabs(xz - yz) <= 1e-5 * size))
			tq_gate_fault(b, "rotate does not keep inner products: not linear (d=%u)",
				      b->dim);
		for (j = 0, size = 0.0; j < d; j++)
			size += ((double)x[i * d + j] - back[i * d + j]) *
				((double)x[i * d + j] - back[i * d + j]);
		if (!(size <= 1e-10 * xx))
			tq_gate_fault(b, "unrotate does not undo rotate: relative error %.2g (d=%u)",
				      xx > 0.0 ? sqrt(size / xx) : 1.0, b->dim);
	}
}

static void inputs(struct tq_gate_bench *b, float *x, size_t n)
{
	float high;
	size_t i, j;
	int e;

	tq_gate_vectors(b, x, n, true);
	for (i = 0; i < n; i++, x += b->dim) {
		e = tq_max_exponent(x, b->dim);
		for (j = 0; j < b->dim; j++) {
			high = tq_scale_down(x[j], e);
			x[j] = high;
		}
	}
}

int tq_gate_test_rotation(struct tq_gate_bench *b, const struct tq_rotation *rot)
{
	size_t row = b->dim * sizeof(float), n = tq_gate_rows_for(b, row_cost(rot));
	float *x, *y, *back, *scratch;

	x = (float *)(void *)tq_gate_buffer(b, n * row, 0)->at;
	y = (float *)(void *)tq_gate_buffer(b, n * row, 0)->at;
	back = (float *)(void *)tq_gate_buffer(b, n * row, 0)->at;
	scratch = (float *)(void *)tq_gate_buffer(b, row, 0)->at;
	if (b->err)
		return b->err;
	inputs(b, x, n);
	reference(b, rot, false, x, y, n, scratch);
	reference(b, rot, true, y, back, n, scratch);
	if (rot->kind == TQ_ROT_PLUGIN)
		test_orthogonal(b, x, y, back, n);
	test_map(b, rot, false, x, y, n);
	test_map(b, rot, true, y, back, n);
	return b->err;
}
