/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gate for device(*): the operations on device memory against scalar on the host, bit for bit,
 * with aligned and unaligned rows, guard bytes round every output, and batches around the kernels'
 * tiles.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "gate_device.h"
#include "selftest.h"
#include "tq/quantizer.h"

#define GAP 3
#define GUARD 64
#define ROWS 200
#define QUERIES 17
#define BEST 10

/* One driver, its state and its memory under test; @want is scalar's pipeline */
struct test {
	struct tq_gate_bed bed;
	struct tq_pipeline want;
	size_t row, max;
};

void tq_gate_did(struct tq_gate_bed *bed, const char *what, int err)
{
	if (bed->b->err || !err)
		return;
	tq_gate_fault(bed->b, "%s: %s", what, tq_noted(tq_status_text(err)));
	if (err == TQ_ERR_DEVICE)
		bed->b->err = err;
}

uint8_t *tq_gate_place(struct tq_gate_bed *bed, size_t size)
{
	void *p = NULL;

	if (!bed->b->err)
		tq_gate_did(bed, "memory_alloc", bed->ops->memory_alloc(bed->state, size, &p));
	if (p)
		bed->place[bed->nplaces++] = p;
	return p;
}

void tq_gate_clear(struct tq_gate_bed *bed)
{
	while (bed->nplaces)
		bed->ops->memory_free(bed->state, bed->place[--bed->nplaces]);
	while (bed->b->nbuffers)
		tq_free(bed->b->ctx, bed->b->buffers[--bed->b->nbuffers].block);
}

void tq_gate_in(struct tq_gate_bed *bed, void *to, const void *from, size_t size)
{
	if (!bed->b->err)
		tq_gate_did(bed, "copy_in", bed->ops->copy_in(bed->state, bed->queue, to, from, size));
}

void tq_gate_out(struct tq_gate_bed *bed, void *to, const void *from, size_t size)
{
	if (!bed->b->err)
		tq_gate_did(bed, "copy_out", bed->ops->copy_out(bed->state, bed->queue, to, from, size));
}

static uint8_t *host(struct test *t, size_t size)
{
	return tq_gate_buffer(t->bed.b, size, 0)->at;
}

/* Everything in [0, size) outside [from, to) is still poison? */
static void guarded(struct test *t, const char *what, const uint8_t *at, size_t from, size_t to,
		    size_t size)
{
	size_t i;

	for (i = 0; !t->bed.b->err && i < size; i++)
		if ((i < from || i >= to) && at[i] != TQ_GATE_POISON)
			tq_gate_fault(t->bed.b, "%s writes outside its output (d=%u)", what, t->bed.b->dim);
}

static void rows(struct test *t, void *x, int dtype, size_t stride)
{
	size_t d = t->bed.b->dim, i;
	float *f = (float *)(void *)host(t, t->max * d * sizeof(float)), v;

	if (t->bed.b->err)
		return;
	tq_gate_vectors(t->bed.b, f, t->max, t->want.plan->scale == TQ_F16);
	for (i = 0; i < t->max * d; i++) {
		v = f[i];
		if (dtype == TQ_F16)
			v = v > 65504.0f ? 65504.0f : v < -65504.0f ? -65504.0f : v;
		tq_store_element(x, dtype, i / d * stride + i % d, v);
	}
}

/* @off: how far the codes, and @gap: how far the rows are from the best alignment */
static void test_encode(struct test *t, int dtype, size_t off, size_t gap, size_t n)
{
	size_t stride = t->bed.b->dim + gap, bytes = t->max * stride * tq_dtype_size(dtype);
	size_t size = 2 * GUARD + off + t->max * t->row, at = GUARD + off;
	uint8_t *x = host(t, bytes), *codes = host(t, size), *want = host(t, t->max * t->row);
	uint8_t *dx = tq_gate_place(&t->bed, bytes), *dcodes = tq_gate_place(&t->bed, size);

	if (t->bed.b->err)
		return;
	rows(t, x, dtype, stride);
	t->bed.b->err = t->bed.b->err ? t->bed.b->err : tq_pipeline_encode(&t->want, x, dtype, stride, n, want);
	memset(codes, TQ_GATE_POISON, size);
	tq_gate_in(&t->bed, dx, x, bytes);
	tq_gate_in(&t->bed, dcodes, codes, size);
	if (!t->bed.b->err)
		tq_gate_did(&t->bed, "encode",
		    t->bed.ops->encode(t->bed.state, t->bed.queue, dx, dtype, stride, n, dcodes + at));
	tq_gate_out(&t->bed, codes, dcodes, size);
	if (!t->bed.b->err)
		tq_gate_same(t->bed.b, "encode", codes + at, t->row, want, t->row, t->row, n);
	guarded(t, "encode", codes, at, at + n * t->row, size);
	tq_gate_clear(&t->bed);
}

static void test_decode(struct test *t, int dtype, size_t off, size_t gap, size_t n)
{
	size_t element = tq_dtype_size(dtype), line = t->bed.b->dim * element,
	       step = line + gap * element;
	size_t size = 2 * GUARD + t->max * step, i;
	uint8_t *codes = host(t, t->max * t->row), *x = host(t, size),
		*want = host(t, t->max * line);
	uint8_t *dcodes = tq_gate_place(&t->bed, t->max * t->row + off), *dx = tq_gate_place(&t->bed, size);

	if (t->bed.b->err)
		return;
	tq_gate_codes(t->bed.b, t->want.plan, codes, t->max);
	t->bed.b->err = tq_pipeline_decode(&t->want, codes, n, want, dtype, t->bed.b->dim);
	memset(x, TQ_GATE_POISON, size);
	tq_gate_in(&t->bed, dcodes + off, codes, t->max * t->row);
	tq_gate_in(&t->bed, dx, x, size);
	if (!t->bed.b->err)
		tq_gate_did(&t->bed, "decode",
		    t->bed.ops->decode(t->bed.state, t->bed.queue, dcodes + off, n, dx + GUARD, dtype,
				   step / element));
	tq_gate_out(&t->bed, x, dx, size);
	if (!t->bed.b->err)
		tq_gate_same(t->bed.b, "decode", x + GUARD, step, want, line, line, n);
	guarded(t, "decode", x, GUARD, GUARD + n * step, size);
	for (i = 0; gap && i < n * step && !t->bed.b->err; i++)
		if (i % step >= line && x[GUARD + i] != TQ_GATE_POISON)
			tq_gate_fault(t->bed.b, "decode writes into the gap between rows (d=%u)",
				      t->bed.b->dim);
	tq_gate_clear(&t->bed);
}

/* Queries, rows and scalar's scores of all of them; on the device the queries and rows */
struct scene {
	float *want; /* QUERIES x max */
	uint8_t *prepared, *codes;
	size_t query_bytes;
};

/* With @off each query has a number of its own to add */
static void scene(struct test *t, size_t off, struct scene *s)
{
	const struct tq_served *score = &t->want.op[TQ_OP_SCORE];
	size_t d = t->bed.b->dim, bytes = t->want.query_bytes, i;
	float *x = (float *)(void *)host(t, QUERIES * d * sizeof(float));
	bool own = off && t->want.plan->center == TQ_CENTER_BOTH;
	uint8_t *packed = host(t, QUERIES * bytes), *codes = host(t, t->max * t->row);
	uint8_t *dx = tq_gate_place(&t->bed, QUERIES * d * sizeof(float));
	float adds[QUERIES], *dadds = (float *)(void *)tq_gate_place(&t->bed, sizeof(adds));

	s->want = (float *)(void *)host(t, QUERIES * t->max * sizeof(float));
	s->query_bytes = t->bed.ops->query_size(t->bed.state);
	s->prepared = tq_gate_place(&t->bed, QUERIES * s->query_bytes);
	s->codes = tq_gate_place(&t->bed, t->max * t->row + off);
	if (t->bed.b->err)
		return;
	s->codes += off;
	tq_gate_vectors(t->bed.b, x, QUERIES, true);
	tq_gate_codes(t->bed.b, t->want.plan, codes, t->max);
	for (i = 0; i < QUERIES; i++)
		adds[i] = tq_gate_normal(t->bed.b);
	t->bed.b->err = tq_pipeline_prepare_adds(&t->want, x, d, QUERIES, own ? adds : NULL, 1, packed);
	score->ops->score(t->want.plan, score->state, packed, QUERIES, codes, t->max, s->want,
			  t->max);
	tq_gate_in(&t->bed, dx, x, QUERIES * d * sizeof(float));
	tq_gate_in(&t->bed, dadds, adds, sizeof(adds));
	tq_gate_in(&t->bed, s->codes, codes, t->max * t->row);
	if (!t->bed.b->err)
		tq_gate_did(&t->bed, "query",
		    t->bed.ops->query(t->bed.state, t->bed.queue, (const float *)(const void *)dx, d, QUERIES,
				  own ? dadds : NULL, s->prepared));
}

/* Scores of the first @nq queries and @n rows; @batch of 2: the same again, one query and 16 rows
 * on */
static void test_score(struct test *t, const struct scene *s, size_t nq, size_t n, size_t batch)
{
	size_t ld = n + GAP, each = nq * ld, size = batch * each * sizeof(float) + GUARD, i;
	uint8_t *got = host(t, size), *dgot = tq_gate_place(&t->bed, size);
	size_t p, q;

	if (t->bed.b->err)
		return;
	memset(got, TQ_GATE_POISON, size);
	tq_gate_in(&t->bed, dgot, got, size);
	if (!t->bed.b->err)
		tq_gate_did(&t->bed, "score",
		    t->bed.ops->score(t->bed.state, t->bed.queue, s->prepared, nq, s->codes, n,
				  (float *)(void *)dgot, ld, batch, s->query_bytes, 16 * t->row,
				  each));
	tq_gate_out(&t->bed, got, dgot, size);
	for (p = 0; p < batch; p++)
		for (q = 0; q < nq; q++) {
			i = (p * each + q * ld) * sizeof(float);
			if (!t->bed.b->err)
				tq_gate_same(t->bed.b, "score", got + i, 4,
					     s->want + (q + p) * t->max + 16 * p, 4, 4, n);
			guarded(t, "score", got + i + 4 * n, 0, 0, 4 * GAP);
		}
	guarded(t, "score", got, 0, batch * each * sizeof(float), size);
	t->bed.ops->memory_free(t->bed.state, t->bed.place[--t->bed.nplaces]);
	tq_free(t->bed.b->ctx, t->bed.b->buffers[--t->bed.b->nbuffers].block);
}

/* How many of the @n rows come before row @j */
static size_t rank(const float *score, size_t n, size_t j)
{
	size_t i, before = 0;

	for (i = 0; i < n; i++)
		before += score[i] > score[j] || (score[i] == score[j] && i < j);
	return before;
}

static void check_best(struct test *t, const float *want, size_t n, const int64_t *ids,
		       const float *scores)
{
	size_t i, j;

	for (i = 0; i < BEST && !t->bed.b->err; i++)
		if (i >= n && ids[i] != -1)
			tq_gate_fault(t->bed.b, "topk: id %lld where there is no row",
				      (long long)ids[i]);
	for (j = 0; j < n && !t->bed.b->err; j++) {
		i = rank(want, n, j);
		if (i < BEST && (ids[i] != (int64_t)j || !(scores[i] == want[j])))
			tq_gate_fault(t->bed.b,
				      "topk: place %zu is row %lld of score %g, not row %zu of %g",
				      i, (long long)ids[i], (double)scores[i], j, (double)want[j]);
	}
}

static void test_topk(struct test *t, const struct scene *s, size_t nq, size_t n)
{
	size_t scratch = t->bed.ops->topk_scratch(t->bed.state, nq, n, BEST), q;
	int64_t *ids = (int64_t *)(void *)host(t, nq * BEST * sizeof(*ids));
	float *scores = (float *)(void *)host(t, nq * BEST * sizeof(*scores));
	uint8_t *dids = tq_gate_place(&t->bed, nq * BEST * sizeof(*ids)),
		*dscores = tq_gate_place(&t->bed, nq * BEST * sizeof(*scores));
	uint8_t *room = tq_gate_place(&t->bed, scratch ? scratch : 1);

	if (!t->bed.b->err)
		tq_gate_did(&t->bed, "topk",
		    t->bed.ops->topk(t->bed.state, t->bed.queue, s->prepared, nq, s->codes, n, BEST,
				 (int64_t *)(void *)dids, (float *)(void *)dscores, room));
	tq_gate_out(&t->bed, ids, dids, nq * BEST * sizeof(*ids));
	tq_gate_out(&t->bed, scores, dscores, nq * BEST * sizeof(*scores));
	for (q = 0; q < nq && !t->bed.b->err; q++)
		check_best(t, s->want + q * t->max, n, ids + q * BEST, scores + q * BEST);
	while (t->bed.nplaces > 4)
		t->bed.ops->memory_free(t->bed.state, t->bed.place[--t->bed.nplaces]);
}

static void test_scores(struct test *t, size_t off)
{
	struct scene s;

	scene(t, off, &s);
	test_score(t, &s, QUERIES, t->max, 1);
	test_score(t, &s, 1, t->max - 1, 1);
	test_score(t, &s, 5, t->max - 16, 2);
	test_score(t, &s, 8, 1, 1);
	if (!off) {
		test_topk(t, &s, QUERIES, t->max);
		test_topk(t, &s, 1, 3);
	}
	tq_gate_clear(&t->bed);
}

static void test_check(struct test *t)
{
	size_t d = t->bed.b->dim, bytes = t->max * d * sizeof(float);
	float *x = (float *)(void *)host(t, bytes);
	uint8_t *dx = tq_gate_place(&t->bed, bytes), *dfirst = tq_gate_place(&t->bed, sizeof(uint64_t));
	uint64_t first = UINT64_MAX, bad;

	for (bad = 0; bad < 2 && !t->bed.b->err; bad++) {
		tq_gate_vectors(t->bed.b, x, t->max, true);
		if (bad)
			x[t->max * d - 1] = x[2 * d] = tq_bits_f32(0x7fc00000u);
		tq_gate_in(&t->bed, dx, x, bytes);
		tq_gate_in(&t->bed, dfirst, &first, sizeof(first));
		if (!t->bed.b->err)
			tq_gate_did(&t->bed, "check",
			    t->bed.ops->check(t->bed.state, t->bed.queue, dx, TQ_F32, d, t->max,
					  (uint64_t *)(void *)dfirst));
		tq_gate_out(&t->bed, &first, dfirst, sizeof(first));
		if (!t->bed.b->err && first != (bad ? 2 : UINT64_MAX))
			tq_gate_fault(t->bed.b, "check: row %llu of rows with%s NaN",
				      (unsigned long long)first, bad ? "" : "out");
	}
	tq_gate_clear(&t->bed);
}

static void run(struct test *t)
{
	int dtype;

	for (dtype = TQ_F32; dtype <= TQ_BF16 && !t->bed.b->err; dtype++) {
		test_encode(t, dtype, 0, 0, t->max);
		test_encode(t, dtype, 1, GAP, t->max - 1);
		test_decode(t, dtype, 0, 0, t->max);
		test_decode(t, dtype, 1, GAP, t->max - 1);
	}
	test_encode(t, TQ_F32, 0, 0, 1);
	test_decode(t, TQ_F32, 0, 0, 1);
	test_scores(t, 0);
	test_scores(t, 1);
	test_check(t);
}

int tq_gate_device(struct tq_entry *e, const struct tq_plan *plan,
		   const struct tq_device_queue *queue, void *state, char *why, size_t size)
{
	struct tq_gate_bench b;
	struct test t = {.bed = {.b = &b, .ops = e->driver->device_ops, .queue = queue, .state = state}};
	double cost = plan->dim *
		      (plan->rotation.kind == TQ_ROT_DENSE || plan->sketch.kind == TQ_ROT_DENSE
			       ? 500.0 + plan->dim
		       : plan->effort ? 500.0
				      : 150.0);

	tq_gate_open(&b, e, plan->dim, why, size);
	t.row = plan->layout.row_bytes;
	t.max = tq_gate_rows_for(&b, cost);
	t.max = t.max < 19 ? 19 : t.max > ROWS ? ROWS : t.max;
	b.err = tq_gate_pipeline(b.ctx, NULL, plan, &t.want);
	if (!b.err) {
		run(&t);
		tq_gate_clear(&t.bed);
		tq_pipeline_destroy(&t.want);
	}
	tq_gate_close(&b);
	if (b.err && !*why)
		snprintf(why, size, "%.200s", tq_error_text());
	return b.err == TQ_OK || b.err == TQ_ERR_NOMEM || b.err == TQ_ERR_DEVICE ? b.err
										 : TQ_ERR_SELFTEST;
}
