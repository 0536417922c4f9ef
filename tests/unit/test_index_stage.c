/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Searches in two stages: what they find is what the full scan finds, as often as was asked for; the same on
 * every backend that has them and for any number of threads; with exactness 1 always the same.
 */

#include "../scale.h"
#include "index_world.h"

#define DIM 832
#define ROWS 4500
#define QUERIES 40
#define K 10

static const struct {
	const char *spec;
	uint32_t metric, nlist;
} cases[] = {
	{"preset=search bits=4", TQ_METRIC_COS, 0},
	{"preset=search bits=2 scale=bf16", TQ_METRIC_L2, 0},
	{"preset=search bits=3", TQ_METRIC_IP, 0},
	{"bits=6 center=off", TQ_METRIC_IP, 0},
	{"bits=6 correction=unbiased", TQ_METRIC_COS, 20},
	{"bits=2 correction=unbiased scale=bf16", TQ_METRIC_L2, 20},
};

/* Partitions that a search looks at, if there are any */
#define NPROBE 10

/* QUERIES searches one by one, which may be staged; how many results are other than in @want */
static size_t search(const struct tq_index *ix, const float *x, float exactness, size_t k,
		     const struct tq_index_search_options *more, int64_t *ids, float *scores,
		     const int64_t *want)
{
	struct tq_index_search_options o = {.struct_size = sizeof(o)};
	size_t i, differ = 0;

	if (more)
		o = *more;
	o.exactness = exactness;
	o.nprobe = NPROBE;
	for (i = 0; i < QUERIES; i++) {
		OK(tq_index_search(ix, x + i * DIM, DIM, 1, k, &o, ids + i * k, scores + i * k));
		differ += want && memcmp(ids + i * k, want + i * k, k * sizeof(*ids)) != 0;
	}
	return differ;
}

static struct tq_index *made(struct tq_context *ctx, const char *text, uint32_t metric, uint32_t nlist, uint32_t flags)
{
	struct tq_index_options o = {.struct_size = sizeof(o), .metric = metric, .nlist = nlist, .flags = flags};
	struct tq_index *ix;
	struct tq_spec spec;

	tq_spec_init(&spec);
	OK(tq_spec_parse(&spec, text));
	return tq_index_create(ctx, &spec, DIM, &o, &ix) == TQ_OK ? ix : NULL;
}

/* The thread sanitizer takes long: there what several threads do, of every other case */
static bool is_left_out(int number, uint32_t threads)
{
	return test_scale() < 0.1 && (number % 2 || threads == 1);
}

/* In two calls, so in two segments, of which one is staged; some rows are replaced and some removed. */
static struct tq_index *filled(struct tq_context *ctx, int number, uint32_t flags, const float *x)
{
	struct tq_index *ix = made(ctx, cases[number].spec, cases[number].metric, cases[number].nlist, flags);
	int64_t gone[] = {5, 77, 4300}, again[] = {9, 4499};

	if (!ix)
		return NULL;
	OK(tq_index_train(ix, x, DIM, cases[number].nlist ? 300 : ROWS));
	OK(tq_index_add(ix, x, DIM, 4400, NULL));
	OK(tq_index_add(ix, x + 4400 * DIM, DIM, ROWS - 4400, NULL));
	OK(tq_index_update(ix, x, DIM, 2, again));
	OK(tq_index_remove(ix, gone, 3));
	return ix;
}

START_TEST(two_stages_find_what_the_full_scan_finds)
{
	static const char *const backends[] = {"avx512", "avx2"};
	static const uint32_t threads[] = {1, 3};
	static int64_t want[QUERIES * K], first[3][QUERIES * K], ids[QUERIES * K];
	static float scores[QUERIES * K], want_scores[QUERIES * K], staged[QUERIES * K];
	static const float exactness[] = {0.999f, 0.99f, 0.0001f};
	float *x = draw(ROWS + QUERIES, DIM);
	struct tq_index *full, *ix;
	struct tq_context *ctx;
	size_t b, t, e, differ, tried = 0, apart = 0;

	for (b = 0; b < 2; b++)
		for (t = 0; t < 2; t++) {
			if (is_left_out(_i, threads[t]))
				continue;
			ctx = context(backends[b], threads[t]);
			full = filled(ctx, _i, 0, x);
			if (!full) {
				tq_context_destroy(ctx);
				continue;
			}
			ix = filled(ctx, _i, TQ_INDEX_STAGED, x);
			search(full, x + ROWS * DIM, 0.0f, K, NULL, want, want_scores, NULL);
			ck_assert_uint_eq(search(ix, x + ROWS * DIM, 1.0f, K, NULL, ids, scores, want), 0);
			ck_assert_mem_eq(scores, want_scores, sizeof(scores));
			for (e = 0; e < 3; e++) {
				differ = search(ix, x + ROWS * DIM, exactness[e], K, NULL, ids, staged, want);
				ck_assert_msg(e == 2 || differ <= 1 + e, "case %d, %s: %zu of %d queries differ at "
					      "exactness %g", _i, backends[b], differ, QUERIES, (double)exactness[e]);
				if (!differ)
					ck_assert_mem_eq(staged, want_scores, sizeof(staged));
				if (!tried)
					memcpy(first[e], ids, sizeof(ids));
				else
					ck_assert_msg(!memcmp(first[e], ids, sizeof(ids)), "case %d: exactness %g on "
						      "%s with %u threads is not as first", _i, (double)exactness[e],
						      backends[b], threads[t]);
				apart += e == 2 ? differ : 0;
			}
			tried++;
			tq_index_destroy(ix);
			tq_index_destroy(full);
			tq_context_destroy(ctx);
		}
	/* where there are two stages, next to no exactness shows */
	ck_assert_msg(!tried || apart > 0, "case %d: bounds rule out nothing", _i);
	free(x);
}
END_TEST

/* A query's results are not those of its neighbours in a batch; batches are staged where the driver's products are slow. */
START_TEST(batches_find_what_single_queries_find)
{
	static int64_t want[QUERIES * K], ids[QUERIES * K];
	static float scores[QUERIES * K], want_scores[QUERIES * K];
	static const float exactness[] = {0.999f, 0.0001f};
	static const int number[] = {0, 1, 4, 5};
	struct tq_index_search_options o = {.struct_size = sizeof(o), .nprobe = NPROBE};
	float *x = draw(ROWS + QUERIES, DIM), *q = x + ROWS * DIM;
	uint32_t threads = 1 + 2 * ((uint32_t)_i % 2);
	struct tq_context *ctx = context("score-avx2", threads);
	struct tq_index *ix = is_left_out(0, threads) ? NULL : filled(ctx, number[_i], TQ_INDEX_STAGED, x);
	int e;

	for (e = 0; ix && e < 2; e++) {
		search(ix, q, exactness[e], K, NULL, want, want_scores, NULL);
		o.exactness = exactness[e];
		OK(tq_index_search(ix, q, DIM, QUERIES, K, &o, ids, scores));
		ck_assert_mem_eq(ids, want, sizeof(ids));
		ck_assert_mem_eq(scores, want_scores, sizeof(scores));
	}
	tq_index_destroy(ix);
	tq_context_destroy(ctx);
	free(x);
}
END_TEST

/* A batch that was scanned in full after all is followed by plain scans, unless less is asked for, and not for ever. */
START_TEST(stages_in_vain_are_left)
{
	static int64_t want[QUERIES * K], ids[QUERIES * K];
	struct tq_index_search_options o = {.struct_size = sizeof(o)};
	float *x = malloc((ROWS + QUERIES) * DIM * sizeof(*x)), *q = x + ROWS * DIM;
	struct tq_context *ctx = context("score-avx2", 1);
	struct tq_index *ix = made(ctx, cases[2].spec, cases[2].metric, 0, TQ_INDEX_STAGED);
	int i, plain = 0;

	ck_assert_ptr_nonnull(x);
	for (i = 0; i < (ROWS + QUERIES) * DIM; i++)
		x[i] = gauss();
	if (ix) {
		OK(tq_index_train(ix, x, DIM, ROWS));
		OK(tq_index_add(ix, x, DIM, ROWS, NULL));
		OK(tq_index_search(ix, q, DIM, QUERIES, K, &o, want, NULL));
	}
	/* with so little exactness stages miss some that plain scans find */
	for (i = 0; ix && i < 40; i++) {
		o.exactness = i == 3 ? 0.1f : 0.2f;
		OK(tq_index_search(ix, q, DIM, QUERIES, K, &o, ids, NULL));
		plain += !memcmp(ids, want, sizeof(ids));
		if (i < 30)
			ck_assert_int_eq(plain, i - (i >= 3));
	}
	ck_assert_msg(!ix || plain < 39, "%d calls of 40 were plain scans", plain);
	tq_index_destroy(ix);
	tq_context_destroy(ctx);
	free(x);
}
END_TEST

/* Codes whose first field is no sign have one stage, whatever is asked for. */
START_TEST(codes_without_signs_are_scanned_in_full)
{
	static const char *const spec[] = {"preset=search code=polar:4", "preset=search bits=3.5 effort=0"};
	enum { FEW = 4 };
	struct tq_index_search_options o = {.struct_size = sizeof(o), .exactness = 0.0001f};
	int64_t want[FEW * K], ids[FEW * K];
	float scores[FEW * K], want_scores[FEW * K], *x = draw(ROWS + FEW, DIM);
	struct tq_context *ctx = context(NULL, 1);
	struct tq_index *ix[2];
	int i;

	for (i = 0; i < 2; i++) {
		ix[i] = made(ctx, spec[_i], TQ_METRIC_COS, 0, i ? TQ_INDEX_STAGED : 0);
		ck_assert_ptr_nonnull(ix[i]);
		OK(tq_index_train(ix[i], x, DIM, 500));
		OK(tq_index_add(ix[i], x, DIM, ROWS, NULL));
	}
	for (i = 0; i < FEW; i++) {
		OK(tq_index_search(ix[0], x + (ROWS + i) * DIM, DIM, 1, K, NULL, want + i * K, want_scores + i * K));
		OK(tq_index_search(ix[1], x + (ROWS + i) * DIM, DIM, 1, K, &o, ids + i * K, scores + i * K));
	}
	ck_assert_mem_eq(ids, want, sizeof(ids));
	ck_assert_mem_eq(scores, want_scores, sizeof(scores));
	tq_index_destroy(ix[0]);
	tq_index_destroy(ix[1]);
	tq_context_destroy(ctx);
	free(x);
}
END_TEST

static int is_even(void *arg, int64_t id)
{
	return id % 2 == 0;
}

START_TEST(two_stages_keep_to_filters_and_come_from_a_file)
{
	static int64_t want[QUERIES * 300], ids[QUERIES * 300];
	static float scores[QUERIES * 300];
	struct tq_index_search_options even = {.struct_size = sizeof(even), .allow = is_even};
	char dir[] = "stage-XXXXXX", path[64], command[64];
	float *x = draw(ROWS + QUERIES, DIM), *q = x + ROWS * DIM;
	struct tq_context *ctx = context(NULL, 1);
	struct tq_index *full = filled(ctx, _i ? 4 : 0, 0, x), *ix, *merged;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/i.tq", dir);
	OK(tq_index_save(full, path));
	OK(tq_index_open(ctx, path, TQ_INDEX_STAGED, NULL, &ix));
	search(full, q, 0.0f, 300, &even, ids, scores, NULL);
	memcpy(want, ids, sizeof(ids));
	ck_assert_uint_le(search(ix, q, 0.999f, 300, &even, ids, scores, want), 1);
	OK(tq_index_create_like(ix, &merged));
	OK(tq_index_merge(merged, full));
	ck_assert_uint_le(search(merged, q, 0.999f, 300, &even, ids, scores, want), 1);
	tq_index_destroy(merged);
	tq_index_destroy(ix);
	ck_assert_int_eq(tq_index_open(ctx, path, TQ_INDEX_STAGED | TQ_INDEX_MAP, NULL, &ix), TQ_ERR_ARG);
	even.exactness = 1.5f;
	ck_assert_int_eq(tq_index_search(full, q, DIM, 1, 5, &even, ids, scores), TQ_ERR_ARG);
	even.exactness = NAN;
	ck_assert_int_eq(tq_index_search(full, q, DIM, 1, 5, &even, ids, scores), TQ_ERR_ARG);
	snprintf(command, sizeof(command), "rm -r %s", dir);
	ck_assert_int_eq(system(command), 0);
	free(x);
	tq_index_destroy(full);
	tq_context_destroy(ctx);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("index_stage");
	TCase *tc = tcase_create("stages");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tc, 240);
	tcase_add_loop_test(tc, two_stages_find_what_the_full_scan_finds, 0, sizeof(cases) / sizeof(cases[0]));
	tcase_add_loop_test(tc, batches_find_what_single_queries_find, 0, 4);
	tcase_add_test(tc, stages_in_vain_are_left);
	tcase_add_loop_test(tc, codes_without_signs_are_scanned_in_full, 0, 2);
	tcase_add_loop_test(tc, two_stages_keep_to_filters_and_come_from_a_file, 0, 2);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
