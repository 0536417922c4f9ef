/* SPDX-License-Identifier: Apache-2.0 */

/* tq kv size: what a KV cache would take, before anything is allocated. */

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "cli.h"
#include "commands.h"
#include "kv.h"
#include "json.h"

#define SPECS_MAX 32

struct kv_options {
	struct settings common;
	struct tq_kv_options kv;
	uint64_t tokens, sequences;
	const char *specs[SPECS_MAX];
	bool profile[SPECS_MAX];
	size_t nspecs;
	unsigned given; /* bits of the numbers that were */
};

enum letter { LAYERS = 256, KV_HEADS, HEAD_DIM, VALUE_DIM, RAW_DIM, TOKENS, SEQUENCES, SINKS, WINDOW, PAGE, SPEC, PROFILE };

static int take(struct kv_options *o, int letter, const char *text)
{
	static const struct {
		const char *name;
		uint64_t min, max;
	} limit[] = {{"--layers", 1, 1024},	{"--kv-heads", 1, 1024}, {"--head-dim", 1, TQ_KV_MAX_DIM},
		     {"--value-dim", 0, TQ_KV_MAX_DIM}, {"--raw-dim", 0, TQ_KV_MAX_DIM},
		     {"--tokens", 0, 1ull << 40}, {"--sequences", 1, 1u << 20}, {"--sinks", 0, UINT32_MAX},
		     {"--window", 0, UINT32_MAX}, {"--page", 16, 512}};
	uint32_t *const to[] = {&o->kv.layers, &o->kv.kv_heads, &o->kv.key_dim, &o->kv.value_dim,
				&o->kv.key_raw_dim, NULL, NULL, &o->kv.sinks, &o->kv.window,
				&o->kv.page_tokens};
	uint64_t n;
	int i = letter - LAYERS;

	if (letter < LAYERS)
		return settings_take(&o->common, letter, text);
	if (letter == SPEC || letter == PROFILE) {
		if (o->nspecs == SPECS_MAX)
			return cli_fail(CLI_USAGE, "--spec, --profile: more than %d", SPECS_MAX);
		o->profile[o->nspecs] = letter == PROFILE;
		o->specs[o->nspecs++] = text;
		return 0;
	}
	if (cli_number(limit[i].name, text, limit[i].min, limit[i].max, &n))
		return CLI_USAGE;
	o->given |= 1u << i;
	if (letter == TOKENS)
		o->tokens = n;
	else if (letter == SEQUENCES)
		o->sequences = n;
	else
		*to[i] = (uint32_t)n;
	if (letter == HEAD_DIM)
		o->kv.value_dim = o->kv.key_dim;
	return 0;
}

/* "KEYS / VALUES", or one spec for both */
static int sizes_of(struct tq_context *ctx, const struct kv_options *o, const char *text,
		    struct tq_kv_bytes *bytes)
{
	struct tq_kv_options kv = o->kv;
	char room[KV_SPECS_MAX];
	int status = kv_take_specs(text, room, &kv);

	if (status)
		return status;
	status = tq_kv_size(ctx, &kv, o->tokens, o->sequences, bytes);
	return status ? cli_fail_status(status, "--spec") : 0;
}

/* A profile decides sinks, window and page, unless they were given */
static int sizes_of_profile(struct tq_context *ctx, const struct kv_options *o, const char *name,
			    struct tq_kv_bytes *bytes)
{
	struct tq_kv_options kv = o->kv;
	int status = tq_kv_options_profile(ctx, name, &kv);

	if (status == TQ_OK) {
		kv.sinks = o->given & 1u << (SINKS - LAYERS) ? o->kv.sinks : kv.sinks;
		kv.window = o->given & 1u << (WINDOW - LAYERS) ? o->kv.window : kv.window;
		kv.page_tokens = o->given & 1u << (PAGE - LAYERS) ? o->kv.page_tokens : kv.page_tokens;
		status = tq_kv_size(ctx, &kv, o->tokens, o->sequences, bytes);
	}
	return status ? cli_fail_status(status, "--profile") : 0;
}

/* Without --spec and --profile: 16 bits, and every profile there is */
static void take_usual(struct tq_context *ctx, struct kv_options *o)
{
	const char *name;

	o->specs[o->nspecs++] = TQ_KV_RAW;
	for (unsigned i = 0; o->nspecs < SPECS_MAX && (name = tq_kv_profile_name(ctx, i)); i++) {
		o->profile[o->nspecs] = true;
		o->specs[o->nspecs++] = name;
	}
}

static void print_row(const struct kv_options *o, struct json *j, const char *spec, bool profile,
		      const struct tq_kv_bytes *b)
{
	double ratio = b->total ? (double)b->plain / (double)b->total : 0.0;

	if (!o->common.json) {
		printf("%12" PRIu64 " %16" PRIu64 " %16" PRIu64 " %16" PRIu64 " %7.2f  %s\n", b->token,
		       o->sequences * b->coded, o->sequences * b->window, b->total, ratio, spec);
		return;
	}
	json_object(j, NULL);
	json_string(j, profile ? "profile" : "spec", spec);
	json_unsigned(j, "bytes_per_token", b->token);
	json_unsigned(j, "coded_bytes", o->sequences * b->coded);
	json_unsigned(j, "window_bytes", o->sequences * b->window);
	json_unsigned(j, "total_bytes", b->total);
	json_unsigned(j, "plain_bytes", b->plain);
	json_number(j, "ratio", ratio);
	json_object_end(j);
}

static int print_sizes(const struct kv_options *o, struct tq_context *ctx)
{
	struct tq_kv_bytes bytes;
	struct json j;
	int ret = 0;
	size_t i;

	if (o->common.json) {
		json_begin(&j, stdout);
		json_object(&j, NULL);
		json_array(&j, "sizes");
	} else {
		printf("%12s %16s %16s %16s %7s  %s\n", "bytes/token", "coded", "16-bit window", "total",
		       "ratio", "profile, or spec (keys / values)");
	}
	for (i = 0; !ret && i < o->nspecs; i++) {
		ret = (o->profile[i] ? sizes_of_profile : sizes_of)(ctx, o, o->specs[i], &bytes);
		if (!ret)
			print_row(o, &j, o->specs[i], o->profile[i], &bytes);
	}
	if (o->common.json) {
		json_array_end(&j);
		json_object_end(&j);
	}
	return ret ? ret : cli_flush();
}

int kv_size(int argc, char **argv)
{
	static const struct option options[] = {
		{"layers", required_argument, NULL, LAYERS},
		{"kv-heads", required_argument, NULL, KV_HEADS},
		{"head-dim", required_argument, NULL, HEAD_DIM},
		{"value-dim", required_argument, NULL, VALUE_DIM},
		{"raw-dim", required_argument, NULL, RAW_DIM},
		{"tokens", required_argument, NULL, TOKENS},
		{"sequences", required_argument, NULL, SEQUENCES},
		{"sinks", required_argument, NULL, SINKS},
		{"window", required_argument, NULL, WINDOW},
		{"page", required_argument, NULL, PAGE},
		{"spec", required_argument, NULL, SPEC},
		{"profile", required_argument, NULL, PROFILE},
		SETTINGS_OPTIONS,
		{0},
	};
	struct kv_options o = {.tokens = 131072, .sequences = 1};
	struct tq_context *ctx;
	int letter, ret = 0;

	tq_kv_options_init(&o.kv);
	o.kv.layers = 32;
	o.kv.kv_heads = 8;
	while (!ret && (letter = getopt_long(argc, argv, "", options, NULL)) != -1)
		ret = take(&o, letter, optarg);
	if (!ret)
		ret = settings_operands(argc - optind, argv + optind, 0, "tq kv size [OPTIONS]");
	if (ret)
		return ret;
	o.kv.query_heads = o.kv.kv_heads;
	ret = settings_context(&o.common, &ctx);
	if (ret)
		return ret;
	if (!o.nspecs)
		take_usual(ctx, &o);
	ret = print_sizes(&o, ctx);
	tq_context_destroy(ctx);
	return ret;
}
