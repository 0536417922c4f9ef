/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The context's threads. One job at a time: a number of tasks, which the caller and whoever wakes
 * up take one by one. The mutex guards the hand-over alone and is free while tasks run.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "pool.h"
#include "topo.h"

/**
 * struct tq_pool - workers and the job that they are at
 * @busy:    somebody is inside tq_pool_run()
 * @pid:     the process whose threads they are
 * @size:    threads wanted, the caller's among them
 * @started: workers that run
 * @tried:   starting was tried
 * @job:     counts jobs: a worker waits for the next
 * @n:       tasks of the job
 * @next:    the next task
 * @left:    tasks that did not return yet
 */
struct tq_pool {
	struct tq_context *ctx;
	atomic_flag busy;
	pid_t pid;
	uint32_t size;
	uint32_t started;
	bool tried;
	pthread_mutex_t lock;
	pthread_cond_t work;
	pthread_cond_t done;
	bool stop;
	uint64_t job;
	size_t n, next, left;
	tq_task_fn task;
	void *arg;
	pthread_t threads[];
};

int tq_pool_create(struct tq_context *ctx, uint32_t threads, struct tq_pool **out)
{
	struct tq_pool *pool = tq_alloc(ctx, sizeof(*pool) + threads * sizeof(pool->threads[0]));

	if (!pool)
		return TQ_ERR_NOMEM;
	pool->ctx = ctx;
	pool->pid = getpid();
	pool->size = threads;
	atomic_flag_clear(&pool->busy);
	pthread_mutex_init(&pool->lock, NULL);
	pthread_cond_init(&pool->work, NULL);
	pthread_cond_init(&pool->done, NULL);
	*out = pool;
	return TQ_OK;
}

/* Tasks of the job, one after the other, as long as there are any. Called with the lock. */
static void take_tasks(struct tq_pool *pool)
{
	size_t i;

	while (pool->next < pool->n) {
		i = pool->next++;
		pthread_mutex_unlock(&pool->lock);
		pool->task(pool->arg, i);
		pthread_mutex_lock(&pool->lock);
		if (--pool->left == 0)
			pthread_cond_signal(&pool->done);
	}
}

static void *worker(void *arg)
{
	struct tq_pool *pool = arg;
	uint64_t seen = 0;

	pthread_mutex_lock(&pool->lock);
	while (!pool->stop) {
		if (pool->job == seen) {
			pthread_cond_wait(&pool->work, &pool->lock);
			continue;
		}
		seen = pool->job;
		take_tasks(pool);
	}
	pthread_mutex_unlock(&pool->lock);
	return NULL;
}

/* One worker, pinned to @cpu before it runs; -1 for wherever the system likes. */
static int start_worker(struct tq_pool *pool, pthread_t *thread, int cpu)
{
	pthread_attr_t attr;
	cpu_set_t *set = cpu >= 0 ? CPU_ALLOC((size_t)cpu + 1) : NULL;
	size_t size = set ? CPU_ALLOC_SIZE((size_t)cpu + 1) : 0;
	int err;

	if (pthread_attr_init(&attr)) {
		CPU_FREE(set);
		return -1;
	}
	if (set) {
		CPU_ZERO_S(size, set);
		CPU_SET_S((size_t)cpu, size, set);
		pthread_attr_setaffinity_np(&attr, size, set);
		CPU_FREE(set);
	}
	err = pthread_create(thread, &attr, worker, pool);
	pthread_attr_destroy(&attr);
	if (err && cpu >= 0)
		return start_worker(pool, thread, -1);
	return err;
}

/* Fewer threads than wanted are a reason to say so, not to fail: the results are the same. */
static void start_workers(struct tq_pool *pool)
{
	struct tq_place *places;
	sigset_t all, before;
	uint32_t i, known = 0;
	char name[16];

	pool->tried = true;
	places = tq_alloc(pool->ctx, pool->size * sizeof(*places));
	if (places)
		known = tq_topo_places(places, pool->size);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	for (i = 1; i < pool->size; i++) {
		if (start_worker(pool, &pool->threads[pool->started], known ? places[i].cpu : -1))
			break;
		snprintf(name, sizeof(name), "tq-%u", i % 10000);
		pthread_setname_np(pool->threads[pool->started++], name);
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	tq_free(pool->ctx, places);
	if (i < pool->size)
		tq_log(pool->ctx, TQ_LOG_WARN, "threads: %u of %u could be started", i, pool->size);
	else
		tq_log(pool->ctx, TQ_LOG_INFO, "threads: a pool of %u, %s", pool->size,
		       known ? "one per core, pinned" : "not pinned");
}

bool tq_pool_run(struct tq_pool *pool, size_t n, tq_task_fn task, void *arg)
{
	if (pool->pid != getpid() || atomic_flag_test_and_set(&pool->busy))
		return false;
	if (!pool->tried)
		start_workers(pool);
	pthread_mutex_lock(&pool->lock);
	pool->task = task;
	pool->arg = arg;
	pool->n = pool->left = n;
	pool->next = 0;
	pool->job++;
	pthread_cond_broadcast(&pool->work);
	take_tasks(pool);
	while (pool->left)
		pthread_cond_wait(&pool->done, &pool->lock);
	pthread_mutex_unlock(&pool->lock);
	atomic_flag_clear(&pool->busy);
	return true;
}

uint32_t tq_pool_started(const struct tq_pool *pool)
{
	return pool->started;
}

void tq_pool_destroy(struct tq_context *ctx, struct tq_pool *pool)
{
	uint32_t i;

	if (!pool)
		return;
	if (pool->pid == getpid()) {
		pthread_mutex_lock(&pool->lock);
		pool->stop = true;
		pthread_cond_broadcast(&pool->work);
		pthread_mutex_unlock(&pool->lock);
		for (i = 0; i < pool->started; i++)
			pthread_join(pool->threads[i], NULL);
		pthread_cond_destroy(&pool->done);
		pthread_cond_destroy(&pool->work);
		pthread_mutex_destroy(&pool->lock);
	}
	tq_free(ctx, pool);
}
