// SPDX-License-Identifier: Apache-2.0
/*
 * program [SPEC] - what an embedder does, against the installed library alone: make a context and a
 * quantizer, encode, score, decode. Exit status 0 if codes, scores and decoded rows are as they must be.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tq/tq.h>

#define DIM 96
#define ROWS 200

static void print_line(void *arg, int level, const char *line)
{
	fprintf(arg, "log %d: %s\n", level, line);
}

static double dot(const float *x, const float *y)
{
	double sum = 0.0;

	for (int i = 0; i < DIM; i++)
		sum += (double)x[i] * y[i];
	return sum;
}

static int fail(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, tq_error_text());
	return 1;
}

int main(int argc, char **argv)
{
	static float x[ROWS * DIM], y[ROWS * DIM], scores[ROWS];
	const char *words = argc > 1 ? argv[1] : "bits=4 correction=ls";
	struct tq_options options = {
		.struct_size = sizeof(options),
		.log = print_line,
		.log_arg = stderr,
		.log_level = TQ_LOG_WARN,
	};
	struct tq_context *ctx;
	struct tq_quantizer *q;
	struct tq_spec spec;
	double error = 0.0, norm = 0.0, worst = 0.0;
	uint32_t lcg = 12345;
	void *codes, *query;

	for (int i = 0; i < ROWS * DIM; i++) {
		lcg = lcg * 1664525u + 1013904223u;
		x[i] = (float)(int32_t)lcg * 0x1p-31f;
	}
	if (tq_context_create(&options, &ctx))
		return fail("context");
	tq_spec_init(&spec);
	if (tq_spec_parse(&spec, words))
		return fail("spec");
	if (tq_quantizer_create(ctx, &spec, DIM, NULL, &q))
		return fail("quantizer");
	codes = malloc(ROWS * tq_code_size(q));
	query = aligned_alloc(64, (tq_query_size(q) + 63) / 64 * 64);
	if (!codes || !query)
		return fail("malloc");
	if (tq_encode(q, x, DIM, ROWS, codes))
		return fail("encode");
	if (tq_query_prepare(q, x, DIM, 1, query) || tq_score(q, query, 1, codes, ROWS, scores, ROWS))
		return fail("score");
	if (tq_decode(q, codes, ROWS, y, DIM))
		return fail("decode");
	for (int r = 0; r < ROWS; r++) {
		for (int i = 0; i < DIM; i++) {
			double e = (double)x[r * DIM + i] - y[r * DIM + i];

			error += e * e;
		}
		norm += dot(x + r * DIM, x + r * DIM);
		worst = fmax(worst, fabs(dot(x, y + r * DIM) - scores[r]));
	}
	printf("%s %s\n", tq_version(), words);
	printf("rotate %s, encode %s\n", tq_quantizer_driver(q, TQ_STAGE_ROTATE),
	       tq_quantizer_driver(q, TQ_STAGE_ENCODE));
	printf("%zu bytes per row, relative error %.4f, scores within %.4f of the decoded rows'\n",
	       tq_code_size(q), error / norm, worst);
	free(query);
	free(codes);
	tq_quantizer_destroy(q);
	tq_context_destroy(ctx);
	/* 4 bits: 0.0093 for a random rotation; an 8-bit query adds about 1/127 per norm */
	return error / norm < 0.012 && error / norm > 0.006 && worst < 0.05 * dot(x, x) ? 0 : 1;
}
