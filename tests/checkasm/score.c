/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include "checkasm.h"

#define MOST_QUERIES 70

/* A query as the core makes it: every array in a buffer of its own between guard pages. */
struct drawn_query {
	struct tq_query q;
	struct guarded hi, lo, y, sketch_hi, sketch_lo, sketch_y;
};

static void draw_part(struct trial *t, uint32_t planes, int extreme, struct guarded *hi,
		      struct guarded *lo, struct guarded *y, int64_t *sum)
{
	size_t dim = t->plan->dim, room = (dim + 63) / 64 * 64, i;
	int32_t q, top = planes == 2 ? 16256 : 127, h;

	*hi = guarded_alloc(room, 64, 1);
	*lo = guarded_alloc(room, 64, 1);
	*y = guarded_alloc(room * sizeof(float), 64, 1);
	memset(hi->at, 0, hi->size);
	memset(lo->at, 0, lo->size);
	memset(y->at, 0, y->size);
	*sum = 0;
	for (i = 0; i < dim; i++) {
		q = (int32_t)rng_below(&t->rng, 2 * (uint32_t)top + 1) - top;
		if (extreme)
			q = extreme == 1 ? top : extreme == 2 ? -top : (i & 1) ? top : -top;
		*sum += q;
		h = planes == 2 ? ((q + 64) >> 7) : q;
		hi->at[i] = (uint8_t)h;
		lo->at[i] = (uint8_t)(planes == 2 ? q - 128 * h : 0);
		((float *)y->at)[i] = rng_normal(&t->rng);
	}
	guarded_seal(hi);
	guarded_seal(lo);
	guarded_seal(y);
}

static void draw_query(struct trial *t, struct drawn_query *d)
{
	const struct tq_plan *p = t->plan;
	uint32_t planes = p->query == TQ_QUERY_F32 ? 0 : p->query == TQ_QUERY_S16 ? 2 : 1;
	int extreme = rng_below(&t->rng, 8) ? 0 : 1 + (int)rng_below(&t->rng, 3);
	struct tq_query *q = &d->q;

	memset(d, 0, sizeof(*d));
	q->struct_size = sizeof(*q);
	q->planes = planes;
	q->scale = rng_normal(&t->rng) * 0.01f;
	q->add = p->center == TQ_CENTER_OFF ? 0.0f : rng_normal(&t->rng);
	draw_part(t, planes, extreme, &d->hi, &d->lo, &d->y, &q->sum);
	q->hi = planes ? (int8_t *)d->hi.at : NULL;
	q->lo = planes == 2 ? (int8_t *)d->lo.at : NULL;
	q->y = planes ? NULL : (float *)d->y.at;
	if (p->layout.sketch_at == TQ_NO_FIELD)
		return;
	q->sketch_scale = rng_normal(&t->rng) * 0.01f;
	draw_part(t, planes, extreme, &d->sketch_hi, &d->sketch_lo, &d->sketch_y, &q->sketch_sum);
	q->sketch_hi = planes ? (int8_t *)d->sketch_hi.at : NULL;
	q->sketch_lo = planes == 2 ? (int8_t *)d->sketch_lo.at : NULL;
	q->sketch_y = planes ? NULL : (float *)d->sketch_y.at;
}

static void free_query(struct drawn_query *d)
{
	guarded_free(&d->hi);
	guarded_free(&d->lo);
	guarded_free(&d->y);
	guarded_free(&d->sketch_hi);
	guarded_free(&d->sketch_lo);
	guarded_free(&d->sketch_y);
}

/* One side: pack the queries, score. @ids is NULL for op score; @blocks: codes are in blocks. */
static void run(struct trial *t, const struct tq_driver *drv, const struct drawn_query *d,
		size_t nq, const uint8_t *codes, const uint32_t *ids, int blocks, size_t n,
		float *scores, size_t ld)
{
	const struct tq_quantizer_ops *ops = drv->ops;
	struct guarded packed;
	void *state = NULL;
	size_t size, i;

	if (ops->create && ops->create(check_host(), t->plan, &state))
		return;
	size = ops->query_size(t->plan, state);
	packed = guarded_alloc(nq * size, 64, 1);
	for (i = 0; i < nq; i++)
		ops->query_pack(t->plan, state, &d[i].q, packed.at + i * size);
	if (!guarded_intact(&packed))
		strcpy(t->why, "query_pack wrote outside the packed query");
	guarded_seal(&packed);
	if (ids)
		ops->score_list(t->plan, state, packed.at, codes, ids, n, scores);
	else if (blocks)
		ops->score_blocks(t->plan, state, packed.at, nq, codes, n, scores, ld);
	else
		ops->score(t->plan, state, packed.at, nq, codes, n, scores, ld);
	guarded_free(&packed);
	if (ops->destroy)
		ops->destroy(check_host(), state);
}

/* The rows in blocks, which begin at a multiple of 64 and end at a page; rows behind the last are noise. */
static struct guarded make_blocks(struct trial *t, const uint8_t *codes, size_t n)
{
	size_t bytes = tq_block_bytes(t->plan), row = t->plan->layout.row_bytes, i;
	struct guarded blocks = guarded_alloc((n + 15) / 16 * bytes, 64, 1);
	uint8_t back[TQ_BLOCK_ROW_MAX];

	for (i = 0; i < blocks.size; i++)
		blocks.at[i] = (uint8_t)rng_next(&t->rng);
	for (i = 0; i < n; i++)
		tq_block_put(t->plan, blocks.at + i / 16 * bytes, i % 16, codes + i * row);
	for (i = 0; i < n; i++) {
		tq_block_get(t->plan, blocks.at + i / 16 * bytes, i % 16, back);
		trial_differ(t, "row from a block", codes + i * row, back, row, 1);
	}
	guarded_seal(&blocks);
	return blocks;
}

static int check_queries(struct trial *t)
{
	static const uint8_t counts[] = {1, 1, 1,  2,  3,  4,  5,	    7,
					 8, 9, 12, 16, 17, 33, 40, 64, MOST_QUERIES};
	struct drawn_query d[MOST_QUERIES];
	size_t nq = t->op == OP_SCORE_LIST ? 1 : counts[rng_below(&t->rng, sizeof(counts))];
	size_t dim = t->plan->dim, rows = 1 + rng_below(&t->rng, dim > 512 ? 24 : 90), i;
	size_t n = t->op == OP_SCORE_LIST ? 1 + rng_below(&t->rng, 70) : rows;
	size_t ld = n + rng_below(&t->rng, 5), bytes = ((nq - 1) * ld + n) * sizeof(float);
	struct guarded codes =
		guarded_alloc(rows * t->plan->layout.row_bytes, 1, (int)rng_below(&t->rng, 2));
	struct guarded want = guarded_alloc(bytes, 4, 0);
	struct guarded got = guarded_alloc(bytes, 4, (int)rng_below(&t->rng, 2));
	struct guarded ids = guarded_alloc(n * sizeof(uint32_t), 4, (int)rng_below(&t->rng, 2));
	const uint32_t *list = t->op == OP_SCORE_LIST ? (uint32_t *)ids.at : NULL;
	struct guarded blocks = { 0 };
	int by_block = t->op == OP_SCORE_BLOCKS;

	for (i = 0; i < nq; i++)
		draw_query(t, &d[i]);
	for (i = 0; i < n; i++)
		((uint32_t *)ids.at)[i] = rng_below(&t->rng, (uint32_t)rows);
	trial_codes(t, codes.at, rows);
	guarded_seal(&codes);
	guarded_seal(&ids);
	run(t, check_reference(t->drv->name, t->op), d, nq, codes.at, list, 0, n, (float *)want.at,
	    ld);
	if (by_block)
		blocks = make_blocks(t, codes.at, rows);
	run(t, t->drv, d, nq, by_block ? blocks.at : codes.at, list, by_block, n, (float *)got.at, ld);
	if (!t->why[0] && !trial_differ(t, "score", want.at, got.at, bytes, 4) &&
	    !guarded_intact(&got))
		strcpy(t->why, "wrote outside the output");
	for (i = 0; i < nq; i++)
		free_query(&d[i]);
	if (by_block)
		guarded_free(&blocks);
	guarded_free(&codes);
	guarded_free(&want);
	guarded_free(&got);
	guarded_free(&ids);
	return t->why[0] != 0;
}

static void run_pairs(struct trial *t, const struct tq_driver *drv, const struct guarded *a,
		      size_t na, const struct guarded *b, size_t nb, float *scores, size_t ld)
{
	void *state = NULL;

	if (drv->ops->create && drv->ops->create(check_host(), t->plan, &state))
		return;
	drv->ops->score_pairs(t->plan, state, a->at, na, b->at, nb, scores, ld);
	if (drv->ops->destroy)
		drv->ops->destroy(check_host(), state);
}

static int check_pairs(struct trial *t)
{
	size_t na = 1 + rng_below(&t->rng, 9), nb = 1 + rng_below(&t->rng, 40);
	size_t row = t->plan->layout.row_bytes, ld = nb + rng_below(&t->rng, 5);
	size_t bytes = ((na - 1) * ld + nb) * sizeof(float);
	struct guarded a = guarded_alloc(na * row, 1, (int)rng_below(&t->rng, 2));
	struct guarded b = guarded_alloc(nb * row, 1, (int)rng_below(&t->rng, 2));
	struct guarded want = guarded_alloc(bytes, 4, 0);
	struct guarded got = guarded_alloc(bytes, 4, (int)rng_below(&t->rng, 2));

	trial_codes(t, a.at, na);
	trial_codes(t, b.at, nb);
	guarded_seal(&a);
	guarded_seal(&b);
	run_pairs(t, check_reference(t->drv->name, t->op), &a, na, &b, nb, (float *)want.at, ld);
	run_pairs(t, t->drv, &a, na, &b, nb, (float *)got.at, ld);
	if (!trial_differ(t, "score", want.at, got.at, bytes, 4) && !guarded_intact(&got))
		strcpy(t->why, "wrote outside the output");
	guarded_free(&a);
	guarded_free(&b);
	guarded_free(&want);
	guarded_free(&got);
	return t->why[0] != 0;
}

int check_score(struct trial *t)
{
	return t->op == OP_SCORE_PAIRS ? check_pairs(t) : check_queries(t);
}
