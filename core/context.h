/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_CORE_CONTEXT_H
#define TQ_CORE_CONTEXT_H

#include "core.h"

struct tq_registry;
struct tq_config;

/**
 * struct tq_context - what one embedder's use of the library owns
 * @allocator: where every byte comes from; both functions set
 * @log:       NULL for silence
 * @log_arg:   passed to @log
 * @log_level: lines above this level are not made
 * @flags:     TQ_NO_*
 * @threads:   0 or 1: the caller's thread alone
 * @registry:  plugins and drivers, behind its own lock
 * @config:    the settings in force
 *
 * Everything but the registry is read-only after tq_context_create().
 */
struct tq_context {
	struct tq_allocator allocator;
	tq_log_fn log;
	void *log_arg;
	int log_level;
	uint32_t flags;
	uint32_t threads;
	struct tq_registry *registry;
	struct tq_config *config;
};

/** tq_default_allocator - aligned_alloc() and free() */
extern const struct tq_allocator tq_default_allocator;

#endif
