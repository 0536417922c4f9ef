/* SPDX-License-Identifier: Apache-2.0 */
/* A copy of an index on a device (the fake one) finds what the index finds. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "fake_cuda.h"
#include "fixture.h"
#include "index.h"
#include "tq/device_index.h"

#define ROWS 4400
#define DIM 24
#define QUERIES 260 /* more than are scanned for at once */
#define BEST 20

struct setting {
	const char *spec;
	uint32_t metric;
	uint32_t flags;
};

static const struct setting settings[] = {
	{"preset=search bits=4", TQ_METRIC_IP, 0},
	{"preset=search bits=4", TQ_METRIC_COS, TQ_INDEX_STAGED},
	{"preset=search bits=2", TQ_METRIC_L2, 0},
	{"bits=6 correction=unbiased", TQ_METRIC_L2, 0},
	{"bits=3 correction=unbiased", TQ_METRIC_IP, 0},
};

static struct tq_index *make_index(struct tq_context *ctx, const struct setting *setting, uint32_t nlist)
{
	struct tq_index_options o = {.struct_size = sizeof(o), .metric = setting->metric, .nlist = nlist,
				     .flags = setting->flags, .driver = "scalar"};
	struct tq_index *ix;
	struct tq_spec spec;

	tq_spec_init(&spec);
	ck_assert_int_eq(tq_spec_parse(&spec, setting->spec), TQ_OK);
	ck_assert_msg(tq_index_create(ctx, &spec, DIM, &o, &ix) == TQ_OK, "%s", tq_error_text());
	return ix;
}

static float *noises(size_t n)
{
	float *x = malloc(n * sizeof(*x));
	size_t i;

	for (i = 0; i < n; i++)
		x[i] = noise() + 0.2f;
	return x;
}

/* Ids in no order, rows that are there several times, some removed, in several adds */
static void fill(struct tq_index *ix, const float *x)
{
	int64_t *ids = malloc(ROWS * sizeof(*ids)), gone[ROWS / 7 + 1];
	size_t i, n = 0;

	for (i = 0; i < ROWS; i++) {
		ids[i] = (int64_t)(i * 2654435761u % 100003);
		if (i % 7 == 0)
			gone[n++] = ids[i];
	}
	ck_assert_int_eq(tq_index_train(ix, x, DIM, ROWS), TQ_OK);
	ck_assert_int_eq(tq_index_add(ix, x, DIM, ROWS / 2, ids), TQ_OK);
	ck_assert_int_eq(tq_index_add(ix, x, DIM, ROWS / 4, ids + ROWS / 2), TQ_OK);
	ck_assert_int_eq(tq_index_add(ix, x, DIM, ROWS / 4, ids + ROWS * 3 / 4), TQ_OK);
	ck_assert_int_eq(tq_index_remove(ix, gone, n), TQ_OK);
	free(ids);
}

static void compare(struct tq_index *ix, struct tq_device_index *d, const float *x, size_t nq, size_t k)
{
	int64_t *ids[2];
	float *scores[2];
	size_t i;

	for (i = 0; i < 2; i++) {
		ids[i] = malloc(nq * k * sizeof(**ids));
		scores[i] = malloc(nq * k * sizeof(**scores));
	}
	ck_assert_int_eq(tq_index_search(ix, x, DIM + 1, nq, k, NULL, ids[0], scores[0]), TQ_OK);
	ck_assert_msg(tq_device_index_search(d, x, DIM + 1, nq, k, ids[1], scores[1]) == TQ_OK, "%s", tq_error_text());
	ck_assert_mem_eq(ids[0], ids[1], nq * k * sizeof(**ids));
	ck_assert_mem_eq(scores[0], scores[1], nq * k * sizeof(**scores));
	memset(ids[1], 0, nq * k * sizeof(**ids));
	ck_assert_int_eq(tq_device_index_search(d, x, DIM + 1, nq, k, ids[1], NULL), TQ_OK);
	ck_assert_mem_eq(ids[0], ids[1], nq * k * sizeof(**ids));
	for (i = 0; i < 2; i++) {
		free(ids[i]);
		free(scores[i]);
	}
}

START_TEST(a_device_finds_what_the_index_finds)
{
	float *x = noises(ROWS * DIM), *queries = noises(QUERIES * (DIM + 1));
	struct tq_device_index *d, *empty;
	struct tq_context *ctx;
	struct tq_index *ix, *twin;
	struct tq_queue *queue;

	ck_assert_int_eq(open_context(&ctx), TQ_OK);
	ix = make_index(ctx, &settings[_i], 0);
	use_plan(ctx, tq_index_quantizer(ix)->plan);
	ck_assert_int_eq(tq_queue_wrap_cuda(ctx, 0, NULL, &queue), TQ_OK);
	ck_assert_msg(tq_device_index_create(ix, queue, &empty) == TQ_OK, "%s", tq_error_text());
	compare(ix, empty, queries, 2, 3);
	tq_device_index_destroy(empty);
	forget_plan();

	fill(ix, x);
	ck_assert_int_eq(tq_index_create_like(ix, &twin), TQ_OK);
	use_plan(ctx, tq_index_quantizer(twin)->plan);
	ck_assert_msg(tq_device_index_create(ix, queue, &d) == TQ_OK, "%s", tq_error_text());
	compare(ix, d, queries, 1, 1);
	compare(ix, d, queries, 3, BEST);
	compare(ix, d, queries, _i ? 5 : QUERIES, 4);
	ck_assert_int_eq(fake_depth(), 0);
	tq_index_destroy(ix);
	ck_assert_int_eq(tq_device_index_search(d, queries, DIM + 1, 1, 1, (int64_t[1]){0}, NULL), TQ_OK);
	tq_device_index_destroy(d);
	tq_queue_destroy(queue);
	forget_plan();
	tq_index_destroy(twin);
	tq_context_destroy(ctx);
	ck_assert_int_eq(fake_held(), 0);
	free(queries);
	free(x);
}
END_TEST

START_TEST(what_a_device_cannot_do_is_refused)
{
	float *x = noises(ROWS * DIM);
	struct tq_device_index *d = (void *)x;
	struct tq_context *ctx;
	struct tq_index *ix;
	struct tq_queue *queue;
	int64_t ids[2];

	ck_assert_int_eq(open_context(&ctx), TQ_OK);
	ck_assert_int_eq(tq_queue_wrap_cuda(ctx, 0, NULL, &queue), TQ_OK);
	ix = make_index(ctx, &settings[0], 4);
	ck_assert_int_eq(tq_device_index_create(ix, queue, &d), TQ_ERR_UNSUPPORTED);
	ck_assert_ptr_null(d);
	ck_assert_msg(strstr(tq_error_text(), "4 partitions") != NULL, "%s", tq_error_text());
	tq_index_destroy(ix);
	ix = make_index(ctx, &settings[2], 0);
	ck_assert_int_eq(tq_index_add(ix, x, DIM, 5, NULL), TQ_OK);
	use_plan(ctx, tq_index_quantizer(ix)->plan);
	REFUSED("index", tq_device_index_create(NULL, queue, &d));
	REFUSED("queue", tq_device_index_create(ix, NULL, &d));
	ck_assert_msg(tq_device_index_create(ix, queue, &d) == TQ_OK, "%s", tq_error_text());
	REFUSED("k:", tq_device_index_search(d, x, DIM, 1, TQ_TOPK_MAX + 1, ids, NULL));
	REFUSED("k:", tq_device_index_search(d, x, DIM, 1, 0, ids, NULL));
	REFUSED("stride", tq_device_index_search(d, x, DIM - 1, 1, 1, ids, NULL));
	REFUSED("x", tq_device_index_search(d, NULL, DIM, 1, 1, ids, NULL));
	REFUSED("ids", tq_device_index_search(d, x, DIM, 1, 1, NULL, NULL));
	ck_assert_int_eq(tq_device_index_search(d, NULL, DIM, 0, 1, NULL, NULL), TQ_OK);
	x[DIM + 3] = NAN;
	ck_assert_int_eq(tq_device_index_search(d, x, DIM, 2, 1, ids, NULL), TQ_ERR_NONFINITE);
	ck_assert_uint_eq(tq_error_row(), 1);
	x[DIM + 3] = 3e38f;
	ck_assert_int_eq(tq_device_index_search(d, x, DIM, 2, 1, ids, NULL), TQ_ERR_RANGE);
	ck_assert_uint_eq(tq_error_row(), 1);
	tq_device_index_destroy(d);
	tq_device_index_destroy(NULL);
	forget_plan();
	tq_index_destroy(ix);
	tq_queue_destroy(queue);
	tq_context_destroy(ctx);
	free(x);
}
END_TEST

/* Calls of the driver from the copying on: 0 if all went well, 1 if one failed as it should, else 2 */
static int fail_call(long n)
{
	float *x = noises(40 * DIM);
	struct tq_device_index *d = NULL;
	struct tq_queue *queue;
	struct tq_context *ctx;
	struct tq_index *ix;
	int64_t ids[2] = {0};
	long held;
	int ret;

	if (open_context(&ctx) || tq_queue_wrap_cuda(ctx, 0, NULL, &queue))
		return 2;
	ix = make_index(ctx, &settings[2], 0);
	ck_assert_int_eq(tq_index_add(ix, x, DIM, 40, NULL), TQ_OK);
	use_plan(ctx, tq_index_quantizer(ix)->plan);
	/* the test of the kernels passes, and is not made again */
	ck_assert_int_eq(tq_device_index_create(ix, queue, &d), TQ_OK);
	tq_device_index_destroy(d);
	d = NULL;
	held = fake_held();
	fake_fail_at(n, 0);
	ret = tq_device_index_create(ix, queue, &d);
	if (!ret)
		ret = tq_device_index_search(d, x, DIM, 2, 1, ids, NULL);
	fake_fail_at(-1, 0);
	if (ret && ret != TQ_ERR_SELFTEST && ret != TQ_ERR_DEVICE && ret != TQ_ERR_NOT_PRESENT)
		return 2;
	/* a search after one that failed is whole again */
	if (d && (tq_device_index_search(d, x, DIM, 2, 1, ids, NULL) || ids[0] < 0))
		return 2;
	tq_device_index_destroy(d);
	if (fake_depth() || (fake_held() > held && !fake_push_failed()))
		return 2;
	return ret != 0;
}

START_TEST(every_call_of_the_driver_can_fail)
{
	int status, failed = 0, whole = 0;
	long n;
	pid_t pid;

	/* most are those of the test of kernels, which has this test of its own */
	for (n = 0; n < 5000 && !whole; n += n < 8 ? 1 : 23) {
		pid = fork();
		if (!pid) {
			status = fail_call(n);
			_exit(status == 0 && fake_failures() == 0 ? 3 : status);
		}
		ck_assert(pid > 0 && waitpid(pid, &status, 0) == pid);
		ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) != 2, "call %ld: status 0x%x", n, status);
		failed += WEXITSTATUS(status) == 1;
		whole = WEXITSTATUS(status) == 3;
	}
	ck_assert(whole);
	ck_assert_int_gt(failed, 4);
}
END_TEST

/* ---- out of memory ---- */

static struct {
	long asked, fail_at, live, failed;
} memory;

static void *hook_alloc(void *arg, size_t size, size_t align)
{
	void *p;

	if (memory.asked++ == memory.fail_at) {
		memory.failed++;
		return NULL;
	}
	p = aligned_alloc(align, (size + align - 1) / align * align);
	memset(p, 0x5a, size);
	memory.live++;
	return p;
}

static void hook_free(void *arg, void *p)
{
	memory.live -= p != NULL;
	free(p);
}

/* The first allocation fails, then the second, and so on, in one context; some can be done without */
START_TEST(every_allocation_can_fail)
{
	static const struct tq_allocator hook = {hook_alloc, hook_free, NULL};
	float *x = noises(40 * DIM);
	struct tq_device_index *d;
	struct tq_queue *queue;
	struct tq_context *ctx;
	struct tq_index *ix;
	int64_t ids[2];
	long n, live, held;
	int ret;

	memory.fail_at = -1;
	ck_assert_int_eq(open_context_with(&hook, &ctx), TQ_OK);
	ck_assert_int_eq(tq_queue_wrap_cuda(ctx, 0, NULL, &queue), TQ_OK);
	ix = make_index(ctx, &settings[2], 0);
	ck_assert_int_eq(tq_index_add(ix, x, DIM, 40, (int64_t[40]){7, 3}), TQ_ERR_ARG);
	ck_assert_int_eq(tq_index_add(ix, x, DIM, 40, NULL), TQ_OK);
	use_plan(ctx, tq_index_quantizer(ix)->plan);
	ck_assert_int_eq(tq_device_index_create(ix, queue, &d), TQ_OK);
	tq_device_index_destroy(d);
	held = fake_held();
	for (n = 0; n == memory.failed; n++) {
		live = memory.live;
		memory.fail_at = memory.asked + n;
		ret = tq_device_index_create(ix, queue, &d);
		if (!ret)
			ret = tq_device_index_search(d, x, DIM, 2, 1, ids, NULL);
		memory.fail_at = -1;
		ck_assert_msg(ret == TQ_ERR_NOMEM || (!ret && ids[0] >= 0 && ids[1] >= 0), "allocation %ld: %d %s", n, ret,
			      tq_error_text());
		tq_device_index_destroy(d);
		ck_assert_msg(memory.live == live && fake_held() == held, "allocation %ld: something is lost", n);
	}
	ck_assert_int_gt(n, 40);
	ck_assert_int_eq(ret, TQ_OK);
	forget_plan();
	tq_index_destroy(ix);
	tq_queue_destroy(queue);
	tq_context_destroy(ctx);
	ck_assert_int_eq(memory.live, 0);
	free(x);
}
END_TEST

int main(void)
{
	TCase *memory_case = tcase_create("memory");
	TCase *core = tcase_create("core");
	Suite *s = suite_create("cuda index");

	tcase_add_loop_test(core, a_device_finds_what_the_index_finds, 0, sizeof(settings) / sizeof(settings[0]));
	tcase_add_test(core, what_a_device_cannot_do_is_refused);
	tcase_add_test(core, every_call_of_the_driver_can_fail);
	tcase_set_timeout(core, 240);
	tcase_add_test(memory_case, every_allocation_can_fail);
	suite_add_tcase(s, core);
	suite_add_tcase(s, memory_case);
	return run_suite(s);
}
