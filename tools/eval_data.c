/* SPDX-License-Identifier: Apache-2.0 */

/* The vectors of an evaluation, and their inner products in f64 by brute force. */

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "cli.h"
#include "commands.h"
#include "eval.h"
#include "vectors.h"

#define LANES 8

/** take_row - one row as f32, refused if it is not finite */
static int take_row(const struct vectors *v, uint64_t number, float *row)
{
	int ret = vectors_read_f32(v, number, 1, row);

	for (uint32_t j = 0; j < v->dim && !ret; j++)
		if (!isfinite(row[j]))
			ret = vectors_nonfinite(v->path, number);
	return ret;
}

/** take_rows - @n rows spread evenly over the file */
static int take_rows(const struct vectors *v, float *rows, size_t n)
{
	int ret = 0;

	for (size_t i = 0; i < n && !ret; i++)
		ret = take_row(v, (uint64_t)i * v->count / n, rows + i * v->dim);
	return ret;
}

/** split_rows - n + nq rows spread evenly; every so often one becomes a query */
static int split_rows(struct eval_data *data, const struct vectors *v)
{
	size_t total = data->n + data->nq, queries = 0;
	int ret = 0;

	for (size_t i = 0; i < total && !ret; i++) {
		bool query = (i + 1) * data->nq / total > queries;
		float *to = query ? data->queries + queries * v->dim
				  : data->base + (i - queries) * v->dim;

		ret = take_row(v, (uint64_t)i * v->count / total, to);
		queries += query;
	}
	return ret;
}

static double dot_f64(const float *a, const float *b, uint32_t dim)
{
	double lane[LANES] = {0}, sum = 0;
	uint32_t i = 0;

	for (; i + LANES <= dim; i += LANES)
		for (uint32_t l = 0; l < LANES; l++)
			lane[l] += (double)a[i + l] * (double)b[i + l];
	for (; i < dim; i++)
		sum += (double)a[i] * (double)b[i];
	for (uint32_t l = 0; l < LANES; l++)
		sum += lane[l];
	return sum;
}

/** insert - keep the @k largest seen so far, largest first; earlier numbers win ties */
static void insert(uint32_t *best, double *value, size_t *have, size_t k, uint32_t number, double x)
{
	size_t at;

	if (*have == k && !(x > value[k - 1]))
		return;
	if (*have < k)
		(*have)++;
	for (at = *have - 1; at > 0 && x > value[at - 1]; at--) {
		value[at] = value[at - 1];
		best[at] = best[at - 1];
	}
	value[at] = x;
	best[at] = number;
}

void eval_best(const float *scores, size_t n, size_t k, uint32_t *best)
{
	double value[EVAL_NEAREST];
	size_t have = 0;

	for (size_t j = 0; j < n; j++)
		insert(best, value, &have, k, (uint32_t)j, (double)scores[j]);
}

static int compute_truth(struct eval_data *data)
{
	int ret = 0;

	for (size_t i = 0; i < data->nq && !ret; i++) {
		const float *query = data->queries + i * data->dim;
		double *truth = data->truth + i * data->n;
		double value[EVAL_NEAREST];
		size_t have = 0;

		for (size_t j = 0; j < data->n; j++) {
			truth[j] = dot_f64(query, data->base + j * data->dim, data->dim);
			insert(data->best + i * EVAL_NEAREST, value, &have, data->nearest,
			       (uint32_t)j, truth[j]);
		}
		progress("exact inner products", i + 1, data->nq);
		ret = interrupted();
	}
	return ret;
}

int eval_load(struct eval_data *data, const struct vectors *base, const struct vectors *queries,
	      uint64_t rows, uint64_t nq)
{
	uint64_t available = queries ? queries->count : base->count / 10 + (base->count > 1);
	int ret;

	*data = (struct eval_data){.dim = base->dim};
	data->nq = available < nq ? available : nq;
	data->n = base->count - (queries ? 0 : data->nq);
	data->n = data->n < rows ? data->n : rows;
	if (!base->count || !data->nq || !data->n)
		return cli_fail(CLI_USAGE, "%s: too few rows to measure anything",
				base->count || !queries ? base->path : queries->path);
	data->nearest = data->n < EVAL_NEAREST ? data->n : EVAL_NEAREST;
	data->base = malloc((data->n * data->dim + 1) * sizeof(float));
	data->queries = malloc((data->nq * data->dim + 1) * sizeof(float));
	data->truth = malloc(data->nq * data->n * sizeof(double));
	data->best = malloc(data->nq * EVAL_NEAREST * sizeof(uint32_t));
	if (!data->base || !data->queries || !data->truth || !data->best) {
		ret = cli_fail(CLI_UNMET, "out of memory");
		goto err_unload;
	}
	if (queries) {
		ret = take_rows(base, data->base, data->n);
		if (!ret)
			ret = take_rows(queries, data->queries, data->nq);
	} else {
		ret = split_rows(data, base);
	}
	if (!ret)
		ret = compute_truth(data);
	if (ret)
		goto err_unload;
	return 0;

err_unload:
	eval_unload(data);
	return ret;
}

void eval_unload(struct eval_data *data)
{
	free(data->best);
	free(data->truth);
	free(data->queries);
	free(data->base);
	*data = (struct eval_data){0};
}
