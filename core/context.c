/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The context: options, configuration and registry, made in this order and undone in the reverse.
 */
#include <string.h>
#include "conf.h"
#include "context.h"
#include "registry.h"
#include "topo.h"

#ifndef TQ_VERSION
#define TQ_VERSION "0.1.0"
#endif

const char *tq_version(void)
{
	return TQ_VERSION;
}

static int options_check(const struct tq_options *o)
{
	if (o->struct_size != sizeof(*o))
		return tq_fail(TQ_ERR_ARG, "options->struct_size is %u, expected %zu", o->struct_size,
			       sizeof(*o));
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
	struct tq_context blank = { .allocator = tq_default_allocator }, *ctx;

	if (o && o->allocator)
		blank.allocator = *o->allocator;
	if (o) {
		blank.log = o->log;
		blank.log_arg = o->log_arg;
		blank.log_level = o->log_level;
		blank.flags = o->flags;
	}
	ctx = tq_alloc(&blank, sizeof(*ctx));
	if (ctx)
		*ctx = blank;
	return ctx;
}

int tq_context_create(const struct tq_options *options, struct tq_context **out)
{
	struct tq_context *ctx;
	int err;

	if (!out)
		return tq_fail(TQ_ERR_ARG, "ctx is NULL");
	*out = NULL;
	err = options ? options_check(options) : TQ_OK;
	if (err)
		return err;
	ctx = context_alloc(options);
	if (!ctx)
		return TQ_ERR_NOMEM;
	err = tq_config_load(ctx, options, &ctx->config);
	if (err)
		goto err_free_ctx;
	ctx->log_level = ctx->config->log_level;
	ctx->threads = ctx->config->threads == TQ_THREADS_AUTO ? tq_topo_cores() :
								 (uint32_t)ctx->config->threads;
	err = tq_registry_create(ctx);
	if (err)
		goto err_free_config;
	*out = ctx;
	return TQ_OK;

err_free_config:
	tq_config_free(ctx, ctx->config);
err_free_ctx:
	tq_free(&(struct tq_context){ .allocator = ctx->allocator }, ctx);
	return err;
}

void tq_context_destroy(struct tq_context *ctx)
{
	struct tq_context last;

	if (!ctx)
		return;
	tq_registry_destroy(ctx);
	tq_config_free(ctx, ctx->config);
	last = *ctx;
	tq_free(&last, ctx);
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
