/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include "checkasm.h"

static void run(const struct tq_driver *drv, int op, const struct tq_rotation *rot, const float *x,
		float *y, size_t n, float *scratch)
{
	const struct tq_rotation_ops *ops = drv->rotation_ops;
	void *state = NULL;

	if (ops->create && ops->create(check_host(), rot, &state))
		return;
	(op == OP_ROTATE ? ops->rotate : ops->unrotate)(rot, state, x, y, n, scratch);
	if (ops->destroy)
		ops->destroy(check_host(), state);
}

int check_rotation(struct trial *t)
{
	const struct tq_driver *ref = check_reference(t->drv->name, t->op);
	size_t dim = t->rot->dim, n = 1 + rng_below(&t->rng, dim > 1024 ? 3 : 9);
	size_t bytes = n * dim * sizeof(float);
	struct guarded x = guarded_alloc(bytes, 4, (int)rng_below(&t->rng, 2));
	struct guarded want = guarded_alloc(bytes, 4, 0);
	struct guarded got = guarded_alloc(bytes, 4, (int)rng_below(&t->rng, 2));
	struct guarded scratch = guarded_alloc(dim * sizeof(float), 4, (int)rng_below(&t->rng, 2));
	size_t i;

	trial_vectors(t, (float *)x.at, dim, dim, n);
	for (i = 0; i < n * dim; i++) {
		float *v = (float *)x.at + i;

		if (!(*v < 4.0f && *v > -4.0f))
			*v = 2.0f;
	}
	guarded_seal(&x);
	run(ref, t->op, t->rot, (float *)x.at, (float *)want.at, n, (float *)scratch.at);
	memset(scratch.at, 0xff, scratch.size);
	run(t->drv, t->op, t->rot, (float *)x.at, (float *)got.at, n, (float *)scratch.at);
	if (!trial_differ(t, "float", want.at, got.at, bytes, 4) &&
	    !(guarded_intact(&got) && guarded_intact(&scratch)))
		strcpy(t->why, "wrote outside the output");
	guarded_free(&x);
	guarded_free(&want);
	guarded_free(&got);
	guarded_free(&scratch);
	return t->why[0] != 0;
}
