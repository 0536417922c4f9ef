/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>
#include "checkasm.h"

#define MOST_WEIGHTS 21

/* What both sides are given, between guard pages, and what each makes of it. */
struct attend_case {
	struct guarded rows, weights, queries, want, got;
	size_t n, nw, ldw, ld, stride;
	int dtype;
	float want_sum, got_sum;
};

static void fill_weights(struct trial *t, float *x, size_t n, int logits)
{
	size_t i;

	for (i = 0; i < n; i++) {
		x[i] = logits ? -fabsf(30.0f * rng_normal(&t->rng)) : expf(-fabsf(3.0f * rng_normal(&t->rng)));
		if (rng_below(&t->rng, 9) == 0)
			x[i] = logits ? -INFINITY : 0.0f;
	}
	if (logits)
		x[rng_below(&t->rng, (uint32_t)n)] = 0.0f;
}

static void fill_halves(struct trial *t, void *x, int dtype, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		tq_store_element(x, dtype, i, rng_normal(&t->rng));
}

/* @out floats on each side, the same numbers in both to begin with */
static void open_outputs(struct trial *t, struct attend_case *c, size_t out)
{
	size_t i;

	c->want = guarded_alloc(out * sizeof(float), 4, 0);
	c->got = guarded_alloc(out * sizeof(float), 4, (int)rng_below(&t->rng, 2));
	for (i = 0; i < out; i++)
		((float *)c->want.at)[i] = rng_normal(&t->rng);
	memcpy(c->got.at, c->want.at, out * sizeof(float));
}

static void draw(struct trial *t, struct attend_case *c)
{
	size_t d = t->plan->dim, out;

	memset(c, 0, sizeof(*c));
	c->n = 1 + rng_below(&t->rng, d > 1000 ? 70 : rng_below(&t->rng, 8) ? 300 : TQ_MIX_ROWS);
	c->nw = 1 + rng_below(&t->rng, rng_below(&t->rng, 4) ? 9 : MOST_WEIGHTS);
	c->dtype = rng_below(&t->rng, 2) ? TQ_F16 : TQ_BF16;
	c->stride = d + rng_below(&t->rng, 4);
	c->ldw = c->n + rng_below(&t->rng, 4);
	c->ld = (d > c->n ? d : c->n) + rng_below(&t->rng, 4);
	out = (c->nw - 1) * c->ld + (t->op == OP_RAW_SCORE ? c->n : d);
	if (t->op == OP_WEIGH || t->op == OP_LOGITS)
		out = c->n;
	c->weights = guarded_alloc(((c->nw - 1) * c->ldw + c->n) * sizeof(float), 4, (int)rng_below(&t->rng, 2));
	fill_weights(t, (float *)c->weights.at, c->weights.size / sizeof(float), t->op == OP_WEIGH);
	c->queries = guarded_alloc(c->nw * d * sizeof(float), 4, (int)rng_below(&t->rng, 2));
	for (size_t i = 0; i < c->nw * d; i++)
		((float *)c->queries.at)[i] = rng_normal(&t->rng);
	if (t->op == OP_MIX) {
		c->rows = guarded_alloc(c->n * t->plan->layout.row_bytes, 1, (int)rng_below(&t->rng, 2));
		trial_codes(t, c->rows.at, c->n);
	} else {
		c->rows = guarded_alloc(((c->n - 1) * c->stride + d) * 2, 2, (int)rng_below(&t->rng, 2));
		fill_halves(t, c->rows.at, c->dtype, c->rows.size / 2);
	}
	guarded_seal(&c->rows);
	guarded_seal(&c->weights);
	guarded_seal(&c->queries);
	open_outputs(t, c, out);
}

static void run(struct trial *t, const struct tq_driver *drv, struct attend_case *c, float *out, float *sum)
{
	const struct tq_quantizer_ops *ops = drv->ops;
	const float *weights = (float *)c->weights.at, *queries = (float *)c->queries.at;
	const uint16_t *rows = (const uint16_t *)(const void *)c->rows.at;
	size_t d = t->plan->dim;
	void *state = NULL;

	if (ops->create && ops->create(check_host(), t->plan, &state))
		return;
	switch (t->op) {
	case OP_LOGITS:
		*sum = ops->logits(out, c->n, 0.75f, -1.25f);
		break;
	case OP_WEIGH:
		*sum = ops->weigh(weights, c->n, 0.0f, out);
		break;
	case OP_MIX:
		ops->mix(t->plan, state, weights, c->ldw, c->nw, c->rows.at, c->n, out, c->ld);
		break;
	case OP_RAW_SCORE:
		ops->raw_score(c->dtype, queries, d, c->nw, rows, c->stride, c->n, d, out, c->ld);
		break;
	default:
		ops->raw_mix(c->dtype, weights, c->ldw, c->nw, rows, c->stride, c->n, d, out, c->ld);
	}
	if (ops->destroy)
		ops->destroy(check_host(), state);
}

int check_attend(struct trial *t)
{
	struct attend_case c;

	draw(t, &c);
	run(t, check_reference(t->drv->name, t->op), &c, (float *)c.want.at, &c.want_sum);
	run(t, t->drv, &c, (float *)c.got.at, &c.got_sum);
	if (!trial_differ(t, "output", c.want.at, c.got.at, c.want.size, 4) && !guarded_intact(&c.got))
		strcpy(t->why, "wrote outside the output");
	if (!t->why[0])
		trial_differ(t, "sum", &c.want_sum, &c.got_sum, 4, 4);
	guarded_free(&c.rows);
	guarded_free(&c.weights);
	guarded_free(&c.queries);
	guarded_free(&c.want);
	guarded_free(&c.got);
	return t->why[0] != 0;
}
