/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_INDEX_WORLD_H
#define TESTS_INDEX_WORLD_H

/* What the tests of the vector index share: rows in clusters, indexes over them, scores in f64. */

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "tq/tq.h"

#define OK(call) ck_assert_msg((call) == TQ_OK, "%s: %s", #call, tq_error_text())

static uint64_t rng_state = 1;

static inline uint32_t rng(uint32_t below)
{
	rng_state = rng_state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)((rng_state >> 32) * below >> 32);
}

static inline float gauss(void)
{
	float sum = 0.0f;
	int i;

	for (i = 0; i < 12; i++)
		sum += (float)rng(1 << 20) / (float)(1 << 20);
	return sum - 6.0f;
}

/* Clusters of different norm, away from zero. */
static inline float *draw(size_t n, uint32_t dim)
{
	float *x = malloc(n * dim * sizeof(*x)), *c = malloc(20 * dim * sizeof(*c));
	size_t i, j;

	ck_assert(x && c);
	for (i = 0; i < 20 * (size_t)dim; i++)
		c[i] = gauss() + (i % dim < 3 ? 2.0f : 0.0f);
	for (i = 0; i < n; i++)
		for (j = 0; j < dim; j++)
			x[i * dim + j] = (c[i % 20 * dim + j] + 0.7f * gauss()) *
					 (1.0f + (float)(i % 7) / 7.0f);
	free(c);
	return x;
}

static inline struct tq_context *context(const char *driver, uint32_t threads)
{
	struct tq_options o = {.struct_size = sizeof(o), .driver = driver, .threads = threads};
	struct tq_context *ctx;

	OK(tq_context_create(&o, &ctx));
	return ctx;
}

/* NULL where this machine lacks the pinned driver */
static inline struct tq_index *index_of(struct tq_context *ctx, const char *text, uint32_t dim,
					uint32_t metric, uint32_t nlist)
{
	struct tq_index_options o = {.struct_size = sizeof(o), .metric = metric, .nlist = nlist};
	struct tq_index *ix;
	struct tq_spec spec;
	int status;

	tq_spec_init(&spec);
	OK(tq_spec_parse(&spec, text));
	status = tq_index_create(ctx, &spec, dim, &o, &ix);
	if (status == TQ_ERR_NO_DRIVER)
		return NULL;
	ck_assert_msg(status == TQ_OK, "%s", tq_error_text());
	return ix;
}

/* In the metric's units */
static inline double score64(uint32_t metric, const float *q, const float *x, uint32_t dim)
{
	double dot = 0, qq = 0, xx = 0, far = 0;
	uint32_t i;

	for (i = 0; i < dim; i++) {
		dot += (double)q[i] * x[i];
		qq += (double)q[i] * q[i];
		xx += (double)x[i] * x[i];
		far += ((double)q[i] - x[i]) * ((double)q[i] - x[i]);
	}
	return metric == TQ_METRIC_L2 ? far : metric == TQ_METRIC_IP ? dot : dot / sqrt(qq * xx);
}

static inline int better64(uint32_t metric, double a, double b)
{
	return metric == TQ_METRIC_L2 ? a < b : a > b;
}

/* Best first, of equal scores the lower id, no id last */
static inline void check_order(uint32_t metric, const int64_t *ids, const float *scores, size_t k)
{
	size_t j;

	for (j = 1; j < k; j++) {
		if (ids[j] < 0) {
			ck_assert(isinf(scores[j]) && (scores[j] > 0) == (metric == TQ_METRIC_L2));
			continue;
		}
		ck_assert(ids[j - 1] >= 0);
		ck_assert_msg(better64(metric, scores[j - 1], scores[j]) ||
				      (scores[j - 1] == scores[j] && ids[j - 1] < ids[j]),
			      "place %zu: %lld (%a) behind %lld (%a)", j, (long long)ids[j],
			      (double)scores[j], (long long)ids[j - 1], (double)scores[j - 1]);
	}
}

#endif
