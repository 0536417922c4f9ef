/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the cost of a scan grows: with rows, dimension, bits, queries and threads; each beside
 *reading the same bytes with as many threads. With threads, encoding too, beside a copy of the
 *floats.
 *
 *	parts: rows dims bits queries threads
 */

#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "pool.h"
#include "scan.h"

#define MAX_ROWS ((size_t)10000000)
#define MAX_ROW_BYTES 68 /* of the rows part: d = 128, 4 bits, a float of scale */
#define ENCODE_BYTES ((size_t)128 << 20)

static const uint32_t dims[] = {64,  80,  96,  100, 128,  192,	200,  256,  384,
				512, 576, 768, 960, 1000, 1024, 1536, 2048, 3072};

struct room {
	uint8_t *codes;
	float *scores, *floats, *copy;
	size_t bytes;
};

/* The jobs of one point: reading (or copying), then a plugin each */
struct point {
	struct bench_job jobs[BENCH_PLUGINS + 1];
	struct scan scans[BENCH_PLUGINS + 1];
	struct bench_result results[BENCH_PLUGINS + 1];
	size_t n;
};

/* Baseline of a point: its threads read or copy what its scan or encode does */
struct together {
	struct pool *pool;
	const void *from;
	void *to;
	size_t n;
};

static void run_together(void *arg)
{
	const struct together *t = arg;

	if (t->to)
		pool_copy(t->pool, t->to, t->from, t->n);
	else
		pool_sum(t->pool, t->from, t->n);
}

static void run_encode(void *arg)
{
	const struct scan *s = arg;

	if (tq_encode(s->q, s->plain, s->dim, s->rows, (void *)s->codes))
		bench_die("%s", tq_error_text());
}

static void describe(struct bench_result *r, const char *name, const char *plugin,
		     const struct scan *s, int stage)
{
	bench_result_init(r, name);
	r->driver = plugin;
	r->stage_driver = tq_quantizer_driver(s->q, stage);
	r->place = "memory";
	r->bits = tq_quantizer_spec(s->q)->bits;
	r->dim = s->dim;
	r->queries = (uint32_t)s->nq;
	r->threads = s->threads;
	r->rows = s->rows;
	r->row_bytes = s->row_bytes;
}

static void finish(struct bench *b, struct point *p, struct together *t)
{
	size_t i;

	p->jobs[0] = (struct bench_job){.run = run_together,
					.arg = t,
					.work = (double)p->scans[1].rows,
					.wall = p->scans[1].threads > 1};
	bench_measure(b, p->jobs, p->n);
	for (i = 1; i < p->n; i++) {
		struct bench_result *r = &p->results[i];

		r->ns = p->jobs[i].ns;
		r->best = p->jobs[i].best;
		if (t->to)
			r->copy = p->jobs[0].ns;
		else
			r->stream = p->jobs[0].ns;
		bench_report(b, r);
		free((void *)p->scans[i].prepared);
	}
	bench_release();
}

/* Is it one of the plugins that this run measures? All but scalar, unless it is asked for. */
static bool measured(const struct bench *b, const char *plugin)
{
	return b->driver ? !strcmp(b->driver, plugin) : strcmp(plugin, "scalar") != 0;
}

/* One scan of @rows rows, or of what fits into @bytes. */
static void scan_point(struct bench *b, const struct room *room, const char *name, uint32_t dim,
		       uint32_t bits, size_t rows, size_t bytes, size_t nq, unsigned threads)
{
	struct together t = {.pool = pool_create(threads), .from = room->codes};
	struct point p = {.n = 1};
	struct scan s = {.codes = room->codes,
			 .scores = room->scores,
			 .dim = dim,
			 .nq = nq,
			 .threads = threads};
	char spec[64];
	size_t i;

	snprintf(spec, sizeof(spec), "bits=%u correction=ls", bits);
	for (i = 0; i < BENCH_PLUGINS; i++) {
		if (!measured(b, bench_plugins[i]))
			continue;
		s.q = bench_quantizer(bench_plugins[i], spec, dim, TQ_STAGE_SCORE, threads);
		if (!s.q)
			continue;
		s.row_bytes = tq_code_size(s.q);
		if (p.n == 1)
			s.rows = scan_fill(s.q, room->codes, rows ? rows * s.row_bytes : bytes);
		s.prepared = scan_prepare(s.q, nq);
		p.scans[p.n] = s;
		p.jobs[p.n] = (struct bench_job){.run = scan_codes,
						 .arg = &p.scans[p.n],
						 .work = (double)(s.rows * nq),
						 .wall = threads > 1};
		describe(&p.results[p.n], name, bench_plugins[i], &s, TQ_STAGE_SCORE);
		p.n++;
	}
	t.n = s.rows * s.row_bytes;
	if (p.n > 1)
		finish(b, &p, &t);
	pool_destroy(t.pool);
}

static void encode_point(struct bench *b, const struct room *room, uint32_t dim, unsigned threads)
{
	struct together t = {.pool = pool_create(threads), .from = room->floats, .to = room->copy};
	struct point p = {.n = 1};
	struct scan s = {.codes = room->codes,
			 .plain = room->floats,
			 .dim = dim,
			 .nq = 1,
			 .threads = threads,
			 .rows = ENCODE_BYTES / dim / sizeof(float)};
	size_t i;

	t.n = s.rows * dim * sizeof(float);
	for (i = 0; i < BENCH_PLUGINS; i++) {
		if (!measured(b, bench_plugins[i]))
			continue;
		s.q = bench_quantizer(bench_plugins[i], "bits=4 correction=ls", dim,
				      TQ_STAGE_ENCODE, threads);
		if (!s.q)
			continue;
		s.row_bytes = tq_code_size(s.q);
		p.scans[p.n] = s;
		p.jobs[p.n] = (struct bench_job){.run = run_encode,
						 .arg = &p.scans[p.n],
						 .work = (double)s.rows,
						 .wall = threads > 1};
		describe(&p.results[p.n], "threads-encode", bench_plugins[i], &s, TQ_STAGE_ENCODE);
		p.n++;
	}
	if (p.n > 1)
		finish(b, &p, &t);
	pool_destroy(t.pool);
}

static void rows_part(struct bench *b, const struct room *room)
{
	size_t rows, most = b->quick ? MAX_ROWS / 10 : MAX_ROWS;

	for (rows = 1000; rows <= most; rows *= 10) {
		scan_point(b, room, "rows", 128, 4, rows, 0, 1, 1);
		if (rows * 3 <= most)
			scan_point(b, room, "rows", 128, 4, rows * 3, 0, 1, 1);
	}
}

static void queries_part(struct bench *b, const struct room *room)
{
	size_t nq;

	for (nq = 1; nq <= SCAN_MAX_QUERIES; nq *= 2) {
		scan_point(b, room, "queries", 128, 4, 0, b->memory / 4, nq, 1);
		scan_point(b, room, "queries", 1536, 4, 0, b->memory / 4, nq, 1);
	}
}

static void threads_part(struct bench *b, const struct room *room)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned threads;

	for (threads = 1; threads <= 16 && (long)threads <= cores; threads *= 2) {
		scan_point(b, room, "threads", 128, 4, 0, b->memory, 1, threads);
		scan_point(b, room, "threads", 1536, 4, 0, b->memory, 1, threads);
		scan_point(b, room, "threads-batch", 1536, 4, 0, b->memory / 4, 64, threads);
		encode_point(b, room, 128, threads);
		encode_point(b, room, 1536, threads);
	}
}

int main(int argc, char **argv)
{
	struct room room;
	struct bench b;
	uint32_t bits;
	size_t i;

	bench_open(&b, "growth", argc, argv);
	room.bytes = MAX_ROWS * MAX_ROW_BYTES;
	room.codes = bench_room(room.bytes);
	room.scores = bench_room(16 * SCAN_SCORES * sizeof(float));
	room.floats = bench_room(ENCODE_BYTES);
	room.copy = bench_room(ENCODE_BYTES);
	bench_normals(room.floats, (size_t)1 << 20, 9);
	bench_repeat(room.floats, (size_t)4 << 20, ENCODE_BYTES);
	if (bench_wants(&b, "rows"))
		rows_part(&b, &room);
	for (i = 0; bench_wants(&b, "dims") && i < sizeof(dims) / sizeof(dims[0]); i++)
		scan_point(&b, &room, "dims", dims[i], 4, 0, b.memory, 1, 1);
	for (bits = 1; bench_wants(&b, "bits") && bits <= 8; bits++) {
		scan_point(&b, &room, "bits", 128, bits, 0, b.memory, 1, 1);
		scan_point(&b, &room, "bits", 1536, bits, 0, b.memory, 1, 1);
	}
	if (bench_wants(&b, "queries"))
		queries_part(&b, &room);
	if (bench_wants(&b, "threads"))
		threads_part(&b, &room);
	free(room.codes);
	free(room.scores);
	free(room.floats);
	free(room.copy);
	return bench_close(&b);
}
