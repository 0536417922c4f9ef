/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The calls whose instructions callgrind.sh counts: a fixed input, a pinned plugin, one case after
 *the other. Everything between entry to and return from counted() belongs to the case, nothing
 *else.
 *
 *	bench-count PLUGIN	prints "PLUGIN OPERATION d=D bits=B queries=Q ROWS" per case;
 *				OPERATION:KEY=VALUE where the spec has more than bits and
 *correction=ls
 *
 * Exit status 77 where the plugin is absent or not for this CPU.
 */

#include <stdlib.h>
#include <string.h>
#include "bench.h"

#define ROWS 256
#define SKIPPED 77

enum operation { ENCODE, DECODE, SCORE, PAIRS };

static const char *const names[] = {"encode", "decode", "score", "pairs"};
static const int stages[] = {TQ_STAGE_ENCODE, TQ_STAGE_DECODE, TQ_STAGE_SCORE, TQ_STAGE_SCORE};

/* @queries: of PAIRS, rows on the other side; @more: of the spec, else correction=ls */
static const struct {
	enum operation op;
	uint32_t dim, bits, queries;
	const char *more;
} cases[] = {
	{ENCODE, 128, 4, 1, NULL},
	{ENCODE, 128, 2, 1, NULL},
	{ENCODE, 96, 4, 1, NULL},
	{ENCODE, 1536, 4, 1, NULL},
	{ENCODE, 128, 4, 1, "effort=1"},
	{ENCODE, 128, 2, 1, "effort=1"},
	{ENCODE, 128, 4, 1, "effort=2"},
	{DECODE, 128, 4, 1, NULL},
	{DECODE, 128, 2, 1, NULL},
	{DECODE, 96, 4, 1, NULL},
	{DECODE, 1536, 4, 1, NULL},
	{SCORE, 128, 4, 1, NULL},
	{SCORE, 128, 2, 1, NULL},
	{SCORE, 128, 1, 1, NULL},
	{SCORE, 128, 3, 1, NULL},
	{SCORE, 128, 8, 1, NULL},
	{SCORE, 96, 4, 1, NULL},
	{SCORE, 1536, 4, 1, NULL},
	{SCORE, 128, 4, 8, NULL},
	{SCORE, 128, 1, 8, NULL},
	{SCORE, 1536, 4, 8, NULL},
	{SCORE, 1536, 4, 64, NULL},
	{SCORE, 128, 8, 8, NULL},
	{SCORE, 128, 4, 8, "query=s16"},
	{SCORE, 128, 4, 8, "correction=qjl:rht"},
	{PAIRS, 128, 4, 8, NULL},
	{PAIRS, 128, 8, 8, NULL},
};

struct input {
	float x[ROWS * 1536], scores[64 * ROWS];
	uint8_t codes[ROWS * 2048];
	void *prepared;
};

int counted(const struct tq_quantizer *q, enum operation op, struct input *in, size_t nq);

__attribute__((noinline)) int counted(const struct tq_quantizer *q, enum operation op,
				      struct input *in, size_t nq)
{
	size_t dim = tq_dim(q);

	if (op == ENCODE)
		return tq_encode(q, in->x, dim, ROWS, in->codes);
	if (op == DECODE)
		return tq_decode(q, in->codes, ROWS, in->x, dim);
	if (op == PAIRS)
		return tq_score_pairs(q, in->codes, nq, in->codes, ROWS, in->scores, ROWS);
	return tq_score(q, in->prepared, nq, in->codes, ROWS, in->scores, ROWS);
}

static void run(const char *plugin, const struct tq_quantizer *q, struct input *in, size_t i)
{
	size_t dim = tq_dim(q), nq = cases[i].queries, size = nq * tq_query_size(q);
	float *y = malloc(nq * dim * sizeof(*y));

	in->prepared = aligned_alloc(64, size);
	bench_normals(in->x, ROWS * dim, 7);
	bench_normals(y, nq * dim, 11);
	if (tq_query_prepare(q, y, dim, nq, in->prepared) ||
	    tq_encode(q, in->x, dim, ROWS, in->codes) || counted(q, cases[i].op, in, nq))
		bench_die("%s", tq_error_text());
	printf("%s %s%s%s d=%u bits=%u queries=%u %d\n", plugin, names[cases[i].op],
	       cases[i].more ? ":" : "", cases[i].more ? cases[i].more : "", cases[i].dim,
	       cases[i].bits, cases[i].queries, ROWS);
	free(in->prepared);
	free(y);
}

int main(int argc, char **argv)
{
	struct input *in = bench_room(sizeof(*in));
	struct tq_quantizer *q;
	char spec[64];
	size_t i;

	if (argc != 2)
		bench_die("usage: bench-count PLUGIN");
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(spec, sizeof(spec), "bits=%u %s%s", cases[i].bits,
			 cases[i].more && strstr(cases[i].more, "correction") ? ""
									      : "correction=ls ",
			 cases[i].more ? cases[i].more : "");
		q = bench_quantizer(argv[1], spec, cases[i].dim, stages[cases[i].op], 1);
		if (!q && i == 0)
			return SKIPPED;
		if (!q)
			bench_die("%s does not serve case %zu", argv[1], i);
		run(argv[1], q, in, i);
	}
	bench_release();
	free(in);
	return 0;
}
