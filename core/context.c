/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The context: options, configuration and registry, made in this order and undone in the reverse.
 */
#include <string.h>
#include "conf.h"
#include "context.h"
#include "pool.h"
#include "registry.h"
#include "topo.h"

#ifndef TQ_VERSION
#define TQ_VERSION "0.1.0"
#endif

const char *tq_version(void)
{
	return TQ_VERSION;
}

/* The first version ended before parallel_for. */
#define OPTIONS_SIZE_MIN offsetof(struct tq_options, parallel_for)

/* What the caller's header knows of struct tq_options, the rest zero. */
static int options_take(const struct tq_options *given, struct tq_options *o)
{
	memset(o, 0, sizeof(*o));
	if (!given)
		return TQ_OK;
	if (given->struct_size < OPTIONS_SIZE_MIN || given->struct_size > sizeof(*o))
		return tq_fail(TQ_ERR_ARG, "options->struct_size is %u, expected %zu to %zu",
			       given->struct_size, OPTIONS_SIZE_MIN, sizeof(*o));
	memcpy(o, given, given->struct_size);
	return TQ_OK;
}

static int options_check(const struct tq_options *o)
{
	if (o->flags & ~(TQ_NO_ENV | TQ_NO_CONFIG | TQ_NO_PLUGINS | TQ_NO_PLUGIN_SEARCH))
		return tq_fail(TQ_ERR_ARG, "options->flags 0x%x: unknown bits", o->flags);
	if (o->allocator && (!o->allocator->alloc || !o->allocator->free))
		return tq_fail(TQ_ERR_ARG, "options->allocator: alloc and free must both be set");
	if (o->log_level < TQ_LOG_ERROR || o->log_level > TQ_LOG_DEBUG)
		return tq_fail(TQ_ERR_ARG, "options->log_level %d is no level", o->log_level);
	return TQ_OK;
}

static struct tq_context *context_alloc(const struct tq_options *o)
{
	struct tq_context blank = {.allocator = tq_default_allocator}, *ctx;

	if (o->allocator)
		blank.allocator = *o->allocator;
	blank.log = o->log;
	blank.log_arg = o->log_arg;
	blank.log_level = o->log_level;
	blank.flags = o->flags;
	blank.parallel_for = o->parallel_for;
	blank.parallel_arg = o->parallel_arg;
	ctx = tq_alloc(&blank, sizeof(*ctx));
	if (!ctx)
		return NULL;
	*ctx = blank;
	tq_shared_init(ctx);
	return ctx;
}

/* A hook without a number is the embedder's whole machine. */
static uint32_t threads_wanted(const struct tq_context *ctx)
{
	int n = ctx->config->threads;

	if (n == TQ_CONF_THREADS_AUTO ||
	    (ctx->parallel_for && !tq_config_is_set(ctx->config, "threads")))
		return tq_topo_cores();
	return n ? (uint32_t)n : 1;
}

static int threads_prepare(struct tq_context *ctx)
{
	ctx->threads = threads_wanted(ctx);
	if (ctx->threads == 1 || ctx->parallel_for)
		return TQ_OK;
	return tq_pool_create(ctx, ctx->threads, &ctx->pool);
}

int tq_context_create(const struct tq_options *given, struct tq_context **out)
{
	struct tq_options options;
	struct tq_context *ctx;
	int err;

	if (!out)
		return tq_fail(TQ_ERR_ARG, "ctx is NULL");
	*out = NULL;
	err = options_take(given, &options);
	if (!err)
		err = options_check(&options);
	if (err)
		return err;
	ctx = context_alloc(&options);
	if (!ctx)
		return TQ_ERR_NOMEM;
	err = tq_config_load(ctx, &options, &ctx->config);
	if (err)
		goto err_free_ctx;
	ctx->log_level = ctx->config->log_level;
	err = threads_prepare(ctx);
	if (err)
		goto err_free_config;
	err = tq_registry_create(ctx);
	if (err)
		goto err_free_pool;
	*out = ctx;
	return TQ_OK;

err_free_pool:
	tq_pool_destroy(ctx, ctx->pool);
err_free_config:
	tq_config_free(ctx, ctx->config);
err_free_ctx:
	tq_shared_free(ctx);
	tq_free(&(struct tq_context){.allocator = ctx->allocator}, ctx);
	return err;
}

void tq_context_destroy(struct tq_context *ctx)
{
	struct tq_context last;

	if (!ctx)
		return;
	tq_pool_destroy(ctx, ctx->pool);
	tq_registry_destroy(ctx);
	tq_config_free(ctx, ctx->config);
	tq_shared_free(ctx);
	last = *ctx;
	tq_free(&last, ctx);
}

uint32_t tq_context_threads(const struct tq_context *ctx)
{
	return ctx ? ctx->threads : 0;
}

void tq_context_config(struct tq_context *ctx, FILE *out)
{
	if (ctx && out)
		tq_config_show(ctx->config, out);
}

int tq_context_profile(struct tq_context *ctx, const char *name, const char **spec)
{
	if (!ctx || !spec)
		return tq_fail(TQ_ERR_ARG, "%s is NULL", ctx ? "spec" : "ctx");
	*spec = tq_config_profile(ctx->config, name);
	return *spec ? TQ_OK : TQ_ERR_CONFIG;
}
