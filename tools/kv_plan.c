/* SPDX-License-Identifier: Apache-2.0 */

/*
 * tq kv plan: key and value specs for each layer and head under a budget of bytes per token, written as a profile
 * that tq_kv_options_profile() takes.
 *
 * The cost of a candidate is what it alone does to the head's output: mean |o' - o|^2 over mean |o|^2, with only the
 * keys or only the values of the head coded. Divergence of the softmax says nothing about values; this says the same
 * of both.
 */

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli.h"
#include "json.h"
#include "kv.h"
#include "kv_plan.h"
#include "vectors.h"

#define CANDIDATES_MAX 16
#define USAGE "tq kv plan --budget BYTES K.npy V.npy Q.npy [K.npy V.npy Q.npy]..."

/* Of few bits both ways: the least error of rows, which is best for keys, and no shrinking, best where many are summed up */
static const char *const usual[] = {"bits=1 scale=bf16 effort=1 correction=unbiased",
				    "bits=2 scale=bf16 effort=1",
				    "bits=2 scale=bf16 effort=1 correction=unbiased",
				    "bits=3 scale=bf16 effort=1",
				    "bits=3 scale=bf16 effort=1 correction=unbiased",
				    "bits=4 scale=bf16 effort=1",
				    "bits=4 scale=bf16 effort=1 correction=unbiased",
				    "bits=5 scale=bf16 effort=1",
				    "bits=6 scale=bf16 effort=1",
				    "bits=8 scale=bf16 effort=1"};

struct plan_kv {
	struct settings common;
	struct tq_kv_options kv; /* of the profile, without specs */
	const char *specs[CANDIDATES_MAX];
	size_t nspecs;
	const char *name, *output;
	uint64_t budget;
};

/**
 * struct plan - what is measured and chosen
 * @shape:  the first dump's shapes
 * @cost:   items x candidates, summed over dumps
 * @bytes:  2 x candidates, see struct kv_choice
 * @fixed:  bytes of a page of a head with the first candidate for both
 */
struct plan {
	struct kv_dump shape;
	size_t heads, items;
	double *cost;
	int64_t bytes[2 * CANDIDATES_MAX];
	int64_t fixed;
	unsigned *chosen;
	uint64_t token_bytes;
};

enum letter { SPEC = 256, BUDGET, NAME, OUTPUT };

static int take_name(struct plan_kv *o, const char *text)
{
	size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");

	if (!n || text[n] || n > 63 || !strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"))
		return cli_fail(CLI_USAGE, "--name: '%s' is not a letter and letters, digits, _ or -", text);
	o->name = text;
	return 0;
}

static int take(struct plan_kv *o, int letter, const char *text)
{
	switch (letter) {
	case SPEC:
		if (o->nspecs == CANDIDATES_MAX)
			return cli_fail(CLI_USAGE, "--spec: more than %d", CANDIDATES_MAX);
		o->specs[o->nspecs++] = text;
		return 0;
	case BUDGET:
		return cli_number("--budget", text, 1, 1ull << 40, &o->budget);
	case NAME:
		return take_name(o, text);
	case OUTPUT:
		o->output = text;
		return 0;
	default:
		if (letter >= KV_SINKS && letter <= KV_CENTER_TOKENS)
			return kv_take_option(&o->kv, letter, text, 1 << 24);
		return settings_take(&o->common, letter, text);
	}
}

static int parse(int argc, char **argv, struct plan_kv *o)
{
	static const struct option options[] = {
		{"spec", required_argument, NULL, SPEC},
		{"budget", required_argument, NULL, BUDGET},
		{"name", required_argument, NULL, NAME},
		{"output", required_argument, NULL, OUTPUT},
		KV_CACHE_OPTIONS,
		SETTINGS_OPTIONS,
		{0},
	};
	int letter, ret = 0;

	tq_kv_options_init(&o->kv);
	o->kv.sinks = 4;
	o->kv.window = 64;
	o->kv.center = TQ_KV_CENTER_LEARN;
	o->kv.center_tokens = 128;
	o->name = "plan";
	while (!ret && (letter = getopt_long(argc, argv, "", options, NULL)) != -1)
		ret = take(o, letter, optarg);
	if (ret)
		return ret;
	if (!o->nspecs) {
		o->nspecs = sizeof(usual) / sizeof(usual[0]);
		memcpy(o->specs, usual, sizeof(usual));
	}
	if (!o->budget)
		return cli_fail(CLI_USAGE, "--budget is missing; usage: " USAGE);
	if (argc == optind || (argc - optind) % 3)
		return cli_fail(CLI_USAGE, "dumps come in threes; usage: " USAGE);
	return 0;
}

/* ---- bytes ---- */

static int page_bytes(const struct plan_kv *o, struct tq_context *ctx, const struct plan *p, const char *key,
		      const char *value, int64_t *bytes)
{
	struct tq_kv_options kv = o->kv;
	struct tq_kv_bytes b;
	int status;

	kv_dump_options(&p->shape, &kv);
	kv.layers = kv.kv_heads = kv.query_heads = 1;
	kv.sinks = kv.window = kv.center = 0;
	kv.key_spec = key;
	kv.value_spec = value;
	status = tq_kv_size(ctx, &kv, kv.page_tokens, 1, &b);
	if (status)
		return cli_fail_status(status, "--spec");
	*bytes = (int64_t)(b.coded ? b.coded : b.window);
	return 0;
}

static int count_bytes(const struct plan_kv *o, struct tq_context *ctx, struct plan *p)
{
	const char *first = o->specs[0];
	int ret = page_bytes(o, ctx, p, first, first, &p->fixed);

	for (size_t c = 0; !ret && c < o->nspecs; c++) {
		ret = page_bytes(o, ctx, p, o->specs[c], first, &p->bytes[c]);
		if (!ret)
			ret = page_bytes(o, ctx, p, first, o->specs[c], &p->bytes[o->nspecs + c]);
		p->bytes[c] -= p->fixed;
		p->bytes[o->nspecs + c] -= p->fixed;
	}
	return ret;
}

/* ---- costs ---- */

static int measure_candidate(const struct plan_kv *o, struct tq_context *ctx, const struct kv_dump *d, struct plan *p,
			     size_t c, float *keys, float *values)
{
	struct tq_kv_options kv = o->kv;
	uint64_t bytes;
	int ret;

	/* nearly everything coded: what is to be measured is coding */
	kv.window = 0;
	kv.page_tokens = 16;
	kv.key_spec = kv.value_spec = o->specs[c];
	kv_dump_options(d, &kv);
	ret = kv_decode(ctx, &kv, d, keys, values, &bytes);
	for (size_t i = 0; !ret && i < p->heads; i++) {
		uint32_t layer = (uint32_t)(i / d->kv_heads), head = (uint32_t)(i % d->kv_heads);
		struct kv_cell of_keys = {0}, of_values = {0};

		ret = interrupted();
		if (!ret)
			ret = kv_compare(d, layer, head, keys, d->values, &of_keys, NULL);
		if (!ret)
			ret = kv_compare(d, layer, head, d->keys, values, &of_values, NULL);
		p->cost[2 * i * o->nspecs + c] += of_keys.norm > 0 ? of_keys.error / of_keys.norm : 0;
		p->cost[(2 * i + 1) * o->nspecs + c] += of_values.norm > 0 ? of_values.error / of_values.norm : 0;
		progress("heads x candidates", c * p->heads + i + 1, o->nspecs * p->heads);
	}
	return ret;
}

static int measure_dump(const struct plan_kv *o, struct tq_context *ctx, const struct kv_dump *d, struct plan *p)
{
	size_t rows = p->heads * d->tokens;
	float *keys = malloc(rows * d->key_dim * sizeof(*keys)), *values = malloc(rows * d->value_dim * sizeof(*values));
	int ret = keys && values ? 0 : cli_fail(CLI_UNMET, "out of memory");

	if (!ret && o->kv.center && o->kv.center_tokens + (uint64_t)o->kv.sinks > d->tokens)
		ret = cli_fail(CLI_USAGE, "the dump has %u tokens; the centre is learned from %u behind %u sinks", d->tokens,
			       o->kv.center_tokens, o->kv.sinks);
	for (size_t c = 0; !ret && c < o->nspecs; c++)
		ret = measure_candidate(o, ctx, d, p, c, keys, values);
	free(values);
	free(keys);
	return ret;
}

static int begin(const struct plan_kv *o, struct tq_context *ctx, const struct kv_dump *d, struct plan *p)
{
	p->shape = *d;
	p->heads = (size_t)d->layers * d->kv_heads;
	p->items = 2 * p->heads;
	p->cost = calloc(p->items * o->nspecs, sizeof(*p->cost));
	p->chosen = calloc(p->items, sizeof(*p->chosen));
	if (!p->cost || !p->chosen)
		return cli_fail(CLI_UNMET, "out of memory");
	return count_bytes(o, ctx, p);
}

static int measure_all(const struct plan_kv *o, struct tq_context *ctx, char **files, int n, struct plan *p)
{
	struct kv_dump d;
	int ret = 0;

	for (int i = 0; !ret && i < n; i += 3) {
		ret = kv_dump_load(&d, files[i], files[i + 1], files[i + 2]);
		if (ret)
			return ret;
		if (!i)
			ret = begin(o, ctx, &d, p);
		if (!ret && (d.layers != p->shape.layers || d.kv_heads != p->shape.kv_heads ||
			     d.key_dim != p->shape.key_dim || d.value_dim != p->shape.value_dim))
			ret = cli_fail(CLI_USAGE, "%s: not of the shapes that the first dump has", files[i]);
		if (!ret)
			ret = measure_dump(o, ctx, &d, p);
		kv_dump_unload(&d);
	}
	return ret;
}

/* ---- the profile ---- */

static unsigned most_frequent(const struct plan *p, size_t part, size_t candidates)
{
	size_t count[CANDIDATES_MAX] = {0};
	unsigned best = 0;

	for (size_t i = part; i < p->items; i += 2)
		count[p->chosen[i]]++;
	for (unsigned c = 1; c < candidates; c++)
		if (count[c] > count[best])
			best = c;
	return best;
}

static int write_override(struct output *out, const struct plan_kv *o, const struct plan *p, size_t i,
			  const unsigned base[2], bool *any)
{
	const unsigned *mine = p->chosen + 2 * i;
	char text[2 * TQ_SPEC_STRING_MAX + 128];
	int used;

	if (mine[0] == base[0] && mine[1] == base[1])
		return 0;
	used = snprintf(text, sizeof(text), "%s\n      { layers = %zu; heads = %zu;", *any ? "," : "", i / p->shape.kv_heads,
			i % p->shape.kv_heads);
	*any = true;
	if (mine[0] != base[0])
		used += snprintf(text + used, sizeof(text) - (size_t)used, " key = \"%s\";", o->specs[mine[0]]);
	if (mine[1] != base[1])
		used += snprintf(text + used, sizeof(text) - (size_t)used, " value = \"%s\";", o->specs[mine[1]]);
	used += snprintf(text + used, sizeof(text) - (size_t)used, " }");
	return output_write(out, text, (size_t)used);
}

static int write_head(struct output *out, const struct plan_kv *o, const struct plan *p, const unsigned base[2])
{
	char text[2 * TQ_SPEC_STRING_MAX + 512], center[64] = "    center = \"off\";\n";

	if (o->kv.center)
		snprintf(center, sizeof(center), "    center = \"learn\";\n    center_tokens = %u;\n", o->kv.center_tokens);
	snprintf(text, sizeof(text),
		 "# By tq kv plan for %u layers of %u KV heads: %" PRIu64 " bytes a token, of at most %" PRIu64 "\n"
		 "kv = {\n  %s = {\n    key = \"%s\";\n    value = \"%s\";\n    sinks = %u;\n    window = %u;\n"
		 "    page = %u;\n%s    overrides = (",
		 p->shape.layers, p->shape.kv_heads, p->token_bytes, o->budget, o->name, o->specs[base[0]],
		 o->specs[base[1]], o->kv.sinks, o->kv.window, o->kv.page_tokens, center);
	return output_write(out, text, strlen(text));
}

static int write_profile(const struct plan_kv *o, const struct plan *p)
{
	unsigned base[2] = {most_frequent(p, 0, o->nspecs), most_frequent(p, 1, o->nspecs)};
	static const char end[] = "\n    );\n  };\n};\n";
	struct output out = {0};
	bool any = false;
	int ret = output_open(&out, o->output);

	if (!ret)
		ret = write_head(&out, o, p, base);
	for (size_t i = 0; !ret && i < p->heads; i++)
		ret = write_override(&out, o, p, i, base, &any);
	if (!ret)
		ret = output_write(&out, end, sizeof(end) - 1);
	if (!ret)
		return output_commit(&out);
	output_abort(&out);
	return ret;
}

/* ---- what was chosen ---- */

static double total_cost(const struct plan_kv *o, const struct plan *p, size_t part)
{
	double sum = 0;

	for (size_t i = part; i < p->items; i += 2)
		sum += p->cost[i * o->nspecs + p->chosen[i]];
	return sum;
}

static void print_json(const struct plan_kv *o, const struct plan *p)
{
	struct json j;

	json_begin(&j, stdout);
	json_object(&j, NULL);
	json_string(&j, "profile", o->name);
	json_string(&j, "output", o->output);
	json_unsigned(&j, "budget", o->budget);
	json_unsigned(&j, "bytes_per_token", p->token_bytes);
	json_number(&j, "key_cost", total_cost(o, p, 0));
	json_number(&j, "value_cost", total_cost(o, p, 1));
	json_array(&j, "cells");
	for (size_t i = 0; i < p->heads; i++) {
		json_object(&j, NULL);
		json_unsigned(&j, "layer", i / p->shape.kv_heads);
		json_unsigned(&j, "head", i % p->shape.kv_heads);
		json_string(&j, "key", o->specs[p->chosen[2 * i]]);
		json_string(&j, "value", o->specs[p->chosen[2 * i + 1]]);
		json_object_end(&j);
	}
	json_array_end(&j);
	json_object_end(&j);
}

static void print_text(const struct plan_kv *o, const struct plan *p)
{
	printf("%s: profile %s, %" PRIu64 " bytes a token of at most %" PRIu64 "\n\n%8s %8s  %s\n", o->output, o->name,
	       p->token_bytes, o->budget, "keys", "values", "spec");
	for (unsigned c = 0; c < o->nspecs; c++) {
		size_t n[2] = {0, 0};

		for (size_t i = 0; i < p->items; i++)
			n[i & 1] += p->chosen[i] == c;
		printf("%8zu %8zu  %s\n", n[0], n[1], o->specs[c]);
	}
}

static int choose(const struct plan_kv *o, struct plan *p)
{
	struct kv_choice c = {.items = p->items, .candidates = o->nspecs, .cost = p->cost, .bytes = p->bytes,
			      .chosen = p->chosen};
	int64_t page = o->kv.page_tokens, total = (int64_t)p->heads * p->fixed;

	if (kv_choose(&c, (int64_t)o->budget * page - total))
		return cli_fail(CLI_UNMET, "--budget: %" PRIu64 " bytes are less than the smallest specs take", o->budget);
	for (size_t i = 0; i < p->items; i++)
		total += p->bytes[(i & 1) * o->nspecs + p->chosen[i]];
	p->token_bytes = (uint64_t)((total + page - 1) / page);
	return 0;
}

int kv_plan(int argc, char **argv)
{
	struct plan_kv o = {0};
	struct plan p = {0};
	struct tq_context *ctx;
	int ret = parse(argc, argv, &o);

	if (ret)
		return ret;
	if (!o.output)
		return cli_fail(CLI_USAGE, "--output is missing; usage: " USAGE);
	catch_interrupt();
	ret = settings_context(&o.common, &ctx);
	if (ret)
		return ret;
	ret = measure_all(&o, ctx, argv + optind, argc - optind, &p);
	if (!ret)
		ret = choose(&o, &p);
	if (!ret)
		ret = write_profile(&o, &p);
	if (!ret) {
		(o.common.json ? print_json : print_text)(&o, &p);
		ret = cli_flush();
	}
	free(p.cost);
	free(p.chosen);
	tq_context_destroy(ctx);
	return ret;
}
