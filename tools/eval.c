/* SPDX-License-Identifier: Apache-2.0 */

/* tq eval: measure specs on the user's vectors, and print theory beside every figure that has one.
 */

#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli.h"
#include "commands.h"
#include "eval.h"
#include "json.h"
#include "vectors.h"

#define SPECS_MAX 256

/** What is measured if no --spec is given: the methods of the field over the useful bits. */
static const char *const sweep[] = {
	"bits=1 correction=ls",
	"bits=2 correction=ls",
	"bits=3 correction=ls",
	"bits=4 correction=ls",
	"bits=5 correction=ls",
	"bits=6 correction=ls",
	"bits=8 correction=ls",
	"bits=1 correction=unbiased",
	"bits=2 correction=unbiased",
	"bits=3 correction=unbiased",
	"bits=4 correction=unbiased",
	"bits=2 correction=none",
	"bits=4 correction=none",
	"bits=2 correction=qjl:gauss",
	"bits=3 correction=qjl:gauss",
	"bits=4 correction=qjl:gauss",
	"bits=4 code=uniform correction=ls",
	"bits=1 correction=unbiased center=both effort=1",
	"bits=2 correction=unbiased center=both effort=1",
	"bits=3 correction=unbiased center=both effort=1",
	"bits=4 correction=unbiased center=both effort=1",
};

struct eval_options {
	struct settings common;
	const char *specs[SPECS_MAX];
	size_t nspecs;
	bool is_sweep;
	const char *queries;
	struct coder_options coder;
	const char *svg;
	uint64_t rows;
	uint64_t nq;
};

static int take_option(struct eval_options *o, int letter)
{
	switch (letter) {
	case 's':
		if (o->nspecs == SPECS_MAX)
			return cli_fail(CLI_USAGE, "more than %d specs", SPECS_MAX);
		o->specs[o->nspecs++] = optarg;
		return 0;
	case 'q':
		o->queries = optarg;
		return 0;
	case 'c':
		o->coder.centre = optarg;
		return 0;
	case 'g':
		o->svg = optarg;
		return 0;
	case 'r':
		return cli_number("--rows", optarg, 1, 10000000, &o->rows);
	case 'n':
		return cli_number("--nq", optarg, 1, 100000, &o->nq);
	case CODER_SPLIT:
	case CODER_CHANNELS:
		return coder_take(&o->coder, letter, optarg);
	default:
		return settings_take(&o->common, letter, optarg);
	}
}

static int parse_options(int argc, char **argv, struct eval_options *o)
{
	static const struct option options[] = {
		{"spec", required_argument, NULL, 's'},
		{"queries", required_argument, NULL, 'q'},
		{"centre", required_argument, NULL, 'c'},
		{"svg", required_argument, NULL, 'g'},
		{"rows", required_argument, NULL, 'r'},
		{"nq", required_argument, NULL, 'n'},
		CODER_OPTIONS,
		SETTINGS_OPTIONS,
		{0},
	};
	int letter, ret = 0;

	while (!ret && (letter = getopt_long(argc, argv, "", options, NULL)) != -1)
		ret = take_option(o, letter);
	if (ret)
		return ret;
	if (!o->nspecs) {
		o->is_sweep = true;
		o->nspecs = sizeof(sweep) / sizeof(sweep[0]);
		memcpy(o->specs, sweep, sizeof(sweep));
	}
	return settings_operands(argc - optind, argv + optind, 1,
				 "tq eval IN [--spec S]... [--queries F]");
}

static void print_head(const char *in, const char *queries, const struct eval_data *data,
		       uint32_t threads)
{
	printf("%s: %zu rows of %u, %zu queries %s%s; %u thread%s\n"
	       "Specs: what they leave out is rotation=rht:2 code=lm bits=4 correction=ls effort=0 "
	       "center=off scale=f32.\n\n",
	       in, data->n, data->dim, data->nq, queries ? "from " : "held out",
	       queries ? queries : "", threads, threads > 1 ? "s" : "");
	printf("%-48s %5s %6s |%9s %9s |%7s %7s |%8s %8s |%5s %6s |%9s %8s |%9s %7s | %s\n", "spec",
	       "bytes", "bits/c", "vNMSE", "theory", "slope", "theory", "d*var", "theory", "1@1",
	       "10@10", "encode/s", "x memcpy", "score/s", "x f32", "drivers");
}

/** theory_cell - a figure of theory, or a dash where there is none */
static const char *theory_cell(char *buf, size_t size, const char *format, double value)
{
	if (isnan(value))
		return "-";
	snprintf(buf, size, format, value);
	return buf;
}

static void print_row(const struct eval_result *r)
{
	char vnmse[32], slope[32], variance[32];

	printf("%-48s %5zu %6.3f |%9.3g %9s |%7.4f %7s |%8.3g %8s |%5.3f %6.3f |%8.3fM %8.3f "
	       "|%8.2fM %7.2f | %s\n",
	       r->given, r->bytes, r->bits, r->measured.vnmse,
	       theory_cell(vnmse, sizeof(vnmse), "%.3g", r->theory.vnmse), r->measured.slope,
	       theory_cell(slope, sizeof(slope), "%.4f", r->theory.slope), r->measured.variance,
	       theory_cell(variance, sizeof(variance), "%.3g", r->theory.variance), r->recall1,
	       r->recall10, r->encode * 1e-6, r->encode_ratio, r->score * 1e-6, r->score_ratio,
	       r->drivers);
	fflush(stdout);
}

static const char notes[] =
	"\n"
	"bits/c     stored bits per coordinate, scale and everything else in the row included\n"
	"vNMSE      mean of |x^ - x|^2 / |x - centre|^2\n"
	"slope      of scores over exact inner products (f64), without what the centre adds; 1 is "
	"unbiased\n"
	"d*var      dimension times the variance of a score, unit vectors, orthogonal query\n"
	"theory     for a perfectly random rotation and effort=0, from the sphere density of the "
	"dimension;\n"
	"           code=tcq, code=polar and fractions of a bit have no such formula\n"
	"1@1 10@10  part of the exact nearest (inner product, f64, brute force) found by the "
	"scores\n"
	"encode/s   million rows; x memcpy: time to copy the same f32 rows over time to encode "
	"them\n"
	"score/s    million rows, one query at a time; x f32: time of an f32 inner product over "
	"that of a score\n"
	"           (medians; rows that fit into the cache flatter both sides)\n";

static void figures_json(struct json *j, const char *key, const struct eval_figures *f)
{
	json_object(j, key);
	json_number(j, "vnmse", f->vnmse);
	json_number(j, "slope", f->slope);
	json_number(j, "d_variance", f->variance);
	json_object_end(j);
}

static void print_json(const char *in, const char *queries, const struct eval_data *data,
		       const struct eval_result *results, size_t n)
{
	struct json j;

	json_begin(&j, stdout);
	json_object(&j, NULL);
	json_string(&j, "input", in);
	json_string(&j, "queries", queries ? queries : "held out");
	json_unsigned(&j, "rows", data->n);
	json_unsigned(&j, "dim", data->dim);
	json_unsigned(&j, "query_rows", data->nq);
	json_array(&j, "results");
	for (const struct eval_result *r = results; r < results + n; r++) {
		json_object(&j, NULL);
		json_string(&j, "given", r->given);
		json_string(&j, "spec", r->spec);
		json_unsigned(&j, "bytes_per_row", r->bytes);
		json_number(&j, "bits_per_coordinate", r->bits);
		figures_json(&j, "measured", &r->measured);
		figures_json(&j, "theory", &r->theory);
		json_number(&j, "vnmse_with_centre", r->vnmse_full);
		json_number(&j, "recall_1_at_1", r->recall1);
		json_number(&j, "recall_10_at_10", r->recall10);
		json_number(&j, "encode_rows_per_second", r->encode);
		json_number(&j, "encode_over_memcpy", r->encode_ratio);
		json_number(&j, "score_rows_per_second", r->score);
		json_number(&j, "score_over_f32_dot", r->score_ratio);
		json_string(&j, "drivers", r->drivers);
		json_object_end(&j);
	}
	json_array_end(&j);
	json_object_end(&j);
}

/**
 * check_specs - all of them before the first is measured; of the sweep, what has no such dimension is
 * left out
 */
static int check_specs(struct eval_options *o, uint32_t dim)
{
	size_t kept = 0;

	for (size_t i = 0; i < o->nspecs; i++) {
		int status = coder_check(o->specs[i], dim, &o->coder);

		if (status == TQ_ERR_UNSUPPORTED && o->is_sweep)
			continue;
		if (status != TQ_OK)
			return cli_fail_status(status, o->specs[i]);
		o->specs[kept++] = o->specs[i];
	}
	o->nspecs = kept;
	return 0;
}

static int measure_spec(const struct eval_options *o, struct tq_context *ctx,
			const struct vectors *base, const struct eval_data *data, const char *given,
			struct eval_result *result)
{
	struct coder c;
	int ret;

	result->given = given;
	ret = coder_make(ctx, given, &o->coder, base, &c);
	if (!ret)
		ret = eval_measure(data, &c, result);
	coder_close(&c);
	return ret;
}

static int measure_all(const struct eval_options *o, struct tq_context *ctx,
		       const struct vectors *base, const struct eval_data *data)
{
	struct eval_result *results = calloc(o->nspecs, sizeof(*results));
	int ret = results ? 0 : cli_fail(CLI_UNMET, "out of memory");

	if (!ret && !o->common.json)
		print_head(base->path, o->queries, data, tq_context_threads(ctx));
	for (size_t i = 0; i < o->nspecs && !ret; i++) {
		if (o->common.json)
			progress("specs", i, o->nspecs);
		ret = interrupted();
		if (!ret)
			ret = measure_spec(o, ctx, base, data, o->specs[i], &results[i]);
		if (!ret && !o->common.json)
			print_row(&results[i]);
	}
	if (!ret && o->common.json) {
		progress("specs", o->nspecs, o->nspecs);
		print_json(base->path, o->queries, data, results, o->nspecs);
	} else if (!ret) {
		fputs(notes, stdout);
	}
	if (!ret && o->svg)
		ret = eval_draw(o->svg, base->path, results, o->nspecs);
	free(results);
	return ret;
}

int command_eval(int argc, char **argv)
{
	struct eval_options o = {.rows = 20000, .nq = 256, .coder.some = true};
	struct vectors base, queries = {.fd = -1};
	struct eval_data data = {0};
	struct tq_context *ctx;
	int ret = parse_options(argc, argv, &o);

	if (ret)
		return ret;
	catch_interrupt();
	ret = vectors_open(&base, argv[optind], o.common.dim, VECTORS_TRAIN);
	if (ret)
		return ret;
	ret = settings_context(&o.common, &ctx);
	if (ret)
		goto err_close_base;
	ret = check_specs(&o, base.dim);
	if (!ret && o.queries)
		ret = vectors_open(&queries, o.queries, base.dim, VECTORS_TEST);
	if (ret)
		goto err_destroy_context;
	ret = eval_load(&data, &base, o.queries ? &queries : NULL, o.rows, o.nq);
	if (ret)
		goto err_close_queries;
	ret = measure_all(&o, ctx, &base, &data);
	if (!ret)
		ret = cli_flush();
	eval_unload(&data);
err_close_queries:
	vectors_close(&queries);
err_destroy_context:
	tq_context_destroy(ctx);
err_close_base:
	vectors_close(&base);
	return ret;
}
