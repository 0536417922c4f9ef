/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rotation=blocks:K: every K coordinates (2, 3 or 4; the last block may be smaller) are turned among
 * themselves by a random orthogonal matrix of their own, as plane, rotor and quaternion rotations do.
 * It is cheap and not good: an outlier stays within its block, so vectors with a few large coordinates
 * lose many times what rht:2 loses (docs/METHODS.md). Offered for comparison, as a plugin: it needs
 * nothing that the ABI does not bring.
 *
 * Block b is the Gram-Schmidt basis of K rows of K normals of the stream (seed, ROLE, b), in double, each
 * row made orthogonal twice to those before it; rounded to float. Sums run in the order of coordinates.
 */
#include <stdio.h>
#include "tq/plugin.h"

#define ROLE (TQ_ROLE_PLUGIN + 2)
#define SIZE_DEFAULT 4
#define SIZE_MAX_BLOCK 4
/* Rows of normals that lie as near to dependent as this do not occur in 2^64 draws. */
#define LEAST_NORM 1e-12

/* The blocks' matrices, one after the other, by rows */
struct blocks {
	uint32_t size;
	float r[];
};

static double dot(const double *a, const double *b, uint32_t n)
{
	double sum = 0.0;
	uint32_t i;

	for (i = 0; i < n; i++)
		sum = sum + a[i] * b[i];
	return sum;
}

/* Row @i of the n x n matrix @g, orthogonal to the rows before it and of length 1 */
static int settle_row(double *g, uint32_t i, uint32_t n)
{
	double *row = g + i * n, along, norm;
	uint32_t pass, j, c;

	for (pass = 0; pass < 2; pass++)
		for (j = 0; j < i; j++) {
			along = dot(row, g + j * n, n);
			for (c = 0; c < n; c++)
				row[c] = row[c] - along * g[j * n + c];
		}
	norm = sqrt(dot(row, row, n));
	if (!(norm > LEAST_NORM))
		return TQ_ERR_INTERNAL;
	for (c = 0; c < n; c++)
		row[c] = row[c] / norm;
	return TQ_OK;
}

static int draw(const struct tq_host *host, uint64_t seed, uint32_t block, uint32_t n, float *r)
{
	double g[SIZE_MAX_BLOCK * SIZE_MAX_BLOCK];
	uint32_t i;

	host->normals(seed, ROLE, block, 0, n * n, g);
	for (i = 0; i < n; i++)
		if (settle_row(g, i, n))
			return TQ_ERR_INTERNAL;
	for (i = 0; i < n * n; i++)
		r[i] = (float)g[i];
	return TQ_OK;
}

static void blocks_destroy(const struct tq_host *host, void *state)
{
	host->free(host, state);
}

static int blocks_create(const struct tq_host *host, const struct tq_rotation *rot, void **out)
{
	uint32_t size = rot->arg ? rot->arg : SIZE_DEFAULT, at, n;
	struct blocks *b;
	char line[96];
	float *r;

	if (size > SIZE_MAX_BLOCK) {
		snprintf(line, sizeof(line), "rotation: blocks:%u: blocks have 1..%d coordinates", size,
			 SIZE_MAX_BLOCK);
		host->log(host, 0, line);
		return TQ_ERR_SPEC;
	}
	b = host->alloc(host, sizeof(*b) + (size_t)rot->dim * size * sizeof(float));
	if (!b)
		return TQ_ERR_NOMEM;
	b->size = size;
	for (r = b->r, at = 0; at < rot->dim; at += n, r += n * n) {
		n = rot->dim - at < size ? rot->dim - at : size;
		if (draw(host, rot->seed, at / size, n, r)) {
			host->free(host, b);
			return TQ_ERR_INTERNAL;
		}
	}
	*out = b;
	return TQ_OK;
}

/* y = R x or R^T x of one block; @row and @column are the steps through the matrix */
static void turn(const float *r, uint32_t n, uint32_t row, uint32_t column, const float *x, float *y)
{
	float sum;
	uint32_t i, j;

	for (i = 0; i < n; i++) {
		sum = 0.0f;
		for (j = 0; j < n; j++)
			sum = sum + r[i * row + j * column] * x[j];
		y[i] = sum;
	}
}

/* ... of every block of @rows rows */
static void turn_rows(const struct blocks *b, size_t dim, int back, const float *x, float *y, size_t rows)
{
	uint32_t n;
	const float *r;
	size_t at;

	for (; rows > 0; rows--, x += dim, y += dim)
		for (r = b->r, at = 0; at < dim; at += n, r += n * n) {
			n = dim - at < b->size ? (uint32_t)(dim - at) : b->size;
			turn(r, n, back ? 1 : n, back ? n : 1, x + at, y + at);
		}
}

static void blocks_rotate(const struct tq_rotation *rot, const void *state, const float *x, float *y,
			  size_t rows, float *scratch)
{
	(void)scratch;
	turn_rows(state, rot->dim, 0, x, y, rows);
}

static void blocks_unrotate(const struct tq_rotation *rot, const void *state, const float *x, float *y,
			    size_t rows, float *scratch)
{
	(void)scratch;
	turn_rows(state, rot->dim, 1, x, y, rows);
}

static const struct tq_rotation_ops blocks_ops = {
	.struct_size = sizeof(struct tq_rotation_ops),
	.create = blocks_create,
	.destroy = blocks_destroy,
	.rotate = blocks_rotate,
	.unrotate = blocks_unrotate,
};

static const struct tq_driver drivers[] = {
	{
		.struct_size = sizeof(struct tq_driver),
		.priority = 100,
		.name = "rotate(blocks)",
		.driver_name = "blocks",
		.flags = TQ_DRV_BITEXACT | TQ_DRV_CONCURRENT,
		.effort_max = 2,
		.rotation_ops = &blocks_ops,
	},
};

TQ_PLUGIN_DEFINE(blocks) = {
	.magic = TQ_PLUGIN_MAGIC,
	.abi_major = TQ_ABI_MAJOR,
	.abi_minor = TQ_ABI_MINOR,
	.struct_size = sizeof(struct tq_plugin),
	.driver_size = sizeof(struct tq_driver),
	.name = "blocks",
	.version = "1.0",
	.licence = "Apache-2.0",
	.drivers = drivers,
	.ndrivers = sizeof(drivers) / sizeof(drivers[0]),
};
