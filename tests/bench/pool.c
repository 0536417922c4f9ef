/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "baseline.h"
#include "bench.h"
#include "pool.h"

#define MAX_THREADS 256

struct pool {
	unsigned threads, next;
	pthread_t thread[MAX_THREADS];
	pthread_barrier_t start, end;
	const char *from;
	char *to;
	size_t n;
	int stop;
};

static void work(const struct pool *pool, unsigned index)
{
	size_t slice = (pool->n / pool->threads + 63) / 64 * 64, at = index * slice;
	size_t n = at >= pool->n ? 0 : pool->n - at < slice ? pool->n - at : slice;
	volatile uint64_t sink;

	if (pool->to) {
		memcpy(pool->to + at, pool->from + at, n);
		return;
	}
	sink = baseline_sum(pool->from + at, n);
	(void)sink;
}

static void *serve(void *arg)
{
	struct pool *pool = arg;
	unsigned index = __atomic_fetch_add(&pool->next, 1, __ATOMIC_RELAXED);

	for (;;) {
		pthread_barrier_wait(&pool->start);
		if (pool->stop)
			return NULL;
		work(pool, index);
		pthread_barrier_wait(&pool->end);
	}
}

struct pool *pool_create(unsigned threads)
{
	struct pool *pool = calloc(1, sizeof(*pool));
	unsigned i;

	if (!pool || threads < 1 || threads > MAX_THREADS)
		bench_die("no pool of %u threads", threads);
	pool->threads = threads;
	pool->next = 1;
	pthread_barrier_init(&pool->start, NULL, threads);
	pthread_barrier_init(&pool->end, NULL, threads);
	for (i = 1; i < threads; i++)
		if (pthread_create(&pool->thread[i], NULL, serve, pool))
			bench_die("pthread_create failed");
	return pool;
}

void pool_destroy(struct pool *pool)
{
	unsigned i;

	pool->stop = 1;
	pthread_barrier_wait(&pool->start);
	for (i = 1; i < pool->threads; i++)
		pthread_join(pool->thread[i], NULL);
	pthread_barrier_destroy(&pool->start);
	pthread_barrier_destroy(&pool->end);
	free(pool);
}

static void run(struct pool *pool, void *to, const void *from, size_t n)
{
	pool->to = to;
	pool->from = from;
	pool->n = n;
	pthread_barrier_wait(&pool->start);
	work(pool, 0);
	pthread_barrier_wait(&pool->end);
}

void pool_sum(struct pool *pool, const void *p, size_t n)
{
	run(pool, NULL, p, n);
}

void pool_copy(struct pool *pool, void *to, const void *from, size_t n)
{
	run(pool, to, from, n);
}
