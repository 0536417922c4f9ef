/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An example of a libtq plugin: a rotation that the library does not have. rotation=householder:K is
 * the product of K reflections x -> x - 2 <v, x> v, with unit vectors v drawn by the library's own
 * generator, so that every machine gets the same ones. It needs only tq/plugin.h and links nothing.
 */
#include "tq/plugin.h"

#define ROLE (TQ_ROLE_PLUGIN + 1)

/* The vectors, one after the other; all state there is */
struct reflections {
	uint32_t count;
	float v[];
};

static int draw(const struct tq_host *host, const struct tq_rotation *rot, uint32_t k, double *g,
		float *v)
{
	double norm2 = 0.0;
	uint32_t i;

	host->normals(rot->seed, ROLE, k, 0, rot->dim, g);
	for (i = 0; i < rot->dim; i++)
		norm2 = norm2 + g[i] * g[i];
	for (i = 0; i < rot->dim; i++)
		v[i] = (float)(g[i] / sqrt(norm2));
	return norm2 > 0.0 ? TQ_OK : TQ_ERR_INTERNAL;
}

static void householder_destroy(const struct tq_host *host, void *state)
{
	host->free(host, state);
}

static int householder_create(const struct tq_host *host, const struct tq_rotation *rot, void **out)
{
	uint32_t count = rot->arg ? rot->arg : 1, k;
	struct reflections *r;
	int err = TQ_OK;
	double *g;

	g = host->alloc(host, rot->dim * sizeof(*g));
	r = host->alloc(host, sizeof(*r) + (size_t)count * rot->dim * sizeof(float));
	if (!g || !r)
		err = TQ_ERR_NOMEM;
	for (k = 0; !err && k < count; k++)
		err = draw(host, rot, k, g, r->v + (size_t)k * rot->dim);
	host->free(host, g);
	if (err) {
		host->free(host, r);
		return err;
	}
	r->count = count;
	*out = r;
	return TQ_OK;
}

static void reflect(const float *v, float *y, uint32_t dim)
{
	float t = 2.0f * tq_dot16(v, y, dim);
	uint32_t i;

	for (i = 0; i < dim; i++)
		y[i] = y[i] - t * v[i];
}

static void householder_rotate(const struct tq_rotation *rot, const void *state, const float *x,
			       float *y, size_t n, float *scratch)
{
	const struct reflections *r = state;
	uint32_t k;

	(void)scratch;
	memcpy(y, x, n * rot->dim * sizeof(*y));
	for (; n > 0; n--, y += rot->dim)
		for (k = 0; k < r->count; k++)
			reflect(r->v + (size_t)k * rot->dim, y, rot->dim);
}

static void householder_unrotate(const struct tq_rotation *rot, const void *state, const float *x,
				 float *y, size_t n, float *scratch)
{
	const struct reflections *r = state;
	uint32_t k;

	(void)scratch;
	memcpy(y, x, n * rot->dim * sizeof(*y));
	for (; n > 0; n--, y += rot->dim)
		for (k = r->count; k > 0; k--)
			reflect(r->v + (size_t)(k - 1) * rot->dim, y, rot->dim);
}

static const struct tq_rotation_ops householder_ops = {
	.struct_size = sizeof(struct tq_rotation_ops),
	.create = householder_create,
	.destroy = householder_destroy,
	.rotate = householder_rotate,
	.unrotate = householder_unrotate,
};

static const struct tq_driver drivers[] = {
	{
		.struct_size = sizeof(struct tq_driver),
		.priority = 100,
		.name = "rotate(householder)",
		.driver_name = "householder-example",
		.flags = TQ_DRV_BITEXACT | TQ_DRV_CONCURRENT,
		.effort_max = 2,
		.rotation_ops = &householder_ops,
	},
};

TQ_PLUGIN_DEFINE(example) = {
	.magic = TQ_PLUGIN_MAGIC,
	.abi_major = TQ_ABI_MAJOR,
	.abi_minor = TQ_ABI_MINOR,
	.struct_size = sizeof(struct tq_plugin),
	.driver_size = sizeof(struct tq_driver),
	.name = "example",
	.version = "1.0",
	.licence = "Apache-2.0",
	.drivers = drivers,
	.ndrivers = sizeof(drivers) / sizeof(drivers[0]),
};
