/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Profiles of caches: the configuration's, and those that are always there, at 8, 4, 3 and 2 bits a coordinate (mean of
 * keys and values). kv8 to kv2 are served at full speed by every CPU backend and by CUDA; the fine ones have
 * the same bytes and diverge less, by codes that are dearer to find and to read. Why these: docs/BENCHMARKS.md, "Which
 * profile". What is better for one model, "tq kv plan" finds.
 */

#include "conf.h"
#include "context.h"
#include "kv.h"

#define NAMES_MAX 64

#define OWN(n, k, v)                                                                                             \
	{ .name = n, .key = k " scale=bf16", .value = v " scale=bf16", .raw_type = TQ_F16, .sinks = 4,        \
	  .window = 64, .page_tokens = 128, .center = TQ_KV_CENTER_LEARN, .center_tokens = 128 }

/*
 * Values are summed up with weights: errors of their directions cancel, a scale that is too small in every row does
 * not, so theirs is unbiased. At 8 bits there is nothing left for effort to win.
 */
static const struct tq_kv_profile own[] = {
	OWN("kv8", "bits=8", "bits=8 correction=unbiased"),
	OWN("kv4", "bits=4 effort=1", "bits=4 effort=1 correction=unbiased"),
	OWN("kv3", "bits=4 effort=1", "bits=2 effort=1 correction=unbiased"),
	OWN("kv2", "bits=2 effort=1", "bits=2 effort=1 correction=unbiased"),
	OWN("kv4-fine", "bits=5 effort=1", "code=tcq bits=3 correction=unbiased"),
	OWN("kv3-fine", "code=tcq bits=4", "code=tcq bits=2 correction=unbiased"),
	OWN("kv2-fine", "code=tcq bits=3", "code=tcq bits=1 correction=unbiased"),
};

#define NOWN (sizeof(own) / sizeof(own[0]))

static const struct tq_kv_profile *configured(struct tq_context *ctx, const char *name)
{
	const struct tq_kv_profile *p;

	for (p = ctx->config->kv; p && strcmp(p->name, name); p = p->next)
		;
	return p;
}

const char *tq_kv_profile_name(struct tq_context *ctx, unsigned index)
{
	const struct tq_kv_profile *p;
	unsigned i;

	if (!ctx)
		return NULL;
	for (p = ctx->config->kv; p && index; p = p->next)
		index--;
	if (p)
		return p->name;
	for (i = 0; i < NOWN; i++)
		if (!configured(ctx, own[i].name) && !index--)
			return own[i].name;
	return NULL;
}

static const struct tq_kv_profile *find(struct tq_context *ctx, const char *name)
{
	const struct tq_kv_profile *p = configured(ctx, name);
	const char *names[NAMES_MAX + 1], *close;
	unsigned i;

	for (i = 0; !p && i < NOWN; i++)
		if (!strcmp(own[i].name, name))
			p = &own[i];
	if (p)
		return p;
	for (i = 0; i < NAMES_MAX && (names[i] = tq_kv_profile_name(ctx, i)); i++)
		;
	names[i] = NULL;
	close = tq_suggest(name, names);
	tq_fail(TQ_ERR_CONFIG, "no KV profile \"%.64s\"%s%s%s", name, close ? "; did you mean \"" : "",
		close ? close : "", close ? "\"?" : "");
	return NULL;
}

int tq_kv_options_profile(struct tq_context *ctx, const char *name, struct tq_kv_options *options)
{
	const struct tq_kv_profile *p;

	if (!ctx || !name || !options)
		return tq_fail(TQ_ERR_ARG, "%s is NULL", !ctx ? "ctx" : !name ? "name" : "options");
	if (options->struct_size != sizeof(*options))
		return tq_fail(TQ_ERR_ARG, "options.struct_size: %u is not %zu", options->struct_size,
			       sizeof(*options));
	p = find(ctx, name);
	if (!p)
		return TQ_ERR_CONFIG;
	options->key_spec = p->key;
	options->value_spec = p->value;
	options->overrides = p->overrides;
	options->noverrides = p->noverrides;
	options->raw_type = p->raw_type;
	options->sinks = p->sinks;
	options->window = p->window;
	options->page_tokens = p->page_tokens;
	options->center = p->center;
	options->center_tokens = p->center_tokens;
	options->centre = NULL;
	return TQ_OK;
}
