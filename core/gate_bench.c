/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The workbench of the gate: guarded buffers, awkward inputs, and the scalar pipeline into which a
 * driver under test is put.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "gate.h"
#include "plan.h"

#define GUARD 1024

void tq_gate_open(struct tq_gate_bench *b, struct tq_entry *e, uint32_t dim, char *why, size_t size)
{
	memset(b, 0, sizeof(*b));
	b->ctx = e->module->ctx;
	b->entry = e;
	b->driver = e->driver;
	b->host = &e->module->host;
	b->dim = dim;
	b->random = 0x9e3779b97f4a7c15u + dim;
	b->why = why;
	b->why_size = size;
	why[0] = '\0';
}

void tq_gate_close(struct tq_gate_bench *b)
{
	size_t i;

	for (i = 0; i < b->nbuffers; i++)
		tq_free(b->ctx, b->buffers[i].block);
	b->nbuffers = 0;
}

int tq_gate_fault(struct tq_gate_bench *b, const char *fmt, ...)
{
	va_list args;

	if (b->err)
		return b->err;
	va_start(args, fmt);
	vsnprintf(b->why, b->why_size, fmt, args);
	va_end(args);
	b->err = TQ_ERR_SELFTEST;
	return b->err;
}

struct tq_gate_buffer *tq_gate_buffer(struct tq_gate_bench *b, size_t size, size_t off)
{
	struct tq_gate_buffer *buf = &b->buffers[b->nbuffers];

	if (b->nbuffers == TQ_GATE_BUFFERS)
		b->err = TQ_ERR_INTERNAL;
	if (b->err)
		return &b->none;
	buf->block = tq_alloc(b->ctx, size + off + 2 * GUARD);
	if (!buf->block) {
		b->err = TQ_ERR_NOMEM;
		return &b->none;
	}
	buf->at = (uint8_t *)buf->block + GUARD + off;
	buf->size = size;
	b->nbuffers++;
	return buf;
}

static uint8_t canary(size_t i)
{
	return (uint8_t)(0xc5 ^ (i * 37));
}

void tq_gate_arm(struct tq_gate_buffer *buf, size_t used)
{
	size_t i;

	buf->used = used;
	memset(buf->at, TQ_GATE_POISON, used);
	for (i = 0; i < GUARD; i++) {
		buf->at[used + i] = canary(i);
		*(buf->at - 1 - i) = canary(i);
	}
}

int tq_gate_intact(struct tq_gate_bench *b, const struct tq_gate_buffer *buf, const char *what,
		   size_t n)
{
	size_t i;

	for (i = 0; i < GUARD; i++) {
		if (buf->at[buf->used + i] != canary(i))
			return tq_gate_fault(b, "%s writes past the end of its output (%zu rows, "
					     "d=%u, %zu bytes beyond)", what, n, b->dim, i + 1);
		if (*(buf->at - 1 - i) != canary(i))
			return tq_gate_fault(b, "%s writes before the start of its output "
					     "(%zu rows, d=%u)", what, n, b->dim);
	}
	return b->err;
}

int tq_gate_same(struct tq_gate_bench *b, const char *what, const void *at, size_t step,
		 const void *want, size_t want_step, size_t bytes, size_t n)
{
	const uint8_t *p = at, *q = want;
	size_t i, k;

	for (i = 0; i < n; i++, p += step, q += want_step) {
		if (!memcmp(p, q, bytes))
			continue;
		for (k = 0; p[k] == q[k]; k++)
			;
		return tq_gate_fault(b, "%s gives wrong results: row %zu of %zu differs at byte %zu "
				     "of %zu (d=%u)", what, i, n, k, bytes, b->dim);
	}
	return b->err;
}

size_t tq_gate_size(size_t max, size_t i)
{
	static const size_t sizes[] = { 1,  2,	3,  4,	5,  7,	8,   9,	  15,  16,  17,
					31, 32, 33, 37, 63, 65, 127, 131, 257, 521, 769 };
	size_t k;

	for (k = 0; k < sizeof(sizes) / sizeof(sizes[0]) && sizes[k] < max; k++)
		if (k == i)
			return sizes[k];
	return i == k ? max : 0;
}

size_t tq_gate_rows_for(const struct tq_gate_bench *b, double cost_per_row)
{
	/* long rows go through the same steps more often: fewer of them say as much */
	double budget = tq_gate_is_scalar(b->entry) ? 2.5e5 : cost_per_row < 5e3 ? 2e6 : 6e5;
	double n = budget / cost_per_row;

	if (n > TQ_GATE_ROWS_MAX)
		n = TQ_GATE_ROWS_MAX;
	return n < 19.0 ? (cost_per_row < 1e5 ? 19 : cost_per_row < 1e6 ? 9 : 3) : (size_t)n;
}

/* ---- inputs ---- */

uint32_t tq_gate_word(struct tq_gate_bench *b)
{
	uint64_t z = b->random += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return (uint32_t)(z >> 32);
}

float tq_gate_normal(struct tq_gate_bench *b)
{
	uint32_t u = tq_gate_word(b), v = tq_gate_word(b);
	int32_t sum = (int32_t)((u & 0xffff) + (u >> 16) + (v & 0xffff) + (v >> 16));

	return (float)(sum - 131070) * (1.0f / 37837.0f);
}

static float wild_value(struct tq_gate_bench *b, size_t kind, size_t i, bool tame)
{
	float g = tq_gate_normal(b);

	switch (kind) {
	case 1:
		return 0.0f;
	case 2:
		return i == b->dim / 2 ? 1.0f : -0.0f;
	case 3:
		return i == b->dim - 1 ? -3.0f : 0.0f;
	case 4:
		return tq_bits_f32(tq_gate_word(b) & 0x807fffffu); /* denormals */
	case 5:
		return g * (tame ? 100.0f : 4e37f);
	case 6:
		return g * 1e-30f;
	case 7:
		return 0.75f;
	case 8:
		return i & 1 ? -1.0f : 1.0f;
	case 9:
		return i == 0 ? 1000.0f : g;
	case 10:
		return i % 7 ? g * 1e-13f : g;
	default:
		return g;
	}
}

void tq_gate_vectors(struct tq_gate_bench *b, float *x, size_t n, bool tame)
{
	size_t i, j;

	for (i = 0; i < n; i++)
		for (j = 0; j < b->dim; j++)
			*x++ = wild_value(b, i % 23, j, tame);
}

static void random_bytes(struct tq_gate_bench *b, uint8_t *at, size_t n, size_t kind)
{
	size_t i;

	for (i = 0; i < n; i++)
		at[i] = kind == 1 ? 0 : kind == 2 ? 0xff : (uint8_t)tq_gate_word(b);
}

/* Random field, its bits behind the last coordinate zero */
static void random_field(struct tq_gate_bench *b, uint8_t *at, size_t bits, size_t kind)
{
	size_t n = (bits + 7) / 8;

	random_bytes(b, at, n, kind);
	if (bits % 8)
		at[n - 1] = (uint8_t)(at[n - 1] & ((1u << bits % 8) - 1u));
}

void tq_gate_codes(struct tq_gate_bench *b, const struct tq_plan *plan, uint8_t *codes, size_t n)
{
	const struct tq_layout *l = &plan->layout;
	size_t i, kind;
	uint32_t s;
	float g;

	for (i = 0; i < n; i++, codes += l->row_bytes) {
		kind = i % 11;
		memset(codes, 0, l->row_bytes);
		g = tq_gate_normal(b);
		tq_store_scale(plan, codes + l->scale_at,
			       kind == 3		       ? 0.0f :
			       kind == 4 && plan->scale == TQ_F32 ? g * g * 1e-38f :
								    g * g * 0.01f);
		g = tq_gate_normal(b);
		if (l->cross_at != TQ_NO_FIELD)
			memcpy(codes + l->cross_at, &g, sizeof(g));
		if (l->rnorm_at != TQ_NO_FIELD)
			tq_store_scale(plan, codes + l->rnorm_at, g * g * 0.01f);
		for (s = 0; s < l->nsections; s++)
			random_field(b, codes + l->section[s].at, tq_section_bits(plan, s), kind);
		if (l->sketch_at != TQ_NO_FIELD)
			random_field(b, codes + l->sketch_at, b->dim, kind);
	}
}

/* ---- the definition ---- */

bool tq_gate_is_scalar(const struct tq_entry *e)
{
	return e->module == e->module->ctx->registry->first;
}

struct tq_entry *tq_gate_scalar(struct tq_context *ctx, const char *name)
{
	struct tq_module *m = ctx->registry->first;
	size_t i;

	for (i = 0; i < m->nentries; i++)
		if (!strcmp(m->entries[i].driver->name, name))
			return &m->entries[i];
	return NULL;
}

bool tq_gate_fits(const struct tq_entry *e, const struct tq_plan *plan, char *why, size_t size)
{
	if (!tq_entry_fits(e, plan->dim, plan, why, size))
		return false;
	if (!e->driver->supports || e->driver->supports(plan, why, size))
		return true;
	why[size - 1] = '\0';
	return false;
}

/* For a rotation that scalar lacks: whoever has it and is still standing */
static struct tq_entry *any_driver(struct tq_context *ctx, const char *name)
{
	struct tq_module *m;
	size_t i;

	for (m = ctx->registry->first; m; m = m->next)
		for (i = 0; i < m->nentries; i++)
			if (!strcmp(m->entries[i].driver->name, name) &&
			    !tq_entry_refused(&m->entries[i]) && tq_module_probe(m))
				return &m->entries[i];
	return NULL;
}

static struct tq_choice choice_of(const struct tq_entry *e)
{
	return (struct tq_choice){ e->driver, e->module->name, &e->module->host };
}

static int put_map(struct tq_context *ctx, struct tq_entry *e, const struct tq_rotation *rot,
		   struct tq_map *map)
{
	struct tq_entry *use = e;
	struct tq_choice choice;
	char name[64];

	snprintf(name, sizeof(name), "rotate(%s)", tq_rotation_word(rot));
	if (!e || strcmp(e->driver->name, name))
		use = tq_gate_scalar(ctx, name);
	if (!use)
		use = any_driver(ctx, name);
	if (!use)
		return tq_fail(TQ_ERR_NO_DRIVER, "%s: nobody has it", name);
	choice = choice_of(use);
	return tq_map_serve(map, rot, &choice);
}

static int put_op(struct tq_context *ctx, struct tq_entry *e, struct tq_pipeline *pipe, int op,
		  const char *name, size_t slot)
{
	const char *start = e ? e->driver->name : "";
	struct tq_entry *use = e;
	struct tq_choice choice;
	void *filled = NULL;
	size_t n = strlen(name);

	/* encode(ROTATION,CODE) is looked for by its verb */
	if (!strncmp(start, name, n))
		memcpy(&filled, (const char *)e->driver->ops + slot, sizeof(filled));
	if (!filled)
		use = tq_gate_scalar(ctx, name);
	if (!use)
		return TQ_OK;
	choice = choice_of(use);
	return tq_pipeline_serve(pipe, op, &choice);
}

int tq_gate_pipeline(struct tq_context *ctx, struct tq_entry *e, const struct tq_plan *plan,
		     struct tq_pipeline *pipe)
{
	static const struct {
		int op;
		const char *verb;
		size_t slot;
	} ops[] = {
		{ TQ_OP_QUANTIZE, "quantize", offsetof(struct tq_quantizer_ops, quantize) },
		{ TQ_OP_DEQUANTIZE, "quantize", offsetof(struct tq_quantizer_ops, dequantize) },
		{ TQ_OP_SCORE, "score", offsetof(struct tq_quantizer_ops, score) },
		{ TQ_OP_SCORE_PAIRS, "score", offsetof(struct tq_quantizer_ops, score_pairs) },
		{ TQ_OP_ENCODE, "encode(", offsetof(struct tq_quantizer_ops, encode) },
		{ TQ_OP_DECODE, "decode(", offsetof(struct tq_quantizer_ops, decode) },
	};
	char name[TQ_STAGE_NAME_MAX];
	size_t i;
	int err;

	tq_pipeline_start(pipe, ctx, plan);
	err = put_map(ctx, e, &plan->rotation, &pipe->rotation);
	if (!err && plan->sketch.kind != TQ_ROT_NONE)
		err = put_map(ctx, e, &plan->sketch, &pipe->sketch);
	for (i = 0; !err && i < sizeof(ops) / sizeof(ops[0]); i++) {
		tq_stage_name(plan, ops[i].verb, NULL, name, sizeof(name));
		err = put_op(ctx, e, pipe, ops[i].op, strchr(ops[i].verb, '(') ? ops[i].verb : name,
			     ops[i].slot);
	}
	if (!err)
		err = tq_pipeline_measure(pipe);
	if (err)
		tq_pipeline_destroy(pipe);
	return err;
}
