/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_CORE_CONTEXT_H
#define TQ_CORE_CONTEXT_H

#include "core.h"
#include "shared.h"

struct tq_registry;
struct tq_config;
struct tq_pool;

/**
 * struct tq_context - what one embedder's use of the library owns
 * @allocator: where every byte comes from; both functions set
 * @log:       NULL for silence
 * @log_arg:   passed to @log
 * @log_level: lines above this level are not made
 * @flags:     TQ_NO_*
 * @threads:   over how many a large call is split, at least 1
 * @parallel_for: the embedder's threads, or NULL
 * @parallel_arg: passed to it
 * @pool:      NULL if @threads is 1 or the embedder has its own
 * @registry:  plugins and drivers, behind its own lock
 * @config:    the settings in force
 * @shared:    tables that quantizers share, behind a lock of their own
 *
 * Everything but the registry and @shared is read-only after tq_context_create().
 */
struct tq_context {
	struct tq_allocator allocator;
	tq_log_fn log;
	void *log_arg;
	int log_level;
	uint32_t flags;
	uint32_t threads;
	tq_parallel_for_fn parallel_for;
	void *parallel_arg;
	struct tq_pool *pool;
	struct tq_registry *registry;
	struct tq_config *config;
	struct tq_shared shared;
};

/** tq_default_allocator - aligned_alloc() and free() */
extern const struct tq_allocator tq_default_allocator;

#endif
