/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The OpenCL plugin on whatever OpenCL there is (PoCL in CI), against scalar: every operation, batches that
 * take several turns of both queues, threads, the cache of binaries, a fork, and the failure of every call.
 * Specs and dimensions by the thousand are in tests/cross/backends.c. Skipped where there is no device.
 */
#include <check.h>
#include <dlfcn.h>
#include <glob.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "../open_quantizer.h"
#include "fake_opencl.h"

static char cache[64], logged[8192];
static struct tq_allocator allocator;

static void keep_log(void *arg, int level, const char *line)
{
	size_t n = strlen(logged);

	snprintf(logged + n, sizeof(logged) - n, "%s\n", line);
}

static struct tq_context *open_context(void)
{
	struct tq_options o = {.struct_size = sizeof(o), .flags = TQ_NO_ENV | TQ_NO_CONFIG};
	struct tq_context *ctx = NULL;
	char path[512];

	snprintf(path, sizeof(path), "%s/plugins/opencl/tq-opencl.so", getenv("TQ_TEST_BUILD_ROOT"));
	o.plugin_path = path;
	o.log = keep_log;
	o.log_level = TQ_LOG_DEBUG;
	o.allocator = allocator.alloc ? &allocator : NULL;
	tq_context_create(&o, &ctx);
	return ctx;
}

/* What a quantizer makes of rows: the same bytes from every backend */
struct made {
	unsigned char *codes;
	float *back, *scores, *list, *pairs;
	void *prepared;
};

struct input {
	float *x, *query;
	uint32_t *ids;
	size_t n, nq, npairs, d;
};

static float noise(void)
{
	return (float)(rand() % 2001 - 1000) * 0.001f + (float)(rand() % 2001 - 1000) * 0.0007f;
}

static void input_make(struct input *in, size_t n, size_t nq, size_t d)
{
	size_t i;

	*in = (struct input){malloc(n * d * 4), malloc(nq * d * 4), malloc(n * 4), n, nq, n < 200 ? n : 200, d};
	for (i = 0; i < n * d; i++)
		in->x[i] = noise();
	for (i = 0; i < nq * d; i++)
		in->query[i] = noise();
	for (i = 0; i < n; i++)
		in->ids[i] = (uint32_t)((size_t)rand() % n);
}

static void input_free(struct input *in)
{
	free(in->x);
	free(in->query);
	free(in->ids);
}

static void made_room(struct made *m, const struct tq_quantizer *q, const struct input *in)
{
	m->codes = calloc(in->n, tq_code_size(q));
	m->back = calloc(in->n * (in->d + 3), 4);
	m->scores = calloc(in->nq * in->n, 4);
	m->list = calloc(in->n, 4);
	m->pairs = calloc(in->npairs * in->npairs, 4);
	m->prepared = aligned_alloc(64, in->nq * tq_query_size(q));
}

static void made_free(struct made *m)
{
	free(m->codes);
	free(m->back);
	free(m->scores);
	free(m->list);
	free(m->pairs);
	free(m->prepared);
}

static int make(const struct tq_quantizer *q, const struct input *in, struct made *m)
{
	int ret = tq_encode(q, in->x, in->d, in->n, m->codes);

	if (!ret)
		ret = tq_decode(q, m->codes, in->n, m->back, in->d + 3);
	if (!ret)
		ret = tq_query_prepare(q, in->query, in->d, in->nq, m->prepared);
	if (!ret)
		ret = tq_score(q, m->prepared, in->nq, m->codes, in->n, m->scores, in->n);
	if (!ret)
		ret = tq_score_list(q, m->prepared, m->codes, in->ids, in->n, m->list);
	if (!ret)
		ret = tq_score_pairs(q, m->codes, in->npairs, m->codes, in->npairs, m->pairs, in->npairs);
	return ret;
}

static void check_same(const struct tq_quantizer *q, const struct input *in, const struct made *a,
		       const struct made *b)
{
	ck_assert(!memcmp(a->codes, b->codes, in->n * tq_code_size(q)));
	ck_assert(!memcmp(a->back, b->back, in->n * (in->d + 3) * 4));
	ck_assert(!memcmp(a->scores, b->scores, in->nq * in->n * 4));
	ck_assert(!memcmp(a->list, b->list, in->n * 4));
	ck_assert(!memcmp(a->pairs, b->pairs, in->npairs * in->npairs * 4));
}

/* ---- the same as scalar ---- */

static void against_scalar(const char *spec, size_t n, size_t nq, uint32_t d)
{
	struct tq_context *ctx = open_context();
	struct tq_quantizer *scalar, *q;
	static const int stages[] = {TQ_STAGE_ROTATE, TQ_STAGE_SCORE, TQ_STAGE_ENCODE, TQ_STAGE_DECODE};
	struct made want, got;
	struct input in;
	size_t i;

	ck_assert_int_eq(open_quantizer(ctx, spec, d, "scalar", &scalar), TQ_OK);
	ck_assert_msg(open_quantizer(ctx, spec, d, "opencl", &q) == TQ_OK, "%s", tq_error_text());
	for (i = 0; i < sizeof(stages) / sizeof(stages[0]); i++)
		ck_assert_msg(strstr(tq_quantizer_driver(q, stages[i]), "-opencl") != NULL, "stage %d is served by %s",
			      stages[i], tq_quantizer_driver(q, stages[i]));
	input_make(&in, n, nq, d);
	made_room(&want, scalar, &in);
	made_room(&got, q, &in);
	ck_assert_int_eq(make(scalar, &in, &want), TQ_OK);
	ck_assert_msg(make(q, &in, &got) == TQ_OK, "%s", tq_error_text());
	check_same(q, &in, &want, &got);
	made_free(&want);
	made_free(&got);
	input_free(&in);
	tq_quantizer_destroy(scalar);
	tq_quantizer_destroy(q);
	tq_context_destroy(ctx);
}

/* 4 MiB a turn: 16384 rows of 64 floats */
START_TEST(batches_go_through_both_queues)
{
	against_scalar("bits=4 correction=ls", 60000, 3, 64);
}
END_TEST

START_TEST(many_queries_go_in_parts)
{
	against_scalar("bits=6 center=both query=s16", 700, 300, 100);
}
END_TEST

START_TEST(long_rows_and_float_queries)
{
	against_scalar("bits=3 correction=unbiased query=f32 effort=1", 300, 5, 3072);
}
END_TEST

/* Each of the level counts, rows whose last word has digits beyond them, and rows with rows */
START_TEST(fractions_of_a_bit)
{
	static const char *const specs[] = {"bits=1.6 correction=ls effort=1", "bits=2.33 correction=norm query=f32",
					    "bits=2.5 correction=unbiased center=both", "bits=3.5",
					    "bits=4.5 correction=ls"};
	size_t i;

	for (i = 0; i < sizeof(specs) / sizeof(specs[0]); i++)
		against_scalar(specs[i], 300, 5, i % 2 ? 128 : 97);
}
END_TEST

struct worker {
	const struct tq_quantizer *q;
	const struct input *in;
	struct made made;
	int ret;
};

static void *work(void *arg)
{
	struct worker *w = arg;
	int i;

	for (i = 0; i < 5 && !w->ret; i++)
		w->ret = make(w->q, w->in, &w->made);
	return NULL;
}

START_TEST(threads_share_a_quantizer)
{
	struct tq_context *ctx = open_context();
	struct worker w[4];
	struct tq_quantizer *q;
	pthread_t thread[4];
	struct input in;
	int i;

	ck_assert_int_eq(open_quantizer(ctx, "bits=4", 96, "opencl", &q), TQ_OK);
	input_make(&in, 500, 3, 96);
	for (i = 0; i < 4; i++) {
		w[i] = (struct worker){q, &in, {0}, 0};
		made_room(&w[i].made, q, &in);
		ck_assert_int_eq(pthread_create(&thread[i], NULL, work, &w[i]), 0);
	}
	for (i = 0; i < 4; i++) {
		pthread_join(thread[i], NULL);
		ck_assert_int_eq(w[i].ret, TQ_OK);
		check_same(q, &in, &w[0].made, &w[i].made);
	}
	for (i = 0; i < 4; i++)
		made_free(&w[i].made);
	input_free(&in);
	tq_quantizer_destroy(q);
	tq_context_destroy(ctx);
	ck_assert_int_eq(fake_held(), 0);
}
END_TEST

/* ---- the cache of binaries ---- */

static void one_context(void)
{
	struct tq_context *ctx = open_context();
	struct tq_quantizer *q;

	logged[0] = '\0';
	ck_assert_msg(open_quantizer(ctx, "bits=4", 7, "opencl", &q) == TQ_OK, "%s", tq_error_text());
	tq_quantizer_destroy(q);
	tq_context_destroy(ctx);
}

START_TEST(kernels_are_compiled_once)
{
	char pattern[128], command[400];
	glob_t found;

	snprintf(pattern, sizeof(pattern), "%s/tq/opencl/*.bin", cache);
	one_context();
	ck_assert(!strstr(logged, "kernels read from"));
	ck_assert_int_eq(glob(pattern, 0, NULL, &found), 0);
	ck_assert_uint_eq(found.gl_pathc, 1);
	one_context();
	ck_assert(strstr(logged, "kernels read from") != NULL);
	/* a file that is whole, but whose binary the driver does not take, would fail the same way as this */
	snprintf(command, sizeof(command), "truncate -s 1000 %s", found.gl_pathv[0]);
	ck_assert_int_eq(system(command), 0);
	one_context();
	ck_assert(!strstr(logged, "kernels read from"));
	one_context();
	ck_assert(strstr(logged, "kernels read from") != NULL);
	globfree(&found);
}
END_TEST

START_TEST(a_cache_that_cannot_be_written_costs_time_only)
{
	char file[80];
	FILE *f;

	snprintf(file, sizeof(file), "%s/tq", cache);
	f = fopen(file, "w");
	ck_assert_ptr_nonnull(f);
	fclose(f);
	one_context();
	ck_assert_msg(strstr(logged, "cannot be kept in") != NULL, "%s", logged);
}
END_TEST

/* ---- what goes wrong ---- */

static void unused_after(int code)
{
	ck_assert_msg(code == TQ_ERR_DEVICE || code == TQ_ERR_NO_DRIVER || code == TQ_ERR_NOT_PRESENT ||
			      code == TQ_ERR_SELFTEST,
		      "%d %s", code, tq_error_text());
	ck_assert_str_ne(tq_error_text(), "");
}

/* From the first probe to a usable quantizer, with the gate in between: a call fails, the pin is refused. */
START_TEST(every_call_may_fail_before_a_quantizer_is_there)
{
	unsigned long call, total;
	struct tq_context *ctx;
	struct tq_quantizer *q;
	unsigned served = 0;
	int ret;

	fake_fail_at(0);
	one_context();
	total = fake_calls();
	ck_assert_uint_gt(total, 100);
	for (call = 1; call < total; call = call < 120 ? call + 1 : call + total / 5) {
		ctx = open_context();
		fake_fail_at(call);
		ret = open_quantizer(ctx, "bits=4", 7, "opencl", &q);
		if (ret)
			unused_after(ret);
		else
			served++; /* reading the cache, or asking for one of several texts, may fail */
		fake_fail_at(0);
		if (!ret)
			tq_quantizer_destroy(q);
		tq_context_destroy(ctx);
		ck_assert_msg(fake_held() == 0, "call %lu of %lu: %ld objects held", call, total, fake_held());
	}
	ck_assert_uint_lt(served, 20);
}
END_TEST

/* Work with a quantizer: a call fails, so does the operation, with a text; so do those after it. */
START_TEST(every_call_may_fail_in_use)
{
	struct tq_context *ctx = open_context();
	unsigned long call, total;
	struct tq_quantizer *q;
	struct input in;
	struct made m;

	ck_assert_int_eq(open_quantizer(ctx, "bits=4 correction=ls", 64, "opencl", &q), TQ_OK);
	input_make(&in, 3, 2, 64);
	made_room(&m, q, &in);
	fake_fail_at(0);
	ck_assert_int_eq(make(q, &in, &m), TQ_OK);
	total = fake_calls();
	tq_quantizer_destroy(q);
	for (call = 1; call <= total; call++) {
		ck_assert_int_eq(open_quantizer(ctx, "bits=4 correction=ls", 64, "opencl", &q), TQ_OK);
		fake_fail_at(call);
		ck_assert_msg(make(q, &in, &m) == TQ_ERR_DEVICE, "call %lu of %lu", call, total);
		ck_assert_msg(strstr(tq_error_text(), "CL_OUT_OF_RESOURCES") || strstr(tq_error_text(), "device error"),
			      "call %lu: %s", call, tq_error_text());
		fake_fail_at(0);
		tq_quantizer_destroy(q);
	}
	made_free(&m);
	input_free(&in);
	tq_context_destroy(ctx);
	ck_assert_int_eq(fake_held(), 0);
}
END_TEST

static unsigned long allocations, allocation_fails_at;

static void *failing_alloc(void *arg, size_t size, size_t align)
{
	return ++allocations == allocation_fails_at ? NULL : aligned_alloc(align, (size + align - 1) / align * align);
}

static void failing_free(void *arg, void *ptr)
{
	free(ptr);
}

/* Some thirty of the allocations between the context and a usable quantizer, the first ones and the last */
START_TEST(memory_may_run_out)
{
	unsigned long at, total;
	struct tq_context *ctx;
	struct tq_quantizer *q;
	unsigned refused = 0;
	int ret;

	allocator = (struct tq_allocator){failing_alloc, failing_free, NULL};
	ctx = open_context();
	allocations = 0;
	ck_assert_int_eq(open_quantizer(ctx, "bits=4", 7, "opencl", &q), TQ_OK);
	total = allocations;
	tq_quantizer_destroy(q);
	tq_context_destroy(ctx);
	for (at = 1; at <= total; at += at < 8 || at + 8 > total ? 1 : total / 16) {
		ctx = open_context();
		allocations = 0;
		allocation_fails_at = at;
		ret = open_quantizer(ctx, "bits=4", 7, "opencl", &q);
		allocation_fails_at = 0;
		/* the copy of a reason may fail, and is then left out */
		ck_assert_msg(ret == TQ_OK || ret == TQ_ERR_NOMEM, "allocation %lu of %lu: %d %s", at, total,
			      ret, tq_error_text());
		refused += ret != TQ_OK;
		if (ret == TQ_OK)
			tq_quantizer_destroy(q);
		tq_context_destroy(ctx);
		ck_assert_int_eq(fake_held(), 0);
	}
	ck_assert_uint_gt(refused, 20);
}
END_TEST

START_TEST(a_child_is_told_that_it_forked)
{
	struct tq_context *ctx = open_context(), *fresh;
	struct tq_quantizer *q, *other;
	unsigned char codes[64];
	float x[7] = {1.0f};
	int status;
	pid_t pid;

	ck_assert_int_eq(open_quantizer(ctx, "bits=4", 7, "opencl", &q), TQ_OK);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		if (tq_encode(q, x, 7, 1, codes) != TQ_ERR_DEVICE)
			_exit(1);
		fresh = open_context();
		if (open_quantizer(fresh, "bits=4", 7, "opencl", &other) == TQ_OK)
			_exit(2);
		if (!strstr(tq_error_text(), "forked after init"))
			_exit(3);
		tq_quantizer_destroy(q);
		tq_context_destroy(fresh);
		tq_context_destroy(ctx);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", (unsigned)status);
	ck_assert_int_eq(tq_encode(q, x, 7, 1, codes), TQ_OK);
	tq_quantizer_destroy(q);
	tq_context_destroy(ctx);
}
END_TEST

START_TEST(a_device_of_another_name_is_not_present)
{
	struct tq_options o = {.struct_size = sizeof(o), .flags = TQ_NO_ENV};
	struct tq_context *ctx;
	struct tq_quantizer *q;
	char path[512], file[96];
	FILE *f;

	snprintf(path, sizeof(path), "%s/plugins/opencl/tq-opencl.so", getenv("TQ_TEST_BUILD_ROOT"));
	snprintf(file, sizeof(file), "%s/tq.conf", cache);
	f = fopen(file, "w");
	ck_assert_ptr_nonnull(f);
	fputs("plugins: { opencl: { device = \"no such\"; }; };\n", f);
	fclose(f);
	o.plugin_path = path;
	o.config_file = file;
	ck_assert_msg(tq_context_create(&o, &ctx) == TQ_OK, "%s", tq_error_text());
	ck_assert_int_ne(open_quantizer(ctx, "bits=4", 7, "opencl", &q), TQ_OK);
	ck_assert_msg(strstr(tq_error_text(), "is called \"no such\"") != NULL, "%s", tq_error_text());
	tq_context_destroy(ctx);
}
END_TEST

/* A directory for what is compiled: ours is empty, PoCL's own stays for all tests. */
static void setup(void)
{
	strcpy(cache, "/tmp/tq-opencl-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(cache));
	ck_assert_int_eq(setenv("XDG_CACHE_HOME", cache, 1), 0);
}

static void teardown(void)
{
	char command[96];

	snprintf(command, sizeof(command), "rm -rf %s", cache);
	ck_assert_int_eq(system(command), 0);
}

/* Asked in a process of its own: a started OpenCL does not survive the forks of Check. */
static int is_device_there(void)
{
	struct tq_context *ctx;
	struct tq_quantizer *q;
	int status = 1;

	fflush(stdout);
	if (fork() == 0) {
		ctx = open_context();
		status = open_quantizer(ctx, "bits=4", 7, "opencl", &q);
		if (status)
			printf("skipped: %s\n", tq_error_text());
		fflush(stdout);
		_exit(status == TQ_OK ? 0 : strstr(tq_error_text(), "failed test") ? 0 : 77);
	}
	wait(&status);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

int main(void)
{
	Suite *s = suite_create("opencl");
	TCase *same = tcase_create("same"), *kept = tcase_create("cache"), *wrong = tcase_create("wrong");
	TCase *cases[] = {same, kept, wrong};
	SRunner *sr;
	int failed, i;

	if (!is_device_there())
		return 77;
	tcase_add_test(same, batches_go_through_both_queues);
	tcase_add_test(same, many_queries_go_in_parts);
	tcase_add_test(same, long_rows_and_float_queries);
	tcase_add_test(same, fractions_of_a_bit);
	tcase_add_test(same, threads_share_a_quantizer);
	tcase_add_test(kept, kernels_are_compiled_once);
	tcase_add_test(kept, a_cache_that_cannot_be_written_costs_time_only);
	tcase_add_test(wrong, every_call_may_fail_before_a_quantizer_is_there);
	tcase_add_test(wrong, every_call_may_fail_in_use);
	tcase_add_test(wrong, memory_may_run_out);
	tcase_add_test(wrong, a_child_is_told_that_it_forked);
	tcase_add_test(wrong, a_device_of_another_name_is_not_present);
	for (i = 0; i < 3; i++) {
		tcase_add_checked_fixture(cases[i], setup, teardown);
		tcase_set_timeout(cases[i], 240);
		suite_add_tcase(s, cases[i]);
	}
	sr = srunner_create(s);
	srunner_set_fork_status(sr, CK_FORK);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
