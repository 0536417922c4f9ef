/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attention on a device without a GPU: everything but the kernels, against the fake libcuda.so.1. The
 * kernels' part is done by scalar_kv.c; what only a GPU can show is in tests/gpu.sh.
 */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "fake_cuda.h"
#include "fixture.h"
#include "scalar_kernels.h"

#define TOKENS 70
#define KV_HEADS 2
#define HEADS 4

/* A device's codecs and attention over them, of one context */
struct device {
	struct tq_context *ctx;
	struct tq_quantizer *q[2];
	struct tq_queue *queue;
	struct tq_device_codec *codec[2];
	struct tq_device_kv *kv;
	uint32_t raw; /* coordinates of keys in 16 bits; values are the keys' codes then */
};

static const struct tq_device_kv_options shape = { sizeof(shape), KV_HEADS, HEADS, 64, 0, 0, 0, 0, 0 };
static const struct tq_device_kv_options with_raw = { sizeof(with_raw), KV_HEADS, HEADS, 64, 0, TQ_BF16, 3, 20, 24 };
#define PLACES (3 + 24)

static void open_codecs(struct device *d, const char *keys, const char *values, uint32_t dim, uint32_t value_dim)
{
	memset(d, 0, sizeof(*d));
	ck_assert_int_eq(open_context(&d->ctx), TQ_OK);
	ck_assert_int_eq(tq_queue_wrap_cuda(d->ctx, 0, NULL, &d->queue), TQ_OK);
	ck_assert_msg(open_quantizer(d->ctx, values, value_dim, "scalar", &d->q[1]) == TQ_OK, "%s", tq_error_text());
	use_plan(d->ctx, d->q[1]->plan);
	ck_assert_msg(tq_device_codec_create(d->q[1], d->queue, &d->codec[1]) == TQ_OK, "%s", tq_error_text());
	ck_assert_msg(open_quantizer(d->ctx, keys, dim, "scalar", &d->q[0]) == TQ_OK, "%s", tq_error_text());
	use_plan(d->ctx, d->q[0]->plan);
	ck_assert_msg(tq_device_codec_create(d->q[0], d->queue, &d->codec[0]) == TQ_OK, "%s", tq_error_text());
	use_value_plan(d->ctx, d->q[1]->plan);
}

static int open_kv(struct device *d)
{
	struct tq_device_kv_options o = shape;

	o.key_raw_dim = d->raw;
	o.raw_type = TQ_BF16;
	return tq_device_kv_create(d->codec[0], d->raw ? NULL : d->codec[1], d->queue, &o, &d->kv);
}

static void close_all(struct device *d)
{
	tq_device_kv_destroy(d->kv);
	tq_device_codec_destroy(d->codec[0]);
	tq_device_codec_destroy(d->codec[1]);
	tq_queue_destroy(d->queue);
	forget_plan();
	tq_quantizer_destroy(d->q[0]);
	tq_quantizer_destroy(d->q[1]);
	tq_context_destroy(d->ctx);
}

/* One sequence of TOKENS tokens in pages 1 and 0, its last ones and sinks in area 1, and its attention */
struct work {
	float *keys, *values, *query, *out;
	int64_t slots[TOKENS];
	int64_t raw_slots[TOKENS];
	uint32_t table[2], length, area;
	void *pages, *raw, *scratch;
	struct tq_device_kv_rows rows;
	struct tq_device_kv_call call;
};

/* Coordinates of a value */
static size_t value_dim(const struct device *d)
{
	return tq_dim(d->q[!d->raw]);
}

static void start_work(struct work *w, const struct device *d)
{
	size_t dim = value_dim(d), width = tq_dim(d->q[0]) + d->raw, n = TOKENS * KV_HEADS * (width + dim), i;

	memset(w, 0, sizeof(*w));
	w->keys = device(n * sizeof(float));
	w->values = device(n * sizeof(float));
	w->query = device(HEADS * width * sizeof(float));
	w->out = device(HEADS * dim * sizeof(float));
	w->pages = device(2 * tq_device_kv_page_size(d->kv));
	for (i = 0; i < n; i++) {
		w->keys[i] = noise();
		w->values[i] = noise();
	}
	for (i = 0; i < HEADS * width; i++)
		w->query[i] = noise();
	for (i = 0; i < TOKENS; i++)
		w->slots[i] = i < 64 ? 64 + (int64_t)i : (int64_t)i - 64;
	w->table[0] = 1;
	w->length = TOKENS;
	w->rows = (struct tq_device_kv_rows){ .struct_size = sizeof(w->rows), .tokens = TOKENS, .dtype = TQ_F32,
					      .keys = w->keys, .key_stride = KV_HEADS * width, .values = w->values,
					      .value_stride = KV_HEADS * dim, .slots = w->slots, .pages = w->pages };
	if (tq_device_kv_raw_size(d->kv)) {
		w->raw = w->rows.raw = device(2 * tq_device_kv_raw_size(d->kv));
		w->rows.raw_slots = w->raw_slots;
		w->area = 1;
	}
	for (i = 0; i < TOKENS; i++)
		w->raw_slots[i] = i < 3 ? PLACES + (int64_t)i : i + 24 < TOKENS ? -1 : PLACES + 3 + (int64_t)(i - 3) % 24;
	w->call = (struct tq_device_kv_call){ .struct_size = sizeof(w->call), .sequences = 1, .tokens = 1,
					      .max_tokens = 4096, .dtype = TQ_F32, .query = w->query,
					      .query_stride = HEADS * width, .out = w->out, .out_stride = HEADS * dim,
					      .pages = w->pages, .table = w->table, .table_stride = 2, .lengths = &w->length,
					      .raw = w->raw, .areas = w->raw ? &w->area : NULL };
	w->scratch = w->call.scratch = device(tq_kv_attend_async_scratch(d->kv, &w->call));
}

static void end_work(struct work *w)
{
	free(w->scratch);
	free(w->raw);
	free(w->pages);
	free(w->out);
	free(w->query);
	free(w->values);
	free(w->keys);
}

/* Row @at of keys (@value: values) as the attention of @n tokens has it: in 16 bits, or what its codec makes of it */
static void row_of(const struct device *d, const struct work *w, int value, size_t token, size_t kv_head, size_t n, float *x)
{
	size_t dim = tq_dim(d->q[value]), i;
	const float *from = (value ? w->values : w->keys) + (token * KV_HEADS + kv_head) * (dim + (value ? 0 : d->raw)),
		    *centre = value || !w->rows.centre ? NULL : w->rows.centre + kv_head * dim;
	uint8_t row[600];
	uint16_t half;

	if (w->call.raw && (token < with_raw.sinks || token + with_raw.recent >= n)) {
		for (i = 0; i < dim; i++) {
			tq_store_element(&half, TQ_BF16, 0, from[i]);
			x[i] = tq_load_element(&half, TQ_BF16, 0);
		}
		return;
	}
	for (i = 0; i < dim; i++)
		x[i] = from[i] - (centre ? centre[i] : 0.0f);
	tq_encode(d->q[value], x, dim, 1, row);
	tq_decode(d->q[value], row, 1, x, dim);
	for (i = 0; centre && i < dim; i++)
		x[i] += centre[i];
	for (i = dim; !value && i < dim + d->raw; i++) {
		tq_store_element(&half, TQ_BF16, 0, from[i]);
		x[i] = tq_load_element(&half, TQ_BF16, 0);
	}
}

/* Attention of query head @head over tokens 0 .. n - 1 in float64, and each page's share added to @mass; returns lse */
static double reference(const struct device *d, const struct work *w, size_t head, size_t n, double *out, double *mass)
{
	size_t dim = value_dim(d), width = tq_dim(d->q[0]) + d->raw, t, i;
	double z, sum = 0.0, share[2] = { 0.0, 0.0 }, sink, cap = (double)w->call.softcap;
	float *x = calloc(width + dim, sizeof(*x));

	memset(out, 0, dim * sizeof(*out));
	for (t = 0; t < n; t++) {
		row_of(d, w, 0, t, head / 2, n, x);
		for (z = 0.0, i = 0; i < width; i++)
			z += (double)x[i] * (double)w->query[head * width + i];
		z /= sqrt((double)width);
		z = exp(cap > 0.0 ? cap * tanh(z / cap) : z);
		if (w->call.window && t + w->call.window < n && !(w->call.keep_sinks && t < with_raw.sinks))
			z = 0.0;
		/* MLA: the key is the value */
		if (!d->raw)
			row_of(d, w, 1, t, head / 2, n, x);
		for (i = 0; i < dim; i++)
			out[i] += z * (double)x[i];
		sum += z;
		share[t / 64] += z;
	}
	for (i = 0; i < 2; i++)
		mass[i] += share[i] / sum;
	sink = w->call.sink_logits ? exp((double)w->call.sink_logits[head]) : 0.0;
	for (i = 0; i < dim; i++)
		out[i] /= sum + sink;
	free(x);
	return log(sum + sink);
}

/* Output of query head @head against that of tokens 0 .. n - 1 */
static double error_of(const struct device *d, const struct work *w, size_t head, size_t n, double *lse, double *mass)
{
	double *want = calloc(value_dim(d), sizeof(*want)), off = 0.0, norm = 0.0, e;
	size_t dim = value_dim(d), i;

	*lse = reference(d, w, head, n, want, mass);
	for (i = 0; i < dim; i++) {
		e = (double)w->out[head * dim + i] - want[i];
		off += e * e;
		norm += want[i] * want[i];
	}
	free(want);
	return sqrt(off / norm);
}

/* The call, and its answers */
static void check_answers(const struct device *d, const struct work *w)
{
	double lse, mass[2] = { 0.0, 0.0 };
	size_t head;

	ck_assert_int_eq(tq_kv_attend_async(d->kv, d->queue, &w->call), TQ_OK);
	for (head = w->call.page_mass ? 0 : 3; head < HEADS; head++) {
		ck_assert_double_lt(error_of(d, w, head, w->length, &lse, mass), 1e-5);
		if (w->call.lse)
			ck_assert_double_eq_tol((double)w->call.lse[head], lse, 1e-5);
	}
	for (head = 0; w->call.page_mass && head < 2; head++)
		ck_assert_double_eq_tol((double)w->call.page_mass[head], mass[head], 1e-5);
}

static const struct {
	const char *keys, *values;
	uint32_t dim, raw, value_dim; /* 0: as keys */
} plans[] = {
	{ "bits=4 correction=ls", "bits=4 correction=ls", 64, 0, 0 },
	{ "bits=3 correction=ls scale=f16", "bits=2 scale=bf16 correction=none", 96, 0, 0 },
	{ "bits=2 correction=unbiased rotation=givens:3", "bits=2 rotation=haar seed=9", 64, 0, 0 },
	{ "bits=4 code=uniform correction=ls scale=bf16", "bits=3 effort=1 correction=ls", 128, 0, 0 },
	{ "bits=4 query=s8", "bits=4 rotation=none scale=f16", 256, 0, 0 },
	{ "bits=8 scale=bf16", "bits=8 correction=unbiased scale=bf16", 128, 0, 0 },
	{ "bits=5 correction=ls", "bits=1 correction=unbiased scale=f16", 64, 0, 160 },
	{ "bits=6 effort=1", "bits=7", 192, 0, 32 },
	{ "bits=5 effort=1", "code=tcq bits=3 correction=unbiased", 128, 0, 0 },
	{ "code=tcq bits=4", "code=tcq bits=2 correction=unbiased", 128, 0, 0 },
	{ "bits=1 code=uniform", "bits=3", 32, 0, 0 },
	{ "bits=3", "bits=1 correction=unbiased", 128, 0, 0 },
	{ "bits=4 correction=ls", "bits=3 scale=bf16", 80, 0, 72 },
	{ "bits=5", "bits=8", 40, 0, 112 },
	{ "code=tcq:8 bits=3 scale=f16", "code=tcq bits=1 correction=unbiased", 64, 0, 256 },
	{ "code=tcq bits=2", "bits=6 scale=bf16", 96, 0, 0 },
	{ "code=tcq:8 bits=1 scale=bf16", "code=tcq:8 bits=4", 136, 0, 40 },
	{ "bits=4 correction=ls", "bits=4 correction=ls", 512, 64, 0 },
	{ "bits=3 scale=f16", "bits=3 scale=f16", 512, 64, 0 },
};

static void open_plan(struct device *d, int i)
{
	open_codecs(d, plans[i].keys, plans[i].values, plans[i].dim, plans[i].value_dim ? plans[i].value_dim : plans[i].dim);
}

START_TEST(attention_gives_the_hosts_answers)
{
	static const float sinks[HEADS] = { 0.0f, -INFINITY, 1.0f, 3.5f };
	long allocations, waits;
	float lse[HEADS], mass[2], centre[KV_HEADS * 512];
	struct device d;
	struct work w;
	size_t i;

	/* early launches are for 9.0 and later */
	fake_machine.major = _i == 1 ? 8 : 9;
	open_plan(&d, _i);
	d.raw = plans[_i].raw;
	ck_assert_msg(open_kv(&d) == TQ_OK, "%s", tq_error_text());
	ck_assert_uint_eq(tq_device_kv_page_size(d.kv) % 128, 0);
	start_work(&w, &d);
	allocations = fake_allocations();
	waits = fake_waits();
	for (i = 0; i < KV_HEADS * 512; i++)
		centre[i] = noise();
	if (d.raw) {
		w.rows.centre = w.call.centre = centre;
		w.call.page_mass = mass;
		w.call.max_tokens = 128;
	}
	free(w.scratch);
	w.scratch = w.call.scratch = device(tq_kv_attend_async_scratch(d.kv, &w.call));
	w.slots[TOKENS - 1] = -1;
	ck_assert_int_eq(tq_kv_append_async(d.kv, d.queue, &w.rows), TQ_OK);
	w.length = TOKENS - 1;
	check_answers(&d, &w);
	/* the last token, alone, from another place */
	w.slots[0] = TOKENS - 1 - 64;
	w.rows.tokens = 1;
	w.rows.keys = w.keys + (TOKENS - 1) * w.rows.key_stride;
	w.rows.values = w.values + (TOKENS - 1) * w.rows.value_stride;
	ck_assert_int_eq(tq_kv_append_async(d.kv, d.queue, &w.rows), TQ_OK);
	w.length = TOKENS;
	check_answers(&d, &w);
	w.call.softcap = 0.5f;
	check_answers(&d, &w);
	w.call.sink_logits = sinks;
	check_answers(&d, &w);
	/* nothing but the sink */
	w.length = 0;
	w.call.lse = lse;
	ck_assert_int_eq(tq_kv_attend_async(d.kv, d.queue, &w.call), TQ_OK);
	ck_assert(w.out[3 * w.call.out_stride / HEADS] == 0.0f);
	ck_assert_double_eq_tol((double)lse[3], (double)sinks[3], 1e-6);
	ck_assert_int_eq(fake_early() > 0, fake_machine.major == 9);
	ck_assert_int_eq(fake_allocations(), allocations);
	ck_assert_int_eq(fake_waits(), waits);
	ck_assert_int_eq(fake_depth(), 0);
	end_work(&w);
	close_all(&d);
	ck_assert_int_eq(fake_held(), 0);
}
END_TEST

START_TEST(sixteen_bit_tokens_join_the_coded)
{
	static const float sinks[HEADS] = { 0.0f, -INFINITY, 1.0f, 3.5f };
	size_t dim = plans[_i].dim, i;
	float lse[HEADS], mass[2], centre[KV_HEADS * 256];
	struct device d;
	struct work w;

	open_plan(&d, _i);
	ck_assert_msg(tq_device_kv_create(d.codec[0], d.codec[1], d.queue, &with_raw, &d.kv) == TQ_OK, "%s", tq_error_text());
	ck_assert_uint_eq(tq_device_kv_raw_size(d.kv), PLACES * KV_HEADS * (dim + value_dim(&d)) * 2);
	start_work(&w, &d);
	for (i = 0; i < KV_HEADS * dim; i++)
		centre[i] = noise();
	w.rows.centre = w.call.centre = centre;
	w.call.max_tokens = 128;
	w.call.page_mass = mass;
	w.call.lse = lse;
	free(w.scratch);
	w.scratch = w.call.scratch = device(tq_kv_attend_async_scratch(d.kv, &w.call));
	ck_assert_int_eq(tq_kv_append_async(d.kv, d.queue, &w.rows), TQ_OK);
	w.length = TOKENS;
	check_answers(&d, &w);
	/* the ring has room for four tokens to be taken back */
	w.length = TOKENS - 4;
	w.call.softcap = 1.0f;
	w.call.sink_logits = sinks;
	check_answers(&d, &w);
	w.call.window = 30;
	check_answers(&d, &w);
	w.call.keep_sinks = 1;
	check_answers(&d, &w);
	/* fewer tokens than the last that stay in 16 bits: nothing is read of pages */
	w.call.window = 0;
	for (i = 0; i < 7; i++)
		w.raw_slots[i] = PLACES + (int64_t)i;
	w.rows.tokens = 7;
	ck_assert_int_eq(tq_kv_append_async(d.kv, d.queue, &w.rows), TQ_OK);
	w.length = 7;
	w.table[0] = 1u << 30;
	check_answers(&d, &w);
	end_work(&w);
	close_all(&d);
	ck_assert_int_eq(fake_held(), 0);
}
END_TEST

static const struct {
	const char *kernel, *spec;
	uint32_t dim, raw;
} spoiled[] = {
	{ "tqc_kv_append", "bits=4", 64, 0 },	 { "tqc_kv_attend_64_4_4", "bits=4", 64, 0 },
	{ "tqc_kv_combine", "bits=4", 64, 0 },	 { "tqc_kv_query", "bits=4", 64, 0 },
	{ "tqc_kv_mass", "bits=4", 64, 0 },	 { "tqc_kv_wide_64", "bits=5", 64, 0 },
	{ "tqc_kv_bytes_64", "bits=8", 64, 0 }, { "tqc_kv_mla_2", "bits=2", 512, 64 },
	{ "tqc_kv_tcq_128", "code=tcq bits=2", 128, 0 }, { "tqc_kv_append_tcq_8_3", "code=tcq:8 bits=3", 64, 0 },
};

START_TEST(no_attention_passes_with_one_wrong_kernel)
{
	struct device d;

	open_codecs(&d, spoiled[_i].spec, spoiled[_i].spec, spoiled[_i].dim, spoiled[_i].dim);
	d.raw = spoiled[_i].raw;
	strcpy(scalar_kernels.wrong, spoiled[_i].kernel);
	ck_assert_int_eq(open_kv(&d), TQ_ERR_SELFTEST);
	ck_assert_msg(strstr(tq_error_text(), "attention: ") != NULL, "%s", tq_error_text());
	ck_assert_ptr_null(d.kv);
	close_all(&d);
	ck_assert_int_eq(fake_held(), 0);
}
END_TEST

static const struct {
	const char *keys, *values;
	uint32_t dim, value_dim;
	const char *text;
	uint32_t raw;
} unserved[] = {
	{ "bits=4", "bits=4", 52, 52, "keys of 52 and values of 52 coordinates: multiples of 8 up to 256 are served", 0 },
	{ "bits=4", "bits=4", 64, 512, "keys of 64 and values of 512", 0 },
	{ "bits=4 center=data", "bits=4", 64, 64, "a centre or a sketch", 0 },
	{ "bits=4 correction=qjl:rht", "bits=3", 64, 64, "a centre or a sketch", 0 },
	{ "code=tcq bits=4", "code=tcq bits=4", 512, 512, "attention: trellis codes of keys that are the values too are not served", 64 },
	{ "bits=2.5", "bits=4", 64, 64, "fractions of a bit are not served", 0 },
	{ "bits=2.5", "bits=4", 512, 512, "fractions of a bit are not served", 64 },
	{ "bits=4", "bits=4", 256, 256, "keys of 256 coordinates, which are the values too, and 64 in 16 bits", 64 },
	{ "bits=4", "bits=4", 512, 512, "keys of 512 coordinates, which are the values too, and 32 in 16 bits", 32 },
	{ "bits=5", "bits=5", 512, 512, "5-bit keys: 2 to 4 bits are served", 64 },
	{ "bits=4 center=data", "bits=4", 512, 512, "a centre or a sketch", 64 },
};

START_TEST(what_is_not_served_is_said)
{
	struct device d;

	open_codecs(&d, unserved[_i].keys, unserved[_i].values, unserved[_i].dim, unserved[_i].value_dim);
	d.raw = unserved[_i].raw;
	ck_assert_int_eq(open_kv(&d), TQ_ERR_UNSUPPORTED);
	ck_assert_msg(strstr(tq_error_text(), unserved[_i].text) != NULL, "%s", tq_error_text());
	ck_assert_ptr_null(d.kv);
	close_all(&d);
}
END_TEST

/* A copy of @from with one member changed, for one call */
#define WITH(type, from, member, value)                                                            \
	(tmp_##type = (from), tmp_##type.member = (value), &tmp_##type)

START_TEST(what_latents_lack_is_said)
{
	struct tq_device_kv_options o = with_raw;
	struct tq_device_kv *none;
	struct device d;

	open_codecs(&d, "bits=4", "bits=4", 512, 512);
	d.raw = 64;
	o.key_raw_dim = 64;
	ck_assert_int_eq(tq_device_kv_create(d.codec[0], NULL, d.queue, &o, &none), TQ_ERR_UNSUPPORTED);
	ck_assert_msg(strstr(tq_error_text(), "options.sinks, options.recent") != NULL, "%s", tq_error_text());
	close_all(&d);
}
END_TEST

START_TEST(bad_arguments_are_named)
{
	struct tq_device_kv_options tmp_options;
	struct tq_device_kv_rows tmp_rows;
	struct tq_device_kv_call tmp_call;
	struct tq_device_kv *none;
	struct tq_queue *other;
	struct device d;
	struct work w;
	long calls;

	open_codecs(&d, "bits=4", "bits=4", 64, 64);
	ck_assert_int_eq(tq_queue_wrap_cuda(d.ctx, 1, NULL, &other), TQ_OK);
	ck_assert_msg(open_kv(&d) == TQ_OK, "%s", tq_error_text());
	start_work(&w, &d);
	calls = fake_calls();
#define CREATE(member, value)                                                                      \
	REFUSED("options." #member,                                                                \
		tq_device_kv_create(d.codec[0], d.codec[1], d.queue, WITH(options, shape, member, value), &none))
	CREATE(struct_size, 7);
	CREATE(kv_heads, 0);
	CREATE(kv_heads, 1025);
	CREATE(query_heads, 5);
	CREATE(query_heads, 1 << 20);
	CREATE(page_tokens, 16);
	CREATE(page_tokens, 96);
	CREATE(page_tokens, 8192);
	CREATE(sinks, 65537);
	CREATE(recent, 1u << 20);
	CREATE(ring, 1u << 20);
	ck_assert_int_eq(tq_device_kv_create(d.codec[0], d.codec[1], d.queue, WITH(options, with_raw, ring, 19), &none), TQ_ERR_ARG);
	ck_assert_int_eq(tq_device_kv_create(d.codec[0], d.codec[1], d.queue, WITH(options, with_raw, raw_type, TQ_F32), &none),
			 TQ_ERR_ARG);
	tmp_options = shape;
	tmp_options.key_raw_dim = 64;
	REFUSED("options.raw_type", tq_device_kv_create(d.codec[0], NULL, d.queue, &tmp_options, &none));
	tmp_options.raw_type = TQ_F16;
	ck_assert_int_eq(tq_device_kv_create(d.codec[0], d.codec[1], d.queue, &tmp_options, &none), TQ_ERR_UNSUPPORTED);
	ck_assert_msg(strstr(tq_error_text(), "options.key_raw_dim: 64") != NULL, "%s", tq_error_text());
	REFUSED("queue", tq_device_kv_create(d.codec[0], d.codec[1], other, &shape, &none));
	REFUSED("keys", tq_device_kv_create(NULL, d.codec[1], d.queue, &shape, &none));
#define APPEND(text, member, value)                                                                \
	REFUSED(text, tq_kv_append_async(d.kv, d.queue, WITH(rows, w.rows, member, value)))
	REFUSED("queue", tq_kv_append_async(d.kv, other, &w.rows));
	REFUSED("kv", tq_kv_append_async(NULL, d.queue, &w.rows));
	APPEND("rows.struct_size", struct_size, 0);
	APPEND("rows.tokens", tokens, 1u << 30);
	APPEND("dtype", dtype, 9);
	APPEND("rows.keys is NULL", keys, NULL);
	APPEND("rows.values: not aligned", values, (const char *)w.values + 1);
	APPEND("rows.key_stride", key_stride, KV_HEADS * 64 - 1);
	APPEND("rows.value_stride", value_stride, SIZE_MAX / 8);
	APPEND("rows.slots", slots, NULL);
	APPEND("rows.pages: not aligned", pages, (char *)w.pages + 8);
	APPEND("rows.centre: not aligned", centre, (const float *)(const void *)((char *)w.pages + 2));
	ck_assert_int_eq(tq_kv_append_async(d.kv, d.queue, WITH(rows, w.rows, tokens, 0)), TQ_OK);
#define ATTEND(text, member, value)                                                                \
	REFUSED(text, tq_kv_attend_async(d.kv, d.queue, WITH(call, w.call, member, value)))
	REFUSED("queue", tq_kv_attend_async(d.kv, other, &w.call));
	ATTEND("call.struct_size", struct_size, 0);
	ATTEND("call.tokens", tokens, 0);
	ATTEND("call.tokens", tokens, 1u << 20);
	ATTEND("call.splits", splits, 513);
	ATTEND("call.sequences", sequences, UINT32_MAX);
	ATTEND("call.sequences", sequences, 1u << 22);
	ATTEND("call.scale", scale, -1.0f);
	ATTEND("call.scale", scale, (float)INFINITY);
	ATTEND("call.softcap", softcap, -1.0f);
	ATTEND("call.softcap", softcap, (float)NAN);
	ATTEND("call.sink_logits: not aligned", sink_logits, (const float *)(const void *)((char *)w.query + 2));
	ATTEND("call.query is NULL", query, NULL);
	ATTEND("call.query_stride", query_stride, HEADS * 64 - 1);
	ATTEND("call.out: not aligned", out, (char *)w.out + 2);
	ATTEND("call.out_stride", out_stride, 1);
	ATTEND("call.pages is NULL", pages, NULL);
	ATTEND("call.table", table, NULL);
	ATTEND("call.lengths", lengths, NULL);
	ATTEND("call.centre: not aligned", centre, (const float *)(const void *)((char *)w.query + 2));
	ATTEND("call.page_mass: not aligned", page_mass, (float *)(void *)((char *)w.out + 2));
	ATTEND("call.scratch", scratch, NULL);
	ATTEND("call.scratch", scratch, (char *)w.scratch + 64);
	ck_assert_uint_eq(tq_kv_attend_async_scratch(d.kv, WITH(call, w.call, tokens, 0)), 0);
	ck_assert_int_eq(tq_kv_attend_async(d.kv, d.queue, WITH(call, w.call, sequences, 0)), TQ_OK);
	ck_assert_int_eq(fake_calls(), calls);
	end_work(&w);
	tq_queue_destroy(other);
	close_all(&d);
	ck_assert_int_eq(fake_held(), 0);
}
END_TEST

/* Attention from its creation to its end; call number @n of the driver fails, or @sticky: it and all later ones */
static int life(struct device *d, long n, int sticky)
{
	struct work w;
	int ret;

	fake_fail_at(n, sticky);
	ret = open_kv(d);
	if (!ret) {
		start_work(&w, d);
		ret = tq_kv_append_async(d->kv, d->queue, &w.rows);
		if (!ret)
			ret = tq_kv_attend_async(d->kv, d->queue, &w.call);
		end_work(&w);
		tq_device_kv_destroy(d->kv);
		d->kv = NULL;
	}
	fake_fail_at(-1, 0);
	return ret;
}

START_TEST(every_call_of_the_driver_can_fail)
{
	long n, held, failures, failed = 0;
	struct device d;
	int ret;

	open_codecs(&d, "bits=2", "bits=2", 64, 64);
	for (n = 0; n < 1000; n++) {
		held = fake_held();
		failures = fake_failures();
		ret = life(&d, n, _i);
		if (fake_failures() == failures)
			break;
		ck_assert_msg(!ret || strstr(tq_error_text(), "made to fail") ||
				      strstr(tq_error_text(), "cannot be made current"),
			      "call %ld: %d %s", n, ret, tq_error_text());
		ck_assert_int_eq(fake_depth(), 0);
		/* what was to be given back in a context that could not be made current stays */
		if (!fake_push_failed())
			ck_assert_int_eq(fake_held(), held);
		failed += ret != 0;
	}
	ck_assert_msg(n > 90 && n < 1000, "%ld calls", n);
	ck_assert_int_gt(failed, 60);
	ck_assert_int_eq(life(&d, -1, 0), TQ_OK);
	close_all(&d);
}
END_TEST

int main(void)
{
	TCase *device = tcase_create("device"), *failure = tcase_create("failure");
	Suite *s = suite_create("cuda kv");

	tcase_add_loop_test(device, attention_gives_the_hosts_answers, 0, sizeof(plans) / sizeof(plans[0]));
	tcase_add_loop_test(device, sixteen_bit_tokens_join_the_coded, 0, 10);
	tcase_add_loop_test(device, no_attention_passes_with_one_wrong_kernel, 0, sizeof(spoiled) / sizeof(spoiled[0]));
	tcase_add_loop_test(device, what_is_not_served_is_said, 0, sizeof(unserved) / sizeof(unserved[0]));
	tcase_add_test(device, what_latents_lack_is_said);
	tcase_add_test(device, bad_arguments_are_named);
	tcase_add_loop_test(failure, every_call_of_the_driver_can_fail, 0, 2);
	tcase_set_timeout(device, 60);
	tcase_set_timeout(failure, 240);
	suite_add_tcase(s, device);
	suite_add_tcase(s, failure);
	return run_suite(s);
}
