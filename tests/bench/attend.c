/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decode attention over a KV cache of 32,768 tokens, 32 query heads on 8 KV heads of 128, keys and values
 * at 4 bits: beside reading the code bytes, an fp16 cache attended with the same care (baseline_attend.c),
 * and decoding to float32 first. A unit of work is one token of one query head.
 */

#include <stdlib.h>
#include <string.h>
#include "baseline.h"
#include "bench.h"

#define KV_HEADS 8
#define GROUP 4
#define DIM 128
#define HEADS (KV_HEADS * GROUP)

/* One cache, and what a call needs */
struct subject {
	struct tq_context *ctx;
	struct tq_kv *kv;
	struct tq_kv_seq *seq;
	struct tq_kv_call call;
	float out[HEADS * DIM];
};

struct plain {
	const float *query;
	const uint16_t *keys, *values;
	size_t tokens;
	float *out;
};

struct bytes {
	const void *at;
	size_t n;
	uint64_t sum;
};

static void run_attend(void *arg)
{
	struct subject *s = arg;

	if (tq_kv_attend(s->seq, 0, &s->call))
		bench_die("%s", tq_error_text());
}

static void run_fp16(void *arg)
{
	const struct plain *p = arg;
	size_t h, row = p->tokens * DIM;

	for (h = 0; h < KV_HEADS; h++)
		baseline_attend16(p->query + h * GROUP * DIM, GROUP, p->keys + h * row, p->values + h * row,
				  p->tokens, p->out + h * GROUP * DIM);
}

static void run_stream(void *arg)
{
	struct bytes *b = arg;

	b->sum += baseline_sum(b->at, b->n);
}

/* The codes of keys and values, head by head: decoded a block at a time, then attended as halves are */
struct decoded {
	struct tq_quantizer *q;
	const unsigned char *codes;
	const float *query;
	size_t tokens;
	float *block, *out;
};

static void run_decoded(void *arg)
{
	const struct decoded *d = arg;
	size_t h, t, n = 256, row = tq_code_size(d->q);
	const unsigned char *keys, *values;

	for (h = 0; h < KV_HEADS; h++) {
		keys = d->codes + 2 * h * d->tokens * row;
		values = keys + d->tokens * row;
		baseline_attend32_begin(GROUP);
		for (t = 0; t < d->tokens; t += n) {
			if (tq_decode(d->q, keys + t * row, n, d->block, DIM) ||
			    tq_decode(d->q, values + t * row, n, d->block + n * DIM, DIM))
				bench_die("%s", tq_error_text());
			baseline_attend32(d->query + h * GROUP * DIM, GROUP, d->block, d->block + n * DIM, n);
		}
		baseline_attend32_end(d->out + h * GROUP * DIM, GROUP);
	}
}

static bool open_subject(struct subject *s, const char *plugin, const char *spec, size_t tokens,
			 const float *rows, const float *query)
{
	struct tq_options options = { .struct_size = sizeof(options) };
	struct tq_kv_options o;
	struct tq_kv_rows r = { .struct_size = sizeof(r), .dtype = TQ_F32, .key_stride = KV_HEADS * DIM,
				.value_stride = KV_HEADS * DIM };
	size_t t;

	memset(s, 0, sizeof(*s));
	if (tq_context_create(&options, &s->ctx))
		bench_die("%s", tq_error_text());
	tq_kv_options_init(&o);
	o.kv_heads = KV_HEADS;
	o.query_heads = HEADS;
	o.key_dim = o.value_dim = DIM;
	o.key_spec = o.value_spec = spec;
	o.driver = plugin;
	if (tq_kv_create(s->ctx, &o, &s->kv)) {
		tq_context_destroy(s->ctx);
		return false;
	}
	if (tq_kv_seq_create(s->kv, &s->seq))
		bench_die("%s", tq_error_text());
	for (t = 0; t < tokens; t += r.tokens) {
		r.tokens = 1024;
		r.keys = rows + t % 4096 * KV_HEADS * DIM;
		r.values = rows + (t + 2048) % 4096 * KV_HEADS * DIM;
		if (tq_kv_append(s->seq, 0, &r))
			bench_die("%s", tq_error_text());
	}
	s->call = (struct tq_kv_call){ .struct_size = sizeof(s->call), .tokens = 1, .dtype = TQ_F32,
					 .query = query, .query_stride = HEADS * DIM, .out = s->out,
					 .out_stride = HEADS * DIM };
	s->call.scratch_bytes = tq_kv_attend_scratch(s->seq, tokens);
	s->call.scratch = bench_room(s->call.scratch_bytes);
	return true;
}

static void close_subject(struct subject *s)
{
	tq_kv_seq_drop(s->seq);
	tq_kv_destroy(s->kv);
	tq_context_destroy(s->ctx);
}

static void compare(struct bench *b, uint32_t bits, size_t tokens, const float *rows, const float *query,
		    const struct plain *plain)
{
	struct subject subjects[BENCH_PLUGINS];
	const char *names[BENCH_PLUGINS];
	struct bench_job jobs[BENCH_PLUGINS + 3];
	struct tq_quantizer *q = bench_quantizer("avx512", "bits=4 correction=ls", DIM, TQ_STAGE_DECODE, 1);
	struct decoded decoded = { .q = q, .query = query, .tokens = tokens };
	struct bytes bytes = { .at = plain->keys };
	struct bench_result r;
	char spec[32];
	size_t i, n = 0, at, base;

	snprintf(spec, sizeof(spec), "bits=%u", bits);
	for (i = 0; i < BENCH_PLUGINS; i++) {
		if (b->driver && strcmp(b->driver, bench_plugins[i]))
			continue;
		at = strcmp(bench_plugins[i], "scalar") ? tokens : 1024;
		if (open_subject(&subjects[n], bench_plugins[i], spec, at, rows, query))
			names[n++] = bench_plugins[i];
	}
	bytes.n = KV_HEADS * tokens * (size_t)(tq_kv_used(subjects[n - 1].kv) / KV_HEADS / tokens);
	for (i = 0; i < n; i++) {
		at = strcmp(names[i], "scalar") ? tokens : 1024;
		jobs[i] = (struct bench_job){ .run = run_attend, .arg = &subjects[i],
					      .work = (double)HEADS * (double)at };
	}
	base = n;
	jobs[base] = (struct bench_job){ .run = run_stream, .arg = &bytes, .work = (double)HEADS * (double)tokens };
	jobs[base + 1] = (struct bench_job){ .run = run_fp16, .arg = (void *)plain,
					     .work = (double)HEADS * (double)tokens };
	if (q) {
		decoded.codes = bench_room(2 * KV_HEADS * tokens * tq_code_size(q));
		decoded.block = bench_room(2 * 256 * DIM * sizeof(float));
		decoded.out = bench_room(HEADS * DIM * sizeof(float));
		for (at = 0; at < 2 * KV_HEADS * tokens; at += 4096)
			if (tq_encode(q, rows, DIM, 4096, (unsigned char *)decoded.codes + at * tq_code_size(q)))
				bench_die("%s", tq_error_text());
		jobs[base + 2] = (struct bench_job){ .run = run_decoded, .arg = &decoded,
						     .work = (double)HEADS * (double)tokens };
	}

	bench_measure(b, jobs, base + (q ? 3 : 2));
	for (i = 0; i < n; i++) {
		bench_result_init(&r, "attend");
		r.driver = names[i];
		r.stage_driver = "";
		r.place = "memory";
		r.bits = bits;
		r.dim = DIM;
		r.queries = GROUP;
		r.rows = tokens;
		r.row_bytes = bytes.n / KV_HEADS / tokens;
		r.ns = jobs[i].ns;
		r.best = jobs[i].best;
		r.stream = GROUP * jobs[base].ns; /* per token, whatever the queries */
		r.fp16 = jobs[base + 1].ns;
		if (q)
			r.fp32 = jobs[base + 2].ns;
		if (!strcmp(names[0], "scalar"))
			r.scalar = jobs[0].ns;
		bench_report(b, &r);
		close_subject(&subjects[i]);
	}
	bench_release();
}

int main(int argc, char **argv)
{
	static const uint32_t all_bits[] = { 4, 3, 2, 8 };
	struct plain plain = { 0 };
	struct bench b;
	float *rows, *query;
	size_t i, tokens;

	bench_open(&b, "attend", argc, argv);
	if (!baseline_can_attend()) {
		fprintf(stderr, "bench-attend: the baselines need AVX-512\n");
		return bench_close(&b);
	}
	tokens = b.quick ? 8192 : 32768;
	rows = bench_room(4096 * KV_HEADS * DIM * sizeof(*rows));
	query = bench_room(HEADS * DIM * sizeof(*query));
	bench_normals(rows, 4096 * KV_HEADS * DIM, 1);
	bench_normals(query, HEADS * DIM, 2);
	plain.tokens = tokens;
	plain.query = query;
	plain.out = bench_room(HEADS * DIM * sizeof(float));
	plain.keys = bench_room(2 * KV_HEADS * tokens * DIM * sizeof(uint16_t));
	plain.values = plain.keys + KV_HEADS * tokens * DIM;
	baseline_halves(rows, 4096 * KV_HEADS * DIM, (uint16_t *)plain.keys);
	bench_repeat((uint16_t *)plain.keys, 4096 * KV_HEADS * DIM * sizeof(uint16_t),
		     2 * KV_HEADS * tokens * DIM * sizeof(uint16_t));
	for (i = 0; i < (b.quick ? 1 : 4); i++)
		compare(&b, all_bits[i], tokens, rows, query, &plain);
	return bench_close(&b);
}
