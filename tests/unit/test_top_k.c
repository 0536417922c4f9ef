/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Top-k is what sorting all scores of tq_score() gives, on every backend of this machine: any k,
 * ties, filters, ids, lists of rows, parts one after the other, NaN, any number of threads.
 */

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "heap.h"
#include "tq/tq.h"
#include "../scale.h"

#define ROWS_MAX 20000
#define QUERIES_MAX 70

static const char *const backends[] = {"scalar", "avx2", "avx512", "neon"};
static uint64_t rng_state = 1;

static uint32_t rng(uint32_t below)
{
	rng_state = rng_state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)((rng_state >> 32) * below >> 32);
}

static void *room(size_t size)
{
	void *p = aligned_alloc(64, (size + 127) / 64 * 64);

	ck_assert_ptr_nonnull(p);
	return memset(p, 0x5a, size);
}

/* ---- one collection ---- */

struct world {
	struct tq_context *ctx;
	struct tq_quantizer *q;
	uint32_t dim;
	size_t n, nq;
	uint8_t *codes;
	void *prepared;
	float *scores; /* nq x n */
};

/* Small whole numbers, and nine of ten rows repeated, so that there are ties. */
static void draw(float *x, size_t n, uint32_t dim)
{
	size_t i, j, copy;

	for (i = 0; i < n; i++) {
		copy = i % 10 && i > 300 ? rng((uint32_t)i) : i;
		for (j = 0; j < dim; j++)
			x[i * dim + j] =
				copy < i ? x[copy * dim + j] : (float)rng(9) - 4.0f + (j == 0);
	}
}

static bool world_open(struct world *w, const char *backend, uint32_t threads, const char *text,
		       uint32_t dim, size_t n, size_t nq)
{
	struct tq_options o = {.struct_size = sizeof(o), .driver = backend, .threads = threads};
	float *x = room((n + nq) * dim * sizeof(*x));
	struct tq_spec spec;
	int status;

	memset(w, 0, sizeof(*w));
	ck_assert_int_eq(tq_context_create(&o, &w->ctx), TQ_OK);
	tq_spec_init(&spec);
	ck_assert_int_eq(tq_spec_parse(&spec, text), TQ_OK);
	status = tq_quantizer_create(w->ctx, &spec, dim, NULL, &w->q);
	if (status == TQ_ERR_NO_DRIVER) {
		tq_context_destroy(w->ctx);
		free(x);
		return false;
	}
	ck_assert_msg(status == TQ_OK, "%s", tq_error_text());
	w->dim = dim;
	w->n = n;
	w->nq = nq;
	w->codes = room(n * tq_code_size(w->q));
	w->prepared = room(nq * tq_query_size(w->q));
	w->scores = room(n * nq * sizeof(float));
	draw(x, n + nq, dim);
	ck_assert_int_eq(tq_encode(w->q, x, dim, n, w->codes), TQ_OK);
	ck_assert_int_eq(tq_query_prepare(w->q, x + n * dim, dim, nq, w->prepared), TQ_OK);
	ck_assert_int_eq(tq_score(w->q, w->prepared, nq, w->codes, n, w->scores, n), TQ_OK);
	free(x);
	return true;
}

static void world_close(struct world *w)
{
	free(w->codes);
	free(w->prepared);
	free(w->scores);
	tq_quantizer_destroy(w->q);
	tq_context_destroy(w->ctx);
}

/* ---- the definition ---- */

struct result {
	float score;
	int64_t id;
};

static int better(const void *a, const void *b)
{
	const struct result *x = a, *y = b;

	if (x->score != y->score)
		return x->score > y->score ? -1 : 1;
	return (x->id > y->id) - (x->id < y->id);
}

/* All of one query's scores, sorted; returns how many there are. */
static size_t sorted(const struct world *w, size_t query, const struct tq_top_k_options *o,
		     size_t n, struct result *all)
{
	size_t i, row, count = 0;
	float score;
	int64_t id;

	for (i = 0; i < n; i++) {
		row = o && o->rows ? o->rows[i] : i;
		score = w->scores[query * w->n + row];
		id = o && o->ids ? o->ids[row] : (o ? o->first_id : 0) + (int64_t)row;
		if (id < 0 || score != score)
			continue;
		if (o && o->filter && !(o->filter[row / 64] >> row % 64 & 1))
			continue;
		all[count++] = (struct result){score, id};
	}
	qsort(all, count, sizeof(*all), better);
	return count;
}

static void compare(const struct world *w, size_t nq, size_t n, size_t k,
		    const struct tq_top_k_options *o, const int64_t *ids, const float *scores,
		    const char *what)
{
	struct result *all = malloc((n + 1) * sizeof(*all)), want;
	size_t i, j, count;

	for (i = 0; i < nq; i++) {
		count = sorted(w, i, o, n, all);
		for (j = 0; j < k; j++) {
			want = j < count ? all[j] : (struct result){-INFINITY, TQ_NO_ID};
			ck_assert_msg(
				ids[i * k + j] == want.id &&
					!memcmp(&scores[i * k + j], &want.score, sizeof(float)),
				"%s: n=%zu nq=%zu k=%zu: result %zu of query %zu is %lld (%a), "
				"not %lld (%a)",
				what, n, nq, k, j, i, (long long)ids[i * k + j],
				(double)scores[i * k + j], (long long)want.id, (double)want.score);
		}
	}
	free(all);
}

static void check_one(const struct world *w, size_t nq, size_t n, size_t k,
		      const struct tq_top_k_options *o, const char *what)
{
	int64_t *ids = room(nq * k * sizeof(*ids));
	float *scores = room(nq * k * sizeof(*scores));

	ck_assert_msg(tq_top_k(w->q, w->prepared, nq, w->codes, n, k, o, ids, scores) == TQ_OK,
		      "%s", tq_error_text());
	compare(w, nq, n, k, o, ids, scores, what);
	free(ids);
	free(scores);
}

/* ---- every backend ---- */

static const char *const specs[] = {
	"bits=4 correction=ls",
	"bits=1 correction=none", /* many equal scores */
	"bits=2 correction=qjl:rht",
	"bits=8 correction=norm query=s16",
};

START_TEST(top_k_is_the_head_of_all_scores_sorted)
{
	static const size_t ns[] = {0, 1, 2, 63, 64, 65, 500, 4099};
	static const size_t nqs[] = {1, 2, 17, 33, 70};
	static const size_t ks[] = {1, 2, 10, 129, 4096};
	size_t step = test_scale() < 1 ? 2 : 1, b, i, j, l;
	struct world w;

	for (b = 0; b < sizeof(backends) / sizeof(backends[0]); b++) {
		if (!world_open(&w, backends[b], 1, specs[_i], _i % 2 ? 128 : 40, 4099, 70))
			continue;
		for (i = step - 1; i < sizeof(ns) / sizeof(ns[0]); i += step)
			for (j = 0; j < sizeof(nqs) / sizeof(nqs[0]); j += step)
				for (l = 0; l < sizeof(ks) / sizeof(ks[0]); l += step)
					if (ks[l] <= 129 || nqs[j] <= 2)
						check_one(&w, nqs[j], ns[i], ks[l], NULL,
							  backends[b]);
		world_close(&w);
	}
}
END_TEST

/* The comparison has a form for each width of registers. */
START_TEST(every_width_of_the_cpu_selects_the_same)
{
	static const char *const levels[] = {"baseline", "x86-64-v3", "x86-64-v4"};
	struct world w;

	setenv("TQ_CPU", levels[_i], 1);
	ck_assert(world_open(&w, "scalar", 1, specs[1], 24, 1300, 3));
	check_one(&w, 3, 1300, 1, NULL, levels[_i]);
	check_one(&w, 3, 1283, 10, NULL, levels[_i]);
	check_one(&w, 3, 1300, 300, NULL, levels[_i]);
	world_close(&w);
	unsetenv("TQ_CPU");
}
END_TEST

static uint64_t filter[(ROWS_MAX + 63) / 64];
static int64_t ids[ROWS_MAX];
static uint32_t rows[ROWS_MAX];

/* density 0: empty, 1: a few rows, 2: half, with empty stretches */
static void fill_filter(int density)
{
	size_t i;

	memset(filter, 0, sizeof(filter));
	for (i = 0; i < ROWS_MAX && density; i++)
		if (density == 1 ? rng(500) == 0 : i / 5000 != 1 && rng(2))
			filter[i / 64] |= 1ull << i % 64;
}

START_TEST(ids_filters_and_lists_of_rows)
{
	struct tq_top_k_options o = {.struct_size = sizeof(o)};
	uint32_t threads = _i ? 3 : 1;
	struct world w;
	size_t i, b;
	int f;

	for (i = 0; i < ROWS_MAX; i++) {
		ids[i] = i % 11 == 4 ? -1 : (int64_t)((i * 7919 + 13) % ROWS_MAX) << 33;
		rows[i] = rng(ROWS_MAX);
	}
	for (b = 0; b < sizeof(backends) / sizeof(backends[0]); b++) {
		if (!world_open(&w, backends[b], threads, specs[0], 100, ROWS_MAX, 3))
			continue;
		o = (struct tq_top_k_options){.struct_size = sizeof(o), .first_id = 1ll << 40};
		check_one(&w, 3, ROWS_MAX, 20, &o, "first_id");
		o.first_id = INT64_MAX - UINT32_MAX;
		check_one(&w, 3, ROWS_MAX, 20, &o, "first_id");
		o.ids = ids;
		check_one(&w, 3, ROWS_MAX, 100, &o, "ids");
		for (f = 0; f < 3; f++) {
			fill_filter(f);
			o.filter = filter;
			o.ids = NULL;
			o.first_id = 5;
			check_one(&w, 2, ROWS_MAX, 50, &o, "filter");
			check_one(&w, 2, ROWS_MAX - 17, 50, &o, "filter");
			o.ids = ids;
			check_one(&w, 2, ROWS_MAX, 50, &o, "filter and ids");
			o.rows = rows;
			check_one(&w, 2, ROWS_MAX, 50, &o, "filter, ids and rows");
			o.rows = NULL;
		}
		o = (struct tq_top_k_options){.struct_size = sizeof(o), .rows = rows};
		check_one(&w, 3, ROWS_MAX, 50, &o, "rows");
		check_one(&w, 1, 30, 50, &o, "rows");
		world_close(&w);
	}
}
END_TEST

/* Parts of a collection one after the other, in any order, are the collection. */
START_TEST(parts_add_up)
{
	static const size_t cuts[] = {0, 1, 700, 5003, 12000, ROWS_MAX};
	static const int order[] = {3, 0, 4, 1, 2};
	struct tq_top_k_options o = {.struct_size = sizeof(o)};
	int64_t got[3 * 90];
	float scores[3 * 90];
	struct world w;
	size_t i, c;

	ck_assert(world_open(&w, "scalar", _i ? 4 : 1, specs[1], 64, ROWS_MAX, 3));
	for (i = 0; i < 5; i++) {
		c = cuts[order[i]];
		o.first_id = (int64_t)c;
		o.flags = i ? TQ_TOP_K_ADD : 0;
		ck_assert_int_eq(tq_top_k(w.q, w.prepared, 3, w.codes + c * tq_code_size(w.q),
					  cuts[order[i] + 1] - c, 90, &o, got, scores),
				 TQ_OK);
	}
	compare(&w, 3, ROWS_MAX, 90, NULL, got, scores, "parts");
	/* nothing more changes nothing; what is no result is made one of none */
	got[17] = -5;
	scores[17] = 1e30f;
	o.flags = TQ_TOP_K_ADD;
	ck_assert_int_eq(tq_top_k(w.q, NULL, 3, NULL, 0, 90, &o, got, scores), TQ_OK);
	ck_assert(got[89] == TQ_NO_ID);
	ck_assert(scores[89] == -INFINITY);
	compare(&w, 1, ROWS_MAX, 17, NULL, got, scores, "parts");
	world_close(&w);
}
END_TEST

START_TEST(threads_find_the_same)
{
	static const size_t nqs[] = {1, 3, 40, 70};
	struct world w;
	size_t i;

	ck_assert(world_open(&w, NULL, (uint32_t[]){2, 3, 8}[_i], specs[1], 128, ROWS_MAX, 70));
	for (i = 0; i < sizeof(nqs) / sizeof(nqs[0]); i++) {
		check_one(&w, nqs[i], ROWS_MAX, 10, NULL, "threads");
		check_one(&w, nqs[i], ROWS_MAX, 1000, NULL, "threads");
	}
	world_close(&w);
}
END_TEST

/* Rows of foreign bytes: scales of NaN and infinity. */
START_TEST(what_has_no_score_is_no_result)
{
	static const uint32_t scales[] = {0x7fc00000u, 0x7f800000u, 0xff800000u, 0xffc12345u};
	struct world w;
	size_t i, b;

	for (b = 0; b < sizeof(backends) / sizeof(backends[0]); b++) {
		if (!world_open(&w, backends[b], 1, specs[0], 50, 1000, 5))
			continue;
		for (i = 0; i < 1000; i += 1 + rng(9))
			memcpy(w.codes + i * tq_code_size(w.q), &scales[rng(4)], 4);
		ck_assert_int_eq(tq_score(w.q, w.prepared, 5, w.codes, 1000, w.scores, 1000),
				 TQ_OK);
		check_one(&w, 5, 1000, 10, NULL, backends[b]);
		check_one(&w, 5, 1000, 1000, NULL, backends[b]);
		world_close(&w);
	}
}
END_TEST

/* ---- arguments, memory ---- */

START_TEST(bad_arguments_are_named_and_nothing_is_written)
{
	struct tq_top_k_options o = {.struct_size = sizeof(o)};
	int64_t got[10];
	float scores[10];
	struct world w;

	ck_assert(world_open(&w, "scalar", 1, specs[0], 32, 50, 1));
	memset(got, 7, sizeof(got));
#define REFUSED(word, q, prepared, nq, codes, n, k, o, ids, scores)                                \
	do {                                                                                       \
		ck_assert_int_eq(tq_top_k(q, prepared, nq, codes, n, k, o, ids, scores),           \
				 TQ_ERR_ARG);                                                      \
		ck_assert_msg(strstr(tq_error_text(), word) == tq_error_text(), "%s: %s", word,    \
			      tq_error_text());                                                    \
	} while (0)
	REFUSED("q ", NULL, w.prepared, 1, w.codes, 50, 5, NULL, got, scores);
	REFUSED("prepared", w.q, NULL, 1, w.codes, 50, 5, NULL, got, scores);
	REFUSED("prepared", w.q, (char *)w.prepared + 4, 1, w.codes, 50, 5, NULL, got, scores);
	REFUSED("codes", w.q, w.prepared, 1, NULL, 50, 5, NULL, got, scores);
	REFUSED("codes", w.q, w.prepared, 1, w.codes, SIZE_MAX / 8, 5, NULL, got, scores);
	REFUSED("k", w.q, w.prepared, 1, w.codes, 50, 0, NULL, got, scores);
	REFUSED("k", w.q, w.prepared, 1, w.codes, 50, TQ_TOP_K_MAX + 1, NULL, got, scores);
	REFUSED("ids", w.q, w.prepared, 1, w.codes, 50, 5, NULL, NULL, scores);
	REFUSED("scores", w.q, w.prepared, 1, w.codes, 50, 5, NULL, got, NULL);
	REFUSED("nq", w.q, w.prepared, SIZE_MAX / 8, w.codes, 50, 5, NULL, got, scores);
	o.first_id = -1;
	REFUSED("options->first_id", w.q, w.prepared, 1, w.codes, 50, 5, &o, got, scores);
	o.first_id = INT64_MAX - 10;
	REFUSED("options->first_id", w.q, w.prepared, 1, w.codes, 50, 5, &o, got, scores);
	o.first_id = 0;
	o.flags = 2;
	REFUSED("options->flags", w.q, w.prepared, 1, w.codes, 50, 5, &o, got, scores);
	o.flags = 0;
	o.struct_size = 3;
	REFUSED("options->struct_size", w.q, w.prepared, 1, w.codes, 50, 5, &o, got, scores);
	ck_assert_int_eq(tq_top_k(w.q, NULL, 0, NULL, 50, 5, NULL, NULL, NULL), TQ_OK);
	ck_assert(got[0] == 0x0707070707070707);
	world_close(&w);
}
END_TEST

static int memory_is_out;

static void *meagre_alloc(void *arg, size_t size, size_t align)
{
	return memory_is_out ? NULL : aligned_alloc(align, (size + align - 1) / align * align);
}

static void meagre_free(void *arg, void *ptr)
{
	free(ptr);
}

START_TEST(without_memory_one_thread_does_it)
{
	struct tq_allocator allocator = {meagre_alloc, meagre_free, NULL};
	struct tq_options o = {.struct_size = sizeof(o), .threads = 4, .allocator = &allocator};
	struct world w, meagre;
	struct tq_spec spec;

	ck_assert(world_open(&w, NULL, 1, specs[0], 64, ROWS_MAX, 3));
	meagre = w;
	ck_assert_int_eq(tq_context_create(&o, &meagre.ctx), TQ_OK);
	tq_spec_init(&spec);
	ck_assert_int_eq(tq_spec_parse(&spec, specs[0]), TQ_OK);
	ck_assert_int_eq(tq_quantizer_create(meagre.ctx, &spec, 64, NULL, &meagre.q), TQ_OK);
	memory_is_out = 1;
	check_one(&meagre, 3, ROWS_MAX, 10, NULL, "no memory");
	memory_is_out = 0;
	check_one(&meagre, 3, ROWS_MAX, 10, NULL, "memory");
	tq_quantizer_destroy(meagre.q);
	tq_context_destroy(meagre.ctx);
	world_close(&w);
}
END_TEST

START_TEST(a_heap_keeps_the_best_of_any_order)
{
	struct result all[300];
	int64_t kept[40];
	float scores[40];
	struct tq_heap h = {scores, kept, 0};
	size_t i, j, round;

	for (round = 0; round < 2000; round++) {
		h.k = 1 + rng(40);
		tq_heap_clear(&h);
		for (i = 0; i < 300; i++) {
			all[i] = (struct result){(float)rng(20), rng(1000)};
			tq_heap_offer(&h, all[i].score, all[i].id);
			if (i == 150)
				tq_heap_sort(&h, TQ_NO_ID);
			if (i == 150)
				tq_heap_make(&h);
		}
		tq_heap_sort(&h, TQ_NO_ID);
		qsort(all, 300, sizeof(all[0]), better);
		for (j = 0; j < h.k; j++)
			ck_assert(scores[j] == all[j].score && kept[j] == all[j].id);
	}
}
END_TEST

int main(void)
{
	SRunner *runner;
	TCase *exact = tcase_create("exact"), *edges = tcase_create("edges");
	Suite *suite = suite_create("top_k");
	int failed;

	tcase_set_timeout(exact, 120);
	tcase_add_loop_test(exact, top_k_is_the_head_of_all_scores_sorted, 0, 4);
	tcase_add_loop_test(exact, every_width_of_the_cpu_selects_the_same, 0, 3);
	tcase_add_loop_test(exact, ids_filters_and_lists_of_rows, 0, 2);
	tcase_add_loop_test(exact, parts_add_up, 0, 2);
	tcase_add_loop_test(exact, threads_find_the_same, 0, 3);
	tcase_add_test(exact, what_has_no_score_is_no_result);
	suite_add_tcase(suite, exact);
	tcase_add_test(edges, bad_arguments_are_named_and_nothing_is_written);
	tcase_add_test(edges, without_memory_one_thread_does_it);
	tcase_add_test(edges, a_heap_keeps_the_best_of_any_order);
	suite_add_tcase(suite, edges);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
