/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gate: golden vectors once per driver, then one test per family of specs; what passed is kept on
 * the entry. tq_context_selftest() walks a table of families.
 */
#include <stdio.h>
#include <string.h>
#include "gate.h"
#include "selftest.h"

/* What two plans must share for one test to speak for both. Seeds and centres do not matter. */
struct family {
	char rotation[TQ_ROTATION_NAME_MAX];
	uint32_t arg, dim, bits, code, correction, effort, center, scale, query;
};

struct tq_gate_record {
	struct tq_gate_record *next;
	struct family family;
};

static bool is_known(const struct tq_entry *e, const struct family *f)
{
	const struct tq_gate_record *r;

	for (r = e->records; r; r = r->next)
		if (!memcmp(&r->family, f, sizeof(*f)))
			return true;
	return false;
}

static int remember(struct tq_entry *e, const struct family *f)
{
	struct tq_gate_record *r = tq_alloc(e->module->ctx, sizeof(*r));

	if (!r)
		return TQ_ERR_NOMEM;
	r->family = *f;
	r->next = e->records;
	e->records = r;
	return TQ_OK;
}

void tq_gate_forget(struct tq_entry *e)
{
	struct tq_gate_record *r, *next;

	for (r = e->records; r; r = next) {
		next = r->next;
		tq_free(e->module->ctx, r);
	}
	e->records = NULL;
}

/* Failures that are not the driver's: out of memory, a spec that it has no map for, or no driver for another stage. */
static int verdict(struct tq_gate_bench *b)
{
	tq_gate_close(b);
	if (!b->err || b->err == TQ_ERR_NOMEM || b->err == TQ_ERR_SPEC || b->err == TQ_ERR_SELFTEST)
		return b->err;
	snprintf(b->why, b->why_size, "%.200s", tq_error_text());
	return TQ_ERR_SELFTEST;
}

static int golden(struct tq_entry *e, char *why, size_t size)
{
	int want = e->module->ctx->registry->thorough ? 2 : 1, err;
	struct tq_gate_bench b;

	if (e->golden >= want)
		return TQ_OK;
	tq_gate_open(&b, e, 0, why, size);
	tq_gate_test_golden(&b);
	err = verdict(&b);
	if (!err)
		e->golden = want;
	return err;
}

static int created(struct tq_gate_bench *b, int err)
{
	if (err == TQ_ERR_NOMEM)
		b->err = err;
	else if (err)
		tq_gate_fault(b, "create fails: %s (d=%u)", tq_status_text(err), b->dim);
	return b->err;
}

/* A rotation of a plugin's own says itself what arguments and settings it can be made from. */
static int rotation_created(struct tq_gate_bench *b, const struct tq_rotation *rot)
{
	int err;

	tq_note(NULL);
	err = b->driver->rotation_ops->create(b->host, rot, &b->state);
	if (err != TQ_ERR_SPEC || rot->kind != TQ_ROT_PLUGIN)
		return created(b, err);
	snprintf(b->why, b->why_size, "%.200s", tq_noted(tq_status_text(err)));
	b->err = err;
	return err;
}

/* What a driver could not do is not what it did wrong: its own word on a failed test. */
static void ask(struct tq_gate_bench *b, int (*failed)(const void *))
{
	int err = b->err && failed ? failed(b->state) : TQ_OK;

	if (!err)
		return;
	b->err = err == TQ_ERR_NOMEM ? TQ_ERR_NOMEM : TQ_ERR_SELFTEST;
	snprintf(b->why, b->why_size, "%.200s", tq_noted(tq_status_text(err)));
}

int tq_gate_rotation(struct tq_entry *e, const struct tq_rotation *rot, char *why, size_t size)
{
	const struct tq_rotation_ops *ops = e->driver->rotation_ops;
	struct family f = { .dim = rot->dim, .arg = rot->kind == TQ_ROT_DENSE ? 0 : rot->arg };
	struct tq_gate_bench b;
	int err;

	snprintf(f.rotation, sizeof(f.rotation), "%s", tq_rotation_word(rot));
	err = golden(e, why, size);
	if (err || is_known(e, &f))
		return err;
	tq_entry_move(e, TQ_STATE_TESTED, "");
	tq_gate_open(&b, e, rot->dim, why, size);
	if (!ops->create || !rotation_created(&b, rot)) {
		tq_gate_test_rotation(&b, rot);
		ask(&b, ops->failed);
		if (ops->destroy)
			ops->destroy(b.host, b.state);
	}
	err = verdict(&b);
	return err ? err : remember(e, &f);
}

static void family_of(const struct tq_entry *e, const struct tq_plan *plan, struct family *f)
{
	*f = (struct family){ .dim = plan->dim,
			      .bits = plan->index_bits,
			      .code = plan->code,
			      .correction = plan->correction,
			      .effort = plan->effort,
			      .center = plan->center,
			      .scale = plan->scale,
			      .query = plan->query };
	if (e->driver->name[0] != 's')
		f->query = 0;
	if (e->driver->name[0] == 'a')
		f->effort = f->center = 0;
	if (e->driver->name[0] != 'e' && e->driver->name[0] != 'd')
		return;
	f->arg = plan->rotation.arg;
	snprintf(f->rotation, sizeof(f->rotation), "%s", plan->rotation.name);
}

static int run(struct tq_gate_bench *b, const struct tq_plan *plan)
{
	switch (b->driver->name[0]) {
	case 'q':
		return tq_gate_test_quantize(b, plan);
	case 's':
		return tq_gate_test_score(b, plan);
	case 'a':
		return tq_gate_test_attend(b, plan);
	case 'e':
		return tq_gate_test_encode(b, plan);
	default:
		return tq_gate_test_decode(b, plan);
	}
}

int tq_gate_ops(struct tq_entry *e, const struct tq_plan *plan, char *why, size_t size)
{
	const struct tq_quantizer_ops *ops = e->driver->ops;
	struct tq_gate_bench b;
	struct family f;
	int err;

	family_of(e, plan, &f);
	err = golden(e, why, size);
	if (err || is_known(e, &f))
		return err;
	tq_entry_move(e, TQ_STATE_TESTED, "");
	tq_gate_open(&b, e, plan->dim, why, size);
	if (!ops->create || !created(&b, ops->create(b.host, plan, &b.state))) {
		run(&b, plan);
		ask(&b, ops->failed);
		if (ops->destroy)
			ops->destroy(b.host, b.state);
	}
	err = verdict(&b);
	return err ? err : remember(e, &f);
}

/* ---- everything, for tq-probe ---- */

static const struct {
	const char *spec;
	uint32_t dim;
} families[] = {
	{ "rotation=rht:2 bits=4 correction=ls", 128 },
	{ "rotation=rht:2 bits=2 correction=unbiased", 96 },
	{ "rotation=rht:1 bits=1 correction=unbiased", 1000 },
	{ "rotation=rht:3 bits=3 correction=norm effort=1", 80 },
	{ "rotation=rht:2 bits=4 correction=unbiased effort=2 scale=f16", 64 },
	{ "rotation=rht:2 code=uniform bits=5 correction=ls scale=bf16", 200 },
	{ "rotation=rht:2 bits=6 correction=ls query=s16", 768 },
	{ "rotation=rht:2 bits=7 correction=ls query=f32", 3 },
	{ "rotation=rht:2 bits=8 correction=none", 256 },
	{ "rotation=rht:2 bits=4 correction=qjl:rht", 128 },
	{ "rotation=haar bits=3 correction=qjl:ortho", 48 },
	{ "rotation=rht:2 bits=1 correction=qjl:gauss", 40 },
	{ "rotation=givens:16 bits=4 correction=ls", 100 },
	{ "rotation=none bits=4 correction=ls", 33 },
	{ "rotation=none bits=2 correction=ls", 1 },
	{ "rotation=rht:2 bits=4 correction=ls center=both", 128 },
	{ "rotation=rht:2 bits=4 correction=ls center=data", 130 },
	{ "rotation=none code=tcq:9 bits=4 correction=ls", 128 },
	{ "rotation=none code=tcq:9 bits=3 correction=unbiased center=both", 136 },
	{ "rotation=none code=tcq:8 bits=2 correction=norm scale=f16 query=s16", 24 },
	{ "rotation=none code=polar correction=none", 128 },
	{ "rotation=none code=polar:4 correction=unbiased center=both", 100 },
	{ "rotation=none code=polar:6 correction=ls scale=f16 query=s16", 16 },
	{ "rotation=none code=lm:1.6 correction=none", 128 },
	{ "rotation=none code=lm:2.33 correction=unbiased center=both", 100 },
	{ "rotation=none code=lm:2.5 correction=ls effort=1", 131 },
	{ "rotation=none code=lm:3.5 correction=ls", 128 },
	{ "rotation=none code=lm:4.5 correction=norm effort=2", 33 },
};

static bool can_be_tested(const struct tq_entry *e)
{
	return !tq_entry_refused(e) && tq_module_probe(e->module);
}

static bool names_rotation(const struct tq_entry *e, const struct tq_rotation *rot)
{
	char name[TQ_ROTATION_NAME_MAX + 16];

	snprintf(name, sizeof(name), "rotate(%s)", tq_rotation_word(rot));
	return !strcmp(e->driver->name, name);
}

static bool names_plan(const struct tq_entry *e, const struct tq_plan *plan)
{
	static const char *const verbs[] = { "quantize", "score", "attend", "encode", "decode" };
	const char *word = tq_rotation_word(&plan->rotation);
	char name[TQ_STAGE_NAME_MAX];
	size_t i;

	for (i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		tq_stage_name(plan, verbs[i], i < 3 ? NULL : word, name, sizeof(name));
		if (!strcmp(e->driver->name, name))
			return true;
	}
	return false;
}

int tq_entry_pass(struct tq_entry *e, int err, const char *why)
{
	if (err == TQ_ERR_NOMEM)
		return err;
	if (err)
		tq_entry_move(e, TQ_STATE_FAILED_TEST, tq_registry_note(e->module->ctx, "%s", why));
	else if (e->state != TQ_STATE_SELECTABLE)
		tq_entry_move(e, TQ_STATE_SELECTABLE, "");
	e->passed = e->passed || !err;
	return TQ_OK;
}

int tq_gate_entry(struct tq_entry *e, const struct tq_plan *plan, bool *passed)
{
	const struct tq_rotation *rot = NULL;
	char why[TQ_REASON_MAX] = "";
	int err;

	*passed = false;
	if (!can_be_tested(e))
		return TQ_OK;
	if (names_rotation(e, &plan->rotation))
		rot = &plan->rotation;
	else if (plan->sketch.kind != TQ_ROT_NONE && names_rotation(e, &plan->sketch))
		rot = &plan->sketch;
	if (rot ? !tq_entry_fits(e, rot->dim, NULL, why, sizeof(why)) :
		  !names_plan(e, plan) || !tq_gate_fits(e, plan, why, sizeof(why)))
		return TQ_OK;
	err = rot ? tq_gate_rotation(e, rot, why, sizeof(why)) : tq_gate_ops(e, plan, why, sizeof(why));
	*passed = !err;
	return err == TQ_ERR_SPEC ? TQ_OK : tq_entry_pass(e, err, why);
}

static int test_plan(struct tq_context *ctx, const struct tq_plan *plan)
{
	struct tq_module *m;
	int err = TQ_OK;
	bool passed;
	size_t i;

	for (m = ctx->registry->first; m; m = m->next)
		for (i = 0; !err && i < m->nentries; i++)
			err = tq_gate_entry(&m->entries[i], plan, &passed);
	return err;
}

static int test_family(struct tq_context *ctx, const char *text, uint32_t dim)
{
	struct tq_plan *plan;
	struct tq_spec spec;
	float *centre;
	int err;

	tq_spec_init(&spec);
	err = tq_spec_parse(&spec, text);
	if (err)
		return err;
	centre = tq_alloc(ctx, dim * sizeof(float));
	if (!centre)
		return TQ_ERR_NOMEM;
	err = tq_plan_create(ctx, &spec, dim, spec.center ? centre : NULL, &plan);
	if (err)
		goto err_free_centre;
	err = test_plan(ctx, plan);
	tq_plan_destroy(ctx, plan);
err_free_centre:
	tq_free(ctx, centre);
	return err;
}

/* Rotations of plugins' own are in no table: each is tested at two dimensions, argument 1 */
static int test_own_rotations(struct tq_context *ctx)
{
	char text[64], name[TQ_ROTATION_NAME_MAX];
	struct tq_module *m;
	int err = TQ_OK;
	size_t i;

	for (m = ctx->registry->first; m; m = m->next)
		for (i = 0; !err && i < m->nentries; i++) {
			if (sscanf(m->entries[i].driver->name, "rotate(%31[a-z0-9_-])", name) != 1 ||
			    tq_gate_scalar(ctx, m->entries[i].driver->name))
				continue;
			snprintf(text, sizeof(text), "rotation=%s:1", name);
			err = test_family(ctx, text, 128);
			if (!err)
				err = test_family(ctx, text, 33);
		}
	return err;
}

int tq_context_selftest(struct tq_context *ctx, unsigned *failed)
{
	const struct tq_module *m;
	unsigned bad = 0;
	size_t i;
	int err;

	if (!ctx)
		return tq_fail(TQ_ERR_ARG, "ctx is NULL");
	pthread_mutex_lock(&ctx->registry->lock);
	ctx->registry->thorough = true;
	err = tq_registry_open(ctx);
	for (i = 0; !err && i < sizeof(families) / sizeof(families[0]); i++)
		err = test_family(ctx, families[i].spec, families[i].dim);
	if (!err)
		err = test_own_rotations(ctx);
	for (m = ctx->registry->first; m; m = m->next)
		for (i = 0; i < m->nentries; i++)
			bad += m->entries[i].state == TQ_STATE_FAILED_TEST;
	pthread_mutex_unlock(&ctx->registry->lock);
	if (failed)
		*failed = bad;
	return err;
}
