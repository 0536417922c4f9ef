/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How fast rows are encoded and decoded, beside a memcpy of the floats on the same core and beside
 * scalar. The floats are far larger than cache; what scalar does is a small part of them.
 *
 *	parts: dims specs
 */

#include <stdlib.h>
#include <string.h>
#include "bench.h"

#define SCALAR_COORDINATES ((size_t)256 << 10)
#define FRESH_FLOATS ((size_t)1 << 20)

static const uint32_t all_dims[] = {64, 96, 128, 256, 512, 768, 1024, 1536, 3072};
static const uint32_t some_dims[] = {96, 128, 768, 1024, 1536};

/* What a caller may ask for besides the default, at d = 128 and 1536 */
static const char *const specs[] = {
	"bits=4 correction=unbiased effort=1",
	"bits=4 correction=unbiased effort=2",
	"bits=4 correction=ls rotation=rht:1",
	"bits=4 correction=ls rotation=rht:3",
	"bits=4 correction=none",
	"bits=4 correction=qjl:rht",
};

struct work {
	const struct tq_quantizer *q;
	const void *x;
	void *out;
	uint8_t *codes;
	size_t rows, dim;
	int dtype;
};

struct room {
	void *f32, *bf16, *out;
	uint8_t *codes;
	size_t bytes;
};

static void run_encode(void *arg)
{
	const struct work *w = arg;

	if (tq_encode_as(w->q, w->x, w->dtype, w->dim, w->rows, w->codes))
		bench_die("%s", tq_error_text());
}

static void run_decode(void *arg)
{
	const struct work *w = arg;

	if (tq_decode_as(w->q, w->codes, w->rows, w->out, w->dtype, w->dim))
		bench_die("%s", tq_error_text());
}

static void run_copy(void *arg)
{
	const struct work *w = arg;

	memcpy(w->out, w->x, w->rows * w->dim * tq_dtype_size(w->dtype));
}

struct group {
	struct bench_job jobs[BENCH_MAX_JOBS];
	struct work work[BENCH_MAX_JOBS];
	struct bench_result results[BENCH_MAX_JOBS];
	size_t n;
};

static void add(struct group *g, const struct work *w, void (*run)(void *), const char *name,
		const char *plugin, int stage)
{
	size_t i = g->n++;
	struct bench_result *r = &g->results[i];

	g->work[i] = *w;
	g->jobs[i] = (struct bench_job){.run = run, .arg = &g->work[i], .work = (double)w->rows};
	bench_result_init(r, name);
	if (!w->q)
		return;
	r->driver = plugin;
	r->stage_driver = tq_quantizer_driver(w->q, stage);
	r->place = "memory";
	r->dtype = w->dtype == TQ_F32 ? "f32" : w->dtype == TQ_F16 ? "f16" : "bf16";
	r->bits = tq_quantizer_spec(w->q)->bits;
	r->dim = (uint32_t)w->dim;
	r->rows = w->rows;
	r->row_bytes = tq_code_size(w->q);
}

/* The first job is the memcpy. */
static void report(struct bench *b, struct group *g, const char *spec)
{
	size_t i, k;

	for (i = 1; i < g->n; i++) {
		struct bench_result *r = &g->results[i];

		r->ns = g->jobs[i].ns;
		r->best = g->jobs[i].best;
		r->copy = g->jobs[0].ns;
		r->spec = spec;
	}
	for (i = 1; i < g->n; i++) {
		for (k = 1; k < g->n; k++)
			if (!strcmp(g->results[k].driver, "scalar") &&
			    !strcmp(g->results[k].name, g->results[i].name))
				g->results[i].scalar = g->results[k].ns;
		bench_report(b, &g->results[i]);
	}
	g->n = 0;
}

static void encode_at(struct bench *b, const struct room *room, uint32_t dim, const char *spec,
		      int dtype)
{
	static struct group g;
	struct work w = {.x = dtype == TQ_F32 ? room->f32 : room->bf16,
			 .out = room->out,
			 .codes = room->codes,
			 .dim = dim,
			 .dtype = dtype};
	size_t rows = room->bytes / (dim * tq_dtype_size(dtype)), i;

	w.rows = rows;
	add(&g, &w, run_copy, "", "", 0);
	for (i = 0; i < BENCH_PLUGINS; i++) {
		if (i && b->driver && strcmp(b->driver, bench_plugins[i]))
			continue;
		w.rows = i || rows < SCALAR_COORDINATES / dim ? rows : SCALAR_COORDINATES / dim;
		w.q = bench_quantizer(bench_plugins[i], spec, dim, TQ_STAGE_ENCODE, 1);
		if (w.q)
			add(&g, &w, run_encode, "encode", bench_plugins[i], TQ_STAGE_ENCODE);
		w.q = bench_quantizer(bench_plugins[i], spec, dim, TQ_STAGE_DECODE, 1);
		if (w.q)
			add(&g, &w, run_decode, "decode", bench_plugins[i], TQ_STAGE_DECODE);
	}
	bench_measure(b, g.jobs, g.n);
	report(b, &g, spec);
	bench_release();
}

static void dims_part(struct bench *b, const struct room *room)
{
	const uint32_t *dims = b->quick ? some_dims : all_dims;
	size_t ndims = b->quick ? 5 : 9, i;
	char spec[64];
	uint32_t bits;

	for (i = 0; i < ndims; i++) {
		for (bits = 1; bits <= 8; bits++) {
			if (b->quick && bits != 2 && bits != 4)
				continue;
			snprintf(spec, sizeof(spec), "bits=%u correction=ls", bits);
			encode_at(b, room, dims[i], spec, TQ_F32);
		}
		encode_at(b, room, dims[i], "bits=4 correction=ls", TQ_BF16);
	}
}

static void make_room(struct room *room, size_t bytes)
{
	size_t i;
	uint32_t u;

	room->bytes = bytes;
	room->f32 = bench_room(bytes);
	room->bf16 = bench_room(bytes);
	room->out = bench_room(bytes);
	/* 8 bits of a bf16 input are half its bytes; the fields of a row come on top */
	room->codes = bench_room(bytes);
	bench_normals(room->f32, FRESH_FLOATS, 9);
	for (i = 0; i < FRESH_FLOATS; i++) {
		memcpy(&u, (float *)room->f32 + i, sizeof(u));
		((uint16_t *)room->bf16)[i] = (uint16_t)(u >> 16);
	}
	bench_repeat(room->f32, FRESH_FLOATS * 4, bytes);
	bench_repeat(room->bf16, FRESH_FLOATS * 2, bytes);
}

int main(int argc, char **argv)
{
	struct room room;
	struct bench b;
	size_t i;

	bench_open(&b, "encode", argc, argv);
	make_room(&room, b.memory / 2);
	if (bench_wants(&b, "dims"))
		dims_part(&b, &room);
	if (bench_wants(&b, "specs"))
		for (i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
			encode_at(&b, &room, 128, specs[i], TQ_F32);
			encode_at(&b, &room, 1536, specs[i], TQ_F32);
		}
	free(room.f32);
	free(room.bf16);
	free(room.out);
	free(room.codes);
	return bench_close(&b);
}
