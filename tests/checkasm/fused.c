/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include "checkasm.h"

/* Fused drivers are compared with the library's own composition of the scalar stages. */
static struct tq_quantizer *composed(struct trial *t)
{
	struct tq_quantizer_options o = {
		.struct_size = sizeof(o), .driver = "scalar", .centre = t->centre};
	struct tq_quantizer *q = NULL;

	if (tq_quantizer_create(t->ctx, &t->spec, t->plan->dim, &o, &q))
		strcpy(t->why, tq_error_text());
	return q;
}

static void draw_input(struct trial *t, uint8_t *x, int dtype, size_t stride, size_t n)
{
	size_t dim = t->plan->dim, r, i;
	float *v = malloc(dim * sizeof(float));

	for (r = 0; r < n; r++) {
		trial_vectors(t, v, dim, dim, 1);
		for (i = 0; i < dim; i++) {
			if (dtype == TQ_F16 && !(v[i] < 60000.0f && v[i] > -60000.0f))
				v[i] = v[i] < 0 ? -60000.0f : 60000.0f;
			tq_store_element(x, dtype, r * stride + i, v[i]);
		}
	}
	free(v);
}

static int check_encode(struct trial *t, const struct tq_quantizer *q, void *state)
{
	int dtype = (int)rng_below(&t->rng, 3), rc;
	size_t dim = t->plan->dim, n = 1 + rng_below(&t->rng, dim > 1024 ? 4 : dim > 256 ? 20 : 40);
	size_t stride = dim + (rng_below(&t->rng, 2) ? 0 : rng_below(&t->rng, 9));
	size_t size = tq_dtype_size(dtype), bytes = n * t->plan->layout.row_bytes;
	struct guarded x =
		guarded_alloc(((n - 1) * stride + dim) * size, size, (int)rng_below(&t->rng, 2));
	struct guarded want = guarded_alloc(bytes, 1, 0);
	struct guarded got = guarded_alloc(bytes, 1, (int)rng_below(&t->rng, 2));

	draw_input(t, x.at, dtype, stride, n);
	guarded_seal(&x);
	rc = tq_encode_as(q, x.at, dtype, stride, n, want.at);
	if (!rc) {
		rc = t->drv->ops->encode(t->plan, state, x.at, dtype, stride, n, got.at);
		if (rc)
			strcpy(t->why, tq_status_name(rc));
		else if (!trial_differ(t, "byte", want.at, got.at, bytes, 1) &&
			 !guarded_intact(&got))
			strcpy(t->why, "wrote outside the output");
	}
	guarded_free(&x);
	guarded_free(&want);
	guarded_free(&got);
	return t->why[0] != 0;
}

static int check_decode(struct trial *t, const struct tq_quantizer *q, void *state)
{
	int dtype = (int)rng_below(&t->rng, 3);
	size_t dim = t->plan->dim, n = 1 + rng_below(&t->rng, dim > 1024 ? 4 : 20);
	size_t stride = dim + (rng_below(&t->rng, 2) ? 0 : rng_below(&t->rng, 9));
	size_t size = tq_dtype_size(dtype), bytes = ((n - 1) * stride + dim) * size;
	struct guarded codes =
		guarded_alloc(n * t->plan->layout.row_bytes, 1, (int)rng_below(&t->rng, 2));
	struct guarded want = guarded_alloc(bytes, size, 0);
	struct guarded got = guarded_alloc(bytes, size, (int)rng_below(&t->rng, 2));
	int rc;

	trial_codes(t, codes.at, n);
	guarded_seal(&codes);
	tq_decode_as(q, codes.at, n, want.at, dtype, stride);
	rc = t->drv->ops->decode(t->plan, state, codes.at, n, got.at, dtype, stride);
	if (rc)
		strcpy(t->why, tq_status_name(rc));
	else if (!trial_differ(t, "element", want.at, got.at, bytes, size) && !guarded_intact(&got))
		strcpy(t->why, "wrote outside the output");
	guarded_free(&codes);
	guarded_free(&want);
	guarded_free(&got);
	return t->why[0] != 0;
}

int check_fused(struct trial *t)
{
	const struct tq_quantizer_ops *ops = t->drv->ops;
	struct tq_quantizer *q = composed(t);
	void *state = NULL;

	if (!q)
		return 1;
	if (ops->create && ops->create(check_host(), t->plan, &state))
		strcpy(t->why, "create failed");
	else if (t->op == OP_ENCODE)
		check_encode(t, q, state);
	else
		check_decode(t, q, state);
	if (ops->destroy)
		ops->destroy(check_host(), state);
	tq_quantizer_destroy(q);
	return t->why[0] != 0;
}
