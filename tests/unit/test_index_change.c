/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes of an index: what was added is there, what was removed is not, failures leave everything as it
 * was, parts merge to the whole, and searches go on meanwhile.
 */

#include <pthread.h>
#include <stdatomic.h>
#include "index_world.h"
#include "../scale.h"

#define DIM 32
#define ROWS 2000

static struct tq_index_info info_of(const struct tq_index *ix)
{
	struct tq_index_info info = {.struct_size = sizeof(info)};

	OK(tq_index_describe(ix, &info));
	return info;
}

static int has(const struct tq_index *ix, int64_t id)
{
	float row[DIM];

	return tq_index_reconstruct(ix, &id, 1, row, DIM) == TQ_OK;
}

/* The decoded row is the vector, up to the error of 8 bits. */
static void check_row(const struct tq_index *ix, int64_t id, const float *x)
{
	float row[DIM], error = 0, norm = 0;
	int j;

	OK(tq_index_reconstruct(ix, &id, 1, row, DIM));
	for (j = 0; j < DIM; j++) {
		error += (row[j] - x[j]) * (row[j] - x[j]);
		norm += x[j] * x[j];
	}
	ck_assert_msg(error < 1e-3f * norm, "id %lld: error %g of %g", (long long)id, (double)error,
		      (double)norm);
}

/* Against a list kept by hand: random adds, updates, removals, with ids from far apart. */
START_TEST(an_index_holds_what_it_was_told)
{
	enum { IDS = 400, STEPS = 600 };
	struct tq_context *ctx = context(NULL, 1);
	struct tq_index *ix = index_of(ctx, "preset=search bits=8", DIM, TQ_METRIC_L2, _i ? 5 : 0);
	float *x = draw(ROWS, DIM), scores[1];
	int row_of[IDS];
	int64_t ids[8], id, found[1];
	size_t i, step, n, count = 0;

	memset(row_of, -1, sizeof(row_of));
	OK(tq_index_train(ix, x, DIM, ROWS));
	for (step = 0; step < STEPS; step++) {
		size_t first = rng(IDS), from = rng(ROWS - 8);
		bool present = rng(3) > 0;

		for (i = first, n = 0; i < IDS && n < 8; i++)
			if ((row_of[i] >= 0) == present)
				ids[n++] = (int64_t)i * 1000003 * 4096;
		if (!present) {
			OK(tq_index_add(ix, x + from * DIM, DIM, n, ids));
		} else if (rng(2)) {
			OK(tq_index_update(ix, x + from * DIM, DIM, n, ids));
		} else {
			OK(tq_index_remove(ix, ids, n));
			from = ROWS;
		}
		for (i = 0; i < n; i++) {
			count += !present;
			count -= from == ROWS;
			row_of[ids[i] / 1000003 / 4096] = from == ROWS ? -1 : (int)(from + i);
		}
		ck_assert_uint_eq(info_of(ix).count, count);
	}
	for (i = 0; i < IDS; i++) {
		id = (int64_t)i * 1000003 * 4096;
		ck_assert_int_eq(has(ix, id), row_of[i] >= 0);
		if (row_of[i] < 0)
			continue;
		check_row(ix, id, x + row_of[i] * DIM);
		OK(tq_index_search(ix, x + row_of[i] * DIM, DIM, 1, 1, NULL, found, scores));
		ck_assert_int_ge(found[0], 0);
		ck_assert_int_eq(row_of[found[0] / 1000003 / 4096], row_of[i]);
	}
	ck_assert_uint_gt(count, 20);
	free(x);
	tq_index_destroy(ix);
	tq_context_destroy(ctx);
}
END_TEST

START_TEST(ids_are_numbered_from_the_highest)
{
	struct tq_context *ctx = context(NULL, 1);
	struct tq_index *ix = index_of(ctx, "preset=search", DIM, TQ_METRIC_IP, 0);
	float *x = draw(10, DIM);
	int64_t id = 41;

	OK(tq_index_reserve(ix, 100));
	OK(tq_index_add(ix, x, DIM, 2, NULL));
	ck_assert(has(ix, 0) && has(ix, 1) && !has(ix, 2));
	OK(tq_index_add(ix, x, DIM, 1, &id));
	OK(tq_index_remove(ix, &id, 1));
	OK(tq_index_reserve(ix, 100000));
	OK(tq_index_add(ix, x, DIM, 1, NULL));
	ck_assert(!has(ix, 41) && has(ix, 42));
	ck_assert_int_eq(info_of(ix).next_id, 43);
	ck_assert_uint_eq(info_of(ix).removed, 1);
	free(x);
	tq_index_destroy(ix);
	tq_context_destroy(ctx);
}
END_TEST

/* Every row, and as many as there were, after each refusal */
static void check_same(const struct tq_index *ix, const struct tq_index_info *before)
{
	struct tq_index_info now = info_of(ix);

	ck_assert_mem_eq(&now, before, sizeof(now));
}

START_TEST(a_refused_call_changes_nothing_and_names_the_row)
{
	struct tq_context *ctx = context(NULL, _i > 1 ? 3 : 1);
	struct tq_index *ix = index_of(ctx, "preset=search", DIM, TQ_METRIC_L2, _i % 2 ? 4 : 0);
	struct tq_index_search_options o = {.struct_size = sizeof(o)};
	float *x = draw(ROWS, DIM), score, saved = x[1700 * DIM + 3];
	int64_t ids[4] = {5, 6, 7, 8}, found;
	struct tq_index_info before;
	size_t n;

	if (_i % 2)
		ck_assert_int_eq(tq_index_add(ix, x, DIM, 10, NULL), TQ_ERR_ARG);
	if (_i % 2)
		ck_assert_int_eq(tq_index_train(ix, x, DIM, 3), TQ_ERR_ARG);
	OK(tq_index_train(ix, x, DIM, ROWS));
	OK(tq_index_add(ix, x, DIM, 4, ids));
	before = info_of(ix);
	ck_assert_int_eq(tq_index_train(ix, x, DIM, ROWS), TQ_ERR_ARG);
	ids[2] = 6;
	ck_assert_int_eq(tq_index_update(ix, x, DIM, 4, ids), TQ_ERR_ARG);
	ids[0] = 100;
	ids[1] = 101;
	ids[2] = 6;
	ck_assert_int_eq(tq_index_add(ix, x, DIM, 4, ids), TQ_ERR_ARG);
	ck_assert_uint_eq(tq_error_row(), 2);
	ids[2] = 100;
	ids[3] = 102;
	ck_assert_int_eq(tq_index_add(ix, x, DIM, 4, ids), TQ_ERR_ARG);
	ids[2] = -1;
	ck_assert_int_eq(tq_index_add(ix, x, DIM, 4, ids), TQ_ERR_ARG);
	ck_assert_uint_eq(tq_error_row(), 2);
	ids[2] = INT64_MAX;
	ck_assert_int_eq(tq_index_add(ix, x, DIM, 4, ids), TQ_ERR_ARG);
	ids[0] = 5;
	ids[1] = 99;
	ck_assert_int_eq(tq_index_remove(ix, ids, 2), TQ_ERR_RANGE);
	ck_assert_uint_eq(tq_error_row(), 1);
	ck_assert_int_eq(tq_index_update(ix, x, DIM, 2, ids), TQ_ERR_RANGE);
	ck_assert_int_eq(tq_index_update(ix, x, DIM, 2, NULL), TQ_ERR_ARG);
	ck_assert_int_eq(tq_index_add(ix, x, DIM - 1, 2, NULL), TQ_ERR_ARG);
	x[1700 * DIM + 3] = NAN;
	ck_assert_int_eq(tq_index_add(ix, x, DIM, ROWS, NULL), TQ_ERR_NONFINITE);
	ck_assert_uint_eq(tq_error_row(), 1700);
	ck_assert_int_eq(tq_index_search(ix, x, DIM, ROWS, 1, NULL, (int64_t[ROWS]){0}, NULL),
			 TQ_ERR_NONFINITE);
	ck_assert_uint_eq(tq_error_row(), 1700);
	ck_assert_int_eq(tq_index_range(ix, x + 1700 * DIM, 1.0f, NULL, 0, NULL, NULL, &n),
			 TQ_ERR_NONFINITE);
	x[1700 * DIM + 3] = 3e38f;
	ck_assert_int_eq(tq_index_add(ix, x, DIM, ROWS, NULL), TQ_ERR_RANGE);
	ck_assert_uint_eq(tq_error_row(), 1700);
	x[1700 * DIM + 3] = saved;
	ck_assert_int_eq(tq_index_search(ix, x, DIM, 1, 0, NULL, &found, &score), TQ_ERR_ARG);
	ck_assert_int_eq(tq_index_search(ix, x, DIM, 1, TQ_TOP_K_MAX + 1, NULL, &found, &score), TQ_ERR_ARG);
	o.struct_size = 3;
	ck_assert_int_eq(tq_index_search(ix, x, DIM, 1, 1, &o, &found, &score), TQ_ERR_ARG);
	check_same(ix, &before);
	OK(tq_index_add(ix, x, DIM, ROWS, NULL));
	ck_assert_uint_eq(info_of(ix).count, ROWS + 4);
	free(x);
	tq_index_destroy(ix);
	tq_context_destroy(ctx);
}
END_TEST

START_TEST(an_empty_index_finds_nothing)
{
	struct tq_context *ctx = context(NULL, 1);
	struct tq_index *ix = index_of(ctx, "bits=2", DIM, (uint32_t)_i, 0);
	float x[DIM] = {1.0f}, scores[3];
	int64_t ids[3];
	size_t n = 7;

	OK(tq_index_search(ix, x, DIM, 1, 3, NULL, ids, scores));
	ck_assert(ids[0] == TQ_NO_ID && ids[2] == TQ_NO_ID && isinf(scores[0]));
	ck_assert_int_eq(scores[0] > 0, _i == TQ_METRIC_L2);
	OK(tq_index_range(ix, x, 0.0f, NULL, 0, NULL, NULL, &n));
	ck_assert_uint_eq(n, 0);
	OK(tq_index_add(ix, x, DIM, 0, NULL));
	/* a zero row is allowed, and has cosine 0 */
	memset(x, 0, sizeof(x));
	OK(tq_index_add(ix, x, DIM, 1, NULL));
	x[1] = 2.0f;
	OK(tq_index_search(ix, x, DIM, 1, 3, NULL, ids, scores));
	ck_assert(ids[0] == 0 && ids[1] == TQ_NO_ID);
	ck_assert(scores[0] == (_i == TQ_METRIC_L2 ? 4.0f : 0.0f));
	tq_index_destroy(ix);
	tq_context_destroy(ctx);
}
END_TEST

START_TEST(specs_that_mean_nothing_here_are_refused)
{
	struct tq_context *ctx = context(NULL, 1);
	struct tq_index_options o = {.struct_size = sizeof(o), .metric = 3};
	struct tq_index *ix;
	struct tq_spec spec;

	tq_spec_init(&spec);
	ck_assert_int_eq(tq_index_create(ctx, &spec, DIM, &o, &ix), TQ_ERR_ARG);
	ck_assert_ptr_null(ix);
	o.metric = 0;
	o.nlist = TQ_INDEX_MAX_LISTS + 1;
	ck_assert_int_eq(tq_index_create(ctx, &spec, DIM, &o, &ix), TQ_ERR_ARG);
	o.nlist = 0;
	ck_assert_int_eq(tq_index_create(ctx, &spec, 0, &o, &ix), TQ_ERR_ARG);
	spec.center = TQ_CENTER_DATA;
	ck_assert_int_eq(tq_index_create(ctx, &spec, DIM, &o, &ix), TQ_ERR_SPEC);
	ck_assert_str_eq(tq_metric_name(TQ_METRIC_COS), "cos");
	ck_assert_str_eq(tq_metric_name(9), "unknown");
	tq_context_destroy(ctx);
}
END_TEST

START_TEST(parts_merge_to_the_whole)
{
	struct tq_context *ctx = context(NULL, 1);
	struct tq_index *whole = index_of(ctx, "preset=search bits=2", DIM, TQ_METRIC_COS, _i ? 6 : 0);
	struct tq_index *part[3], *other;
	float *x = draw(ROWS, DIM), want[10 * 20], scores[10 * 20];
	int64_t want_ids[10 * 20], ids[10 * 20], id, numbers[ROWS];
	struct tq_index_info before;
	size_t i;

	for (i = 0; i < ROWS; i++)
		numbers[i] = (int64_t)(i * 7 % ROWS);
	OK(tq_index_train(whole, x, DIM, ROWS));
	for (i = 0; i < 3; i++)
		OK(tq_index_create_like(whole, &part[i]));
	OK(tq_index_add(whole, x, DIM, ROWS, numbers));
	OK(tq_index_add(part[0], x, DIM, 900, numbers));
	OK(tq_index_add(part[1], x + 900 * DIM, DIM, ROWS - 900, numbers + 900));
	id = 12345;
	OK(tq_index_add(part[2], x, DIM, 1, &id));
	OK(tq_index_add(part[2], x, DIM, 1, numbers));
	OK(tq_index_remove(part[2], &id, 1));
	OK(tq_index_search(whole, x, DIM, 20, 10, NULL, want_ids, want));
	OK(tq_index_merge(part[0], part[1]));
	OK(tq_index_search(part[0], x, DIM, 20, 10, NULL, ids, scores));
	ck_assert_mem_eq(ids, want_ids, sizeof(ids));
	ck_assert_mem_eq(scores, want, sizeof(want));
	before = info_of(part[0]);
	ck_assert_uint_eq(before.count, ROWS);
	ck_assert_int_eq(tq_index_merge(part[0], part[2]), TQ_ERR_ARG);
	ck_assert_int_eq(tq_index_merge(part[0], part[0]), TQ_ERR_ARG);
	other = index_of(ctx, "preset=search bits=2 seed=2", DIM, TQ_METRIC_COS, _i ? 6 : 0);
	OK(tq_index_train(other, x, DIM, ROWS));
	ck_assert_int_eq(tq_index_merge(part[0], other), TQ_ERR_UNSUPPORTED);
	check_same(part[0], &before);
	for (i = 0; i < 3; i++)
		tq_index_destroy(part[i]);
	tq_index_destroy(other);
	tq_index_destroy(whole);
	tq_context_destroy(ctx);
	free(x);
}
END_TEST

/* ---- readers while a writer writes ---- */

struct stage {
	struct tq_index *ix;
	const float *x;
	atomic_int done;
	atomic_size_t searches;
	int steps;
};

static int even(void *arg, int64_t id)
{
	return id % 2 == 0;
}

/*
 * Rows 0..499 are always there; others come and go in pairs 2i, 2i + 1 of the same vector by one call: who
 * finds one finds the other, with the same score.
 */
static void *search_on(void *arg)
{
	struct stage *s = arg;
	struct tq_index_search_options o = {.struct_size = sizeof(o), .allow = even, .nprobe = 8};
	int64_t ids[4096], found[5];
	float scores[4096], score[5], row[DIM];
	size_t q = 0, i;

	while (!atomic_load(&s->done)) {
		q = (q + 17) % 500;
		if (tq_index_search(s->ix, s->x + q * DIM, DIM, 1, 5, &o, found, score) || found[0] % 2)
			return "a filtered search failed";
		o.allow = NULL;
		if (tq_index_search(s->ix, s->x + q * DIM, DIM, 1, 4096, &o, ids, scores))
			return "a search failed";
		o.allow = even;
		for (i = 0; i < 4096 && ids[i] >= 0; i++)
			if (ids[i] >= 500 && ids[i] % 2 == 0 &&
			    (ids[i + 1] != ids[i] + 1 || scores[i + 1] != scores[i]))
				return "half of an add was seen";
		if (i < 500)
			return "rows are missing";
		found[0] = (int64_t)q;
		if (tq_index_reconstruct(s->ix, found, 1, row, DIM))
			return "a row cannot be read";
		atomic_fetch_add(&s->searches, 1);
	}
	return NULL;
}

static void *write_on(void *arg)
{
	struct stage *s = arg;
	float pair[2 * DIM];
	int64_t ids[2];
	int step;

	for (step = 0; step < s->steps || atomic_load(&s->searches) < 20; step++) {
		ids[0] = 500 + step % 200 * 2;
		ids[1] = ids[0] + 1;
		memcpy(pair, s->x + (500 + step % 1000) * DIM, sizeof(pair) / 2);
		memcpy(pair + DIM, pair, sizeof(pair) / 2);
		if (step < 200 ? tq_index_add(s->ix, pair, DIM, 2, ids) :
		    step % 3   ? tq_index_update(s->ix, pair, DIM, 2, ids) :
				 tq_index_remove(s->ix, ids, 2) || tq_index_add(s->ix, pair, DIM, 2, ids)) {
			atomic_store(&s->done, 1);
			return "a change failed";
		}
	}
	atomic_store(&s->done, 1);
	return NULL;
}

START_TEST(searches_go_on_while_the_index_changes)
{
	struct tq_context *ctx = context(NULL, 2);
	struct stage s = {.ix = index_of(ctx, "preset=search bits=4", DIM, TQ_METRIC_L2, _i ? 8 : 0)};
	pthread_t readers[3], writer;
	float *x = draw(ROWS, DIM);
	void *failure;
	int i;

	s.x = x;
	s.steps = test_scale() < 1 ? 300 : 1500;
	OK(tq_index_train(s.ix, x, DIM, ROWS));
	OK(tq_index_add(s.ix, x, DIM, 500, NULL));
	for (i = 0; i < 3; i++)
		ck_assert_int_eq(pthread_create(&readers[i], NULL, search_on, &s), 0);
	ck_assert_int_eq(pthread_create(&writer, NULL, write_on, &s), 0);
	pthread_join(writer, &failure);
	ck_assert_msg(!failure, "%s", (const char *)failure);
	for (i = 0; i < 3; i++) {
		pthread_join(readers[i], &failure);
		ck_assert_msg(!failure, "%s", (const char *)failure);
	}
	free(x);
	tq_index_destroy(s.ix);
	tq_context_destroy(ctx);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("index_change");
	TCase *tc = tcase_create("changes");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, an_index_holds_what_it_was_told, 0, 2);
	tcase_add_test(tc, ids_are_numbered_from_the_highest);
	tcase_add_loop_test(tc, a_refused_call_changes_nothing_and_names_the_row, 0, 4);
	tcase_add_loop_test(tc, an_empty_index_finds_nothing, 0, 3);
	tcase_add_test(tc, specs_that_mean_nothing_here_are_refused);
	tcase_add_loop_test(tc, parts_merge_to_the_whole, 0, 2);
	tcase_add_loop_test(tc, searches_go_on_while_the_index_changes, 0, 2);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
