/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gate for attention on a device where the coded part of a key is the value too: as gate_device_kv.c, with
 * more query rows than share a pass and a part of the keys in 16 bits.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "device_codec.h"
#include "gate_device.h"
#include "selftest.h"

#define HEADS 2
#define GROUP 9
#define SEQUENCES 2
#define TOKENS 2 /* of each query */
#define LONGEST 70
#define ALL (LONGEST + 3)
#define TABLE ((LONGEST + 31) / 32)
#define PAGES (SEQUENCES * TABLE)
#define ROWS (SEQUENCES * TOKENS * HEADS * GROUP)
#define GUARD 64
#define ERROR_MAX 1e-3

static const uint32_t lengths[SEQUENCES] = { LONGEST, 3 };

/* On the host: keys as scalar decodes them, less a centre, their other part in 16 bits. On the device: d* */
struct scene {
	const struct tq_device_codec *keys;
	struct tq_device_kv_options shape;
	uint32_t dim, width; /* of values, of keys */
	float *key, *query, *out, *lse, *mass, *centre;
	double *want, want_mass[PAGES];
	uint8_t *dkey, *dquery, *dout, *dlse, *dmass, *dcentre, *dslots, *dtable, *dlengths, *dpages;
};

static float *floats(struct tq_gate_bench *b, size_t n)
{
	return (float *)(void *)tq_gate_buffer(b, n * sizeof(float), 0)->at;
}

static uint32_t page_number(uint32_t s, uint32_t p)
{
	return (s * TABLE + p + 2) % PAGES;
}

/* What the cache makes of the keys */
static void round_keys(struct tq_gate_bed *bed, struct scene *s)
{
	const struct tq_plan *plan = s->keys->plan;
	uint8_t *codes = tq_gate_buffer(bed->b, plan->layout.row_bytes, 0)->at;
	struct tq_pipeline pipe;
	float *x, half;
	size_t k, i;

	if (!bed->b->err)
		bed->b->err = tq_gate_pipeline(bed->b->ctx, NULL, plan, &pipe);
	if (bed->b->err)
		return;
	for (k = 0; k < ALL * HEADS && !bed->b->err; k++) {
		x = s->key + k * s->width;
		for (i = 0; i < s->dim; i++)
			x[i] = x[i] - s->centre[k % HEADS * s->dim + i];
		bed->b->err = tq_pipeline_encode(&pipe, x, TQ_F32, s->dim, 1, codes);
		if (!bed->b->err)
			bed->b->err = tq_pipeline_decode(&pipe, codes, 1, x, TQ_F32, s->dim);
		for (i = s->dim; i < s->width; i++) {
			tq_store_element(&half, (int)s->shape.raw_type, 0, x[i]);
			x[i] = tq_load_element(&half, (int)s->shape.raw_type, 0);
		}
	}
	tq_pipeline_destroy(&pipe);
}

static void lay_out(struct tq_gate_bed *bed, struct scene *s)
{
	uint32_t table[PAGES], q, t;
	int64_t slots[ALL], *slot = slots;
	size_t i;

	for (q = 0; q < SEQUENCES; q++) {
		for (t = 0; t < TABLE; t++)
			table[q * TABLE + t] = page_number(q, t);
		for (t = 0; t < lengths[q]; t++)
			*slot++ = (int64_t)page_number(q, t / 32) * 32 + t % 32;
	}
	s->key = floats(bed->b, ALL * HEADS * (size_t)s->width);
	s->query = floats(bed->b, ROWS * (size_t)s->width);
	s->out = floats(bed->b, ROWS * (size_t)s->dim + GUARD);
	s->lse = floats(bed->b, ROWS + GUARD);
	s->mass = floats(bed->b, PAGES + GUARD);
	s->centre = floats(bed->b, HEADS * (size_t)s->dim);
	s->want = (double *)(void *)tq_gate_buffer(bed->b, s->dim * sizeof(double), 0)->at;
	s->dkey = tq_gate_place(bed, ALL * HEADS * s->width * sizeof(float));
	s->dquery = tq_gate_place(bed, ROWS * s->width * sizeof(float));
	s->dout = tq_gate_place(bed, (ROWS * (size_t)s->dim + GUARD) * sizeof(float));
	s->dlse = tq_gate_place(bed, (ROWS + GUARD) * sizeof(float));
	s->dmass = tq_gate_place(bed, (PAGES + GUARD) * sizeof(float));
	s->dcentre = tq_gate_place(bed, HEADS * s->dim * sizeof(float));
	s->dslots = tq_gate_place(bed, sizeof(slots));
	s->dtable = tq_gate_place(bed, sizeof(table));
	s->dlengths = tq_gate_place(bed, sizeof(lengths));
	if (bed->b->err)
		return;
	for (i = 0; i < ALL * HEADS * (size_t)s->width; i++)
		s->key[i] = tq_gate_normal(bed->b);
	for (i = 0; i < ROWS * (size_t)s->width; i++)
		s->query[i] = 1.5f * tq_gate_normal(bed->b);
	for (i = 0; i < HEADS * (size_t)s->dim; i++)
		s->centre[i] = 0.5f * tq_gate_normal(bed->b);
	tq_gate_in(bed, s->dcentre, s->centre, HEADS * s->dim * sizeof(float));
	tq_gate_in(bed, s->dkey, s->key, ALL * HEADS * s->width * sizeof(float));
	tq_gate_in(bed, s->dquery, s->query, ROWS * s->width * sizeof(float));
	tq_gate_in(bed, s->dslots, slots, sizeof(slots));
	tq_gate_in(bed, s->dtable, table, sizeof(table));
	tq_gate_in(bed, s->dlengths, lengths, sizeof(lengths));
	round_keys(bed, s);
}

static void append(struct tq_gate_bed *bed, struct scene *s)
{
	struct tq_device_kv_rows r = { .struct_size = sizeof(r),
				       .tokens = ALL,
				       .dtype = TQ_F32,
				       .keys = s->dkey,
				       .key_stride = HEADS * (size_t)s->width,
				       .slots = (const int64_t *)(const void *)s->dslots,
				       .centre = (const float *)(const void *)s->dcentre };
	size_t bytes = PAGES * bed->ops->kv_page(s->keys->state, NULL, &s->shape), i;
	uint8_t *noise = tq_gate_buffer(bed->b, bytes, 0)->at;

	r.pages = s->dpages = tq_gate_place(bed, bytes);
	if (bed->b->err)
		return;
	/* what was in pages must not matter */
	for (i = 0; i < bytes; i++)
		noise[i] = (uint8_t)tq_gate_word(bed->b);
	tq_gate_in(bed, s->dpages, noise, bytes);
	if (!bed->b->err)
		tq_gate_did(bed, "kv_append", bed->ops->kv_append(s->keys->state, NULL, bed->queue, &s->shape, &r));
}

/* One query row of sequence @q over tokens from .. to - 1; returns log(sum(exp)). Adds to what pages should have */
static double want_row(struct scene *s, const struct tq_device_kv_call *call, const float *query, uint32_t q, uint32_t head,
		       uint32_t from, uint32_t to)
{
	double z[LONGEST], top = -HUGE_VAL, sum = 0.0, cap = (double)call->softcap, more;
	const float *keys = s->key + (q * (size_t)LONGEST * HEADS + head) * s->width, *row, *centre = s->centre + head * s->dim;
	uint32_t t, i;

	for (t = from; t < to; t++) {
		row = keys + t * (size_t)HEADS * s->width;
		for (z[t] = 0.0, i = 0; i < s->width; i++) {
			more = call->centre && i < s->dim ? (double)centre[i] : 0.0;
			z[t] += ((double)row[i] + more) * (double)query[i];
		}
		z[t] *= (double)call->scale;
		z[t] = cap > 0.0 ? cap * tanh(z[t] / cap) : z[t];
		top = z[t] > top ? z[t] : top;
	}
	memset(s->want, 0, s->dim * sizeof(*s->want));
	for (t = from; t < to; t++) {
		row = keys + t * (size_t)HEADS * s->width;
		z[t] = exp(z[t] - top);
		sum += z[t];
		for (i = 0; i < s->dim; i++)
			s->want[i] += z[t] * ((double)row[i] + (call->centre ? (double)centre[i] : 0.0));
	}
	for (t = from; t < to; t++)
		s->want_mass[q * TABLE + t / 32] += z[t] / sum;
	for (i = 0; i < s->dim; i++)
		s->want[i] /= sum;
	return top + log(sum);
}

static void compare(struct tq_gate_bed *bed, struct scene *s, const struct tq_device_kv_call *call, uint32_t q,
		    uint32_t token, uint32_t head)
{
	size_t row = (q * (size_t)TOKENS + token) * HEADS * GROUP + head, i;
	uint32_t to = lengths[q] - (TOKENS - 1 - token), from = call->window && to > call->window ? to - call->window : 0;
	double off = 0.0, norm = 0.0, e;
	double lse = want_row(s, call, s->query + row * s->width, q, head / GROUP, from, to);

	for (i = 0; i < s->dim; i++) {
		e = (double)s->out[row * s->dim + i] - s->want[i];
		off += e * e;
		norm += s->want[i] * s->want[i];
	}
	if (!(off <= ERROR_MAX * ERROR_MAX * norm))
		tq_gate_fault(bed->b, "attention: relative error %.2g over %u tokens (d=%u)", sqrt(off / norm), to - from,
			      s->dim);
	if (!(fabs((double)s->lse[row] - lse) <= ERROR_MAX))
		tq_gate_fault(bed->b, "attention: lse %g, not %g (d=%u)", (double)s->lse[row], lse, s->dim);
}

static void compare_mass(struct tq_gate_bed *bed, const struct scene *s)
{
	uint32_t p;

	for (p = 0; p < PAGES; p++)
		if (p % TABLE * 32 < lengths[p / TABLE] && !(fabs((double)s->mass[p] - s->want_mass[p]) <= ROWS / SEQUENCES * ERROR_MAX))
			tq_gate_fault(bed->b, "attention: mass %g of a page, not %g (d=%u)", (double)s->mass[p], s->want_mass[p], s->dim);
}

/* @all: with a centre and the mass of pages */
static void attend(struct tq_gate_bed *bed, struct scene *s, uint32_t splits, uint32_t window, float softcap, bool all)
{
	size_t out = (ROWS * (size_t)s->dim + GUARD) * sizeof(float), lse = (ROWS + GUARD) * sizeof(float), i;
	size_t mass = (PAGES + GUARD) * sizeof(float);
	struct tq_device_kv_call call = {
		.struct_size = sizeof(call),
		.sequences = SEQUENCES,
		.tokens = TOKENS,
		.max_tokens = LONGEST,
		.splits = splits,
		.window = window,
		.dtype = TQ_F32,
		.scale = 1.0f / sqrtf((float)s->width),
		.softcap = softcap,
		.query = s->dquery,
		.query_stride = HEADS * GROUP * (size_t)s->width,
		.out = s->dout,
		.out_stride = HEADS * GROUP * (size_t)s->dim,
		.lse = (float *)(void *)s->dlse,
		.pages = s->dpages,
		.table = (const uint32_t *)(const void *)s->dtable,
		.table_stride = TABLE,
		.lengths = (const uint32_t *)(const void *)s->dlengths,
	};
	uint32_t q, t, h;

	if (bed->b->err)
		return;
	call.centre = all ? (const float *)(const void *)s->dcentre : NULL;
	call.page_mass = all ? (float *)(void *)s->dmass : NULL;
	memset(s->want_mass, 0, sizeof(s->want_mass));
	memset(s->mass, TQ_GATE_POISON, mass);
	tq_gate_in(bed, s->dmass, s->mass, mass);
	call.scratch = tq_gate_place(bed, bed->ops->kv_scratch(s->keys->state, NULL, &s->shape, &call));
	memset(s->out, TQ_GATE_POISON, out);
	memset(s->lse, TQ_GATE_POISON, lse);
	tq_gate_in(bed, s->dout, s->out, out);
	tq_gate_in(bed, s->dlse, s->lse, lse);
	if (!bed->b->err)
		tq_gate_did(bed, "kv_attend", bed->ops->kv_attend(s->keys->state, NULL, bed->queue, &s->shape, &call));
	tq_gate_out(bed, s->out, s->dout, out);
	tq_gate_out(bed, s->lse, s->dlse, lse);
	tq_gate_out(bed, s->mass, s->dmass, mass);
	for (q = 0; q < SEQUENCES; q++)
		for (t = 0; t < TOKENS; t++)
			for (h = 0; h < HEADS * GROUP && !bed->b->err; h++)
				compare(bed, s, &call, q, t, h);
	if (all && !bed->b->err)
		compare_mass(bed, s);
	for (i = 1; i <= GUARD * sizeof(float) && !bed->b->err; i++)
		if (((const uint8_t *)s->out)[out - i] != TQ_GATE_POISON ||
		    ((const uint8_t *)s->lse)[lse - i] != TQ_GATE_POISON ||
		    ((const uint8_t *)s->mass)[mass - i] != TQ_GATE_POISON)
			tq_gate_fault(bed->b, "attention writes outside its output (d=%u)", s->dim);
}

int tq_gate_device_mla(const struct tq_device_codec *keys, const struct tq_device_kv_options *options,
		       const struct tq_device_queue *queue, char *why, size_t size)
{
	struct tq_gate_bench b;
	struct tq_gate_bed bed = { .b = &b, .ops = keys->ops, .queue = queue, .state = keys->state };
	struct scene s = { .keys = keys, .dim = keys->plan->dim, .width = keys->plan->dim + options->key_raw_dim };

	s.shape = (struct tq_device_kv_options){ .struct_size = sizeof(s.shape),
						 .kv_heads = HEADS,
						 .query_heads = HEADS * GROUP,
						 .page_tokens = 32,
						 .key_raw_dim = options->key_raw_dim,
						 .raw_type = options->raw_type };
	tq_gate_open(&b, keys->entry, s.dim, why, size);
	lay_out(&bed, &s);
	append(&bed, &s);
	attend(&bed, &s, 2, 0, 0.0f, false);
	attend(&bed, &s, 1, 40, 1.5f, true);
	tq_gate_clear(&bed);
	tq_gate_close(&b);
	if (b.err && !*why)
		snprintf(why, size, "%.200s", tq_error_text());
	return b.err == TQ_OK || b.err == TQ_ERR_NOMEM || b.err == TQ_ERR_DEVICE ? b.err : TQ_ERR_SELFTEST;
}
