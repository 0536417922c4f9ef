/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gate for attention on a device: tokens are appended to shuffled pages and attended to, and the
 * outputs compared with attention in float64 over the rows that scalar decodes from its own codes.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "device_codec.h"
#include "gate_device.h"
#include "selftest.h"

#define HEADS 2
#define GROUP 3
#define SEQUENCES 3
#define TOKENS 2 /* of each query */
#define LONGEST 150
#define TABLE ((LONGEST + 31) / 32)
#define GUARD 64
#define ERROR_MAX 1e-3

static const uint32_t lengths[SEQUENCES] = { LONGEST, 33, 1 };
static const float sinks[HEADS * GROUP] = { 2.0f, -1.0f, 0.5f, -30.0f, 7.0f, -INFINITY };
static const struct tq_device_kv_options shape = { sizeof(shape), HEADS, HEADS * GROUP, 32, 0, 0, 0, 0, 0 };
/* with tokens in 16 bits: one and a bit of a pass over them */
static const struct tq_device_kv_options raw_shape = { sizeof(raw_shape), HEADS, HEADS * GROUP, 32, 0, TQ_BF16, 5, 67, 71 };
#define PLACES (5 + 71)

/* On the host: rows as they are in 16 bits, and as scalar decodes them, keys less their centre. On the device: d* */
struct scene {
	const struct tq_device_codec *keys, *values;
	uint32_t dim, value_dim;
	size_t tokens; /* of all sequences */
	float *key, *value, *raw_key, *raw_value, *query, *out, *lse, *mass, *centre;
	double want_mass[SEQUENCES][TABLE];
	uint8_t *dkey, *dvalue, *dquery, *dout, *dlse, *dslots, *dtable, *dlengths, *dpages, *dsinks;
	uint8_t *dcentre, *draw, *draw_slots, *dareas, *dmass;
};

static float *floats(struct tq_gate_bench *b, size_t n)
{
	return (float *)(void *)tq_gate_buffer(b, n * sizeof(float), 0)->at;
}

/* @n normal rows: on the device as they are, on the host in 16 bits and decoded, less @centre of their head */
static float *rows(struct tq_gate_bed *bed, const struct tq_plan *plan, size_t n, const float *centre, float **raw,
		   uint8_t **device)
{
	float *x = floats(bed->b, n * plan->dim);
	struct tq_pipeline pipe;
	uint8_t *codes;
	uint16_t half;
	size_t i;

	*device = tq_gate_place(bed, n * plan->dim * sizeof(float));
	codes = tq_gate_buffer(bed->b, n * plan->layout.row_bytes, 0)->at;
	*raw = floats(bed->b, n * plan->dim);
	if (bed->b->err)
		return x;
	for (i = 0; i < n * plan->dim; i++)
		x[i] = tq_gate_normal(bed->b);
	tq_gate_in(bed, *device, x, n * plan->dim * sizeof(float));
	for (i = 0; i < n * plan->dim; i++) {
		tq_store_element(&half, TQ_BF16, 0, x[i]);
		(*raw)[i] = tq_load_element(&half, TQ_BF16, 0);
		x[i] -= centre ? centre[i % (HEADS * (size_t)plan->dim)] : 0.0f;
	}
	if (!bed->b->err)
		bed->b->err = tq_gate_pipeline(bed->b->ctx, NULL, plan, &pipe);
	if (bed->b->err)
		return x;
	bed->b->err = tq_pipeline_encode(&pipe, x, TQ_F32, plan->dim, n, codes);
	if (!bed->b->err)
		bed->b->err = tq_pipeline_decode(&pipe, codes, n, x, TQ_F32, plan->dim);
	tq_pipeline_destroy(&pipe);
	return x;
}

/* Page p of sequence s is number (7 * (s * TABLE + p) + 3) mod 16: no two the same */
static uint32_t page_number(uint32_t s, uint32_t p)
{
	return (7 * (s * TABLE + p) + 3) % 16;
}

/* The place in its area of token @t of @n; none if later ones push it out */
static int64_t raw_place(uint32_t t, uint32_t n)
{
	if (t < raw_shape.sinks)
		return t;
	return t + raw_shape.ring < n ? -1 : (int64_t)(raw_shape.sinks + (t - raw_shape.sinks) % raw_shape.ring);
}

static void lay_out(struct tq_gate_bed *bed, struct scene *s)
{
	size_t d = s->dim, nq = SEQUENCES * TOKENS * HEADS * GROUP, nout = nq * s->value_dim, i;
	uint32_t table[SEQUENCES * TABLE], areas[SEQUENCES], q, t;
	int64_t slots[SEQUENCES * LONGEST], raw[SEQUENCES * LONGEST];

	for (q = 0; q < SEQUENCES; q++) {
		for (t = 0; t < TABLE; t++)
			table[q * TABLE + t] = page_number(q, t);
		areas[q] = (q + 2) % SEQUENCES;
		for (t = 0; t < lengths[q]; t++, s->tokens++) {
			slots[s->tokens] = (int64_t)page_number(q, t / 32) * 32 + t % 32;
			raw[s->tokens] = raw_place(t, lengths[q]);
			raw[s->tokens] += raw[s->tokens] < 0 ? 0 : PLACES * (int64_t)areas[q];
		}
	}
	s->centre = floats(bed->b, HEADS * d);
	for (i = 0; !bed->b->err && i < HEADS * d; i++)
		s->centre[i] = 0.5f * tq_gate_normal(bed->b);
	s->key = rows(bed, s->keys->plan, s->tokens * HEADS, s->centre, &s->raw_key, &s->dkey);
	s->value = rows(bed, s->values->plan, s->tokens * HEADS, NULL, &s->raw_value, &s->dvalue);
	s->query = floats(bed->b, nq * d);
	s->out = floats(bed->b, nout + GUARD);
	s->lse = floats(bed->b, nq + GUARD);
	s->mass = floats(bed->b, SEQUENCES * TABLE + GUARD);
	s->dquery = tq_gate_place(bed, nq * d * sizeof(float));
	s->dout = tq_gate_place(bed, (nout + GUARD) * sizeof(float));
	s->dlse = tq_gate_place(bed, (nq + GUARD) * sizeof(float));
	s->dslots = tq_gate_place(bed, s->tokens * sizeof(*slots));
	s->dtable = tq_gate_place(bed, sizeof(table));
	s->dlengths = tq_gate_place(bed, sizeof(lengths));
	s->dsinks = tq_gate_place(bed, sizeof(sinks));
	s->dcentre = tq_gate_place(bed, HEADS * d * sizeof(float));
	s->draw_slots = tq_gate_place(bed, s->tokens * sizeof(*raw));
	s->dareas = tq_gate_place(bed, sizeof(areas));
	s->dmass = tq_gate_place(bed, (SEQUENCES * TABLE + GUARD) * sizeof(float));
	if (bed->b->err)
		return;
	for (i = 0; i < nq * d; i++)
		s->query[i] = 1.5f * tq_gate_normal(bed->b);
	tq_gate_in(bed, s->dquery, s->query, nq * d * sizeof(float));
	tq_gate_in(bed, s->dslots, slots, s->tokens * sizeof(*slots));
	tq_gate_in(bed, s->dtable, table, sizeof(table));
	tq_gate_in(bed, s->dlengths, lengths, sizeof(lengths));
	tq_gate_in(bed, s->dsinks, sinks, sizeof(sinks));
	tq_gate_in(bed, s->dcentre, s->centre, HEADS * d * sizeof(float));
	tq_gate_in(bed, s->draw_slots, raw, s->tokens * sizeof(*raw));
	tq_gate_in(bed, s->dareas, areas, sizeof(areas));
}

/* Pages begin as noise: what was in them must not matter */
static void append(struct tq_gate_bed *bed, struct scene *s)
{
	struct tq_device_kv_rows r = { .struct_size = sizeof(r),
				       .tokens = (uint32_t)s->tokens,
				       .dtype = TQ_F32,
				       .keys = s->dkey,
				       .key_stride = HEADS * (size_t)s->dim,
				       .values = s->dvalue,
				       .value_stride = HEADS * (size_t)s->value_dim,
				       .slots = (const int64_t *)(const void *)s->dslots,
				       .centre = (const float *)(const void *)s->dcentre,
				       .raw_slots = (const int64_t *)(const void *)s->draw_slots };
	size_t bytes = 16 * bed->ops->kv_page(s->keys->state, s->values->state, &shape), i;
	uint8_t *noise = tq_gate_buffer(bed->b, bytes, 0)->at;

	r.pages = s->dpages = tq_gate_place(bed, bytes);
	r.raw = s->draw = tq_gate_place(bed, SEQUENCES * PLACES * HEADS * sizeof(uint16_t) * (s->dim + s->value_dim));
	if (bed->b->err)
		return;
	for (i = 0; i < bytes; i++)
		noise[i] = (uint8_t)tq_gate_word(bed->b);
	tq_gate_in(bed, s->dpages, noise, bytes);
	if (!bed->b->err)
		tq_gate_did(bed, "kv_append",
			    bed->ops->kv_append(s->keys->state, s->values->state, bed->queue, &raw_shape, &r));
}

/* What a query row sees of @n tokens of sequence @q: from .. to - 1, and the sinks if @call keeps them */
struct view {
	uint32_t q, n, from, to;
};

static bool is_raw(const struct tq_device_kv_call *call, const struct view *v, uint32_t t)
{
	return call->raw && (t < raw_shape.sinks || t + raw_shape.recent >= v->n);
}

/* The logit of token @t, row @at of all rows; -HUGE_VAL where it is not seen */
static double logit(const struct scene *s, const struct tq_device_kv_call *call, const float *query, const struct view *v,
		    uint32_t t, size_t at)
{
	bool raw = is_raw(call, v, t);
	const float *row = (raw ? s->raw_key : s->key) + at * s->dim, *centre = s->centre + at % HEADS * s->dim;
	double z = 0.0, cap = (double)call->softcap;
	uint32_t i;

	if (t >= v->to || (t < v->from && !(raw && call->keep_sinks && t < raw_shape.sinks)))
		return -HUGE_VAL;
	for (i = 0; i < s->dim; i++)
		z += (double)query[i] * ((double)row[i] + (raw || !call->centre ? 0.0 : (double)centre[i]));
	z *= (double)call->scale;
	return cap > 0.0 ? cap * tanh(z / cap) : z;
}

/* One query row; rows of the sequence's tokens begin with @base. Adds to what pages should have */
static double want_row(struct scene *s, const struct tq_device_kv_call *call, const float *query, size_t base,
		       uint32_t head, const struct view *v, double sink, double *out)
{
	double z[LONGEST], top = sink, sum = 0.0;
	const float *row;
	uint32_t d = s->value_dim, t, i;

	for (t = 0; t < v->to; t++) {
		z[t] = logit(s, call, query, v, t, (base + t) * HEADS + head);
		top = z[t] > top ? z[t] : top;
	}
	memset(out, 0, d * sizeof(*out));
	if (!(top > -HUGE_VAL))
		return top;
	for (t = 0; t < v->to; t++) {
		row = (is_raw(call, v, t) ? s->raw_value : s->value) + ((base + t) * HEADS + head) * d;
		z[t] = exp(z[t] - top);
		sum += z[t];
		for (i = 0; i < d; i++)
			out[i] += z[t] * (double)row[i];
	}
	for (t = 0; sum > 0.0 && t < v->to; t++)
		s->want_mass[v->q][t / 32] += z[t] / sum;
	sum += exp(sink - top);
	for (i = 0; i < d; i++)
		out[i] /= sum;
	return top + log(sum);
}

static void compare(struct tq_gate_bed *bed, struct scene *s, const struct tq_device_kv_call *call, uint32_t q,
		    uint32_t token, uint32_t head, size_t base)
{
	size_t row = (q * (size_t)TOKENS + token) * HEADS * GROUP + head, i;
	uint32_t behind = TOKENS - 1 - token, to = lengths[q] > behind ? lengths[q] - behind : 0;
	struct view v = { q, lengths[q], call->window && to > call->window ? to - call->window : 0, to };
	double want[256], lse, off = 0.0, norm = 0.0, e, sink = call->sink_logits ? (double)sinks[head] : -HUGE_VAL;

	lse = want_row(s, call, s->query + row * s->dim, base, head / GROUP, &v, sink, want);
	for (i = 0; i < s->value_dim; i++) {
		e = (double)s->out[row * s->value_dim + i] - want[i];
		off += e * e;
		norm += want[i] * want[i];
	}
	if (!(off <= ERROR_MAX * ERROR_MAX * norm))
		tq_gate_fault(bed->b, "attention: relative error %.2g over %u tokens (d=%u)", sqrt(off / norm), to, s->dim);
	if (lse > -HUGE_VAL ? !(fabs((double)s->lse[row] - lse) <= ERROR_MAX) : !(s->lse[row] < -3e38f))
		tq_gate_fault(bed->b, "attention: lse %g, not %g (d=%u)", (double)s->lse[row], lse, s->dim);
}

static void compare_mass(struct tq_gate_bed *bed, const struct scene *s)
{
	uint32_t q, p;

	for (q = 0; q < SEQUENCES; q++)
		for (p = 0; p < TABLE; p++)
			if (!(fabs((double)s->mass[q * TABLE + p] - s->want_mass[q][p]) <= TOKENS * HEADS * GROUP * ERROR_MAX))
				tq_gate_fault(bed->b, "attention: mass %g of a page, not %g (d=%u)",
					      (double)s->mass[q * TABLE + p], s->want_mass[q][p], s->dim);
}

/* @all: whatever else a call can have */
static void attend(struct tq_gate_bed *bed, struct scene *s, uint32_t splits, uint32_t window, bool all)
{
	size_t d = s->dim, nq = SEQUENCES * TOKENS * HEADS * GROUP, nout = nq * s->value_dim, base, i;
	struct tq_device_kv_call call = {
		.struct_size = sizeof(call),
		.sequences = SEQUENCES,
		.tokens = TOKENS,
		.max_tokens = LONGEST,
		.splits = splits,
		.window = window,
		.dtype = TQ_F32,
		.scale = 1.0f / sqrtf((float)d),
		.softcap = all ? 1.5f : 0.0f,
		.sink_logits = all ? (const float *)(const void *)s->dsinks : NULL,
		.query = s->dquery,
		.query_stride = HEADS * GROUP * d,
		.out = s->dout,
		.out_stride = HEADS * GROUP * (size_t)s->value_dim,
		.lse = (float *)(void *)s->dlse,
		.pages = s->dpages,
		.table = (const uint32_t *)(const void *)s->dtable,
		.table_stride = TABLE,
		.lengths = (const uint32_t *)(const void *)s->dlengths,
	};
	const struct tq_device_kv_options *o = all ? &raw_shape : &shape;
	uint32_t q, t, h;

	if (bed->b->err)
		return;
	if (all) {
		call.keep_sinks = 1;
		call.centre = (const float *)(const void *)s->dcentre;
		call.raw = s->draw;
		call.areas = (const uint32_t *)(const void *)s->dareas;
		call.page_mass = (float *)(void *)s->dmass;
	}
	call.scratch = tq_gate_place(bed, bed->ops->kv_scratch(s->keys->state, s->values->state, o, &call));
	memset(s->out, TQ_GATE_POISON, (nout + GUARD) * sizeof(float));
	memset(s->lse, TQ_GATE_POISON, (nq + GUARD) * sizeof(float));
	memset(s->want_mass, 0, sizeof(s->want_mass));
	memset(s->mass, TQ_GATE_POISON, (SEQUENCES * TABLE + GUARD) * sizeof(float));
	tq_gate_in(bed, s->dout, s->out, (nout + GUARD) * sizeof(float));
	tq_gate_in(bed, s->dlse, s->lse, (nq + GUARD) * sizeof(float));
	tq_gate_in(bed, s->dmass, s->mass, (SEQUENCES * TABLE + GUARD) * sizeof(float));
	if (!bed->b->err)
		tq_gate_did(bed, "kv_attend",
			    bed->ops->kv_attend(s->keys->state, s->values->state, bed->queue, o, &call));
	tq_gate_out(bed, s->out, s->dout, (nout + GUARD) * sizeof(float));
	tq_gate_out(bed, s->lse, s->dlse, (nq + GUARD) * sizeof(float));
	tq_gate_out(bed, s->mass, s->dmass, (SEQUENCES * TABLE + GUARD) * sizeof(float));
	for (q = 0, base = 0; q < SEQUENCES; base += lengths[q], q++)
		for (t = 0; t < TOKENS; t++)
			for (h = 0; h < HEADS * GROUP && !bed->b->err; h++)
				compare(bed, s, &call, q, t, h, base);
	if (all && !bed->b->err)
		compare_mass(bed, s);
	for (i = 0; i < GUARD * sizeof(float) && !bed->b->err; i++)
		if (((const uint8_t *)(s->out + nout))[i] != TQ_GATE_POISON ||
		    ((const uint8_t *)(s->lse + nq))[i] != TQ_GATE_POISON ||
		    ((const uint8_t *)(s->mass + (call.page_mass ? SEQUENCES * TABLE : 0)))[i] != TQ_GATE_POISON)
			tq_gate_fault(bed->b, "attention writes outside its output (d=%u)", s->dim);
}

int tq_gate_device_kv(const struct tq_device_codec *keys, const struct tq_device_codec *values,
		      const struct tq_device_queue *queue, char *why, size_t size)
{
	struct tq_gate_bench b;
	struct tq_gate_bed bed = { .b = &b, .ops = keys->ops, .queue = queue, .state = keys->state };
	struct scene s = { .keys = keys, .values = values, .dim = keys->plan->dim,
			   .value_dim = values->plan->dim };

	tq_gate_open(&b, keys->entry, s.dim, why, size);
	lay_out(&bed, &s);
	append(&bed, &s);
	attend(&bed, &s, 2, 0, false);
	attend(&bed, &s, 1, 100, true);
	tq_gate_clear(&bed);
	tq_gate_close(&b);
	if (b.err && !*why)
		snprintf(why, size, "%.200s", tq_error_text());
	return b.err == TQ_OK || b.err == TQ_ERR_NOMEM || b.err == TQ_ERR_DEVICE ? b.err : TQ_ERR_SELFTEST;
}
