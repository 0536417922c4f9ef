/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Some partitions for one query in two stages: index_stage.h says how they find what they find. A partition has few
 * rows, and of the best ones few of these pass: so there is no order to make among them. What costs is to wait for
 * memory: the signs of a partition are asked for while the one before is scanned, and the codes of rows that pass
 * are scored after the signs of the next.
 */

#include "fetch.h"
#include "index_pass.h"

/* Rows that a query sees before it judges by how many of them pass */
#define SEED 1024

/**
 * struct visit - partitions of a query
 * @now:   a segment of the partition that is scanned, and @waits the one that rows wait of, as @list says
 * @add:   what the query adds for it
 * @seen:  rows whose bounds were looked at, of which @passed did
 * @full:  too many pass: all further rows are scanned in full
 */
struct visit {
	const struct tq_index *ix;
	struct tq_heap heap;
	struct tq_pass now, waits;
	struct tq_wait_list list;
	char *packed, *sign;
	float add, waits_add;
	size_t seen, passed;
	bool full;
};

static void put_add(const struct visit *v, float add)
{
	memcpy(v->packed + v->ix->add_at, &add, sizeof(add));
}

static void score_waiting(struct visit *v)
{
	if (!v->list.n)
		return;
	put_add(v, v->waits_add);
	tq_pass_score(&v->waits, 0, &v->heap, &v->list);
}

static void full_tile(struct visit *v, const float *signs, size_t first, size_t n)
{
	const struct tq_pipeline *pipe = &v->ix->q->pipe;
	const struct tq_served *op = &pipe->op[TQ_OP_SCORE];
	_Alignas(64) float scores[TQ_PASS_ROWS];

	put_add(v, v->add);
	op->ops->score(pipe->plan, op->state, v->packed, 1, v->now.s->codes + first * v->ix->row_bytes, n, scores,
		       TQ_PASS_ROWS);
	tq_pass_offer(&v->now, 0, &v->heap, scores, signs, first, n);
}

/* Rows that pass wait until the next tile's signs are scored */
static void staged_tile(struct visit *v, size_t first, size_t n)
{
	_Alignas(64) float bound[TQ_PASS_ROWS];
	uint32_t rows[TQ_PASS_ROWS];
	size_t i, m;

	tq_pass_signs(&v->now, 0, 1, first, n, bound);
	score_waiting(v);
	if (!(v->heap.scores[0] > -INFINITY)) {
		full_tile(v, bound, first, n);
		return;
	}
	m = tq_pass_choose(&v->now, v->now.reach[0], first, n, v->heap.scores[0], bound, rows);
	v->waits = v->now;
	v->waits_add = v->add;
	for (i = 0; i < m; i++) {
		tq_pass_fetch(&v->now, rows[i]);
		tq_wait_put(&v->list, rows[i], bound[i]);
	}
	v->seen += n;
	v->passed += m;
	v->full = v->seen >= SEED && v->passed > v->seen / TQ_PASS_SHARE;
}

static void visit_segment(struct visit *v, const struct tq_index_segment *s, const uint64_t *filter)
{
	size_t first, n;

	v->now.s = s;
	v->now.filter = filter;
	for (first = 0; first < s->n; first += n) {
		n = s->n - first < TQ_PASS_ROWS ? s->n - first : TQ_PASS_ROWS;
		if (v->full)
			full_tile(v, NULL, first, n);
		else
			staged_tile(v, first, n);
	}
}

static void fetch_signs(const struct tq_index *ix, uint32_t list)
{
	const struct tq_index_list *l = &ix->lists[list];
	const struct tq_index_segment *s = l->segments;

	if (!l->nsegments)
		return;
	tq_fetch(s->signs, (s->n + TQ_BLOCK_ROWS - 1) / TQ_BLOCK_ROWS * ix->sign->pipe.block_bytes);
	tq_fetch(s->error, s->n * sizeof(*s->error));
}

void tq_index_visit(const struct tq_index *ix, const struct tq_index_visit *what, int64_t *ids, float *keys)
{
	struct tq_waiting room[TQ_PASS_ROWS];
	struct visit v = {.ix = ix, .heap = {keys, ids, what->k}, .list = {room, 0, TQ_PASS_ROWS},
			  .packed = what->packed, .sign = what->sign};
	const struct tq_index_list *l;
	size_t j;
	uint32_t i;

	v.now = (struct tq_pass){.ix = ix, .packed = what->packed, .sign = what->sign, .reach = &what->reach,
				 .tile = TQ_PASS_ROWS};
	for (j = 0; j < what->nprobe; j++) {
		if (j + 1 < what->nprobe)
			fetch_signs(ix, (uint32_t)what->lists[j + 1]);
		v.add = what->adds[j];
		memcpy(v.sign + ix->sign_add_at, &v.add, sizeof(v.add));
		l = &ix->lists[what->lists[j]];
		for (i = 0; i < l->nsegments; i++)
			visit_segment(&v, &l->segments[i], tq_index_filter(&l->segments[i], what->o, what->bits));
	}
	score_waiting(&v);
}
