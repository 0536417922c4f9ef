/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which driver serves a stage. Candidates are ordered: pinned, then the configuration's order, then
 * priority. The first that serves the plan, is present and passes the gate wins; each of the others
 * gets a line that says why not.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "calibration.h"
#include "conf.h"
#include "plan.h"
#include "registry.h"
#include "rotation.h"
#include "select.h"
#include "selftest.h"

#define CANDIDATES_MAX 64

/* One question to the registry. */
struct query {
	struct tq_context *ctx;
	const char *name;  /* generic name */
	const char *stage; /* for the explanation */
	const char *pin;
	const struct tq_rotation *rot; /* either this */
	const struct tq_plan *plan;    /* or this and the slot */
	size_t slot;
	struct tq_explain *why;
};

const char *tq_effective_pin(struct tq_context *ctx, const char *pin)
{
	return pin ? pin : ctx->config->driver;
}

void tq_explain_free(struct tq_context *ctx, struct tq_explain *why)
{
	tq_free(ctx, why->text);
	*why = (struct tq_explain){ 0 };
}

static void explain(const struct query *q, const struct tq_entry *e, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* An explanation that does not fit into memory is cut short, nothing more. */
static void explain(const struct query *q, const struct tq_entry *e, const char *fmt, ...)
{
	char line[TQ_REASON_MAX + 160], *text;
	struct tq_explain *x = q->why;
	va_list args;
	size_t n, room;

	if (!x)
		return;
	n = (size_t)snprintf(line, sizeof(line), "%s %s: ", q->stage,
			     e ? e->driver->driver_name : "-");
	va_start(args, fmt);
	vsnprintf(line + n, sizeof(line) - n - 1, fmt, args);
	va_end(args);
	n = strlen(line);
	line[n++] = '\n';
	if (x->used + n + 1 > x->room) {
		room = 2 * (x->room + n + 256);
		text = tq_alloc(q->ctx, room);
		if (!text)
			return;
		if (x->text)
			memcpy(text, x->text, x->used);
		tq_free(q->ctx, x->text);
		x->text = text;
		x->room = room;
	}
	memcpy(x->text + x->used, line, n);
	x->used += n;
	x->text[x->used] = '\0';
}

static bool is_called(const struct tq_entry *e, const char *name)
{
	return !strcmp(e->driver->driver_name, name) || !strcmp(e->module->name, name);
}

static bool is_scalar(const struct tq_entry *e)
{
	return e->module == e->module->ctx->registry->first;
}

/* ---- order ---- */

static size_t order_of(const struct query *q, const struct tq_entry *e)
{
	size_t i;

	if (q->pin && is_called(e, q->pin))
		return 0;
	for (i = 0; q->ctx->config->order[i]; i++)
		if (is_called(e, q->ctx->config->order[i]))
			break;
	return i + 1;
}

static bool before(const struct query *q, const struct tq_entry *a, const struct tq_entry *b)
{
	size_t x = order_of(q, a), y = order_of(q, b);

	return x != y ? x < y : a->driver->priority > b->driver->priority;
}

/*
 * Work on host memory by a device pays for copies both ways: such a driver serves where it is asked for by
 * the pin or the configured order, and is otherwise not even probed.
 */
static bool is_unasked_device(const struct query *q, const struct tq_entry *e)
{
	size_t i;

	if (e->driver->memory == TQ_MEM_HOST || (q->pin && is_called(e, q->pin)))
		return false;
	for (i = 0; q->ctx->config->order[i]; i++)
		if (is_called(e, q->ctx->config->order[i]))
			return false;
	return true;
}

/* What the calibration says of a driver here, or NULL. */
static const struct tq_timing *timing_of(const struct query *q, const struct tq_entry *e)
{
	uint32_t dim = q->rot ? q->rot->dim : q->plan->dim;
	uint32_t bits = q->rot ? 0 : tq_calibration_bits(q->plan->index_bits);

	return tq_calibration_find(q->ctx, e, q->stage, tq_calibration_dim(dim), bits);
}

/*
 * Of candidates that neither pin nor order tells apart, those with a timing change places with each
 * other, the fastest first; those without stay where their priority put them. A difference below one in
 * twenty is noise: priority decides then.
 */
static void calibrate_order(const struct query *q, struct tq_entry **list, size_t n)
{
	const struct tq_timing *time[CANDIDATES_MAX], *t;
	struct tq_entry *e;
	size_t i, j;

	for (i = 0; i < n; i++)
		time[i] = timing_of(q, list[i]);
	for (i = 0; i < n; i++)
		for (j = i + 1; time[i] && j < n; j++) {
			if (!time[j] || order_of(q, list[j]) != order_of(q, list[i]) ||
			    time[j]->ps * 1.05 >= time[i]->ps)
				continue;
			t = time[i];
			time[i] = time[j];
			time[j] = t;
			e = list[i];
			list[i] = list[j];
			list[j] = e;
		}
}

static void explain_calibration(const struct query *q)
{
	const struct tq_calibration *cal = q->ctx->registry->calibration;

	if (cal->valid)
		explain(q, NULL, "calibration %s is in force", cal->path);
	else if (*cal->path)
		explain(q, NULL, "calibration %s is ignored: %s", cal->path, cal->reason);
}

/* Plugins that were refused whole have no drivers to list: one line each, before the first stage */
static void explain_refused(const struct query *q)
{
	const struct tq_module *m;

	for (m = q->ctx->registry->first; m; m = m->next)
		if (!m->nentries)
			explain(q, NULL, "plugin %s is %s: %s", m->name,
				tq_driver_state_name(m->state), m->reason);
}

/* The best drivers of the generic name, best first; equal ones in the order of finding. */
static size_t candidates(const struct query *q, struct tq_entry **list)
{
	struct tq_module *m;
	struct tq_entry *e, *last;
	size_t i, k, n = 0;

	if (q->why && !q->why->used) {
		explain_calibration(q);
		explain_refused(q);
	}
	for (m = q->ctx->registry->first; m; m = m->next)
		for (i = 0; i < m->nentries; i++) {
			e = &m->entries[i];
			if (strcmp(e->driver->name, q->name))
				continue;
			if (q->pin && !is_called(e, q->pin) && !is_scalar(e)) {
				explain(q, e, "not the pinned %s", q->pin);
				continue;
			}
			if (is_unasked_device(q, e)) {
				explain(q, e, "a device: serves where it is pinned or ordered");
				continue;
			}
			if (n == CANDIDATES_MAX) {
				last = before(q, e, list[n - 1]) ? list[--n] : e;
				explain(q, last, "comes after %d others", CANDIDATES_MAX);
				if (last == e)
					continue;
			}
			for (k = n++; k && before(q, e, list[k - 1]); k--)
				list[k] = list[k - 1];
			list[k] = e;
		}
	calibrate_order(q, list, n);
	return n;
}

/* ---- one candidate ---- */

static bool slot_filled(const struct query *q, const struct tq_driver *d)
{
	void (*slot)(void);

	if (q->rot)
		return true;
	memcpy(&slot, (const char *)d->ops + q->slot, sizeof(slot));
	return slot;
}

/* What the driver's data says about the plan; no code of it runs. */
static bool fits(const struct query *q, const struct tq_entry *e, char *why, size_t size)
{
	const struct tq_driver *d = e->driver;

	if (!slot_filled(q, d))
		snprintf(why, size, "has no such operation");
	else if (!(d->flags & TQ_DRV_BITEXACT) && d->name[0] != 's' &&
		 !(q->rot && q->rot->kind == TQ_ROT_PLUGIN))
		snprintf(why, size, "not bit-exact: may score only");
	else
		return tq_entry_fits(e, q->rot ? q->rot->dim : q->plan->dim, q->plan, why, size);
	return false;
}

/* 1 chosen, 0 not, or a negative code */
static int consider(const struct query *q, struct tq_entry *e)
{
	const struct tq_driver *d = e->driver;
	char why[TQ_REASON_MAX] = "";
	int err;

	if (tq_entry_refused(e)) {
		explain(q, e, "%s: %s", tq_driver_state_name(e->state), e->reason);
		return 0;
	}
	if (!fits(q, e, why, sizeof(why))) {
		explain(q, e, "%s", why);
		return 0;
	}
	if (!tq_module_probe(e->module)) {
		explain(q, e, "%s: %s", tq_driver_state_name(e->state), e->reason);
		return 0;
	}
	if (q->plan && d->supports && !d->supports(q->plan, why, sizeof(why))) {
		why[sizeof(why) - 1] = '\0';
		explain(q, e, "%s", *why ? why : "does not support the plan");
		return 0;
	}
	err = q->rot ? tq_gate_rotation(e, q->rot, why, sizeof(why)) :
		       tq_gate_ops(e, q->plan, why, sizeof(why));
	if (err == TQ_ERR_SPEC)
		return tq_fail(err, "%s: %s", d->driver_name, why);
	if (tq_entry_pass(e, err, why))
		return TQ_ERR_NOMEM;
	if (!err)
		return 1;
	explain(q, e, "%s: %s", tq_driver_state_name(e->state), e->reason);
	return 0;
}

/* ---- the pin ---- */

/* Does the pin name anything, and if all of it was refused, why */
static int pin_check(const struct query *q)
{
	const char *names[2 * CANDIDATES_MAX + 1] = { NULL }, *near;
	const struct tq_module *m;
	const struct tq_entry *e, *refused = NULL;
	size_t i, n = 0;

	if (!q->pin)
		return TQ_OK;
	for (m = q->ctx->registry->first; m; m = m->next) {
		if (!m->nentries && !strcmp(m->name, q->pin))
			return tq_fail(TQ_ERR_NO_DRIVER, "plugin \"%s\" is %s: %s", q->pin,
				       tq_driver_state_name(m->state), m->reason);
		if (n < 2 * CANDIDATES_MAX)
			names[n++] = m->name;
		for (i = 0; i < m->nentries; i++) {
			e = &m->entries[i];
			if (n < 2 * CANDIDATES_MAX)
				names[n++] = e->driver->driver_name;
			if (is_called(e, q->pin) && !tq_entry_refused(e))
				return TQ_OK;
			if (is_called(e, q->pin))
				refused = e;
		}
	}
	if (refused)
		return tq_fail(TQ_ERR_NO_DRIVER, "driver \"%s\" is %s: %s", q->pin,
			       tq_driver_state_name(refused->state), refused->reason);
	near = tq_suggest(q->pin, names);
	return tq_fail(TQ_ERR_NO_DRIVER, "no driver or plugin is called \"%s\"%s%s%s", q->pin,
		       near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

/* A fused operation may have no driver: the stages that it is made of serve then. */
static bool is_fused(const struct query *q)
{
	return q->name[0] == 'e' || q->name[0] == 'd';
}

/*
 * A pinned driver that should have served this stage and was refused on the way: fail closed. Where a
 * plugin is pinned and one of its drivers was @chosen, or serves the stages of a fused operation, others
 * of it may be for CPUs with more features.
 */
static int pin_broken(const struct query *q, struct tq_entry *const *list, size_t n,
		      const struct tq_entry *chosen)
{
	bool served = q->pin && chosen && is_called(chosen, q->pin);
	char why[TQ_REASON_MAX];
	size_t i;

	for (i = 0; i < n; i++) {
		if (!q->pin || !is_called(list[i], q->pin) || !tq_entry_refused(list[i]))
			continue;
		if (list[i]->state == TQ_STATE_NOT_PRESENT &&
		    (served || is_fused(q) || !fits(q, list[i], why, sizeof(why))))
			continue;
		return tq_fail(TQ_ERR_NO_DRIVER, "%s: pinned driver \"%s\" is %s: %s", q->stage,
			       list[i]->driver->driver_name, tq_driver_state_name(list[i]->state),
			       list[i]->reason);
	}
	return TQ_OK;
}

/* ---- the answer ---- */

/* With whom a calibrated choice is compared: who priority alone would have taken, else the next best. */
static const struct tq_entry *rival_of(const struct query *q, const struct tq_entry *e,
				       struct tq_entry *const *list, size_t n)
{
	const struct tq_entry *first = NULL;
	size_t i;

	for (i = 0; i < n; i++)
		if (list[i] != e && !tq_entry_refused(list[i]) && timing_of(q, list[i]) &&
		    order_of(q, list[i]) == order_of(q, e) &&
		    (!first || (list[i]->driver->priority > e->driver->priority &&
				list[i]->driver->priority > first->driver->priority)))
			first = list[i];
	return first;
}

static void explain_priority(const struct query *q, const struct tq_entry *e,
			     struct tq_entry *const *list, size_t n)
{
	const struct tq_timing *mine = timing_of(q, e), *other;
	const struct tq_entry *rival = rival_of(q, e, list, n);

	if (!mine || !rival) {
		explain(q, e, "chosen: priority %d", e->driver->priority);
		return;
	}
	other = timing_of(q, rival);
	explain(q, e, "chosen: calibrated %.2fx faster than %s (%.2f against %.2f ns a row at d=%u%s%s)",
		(double)other->ps / mine->ps, rival->driver->driver_name, mine->ps * 1e-3,
		other->ps * 1e-3, mine->dim,
		e->driver->priority < rival->driver->priority ? "; by priority it would be " : "",
		e->driver->priority < rival->driver->priority ? rival->driver->driver_name : "");
}

static void explain_unneeded(const struct query *q, const struct tq_entry *e)
{
	const struct tq_timing *t = timing_of(q, e);

	if (t)
		explain(q, e, "not needed (calibrated: %.2f ns a row)", t->ps * 1e-3);
	else
		explain(q, e, "not needed");
}

static void choose(const struct query *q, struct tq_entry *const *list, size_t n, struct tq_entry *e,
		   unsigned *pinned, struct tq_choice *out)
{
	bool is_pin = q->pin && is_called(e, q->pin);

	out->driver = e->driver;
	out->plugin = e->module->name;
	out->host = &e->module->host;
	if (is_pin && pinned)
		++*pinned;
	if (is_pin)
		explain(q, e, "chosen: pinned");
	else if (q->pin)
		explain(q, e, "chosen: fills what the pinned %s leaves open", q->pin);
	else if (q->ctx->config->order[0] && q->ctx->config->order[order_of(q, e) - 1])
		explain(q, e, "chosen: first in the configured order");
	else
		explain_priority(q, e, list, n);
}

static int answer(const struct query *q, unsigned *pinned, struct tq_choice *out)
{
	struct tq_entry *list[CANDIDATES_MAX];
	size_t i, n;
	int got = 0, err;

	n = candidates(q, list);
	for (i = 0; i < n && !got; i++) {
		got = consider(q, list[i]);
		if (got < 0)
			return got;
		if (got)
			choose(q, list, n, list[i], pinned, out);
	}
	err = pin_broken(q, list, n, got ? list[i - 1] : NULL);
	if (err)
		return err;
	for (; i < n; i++)
		explain_unneeded(q, list[i]);
	if (got || is_fused(q))
		return TQ_OK;
	return tq_fail(TQ_ERR_NO_DRIVER, "%s: no usable driver%s", q->name,
		       q->rot && q->rot->kind == TQ_ROT_PLUGIN ? " has this rotation" : "");
}

static int ask(const struct query *q, unsigned *pinned, struct tq_choice *out)
{
	struct tq_registry *reg = q->ctx->registry;
	int err;

	pthread_mutex_lock(&reg->lock);
	err = tq_registry_open(q->ctx);
	if (!err)
		err = tq_calibration_load(q->ctx);
	if (!err)
		err = pin_check(q);
	if (!err)
		err = answer(q, pinned, out);
	pthread_mutex_unlock(&reg->lock);
	return err;
}

int tq_pin_unserved(struct tq_context *ctx, const char *pin)
{
	struct query q = { .ctx = ctx, .pin = pin };
	int err;

	pthread_mutex_lock(&ctx->registry->lock);
	err = pin_check(&q);
	pthread_mutex_unlock(&ctx->registry->lock);
	return err ? err : tq_fail(TQ_ERR_NO_DRIVER, "driver '%.60s' was asked for and serves no stage", pin);
}

int tq_select_rotation(struct tq_context *ctx, const struct tq_rotation *rot, const char *pin,
		       unsigned *pinned, struct tq_choice *out, struct tq_explain *why)
{
	char name[TQ_ROTATION_NAME_MAX + 16];
	struct query q = { .ctx = ctx, .name = name, .stage = name, .rot = rot, .why = why };

	q.pin = tq_effective_pin(ctx, pin);
	snprintf(name, sizeof(name), "rotate(%s)", tq_rotation_word(rot));
	return ask(&q, pinned, out);
}

const char *const tq_families[] = { "grid", "tcq", "polar", "radix", NULL };

const char *tq_stage_family(uint32_t code)
{
	return tq_families[tq_radix_width(code)			       ? 3 :
			   tq_polar_radius_bits(code)		       ? 2 :
			   code == TQ_CODE_TCQ8 || code == TQ_CODE_TCQ9 ? 1 :
									  0];
}

void tq_stage_name(const struct tq_plan *plan, const char *verb, const char *rotation, char *name,
		   size_t size)
{
	snprintf(name, size, "%s(%s%s%s)", verb, rotation ? rotation : "", rotation ? "," : "",
		 tq_stage_family(plan->code));
}

int tq_select_op(struct tq_context *ctx, const char *name, size_t slot, const struct tq_plan *plan,
		 const char *pin, unsigned *pinned, struct tq_choice *out, struct tq_explain *why)
{
	struct query q = { .ctx = ctx, .name = name, .stage = name, .plan = plan, .why = why };
	char stage[TQ_STAGE_NAME_MAX];

	q.slot = slot;
	q.pin = tq_effective_pin(ctx, pin);
	if (slot == offsetof(struct tq_quantizer_ops, dequantize) ||
	    slot == offsetof(struct tq_quantizer_ops, score_pairs)) {
		tq_stage_name(plan, slot == offsetof(struct tq_quantizer_ops, dequantize) ? "dequantize" :
									       "score_pairs",
			      NULL, stage, sizeof(stage));
		q.stage = stage;
	}
	return ask(&q, pinned, out);
}

int tq_select_device(struct tq_context *ctx, const char *name, const struct tq_plan *plan,
		     struct tq_choice *out, struct tq_entry **entry)
{
	char why[TQ_REASON_MAX] = "no plugin serves it";
	int err = TQ_ERR_NO_DRIVER;
	struct tq_module *m;
	struct tq_entry *e;
	size_t i;

	if (tq_registry_open(ctx))
		return TQ_ERR_NOMEM;
	for (m = ctx->registry->first; m; m = m->next)
		for (i = 0; i < m->nentries; i++) {
			e = &m->entries[i];
			if (strcmp(e->driver->name, name))
				continue;
			if (tq_entry_refused(e) || !tq_module_probe(m)) {
				err = e->state == TQ_STATE_NOT_PRESENT ? TQ_ERR_NOT_PRESENT : TQ_ERR_NO_DRIVER;
				snprintf(why, sizeof(why), "%s is %s: %s", e->driver->driver_name,
					 tq_driver_state_name(e->state), e->reason);
				continue;
			}
			if (plan && (!tq_entry_fits(e, plan->dim, plan, why, sizeof(why)) ||
				     (e->driver->supports && !e->driver->supports(plan, why, sizeof(why))))) {
				err = TQ_ERR_UNSUPPORTED;
				continue;
			}
			out->driver = e->driver;
			out->plugin = m->name;
			out->host = &m->host;
			if (entry)
				*entry = e;
			return TQ_OK;
		}
	return tq_fail(err, "%s: %s", name, why);
}
