/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How fast codes are scored, beside reading their bytes, beside fp16 and fp32 dot products, beside
 * scalar; from memory and from cache; one query, eight grouped queries, batches.
 *
 *	parts: stream memory cache batch
 */

#include <stdlib.h>
#include <string.h>
#include "baseline.h"
#include "scan.h"

#define CACHE_BYTES ((size_t)256 << 10)
#define SCALAR_COORDINATES ((size_t)2 << 20)
#define BATCH_ROWS ((size_t)100000)

static const uint32_t all_dims[] = {64, 96, 128, 256, 768, 1024, 1536, 3072};
static const uint32_t some_dims[] = {96, 128, 768, 1024, 1536};
static const uint32_t all_bits[] = {1, 2, 3, 4, 5, 6, 7, 8};
static const uint32_t some_bits[] = {1, 2, 4};

/* Memory of the whole run */
struct room {
	uint8_t *codes;
	void *plain;
	float *scores, *query;
	size_t bytes;
};

/* One group: everything that is sampled in turn */
struct group {
	struct bench_job jobs[BENCH_MAX_JOBS];
	struct scan scans[BENCH_MAX_JOBS];
	struct bench_result results[BENCH_MAX_JOBS];
	void *prepared[BENCH_MAX_JOBS];
	size_t n;
};

static struct scan *add(struct group *g, void (*run)(void *), const struct scan *s,
			const char *name)
{
	size_t i = g->n++;

	if (i == BENCH_MAX_JOBS)
		bench_die("too many jobs");
	g->scans[i] = *s;
	g->jobs[i] = (struct bench_job){
		.run = run, .arg = &g->scans[i], .work = (double)(s->rows * s->nq)};
	bench_result_init(&g->results[i], name);
	g->prepared[i] = NULL;
	return &g->scans[i];
}

static void add_driver(struct group *g, const struct scan *like, const char *plugin,
		       struct tq_quantizer *q, const char *name, const char *place, size_t nq)
{
	struct scan s = *like;
	struct bench_result *r;
	size_t scalar_rows = SCALAR_COORDINATES / tq_dim(q) / nq;

	s.q = q;
	s.nq = nq;
	s.prepared = scan_prepare(q, nq);
	if (!strcmp(plugin, "scalar") && s.rows > scalar_rows)
		s.rows = scalar_rows;
	else if (nq > 1 && s.rows > BATCH_ROWS)
		s.rows /= 2;
	add(g, scan_codes, &s, name);
	g->prepared[g->n - 1] = (void *)s.prepared;
	r = &g->results[g->n - 1];
	r->driver = plugin;
	r->stage_driver = tq_quantizer_driver(q, TQ_STAGE_SCORE);
	r->place = place;
	r->bits = tq_quantizer_spec(q)->bits;
	r->dim = tq_dim(q);
	r->queries = (uint32_t)nq;
	r->rows = s.rows;
	r->row_bytes = s.row_bytes;
}

static const struct bench_result *scalar_of(const struct group *g, const struct bench_result *r)
{
	size_t i;

	for (i = 0; i < g->n; i++)
		if (!strcmp(g->results[i].driver, "scalar") && g->results[i].queries == r->queries)
			return &g->results[i];
	return NULL;
}

/* The first three jobs are the baselines. */
static void report(struct bench *b, struct group *g)
{
	const struct bench_result *scalar;
	size_t i;

	for (i = 3; i < g->n; i++) {
		g->results[i].ns = g->jobs[i].ns;
		g->results[i].best = g->jobs[i].best;
	}
	for (i = 3; i < g->n; i++) {
		struct bench_result *r = &g->results[i];

		r->stream = g->jobs[0].ns;
		r->fp16 = g->jobs[1].ns;
		r->fp32 = g->jobs[2].ns;
		scalar = scalar_of(g, r);
		if (scalar)
			r->scalar = scalar->ns;
		bench_report(b, r);
		free(g->prepared[i]);
	}
	g->n = 0;
}

static void add_baselines(struct group *g, const struct room *room, const struct scan *like,
			  size_t bytes)
{
	struct scan s = *like;

	add(g, scan_stream, &s, "");
	s.rows = bytes / (s.dim * sizeof(uint16_t));
	add(g, scan_dot16, &s, "");
	s.rows = bytes / (s.dim * sizeof(float));
	add(g, scan_dot32, &s, "");
}

static void score_at(struct bench *b, const struct room *room, uint32_t dim, uint32_t bits,
		     const char *place, size_t bytes)
{
	static struct group g;
	struct scan s = {.codes = room->codes,
			 .scores = room->scores,
			 .query = room->query,
			 .plain = room->plain,
			 .dim = dim,
			 .nq = 1,
			 .threads = 1};
	struct tq_quantizer *q;
	char spec[64];
	size_t i;

	snprintf(spec, sizeof(spec), "bits=%u correction=ls", bits);
	q = bench_quantizer("scalar", spec, dim, TQ_STAGE_SCORE, 1);
	s.row_bytes = tq_code_size(q);
	s.rows = scan_fill(q, room->codes, bytes);
	add_baselines(&g, room, &s, bytes);
	for (i = 0; i < BENCH_PLUGINS; i++) {
		if (i && b->driver && strcmp(b->driver, bench_plugins[i]))
			continue;
		q = bench_quantizer(bench_plugins[i], spec, dim, TQ_STAGE_SCORE, 1);
		if (!q)
			continue;
		add_driver(&g, &s, bench_plugins[i], q, "score", place, 1);
		add_driver(&g, &s, bench_plugins[i], q, "score", place, 8);
	}
	bench_measure(b, g.jobs, g.n);
	report(b, &g);
	bench_release();
}

/* 100,000 rows against 1, 8 and 64 queries. */
static void batch_at(struct bench *b, const struct room *room, uint32_t dim, uint32_t bits)
{
	static const size_t batches[] = {1, 8, 64};
	static struct group g;
	struct scan s = {.codes = room->codes,
			 .scores = room->scores,
			 .query = room->query,
			 .plain = room->plain,
			 .dim = dim,
			 .nq = 1,
			 .threads = 1};
	struct tq_quantizer *q;
	char spec[64];
	size_t i, k;

	snprintf(spec, sizeof(spec), "bits=%u correction=ls", bits);
	q = bench_quantizer("scalar", spec, dim, TQ_STAGE_SCORE, 1);
	s.row_bytes = tq_code_size(q);
	s.rows = scan_fill(q, room->codes, BATCH_ROWS * s.row_bytes);
	add_baselines(&g, room, &s, room->bytes);
	for (i = 0; i < BENCH_PLUGINS; i++) {
		if (i && b->driver && strcmp(b->driver, bench_plugins[i]))
			continue;
		q = bench_quantizer(bench_plugins[i], spec, dim, TQ_STAGE_SCORE, 1);
		for (k = 0; q && k < 3; k++)
			add_driver(&g, &s, bench_plugins[i], q, "batch", "memory", batches[k]);
	}
	bench_measure(b, g.jobs, g.n);
	report(b, &g);
	bench_release();
}

/* What this core does at best: reading, copying, and the two dot products, GB/s of what they read.
 */
static void stream(struct bench *b, const struct room *room)
{
	static const size_t sizes[] = {(size_t)32 << 10, (size_t)512 << 10, (size_t)8 << 20, 0};
	struct scan s = {.codes = room->plain,
			 .scores = room->scores,
			 .query = room->query,
			 .plain = room->plain,
			 .dim = 128,
			 .nq = 1,
			 .threads = 1};
	void (*const run[])(void *) = {scan_stream, scan_dot16, scan_dot32};
	static const char *const names[] = {"read", "dot fp16", "dot fp32"};
	static const uint32_t bits[] = {8, 16, 32};
	struct bench_result r;
	struct group g;
	size_t i, k;

	for (i = 0; i < 4; i++) {
		size_t bytes = sizes[i] ? sizes[i] : room->bytes;

		g.n = 0;
		for (k = 0; k < 3; k++) {
			s.row_bytes = s.dim * bits[k] / 8;
			s.rows = bytes / s.row_bytes;
			add(&g, run[k], &s, names[k]);
		}
		bench_measure(b, g.jobs, g.n);
		for (k = 0; k < 3; k++) {
			bench_result_init(&r, "stream");
			r.driver = names[k];
			r.place = i < 3 ? "cache" : "memory";
			r.bits = bits[k];
			r.dim = s.dim;
			r.rows = g.scans[k].rows;
			r.row_bytes = g.scans[k].row_bytes;
			r.ns = g.jobs[k].ns;
			r.best = g.jobs[k].best;
			bench_report(b, &r);
		}
	}
}

int main(int argc, char **argv)
{
	const uint32_t *dims, *bits;
	size_t ndims, nbits, i, k;
	struct room room;
	struct bench b;

	bench_open(&b, "score", argc, argv);
	dims = b.quick ? some_dims : all_dims;
	ndims = b.quick ? 5 : 8;
	bits = b.quick ? some_bits : all_bits;
	nbits = b.quick ? 3 : 8;
	room.bytes = b.memory;
	room.codes = bench_room(b.memory + ((size_t)64 << 20));
	room.plain = bench_room(b.memory);
	room.scores = bench_room(SCAN_SCORES * sizeof(float));
	room.query = bench_room(4096 * sizeof(float));
	bench_normals(room.query, 4096, 5);
	scan_halves(room.plain, b.memory);
	if (bench_wants(&b, "stream"))
		stream(&b, &room);
	for (i = 0; i < ndims; i++)
		for (k = 0; k < nbits; k++)
			if (bench_wants(&b, "memory"))
				score_at(&b, &room, dims[i], bits[k], "memory", room.bytes);
	for (i = 0; i < ndims; i++)
		for (k = 0; k < nbits; k++)
			if (bench_wants(&b, "cache"))
				score_at(&b, &room, dims[i], bits[k], "cache", CACHE_BYTES);
	for (i = 0; i < ndims; i++)
		for (k = 0; k < nbits; k++)
			if (bench_wants(&b, "batch") && bits[k] <= 4 &&
			    (dims[i] == 128 || dims[i] == 768 || dims[i] == 1536))
				batch_at(&b, &room, dims[i], bits[k]);
	free(room.codes);
	free(room.plain);
	free(room.scores);
	free(room.query);
	return bench_close(&b);
}
