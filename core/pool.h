/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_POOL_H
#define TQ_POOL_H

#include <stdbool.h>
#include "context.h"

/**
 * tq_pool_create - a pool of @threads, the caller's among them; starts none
 * @threads: at least 2
 *
 * Return: TQ_OK; TQ_ERR_NOMEM.
 */
int tq_pool_create(struct tq_context *ctx, uint32_t threads, struct tq_pool **pool);

/** tq_pool_destroy - join the threads; NULL is allowed. In a forked child there is nobody to join.
 */
void tq_pool_destroy(struct tq_context *ctx, struct tq_pool *pool);

/**
 * tq_pool_run - call @task(@arg, i) once for each i < @n, on the pool's threads and the caller's
 *
 * The first call starts the threads.
 *
 * Return: true when all are done; false, with none begun, if the pool is at work for somebody else
 * or was left behind by fork().
 */
bool tq_pool_run(struct tq_pool *pool, size_t n, tq_task_fn task, void *arg);

/** tq_pool_started - how many threads the pool has beside its callers' */
uint32_t tq_pool_started(const struct tq_pool *pool);

#endif
