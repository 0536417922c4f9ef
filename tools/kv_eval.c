/* SPDX-License-Identifier: Apache-2.0 */

/* tq kv eval: what specs do to the attention of a model whose keys, values and queries were dumped. */

#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli.h"
#include "json.h"
#include "kv.h"

#define SPECS_MAX 32
#define USAGE "tq kv eval K.npy V.npy Q.npy [--spec S]... [--profile P]... [--svg FILE]"

static const char *const usual[] = {"bits=8 scale=bf16", "bits=4 scale=bf16", "bits=4 scale=bf16 effort=1",
				    "bits=4 scale=bf16 / bits=3 scale=bf16", "bits=3 scale=bf16",
				    "bits=2 scale=bf16"};

struct eval_kv {
	struct settings common;
	struct tq_kv_options kv;
	const char *specs[SPECS_MAX];
	bool profile[SPECS_MAX];
	size_t nspecs;
	const char *svg;
};

/** struct result - one spec; @cells: layers x KV heads */
struct result {
	uint64_t bytes;
	struct kv_cell *cells, all;
	double kl999;
};

enum letter { SPEC = 256, PROFILE, SVG };

static int take(struct eval_kv *o, int letter, const char *text)
{
	switch (letter) {
	case SPEC:
	case PROFILE:
		if (o->nspecs == SPECS_MAX)
			return cli_fail(CLI_USAGE, "--spec, --profile: more than %d", SPECS_MAX);
		o->profile[o->nspecs] = letter == PROFILE;
		o->specs[o->nspecs++] = text;
		return 0;
	case SVG:
		o->svg = text;
		return 0;
	default:
		if (letter >= KV_SINKS && letter <= KV_CENTER_TOKENS)
			return kv_take_option(&o->kv, letter, text, UINT32_MAX);
		return settings_take(&o->common, letter, text);
	}
}

static int parse(int argc, char **argv, struct eval_kv *o)
{
	static const struct option options[] = {
		{"spec", required_argument, NULL, SPEC},
		{"profile", required_argument, NULL, PROFILE},
		{"svg", required_argument, NULL, SVG},
		KV_CACHE_OPTIONS,
		SETTINGS_OPTIONS,
		{0},
	};
	int letter, ret = 0;

	tq_kv_options_init(&o->kv);
	o->kv.page_tokens = 16;
	o->kv.center = TQ_KV_CENTER_LEARN;
	o->kv.center_tokens = 128;
	while (!ret && (letter = getopt_long(argc, argv, "", options, NULL)) != -1)
		ret = take(o, letter, optarg);
	if (ret)
		return ret;
	if (!o->nspecs) {
		o->nspecs = sizeof(usual) / sizeof(usual[0]);
		memcpy(o->specs, usual, sizeof(usual));
	}
	return settings_operands(argc - optind, argv + optind, 3, USAGE);
}

static int by_value(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return (x > y) - (x < y);
}

static double quantile999(float *kl, size_t n)
{
	qsort(kl, n, sizeof(*kl), by_value);
	return (double)kl[(size_t)ceil(0.999 * (double)n) - 1];
}

static void add(struct kv_cell *to, const struct kv_cell *c)
{
	to->logit += c->logit;
	to->nlogits += c->nlogits;
	to->kl += c->kl;
	to->error += c->error;
	to->norm += c->norm;
	to->n += c->n;
}

/* Every head over what the cache returned */
static int measure_heads(const struct kv_dump *d, const float *keys, const float *values, float *kl, struct result *r)
{
	size_t per_head = (size_t)d->query_heads / d->kv_heads * d->queries, n = (size_t)d->layers * d->kv_heads;
	int ret = 0;

	for (size_t i = 0; !ret && i < n; i++) {
		ret = interrupted();
		if (!ret)
			ret = kv_compare(d, (uint32_t)(i / d->kv_heads), (uint32_t)(i % d->kv_heads), keys, values,
					 &r->cells[i], kl + i * per_head);
		add(&r->all, &r->cells[i]);
		progress("heads", i + 1, n);
	}
	if (!ret)
		r->kl999 = quantile999(kl, n * per_head);
	return ret;
}

static int measure(const struct eval_kv *o, struct tq_context *ctx, const struct kv_dump *d, size_t i,
		   struct result *r)
{
	size_t heads = (size_t)d->layers * d->kv_heads, rows = heads * d->tokens;
	float *keys = malloc(rows * d->key_dim * sizeof(*keys)), *values = malloc(rows * d->value_dim * sizeof(*values));
	float *kl = malloc((size_t)d->layers * d->query_heads * d->queries * sizeof(*kl));
	struct tq_kv_options kv = o->kv;
	char room[KV_SPECS_MAX];
	int ret = 0;

	r->cells = calloc(heads, sizeof(*r->cells));
	if (!keys || !values || !kl || !r->cells)
		ret = cli_fail(CLI_UNMET, "out of memory");
	kv_dump_options(d, &kv);
	if (!ret && o->profile[i]) {
		int status = tq_kv_options_profile(ctx, o->specs[i], &kv);

		ret = status ? cli_fail_status(status, "--profile") : 0;
	} else if (!ret) {
		ret = kv_take_specs(o->specs[i], room, &kv);
	}
	if (!ret && kv.center && kv.center_tokens + (uint64_t)kv.sinks > d->tokens)
		ret = cli_fail(CLI_USAGE, "the dump has %u tokens; the centre is learned from %u behind %u sinks", d->tokens,
			       kv.center_tokens, kv.sinks);
	if (!ret)
		ret = kv_decode(ctx, &kv, d, keys, values, &r->bytes);
	if (!ret)
		ret = measure_heads(d, keys, values, kl, r);
	free(kl);
	free(values);
	free(keys);
	return ret;
}

static double logit_error(const struct kv_cell *c)
{
	return sqrt(c->logit / c->nlogits);
}

static double output_error(const struct kv_cell *c)
{
	return c->norm > 0 ? sqrt(c->error / c->norm) : 0;
}

static void print_row(const char *name, const struct result *r)
{
	printf("%12" PRIu64 " %11.4g %11.4g %11.4g %11.4g  %s\n", r->bytes, logit_error(&r->all), r->all.kl / r->all.n,
	       r->kl999, output_error(&r->all), name);
	fflush(stdout);
}

static void print_cells(struct json *j, const struct kv_dump *d, const struct result *r)
{
	json_array(j, "cells");
	for (uint32_t i = 0; i < d->layers * d->kv_heads; i++) {
		json_object(j, NULL);
		json_unsigned(j, "layer", i / d->kv_heads);
		json_unsigned(j, "head", i % d->kv_heads);
		json_number(j, "logit_error", logit_error(&r->cells[i]));
		json_number(j, "kl_mean", r->cells[i].kl / r->cells[i].n);
		json_number(j, "output_error", output_error(&r->cells[i]));
		json_object_end(j);
	}
	json_array_end(j);
}

static void print_json(const struct eval_kv *o, const struct kv_dump *d, const struct result *results)
{
	struct json j;

	json_begin(&j, stdout);
	json_object(&j, NULL);
	json_unsigned(&j, "layers", d->layers);
	json_unsigned(&j, "kv_heads", d->kv_heads);
	json_unsigned(&j, "query_heads", d->query_heads);
	json_unsigned(&j, "tokens", d->tokens);
	json_unsigned(&j, "query_tokens", d->queries);
	json_unsigned(&j, "key_dim", d->key_dim);
	json_unsigned(&j, "value_dim", d->value_dim);
	json_array(&j, "results");
	for (size_t i = 0; i < o->nspecs; i++) {
		const struct result *r = &results[i];

		json_object(&j, NULL);
		json_string(&j, o->profile[i] ? "profile" : "spec", o->specs[i]);
		json_unsigned(&j, "bytes_per_token", r->bytes);
		json_number(&j, "logit_error", logit_error(&r->all));
		json_number(&j, "kl_mean", r->all.kl / r->all.n);
		json_number(&j, "kl_999", r->kl999);
		json_number(&j, "output_error", output_error(&r->all));
		print_cells(&j, d, r);
		json_object_end(&j);
	}
	json_array_end(&j);
	json_object_end(&j);
}

static int draw(const struct eval_kv *o, const struct kv_dump *d, const struct result *results)
{
	struct kv_panel panels[SPECS_MAX];

	for (size_t i = 0; i < o->nspecs; i++)
		panels[i] = (struct kv_panel){.title = o->specs[i], .cells = results[i].cells};
	return kv_draw(o->svg, d, panels, o->nspecs);
}

static int measure_all(const struct eval_kv *o, struct tq_context *ctx, const struct kv_dump *d)
{
	struct result results[SPECS_MAX] = {{0}};
	int ret = 0;

	if (!o->common.json)
		printf("%u layers of %u KV heads and %u query heads, %u tokens, queries of the last %u\n\n%12s %11s %11s "
		       "%11s %11s  %s\n",
		       d->layers, d->kv_heads, d->query_heads, d->tokens, d->queries, "bytes/token", "logits", "mean KL",
		       "99.9 % KL", "outputs", "profile, or spec (keys / values)");
	for (size_t i = 0; !ret && i < o->nspecs; i++) {
		ret = measure(o, ctx, d, i, &results[i]);
		if (!ret && !o->common.json)
			print_row(o->specs[i], &results[i]);
	}
	if (!ret && o->common.json)
		print_json(o, d, results);
	if (!ret && o->svg)
		ret = draw(o, d, results);
	for (size_t i = 0; i < o->nspecs; i++)
		free(results[i].cells);
	return ret ? ret : cli_flush();
}

int kv_eval(int argc, char **argv)
{
	struct eval_kv o = {0};
	struct tq_context *ctx;
	struct kv_dump d;
	int ret = parse(argc, argv, &o);

	if (ret)
		return ret;
	catch_interrupt();
	ret = kv_dump_load(&d, argv[optind], argv[optind + 1], argv[optind + 2]);
	if (ret)
		return ret;
	ret = settings_context(&o.common, &ctx);
	if (!ret) {
		ret = measure_all(&o, ctx, &d);
		tq_context_destroy(ctx);
	}
	kv_dump_unload(&d);
	return ret;
}
