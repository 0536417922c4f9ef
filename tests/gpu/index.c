/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A copy of an index on the GPU against the index: every id and every bit of every score, for each metric and
 * several specs; then both timed.
 *
 *	index check | index time [ROWS]
 *
 * The last line of check is "N passed, N failed".
 */
#define _POSIX_C_SOURCE 199309L
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "tq/device_index.h"
#include "tq/tq.h"

#define QUERIES 300

#define TQ(call)                                                                                                       \
	do {                                                                                                           \
		if (call) {                                                                                            \
			printf("%s: %s\n0 passed, 1 failed\n", #call, tq_error_text());                                \
			exit(1);                                                                                       \
		}                                                                                                      \
	} while (0)

static uint64_t state = 88172645463325252u;

/* About normal, around a mean; xorshift */
static void fill(float *x, size_t n)
{
	size_t i;
	int j;

	for (i = 0; i < n; i++) {
		x[i] = 0.1f;
		for (j = 0; j < 4; j++) {
			state ^= state << 13;
			state ^= state >> 7;
			state ^= state << 17;
			x[i] += (float)(int32_t)(state >> 32) * 0x1p-31f;
		}
	}
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static struct tq_index *make(struct tq_context *ctx, const char *text, uint32_t metric, uint32_t dim, const float *x,
			     size_t n, size_t times)
{
	struct tq_index_options o = {.struct_size = sizeof(o), .metric = metric};
	struct tq_index *ix;
	struct tq_spec spec;
	size_t i;

	tq_spec_init(&spec);
	TQ(tq_spec_parse(&spec, text));
	TQ(tq_index_create(ctx, &spec, dim, &o, &ix));
	TQ(tq_index_train(ix, x, dim, n < 20000 ? n : 20000));
	TQ(tq_index_reserve(ix, n * times));
	for (i = 0; i < times; i++)
		TQ(tq_index_add(ix, x, dim, n, NULL));
	return ix;
}

/* Results of @nq queries that differ */
static size_t differ(struct tq_index *ix, struct tq_device_index *d, const float *q, uint32_t dim, size_t nq, size_t k)
{
	int64_t *ids = calloc(2 * nq * k, sizeof(*ids));
	float *scores = calloc(2 * nq * k, sizeof(*scores));
	size_t i, wrong = 0;

	TQ(tq_index_search(ix, q, dim, nq, k, NULL, ids, scores));
	TQ(tq_device_index_search(d, q, dim, nq, k, ids + nq * k, scores + nq * k));
	for (i = 0; i < nq * k; i++)
		wrong += ids[i] != ids[nq * k + i] || memcmp(&scores[i], &scores[nq * k + i], sizeof(*scores));
	free(scores);
	free(ids);
	return wrong;
}

static int check(struct tq_context *ctx, struct tq_queue *queue)
{
	static const char *const specs[] = {"preset=search bits=4", "preset=search bits=2", "bits=1 correction=unbiased",
					    "bits=6 correction=unbiased scale=f16", "preset=search bits=3 query=s16"};
	static const uint32_t dims[] = {100, 128, 1536};
	size_t n = 20000, passed = 0, failed = 0, s, d, wrong;
	float *x = malloc(n * 1536 * sizeof(*x)), *q = malloc(QUERIES * 1536 * sizeof(*q));
	struct tq_device_index *on;
	struct tq_index *ix;
	uint32_t metric;

	fill(x, n * 1536);
	fill(q, QUERIES * 1536);
	for (s = 0; s < sizeof(specs) / sizeof(specs[0]); s++)
		for (d = 0; d < sizeof(dims) / sizeof(dims[0]); d++)
			for (metric = 0; metric <= TQ_METRIC_L2; metric++) {
				/* the rows twice: each has another of equal score */
				ix = make(ctx, specs[s], metric, dims[d], x, n, 2);
				TQ(tq_device_index_create(ix, queue, &on));
				wrong = differ(ix, on, q, dims[d], 1, 1) + differ(ix, on, q, dims[d], 3, 1000) +
					differ(ix, on, q, dims[d], QUERIES, 10);
				passed += !wrong;
				failed += wrong != 0;
				if (wrong)
					printf("%s, d=%u, %s: %zu results differ\n", specs[s], dims[d],
					       tq_metric_name(metric), wrong);
				tq_device_index_destroy(on);
				tq_index_destroy(ix);
			}
	printf("%zu passed, %zu failed\n", passed, failed);
	free(q);
	free(x);
	return failed != 0;
}

/* Best of several searches, seconds */
static double best(struct tq_index *ix, struct tq_device_index *d, const float *q, uint32_t dim, size_t nq)
{
	int64_t *ids = malloc(nq * 10 * sizeof(*ids));
	float *scores = malloc(nq * 10 * sizeof(*scores));
	double least = 1e9, begin, all = now();
	int i;

	for (i = 0; i < 3 || (i < 200 && now() - all < 0.7); i++) {
		begin = now();
		if (d)
			TQ(tq_device_index_search(d, q, dim, nq, 10, ids, scores));
		else
			TQ(tq_index_search(ix, q, dim, nq, 10, NULL, ids, scores));
		begin = now() - begin;
		least = begin < least ? begin : least;
	}
	free(scores);
	free(ids);
	return least;
}

static int measure(struct tq_context *ctx, struct tq_queue *queue, size_t rows)
{
	static const struct {
		const char *spec;
		uint32_t dim;
	} what[] = {{"preset=search bits=4", 1536}, {"preset=search bits=2", 1536}, {"preset=search bits=4", 128}};
	size_t part = 100000, i, nq;
	float *x = malloc(part * 1536 * sizeof(*x)), *q = malloc(256 * 1536 * sizeof(*q));
	struct tq_device_index *on;
	struct tq_index *ix;
	double begin, cpu, gpu;

	fill(x, part * 1536);
	fill(q, 256 * 1536);
	printf("| rows, spec | copy | queries | CPU, all cores | GPU |\n|---|---|---|---|---|\n");
	for (i = 0; i < sizeof(what) / sizeof(what[0]); i++) {
		ix = make(ctx, what[i].spec, TQ_METRIC_COS, what[i].dim, x, part, rows / part);
		begin = now();
		TQ(tq_device_index_create(ix, queue, &on));
		begin = now() - begin;
		for (nq = 1; nq <= 256; nq *= 16) {
			cpu = best(ix, NULL, q, what[i].dim, nq);
			gpu = best(ix, on, q, what[i].dim, nq);
			printf("| %zu x %u, %s | %.2f s | %zu | %.3f ms | %.3f ms (%.1f x) |\n", rows / part * part,
			       what[i].dim, what[i].spec, begin, nq, 1e3 * cpu, 1e3 * gpu, cpu / gpu);
			fflush(stdout);
		}
		tq_device_index_destroy(on);
		tq_index_destroy(ix);
	}
	free(q);
	free(x);
	return 0;
}

int main(int argc, char **argv)
{
	struct tq_options o = {.struct_size = sizeof(o), .threads = TQ_THREADS_AUTO};
	struct tq_context *ctx;
	struct tq_queue *queue;
	int ret;

	TQ(tq_context_create(&o, &ctx));
	TQ(tq_queue_wrap_cuda(ctx, 0, NULL, &queue));
	ret = argc > 1 && !strcmp(argv[1], "time")
		      ? measure(ctx, queue, argc > 2 ? strtoul(argv[2], NULL, 10) : 1000000)
		      : check(ctx, queue);
	tq_queue_destroy(queue);
	tq_context_destroy(ctx);
	return ret;
}
