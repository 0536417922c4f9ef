/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What selecting the best costs beside scoring alone: tq_top_k() beside tq_score() of the same
 *rows, all scores to memory (plain) and block by block into a buffer that stays in cache (blocks).
 *Every row is different; one thread.
 *
 *	parts: one batch
 */

#include <stdlib.h>
#include <string.h>
#include "scan.h"

#define CHUNK ((size_t)8192)
#define SELECTIONS 5

static const size_t ks[SELECTIONS] = {1, 10, 100, 1000, 4096};

struct select {
	const struct scan *scan;
	size_t k;
	int64_t *ids;
	float *best;
};

static void run_plain(void *arg)
{
	const struct scan *s = arg;

	if (tq_score(s->q, s->prepared, s->nq, s->codes, s->rows, s->scores, s->rows))
		bench_die("%s", tq_error_text());
}

static void run_top_k(void *arg)
{
	const struct select *t = arg;
	const struct scan *s = t->scan;

	if (tq_top_k(s->q, s->prepared, s->nq, s->codes, s->rows, t->k, NULL, t->ids, t->best))
		bench_die("%s", tq_error_text());
}

/* Rows of their own, not copies: how often the best change is part of the cost. */
static void fill(const struct scan *s, uint8_t *codes)
{
	float *x = bench_room(CHUNK * s->dim * sizeof(*x));
	size_t i, n;

	for (i = 0; i < s->rows; i += n) {
		n = s->rows - i < CHUNK ? s->rows - i : CHUNK;
		bench_normals(x, n * s->dim, 1000 + i);
		if (tq_encode(s->q, x, s->dim, n, codes + i * s->row_bytes))
			bench_die("%s", tq_error_text());
	}
	free(x);
}

static void report(struct bench *b, const char *plugin, const struct scan *s, const char *name,
		   const struct bench_job *job, const struct bench_job *plain)
{
	printf("%-8s %4u bits d=%-5u %8zu rows %3zu queries  %-9s %8.3f ns/row/query  %6.3f x "
	       "plain\n",
	       plugin, tq_quantizer_spec(s->q)->bits, s->dim, s->rows, s->nq, name, job->ns,
	       job->ns / plain->ns);
	if (!b->file)
		return;
	json_object(&b->json, NULL);
	json_string(&b->json, "name", name);
	json_string(&b->json, "driver", plugin);
	json_string(&b->json, "stage_driver", tq_quantizer_driver(s->q, TQ_STAGE_SCORE));
	json_unsigned(&b->json, "bits", tq_quantizer_spec(s->q)->bits);
	json_unsigned(&b->json, "dim", s->dim);
	json_unsigned(&b->json, "queries", s->nq);
	json_unsigned(&b->json, "rows", s->rows);
	json_number(&b->json, "ns", job->ns);
	json_number(&b->json, "best", job->best);
	json_number(&b->json, "plain_ns", plain->ns);
	json_object_end(&b->json);
}

static void measure(struct bench *b, const char *plugin, uint32_t bits, uint32_t dim, size_t rows,
		    size_t nq)
{
	struct bench_job jobs[2 + SELECTIONS];
	struct select selections[SELECTIONS];
	struct scan s = {.dim = dim, .nq = nq, .rows = rows, .threads = 1};
	uint8_t *codes;
	char text[64];
	size_t i;

	snprintf(text, sizeof(text), "bits=%u correction=unbiased", bits);
	s.q = bench_quantizer(plugin, text, dim, TQ_STAGE_SCORE, 1);
	if (!s.q)
		return;
	s.row_bytes = tq_code_size(s.q);
	s.codes = codes = bench_room(rows * s.row_bytes);
	s.scores = bench_room(rows * nq * sizeof(float));
	s.prepared = scan_prepare(s.q, nq);
	fill(&s, codes);
	jobs[0] = (struct bench_job){.run = run_plain, .arg = &s, .work = (double)(rows * nq)};
	jobs[1] = (struct bench_job){.run = scan_codes, .arg = &s, .work = (double)(rows * nq)};
	for (i = 0; i < SELECTIONS; i++) {
		selections[i] = (struct select){&s, ks[i], bench_room(nq * ks[i] * sizeof(int64_t)),
						bench_room(nq * ks[i] * sizeof(float))};
		jobs[2 + i] = (struct bench_job){
			.run = run_top_k, .arg = &selections[i], .work = (double)(rows * nq)};
	}
	bench_measure(b, jobs, 2 + SELECTIONS);
	report(b, plugin, &s, "plain", &jobs[0], &jobs[0]);
	report(b, plugin, &s, "blocks", &jobs[1], &jobs[0]);
	for (i = 0; i < SELECTIONS; i++) {
		snprintf(text, sizeof(text), "top %zu", ks[i]);
		report(b, plugin, &s, text, &jobs[2 + i], &jobs[0]);
		free(selections[i].ids);
		free(selections[i].best);
	}
	free((void *)s.prepared);
	free(s.scores);
	free(codes);
}

int main(int argc, char **argv)
{
	size_t rows, i;
	struct bench b;

	bench_open(&b, "top_k", argc, argv);
	rows = b.quick ? 200000 : 1000000;
	for (i = 1; i < BENCH_PLUGINS; i++) {
		if (b.driver && strcmp(b.driver, bench_plugins[i]))
			continue;
		if (bench_wants(&b, "one")) {
			measure(&b, bench_plugins[i], 4, 128, rows, 1);
			measure(&b, bench_plugins[i], 1, 128, rows, 1);
			measure(&b, bench_plugins[i], 4, 768, rows / 5, 1);
		}
		if (bench_wants(&b, "batch")) {
			measure(&b, bench_plugins[i], 4, 128, rows / 5, 8);
			measure(&b, bench_plugins[i], 4, 128, rows / 10, 64);
			measure(&b, bench_plugins[i], 4, 768, rows / 20, 64);
		}
	}
	return bench_close(&b);
}
