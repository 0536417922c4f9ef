/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_BENCH_POOL_H
#define TQ_BENCH_POOL_H

/*
 * Threads that read memory together: the speed of memory that a scan with as many threads is held
 * against. They wait between runs, so that a run costs two barriers.
 */

#include <stddef.h>

struct pool;

/** pool_create - @threads threads, the caller among them */
struct pool *pool_create(unsigned threads);
void pool_destroy(struct pool *pool);

/** pool_sum - read @n bytes, a slice per thread */
void pool_sum(struct pool *pool, const void *p, size_t n);

/** pool_copy - copy @n bytes, a slice per thread */
void pool_copy(struct pool *pool, void *to, const void *from, size_t n);

#endif
