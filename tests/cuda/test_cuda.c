/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The CUDA plugin and the device calls without a GPU: a fake libcuda.so.1 is already loaded when
 * the plugin asks for it, and launches are done by scalar. What only a GPU can show is in
 * tests/gpu.sh.
 */
#include <check.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "codec.h"
#include "fake_cuda.h"
#include "fixture.h"
#include "scalar_kernels.h"
#include "tq/tq.h"

/* ---- what is there ---- */

static void refused(int code, const char *text)
{
	struct tq_context *ctx;
	struct tq_queue *queue;

	ck_assert_int_eq(open_context(&ctx), TQ_OK);
	ck_assert_int_eq(tq_queue_wrap_cuda(ctx, 0, NULL, &queue), code);
	ck_assert_msg(strstr(tq_error_text(), text) != NULL, "no '%s' in: %s", text,
		      tq_error_text());
	ck_assert_int_eq(fake_held(), 0);
	tq_context_destroy(ctx);
}

START_TEST(a_driver_without_a_device_is_not_present)
{
	fake_machine.init_error = 100;
	refused(TQ_ERR_NOT_PRESENT, "no device: no CUDA-capable device is detected");
}
END_TEST

START_TEST(an_empty_list_of_devices_is_not_present)
{
	fake_machine.devices = 0;
	refused(TQ_ERR_NOT_PRESENT, "no device: none listed");
}
END_TEST

START_TEST(an_old_driver_is_not_present)
{
	fake_machine.version = 11000;
	refused(TQ_ERR_NOT_PRESENT, "driver for CUDA 11.0 is too old: 11.4 is needed");
}
END_TEST

START_TEST(an_old_gpu_is_not_present)
{
	fake_machine.major = 7;
	fake_machine.minor = 5;
	refused(TQ_ERR_NOT_PRESENT, "Fake GPU has compute capability 7.5: 8.0 is needed");
}
END_TEST

START_TEST(a_failing_driver_is_an_error_with_its_text)
{
	fake_fail_at(3, 0);
	refused(TQ_ERR_NO_DRIVER, "cuda is rejected: GPU 0: device_get: made to fail");
}
END_TEST

START_TEST(a_device_that_is_not_there_is_named)
{
	struct tq_context *ctx;
	struct tq_queue *queue;

	ck_assert_int_eq(open_context(&ctx), TQ_OK);
	ck_assert_int_eq(tq_queue_wrap_cuda(ctx, 5, NULL, &queue), TQ_ERR_NOT_PRESENT);
	ck_assert_msg(strstr(tq_error_text(), "GPU 5 of 2") != NULL, "%s", tq_error_text());
	ck_assert_ptr_null(queue);
	tq_context_destroy(ctx);
}
END_TEST

START_TEST(a_quantizer_of_the_cpu_touches_no_gpu)
{
	struct tq_context *ctx;
	struct tq_quantizer *q;

	ck_assert_int_eq(open_context(&ctx), TQ_OK);
	ck_assert_int_eq(open_quantizer(ctx, "bits=4", 64, NULL, &q), TQ_OK);
	ck_assert_int_eq(fake_calls(), 0);
	tq_quantizer_destroy(q);
	tq_context_destroy(ctx);
}
END_TEST

/* ---- the device calls ---- */

#define ROWS 5000
#define QUERIES 3
#define BEST 20

struct rows {
	float x[ROWS * 64], query[QUERIES * 64], back[ROWS * 64], scores[QUERIES * ROWS];
	uint8_t codes[ROWS * 600];
	uint64_t first;
};

/* The host's answers, by scalar */
static struct rows *host_rows(const struct tq_quantizer *q)
{
	uint8_t *prepared = device(QUERIES * tq_query_size(q));
	struct rows *r = calloc(1, sizeof(*r));
	uint32_t d = tq_dim(q), i;

	for (i = 0; i < ROWS * d; i++)
		r->x[i] = noise();
	for (i = 0; i < QUERIES * d; i++)
		r->query[i] = noise();
	ck_assert_int_eq(tq_encode(q, r->x, d, ROWS, r->codes), TQ_OK);
	ck_assert_int_eq(tq_decode(q, r->codes, ROWS, r->back, d), TQ_OK);
	ck_assert_int_eq(tq_query_prepare(q, r->query, d, QUERIES, prepared), TQ_OK);
	ck_assert_int_eq(tq_score(q, prepared, QUERIES, r->codes, ROWS, r->scores, ROWS), TQ_OK);
	free(prepared);
	return r;
}

static size_t rank(const float *score, size_t j)
{
	size_t i, before = 0;

	for (i = 0; i < ROWS; i++)
		before += score[i] > score[j] || (score[i] == score[j] && i < j);
	return before;
}

static void check_best(const struct rows *r, const int64_t *ids, const float *scores)
{
	size_t q, i;

	for (q = 0; q < QUERIES; q++)
		for (i = 0; i < BEST; i++) {
			ck_assert_uint_eq(rank(r->scores + q * ROWS, (size_t)ids[q * BEST + i]), i);
			ck_assert(scores[q * BEST + i] ==
				  r->scores[q * ROWS + (size_t)ids[q * BEST + i]]);
		}
}

static void run_device(const struct tq_quantizer *q, struct tq_queue *queue,
		       struct tq_device_codec *codec)
{
	size_t size = tq_code_size(q), d = tq_dim(q);
	struct rows *want = host_rows(q), *got = device(sizeof(*got));
	int64_t *ids = device(QUERIES * BEST * sizeof(*ids));
	float *scores = device(QUERIES * BEST * sizeof(*scores));
	uint8_t *prepared = device(QUERIES * tq_device_query_size(codec)),
		*codes = device(ROWS * size);
	void *scratch = device(tq_topk_scratch(codec, QUERIES, ROWS, BEST));
	long allocations = fake_allocations(), waits = fake_waits();

	memcpy(got->x, want->x, sizeof(got->x));
	memcpy(got->query, want->query, sizeof(got->query));
	got->first = UINT64_MAX;
	ck_assert_int_eq(tq_check_async(codec, queue, got->x, TQ_F32, d, ROWS, &got->first), TQ_OK);
	ck_assert_int_eq(tq_encode_async(codec, queue, got->x, TQ_F32, d, ROWS, codes), TQ_OK);
	ck_assert_int_eq(tq_decode_async(codec, queue, codes, ROWS, got->back, TQ_F32, d), TQ_OK);
	ck_assert_int_eq(tq_query_prepare_async(codec, queue, got->query, d, QUERIES, prepared),
			 TQ_OK);
	ck_assert_int_eq(tq_score_async(codec, queue, prepared, QUERIES, codes, ROWS, got->scores,
					ROWS, NULL),
			 TQ_OK);
	ck_assert_int_eq(tq_topk_async(codec, queue, prepared, QUERIES, codes, ROWS, BEST, ids,
				       scores, scratch),
			 TQ_OK);
	ck_assert_int_eq(fake_allocations(), allocations);
	ck_assert_int_eq(fake_waits(), waits);
	ck_assert_int_eq(fake_depth(), 0);
	ck_assert(got->first == UINT64_MAX);
	ck_assert_int_eq(memcmp(codes, want->codes, ROWS * size), 0);
	ck_assert_int_eq(memcmp(got->back, want->back, ROWS * d * sizeof(float)), 0);
	ck_assert_int_eq(memcmp(got->scores, want->scores, sizeof(got->scores)), 0);
	check_best(want, ids, scores);
	free(scratch);
	free(prepared);
	free(codes);
	free(scores);
	free(ids);
	free(got);
	free(want);
}

static const struct {
	const char *spec;
	uint32_t dim;
} plans[] = {
	{"bits=4 correction=ls", 64},
	{"bits=3 correction=none scale=f16", 64},
	{"bits=6 correction=unbiased", 48},
	{"bits=4 correction=qjl:rht center=both", 40},
	{"bits=2 rotation=givens:4 query=f32 effort=1 center=data", 33},
	{"bits=4 query=s16 rotation=haar", 24},
	{"code=tcq:9 bits=4 correction=ls", 16},
	{"code=tcq:8 bits=1 correction=none query=s16", 24},
	{"code=tcq:8 bits=3 center=both", 13},
	{"bits=2.5 correction=ls", 64},
	{"bits=4.5 query=f32 center=both", 33},
	{"bits=4 correction=ls effort=1 center=data", 64},
	{"bits=7 correction=unbiased", 64},
	{"bits=8 correction=norm effort=1 center=both", 64},
};

START_TEST(device_calls_give_the_hosts_answers)
{
	struct tq_device_codec *codec;
	struct tq_context *ctx;
	struct tq_quantizer *q;
	struct tq_queue *queue;

	ck_assert_int_eq(open_context(&ctx), TQ_OK);
	ck_assert_msg(open_quantizer(ctx, plans[_i].spec, plans[_i].dim, "scalar", &q) == TQ_OK,
		      "%s", tq_error_text());
	use_plan(ctx, q->plan);
	ck_assert_int_eq(tq_queue_wrap_cuda(ctx, 1, NULL, &queue), TQ_OK);
	ck_assert_msg(tq_device_codec_create(q, queue, &codec) == TQ_OK, "%s", tq_error_text());
	run_device(q, queue, codec);
	tq_device_codec_destroy(codec);
	tq_queue_destroy(queue);
	forget_plan();
	tq_quantizer_destroy(q);
	tq_context_destroy(ctx);
	ck_assert_int_eq(fake_held(), 0);
}
END_TEST

/* Kernels that a codec of this plan is compared by; of d = 64 those for aligned rows and for others */
static const struct {
	const char *kernel;
	uint32_t dim;
} spoiled[] = {
	{"tqc_encode", 48},	   {"tqc_decode", 48},	      {"tqc_score", 64},	   {"tqc_select", 64},
	{"tqc_check", 64},	   {"tqc_encode_64_4_1", 64}, {"tqc_decode_64_4", 64}, {"tqc_score_4_1_words", 64},
	{"tqc_encode_warp_1_0", 64}, {"tqc_decode_warp", 64},
};

START_TEST(no_codec_passes_with_one_wrong_kernel)
{
	struct tq_device_codec *codec;
	struct tq_context *ctx;
	struct tq_quantizer *q;
	struct tq_queue *queue;

	ck_assert_int_eq(open_context(&ctx), TQ_OK);
	ck_assert_int_eq(open_quantizer(ctx, "bits=4 correction=ls", spoiled[_i].dim, "scalar", &q), TQ_OK);
	use_plan(ctx, q->plan);
	strcpy(scalar_kernels.wrong, spoiled[_i].kernel);
	ck_assert_int_eq(tq_queue_wrap_cuda(ctx, 0, NULL, &queue), TQ_OK);
	ck_assert_int_eq(tq_device_codec_create(q, queue, &codec), TQ_ERR_SELFTEST);
	ck_assert_ptr_null(codec);
	ck_assert_int_eq(fake_held(), 0);
	ck_assert_int_eq(tq_device_codec_create(q, queue, &codec), TQ_ERR_NO_DRIVER);
	ck_assert_msg(strstr(tq_error_text(), "failed test") != NULL, "%s", tq_error_text());
	tq_queue_destroy(queue);
	forget_plan();
	tq_quantizer_destroy(q);
	tq_context_destroy(ctx);
}
END_TEST

START_TEST(bad_arguments_are_named)
{
	static _Alignas(256) uint8_t room[4096];
	struct tq_device_codec *codec;
	struct tq_context *ctx;
	struct tq_quantizer *q;
	struct tq_queue *queue, *other;
	long calls;

	ck_assert_int_eq(open_context(&ctx), TQ_OK);
	ck_assert_int_eq(open_quantizer(ctx, "bits=4", 16, "scalar", &q), TQ_OK);
	use_plan(ctx, q->plan);
	ck_assert_int_eq(tq_queue_wrap_cuda(ctx, 0, NULL, &queue), TQ_OK);
	ck_assert_int_eq(tq_queue_wrap_cuda(ctx, 1, NULL, &other), TQ_OK);
	ck_assert_msg(tq_device_codec_create(q, queue, &codec) == TQ_OK, "%s", tq_error_text());
	calls = fake_calls();
	REFUSED("device", tq_queue_wrap_cuda(ctx, -1, NULL, &(struct tq_queue *){NULL}));
	REFUSED("queue", tq_encode_async(codec, other, room, TQ_F32, 16, 1, room));
	REFUSED("queue", tq_encode_async(codec, NULL, room, TQ_F32, 16, 1, room));
	REFUSED("codec", tq_encode_async(NULL, queue, room, TQ_F32, 16, 1, room));
	REFUSED("dtype", tq_encode_async(codec, queue, room, 9, 16, 1, room));
	REFUSED("stride", tq_encode_async(codec, queue, room, TQ_F32, 15, 1, room));
	REFUSED("stride", tq_encode_async(codec, queue, room, TQ_F32, SIZE_MAX / 4, 3, room));
	REFUSED("x: not aligned", tq_encode_async(codec, queue, room + 1, TQ_F16, 16, 1, room));
	REFUSED("x is NULL", tq_decode_async(codec, queue, room, 1, NULL, TQ_F32, 16));
	REFUSED("codes", tq_decode_async(codec, queue, NULL, 1, room, TQ_F32, 16));
	REFUSED("first", tq_check_async(codec, queue, room, TQ_F32, 16, 1, NULL));
	REFUSED("prepared",
		tq_query_prepare_async(codec, queue, (float *)(void *)room, 16, 1, room + 32));
	REFUSED("ld",
		tq_score_async(codec, queue, room, 1, room, 5, (float *)(void *)room, 4, NULL));
	REFUSED("batch.query_stride",
		tq_score_async(codec, queue, room, 1, room, 5, (float *)(void *)room, 5,
			       &(struct tq_batch){2, 16, 64, 64}));
	REFUSED("batch.count", tq_score_async(codec, queue, room, 1, room, 5, (float *)(void *)room,
					      5, &(struct tq_batch){65536, 64, 64, 64}));
	REFUSED("k", tq_topk_async(codec, queue, room, 1, room, 5, 1025, (int64_t *)(void *)room,
				   (float *)(void *)room, room));
	REFUSED("scratch", tq_topk_async(codec, queue, room, 1, room, 5, 3, (int64_t *)(void *)room,
					 (float *)(void *)room, room + 64));
	ck_assert_int_eq(fake_calls(), calls);
	ck_assert_int_eq(tq_encode_async(codec, queue, NULL, TQ_F32, 16, 0, NULL), TQ_OK);
	tq_device_codec_destroy(codec);
	tq_queue_destroy(other);
	tq_queue_destroy(queue);
	forget_plan();
	tq_quantizer_destroy(q);
	tq_context_destroy(ctx);
}
END_TEST

/* ---- the host path ---- */

static void *host_alloc(const struct tq_host *host, size_t size)
{
	return aligned_alloc(64, (size + 63) & ~(size_t)63);
}

static void host_free(const struct tq_host *host, void *ptr)
{
	free(ptr);
}

static void host_log(const struct tq_host *host, int level, const char *line)
{
	fprintf(stderr, "%s\n", line);
}

static const struct tq_host host = {
	.struct_size = sizeof(host), .alloc = host_alloc, .free = host_free, .log = host_log};

/* A driver's operations straight from the plugin: the gate would try plans that the fake does not
 * know */
static const struct tq_quantizer_ops *ops_of(const char *name)
{
	const struct tq_plugin *plugin;
	char path[512];
	uint32_t i;

	snprintf(path, sizeof(path), "%s/plugins/cuda/tq-cuda.so", getenv("TQ_TEST_BUILD_ROOT"));
	plugin = dlsym(dlopen(path, RTLD_NOW | RTLD_LOCAL), TQ_PLUGIN_SYMBOL);
	ck_assert_ptr_nonnull(plugin);
	for (i = 0; i < plugin->ndrivers; i++)
		if (!strcmp(plugin->drivers[i].name, name))
			return plugin->drivers[i].ops;
	return NULL;
}

START_TEST(the_host_path_goes_through_both_buffers)
{
	const struct tq_quantizer_ops *encode = ops_of("encode(rht,grid)"),
				      *decode = ops_of("decode(rht,grid)");
	size_t n = 5 * (((size_t)4 << 20) / 1024) + 7, d = 256, size, i;
	float *x = calloc(n * (d + 1), sizeof(*x)), *y[2];
	uint8_t *codes[2];
	struct tq_context *ctx;
	struct tq_quantizer *q;
	void *state;

	ck_assert_int_eq(open_context(&ctx), TQ_OK);
	ck_assert_int_eq(open_quantizer(ctx, "bits=2", (uint32_t)d, "scalar", &q), TQ_OK);
	use_plan(ctx, q->plan);
	size = tq_code_size(q);
	for (i = 0; i < 2; i++) {
		codes[i] = malloc(n * size);
		y[i] = malloc(n * d * sizeof(float));
	}
	for (i = 0; i < n * (d + 1); i++)
		x[i] = noise();
	ck_assert_int_eq(tq_encode(q, x, d + 1, n, codes[0]), TQ_OK);
	ck_assert_int_eq(tq_decode(q, codes[0], n, y[0], d), TQ_OK);
	ck_assert_int_eq(encode->create(&host, q->plan, &state), 0);
	ck_assert_int_eq(encode->encode(q->plan, state, x, TQ_F32, d + 1, n, codes[1]), 0);
	encode->destroy(&host, state);
	ck_assert_int_eq(decode->create(&host, q->plan, &state), 0);
	ck_assert_int_eq(decode->decode(q->plan, state, codes[1], n, y[1], TQ_F32, d), 0);
	decode->destroy(&host, state);
	ck_assert_int_eq(memcmp(codes[0], codes[1], n * size), 0);
	ck_assert_int_eq(memcmp(y[0], y[1], n * d * sizeof(float)), 0);
	ck_assert_int_eq(fake_held(), 0);
	ck_assert_int_eq(fake_depth(), 0);
	for (i = 0; i < 2; i++) {
		free(codes[i]);
		free(y[i]);
	}
	free(x);
	forget_plan();
	tq_quantizer_destroy(q);
	tq_context_destroy(ctx);
}
END_TEST

/* ---- failures ---- */

/* Everything from the context to its end; 0 if all went well, 1 if it failed as it should, else 2
 */
static int whole_life(int strict)
{
	static float x[19 * 8];
	static uint8_t codes[19 * 64];
	struct tq_device_codec *codec = NULL;
	struct tq_queue *queue = NULL;
	struct tq_quantizer *q;
	struct tq_context *ctx;
	int ret;

	if (open_context(&ctx) || open_quantizer(ctx, "bits=2", 8, "scalar", &q))
		return 2;
	use_plan(ctx, q->plan);
	ret = tq_queue_wrap_cuda(ctx, 0, NULL, &queue);
	if (!ret)
		ret = tq_device_codec_create(q, queue, &codec);
	if (!ret)
		ret = tq_encode_async(codec, queue, x, TQ_F32, 8, 19, codes);
	if (ret && !strstr(tq_error_text(), "made to fail") &&
	    !strstr(tq_error_text(), "cannot be made current") &&
	    !strstr(tq_error_text(), "0.0 is too old")) {
		fprintf(stderr, "failure %ld: %d %s\n", fake_failures(), ret, tq_error_text());
		return 2;
	}
	tq_device_codec_destroy(codec);
	tq_queue_destroy(queue);
	forget_plan();
	tq_quantizer_destroy(q);
	tq_context_destroy(ctx);
	if (fake_depth() || (strict && fake_held() && !fake_push_failed())) {
		fprintf(stderr, "held %ld, depth %ld\n", fake_held(), fake_depth());
		return 2;
	}
	return ret ? 1 : 0;
}

static void fail_each_call(int sticky)
{
	int status, failed = 0;
	long n;
	pid_t pid;

	for (n = 0; n < 5000; n++) {
		pid = fork();
		if (!pid) {
			fake_fail_at(n, sticky);
			status = whole_life(!sticky);
			_exit(status == 0 && fake_failures() == 0 ? 3 : status);
		}
		ck_assert(pid > 0 && waitpid(pid, &status, 0) == pid);
		ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) != 2,
			      "call %ld: status 0x%x", n, status);
		failed += WEXITSTATUS(status) == 1;
		if (WEXITSTATUS(status) == 3)
			break;
	}
	ck_assert_msg(n > 100 && n < 5000, "%ld calls", n);
	ck_assert_int_gt(failed, 100);
}

START_TEST(every_call_of_the_driver_can_fail)
{
	fail_each_call(0);
}
END_TEST

START_TEST(the_driver_can_die_at_every_call)
{
	fail_each_call(1);
}
END_TEST

START_TEST(a_child_is_told_that_it_forked)
{
	static float x[19 * 8];
	static uint8_t codes[19 * 64];
	struct tq_device_codec *codec;
	struct tq_queue *queue, *late;
	struct tq_quantizer *q;
	struct tq_context *ctx, *fresh;
	int status;
	pid_t pid;

	ck_assert_int_eq(open_context(&ctx), TQ_OK);
	ck_assert_int_eq(open_quantizer(ctx, "bits=2", 8, "scalar", &q), TQ_OK);
	use_plan(ctx, q->plan);
	ck_assert_int_eq(tq_queue_wrap_cuda(ctx, 0, NULL, &queue), TQ_OK);
	ck_assert_int_eq(tq_device_codec_create(q, queue, &codec), TQ_OK);
	pid = fork();
	if (!pid) {
		status = tq_encode_async(codec, queue, x, TQ_F32, 8, 19, codes) == TQ_ERR_DEVICE &&
			 strstr(tq_error_text(), "forked after init");
		if (open_context(&fresh) || tq_queue_wrap_cuda(fresh, 0, NULL, &late) == TQ_OK ||
		    !strstr(tq_error_text(), "forked after init"))
			status = 0;
		_exit(status ? 0 : 1);
	}
	ck_assert(waitpid(pid, &status, 0) == pid);
	ck_assert_int_eq(status, 0);
	ck_assert_int_eq(tq_encode_async(codec, queue, x, TQ_F32, 8, 19, codes), TQ_OK);
	tq_device_codec_destroy(codec);
	tq_queue_destroy(queue);
	forget_plan();
	tq_quantizer_destroy(q);
	tq_context_destroy(ctx);
}
END_TEST

int main(void)
{
	TCase *present = tcase_create("present"), *device = tcase_create("device"),
	      *failure = tcase_create("failure");
	Suite *s = suite_create("cuda");

	tcase_add_test(present, a_driver_without_a_device_is_not_present);
	tcase_add_test(present, an_empty_list_of_devices_is_not_present);
	tcase_add_test(present, an_old_driver_is_not_present);
	tcase_add_test(present, an_old_gpu_is_not_present);
	tcase_add_test(present, a_failing_driver_is_an_error_with_its_text);
	tcase_add_test(present, a_device_that_is_not_there_is_named);
	tcase_add_test(present, a_quantizer_of_the_cpu_touches_no_gpu);
	tcase_add_loop_test(device, device_calls_give_the_hosts_answers, 0,
			    sizeof(plans) / sizeof(plans[0]));
	tcase_add_loop_test(device, no_codec_passes_with_one_wrong_kernel, 0,
			    sizeof(spoiled) / sizeof(spoiled[0]));
	tcase_add_test(device, bad_arguments_are_named);
	tcase_add_test(device, the_host_path_goes_through_both_buffers);
	tcase_add_test(failure, every_call_of_the_driver_can_fail);
	tcase_add_test(failure, the_driver_can_die_at_every_call);
	tcase_add_test(failure, a_child_is_told_that_it_forked);
	tcase_set_timeout(device, 60);
	tcase_set_timeout(failure, 240);
	suite_add_tcase(s, present);
	suite_add_tcase(s, device);
	suite_add_tcase(s, failure);
	return run_suite(s);
}
