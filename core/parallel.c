/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loops over rows, split over threads. A loop becomes a few lanes, one per thread; each takes the
 * next tile of rows until there is none. Which lane gets which tile is chance; what comes out is
 * not.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include "parallel.h"
#include "pool.h"

#define TEXT_MAX 512

/* This thread is in a lane: a loop within a loop is not split again. */
static _Thread_local bool in_lane;

/* One loop; what failed is that of the lowest rows so far. */
struct loop {
	size_t n;
	size_t tile;
	tq_rows_fn fn;
	void *arg;
	atomic_size_t next;
	atomic_int failed;
	pthread_mutex_t lock;
	size_t at;
	int code;
	uint64_t row;
	char text[TEXT_MAX];
};

static void note_failure(struct loop *l, size_t at, int code)
{
	pthread_mutex_lock(&l->lock);
	if (!l->code || at < l->at) {
		l->at = at;
		l->code = code;
		l->row = tq_error_row();
		snprintf(l->text, sizeof(l->text), "%s", tq_error_text());
	}
	pthread_mutex_unlock(&l->lock);
	atomic_store_explicit(&l->failed, 1, memory_order_relaxed);
}

static void run_lane(void *arg, size_t lane)
{
	struct loop *l = arg;
	bool outer = in_lane;
	size_t first, n;
	int code;

	in_lane = true;
	while (!atomic_load_explicit(&l->failed, memory_order_relaxed)) {
		first = atomic_fetch_add_explicit(&l->next, 1, memory_order_relaxed);
		if (first > (l->n - 1) / l->tile)
			break;
		first *= l->tile;
		n = l->n - first < l->tile ? l->n - first : l->tile;
		code = l->fn(l->arg, (uint32_t)lane, first, n);
		if (code)
			note_failure(l, first, code);
	}
	in_lane = outer;
}

uint32_t tq_rows_lanes(const struct tq_context *ctx, size_t n, size_t tile)
{
	size_t tiles = n / tile;

	if (tiles < 2 || in_lane)
		return 1;
	return tiles < ctx->threads ? (uint32_t)tiles : ctx->threads;
}

int tq_rows_run(struct tq_context *ctx, size_t n, size_t tile, uint32_t lanes, tq_rows_fn fn,
		void *arg)
{
	struct loop l;

	if (n == 0)
		return TQ_OK;
	if (lanes < 2)
		return fn(arg, 0, 0, n);
	l = (struct loop){.n = n, .tile = tile, .fn = fn, .arg = arg};
	pthread_mutex_init(&l.lock, NULL);
	if (ctx->parallel_for)
		ctx->parallel_for(ctx->parallel_arg, lanes, run_lane, &l);
	else
		tq_pool_run(ctx->pool, lanes, run_lane, &l);
	/* what a busy pool, or a hook that forgot its tasks, has left */
	run_lane(&l, 0);
	pthread_mutex_destroy(&l.lock);
	if (!l.code)
		return TQ_OK;
	return l.row == TQ_NO_ROW ? tq_fail(l.code, "%s", l.text)
				  : tq_fail_row(l.code, l.row, "%s", l.text);
}

int tq_rows_split(struct tq_context *ctx, size_t n, size_t tile, tq_rows_fn fn, void *arg)
{
	return tq_rows_run(ctx, n, tile, tq_rows_lanes(ctx, n, tile), fn, arg);
}

size_t tq_rows_tile(size_t work, size_t each)
{
	size_t rows = work / each;

	if (rows >= 64)
		return rows / 64 * 64;
	return rows ? rows : 1;
}
