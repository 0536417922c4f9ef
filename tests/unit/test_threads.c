/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads: the same bytes, scores and errors for any number of them and with the embedder's own,
 * none that nobody asked for, overlapping calls, fork, and where threads go on machines larger than
 * this one.
 */

#include <check.h>
#include <dirent.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "codec.h"
#include "parallel.h"
#include "pool.h"
#include "topo.h"
#include "tq/tq.h"

#define DIM 96
#define ROWS 3001
#define QUERIES 70
#define LIST 90011
#define LEFT 80

/* ---- hooks ---- */

static atomic_uint hook_calls, hook_tasks;

static void hook_count(size_t n)
{
	atomic_fetch_add(&hook_calls, 1);
	atomic_fetch_add(&hook_tasks, (unsigned)n);
}

/* One thread does all, the last task first. */
static void hook_alone(void *pool, size_t n, tq_task_fn task, void *arg)
{
	hook_count(n);
	while (n--)
		task(arg, n);
}

/* Breaks its promise. */
static void hook_forgets(void *pool, size_t n, tq_task_fn task, void *arg)
{
	hook_count(n);
}

struct hook_job {
	tq_task_fn task;
	void *arg;
	size_t i;
};

static void *hook_thread(void *arg)
{
	struct hook_job *job = arg;

	job->task(job->arg, job->i);
	return NULL;
}

/* A thread per task. */
static void hook_threads(void *pool, size_t n, tq_task_fn task, void *arg)
{
	struct hook_job jobs[16];
	pthread_t threads[16];
	size_t i;

	hook_count(n);
	ck_assert_ptr_eq(pool, &hook_calls);
	ck_assert_uint_le(n, 16);
	for (i = 0; i < n; i++) {
		jobs[i] = (struct hook_job){task, arg, i};
		pthread_create(&threads[i], NULL, hook_thread, &jobs[i]);
	}
	for (i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
}

static const struct way {
	uint32_t threads;
	tq_parallel_for_fn hook;
} ways[] = {
	{1, NULL},	 {2, NULL},	    {3, NULL},	       {8, NULL},
	{4, hook_alone}, {5, hook_threads}, {6, hook_forgets},
};

#define WAYS (sizeof(ways) / sizeof(ways[0]))

static struct tq_context *context_of(const struct way *way)
{
	struct tq_options o = {.struct_size = sizeof(o), .threads = way->threads};
	struct tq_context *ctx;

	o.parallel_for = way->hook;
	o.parallel_arg = &hook_calls;
	ck_assert_msg(tq_context_create(&o, &ctx) == TQ_OK, "%s", tq_error_text());
	return ctx;
}

static struct tq_quantizer *quantizer_of(struct tq_context *ctx, const char *text, uint32_t dim)
{
	struct tq_quantizer *q;
	struct tq_spec spec;

	tq_spec_init(&spec);
	ck_assert_int_eq(tq_spec_parse(&spec, text), TQ_OK);
	ck_assert_msg(tq_quantizer_create(ctx, &spec, dim, NULL, &q) == TQ_OK, "%s",
		      tq_error_text());
	return q;
}

static float *vectors(size_t n, uint32_t dim)
{
	float *x = malloc(n * dim * sizeof(*x));
	uint64_t s = 7;
	size_t i;

	ck_assert_ptr_nonnull(x);
	for (i = 0; i < n * dim; i++) {
		s = s * 6364136223846793005u + 1442695040888963407u;
		x[i] = (float)(int32_t)(s >> 32) * 1e-9f;
	}
	return x;
}

/* ---- the same results ---- */

struct results {
	uint8_t *codes;
	float *decoded, *scores, *list, *pairs;
	void *prepared;
	size_t sizes[6];
};

static void *room(size_t size)
{
	void *p = aligned_alloc(64, (size + 63) / 64 * 64);

	ck_assert_ptr_nonnull(p);
	return memset(p, 0x5a, size);
}

static void results_make(const struct tq_quantizer *q, const float *x, const uint32_t *ids,
			 struct results *r)
{
	const size_t sizes[] = {ROWS * tq_code_size(q),	  ROWS * DIM * 4,
				QUERIES * (ROWS + 3) * 4, LIST * 4,
				LEFT * ROWS * 4,	  QUERIES * tq_query_size(q)};

	memcpy(r->sizes, sizes, sizeof(sizes));
	r->codes = room(sizes[0]);
	r->decoded = room(sizes[1]);
	r->scores = room(sizes[2]);
	r->list = room(sizes[3]);
	r->pairs = room(sizes[4]);
	r->prepared = room(sizes[5]);
	ck_assert_int_eq(tq_encode(q, x, DIM, ROWS, r->codes), TQ_OK);
	ck_assert_int_eq(tq_decode(q, r->codes, ROWS, r->decoded, DIM), TQ_OK);
	ck_assert_int_eq(tq_query_prepare(q, x, DIM, QUERIES, r->prepared), TQ_OK);
	ck_assert_int_eq(tq_score(q, r->prepared, QUERIES, r->codes, ROWS, r->scores, ROWS + 3),
			 TQ_OK);
	ck_assert_int_eq(tq_score_list(q, r->prepared, r->codes, ids, LIST, r->list), TQ_OK);
	ck_assert_int_eq(tq_score_pairs(q, r->codes + 5 * tq_code_size(q), LEFT, r->codes, ROWS,
					r->pairs, ROWS),
			 TQ_OK);
}

static void results_free(struct results *r)
{
	free(r->codes);
	free(r->decoded);
	free(r->scores);
	free(r->list);
	free(r->pairs);
	free(r->prepared);
}

static void results_same(const struct results *a, const struct results *b, const char *text,
			 size_t way)
{
	ck_assert_msg(!memcmp(a->codes, b->codes, a->sizes[0]), "codes: %s, way %zu", text, way);
	ck_assert_msg(!memcmp(a->decoded, b->decoded, a->sizes[1]), "rows: %s, way %zu", text, way);
	ck_assert_msg(!memcmp(a->scores, b->scores, a->sizes[2]), "scores: %s, way %zu", text, way);
	ck_assert_msg(!memcmp(a->list, b->list, a->sizes[3]), "list: %s, way %zu", text, way);
	ck_assert_msg(!memcmp(a->pairs, b->pairs, a->sizes[4]), "pairs: %s, way %zu", text, way);
	ck_assert_msg(!memcmp(a->prepared, b->prepared, a->sizes[5]), "query: %s, way %zu", text,
		      way);
}

/* The thread sanitizer makes each of them minutes: it sees the first alone. */
#ifdef __SANITIZE_THREAD__
#define SPECS 1
#else
#define SPECS 4
#endif

static const char *const specs[] = {
	"bits=4 correction=ls",
	"bits=2 correction=unbiased effort=1 rotation=rht:3 scale=f16",
	"bits=3 correction=qjl:rht",
	"bits=6 correction=norm query=f32 rotation=givens:3",
};

START_TEST(any_number_of_threads_gives_the_same_bytes_and_scores)
{
	const char *text = specs[_i];
	float *x = vectors(ROWS, DIM);
	struct results first, next;
	struct tq_quantizer *q;
	struct tq_context *ctx;
	uint32_t ids[LIST];
	size_t i;

	for (i = 0; i < LIST; i++)
		ids[i] = (uint32_t)(i * 7919 % ROWS);
	for (i = 0; i < WAYS; i++) {
		hook_calls = hook_tasks = 0;
		ctx = context_of(&ways[i]);
		ck_assert_uint_eq(tq_context_threads(ctx), ways[i].threads);
		q = quantizer_of(ctx, text, DIM);
		results_make(q, x, ids, i ? &next : &first);
		if (ways[i].hook) {
			ck_assert_uint_ge(hook_calls, 6);
			ck_assert_uint_gt(hook_tasks, 2 * hook_calls);
		} else if (i) {
			ck_assert_uint_eq(tq_pool_started(ctx->pool), ways[i].threads - 1);
		}
		if (i) {
			results_same(&first, &next, text, i);
			results_free(&next);
		}
		tq_quantizer_destroy(q);
		tq_context_destroy(ctx);
	}
	results_free(&first);
	free(x);
}
END_TEST

/* ---- the same errors ---- */

START_TEST(the_lowest_bad_row_is_named)
{
	struct tq_quantizer *q, *half;
	float *x = vectors(ROWS, DIM), was;
	struct tq_context *ctx;
	uint8_t *codes;
	size_t i, j;

	codes = room(ROWS * (DIM + 8));
	for (i = 0; i < WAYS; i++) {
		ctx = context_of(&ways[i]);
		q = quantizer_of(ctx, "bits=4", DIM);
		half = quantizer_of(ctx, "bits=4 scale=f16", DIM);
		memset(codes, 0x5a, ROWS * (DIM + 8));
		was = x[2100 * DIM];
		x[2100 * DIM] = x[2900 * DIM + 5] = x[2999 * DIM + 1] = NAN;
		ck_assert_int_eq(tq_encode(q, x, DIM, ROWS, codes), TQ_ERR_NONFINITE);
		ck_assert_uint_eq(tq_error_row(), 2100);
		ck_assert_ptr_nonnull(strstr(tq_error_text(), "row 2100"));
		for (j = 0; j < ROWS * (DIM + 8); j++)
			ck_assert_uint_eq(codes[j], 0x5a);
		x[2100 * DIM] = was;
		x[2900 * DIM + 5] = x[2999 * DIM + 1] = 1.0f;
		x[1777 * DIM] = x[2999 * DIM + 1] = 1e9f;
		ck_assert_int_eq(tq_encode(half, x, DIM, ROWS, codes), TQ_ERR_RANGE);
		ck_assert_uint_eq(tq_error_row(), 1777);
		x[1777 * DIM] = x[2999 * DIM + 1] = 1.0f;
		tq_quantizer_destroy(half);
		tq_quantizer_destroy(q);
		tq_context_destroy(ctx);
	}
	free(codes);
	free(x);
}
END_TEST

static atomic_int memory_is_out;

static void *meagre_alloc(void *arg, size_t size, size_t align)
{
	return memory_is_out ? NULL : aligned_alloc(align, (size + align - 1) / align * align);
}

static void meagre_free(void *arg, void *ptr)
{
	free(ptr);
}

/* Rows beyond 4096 dimensions need memory in every thread. */
START_TEST(a_worker_s_failure_is_the_caller_s)
{
	struct tq_allocator allocator = {meagre_alloc, meagre_free, NULL};
	struct tq_options o = {.struct_size = sizeof(o), .threads = 3, .allocator = &allocator};
	struct tq_quantizer_options scalar = {.struct_size = sizeof(scalar), .driver = "scalar"};
	uint32_t dim = 5000;
	float *x = vectors(64, dim);
	struct tq_quantizer *q;
	struct tq_context *ctx;
	struct tq_spec spec;
	uint8_t *codes;

	memory_is_out = 0;
	ck_assert_int_eq(tq_context_create(&o, &ctx), TQ_OK);
	tq_spec_init(&spec);
	ck_assert_int_eq(tq_quantizer_create(ctx, &spec, dim, &scalar, &q), TQ_OK);
	codes = room(64 * tq_code_size(q));
	ck_assert_int_eq(tq_encode(q, x, dim, 64, codes), TQ_OK);
	memory_is_out = 1;
	ck_assert_int_eq(tq_encode(q, x, dim, 64, codes), TQ_ERR_NOMEM);
	ck_assert_ptr_nonnull(strstr(tq_error_text(), "out of memory"));
	ck_assert(tq_error_row() == TQ_NO_ROW);
	memory_is_out = 0;
	ck_assert_int_eq(tq_encode(q, x, dim, 64, codes), TQ_OK);
	tq_quantizer_destroy(q);
	tq_context_destroy(ctx);
	free(codes);
	free(x);
}
END_TEST

/* ---- one pool, many callers ---- */

struct caller {
	const struct tq_quantizer *q;
	const float *x;
	const uint8_t *want;
	int bad;
};

static void *call_often(void *arg)
{
	struct caller *c = arg;
	size_t size = ROWS * tq_code_size(c->q);
	uint8_t *codes = malloc(size);
	int i;

	for (i = 0; i < 20; i++) {
		memset(codes, 0, size);
		c->bad += tq_encode(c->q, c->x, DIM, ROWS, codes) != TQ_OK ||
			  memcmp(codes, c->want, size) != 0;
	}
	free(codes);
	return NULL;
}

START_TEST(callers_overlap)
{
	struct tq_context *ctx = context_of(&ways[2]);
	struct tq_quantizer *q = quantizer_of(ctx, specs[0], DIM);
	float *x = vectors(ROWS, DIM);
	uint8_t *want = room(ROWS * tq_code_size(q));
	struct caller callers[4];
	pthread_t threads[4];
	int i;

	ck_assert_int_eq(tq_encode(q, x, DIM, ROWS, want), TQ_OK);
	for (i = 0; i < 4; i++) {
		callers[i] = (struct caller){q, x, want, 0};
		pthread_create(&threads[i], NULL, call_often, &callers[i]);
	}
	for (i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		ck_assert_int_eq(callers[i].bad, 0);
	}
	tq_quantizer_destroy(q);
	tq_context_destroy(ctx);
	free(want);
	free(x);
}
END_TEST

#ifndef __SANITIZE_THREAD__
START_TEST(a_forked_child_works_alone)
{
	struct tq_context *ctx = context_of(&ways[3]);
	struct tq_quantizer *q = quantizer_of(ctx, specs[0], DIM);
	float *x = vectors(ROWS, DIM);
	size_t size = ROWS * tq_code_size(q);
	uint8_t *want = room(size), *got = room(size);
	int state, ok;
	pid_t child;

	ck_assert_int_eq(tq_encode(q, x, DIM, ROWS, want), TQ_OK);
	ck_assert_uint_eq(tq_pool_started(ctx->pool), 7);
	child = fork();
	ck_assert_int_ge(child, 0);
	if (!child) {
		alarm(60);
		ok = tq_encode(q, x, DIM, ROWS, got) == TQ_OK && !memcmp(want, got, size);
		tq_quantizer_destroy(q);
		tq_context_destroy(ctx);
		_exit(ok ? 0 : 1);
	}
	ck_assert_int_eq(waitpid(child, &state, 0), child);
	ck_assert(WIFEXITED(state) && WEXITSTATUS(state) == 0);
	ck_assert_int_eq(tq_encode(q, x, DIM, ROWS, got), TQ_OK);
	ck_assert_int_eq(memcmp(want, got, size), 0);
	tq_quantizer_destroy(q);
	tq_context_destroy(ctx);
	free(got);
	free(want);
	free(x);
}
END_TEST

static unsigned threads_now(void)
{
	DIR *dir = opendir("/proc/self/task");
	unsigned n = 0;

	ck_assert_ptr_nonnull(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n - 2;
}

START_TEST(there_are_no_threads_before_a_large_call_and_none_after_destroy)
{
	float *x = vectors(ROWS, DIM);
	struct tq_quantizer *q;
	struct tq_context *ctx;
	uint8_t *codes = room(ROWS * (DIM + 8));
	unsigned before = threads_now(); /* an emulator has threads of its own */
	int asked;

	for (asked = 0; asked < 2; asked++) {
		ctx = context_of(&ways[asked ? 3 : 0]);
		q = quantizer_of(ctx, specs[0], DIM);
		ck_assert_int_eq(tq_encode(q, x, DIM, 100, codes), TQ_OK);
		ck_assert_uint_eq(threads_now(), before);
		ck_assert_int_eq(tq_encode(q, x, DIM, ROWS, codes), TQ_OK);
		ck_assert_uint_eq(threads_now(), before + (asked ? 7 : 0));
		tq_quantizer_destroy(q);
		tq_context_destroy(ctx);
		ck_assert_uint_eq(threads_now(), before);
	}
	free(codes);
	free(x);
}
END_TEST
#endif

/* ---- where they go ---- */

struct where {
	pthread_t caller;
	atomic_uint pinned, elsewhere;
};

static void note_affinity(void *arg, size_t task)
{
	struct where *w = arg;
	cpu_set_t set;

	usleep(1000);
	if (pthread_equal(pthread_self(), w->caller))
		return;
	ck_assert_int_eq(sched_getaffinity(0, sizeof(set), &set), 0);
	atomic_fetch_add(CPU_COUNT(&set) == 1 ? &w->pinned : &w->elsewhere, 1);
}

START_TEST(threads_are_pinned_where_the_machine_is_known)
{
	struct where w = {.caller = pthread_self()};
	struct tq_context *ctx;
	struct tq_place places[2];

	if (tq_topo_places(places, 2) != 2)
		return;
	ck_assert_int_ne(places[0].cpu, places[1].cpu);
	ctx = context_of(&ways[1]);
	while (!w.pinned && !w.elsewhere)
		ck_assert(tq_pool_run(ctx->pool, 16, note_affinity, &w));
	ck_assert_uint_gt(w.pinned, 0);
	ck_assert_uint_eq(w.elsewhere, 0);
	tq_context_destroy(ctx);
}
END_TEST

#ifdef TQ_HAVE_HWLOC
#define ON_HWLOC 1
#else
#define ON_HWLOC 0
#endif

START_TEST(a_large_machine_gets_a_thread_per_core_spread_over_its_nodes)
{
	struct tq_options o = {.struct_size = sizeof(o), .threads = TQ_THREADS_AUTO};
	struct tq_place places[129] = {{0}};
	float *x = vectors(ROWS, DIM);
	bool seen[256] = {false};
	struct tq_quantizer *q;
	struct tq_context *ctx;
	uint8_t *codes, *want;
	unsigned nodes = 0;
	int i;

	/* 2 sockets, 4 memory nodes, 16 level-3 caches, 128 cores, 256 threads */
	setenv("HWLOC_SYNTHETIC", "pack:2 numa:2 l3:4 core:8 pu:2", 1);
	ck_assert_uint_eq(tq_topo_cores(), 128);
	ck_assert_uint_eq(tq_topo_places(places, 128), 0);
	for (i = 0; i < 128; i++) {
		ck_assert_int_eq(places[i].cpu % 2, 0);
		ck_assert(!seen[places[i].cpu]);
		seen[places[i].cpu] = true;
	}
	ck_assert_uint_eq(tq_topo_places(places, 4), 0);
	for (i = 0; i < 4; i++)
		nodes |= 1u << places[i].node;
	ck_assert_uint_eq(nodes, 15);
	ck_assert_uint_eq(tq_topo_places(places, 16), 0);
	for (i = 0; i < 16; i++)
		ck_assert_int_eq(places[i].cpu, 16 * i);
	ck_assert_uint_eq(tq_topo_places(places, 129), 0);

	ck_assert_int_eq(tq_context_create(&o, &ctx), TQ_OK);
	ck_assert_uint_eq(tq_context_threads(ctx), 128);
	tq_context_destroy(ctx);
	o.threads = 12;
	ck_assert_int_eq(tq_context_create(&o, &ctx), TQ_OK);
	q = quantizer_of(ctx, specs[0], DIM);
	codes = room(ROWS * tq_code_size(q));
	want = room(ROWS * tq_code_size(q));
	ck_assert_int_eq(tq_encode(q, x, DIM, ROWS, codes), TQ_OK);
	ck_assert_uint_eq(tq_pool_started(ctx->pool), 11);
	tq_quantizer_destroy(q);
	tq_context_destroy(ctx);
	unsetenv("HWLOC_SYNTHETIC");
	ctx = context_of(&ways[0]);
	q = quantizer_of(ctx, specs[0], DIM);
	ck_assert_int_eq(tq_encode(q, x, DIM, ROWS, want), TQ_OK);
	ck_assert_int_eq(memcmp(want, codes, ROWS * tq_code_size(q)), 0);
	tq_quantizer_destroy(q);
	tq_context_destroy(ctx);
	free(want);
	free(codes);
	free(x);
}
END_TEST

/* ---- options ---- */

START_TEST(options_of_an_older_header_are_taken)
{
	struct tq_options o = {.threads = 3, .parallel_for = hook_forgets};
	struct tq_context *ctx;

	o.struct_size = offsetof(struct tq_options, parallel_for);
	ck_assert_int_eq(tq_context_create(&o, &ctx), TQ_OK);
	ck_assert(!ctx->parallel_for);
	ck_assert_uint_eq(tq_context_threads(ctx), 3);
	tq_context_destroy(ctx);
	o.struct_size--;
	ck_assert_int_eq(tq_context_create(&o, &ctx), TQ_ERR_ARG);
	o.struct_size = sizeof(o) + 8;
	ck_assert_int_eq(tq_context_create(&o, &ctx), TQ_ERR_ARG);
	ck_assert_ptr_nonnull(strstr(tq_error_text(), "struct_size"));
	ck_assert_uint_eq(tq_context_threads(NULL), 0);
	o.struct_size = sizeof(o);
	o.threads = 0;
	ck_assert_int_eq(tq_context_create(&o, &ctx), TQ_OK);
	ck_assert_uint_eq(tq_context_threads(ctx), tq_topo_cores());
	ck_assert_ptr_null(ctx->pool);
	tq_context_destroy(ctx);
}
END_TEST

int main(void)
{
	SRunner *runner;
	TCase *same = tcase_create("same"), *life = tcase_create("life");
	Suite *suite = suite_create("threads");
	int failed;

	tcase_set_timeout(same, 120);
	tcase_add_loop_test(same, any_number_of_threads_gives_the_same_bytes_and_scores, 0, SPECS);
	tcase_add_test(same, the_lowest_bad_row_is_named);
	tcase_add_test(same, a_worker_s_failure_is_the_caller_s);
	suite_add_tcase(suite, same);
	tcase_set_timeout(life, 120);
	tcase_add_test(life, callers_overlap);
#ifndef __SANITIZE_THREAD__
	tcase_add_test(life, a_forked_child_works_alone);
	tcase_add_test(life, there_are_no_threads_before_a_large_call_and_none_after_destroy);
#endif
	tcase_add_test(life, threads_are_pinned_where_the_machine_is_known);
	if (ON_HWLOC)
		tcase_add_test(life, a_large_machine_gets_a_thread_per_core_spread_over_its_nodes);
	tcase_add_test(life, options_of_an_older_header_are_taken);
	suite_add_tcase(suite, life);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
