/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an index finds: scores in the units of the metric against f64, order, filters, ranges, exact
 * scores, recall; the same on every backend and for any number of threads.
 */

#include "index_search.h"
#include "index_world.h"
#include "../scale.h"

#define DIM 48
#define ROWS 3000
#define QUERIES 30

static const char *const metrics[] = {"ip", "cos", "l2"};

/*
 * With 8-bit codes and float queries a score is that of the row up to the code's error. A wrong term
 * (norm, centre, centroid) is off by far more.
 */
START_TEST(scores_are_in_the_units_of_the_metric)
{
	uint32_t metric = (uint32_t)_i % 3, nlist = _i < 3 ? 0 : 10;
	struct tq_context *ctx = context(NULL, 1);
	struct tq_index *ix = index_of(ctx, "preset=search bits=8 query=f32", DIM, metric, nlist);
	struct tq_index_search_options o = {.struct_size = sizeof(o), .nprobe = 10};
	float *x = draw(ROWS + QUERIES, DIM), *q = x + ROWS * DIM, scores[100], *all;
	int64_t ids[100];
	double want, scale, kth;
	size_t i, j, misses = 0;

	all = malloc(ROWS * sizeof(*all));
	OK(tq_index_train(ix, x, DIM, ROWS));
	OK(tq_index_add(ix, x, DIM, ROWS, NULL));
	for (i = 0; i < QUERIES; i++) {
		OK(tq_index_search(ix, q + i * DIM, DIM, 1, 100, &o, ids, scores));
		check_order(metric, ids, scores, 100);
		kth = scores[99];
		for (j = 0; j < 100; j++) {
			ck_assert(ids[j] >= 0 && ids[j] < ROWS);
			want = score64(metric, q + i * DIM, x + ids[j] * DIM, DIM);
			scale = metric == TQ_METRIC_COS ? 1.0 :
				score64(TQ_METRIC_IP, q + i * DIM, q + i * DIM, DIM) +
				score64(TQ_METRIC_IP, x + ids[j] * DIM, x + ids[j] * DIM, DIM);
			ck_assert_msg(fabs(scores[j] - want) < 0.002 * scale,
				      "%s, %u partitions: row %lld: %g, in f64 %g", metrics[metric],
				      nlist, (long long)ids[j], (double)scores[j], want);
		}
		for (j = 0; j < ROWS; j++) {
			want = score64(metric, q + i * DIM, x + j * DIM, DIM);
			scale = metric == TQ_METRIC_COS ? 1.0 : fabs(kth) + 1.0;
			if (better64(metric, want, kth) && fabs(want - kth) > 0.02 * scale) {
				size_t at = 0;

				while (at < 100 && ids[at] != (int64_t)j)
					at++;
				misses += at == 100;
			}
		}
	}
	ck_assert_msg(misses == 0, "%s, %u partitions: %zu rows were missed", metrics[metric], nlist,
		      misses);
	free(all);
	free(x);
	tq_index_destroy(ix);
	tq_context_destroy(ctx);
}
END_TEST

/* ---- the same everywhere ---- */

static const struct {
	const char *spec;
	uint32_t metric, nlist;
	size_t k;
	uint32_t nprobe; /* from 16 on other codes of the centroids choose */
} cases[] = {
	{"preset=search", TQ_METRIC_L2, 0, 10, 0},
	{"preset=search bits=1", TQ_METRIC_COS, 0, 100, 0},
	{"bits=2 correction=qjl:rht", TQ_METRIC_IP, 0, 4096, 0},
	{"preset=search bits=3", TQ_METRIC_IP, 25, 10, 0},
	{"preset=search bits=2", TQ_METRIC_L2, 25, 10, 18},
	{"preset=search bits=4 scale=bf16", TQ_METRIC_COS, 7, 1, 0},
};

/* Small whole numbers: many equal scores */
static void round_rows(float *x, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		x[i] = rintf(x[i] / 2.0f);
}

START_TEST(results_are_the_same_on_every_backend_and_for_any_threads)
{
	static const char *const backends[] = {"scalar", "avx2", "avx512", "neon"};
	static const uint32_t threads[] = {1, 2, 7};
	struct tq_index_search_options o = {.struct_size = sizeof(o), .nprobe = cases[_i].nprobe};
	size_t rows = test_scale() < 1 ? ROWS / 3 : ROWS, k = cases[_i].k, b, t, n = QUERIES * k, tried = 0;
	int64_t *first = malloc(n * sizeof(*first)), *ids = malloc(n * sizeof(*ids));
	float *want = malloc(n * sizeof(*want)), *scores = malloc(n * sizeof(*scores));
	float *x = draw(ROWS + QUERIES, DIM);
	struct tq_context *ctx;
	struct tq_index *ix;

	round_rows(x, (ROWS + QUERIES) * DIM);
	for (b = 0; b < sizeof(backends) / sizeof(backends[0]); b++) {
		for (t = 0; t < sizeof(threads) / sizeof(threads[0]); t++) {
			ctx = context(backends[b], threads[t]);
			ix = index_of(ctx, cases[_i].spec, DIM, cases[_i].metric, cases[_i].nlist);
			if (!ix) {
				tq_context_destroy(ctx);
				continue;
			}
			OK(tq_index_train(ix, x, DIM, rows));
			OK(tq_index_add(ix, x, DIM, rows / 3, NULL));
			OK(tq_index_add(ix, x + rows / 3 * DIM, DIM, rows - rows / 3, NULL));
			OK(tq_index_search(ix, x + ROWS * DIM, DIM, QUERIES, k, &o, ids, scores));
			if (!tried++) {
				memcpy(first, ids, n * sizeof(*ids));
				memcpy(want, scores, n * sizeof(*want));
			}
			ck_assert_msg(!memcmp(first, ids, n * sizeof(*ids)) &&
					      !memcmp(want, scores, n * sizeof(*want)),
				      "case %d: %s with %u threads is not as scalar", _i,
				      backends[b], threads[t]);
			tq_index_destroy(ix);
			tq_context_destroy(ctx);
		}
	}
	for (b = 0; b < QUERIES; b++)
		check_order(cases[_i].metric, first + b * k, want + b * k, k);
	ck_assert_uint_ge(tried, 3);
	free(x);
	free(first);
	free(ids);
	free(want);
	free(scores);
}
END_TEST

/* A batch is the queries one by one. */
START_TEST(a_batch_is_its_queries_one_by_one)
{
	struct tq_context *ctx = context(NULL, 2);
	struct tq_index *ix = index_of(ctx, "preset=search bits=2", DIM, TQ_METRIC_COS, _i ? 20 : 0);
	struct tq_index_search_options o = {.struct_size = sizeof(o), .nprobe = 17};
	float *x = draw(ROWS, DIM), *scores = malloc(1500 * 5 * sizeof(float)), one[5];
	int64_t *ids = malloc(1500 * 5 * sizeof(*ids)), one_id[5];
	size_t i;

	OK(tq_index_train(ix, x, DIM, ROWS));
	OK(tq_index_add(ix, x, DIM, ROWS, NULL));
	OK(tq_index_search(ix, x, DIM, 1500, 5, &o, ids, scores));
	for (i = 0; i < 1500; i += 7) {
		OK(tq_index_search(ix, x + i * DIM, DIM, 1, 5, &o, one_id, one));
		ck_assert_mem_eq(one_id, ids + i * 5, sizeof(one_id));
		ck_assert_mem_eq(one, scores + i * 5, sizeof(one));
	}
	free(x);
	free(ids);
	free(scores);
	tq_index_destroy(ix);
	tq_context_destroy(ctx);
}
END_TEST

static int by_id(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

/* Which partitions are looked at: those that a search among the centroids' codes finds, best to worst by a heap. */
START_TEST(the_nearest_partitions_are_looked_at)
{
	static const size_t probes[] = {1, 2, 15, 16, 40, 199, 399};
	struct tq_context *ctx = context(_i < 2 ? NULL : "scalar", 2);
	struct tq_index *ix = index_of(ctx, "preset=search bits=2", DIM, _i % 2 ? TQ_METRIC_IP : TQ_METRIC_L2, 400);
	float *x = draw(ROWS, DIM);
	int64_t lists[QUERIES * 400], want[QUERIES * 400];
	size_t p, i, n;

	OK(tq_index_train(ix, x, DIM, ROWS));
	for (p = 0; p < sizeof(probes) / sizeof(probes[0]); p++) {
		n = probes[p];
		OK(tq_index_probe_lists(ix, x, DIM, QUERIES, n, lists));
		OK(tq_index_search(n < 16 ? ix->coarse : ix->probe, x, DIM, QUERIES, n, NULL, want, NULL));
		for (i = 0; i < QUERIES; i++) {
			qsort(lists + i * n, n, sizeof(*lists), by_id);
			qsort(want + i * n, n, sizeof(*want), by_id);
			ck_assert_msg(!memcmp(lists + i * n, want + i * n, n * sizeof(*want)), "query %zu: other %zu of 400", i, n);
		}
	}
	free(x);
	tq_index_destroy(ix);
	tq_context_destroy(ctx);
}
END_TEST

/* ---- filters ---- */

static int is_allowed(void *arg, int64_t id)
{
	return id % 3 == *(const int *)arg;
}

START_TEST(filters_leave_what_they_allow)
{
	uint64_t bits[ROWS / 64 + 1] = {0};
	int rest = 1;
	struct tq_index_search_options bitmap = {.struct_size = sizeof(bitmap), .filter = bits,
						 .filter_bits = ROWS - 100, .nprobe = 9};
	struct tq_index_search_options callback = {.struct_size = sizeof(callback), .nprobe = 9,
						   .allow = is_allowed, .allow_arg = &rest};
	struct tq_index_search_options none = {.struct_size = sizeof(none), .nprobe = 9};
	struct tq_context *ctx = context(NULL, 1);
	struct tq_index *ix = index_of(ctx, "preset=search", DIM, TQ_METRIC_L2, _i ? 9 : 0);
	float *x = draw(ROWS, DIM), *scores = malloc(4096 * sizeof(float)), got[50];
	int64_t *all = malloc(4096 * sizeof(*all)), ids[50], gone[] = {3, 4, 1000, 2999};
	size_t i, j, q, found;

	for (i = 0; i < ROWS; i++)
		if (i % 5 == 2)
			bits[i / 64] |= UINT64_C(1) << i % 64;
	OK(tq_index_train(ix, x, DIM, ROWS));
	OK(tq_index_add(ix, x, DIM, ROWS, NULL));
	OK(tq_index_remove(ix, gone, 4));
	for (q = 0; q < 20; q++) {
		OK(tq_index_search(ix, x + q * DIM, DIM, 1, 4096, &none, all, scores));
		for (i = 0; i < 4096 && all[i] >= 0; i++)
			for (j = 0; j < 4; j++)
				ck_assert_int_ne(all[i], gone[j]);
		ck_assert_uint_eq(i, ROWS - 4);
		OK(tq_index_search(ix, x + q * DIM, DIM, 1, 50, &bitmap, ids, got));
		for (i = j = 0; i < 50; i++, j++) {
			while (all[j] % 5 != 2 || all[j] >= ROWS - 100)
				j++;
			ck_assert_int_eq(ids[i], all[j]);
			ck_assert(got[i] == scores[j]);
		}
		OK(tq_index_search(ix, x + q * DIM, DIM, 1, 50, &callback, ids, got));
		for (i = j = 0; i < 50; i++, j++) {
			while (all[j] % 3 != 1)
				j++;
			ck_assert_int_eq(ids[i], all[j]);
		}
		/* a range is the head of all */
		OK(tq_index_range(ix, x + q * DIM, scores[77], &none, 50, ids, got, &found));
		for (i = 78; all[i] >= 0 && scores[i] == scores[77]; i++)
			;
		ck_assert_uint_eq(found, i);
		ck_assert_mem_eq(ids, all, sizeof(ids));
		ck_assert_mem_eq(got, scores, sizeof(got));
		OK(tq_index_range(ix, x + q * DIM, scores[77], &callback, 50, ids, got, &found));
		for (i = j = 0; i < found && i < 50; i++, j++) {
			while (all[j] % 3 != 1)
				j++;
			ck_assert_int_eq(ids[i], all[j]);
		}
	}
	free(x);
	free(all);
	free(scores);
	tq_index_destroy(ix);
	tq_context_destroy(ctx);
}
END_TEST

/* ---- exact scores, recall ---- */

static int give_rows(void *arg, const int64_t *ids, size_t n, float *rows)
{
	const float *x = arg;
	size_t i;

	if (!x)
		return 1;
	for (i = 0; i < n; i++)
		memcpy(rows + i * DIM, x + ids[i] * DIM, DIM * sizeof(float));
	return 0;
}

/* Part of the true ten (f64) among the ten found */
static double recall(const struct tq_index *ix, uint32_t metric, const float *x, const float *q,
		     const struct tq_index_search_options *o)
{
	double true_score, nearest[10];
	int64_t ids[10], best[10];
	float scores[10];
	size_t i, j, l, hits = 0;

	for (i = 0; i < QUERIES; i++) {
		size_t have = 0;

		for (j = 0; j < ROWS; j++) {
			true_score = score64(metric, q + i * DIM, x + j * DIM, DIM);
			if (have == 10 && !better64(metric, true_score, nearest[9]))
				continue;
			have += have < 10;
			for (l = have - 1; l && better64(metric, true_score, nearest[l - 1]); l--) {
				nearest[l] = nearest[l - 1];
				best[l] = best[l - 1];
			}
			nearest[l] = true_score;
			best[l] = (int64_t)j;
		}
		OK(tq_index_search(ix, q + i * DIM, DIM, 1, 10, o, ids, scores));
		for (j = 0; j < 10; j++)
			for (l = 0; l < 10; l++)
				hits += ids[j] == best[l];
	}
	return (double)hits / (10.0 * QUERIES);
}

START_TEST(exact_scores_put_the_best_right)
{
	uint32_t metric = (uint32_t)_i;
	struct tq_context *ctx = context(NULL, 1);
	struct tq_index *ix = index_of(ctx, "preset=search bits=2", DIM, metric, 0);
	float *x = draw(ROWS + QUERIES, DIM), *q = x + ROWS * DIM, scores[10], worst;
	struct tq_index_search_options o = {.struct_size = sizeof(o), .rerank = 200, .fetch = give_rows,
					    .fetch_arg = x};
	double plain, exact;
	int64_t ids[10];
	size_t i;

	OK(tq_index_train(ix, x, DIM, ROWS));
	OK(tq_index_add(ix, x, DIM, ROWS, NULL));
	plain = recall(ix, metric, x, q, NULL);
	exact = recall(ix, metric, x, q, &o);
	ck_assert_msg(exact > 0.995 && plain > 0.4 && plain < exact, "%s: %.3f, exact %.3f",
		      metrics[metric], plain, exact);
	OK(tq_index_search(ix, q, DIM, 1, 10, &o, ids, scores));
	check_order(metric, ids, scores, 10);
	for (i = 0; i < 10; i++) {
		worst = (float)score64(metric, q, x + ids[i] * DIM, DIM);
		ck_assert_msg(fabsf(scores[i] - worst) <= 2e-7f * fabsf(worst), "%a and %a",
			      (double)scores[i], (double)worst);
	}
	o.fetch_arg = NULL;
	ck_assert_int_eq(tq_index_search(ix, q, DIM, 1, 10, &o, ids, scores), TQ_ERR_IO);
	o.rerank = 5;
	ck_assert_int_eq(tq_index_search(ix, q, DIM, 1, 10, &o, ids, scores), TQ_ERR_ARG);
	o.rerank = 20;
	o.fetch = NULL;
	ck_assert_int_eq(tq_index_search(ix, q, DIM, 1, 10, &o, ids, scores), TQ_ERR_ARG);
	free(x);
	tq_index_destroy(ix);
	tq_context_destroy(ctx);
}
END_TEST

/* Partitions lose little at a fraction of them, nothing at all of them, and codes of residuals are
 * better than those of rows. */
START_TEST(partitions_keep_recall)
{
	uint32_t metric = (uint32_t)_i;
	struct tq_context *ctx = context(NULL, 1);
	struct tq_index *flat = index_of(ctx, "preset=search bits=2", DIM, metric, 0);
	struct tq_index *ivf = index_of(ctx, "preset=search bits=2", DIM, metric, 20);
	float *x = draw(ROWS + QUERIES, DIM), *q = x + ROWS * DIM;
	struct tq_index_search_options o = {.struct_size = sizeof(o)};
	double of_flat, of_all, of_some, of_one;

	OK(tq_index_train(flat, x, DIM, ROWS));
	OK(tq_index_train(ivf, x, DIM, ROWS));
	OK(tq_index_add(flat, x, DIM, ROWS, NULL));
	OK(tq_index_add(ivf, x, DIM, ROWS, NULL));
	of_flat = recall(flat, metric, x, q, NULL);
	o.nprobe = 20;
	of_all = recall(ivf, metric, x, q, &o);
	o.nprobe = 6;
	of_some = recall(ivf, metric, x, q, &o);
	o.nprobe = 1;
	of_one = recall(ivf, metric, x, q, &o);
	ck_assert_msg(of_all > of_flat - 0.02 && of_some > of_all - 0.05 && of_one <= of_some + 0.02 &&
			      of_one > 0.2,
		      "%s: flat %.3f, all 20 %.3f, 6 %.3f, 1 %.3f", metrics[metric], of_flat, of_all,
		      of_some, of_one);
	free(x);
	tq_index_destroy(flat);
	tq_index_destroy(ivf);
	tq_context_destroy(ctx);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("index");
	TCase *tc = tcase_create("search");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, scores_are_in_the_units_of_the_metric, 0, 6);
	tcase_add_loop_test(tc, results_are_the_same_on_every_backend_and_for_any_threads, 0,
			    sizeof(cases) / sizeof(cases[0]));
	tcase_add_loop_test(tc, a_batch_is_its_queries_one_by_one, 0, 2);
	/* by scalar as well where that is no matter of minutes */
	tcase_add_loop_test(tc, the_nearest_partitions_are_looked_at, 0, test_scale() < 1 ? 2 : 4);
	tcase_add_loop_test(tc, filters_leave_what_they_allow, 0, 2);
	tcase_add_loop_test(tc, exact_scores_put_the_best_right, 0, 3);
	tcase_add_loop_test(tc, partitions_keep_recall, 0, 3);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
