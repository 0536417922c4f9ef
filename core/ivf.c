/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Training of an index: the mean, and with partitions k-means (Lloyd 1982) as an inverted file needs it
 * (Jegou, Douze, Schmid, TPAMI 2011). Rows are assigned by a search among the centroids' codes, which
 * gives the same on every backend, and sums are in f64 in the order of the rows: so are the centroids.
 */

#include "args.h"
#include "index.h"
#include "rng.h"

#define ROUNDS 10

/**
 * struct training - one tq_index_train()
 * @mean, @centroids: so far
 * @sums:   of the rows of each partition
 * @counts: how many they are
 * @lists:  partition of each row
 * @row:    one row, scaled to norm 1 with cos
 */
struct training {
	struct tq_index *ix;
	const float *x;
	size_t stride, n;
	float *mean, *centroids;
	double *sums;
	uint32_t *counts, *lists;
	float *row;
};

static const float *row_of(const struct training *t, size_t i)
{
	if (t->ix->metric != TQ_METRIC_COS)
		return t->x + i * t->stride;
	tq_index_unit(t->x + i * t->stride, t->row, t->ix->dim);
	return t->row;
}

static void add_row(double *sum, const float *row, size_t dim)
{
	size_t j;

	for (j = 0; j < dim; j++)
		sum[j] += (double)row[j];
}

static void divide(const double *sum, double count, float *mean, size_t dim)
{
	size_t j;

	for (j = 0; j < dim; j++)
		mean[j] = (float)(sum[j] / count);
}

static void find_mean(struct training *t)
{
	size_t i;

	for (i = 0; i < t->n; i++)
		add_row(t->sums, row_of(t, i), t->ix->dim);
	divide(t->sums, (double)t->n, t->mean, t->ix->dim);
}

/* As many different rows as there are partitions: the head of a shuffle. */
static void choose_rows(struct training *t)
{
	uint32_t *order = t->lists, word, keep, list;
	size_t i, j;

	for (i = 0; i < t->n; i++)
		order[i] = (uint32_t)i;
	for (list = 0; list < t->ix->nlist; list++) {
		tq_rng_words(t->ix->spec.seed, TQ_ROLE_KMEANS, 0, list, 1, &word);
		j = list + (size_t)((uint64_t)word * (t->n - list) >> 32);
		keep = order[j];
		order[j] = order[list];
		order[list] = keep;
		memcpy(t->centroids + (size_t)list * t->ix->dim, row_of(t, keep),
		       t->ix->dim * sizeof(float));
	}
}

/* A partition without rows gets one of the largest. */
static void fill_empty(struct training *t, uint32_t empty)
{
	uint32_t list, large = 0;
	size_t i = t->n;

	for (list = 1; list < t->ix->nlist; list++)
		if (t->counts[list] > t->counts[large])
			large = list;
	while (i-- && t->lists[i] != large)
		;
	t->counts[large]--;
	t->counts[empty] = 1;
	t->lists[i] = empty;
	memcpy(t->centroids + (size_t)empty * t->ix->dim, row_of(t, i), t->ix->dim * sizeof(float));
}

static int round_of_means(struct training *t)
{
	size_t dim = t->ix->dim, i;
	uint32_t list;
	int ret;

	ret = tq_index_set_centre(t->ix, t->mean, t->centroids, true);
	if (!ret)
		ret = tq_index_assign(t->ix, t->x, t->stride, t->n, t->lists);
	if (ret)
		return ret;
	memset(t->sums, 0, t->ix->nlist * dim * sizeof(*t->sums));
	memset(t->counts, 0, t->ix->nlist * sizeof(*t->counts));
	for (i = 0; i < t->n; i++) {
		add_row(t->sums + t->lists[i] * dim, row_of(t, i), dim);
		t->counts[t->lists[i]]++;
	}
	for (list = 0; list < t->ix->nlist; list++)
		if (t->counts[list])
			divide(t->sums + list * dim, t->counts[list], t->centroids + list * dim, dim);
	for (list = 0; list < t->ix->nlist; list++)
		if (!t->counts[list])
			fill_empty(t, list);
	return TQ_OK;
}

static int train(struct training *t)
{
	int ret = TQ_OK, i;

	find_mean(t);
	if (t->ix->nlist == 1)
		return tq_index_set_centre(t->ix, t->mean, NULL, false);
	choose_rows(t);
	for (i = 0; !ret && i < ROUNDS; i++)
		ret = round_of_means(t);
	return ret ? ret : tq_index_set_centre(t->ix, t->mean, t->centroids, false);
}

static int train_with_memory(struct training *t)
{
	struct tq_context *ctx = t->ix->ctx;
	size_t cells = (size_t)t->ix->nlist * t->ix->dim;
	int ret = TQ_ERR_NOMEM;

	t->mean = tq_alloc(ctx, t->ix->dim * sizeof(*t->mean));
	t->row = tq_alloc(ctx, t->ix->dim * sizeof(*t->row));
	t->centroids = tq_alloc(ctx, cells * sizeof(*t->centroids));
	t->sums = tq_alloc(ctx, cells * sizeof(*t->sums));
	t->counts = tq_alloc(ctx, t->ix->nlist * sizeof(*t->counts));
	t->lists = tq_alloc(ctx, t->n * sizeof(*t->lists));
	if (t->mean && t->row && t->centroids && t->sums && t->counts && t->lists)
		ret = train(t);
	tq_free(ctx, t->lists);
	tq_free(ctx, t->counts);
	tq_free(ctx, t->sums);
	tq_free(ctx, t->centroids);
	tq_free(ctx, t->row);
	tq_free(ctx, t->mean);
	return ret;
}

int tq_index_train(struct tq_index *index, const float *x, size_t stride, size_t n)
{
	struct training t = {.ix = index, .x = x, .stride = stride, .n = n};
	int ret;

	TQ_CHECK_POINTER(index);
	TQ_CHECK_POINTER(x);
	ret = tq_index_check_rows(index, stride, n);
	if (ret)
		return ret;
	if (n < index->nlist || n > UINT32_MAX)
		return tq_fail(TQ_ERR_ARG, "n: %zu rows are too %s for %u partitions", n,
			       n < index->nlist ? "few" : "many", index->nlist);
	ret = tq_index_check_finite(index, x, stride, n);
	if (ret)
		return ret;
	pthread_mutex_lock(&index->change);
	if (index->count + index->removed)
		ret = tq_fail(TQ_ERR_ARG, "index: has rows; it is trained before they are added");
	else if (index->spec.center == TQ_CENTER_BOTH)
		ret = train_with_memory(&t);
	pthread_mutex_unlock(&index->change);
	return ret;
}
