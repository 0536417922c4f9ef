/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The model of a sequence: every token as it was appended, and what the row codec makes of it. Keys and values read
 * back are exactly one or the other; attention is compared with float64 over what was read.
 */

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "kv_model.h"

struct tq_context *kv_ctx;
_Thread_local uint64_t rng_state = 1;

uint32_t rng(uint32_t below)
{
	rng_state = rng_state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(((rng_state >> 33) * below) >> 31);
}

static float normal(void)
{
	float s = -6.0f;
	int i;

	for (i = 0; i < 12; i++)
		s += (float)rng(1 << 20) / (float)(1 << 20);
	return s;
}

/* f16 for values between 2^-14 and 65504, by scaling to integers: no code of the library */
static float round_f16(float x)
{
	int e;
	float m;

	if (x == 0.0f)
		return x;
	m = frexpf(x, &e);
	if (e < -13)
		e = -13;
	return ldexpf(rintf(ldexpf(x, 11 - e)), e - 11) + 0.0f * m;
}

static const struct tq_kv_override raw_ends[] = {
	{ .first_layer = 0, .last_layer = TQ_KV_LAST(2), .last_head = TQ_KV_LAST(1), .key_spec = "raw",
	  .value_spec = "raw" },
	{ .first_layer = TQ_KV_LAST(1), .last_layer = TQ_KV_LAST(1), .first_head = 1, .last_head = 1, .key_spec = "bits=8",
	  .value_spec = "raw" },
};

const struct shape shapes[] = {
	{ "plain", { BASE(2, 2, 4, 64, 0, 64) } },
	{ "window", { BASE(1, 2, 8, 128, 0, 96), .sinks = 5, .window = 40, .key_spec = "bits=3",
		      .value_spec = "bits=2 correction=ls" } },
	{ "learned centre", { BASE(1, 1, 3, 80, 0, 80), .sinks = 4, .window = 8,
			      .center = TQ_KV_CENTER_LEARN, .center_tokens = 50 } },
	{ "mla", { BASE(1, 1, 20, 512, 64, 0), .window = 16, .center = TQ_KV_CENTER_LEARN,
		   .center_tokens = 32 } },
	{ "overrides", { BASE(2, 2, 2, 48, 0, 40), .overrides = raw_ends, .noverrides = 2, .window = 1 } },
	{ "qjl keys", { BASE(1, 2, 4, 96, 0, 64), .key_spec = "bits=4 correction=qjl:rht",
			.value_spec = "bits=5" } },
	{ "odd", { BASE(1, 3, 3, 17, 3, 33), .sinks = 1, .window = 3, .key_spec = "bits=1 code=sign" } },
	{ "split", { BASE(1, 2, 4, 64, 3, 40), .sinks = 3, .center = TQ_KV_CENTER_LEARN, .center_tokens = 40,
		     .key_spec = "split=0,7,14-21,63,28-30,35,42,49 bits=4 / bits=3",
		     .value_spec = "split=39,1-8 bits=3 correction=unbiased / bits=2" } },
};

_Static_assert(sizeof(shapes) / sizeof(shapes[0]) == SHAPES, "SHAPES");

static size_t key_size(const struct tq_kv_options *o)
{
	return (size_t)o->layers * o->kv_heads * (o->key_dim + o->key_raw_dim);
}

static size_t value_size(const struct tq_kv_options *o)
{
	return (size_t)o->layers * o->kv_heads * o->value_dim;
}

void model_open(struct model *m, struct tq_kv *kv, const struct tq_kv_options *o)
{
	memset(m, 0, sizeof(*m));
	m->keys = calloc(MOST * key_size(o), sizeof(float));
	m->values = calloc(MOST * (value_size(o) + 1), sizeof(float));
	ck_assert(m->keys && m->values);
	if (kv)
		ck_assert_int_eq(tq_kv_seq_create(kv, &m->seq), TQ_OK);
}

void model_close(struct model *m)
{
	tq_kv_seq_drop(m->seq);
	free(m->keys);
	free(m->values);
	memset(m, 0, sizeof(*m));
}

static float *model_key(const struct model *m, const struct tq_kv_options *o, uint64_t t, uint32_t layer)
{
	return m->keys + t * key_size(o) + layer * (key_size(o) / o->layers);
}

static float *model_value(const struct model *m, const struct tq_kv_options *o, uint64_t t, uint32_t layer)
{
	return m->values + t * value_size(o) + layer * (value_size(o) / o->layers);
}

int append(struct model *m, const struct tq_kv_options *o, uint32_t n)
{
	size_t kw = key_size(o) / o->layers, vw = value_size(o) / o->layers, i;
	struct tq_kv_rows rows = { .struct_size = sizeof(rows), .tokens = n, .dtype = TQ_F32 };
	uint32_t layer, t;
	int ret = TQ_OK;

	for (t = 0; t < n; t++) {
		for (layer = 0; layer < o->layers; layer++) {
			for (i = 0; i < kw; i++)
				model_key(m, o, m->tokens + t, layer)[i] =
					round_f16(normal() + (i % 7 == 0 ? 4.0f : 0.0f));
			for (i = 0; i < vw; i++)
				model_value(m, o, m->tokens + t, layer)[i] = round_f16(normal());
		}
	}
	for (layer = 0; !ret && layer < o->layers; layer++) {
		rows.keys = model_key(m, o, m->tokens, layer);
		rows.key_stride = key_size(o);
		rows.values = vw ? model_value(m, o, m->tokens, layer) : NULL;
		rows.value_stride = value_size(o);
		ret = tq_kv_append(m->seq, layer, &rows);
	}
	if (!ret)
		m->tokens += n;
	return ret;
}

static bool present(const struct model *m, const struct tq_kv_options *o, uint64_t t)
{
	return t < m->tokens && (t < o->sinks || t >= m->trimmed);
}

static void through_codec(const char *text, const float *x, uint32_t d, float *y);

/* What two codecs make of a row, each of its channels; the list is read here, by none of the library's code */
static void through_split(const char *text, const float *x, uint32_t d, float *y)
{
	uint32_t channel[2][TQ_KV_MAX_DIM], n[2] = { 0 }, first, last, i, g;
	float from[TQ_KV_MAX_DIM], to[TQ_KV_MAX_DIM];
	bool listed[TQ_KV_MAX_DIM] = { false };
	const char *at = text + strlen("split=");
	char spec[2][128];
	int used;

	for (; *at != ' '; at += *at == ',') {
		ck_assert_int_eq(sscanf(at, "%u%n", &first, &used), 1);
		at += used;
		last = first;
		if (*at == '-') {
			ck_assert_int_eq(sscanf(at + 1, "%u%n", &last, &used), 1);
			at += 1 + used;
		}
		for (i = first; i <= last; i++)
			listed[i] = true;
	}
	ck_assert_int_eq(sscanf(at, "%127[^/]/%127[^\n]", spec[0], spec[1]), 2);
	for (i = 0; i < d; i++)
		channel[!listed[i]][n[!listed[i]]++] = i;
	for (g = 0; g < 2; g++) {
		for (i = 0; i < n[g]; i++)
			from[i] = x[channel[g][i]];
		through_codec(spec[g], from, n[g], to);
		for (i = 0; i < n[g]; i++)
			y[channel[g][i]] = to[i];
	}
}

/* What the row codec makes of a row */
static void through_codec(const char *text, const float *x, uint32_t d, float *y)
{
	struct tq_quantizer *q;
	struct tq_spec spec;
	unsigned char *code;

	if (text && !strncmp(text, "split=", 6)) {
		through_split(text, x, d, y);
		return;
	}
	tq_spec_init(&spec);
	ck_assert_int_eq(tq_spec_parse(&spec, "preset=cache"), TQ_OK);
	ck_assert_int_eq(tq_spec_parse(&spec, text ? text : ""), TQ_OK);
	ck_assert_int_eq(tq_quantizer_create(kv_ctx, &spec, d, NULL, &q), TQ_OK);
	code = malloc(tq_code_size(q));
	ck_assert_int_eq(tq_encode(q, x, d, 1, code), TQ_OK);
	ck_assert_int_eq(tq_decode(q, code, 1, y, d), TQ_OK);
	free(code);
	tq_quantizer_destroy(q);
}

/* One token: as appended, or as the codec has it; @exact skips the slow comparison of the second kind */
static bool check_token(const struct model *m, const struct tq_kv_options *o, uint32_t layer, uint32_t head,
			uint64_t t, bool centred, float *key, float *value)
{
	uint32_t width = o->key_dim + o->key_raw_dim, i;
	const float *k = model_key(m, o, t, layer) + head * width;
	const float *v = model_value(m, o, t, layer) + head * o->value_dim;
	float y[TQ_KV_MAX_DIM];
	bool coded;

	ck_assert_msg(tq_kv_seq_read(m->seq, layer, head, t, key, value, &coded) == TQ_OK, "%s",
		      tq_error_text());
	if (!coded) {
		ck_assert_mem_eq(key, k, width * sizeof(*k));
		if (o->value_dim)
			ck_assert_mem_eq(value, v, o->value_dim * sizeof(*v));
		return false;
	}
	for (i = o->key_dim; i < width; i++)
		ck_assert_msg(key[i] == k[i], "16-bit tail of token %llu", (unsigned long long)t);
	if (t % 37 || o->noverrides)
		return true;
	if (!centred) {
		through_codec(o->key_spec, k, o->key_dim, y);
		ck_assert_mem_eq(key, y, o->key_dim * sizeof(*y));
	}
	if (o->value_dim) {
		through_codec(o->value_spec, v, o->value_dim, y);
		ck_assert_mem_eq(value, y, o->value_dim * sizeof(*y));
	}
	return true;
}

/* ---- attention in float64 over what was read ---- */

struct answer {
	float *out, *lse, *mass;
};

void *room(size_t bytes)
{
	void *p = aligned_alloc(64, (bytes + 127) / 64 * 64);

	ck_assert_ptr_nonnull(p);
	memset(p, 0xa5, bytes);
	return p;
}

static size_t out_dim(const struct tq_kv_options *o)
{
	return o->value_dim ? o->value_dim : o->key_dim;
}

static void ask(const struct model *m, const struct tq_kv_options *o, uint32_t layer,
		const struct tq_kv_call *like, const float *query, struct answer *a)
{
	struct tq_kv_call call = *like;
	size_t outs = (size_t)call.tokens * o->query_heads * out_dim(o);

	call.struct_size = sizeof(call);
	call.dtype = TQ_F32;
	call.query = query;
	call.query_stride = (size_t)o->query_heads * (o->key_dim + o->key_raw_dim);
	call.out_stride = (size_t)o->query_heads * out_dim(o);
	call.out = a->out = room(outs * sizeof(float));
	call.lse = a->lse = room(call.tokens * (size_t)o->query_heads * sizeof(float));
	call.page_mass = a->mass = room((tq_kv_seq_pages(m->seq, layer) + 1) * sizeof(float));
	call.scratch_bytes = tq_kv_attend_scratch(m->seq, 0);
	call.scratch = room(call.scratch_bytes);
	ck_assert_msg(tq_kv_attend(m->seq, layer, &call) == TQ_OK, "%s", tq_error_text());
	free(call.scratch);
}

static void answer_free(struct answer *a)
{
	free(a->out);
	free(a->lse);
	free(a->mass);
}

static void check_answer(const struct model *m, const struct tq_kv_options *o, uint32_t layer,
			 const struct tq_kv_call *c, const float *query, const struct answer *a,
			 float *keys, float *values)
{
	uint32_t width = o->key_dim + o->key_raw_dim, group = o->query_heads / o->kv_heads, qt, g, i;
	size_t od = out_dim(o), at;
	double scale = c->scale > 0 ? c->scale : 1 / sqrt(width), x, most, total, err, norm, mass = 0, want = 0;
	double *logit = calloc(MOST, sizeof(*logit)), *sum = calloc(od, sizeof(*sum));
	uint64_t t, pos, first;
	const float *q;

	for (qt = 0; qt < c->tokens; qt++) {
		for (g = 0; g < o->query_heads; g++) {
			q = query + ((size_t)qt * o->query_heads + g) * width;
			pos = c->causal || c->window ? c->position + qt : UINT64_MAX;
			first = c->window && pos + 1 > c->window ? pos + 1 - c->window : 0;
			most = c->sink_logits ? c->sink_logits[g] : -INFINITY;
			for (t = 0; t < m->tokens; t++) {
				logit[t] = -INFINITY;
				if (!present(m, o, t) || t > pos ||
				    (t < first && !(c->keep_sinks && t < o->sinks)))
					continue;
				for (x = 0, i = 0; i < width; i++)
					x += (double)q[i] * keys[(t * o->kv_heads + g / group) * width + i];
				logit[t] = x * scale;
				if (c->softcap > 0)
					logit[t] = c->softcap * tanh(logit[t] / c->softcap);
				most = fmax(most, logit[t]);
			}
			memset(sum, 0, od * sizeof(*sum));
			total = c->sink_logits ? exp(c->sink_logits[g] - most) : 0;
			for (t = 0; t < m->tokens; t++) {
				x = logit[t] > -INFINITY ? exp(logit[t] - most) : 0;
				total += x;
				for (i = 0; x > 0 && i < od; i++)
					sum[i] += x * values[(t * o->kv_heads + g / group) * od + i];
			}
			at = (size_t)qt * o->query_heads + g;
			for (err = norm = 0, i = 0; i < od; i++) {
				x = total > 0 ? sum[i] / total : 0;
				err += (a->out[at * od + i] - x) * (a->out[at * od + i] - x);
				norm += x * x;
			}
			ck_assert_msg(err <= 1e-6 * norm, "layer %u token %u head %u of %llu: relative error %g",
				      layer, qt, g, (unsigned long long)m->tokens, sqrt(err / norm));
			x = total > 0 ? most + log(total) : -INFINITY;
			ck_assert_msg(x == (double)a->lse[at] || fabs(x - (double)a->lse[at]) < 2e-3 * fmax(1, fabs(x)),
				      "lse %g, not %g", (double)a->lse[at], x);
			want += total > 0 && !c->sink_logits;
		}
	}
	for (i = 0; i < tq_kv_seq_pages(m->seq, layer); i++)
		mass += (double)a->mass[i];
	ck_assert_msg(c->sink_logits || fabs(mass - want) < 1e-3 * (want + 1), "page mass %g, not %g", mass, want);
	free(sum);
	free(logit);
}

static const struct tq_kv_call calls[] = {
	{ .tokens = 1 },
	{ .tokens = 7, .causal = 1 },
	{ .tokens = 3, .causal = 1, .window = 21, .keep_sinks = 1 },
	{ .tokens = 2, .softcap = 20.0f, .scale = 0.2f },
};

/* Reads everything of a sequence, then asks in several ways; the answers of @twin are the same bits */
void check_sequence(const struct model *m, const struct tq_kv_options *o, const struct model *twin)
{
	size_t width = o->key_dim + o->key_raw_dim, od = out_dim(o), i;
	float *keys = room(MOST * o->kv_heads * width * sizeof(float));
	float *values = room(MOST * o->kv_heads * od * sizeof(float));
	float *query = room(7 * o->query_heads * width * sizeof(float)), *sinks;
	struct tq_kv_call call;
	struct answer a, b;
	uint32_t layer, h;
	uint64_t t;
	bool coded;

	sinks = room(o->query_heads * sizeof(float));
	for (layer = 0; layer < o->layers; layer++) {
		ck_assert_uint_eq(tq_kv_seq_tokens(m->seq, layer), m->tokens);
		for (t = 0; t < m->tokens; t++) {
			for (h = 0; h < o->kv_heads; h++) {
				if (!present(m, o, t)) {
					ck_assert_int_eq(tq_kv_seq_read(m->seq, layer, h, t, keys, values, NULL),
							 TQ_ERR_RANGE);
					continue;
				}
				coded = check_token(m, o, layer, h, t, o->center != TQ_KV_CENTER_OFF,
						    keys + (t * o->kv_heads + h) * width,
						    values + (t * o->kv_heads + h) * od);
				ck_assert_msg(!coded || t >= o->sinks, "a sink was coded");
			}
		}
		for (i = 0; i < 7 * o->query_heads * width; i++)
			query[i] = normal();
		for (i = 0; i < o->query_heads; i++)
			sinks[i] = normal();
		for (i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
			call = calls[i];
			call.position = m->tokens > call.tokens ? m->tokens - call.tokens : 0;
			call.sink_logits = i == 3 ? sinks : NULL;
			ask(m, o, layer, &call, query, &a);
			check_answer(m, o, layer, &call, query, &a, keys, values);
			if (twin) {
				ask(twin, o, layer, &call, query, &b);
				ck_assert_mem_eq(a.out, b.out, call.tokens * o->query_heads * od * sizeof(float));
				ck_assert_mem_eq(a.lse, b.lse, call.tokens * o->query_heads * sizeof(float));
				answer_free(&b);
			}
			answer_free(&a);
		}
	}
	free(sinks);
	free(query);
	free(values);
	free(keys);
}

void model_copy(const struct model *from, struct model *to, const struct tq_kv_options *o)
{
	struct tq_kv_seq *seq = to->seq;

	model_open(to, NULL, o);
	to->seq = seq;
	to->tokens = from->tokens;
	to->trimmed = from->trimmed;
	memcpy(to->keys, from->keys, MOST * key_size(o) * sizeof(float));
	memcpy(to->values, from->values, MOST * value_size(o) * sizeof(float));
}

const char *temp_path(void)
{
	static _Thread_local char path[96];

	snprintf(path, sizeof(path), "/tmp/tq-test-kv-%d-%p.tq", (int)getpid(), (void *)path);
	return path;
}

void save_and_restore(const struct model *m, struct tq_kv *kv, const struct tq_kv_options *o,
			     struct model *to)
{
	ck_assert_msg(tq_kv_seq_save(m->seq, temp_path()) == TQ_OK, "%s", tq_error_text());
	ck_assert_msg(tq_kv_seq_restore(kv, temp_path(), &to->seq) == TQ_OK, "%s", tq_error_text());
	unlink(temp_path());
	model_copy(m, to, o);
}

int run_cases(const char *name, TCase *tc)
{
	Suite *suite = suite_create(name);
	SRunner *runner;
	int failed;

	if (tq_context_create(NULL, &kv_ctx)) {
		fprintf(stderr, "%s\n", tq_error_text());
		return EXIT_FAILURE;
	}
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	tq_context_destroy(kv_ctx);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
