/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recall of an index on real vectors, against the nearest neighbours in f64. The files lie beside the
 * repository (shared/data); the tests are skipped where they are not.
 *
 *	GloVe, 100,000 x 100, cosine: part of the true ten among the ten found, 2,000 queries
 *
 * TQ_TEST_SCALE takes a part of the queries; what is asked for is then two points lower, the noise of
 * a fifth of them.
 */

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tq/rules.h"
#include "tq/tq.h"
#include "../scale.h"

#define K 10

struct rows {
	float *x;
	size_t n, d;
};

/* A .npy file of f16 as numpy writes it; @most rows of it, scaled to norm 1 */
static int read_rows(const char *name, size_t most, struct rows *r)
{
	static const char *const places[] = {"../shared/data", "../../shared/data"};
	const char *root = getenv("TQ_TEST_SOURCE_ROOT"), *shape;
	char path[512], head[129] = "";
	uint16_t *half;
	FILE *f = NULL;
	size_t i, j;
	double norm;

	for (i = 0; i < 2 && !f; i++) {
		snprintf(path, sizeof(path), "%s/%s/%s", root ? root : ".", places[i], name);
		f = fopen(path, "rb");
	}
	if (!f)
		return 0;
	ck_assert_uint_eq(fread(head, 1, 128, f), 128);
	shape = head + 10;
	while (*shape != '(')
		shape++;
	ck_assert_int_eq(sscanf(shape, "(%zu, %zu)", &r->n, &r->d), 2);
	r->n = r->n < most ? r->n : most;
	half = malloc(r->n * r->d * sizeof(*half));
	r->x = malloc(r->n * r->d * sizeof(*r->x));
	ck_assert(half && r->x);
	ck_assert_uint_eq(fread(half, sizeof(*half), r->n * r->d, f), r->n * r->d);
	fclose(f);
	for (i = 0; i < r->n; i++) {
		for (j = 0, norm = 0; j < r->d; j++) {
			r->x[i * r->d + j] = tq_f16_to_f32(half[i * r->d + j]);
			norm += (double)r->x[i * r->d + j] * r->x[i * r->d + j];
		}
		for (j = 0; j < r->d; j++)
			r->x[i * r->d + j] = (float)(r->x[i * r->d + j] / sqrt(norm));
	}
	free(half);
	return 1;
}

static size_t queries_wanted(void)
{
	return test_scale() < 1.0 ? (size_t)(2000 * test_scale()) + 1 : 2000;
}

/* The ten of the largest inner products in f64 */
static void nearest(const struct rows *base, const float *q, int64_t *best)
{
	double score[K], lane[4];
	size_t have = 0, i, j, at;

	for (i = 0; i < base->n; i++) {
		const float *x = base->x + i * base->d;

		memset(lane, 0, sizeof(lane));
		for (j = 0; j + 4 <= base->d; j += 4) {
			lane[0] += (double)x[j] * q[j];
			lane[1] += (double)x[j + 1] * q[j + 1];
			lane[2] += (double)x[j + 2] * q[j + 2];
			lane[3] += (double)x[j + 3] * q[j + 3];
		}
		lane[0] += lane[1] + (lane[2] + lane[3]);
		if (have == K && !(lane[0] > score[K - 1]))
			continue;
		have += have < K;
		for (at = have - 1; at && lane[0] > score[at - 1]; at--) {
			score[at] = score[at - 1];
			best[at] = best[at - 1];
		}
		score[at] = lane[0];
		best[at] = (int64_t)i;
	}
}

static struct tq_index *build(struct tq_context *ctx, const struct rows *base, const char *text,
			      uint32_t nlist)
{
	struct tq_index_options o = {.struct_size = sizeof(o), .metric = TQ_METRIC_COS, .nlist = nlist};
	struct tq_index *ix;
	struct tq_spec spec;

	tq_spec_init(&spec);
	ck_assert_int_eq(tq_spec_parse(&spec, text), TQ_OK);
	ck_assert_int_eq(tq_index_create(ctx, &spec, (uint32_t)base->d, &o, &ix), TQ_OK);
	ck_assert_int_eq(tq_index_train(ix, base->x, base->d, nlist ? 20000 < base->n ? 20000 : base->n : base->n), TQ_OK);
	ck_assert_int_eq(tq_index_add(ix, base->x, base->d, base->n, NULL), TQ_OK);
	return ix;
}

static double recall(const struct tq_index *ix, const struct rows *queries, const int64_t *truth,
		     uint32_t nprobe)
{
	struct tq_index_search_options o = {.struct_size = sizeof(o), .nprobe = nprobe};
	int64_t *ids = malloc(queries->n * K * sizeof(*ids));
	size_t i, t, f, hits = 0;

	ck_assert_int_eq(tq_index_search(ix, queries->x, queries->d, queries->n, K, &o, ids, NULL), TQ_OK);
	for (i = 0; i < queries->n; i++)
		for (t = 0; t < K; t++)
			for (f = 0; f < K; f++)
				hits += truth[i * K + t] == ids[i * K + f];
	free(ids);
	return (double)hits / (double)(queries->n * K);
}

START_TEST(recall_on_word_vectors_is_what_the_method_gives)
{
	static const double wanted[] = {0.335, 0.613, 0.786, 0.885};
	double slack = queries_wanted() < 2000 ? 0.02 : 0.0, got;
	struct rows base, queries;
	struct tq_context *ctx;
	struct tq_index *ix;
	int64_t *truth;
	char text[64];
	size_t i;
	int bits;

	if (!read_rows("glove100-base.npy", SIZE_MAX, &base) ||
	    !read_rows("glove100-query.npy", queries_wanted(), &queries)) {
		printf("skipped: no data\n");
		return;
	}
	truth = malloc(queries.n * K * sizeof(*truth));
	for (i = 0; i < queries.n; i++)
		nearest(&base, queries.x + i * base.d, truth + i * K);
	ck_assert_int_eq(tq_context_create(NULL, &ctx), TQ_OK);
	for (bits = 1; bits <= 4; bits++) {
		snprintf(text, sizeof(text), "preset=search bits=%d", bits);
		ix = build(ctx, &base, text, 0);
		got = recall(ix, &queries, truth, 0);
		printf("glove100, %d bits, %zu queries: 10@10 %.4f\n", bits, queries.n, got);
		ck_assert_msg(got >= wanted[bits - 1] - slack, "%d bits: %.4f, %.3f is wanted", bits, got,
			      wanted[bits - 1]);
		tq_index_destroy(ix);
	}
	tq_context_destroy(ctx);
	free(truth);
	free(queries.x);
	free(base.x);
}
END_TEST

/* Some of the partitions give what all of them give. */
START_TEST(partitions_keep_recall_on_real_vectors)
{
	struct rows base, queries;
	struct tq_context *ctx;
	struct tq_index *flat, *ivf;
	double of_flat, of_ivf;
	int64_t *truth;
	size_t i;

	if (!read_rows("lsa512-base.npy", SIZE_MAX, &base) ||
	    !read_rows("lsa512-query.npy", queries_wanted() / 4 + 1, &queries)) {
		printf("skipped: no data\n");
		return;
	}
	truth = malloc(queries.n * K * sizeof(*truth));
	for (i = 0; i < queries.n; i++)
		nearest(&base, queries.x + i * base.d, truth + i * K);
	ck_assert_int_eq(tq_context_create(NULL, &ctx), TQ_OK);
	flat = build(ctx, &base, "preset=search", 0);
	ivf = build(ctx, &base, "preset=search", 64);
	of_flat = recall(flat, &queries, truth, 0);
	of_ivf = recall(ivf, &queries, truth, 16);
	printf("lsa512, 4 bits, %zu queries: flat %.4f, 16 of 64 partitions %.4f\n", queries.n, of_flat, of_ivf);
	ck_assert_msg(of_flat > 0.93 && of_ivf > 0.90, "flat %.4f, 16 of 64 partitions %.4f", of_flat, of_ivf);
	tq_index_destroy(flat);
	tq_index_destroy(ivf);
	tq_context_destroy(ctx);
	free(truth);
	free(queries.x);
	free(base.x);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("recall");
	TCase *tc = tcase_create("real vectors");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tc, 600);
	tcase_add_test(tc, recall_on_word_vectors_is_what_the_method_gives);
	tcase_add_test(tc, partitions_keep_recall_on_real_vectors);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
