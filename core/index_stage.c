/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scans in two stages: index_stage.h says how they find what they find.
 */

#include <math.h>
#include "heap.h"
#include "index_pass.h"
#include "parallel.h"
#include "reach.h"
#include "rng.h"

#define TILE TQ_PASS_ROWS
#define FIRST_TILE 128 /* while there is nothing yet that a bound could miss; no tile is smaller but the last */
#define ROOM (FIRST_TILE * TQ_STAGE_QUERIES) /* scores of a tile */
#define TILES_PER_LANE 8
#define LIST 2048 /* rows of a query that wait, of few queries */
#define LIST_OF_BATCH 256
/* Segments for which two stages were not faster, and batches where products are fast */
#define ROWS_MIN 4096
#define QUERIES_MAX 2
/* A tile of which more than one in so many rows pass is followed by some of TILE rows that are scanned in full */
#define SHARE TQ_PASS_SHARE
#define FULL_TILES 15
/* So many calls are plain scans after one that was staged in vain */
#define HARD_CALLS 31
/* One row in so many is seen before that is judged by, since few results make a low bar */
#define SEED 32
/* Part of the reach that a row's estimate may lack to be scored at once */
#define NEAR 0.25f

/* ---- when ---- */

/*
 * Plain AVX2 takes three instructions for products of bytes that others take one for: there single bits are looked
 * up faster than a batch is multiplied with whole codes.
 */
static bool stages_batches(const struct tq_index *ix)
{
	uint64_t cpu = ix->q->pipe.op[TQ_OP_SCORE].choice.driver->need.cpu;

	return cpu & TQ_CPU_X86_64_V3 && !(cpu & (TQ_CPU_AVX512 | TQ_CPU_AVX_VNNI));
}

bool tq_index_is_staged(const struct tq_index *ix, const struct tq_index_segment *s,
			const struct tq_index_search_options *o, size_t nq)
{
	return tq_index_wants_stages(o) && s->signs && s->n >= ROWS_MIN &&
	       (nq <= QUERIES_MAX || stages_batches(ix));
}

/* Searches may be many at a time, and change nothing else */
static struct tq_index_hard *hard(const struct tq_index *ix, size_t nq)
{
	return (struct tq_index_hard *)(uintptr_t)&ix->hard[nq > QUERIES_MAX];
}

bool tq_index_stages_pay(const struct tq_index *ix, const struct tq_index_search_options *o, size_t nq)
{
	struct tq_index_hard *h = hard(ix, nq);

	if (atomic_load_explicit(&h->calls, memory_order_relaxed) <= 0 ||
	    o->exactness < atomic_load_explicit(&h->exactness, memory_order_relaxed))
		return true;
	return atomic_fetch_sub_explicit(&h->calls, 1, memory_order_relaxed) <= 0;
}

void tq_index_stages_paid(const struct tq_index *ix, const struct tq_index_search_options *o, size_t nq, size_t rows,
			  size_t in_full)
{
	struct tq_index_hard *h = hard(ix, nq);

	if (in_full / 3 < rows / 4)
		return;
	atomic_store_explicit(&h->exactness, o->exactness, memory_order_relaxed);
	atomic_store_explicit(&h->calls, HARD_CALLS, memory_order_relaxed);
}

float tq_index_reach(const struct tq_index *ix, const float *x, float exactness, size_t k)
{
	double norm2 = 0.0, y;
	size_t i;

	for (i = 0; i < ix->dim; i++) {
		y = (double)x[i] - (double)ix->mean[i];
		norm2 += y * y;
	}
	/* half of what may go wrong: the law is not quite the normal one */
	return (float)(-tq_normal_quantile(0.5 * (1.0 - (double)exactness) / (double)k) * sqrt(norm2));
}

/* ---- tiles ---- */

/**
 * struct lane - what a thread finds, for each query
 * @wait: rows that pass, and may no longer once more is found: they are scored last
 * @seen: rows, and @in_full of them without stages
 * @full: so many tiles to come are scanned in full
 * @next_full: and so many the next time that too many rows pass
 */
struct lane {
	struct tq_heap heap[TQ_STAGE_QUERIES];
	struct tq_wait_list wait[TQ_STAGE_QUERIES];
	size_t seen, in_full;
	uint32_t full, next_full;
};

/**
 * struct stage - one tq_index_stage()
 * @seed: rows that a lane sees before it judges by how many pass
 */
struct stage {
	struct tq_pass pass;
	size_t nq, seed;
	struct lane *lanes;
};

/*
 * Of the rows that pass, those that are likely results are scored, which raises the bar for all others; these wait.
 * The rows with the best estimates come first so, wherever they lie.
 */
static void take_rows(const struct stage *st, struct lane *l, size_t q, const uint32_t *rows, const float *bound,
		      size_t n)
{
	const float less = (1.0f - NEAR) * st->pass.reach[q], worst = l->heap[q].scores[0];
	struct tq_wait_list *wait = &l->wait[q];
	struct tq_waiting likely[TILE];
	struct tq_wait_list now = {likely, 0, TILE};
	size_t i;

	for (i = 0; i < n; i++) {
		if (bound[i] - less * st->pass.s->error[rows[i]] >= worst) {
			tq_wait_put(&now, rows[i], bound[i]);
			continue;
		}
		if (wait->n == wait->room) {
			tq_wait_drop(wait, l->heap[q].scores[0]);
			if (wait->n > wait->room / 2)
				tq_pass_score(&st->pass, q, &l->heap[q], wait);
		}
		tq_wait_put(wait, rows[i], bound[i]);
	}
	tq_pass_score(&st->pass, q, &l->heap[q], &now);
}

/* For the queries from @q on; @signs: the signs' scores of the tile, of query 0 and all others, or NULL */
static void full_tile(const struct stage *st, size_t q, struct lane *l, const float *signs, size_t first, size_t n)
{
	const struct tq_pipeline *pipe = &st->pass.ix->q->pipe;
	const struct tq_served *score = &pipe->op[TQ_OP_SCORE];
	_Alignas(64) float scores[ROOM];
	size_t i;

	score->ops->score(pipe->plan, score->state, st->pass.packed + q * pipe->query_bytes, st->nq - q,
			  st->pass.s->codes + first * st->pass.ix->row_bytes, n, scores, st->pass.tile);
	for (i = q; i < st->nq; i++)
		tq_pass_offer(&st->pass, i, &l->heap[i], scores + (i - q) * st->pass.tile,
			      signs ? signs + i * st->pass.tile : NULL, first, n);
}

/* Where too many rows pass, one by one takes longer than a product of all: so tiles to come are scanned in full */
static void go_full(struct lane *l)
{
	l->full = l->next_full;
	l->next_full *= 4;
}

/* Do few enough of the first rows pass now? Those of queries that share products were scanned in full */
static void judge(const struct stage *st, struct lane *l)
{
	size_t q, n = 0;

	for (q = 0; q < st->nq; q++) {
		tq_wait_drop(&l->wait[q], l->heap[q].scores[0]);
		n += l->wait[q].n;
	}
	if (n <= l->seen * st->nq / SHARE)
		return;
	for (q = 0; q < st->nq; q++)
		tq_pass_score(&st->pass, q, &l->heap[q], &l->wait[q]);
	go_full(l);
}

/* A query that has nothing yet would pass every row; and where too many pass, what is left of the tile is scanned in full. */
static void staged_tile(const struct stage *st, struct lane *l, size_t first, size_t n)
{
	const size_t most = l->seen < st->seed ? SIZE_MAX : n * st->nq / SHARE;
	_Alignas(64) float bound[ROOM];
	uint32_t rows[TILE];
	size_t m = 0, q, some;

	tq_pass_signs(&st->pass, 0, st->nq, first, n, bound);
	for (q = 0; q < st->nq && m <= most; q++) {
		float worst = l->heap[q].scores[0], *of = bound + q * st->pass.tile;

		if (!(worst > -INFINITY)) {
			full_tile(st, q, l, bound, first, n);
			return;
		}
		some = tq_pass_choose(&st->pass, st->pass.reach[q], first, n, worst, of, rows);
		take_rows(st, l, q, rows, of, some);
		m += some;
	}
	if (m <= most)
		return;
	if (q < st->nq)
		full_tile(st, q, l, bound, first, n);
	go_full(l);
}

static int do_tiles(void *arg, uint32_t lane, size_t first, size_t n)
{
	const struct stage *st = arg;
	struct lane *l = &st->lanes[lane];
	size_t end = first + n, step;

	for (; first < end; first += step) {
		bool seeding = l->seen < st->seed;

		step = l->heap[0].scores[0] > -INFINITY ? st->pass.tile : FIRST_TILE;
		if (step > end - first)
			step = end - first;
		if (l->full || (seeding && st->nq > QUERIES_MAX)) {
			full_tile(st, 0, l, NULL, first, step);
			l->full -= l->full > 0;
			l->in_full += step;
		} else {
			staged_tile(st, l, first, step);
		}
		l->seen += step;
		if (seeding && l->seen >= st->seed)
			judge(st, l);
	}
	return TQ_OK;
}

static int finish_lanes(void *arg, uint32_t lane, size_t first, size_t n)
{
	const struct stage *st = arg;
	size_t q;

	for (; n--; first++)
		for (q = 0; q < st->nq; q++)
			tq_pass_score(&st->pass, q, &st->lanes[first].heap[q], &st->lanes[first].wait[q]);
	return TQ_OK;
}

/* ---- the call ---- */

/* Lanes of a stage with heaps, of which the first has the results so far, and lists; NULL if out of memory */
static struct lane *make_lanes(const struct stage *st, uint32_t n, size_t k, const int64_t *ids, const float *keys)
{
	const size_t room = st->nq <= QUERIES_MAX ? LIST : LIST_OF_BATCH, lists = n * st->nq, heaps = lists * k;
	struct lane *lanes;
	struct tq_waiting *at;
	float *scores;
	int64_t *found;
	size_t i, q;

	lanes = tq_alloc_huge(st->pass.ix->ctx, n * sizeof(*lanes) + lists * room * sizeof(*at) +
						   heaps * (sizeof(*found) + sizeof(*scores)));
	if (!lanes)
		return NULL;
	found = (int64_t *)(void *)(lanes + n);
	at = (struct tq_waiting *)(void *)(found + heaps);
	scores = (float *)(void *)(at + lists * room);
	for (i = 0; i < n; i++) {
		lanes[i].seen = lanes[i].in_full = 0;
		lanes[i].full = 0;
		lanes[i].next_full = FULL_TILES * (uint32_t)(TILE / st->pass.tile);
		for (q = 0; q < st->nq; q++, scores += k, found += k, at += room) {
			lanes[i].heap[q] = (struct tq_heap){scores, found, k};
			lanes[i].wait[q] = (struct tq_wait_list){at, 0, room};
			if (i > 0) {
				tq_heap_clear(&lanes[i].heap[q]);
				continue;
			}
			memcpy(scores, keys + q * k, k * sizeof(*scores));
			memcpy(found, ids + q * k, k * sizeof(*found));
		}
	}
	return lanes;
}

/* What all lanes found for a query */
static void take_results(const struct stage *st, size_t q, uint32_t n, const struct tq_heap *to)
{
	const struct tq_heap *from = &st->lanes[0].heap[q];
	size_t i, j;

	memcpy(to->scores, from->scores, to->k * sizeof(*to->scores));
	memcpy(to->ids, from->ids, to->k * sizeof(*to->ids));
	for (i = 1; i < n; i++)
		for (j = 0, from = &st->lanes[i].heap[q]; j < to->k; j++)
			tq_heap_offer(to, from->scores[j], from->ids[j]);
}

int tq_index_stage(const struct tq_index *ix, const struct tq_index_segment *s, const struct tq_index_stage *what,
		   size_t nq, int64_t *ids, float *keys, size_t *in_full)
{
	uint32_t n = tq_rows_lanes(ix->ctx, s->n, TILES_PER_LANE * TILE);
	struct stage st = {.pass = {ix, s, what->packed, what->sign, what->reach, TILE, what->filter}, .nq = nq};
	uint32_t i;
	size_t q;
	int ret;

	if (st.pass.tile > ROOM / nq)
		st.pass.tile = ROOM / nq / TQ_REACH * TQ_REACH;
	st.seed = s->n / n / SEED;
	if (st.seed < TILE)
		st.seed = TILE;
	if (st.seed > LIST)
		st.seed = LIST;
	st.lanes = make_lanes(&st, n, what->k, ids, keys);
	if (!st.lanes)
		return TQ_ERR_NOMEM;
	ret = tq_rows_run(ix->ctx, s->n, TILES_PER_LANE * TILE, n, do_tiles, &st);
	if (!ret)
		ret = tq_rows_run(ix->ctx, n, 1, n, finish_lanes, &st);
	for (q = 0; !ret && q < nq; q++)
		take_results(&st, q, n, &(struct tq_heap){keys + q * what->k, ids + q * what->k, what->k});
	for (i = 0; i < n; i++)
		*in_full += nq * st.lanes[i].in_full;
	tq_free(ix->ctx, st.lanes);
	if (!ret)
		ret = tq_pipeline_failed(&ix->sign->pipe);
	return ret ? ret : tq_pipeline_failed(&ix->q->pipe);
}
