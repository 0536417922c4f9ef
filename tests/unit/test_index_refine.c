/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Second codes of an index: they make the best rows' order and scores better and reconstruction too, are the
 * same on every backend and for any number of threads, and go where rows go: into files, logs, merges.
 */

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "index_world.h"

#define DIM 40
#define ROWS 1500
#define QUERIES 20
#define K 10

static const char *const metrics[] = {"ip", "cos", "l2"};

/* The same rows for every test, whatever ran before it */
static float *rows(void)
{
	rng_state = 1;
	return draw(ROWS + QUERIES, DIM);
}

/* NULL where this machine lacks the pinned driver */
static struct tq_index *refined(struct tq_context *ctx, const char *spec, const char *second, uint32_t metric,
				uint32_t nlist)
{
	struct tq_index_options o = {.struct_size = sizeof(o), .metric = metric, .nlist = nlist};
	struct tq_spec first, refine;
	struct tq_index *ix;
	int status;

	tq_spec_init(&first);
	tq_spec_init(&refine);
	OK(tq_spec_parse(&first, spec));
	OK(tq_spec_parse(&refine, second));
	o.refine = &refine;
	status = tq_index_create(ctx, &first, DIM, &o, &ix);
	if (status == TQ_ERR_NO_DRIVER)
		return NULL;
	ck_assert_msg(status == TQ_OK, "%s", tq_error_text());
	return ix;
}

static struct tq_index *filled(struct tq_context *ctx, uint32_t metric, uint32_t nlist, const float *x)
{
	struct tq_index *ix = refined(ctx, "preset=search bits=2", "bits=4 correction=ls", metric, nlist);

	OK(tq_index_train(ix, x, DIM, ROWS));
	OK(tq_index_add(ix, x, DIM, 700, NULL));
	OK(tq_index_add(ix, x + 700 * DIM, DIM, ROWS - 700, NULL));
	return ix;
}

static struct tq_index_search_options again(size_t rerank)
{
	return (struct tq_index_search_options){.struct_size = sizeof(struct tq_index_search_options),
						.nprobe = 5, .rerank = rerank};
}

/* Part of the true ten (f64) among the ten found */
static double recall(const struct tq_index *ix, uint32_t metric, const float *x, const float *q, size_t rerank)
{
	struct tq_index_search_options o = again(rerank);
	int64_t ids[K];
	size_t i, j, l, better, hits = 0;
	double s;

	for (i = 0; i < QUERIES; i++) {
		OK(tq_index_search(ix, q + i * DIM, DIM, 1, K, &o, ids, NULL));
		for (j = 0; j < K; j++) {
			s = score64(metric, q + i * DIM, x + ids[j] * DIM, DIM);
			for (l = better = 0; l < ROWS; l++)
				better += better64(metric, score64(metric, q + i * DIM, x + l * DIM, DIM), s);
			hits += better < K;
		}
	}
	return (double)hits / (K * QUERIES);
}

START_TEST(second_codes_put_the_best_right)
{
	uint32_t metric = (uint32_t)_i % 3, nlist = _i < 3 ? 0 : 5;
	struct tq_context *ctx = context(NULL, 1);
	float *x = rows(), *q = x + ROWS * DIM, row[DIM], scores[K];
	struct tq_index *ix = filled(ctx, metric, nlist, x);
	struct tq_index_search_options o = again(100);
	struct tq_index_info info = {.struct_size = sizeof(info)};
	double plain = recall(ix, metric, x, q, 0), better = recall(ix, metric, x, q, 100), want, scale;
	int64_t ids[K];
	size_t i, j;

	ck_assert_msg(better > 0.92 && better > plain + 0.05, "%s, %u partitions: %.3f, refined %.3f",
		      metrics[metric], nlist, plain, better);
	OK(tq_index_describe(ix, &info));
	ck_assert_uint_eq(info.refine_bytes, tq_code_size(tq_index_refiner(ix)));
	ck_assert_uint_eq(info.row_bytes, tq_code_size(tq_index_quantizer(ix)) + info.refine_bytes + 8);
	for (i = 0; i < QUERIES; i++) {
		OK(tq_index_search(ix, q + i * DIM, DIM, 1, K, &o, ids, scores));
		check_order(metric, ids, scores, K);
		for (j = 0; j < K; j++) {
			/* the score is that of the reconstructed row, and near the true one */
			OK(tq_index_reconstruct(ix, &ids[j], 1, row, DIM));
			want = score64(metric, q + i * DIM, row, DIM);
			ck_assert_msg(fabs(scores[j] - want) <= 1e-6 * (fabs(want) + 1), "%g, reconstructed %g",
				      (double)scores[j], want);
			want = score64(metric, q + i * DIM, x + ids[j] * DIM, DIM);
			scale = metric == TQ_METRIC_COS ? 1.0 :
				score64(TQ_METRIC_IP, q + i * DIM, q + i * DIM, DIM) +
				score64(TQ_METRIC_IP, x + ids[j] * DIM, x + ids[j] * DIM, DIM);
			ck_assert_msg(fabs(scores[j] - want) < 0.04 * scale, "%g, in f64 %g", (double)scores[j], want);
		}
	}
	free(x);
	tq_index_destroy(ix);
	tq_context_destroy(ctx);
}
END_TEST

/* 2 and 4 bits leave about what 2 leave times what 4 leave. */
START_TEST(second_codes_reconstruct)
{
	struct tq_context *ctx = context(NULL, 1);
	float *x = rows(), row[DIM];
	struct tq_index *ix = filled(ctx, TQ_METRIC_IP, _i ? 5 : 0, x);
	struct tq_index *plain = index_of(ctx, "preset=search bits=2", DIM, TQ_METRIC_IP, _i ? 5 : 0);
	double left = 0, of_plain = 0;
	int64_t id;

	OK(tq_index_train(plain, x, DIM, ROWS));
	OK(tq_index_add(plain, x, DIM, ROWS, NULL));
	for (id = 0; id < ROWS; id += 3) {
		OK(tq_index_reconstruct(ix, &id, 1, row, DIM));
		left += score64(TQ_METRIC_L2, x + id * DIM, row, DIM);
		OK(tq_index_reconstruct(plain, &id, 1, row, DIM));
		of_plain += score64(TQ_METRIC_L2, x + id * DIM, row, DIM);
	}
	ck_assert_msg(left < 0.015 * of_plain && left > 0.004 * of_plain, "%g of %g", left, of_plain);
	free(x);
	tq_index_destroy(plain);
	tq_index_destroy(ix);
	tq_context_destroy(ctx);
}
END_TEST

START_TEST(second_codes_are_the_same_everywhere)
{
	static const char *const backends[] = {"scalar", "avx2", "avx512", "neon"};
	static const char *const second[] = {"bits=4 correction=ls", "bits=1 correction=qjl:rht scale=f16"};
	struct tq_index_search_options o = again(50);
	float *x = rows(), want[QUERIES * K], scores[QUERIES * K];
	int64_t first[QUERIES * K], ids[QUERIES * K];
	struct tq_context *ctx;
	struct tq_index *ix;
	uint32_t threads;
	size_t b, tried = 0;

	for (b = 0; b < 4; b++)
		for (threads = 1; threads < 4; threads += 2) {
			ctx = context(backends[b], threads);
			ix = refined(ctx, "preset=search bits=1", second[_i], TQ_METRIC_L2, _i ? 7 : 0);
			if (ix) {
				OK(tq_index_train(ix, x, DIM, ROWS));
				OK(tq_index_add(ix, x, DIM, ROWS, NULL));
				OK(tq_index_search(ix, x + ROWS * DIM, DIM, QUERIES, K, &o, ids, scores));
				if (!tried++) {
					memcpy(first, ids, sizeof(ids));
					memcpy(want, scores, sizeof(scores));
				}
				ck_assert_msg(!memcmp(first, ids, sizeof(ids)) && !memcmp(want, scores, sizeof(scores)),
					      "%s with %u threads is not as scalar", backends[b], threads);
				tq_index_destroy(ix);
			}
			tq_context_destroy(ctx);
		}
	ck_assert_uint_ge(tried, 2);
	free(x);
}
END_TEST

static void check_same(const struct tq_index *a, const struct tq_index *b, const float *q)
{
	struct tq_index_search_options o = again(60);
	int64_t ids[2][QUERIES * K];
	float scores[2][QUERIES * K];

	OK(tq_index_search(a, q, DIM, QUERIES, K, &o, ids[0], scores[0]));
	OK(tq_index_search(b, q, DIM, QUERIES, K, &o, ids[1], scores[1]));
	ck_assert_mem_eq(ids[0], ids[1], sizeof(ids[0]));
	ck_assert_mem_eq(scores[0], scores[1], sizeof(scores[0]));
}

/* Saved, mapped, changed on a log, merged: the same as in memory. */
START_TEST(second_codes_go_where_rows_go)
{
	uint32_t nlist = _i & 1 ? 5 : 0, flags = _i & 2 ? TQ_INDEX_MAP : 0;
	struct tq_context *ctx = context(NULL, 1);
	float *x = rows(), *q = x + ROWS * DIM;
	struct tq_index *ix = filled(ctx, TQ_METRIC_COS, nlist, x), *opened, *reader, *merged;
	int64_t gone[3] = {5, 6, 1400}, moved[2] = {8, 9};
	char path[64], log_path[72];
	struct stat st;

	snprintf(path, sizeof(path), "refine-%d-%d.tq", (int)getpid(), _i);
	snprintf(log_path, sizeof(log_path), "%s.log", path);
	OK(tq_index_remove(ix, gone, 2));
	OK(tq_index_save(ix, path));
	OK(tq_index_open(ctx, path, flags | TQ_INDEX_LOG, NULL, &opened));
	OK(tq_index_verify(opened));
	check_same(ix, opened, q);
	for (int i = 0; i < 2; i++) {
		struct tq_index *t = i ? opened : ix;

		OK(tq_index_add(t, q, DIM, 10, NULL));
		OK(tq_index_update(t, q + 10 * DIM, DIM, 2, moved));
		OK(tq_index_remove(t, gone + 2, 1));
	}
	check_same(ix, opened, q);
	OK(tq_index_open(ctx, path, flags, NULL, &reader));
	check_same(ix, reader, q);
	OK(tq_index_create_like(reader, &merged));
	OK(tq_index_merge(merged, reader));
	check_same(ix, merged, q);
	OK(tq_index_save(merged, path));
	ck_assert_int_eq(stat(path, &st), 0);
	unlink(path);
	unlink(log_path);
	tq_index_destroy(merged);
	tq_index_destroy(reader);
	tq_index_destroy(opened);
	/* without them, or with others, it is another index */
	opened = index_of(ctx, "preset=search bits=2", DIM, TQ_METRIC_COS, nlist);
	ck_assert_int_eq(tq_index_merge(opened, ix), TQ_ERR_UNSUPPORTED);
	tq_index_destroy(opened);
	opened = refined(ctx, "preset=search bits=2", "bits=3 correction=ls", TQ_METRIC_COS, nlist);
	ck_assert_int_eq(tq_index_merge(opened, ix), TQ_ERR_UNSUPPORTED);
	tq_index_destroy(opened);
	free(x);
	tq_index_destroy(ix);
	tq_context_destroy(ctx);
}
END_TEST

START_TEST(what_cannot_be_is_refused)
{
	struct tq_context *ctx = context(NULL, 1);
	struct tq_index_options o = {.struct_size = sizeof(o)};
	struct tq_index_search_options so = again(50);
	struct tq_index *ix;
	struct tq_spec spec;
	float q[DIM] = {1}, score;
	int64_t id;

	tq_spec_init(&spec);
	spec.center = TQ_CENTER_BOTH;
	o.refine = &spec;
	ck_assert_int_eq(tq_index_create(ctx, &spec, DIM, &o, &ix), TQ_ERR_SPEC);
	ck_assert_ptr_nonnull(strstr(tq_error_text(), "refine"));
	ix = index_of(ctx, "preset=search", DIM, TQ_METRIC_IP, 0);
	ck_assert_ptr_null(tq_index_refiner(ix));
	ck_assert_int_eq(tq_index_search(ix, q, DIM, 1, 1, &so, &id, &score), TQ_ERR_ARG);
	ck_assert_ptr_nonnull(strstr(tq_error_text(), "second codes"));
	tq_index_destroy(ix);
	/* an empty index has nothing to look at again */
	ix = refined(ctx, "preset=search", "bits=2", TQ_METRIC_IP, 0);
	OK(tq_index_search(ix, q, DIM, 1, 1, &so, &id, &score));
	ck_assert_int_eq(id, TQ_NO_ID);
	tq_index_destroy(ix);
	tq_context_destroy(ctx);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("index_refine");
	TCase *tc = tcase_create("second codes");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, second_codes_put_the_best_right, 0, 6);
	tcase_add_loop_test(tc, second_codes_reconstruct, 0, 2);
	tcase_add_loop_test(tc, second_codes_are_the_same_everywhere, 0, 2);
	tcase_add_loop_test(tc, second_codes_go_where_rows_go, 0, 4);
	tcase_add_test(tc, what_cannot_be_is_refused);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
