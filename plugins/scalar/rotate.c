/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The four linear maps of FORMAT.md section 2, each y = R x and y = R^T x.
 */

#include "scalar.h"

/* Outputs that a dense map sums at once. */
#define OUTPUTS 64

static void none_rotate(const struct tq_rotation *rot, const void *state, const float *x, float *y,
			size_t n, float *scratch)
{
	memcpy(y, x, n * rot->dim * sizeof(*y));
}

const struct tq_rotation_ops scalar_none_ops = {
	.struct_size = sizeof(struct tq_rotation_ops),
	.rotate = none_rotate,
	.unrotate = none_rotate,
};

static void multiply(float *y, const float *signs, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		y[i] = y[i] * signs[i];
}

/* y = H y without a factor, h = 1, 2, 4, ... */
static void hadamard(float *y, size_t n)
{
	size_t h, i, j;
	float u, v;

	for (h = 1; h < n; h *= 2) {
		for (i = 0; i < n; i += 2 * h) {
			for (j = i; j < i + h; j++) {
				u = y[j];
				v = y[j + h];
				y[j] = u + v;
				y[j + h] = u - v;
			}
		}
	}
}

/* y'[(i + by) mod d] = y[i] */
static void roll(float *y, size_t d, size_t by, float *scratch)
{
	memcpy(scratch, y, d * sizeof(*y));
	memcpy(y + by, scratch, (d - by) * sizeof(*y));
	memcpy(y, scratch + d - by, by * sizeof(*y));
}

static void rht_rotate(const struct tq_rotation *rot, const void *state, const float *x, float *y,
		       size_t n, float *scratch)
{
	size_t d = rot->dim, w = rot->window, round;
	const float *signs;

	memcpy(y, x, n * d * sizeof(*y));
	for (; n > 0; n--, y += d) {
		signs = rot->signs;
		for (round = 0; round < rot->rounds; round++) {
			multiply(y, signs, w);
			hadamard(y, w);
			signs += w;
			if (w == d)
				continue;
			multiply(y + d - w, signs, w);
			hadamard(y + d - w, w);
			signs += w;
			roll(y, d, rot->roll, scratch);
		}
	}
}

static void rht_unrotate(const struct tq_rotation *rot, const void *state, const float *x, float *y,
			 size_t n, float *scratch)
{
	size_t d = rot->dim, w = rot->window, round;
	const float *signs;

	memcpy(y, x, n * d * sizeof(*y));
	for (; n > 0; n--, y += d) {
		signs = rot->signs + rot->rounds * (w == d ? w : 2 * w);
		for (round = 0; round < rot->rounds; round++) {
			if (w < d) {
				roll(y, d, d - rot->roll, scratch);
				signs -= w;
				hadamard(y + d - w, w);
				multiply(y + d - w, signs, w);
			}
			signs -= w;
			hadamard(y, w);
			multiply(y, signs, w);
		}
	}
}

const struct tq_rotation_ops scalar_rht_ops = {
	.struct_size = sizeof(struct tq_rotation_ops),
	.rotate = rht_rotate,
	.unrotate = rht_unrotate,
};

/* y_i = sum over j, in order, of table[j * d + i] * x_j: the inner loop runs across outputs. */
static void dense_apply(const float *table, size_t d, const float *x, float *y)
{
	float sum[OUTPUTS];
	size_t i0, i, j, m;

	for (i0 = 0; i0 < d; i0 += OUTPUTS) {
		m = d - i0 < OUTPUTS ? d - i0 : OUTPUTS;
		memset(sum, 0, sizeof(sum));
		for (j = 0; j < d; j++)
			for (i = 0; i < m; i++)
				sum[i] = sum[i] + table[j * d + i0 + i] * x[j];
		memcpy(y + i0, sum, m * sizeof(*y));
	}
}

static void dense_rotate(const struct tq_rotation *rot, const void *state, const float *x, float *y,
			 size_t n, float *scratch)
{
	for (; n > 0; n--, x += rot->dim, y += rot->dim)
		dense_apply(rot->columns, rot->dim, x, y);
}

static void dense_unrotate(const struct tq_rotation *rot, const void *state, const float *x,
			   float *y, size_t n, float *scratch)
{
	for (; n > 0; n--, x += rot->dim, y += rot->dim)
		dense_apply(rot->rows, rot->dim, x, y);
}

const struct tq_rotation_ops scalar_dense_ops = {
	.struct_size = sizeof(struct tq_rotation_ops),
	.rotate = dense_rotate,
	.unrotate = dense_unrotate,
};

/* One layer; @turn is 1 forwards and -1 for the transpose. */
static void givens_layer(const struct tq_rotation *rot, size_t layer, float turn, float *y)
{
	const uint32_t *pair = rot->order + layer * rot->dim;
	size_t half = rot->dim / 2, t;
	float u, v, c, s;

	for (t = 0; t < half; t++, pair += 2) {
		c = rot->cosines[layer * half + t];
		s = turn * rot->sines[layer * half + t];
		u = y[pair[0]];
		v = y[pair[1]];
		y[pair[0]] = c * u - s * v;
		y[pair[1]] = s * u + c * v;
	}
}

static void givens_rotate(const struct tq_rotation *rot, const void *state, const float *x,
			  float *y, size_t n, float *scratch)
{
	size_t layer;

	memcpy(y, x, n * rot->dim * sizeof(*y));
	for (; n > 0; n--, y += rot->dim)
		for (layer = 0; layer < rot->rounds; layer++)
			givens_layer(rot, layer, 1.0f, y);
}

static void givens_unrotate(const struct tq_rotation *rot, const void *state, const float *x,
			    float *y, size_t n, float *scratch)
{
	size_t layer;

	memcpy(y, x, n * rot->dim * sizeof(*y));
	for (; n > 0; n--, y += rot->dim)
		for (layer = rot->rounds; layer-- > 0;)
			givens_layer(rot, layer, -1.0f, y);
}

const struct tq_rotation_ops scalar_givens_ops = {
	.struct_size = sizeof(struct tq_rotation_ops),
	.rotate = givens_rotate,
	.unrotate = givens_unrotate,
};
