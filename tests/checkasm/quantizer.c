/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include "checkasm.h"

static void *state_of(const struct tq_driver *drv, const struct tq_plan *plan)
{
	void *state = NULL;

	if (drv->ops->create)
		drv->ops->create(check_host(), plan, &state);
	return state;
}

static void state_free(const struct tq_driver *drv, void *state)
{
	if (drv->ops->destroy)
		drv->ops->destroy(check_host(), state);
}

/* Coordinates of a trellis code far beyond its levels: costs at their limits, and ties of sums of them */
static void extreme_row(struct trial *t, float *y, struct tq_row_stat *stat)
{
	static const float value[] = {-100.0f, -1.0f, 0.0f, 0.25f, 100.0f};
	uint32_t i, n = 2 + rng_below(&t->rng, 4);

	for (i = 0; i < t->plan->dim; i++)
		y[i] = value[(rng_below(&t->rng, n) * 2) % 5];
	stat->norm2 = (float)t->plan->dim;
}

/*
 * The fields that quantize leaves to the core keep what was there, so both outputs begin as the
 * same bytes.
 */
static int check_quantize(struct trial *t)
{
	const struct tq_driver *ref = check_reference(t->drv->name, t->op), *drv = t->drv;
	size_t dim = t->plan->dim, n = 1 + rng_below(&t->rng, dim > 1024 ? 3 : 9), i;
	size_t bytes = n * t->plan->layout.row_bytes;
	struct guarded y = guarded_alloc(n * dim * sizeof(float), 4, (int)rng_below(&t->rng, 2));
	struct guarded want = guarded_alloc(bytes, 1, 1);
	struct guarded got = guarded_alloc(bytes, 1, (int)rng_below(&t->rng, 2));
	struct tq_row_stat *stat = calloc(n, sizeof(*stat));
	float *x = malloc(n * dim * sizeof(float)), *row = malloc(dim * sizeof(float));
	float *scratch = malloc(dim * sizeof(float));
	void *s = state_of(ref, t->plan), *d = state_of(drv, t->plan);
	const struct tq_driver *rht = check_reference("rotate(rht)", OP_ROTATE);

	trial_vectors(t, x, dim, dim, n);
	for (i = 0; i < n; i++) {
		tq_row_load(t->plan, x + i * dim, TQ_F32, row, &stat[i]);
		rht->rotation_ops->rotate(t->rot, NULL, row, (float *)y.at + i * dim, 1, scratch);
		if (t->plan->window && rng_below(&t->rng, 2))
			extreme_row(t, (float *)y.at + i * dim, &stat[i]);
	}
	guarded_seal(&y);
	ref->ops->quantize(t->plan, s, (float *)y.at, stat, n, want.at);
	drv->ops->quantize(t->plan, d, (float *)y.at, stat, n, got.at);
	if (!trial_differ(t, "byte", want.at, got.at, bytes, 1) && !guarded_intact(&got))
		strcpy(t->why, "wrote outside the output");
	state_free(ref, s);
	state_free(drv, d);
	free(scratch);
	free(row);
	free(x);
	free(stat);
	guarded_free(&y);
	guarded_free(&want);
	guarded_free(&got);
	return t->why[0] != 0;
}

static int check_dequantize(struct trial *t)
{
	const struct tq_driver *ref = check_reference(t->drv->name, t->op), *drv = t->drv;
	size_t dim = t->plan->dim, n = 1 + rng_below(&t->rng, dim > 1024 ? 3 : 9);
	size_t bytes = n * dim * sizeof(float);
	struct guarded codes =
		guarded_alloc(n * t->plan->layout.row_bytes, 1, (int)rng_below(&t->rng, 2));
	struct guarded want = guarded_alloc(bytes, 4, 0);
	struct guarded got = guarded_alloc(bytes, 4, (int)rng_below(&t->rng, 2));
	struct guarded e = guarded_alloc(n * sizeof(int32_t), 4, 0);
	struct guarded f = guarded_alloc(n * sizeof(int32_t), 4, 1);
	void *s = state_of(ref, t->plan), *d = state_of(drv, t->plan);

	trial_codes(t, codes.at, n);
	guarded_seal(&codes);
	ref->ops->dequantize(t->plan, s, codes.at, n, (float *)want.at, (int32_t *)e.at);
	drv->ops->dequantize(t->plan, d, codes.at, n, (float *)got.at, (int32_t *)f.at);
	if (!trial_differ(t, "float", want.at, got.at, bytes, 4) &&
	    !trial_differ(t, "exponent", e.at, f.at, e.size, 4) &&
	    !(guarded_intact(&got) && guarded_intact(&f)))
		strcpy(t->why, "wrote outside the output");
	state_free(ref, s);
	state_free(drv, d);
	guarded_free(&codes);
	guarded_free(&want);
	guarded_free(&got);
	guarded_free(&e);
	guarded_free(&f);
	return t->why[0] != 0;
}

int check_quantizer(struct trial *t)
{
	return t->op == OP_QUANTIZE ? check_quantize(t) : check_dequantize(t);
}
