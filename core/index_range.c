/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hits of an index that are sorted at the end: those of a range search, and those that are scored again
 * from the caller's rows or from second codes.
 */

#include <math.h>
#include <stdlib.h>
#include "args.h"
#include "index_search.h"

#define TILE_ROWS 1024

/* ---- order ---- */

static int compare_ids(const struct tq_index_hit *a, const struct tq_index_hit *b)
{
	return (a->id > b->id) - (a->id < b->id);
}

static int ascending(const void *a, const void *b)
{
	const struct tq_index_hit *x = a, *y = b;

	if (x->score != y->score)
		return x->score < y->score ? -1 : 1;
	return compare_ids(x, y);
}

static int descending(const void *a, const void *b)
{
	const struct tq_index_hit *x = a, *y = b;

	if (x->score != y->score)
		return x->score > y->score ? -1 : 1;
	return compare_ids(x, y);
}

void tq_index_sort_hits(struct tq_index_hit *hits, size_t n, uint32_t metric)
{
	if (n)
		qsort(hits, n, sizeof(*hits), metric == TQ_METRIC_L2 ? ascending : descending);
}

/* ---- range ---- */

/**
 * struct range - one search
 * @bits:   of a filter
 * @scores: of TILE_ROWS rows
 */
struct range {
	const struct tq_index *ix;
	const struct tq_index_search_options *o;
	float bound;
	struct tq_index_hit *hits;
	size_t n, room;
	uint64_t *bits;
	float *scores;
};

static int keep(struct range *r, float score, int64_t id)
{
	size_t room = r->room ? 2 * r->room : 256;
	struct tq_index_hit *more;

	if (r->n == r->room) {
		more = tq_alloc(r->ix->ctx, room * sizeof(*more));
		if (!more)
			return TQ_ERR_NOMEM;
		if (r->n)
			memcpy(more, r->hits, r->n * sizeof(*more));
		tq_free(r->ix->ctx, r->hits);
		r->hits = more;
		r->room = room;
	}
	r->hits[r->n++] = (struct tq_index_hit){score, id};
	return TQ_OK;
}

static int range_segment(struct range *r, const struct tq_index_segment *s, const void *prepared)
{
	const uint64_t *filter = tq_index_filter(s, r->o, r->bits);
	uint32_t first, i, n;
	float score;
	int ret = TQ_OK;

	for (first = 0; !ret && first < s->n; first += n) {
		n = s->n - first < TILE_ROWS ? s->n - first : TILE_ROWS;
		if (tq_index_in_blocks(r->ix, s))
			ret = tq_score_blocks(r->ix->q, prepared, tq_index_block_of(r->ix, s, first), n,
					      r->scores);
		else
			ret = tq_score(r->ix->q, prepared, 1, s->codes + first * r->ix->row_bytes, n,
				       r->scores, n);
		for (i = 0; !ret && i < n; i++) {
			if (s->ids[first + i] < 0 ||
			    (filter && !(filter[(first + i) / 64] >> (first + i) % 64 & 1)))
				continue;
			score = r->scores[i];
			if (r->ix->metric == TQ_METRIC_L2)
				score = -2.0f * score;
			if (r->ix->metric == TQ_METRIC_L2 ? score <= r->bound : score >= r->bound)
				ret = keep(r, score, s->ids[first + i]);
		}
	}
	return ret;
}

/* @lists, @work and @packed have room for @nprobe partitions. */
static int range_lists(struct range *r, const float *x, size_t nprobe, int64_t *lists, float *work,
		       char *packed)
{
	const struct tq_index_list *l;
	uint32_t i;
	size_t j;
	int ret;

	ret = tq_index_probe_lists(r->ix, x, r->ix->dim, 1, nprobe, lists);
	if (!ret)
		ret = tq_index_prepare(r->ix, x, lists, nprobe, work, packed, NULL);
	for (j = 0; !ret && j < nprobe; j++) {
		l = &r->ix->lists[lists[j]];
		for (i = 0; !ret && i < l->nsegments; i++)
			ret = range_segment(r, &l->segments[i], tq_index_query(r->ix, packed, work, j));
	}
	return ret;
}

static int range_run(struct range *r, const float *x)
{
	struct tq_context *ctx = r->ix->ctx;
	size_t nprobe, dim = r->ix->dim;
	float *unit, *work, *scores;
	int64_t *lists;
	char *packed;
	int ret;

	ret = tq_index_probe_count(r->ix, r->o, &nprobe);
	if (!ret && r->ix->nlist > 1 && !r->ix->centroids)
		ret = tq_fail(TQ_ERR_ARG, "index: has partitions and was not trained");
	if (ret)
		return ret;
	unit = tq_alloc(ctx, dim * sizeof(*unit));
	work = tq_alloc(ctx, (nprobe + dim) * sizeof(*work));
	scores = tq_alloc(ctx, TILE_ROWS * sizeof(*scores));
	lists = tq_alloc(ctx, nprobe * sizeof(*lists));
	packed = tq_alloc(ctx, tq_index_queries(r->ix, nprobe) * tq_query_size(r->ix->q));
	r->bits = tq_alloc(ctx, tq_index_filter_words(r->ix, r->o) * sizeof(*r->bits));
	r->scores = scores;
	ret = TQ_ERR_NOMEM;
	if (unit && work && scores && lists && packed && r->bits) {
		memcpy(unit, x, dim * sizeof(*unit));
		if (r->ix->metric == TQ_METRIC_COS)
			tq_index_unit(x, unit, dim);
		ret = range_lists(r, unit, nprobe, lists, work, packed);
	}
	tq_free(ctx, r->bits);
	tq_free(ctx, packed);
	tq_free(ctx, lists);
	tq_free(ctx, scores);
	tq_free(ctx, work);
	tq_free(ctx, unit);
	return ret;
}

int tq_index_range(const struct tq_index *index, const float *x, float bound,
		   const struct tq_index_search_options *options, size_t room, int64_t *ids,
		   float *scores, size_t *found)
{
	struct tq_index *ix = (struct tq_index *)(uintptr_t)index;
	struct range r = {.ix = index, .o = options, .bound = bound};
	size_t i;
	int ret;

	TQ_CHECK_POINTER(index);
	TQ_CHECK_POINTER(x);
	TQ_CHECK_POINTER(found);
	if (room) {
		TQ_CHECK_POINTER(ids);
		TQ_CHECK_POINTER(scores);
	}
	ret = tq_index_check_options(ix, options);
	if (ret)
		return ret;
	if (options && options->rerank)
		return tq_fail(TQ_ERR_ARG, "options->rerank: a range search has none");
	ret = tq_index_check_finite(ix, x, ix->dim, 1);
	if (ret)
		return ret;
	pthread_rwlock_rdlock(&ix->lock);
	ret = range_run(&r, x);
	pthread_rwlock_unlock(&ix->lock);
	if (!ret) {
		tq_index_sort_hits(r.hits, r.n, ix->metric);
		*found = r.n;
		for (i = 0; i < r.n && i < room; i++) {
			ids[i] = r.hits[i].id;
			scores[i] = r.hits[i].score;
		}
	}
	tq_free(ix->ctx, r.hits);
	return ret;
}

/* ---- exact scores ---- */

static float exact(uint32_t metric, const float *q, const float *x, size_t dim)
{
	double dot = 0.0, qq = 0.0, xx = 0.0, t;
	size_t i;

	for (i = 0; i < dim; i++) {
		if (metric == TQ_METRIC_L2) {
			t = (double)q[i] - (double)x[i];
			dot += t * t;
			continue;
		}
		dot += (double)q[i] * (double)x[i];
		qq += (double)q[i] * (double)q[i];
		xx += (double)x[i] * (double)x[i];
	}
	if (metric != TQ_METRIC_COS)
		return (float)dot;
	return qq > 0.0 && xx > 0.0 ? (float)(dot / sqrt(qq * xx)) : 0.0f;
}

/* The rows that were found, decoded; @rows has room for one more. */
static int decode_found(const struct tq_index *ix, const int64_t *found, size_t n, float *rows)
{
	float *work = rows + n * ix->dim;
	uint64_t place;
	size_t i;
	int ret = TQ_OK;

	for (i = 0; !ret && i < n; i++) {
		place = tq_index_ids_find(&ix->ids, found[i]);
		ret = place == UINT64_MAX ? tq_fail(TQ_ERR_FORMAT, "id %lld is there twice, or not",
						    (long long)found[i]) :
					    tq_index_decode(ix, place, rows + i * ix->dim, work);
	}
	return ret;
}

/* One query; @hits and @rows have room for all that were found, @rows for one more. */
static int rerank_one(const struct tq_index *ix, const float *q, size_t k,
		      const struct tq_index_search_options *o, const int64_t *found, int64_t *ids,
		      float *scores, struct tq_index_hit *hits, float *rows)
{
	size_t n = 0, i;
	int ret;

	while (n < o->rerank && found[n] >= 0)
		n++;
	ret = o->fetch ? TQ_OK : decode_found(ix, found, n, rows);
	if (ret)
		return ret;
	if (n && o->fetch && o->fetch(o->fetch_arg, found, n, rows))
		return tq_fail(TQ_ERR_IO, "options->fetch failed");
	for (i = 0; i < n; i++)
		hits[i] = (struct tq_index_hit){exact(ix->metric, q, rows + i * ix->dim, ix->dim),
						found[i]};
	tq_index_sort_hits(hits, n, ix->metric);
	for (i = 0; i < k; i++) {
		ids[i] = i < n ? hits[i].id : TQ_NO_ID;
		if (scores)
			scores[i] = i < n ? hits[i].score :
				    ix->metric == TQ_METRIC_L2 ? INFINITY : -INFINITY;
	}
	return TQ_OK;
}

int tq_index_rerank(const struct tq_index *ix, const float *x, size_t stride, size_t nq, size_t k,
		    const struct tq_index_search_options *o, const int64_t *found, int64_t *ids,
		    float *scores)
{
	struct tq_index_hit *hits = tq_alloc(ix->ctx, o->rerank * sizeof(*hits));
	float *rows = tq_alloc(ix->ctx, (o->rerank + 1) * ix->dim * sizeof(*rows));
	size_t i;
	int ret = hits && rows ? TQ_OK : TQ_ERR_NOMEM;

	for (i = 0; !ret && i < nq; i++)
		ret = rerank_one(ix, x + i * stride, k, o, found + i * o->rerank, ids + i * k,
				 scores ? scores + i * k : NULL, hits, rows);
	tq_free(ix->ctx, rows);
	tq_free(ix->ctx, hits);
	return ret;
}
