/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gate for score(grid): queries and rows at their extremes among the inputs, so that sums which
 * overflow show. A driver that is not bit-exact may differ by a little of the largest score.
 */
#include <math.h>
#include <string.h>
#include "gate.h"

#define QUERIES 4
#define TOLERANCE 1e-3f

/* The parts of one query that tq_query points to, each padded as tq/plugin.h says */
struct parts {
	int8_t *hi, *lo, *sketch_hi, *sketch_lo;
	float *y, *sketch_y;
};

static size_t padded(const struct tq_gate_bench *b)
{
	return ((size_t)b->dim + 63) / 64 * 64;
}

static int32_t query_value(struct tq_gate_bench *b, size_t kind, size_t i, int32_t top)
{
	float v;

	switch (kind) {
	case 1:
		return top;
	case 2:
		return i & 1 ? -top : top;
	default:
		v = tq_gate_normal(b) * 0.3f * (float)top;
		return (int32_t)(v > (float)top ? (float)top : v < (float)-top ? (float)-top : v);
	}
}

static int64_t fill_part(struct tq_gate_bench *b, const struct tq_plan *plan, size_t kind, int8_t *hi,
			 int8_t *lo, float *y)
{
	int32_t v, top = plan->query == TQ_QUERY_S16 ? 16256 : 127;
	int64_t sum = 0;
	size_t i;

	for (i = 0; i < b->dim; i++) {
		v = query_value(b, kind, i, top);
		y[i] = tq_gate_normal(b);
		hi[i] = (int8_t)(plan->query == TQ_QUERY_S16 ? (v + 64) >> 7 : v);
		lo[i] = (int8_t)(plan->query == TQ_QUERY_S16 ? v - 128 * hi[i] : 0);
		sum += v;
	}
	return sum;
}

static void fill_query(struct tq_gate_bench *b, const struct tq_plan *plan, size_t kind,
		       struct parts *p, struct tq_query *q)
{
	memset(q, 0, sizeof(*q));
	q->struct_size = sizeof(*q);
	q->planes = plan->query == TQ_QUERY_F32 ? 0 : plan->query == TQ_QUERY_S16 ? 2 : 1;
	q->scale = kind == 1 ? 1.0f : tq_gate_normal(b);
	q->sketch_scale = tq_gate_normal(b);
	q->add = plan->center == TQ_CENTER_OFF ? 0.0f : tq_gate_normal(b);
	q->sum = fill_part(b, plan, kind, p->hi, p->lo, p->y);
	q->hi = p->hi;
	q->lo = q->planes == 2 ? p->lo : NULL;
	q->y = q->planes == 0 ? p->y : NULL;
	if (q->planes == 0)
		q->hi = NULL;
	if (plan->sketch.kind == TQ_ROT_NONE)
		return;
	q->sketch_sum = fill_part(b, plan, kind, p->sketch_hi, p->sketch_lo, p->sketch_y);
	q->sketch_hi = q->planes ? p->sketch_hi : NULL;
	q->sketch_lo = q->planes == 2 ? p->sketch_lo : NULL;
	q->sketch_y = q->planes == 0 ? p->sketch_y : NULL;
}

static void alloc_parts(struct tq_gate_bench *b, struct parts *p)
{
	size_t n = padded(b);
	uint8_t *at = tq_gate_buffer(b, n * 12, 0)->at;

	if (b->err)
		return;
	p->y = (float *)(void *)at;
	p->sketch_y = p->y + n;
	p->hi = (int8_t *)(p->sketch_y + n);
	p->lo = p->hi + n;
	p->sketch_hi = p->lo + n;
	p->sketch_lo = p->sketch_hi + n;
}

/* One set of operations with its state and its packed queries */
struct side {
	const struct tq_quantizer_ops *ops;
	void *state;
	size_t bytes;
	uint8_t *packed;
};

static void pack(struct tq_gate_bench *b, const struct tq_plan *plan, const struct tq_query *q,
		 size_t i, struct side *side)
{
	struct tq_gate_buffer *room = tq_gate_buffer(b, side->bytes, 0);

	if (b->err)
		return;
	tq_gate_arm(room, side->bytes);
	side->ops->query_pack(plan, side->state, q, room->at);
	tq_gate_intact(b, room, "query_pack", 1);
	memcpy(side->packed + i * side->bytes, room->at, side->bytes);
	b->nbuffers--;
	tq_free(b->ctx, room->block);
}

static void prepare(struct tq_gate_bench *b, const struct tq_plan *plan, struct side *driver,
		    struct side *ref)
{
	struct parts parts = { 0 };
	struct tq_query q;
	size_t i;

	driver->bytes = driver->ops->query_size(plan, driver->state);
	ref->bytes = ref->ops->query_size(plan, ref->state);
	if (driver->bytes == 0 || driver->bytes % 64) {
		tq_gate_fault(b, "query_size is %zu, not a multiple of 64 (d=%u)", driver->bytes,
			      b->dim);
		return;
	}
	driver->packed = tq_gate_buffer(b, QUERIES * driver->bytes, 0)->at;
	ref->packed = tq_gate_buffer(b, QUERIES * ref->bytes, 0)->at;
	alloc_parts(b, &parts);
	for (i = 0; !b->err && i < QUERIES; i++) {
		fill_query(b, plan, i, &parts, &q);
		pack(b, plan, &q, i, driver);
		pack(b, plan, &q, i, ref);
	}
}

static int close_enough(const float *x, const float *want, size_t n)
{
	float top = 0.0f;
	size_t i;

	for (i = 0; i < n; i++)
		top = fmaxf(top, fabsf(want[i]));
	for (i = 0; i < n; i++)
		if (!(fabsf(x[i] - want[i]) <= TOLERANCE * top))
			return 0;
	return 1;
}

/* @n scores against the reference; the gap behind them up to @ld must be as it was armed */
static void compare(struct tq_gate_bench *b, const char *what, const uint8_t *at, const float *want,
		    size_t n, size_t ld)
{
	const float *x = (const float *)(const void *)at;
	size_t i;

	for (i = n * 4; i < ld * 4; i++)
		if (at[i] != TQ_GATE_POISON)
			tq_gate_fault(b, "%s writes into the gap between rows of scores (d=%u)", what,
				      b->dim);
	if (!(b->driver->flags & TQ_DRV_BITEXACT)) {
		if (!close_enough(x, want, n))
			tq_gate_fault(b, "%s is off by more than %g of the largest score (d=%u)", what,
				      (double)TOLERANCE, b->dim);
		return;
	}
	tq_gate_same(b, what, at, 4, want, 4, 4, n);
}

/* Rows in blocks: in the last, those behind row @n are whatever the next call has there */
static const uint8_t *fill_blocks(struct tq_gate_bench *b, const struct tq_plan *plan,
				  const uint8_t *codes, size_t n)
{
	size_t bytes = tq_block_bytes(plan), i;
	uint8_t *blocks = tq_gate_buffer(b, (n + TQ_BLOCK_ROWS - 1) / TQ_BLOCK_ROWS * bytes, 0)->at;

	for (i = 0; !b->err && i < n; i++)
		tq_block_put(plan, blocks + i / TQ_BLOCK_ROWS * bytes, i % TQ_BLOCK_ROWS,
			     codes + i * plan->layout.row_bytes);
	return blocks;
}

/* What each query should have for each row, one by one */
static const float *wanted(struct tq_gate_bench *b, const struct tq_plan *plan, const struct side *ref,
			   const uint8_t *codes, size_t max)
{
	float *w = (float *)(void *)tq_gate_buffer(b, QUERIES * max * 4, 0)->at;
	size_t i, k;

	for (k = 0; !b->err && k < QUERIES; k++)
		for (i = 0; i < max; i++)
			ref->ops->score(plan, ref->state, ref->packed + k * ref->bytes, 1,
					codes + i * plan->layout.row_bytes, 1, w + k * max + i, 1);
	return w;
}

/* @blocks: are @rows in blocks, for score_blocks; @w: wanted() */
static void test_score(struct tq_gate_bench *b, const struct tq_plan *plan, const struct side *driver,
		       const uint8_t *rows, bool blocks, size_t max, const float *w)
{
	void (*score)(const struct tq_plan *plan, const void *state, const void *packed, size_t nq,
		      const uint8_t *codes, size_t n, float *scores, size_t ld) =
		blocks ? driver->ops->score_blocks : driver->ops->score;
	const char *what = blocks ? "score_blocks" : "score";
	struct tq_gate_buffer *got, *again;
	size_t i, k, n, nq, ld;

	got = tq_gate_buffer(b, QUERIES * (max + 3) * 4, 4);
	again = tq_gate_buffer(b, QUERIES * (max + 3) * 4, 8);
	if (b->err)
		return;
	for (i = 0; !b->err && (n = tq_gate_size(max, i)); i++) {
		nq = i % QUERIES + 1;
		ld = n + 3;
		tq_gate_arm(got, ((nq - 1) * ld + n) * 4);
		tq_gate_arm(again, ((nq - 1) * ld + n) * 4);
		score(plan, driver->state, driver->packed, nq, rows, n, (float *)(void *)got->at, ld);
		score(plan, driver->state, driver->packed, nq, rows, n, (float *)(void *)again->at, ld);
		tq_gate_intact(b, got, what, n);
		tq_gate_intact(b, again, what, n);
		if (memcmp(got->at, again->at, got->used))
			tq_gate_fault(b, "%s is not deterministic: two runs on %zu equal rows "
				      "differ (d=%u)", what, n, b->dim);
		for (k = 0; k < nq; k++)
			compare(b, what, got->at + k * ld * 4, w + k * max, n,
				k + 1 < nq ? ld : n);
	}
}

static void test_list(struct tq_gate_bench *b, const struct tq_plan *plan, const struct side *driver,
		      const struct side *ref, const uint8_t *codes, size_t max)
{
	struct tq_gate_buffer *got, *want, *ids;
	size_t i, k, n;
	uint32_t *id;

	want = tq_gate_buffer(b, max * 4, 0);
	got = tq_gate_buffer(b, max * 4, 4);
	ids = tq_gate_buffer(b, max * 4, 4);
	if (b->err)
		return;
	id = (uint32_t *)(void *)ids->at;
	for (i = 0; i < max; i++)
		id[i] = i == 1 ? id[0] : (uint32_t)(tq_gate_word(b) % max);
	for (i = 0; i < max; i++)
		ref->ops->score(plan, ref->state, ref->packed, 1,
				codes + id[i] * plan->layout.row_bytes, 1,
				(float *)(void *)want->at + i, 1);
	for (k = 0; !b->err && (n = tq_gate_size(max, k)); k++) {
		tq_gate_arm(got, n * 4);
		driver->ops->score_list(plan, driver->state, driver->packed, codes, id, n,
					(float *)(void *)got->at);
		tq_gate_intact(b, got, "score_list", n);
		compare(b, "score_list", got->at, (const float *)(const void *)want->at, n, n);
	}
}

static void test_pairs(struct tq_gate_bench *b, const struct tq_plan *plan,
		       const struct tq_quantizer_ops *ref, void *ref_state, const uint8_t *codes,
		       size_t max)
{
	const struct tq_quantizer_ops *ops = b->driver->ops;
	size_t row = plan->layout.row_bytes, i, k, n, na, ld;
	struct tq_gate_buffer *got, *want;
	float *w;

	want = tq_gate_buffer(b, QUERIES * max * 4, 0);
	got = tq_gate_buffer(b, QUERIES * (max + 3) * 4, 4);
	if (b->err)
		return;
	w = (float *)(void *)want->at;
	for (k = 0; k < QUERIES; k++)
		for (i = 0; i < max; i++)
			ref->score_pairs(plan, ref_state, codes + k % max * row, 1, codes + i * row, 1,
					 w + k * max + i, 1);
	for (i = 0; !b->err && (n = tq_gate_size(max, i)); i++) {
		na = (i % QUERIES + 1) < max ? i % QUERIES + 1 : max;
		ld = n + 3;
		tq_gate_arm(got, ((na - 1) * ld + n) * 4);
		ops->score_pairs(plan, b->state, codes, na, codes, n, (float *)(void *)got->at, ld);
		tq_gate_intact(b, got, "score_pairs", n);
		for (k = 0; k < na; k++)
			compare(b, "score_pairs", got->at + k * ld * 4, w + k * max, n,
				k + 1 < na ? ld : n);
	}
}

int tq_gate_test_score(struct tq_gate_bench *b, const struct tq_plan *plan)
{
	struct tq_entry *scalar = tq_gate_scalar(b->ctx, b->driver->name);
	struct side driver = { .ops = b->driver->ops, .state = b->state };
	struct side ref = { .ops = scalar ? scalar->driver->ops : b->driver->ops };
	size_t max = tq_gate_rows_for(b, 3.0 * QUERIES * plan->dim);
	const float *want = NULL;
	struct tq_gate_buffer *codes;

	codes = tq_gate_buffer(b, max * plan->layout.row_bytes, 1);
	if (b->err)
		return b->err;
	tq_gate_codes(b, plan, codes->at, max);
	if (driver.ops->score) {
		prepare(b, plan, &driver, &ref);
		if (!b->err)
			want = wanted(b, plan, &ref, codes->at, max);
		if (!b->err)
			test_score(b, plan, &driver, codes->at, false, max, want);
		if (!b->err && driver.ops->score_blocks && tq_block_bytes(plan))
			test_score(b, plan, &driver, fill_blocks(b, plan, codes->at, max), true, max, want);
		if (!b->err)
			test_list(b, plan, &driver, &ref, codes->at, max);
	}
	if (!b->err && driver.ops->score_pairs && plan->index_bits &&
	    plan->center != TQ_CENTER_DATA)
		test_pairs(b, plan, ref.ops, ref.state, codes->at, max);
	return b->err;
}
