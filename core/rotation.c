/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables of the linear maps: signs of the randomized Hadamard rounds, Haar matrices as Stewart's
 * product of Householder reflections (SIAM J. Numer. Anal. 17, 1980), Gaussian matrices, Givens
 * layers. FORMAT.md section 2 is the definition.
 */

#include <math.h>
#include "context.h"
#include "given.h"
#include "rng.h"
#include "rotation.h"

#define SKETCH_RHT_ROUNDS 2
/* Columns of Q that one pass over the reflections updates: a panel of them stays in cache. */
#define PANEL 16
#define TILE 32

/*
 * What the signs of round t carry so that 2^k butterflies keep norms: 2^(-k/2). Where k is odd that is no
 * float; where one window covers the vector, two rounds in a row share exact factors instead, 2^-(k-1)/2
 * and 2^-(k+1)/2. A rounded factor would break what are exact ties of few-valued vectors to one side.
 */
static float rht_factor(const struct tq_rotation *rot, uint32_t t)
{
	int k = 0;

	while (1u << k < rot->window)
		k++;
	if (!(k & 1))
		return tq_pow2(-k / 2);
	if (rot->window < rot->dim || (t % 2 == 0 && t + 1 == rot->rounds))
		return (float)(0.7071067811865476 * (double)tq_pow2(-(k - 1) / 2));
	return tq_pow2(t % 2 == 0 ? -(k - 1) / 2 : -(k + 1) / 2);
}

static void rht_fill(const struct tq_rotation *rot, uint32_t role, float *signs)
{
	uint32_t words[64], bits, sub, part, parts = rot->window < rot->dim ? 2 : 1, i, j, n;
	float a;

	for (sub = 0; sub < 2 * rot->rounds; sub++) {
		part = sub & 1;
		if (part >= parts)
			continue;
		a = rht_factor(rot, sub / 2);
		for (i = 0; i < rot->window; i += n) {
			n = rot->window - i < 2048 ? rot->window - i : 2048;
			tq_rng_words(rot->seed, role, sub, i / 32, (n + 31) / 32, words);
			for (j = 0; j < n; j++) {
				bits = words[j / 32] >> (j % 32);
				*signs++ = bits & 1 ? -a : a;
			}
		}
	}
}

static int rht_create(struct tq_context *ctx, uint32_t role, struct tq_rotation *rot)
{
	uint32_t parts;
	float *signs;

	for (rot->window = 1; rot->window <= rot->dim / 2;)
		rot->window *= 2;
	parts = rot->window < rot->dim ? 2 : 1;
	rot->roll = parts == 2 ? rot->dim / 3 : 0;
	signs = tq_alloc(ctx, sizeof(*signs) * rot->rounds * parts * rot->window);
	if (!signs)
		return TQ_ERR_NOMEM;
	rht_fill(rot, role, signs);
	rot->signs = signs;
	return TQ_OK;
}

static int dense_alloc(struct tq_context *ctx, struct tq_rotation *rot, float **rows,
		       float **columns)
{
	size_t size = sizeof(float) * rot->dim * rot->dim;

	*rows = tq_alloc(ctx, size);
	*columns = tq_alloc(ctx, size);
	rot->rows = *rows;
	rot->columns = *columns;
	return *rows && *columns ? TQ_OK : TQ_ERR_NOMEM;
}

static void transpose(const float *from, float *to, size_t d)
{
	size_t i0, j0, i, j;

	for (i0 = 0; i0 < d; i0 += TILE)
		for (j0 = 0; j0 < d; j0 += TILE)
			for (i = i0; i < d && i < i0 + TILE; i++)
				for (j = j0; j < d && j < j0 + TILE; j++)
					to[j * d + i] = from[i * d + j];
}

/* Where reflection k starts in the packed triangle: reflections 0..k-1 have d, d-1, ... numbers. */
static size_t reflection_at(size_t d, size_t k)
{
	return k * d - k * (k - 1) / 2;
}

/*
 * The reflections v_k and their beta, and the sign that row k of the result takes. Row d-1 has no
 * reflection, only a sign.
 */
static void reflections_fill(const struct tq_rotation *rot, uint32_t role, double *v, double *beta,
			     double *sign)
{
	size_t d = rot->dim, k, i, n;
	double n2, vv, norm;

	for (k = 0; k < d; k++, v += n) {
		n = d - k;
		tq_rng_normals(rot->seed, role, (uint32_t)k, 0, n, v);
		sign[k] = (v[0] >= 0.0) == (k + 1 < d) ? -1.0 : 1.0;
		for (n2 = 0.0, i = 0; i < n; i++)
			n2 = n2 + v[i] * v[i];
		norm = sqrt(n2);
		v[0] = v[0] >= 0.0 ? v[0] + norm : v[0] - norm;
		for (vv = 0.0, i = 0; i < n; i++)
			vv = vv + v[i] * v[i];
		beta[k] = vv > 0.0 ? 2.0 / vv : 0.0;
	}
}

/* Reflection v of rows k..d-1 over the panel's columns; the inner loops run across columns. */
static void reflect(const double *v, double beta, double *restrict q, size_t n)
{
	double w[PANEL] = { 0 }, bv;
	size_t i, j;

	for (i = 0; i < n; i++)
		for (j = 0; j < PANEL; j++)
			w[j] = w[j] + v[i] * q[i * PANEL + j];
	for (i = 0; i < n; i++) {
		bv = beta * v[i];
		for (j = 0; j < PANEL; j++)
			q[i * PANEL + j] = q[i * PANEL + j] - bv * w[j];
	}
}

/*
 * Columns j0.. of Q. A column j < k is still that of the identity when reflection k comes, zero in
 * all rows that it changes, so a panel starts with the reflection of its last column.
 */
static void haar_panel(size_t d, size_t j0, const double *v, const double *beta, const double *sign,
		       double *q, float *rows)
{
	size_t width = d - j0 < PANEL ? d - j0 : PANEL, i, j, k;

	memset(q, 0, sizeof(*q) * d * PANEL);
	for (j = 0; j < width; j++)
		q[(j0 + j) * PANEL + j] = 1.0;
	for (k = j0 + width < d ? j0 + width : d - 1; k-- > 0;)
		if (beta[k] > 0.0)
			reflect(v + reflection_at(d, k), beta[k], q + k * PANEL, d - k);
	for (i = 0; i < d; i++)
		for (j = 0; j < width; j++)
			rows[i * d + j0 + j] = (float)(sign[i] * q[i * PANEL + j]);
}

static int haar_build(struct tq_context *ctx, uint32_t role, struct tq_rotation *rot)
{
	size_t d = rot->dim, j0;
	double *v, *beta, *sign, *q;
	float *rows, *columns;
	int ret;

	ret = dense_alloc(ctx, rot, &rows, &columns);
	if (ret)
		return ret;
	v = tq_alloc(ctx, sizeof(*v) * (reflection_at(d, d) + 2 * d + d * PANEL));
	if (!v)
		return TQ_ERR_NOMEM;
	beta = v + reflection_at(d, d);
	sign = beta + d;
	q = sign + d;
	reflections_fill(rot, role, v, beta, sign);
	for (j0 = 0; j0 < d; j0 += PANEL)
		haar_panel(d, j0, v, beta, sign, q, rows);
	transpose(rows, columns, d);
	tq_free(ctx, v);
	return TQ_OK;
}

static int gauss_build(struct tq_context *ctx, uint32_t role, struct tq_rotation *rot)
{
	size_t d = rot->dim, i, j, n, m;
	float *rows, *columns;
	double normal[256];
	int ret;

	ret = dense_alloc(ctx, rot, &rows, &columns);
	if (ret)
		return ret;
	for (i = 0; i < d; i++) {
		for (j = 0; j < d; j += n) {
			n = d - j < 256 ? d - j : 256;
			tq_rng_normals(rot->seed, role, (uint32_t)i, j, n, normal);
			for (m = 0; m < n; m++)
				rows[i * d + j + m] = (float)normal[m];
		}
	}
	transpose(rows, columns, d);
	return TQ_OK;
}

/* A dense matrix: another quantizer's, or a new one. */
static int dense_create(struct tq_context *ctx, uint32_t role, struct tq_rotation *rot)
{
	int ret;

	if (tq_shared_dense_get(ctx, role, rot))
		return TQ_OK;
	ret = role == TQ_ROLE_QJL_GAUSS ? gauss_build(ctx, role, rot) : haar_build(ctx, role, rot);
	if (!ret)
		ret = tq_shared_dense_add(ctx, role, rot);
	if (ret)
		tq_rotation_destroy(ctx, rot);
	return ret;
}

static void givens_fill(const struct tq_rotation *rot, uint32_t *order, float *cosines, float *sines)
{
	uint32_t d = rot->dim, layer, i, j, word, held;
	double ab[2], n;

	for (layer = 0; layer < rot->rounds; layer++) {
		for (i = 0; i < d; i++)
			order[i] = i;
		for (i = d - 1; i > 0; i--) {
			tq_rng_words(rot->seed, TQ_ROLE_GIVENS_ORDER, layer, d - 1 - i, 1, &word);
			j = (uint32_t)(((uint64_t)word * (i + 1)) >> 32);
			held = order[i];
			order[i] = order[j];
			order[j] = held;
		}
		for (i = 0; i < d / 2; i++) {
			tq_rng_normals(rot->seed, TQ_ROLE_GIVENS_ANGLE, layer, 2 * (uint64_t)i, 2, ab);
			n = sqrt(ab[0] * ab[0] + ab[1] * ab[1]);
			cosines[i] = n > 0.0 ? (float)(ab[0] / n) : 1.0f;
			sines[i] = n > 0.0 ? (float)(ab[1] / n) : 0.0f;
		}
		order += d;
		cosines += d / 2;
		sines += d / 2;
	}
}

/* Tables of @rot->rounds layers, not filled */
static int givens_alloc(struct tq_context *ctx, struct tq_rotation *rot)
{
	size_t layers = rot->rounds, d = rot->dim;

	rot->order = tq_alloc(ctx, sizeof(*rot->order) * layers * d);
	rot->cosines = tq_alloc(ctx, sizeof(*rot->cosines) * layers * (d / 2));
	rot->sines = tq_alloc(ctx, sizeof(*rot->sines) * layers * (d / 2));
	if (rot->order && rot->cosines && rot->sines)
		return TQ_OK;
	tq_rotation_destroy(ctx, rot);
	return TQ_ERR_NOMEM;
}

static int givens_create(struct tq_context *ctx, struct tq_rotation *rot)
{
	int ret = givens_alloc(ctx, rot);

	if (!ret)
		givens_fill(rot, (uint32_t *)(uintptr_t)rot->order, (float *)(uintptr_t)rot->cosines,
			    (float *)(uintptr_t)rot->sines);
	return ret;
}

static void describe(struct tq_rotation *rot, uint32_t kind, const char *name, uint32_t arg,
		     uint32_t dim, uint64_t seed)
{
	memset(rot, 0, sizeof(*rot));
	rot->struct_size = sizeof(*rot);
	rot->kind = kind;
	rot->name = name;
	rot->arg = arg;
	rot->dim = dim;
	rot->seed = seed;
	rot->rounds = kind == TQ_ROT_RHT || kind == TQ_ROT_GIVENS ? arg : 0;
}

int tq_rotation_givens(struct tq_context *ctx, uint32_t layers, uint32_t dim, struct tq_rotation *rot)
{
	describe(rot, TQ_ROT_GIVENS, "givens", layers, dim, 0);
	return givens_alloc(ctx, rot);
}

int tq_rotation_dense(struct tq_context *ctx, uint32_t role, const float *matrix, uint32_t dim,
		      uint64_t seed, struct tq_rotation *rot)
{
	float *rows, *columns;
	int ret;

	describe(rot, TQ_ROT_DENSE, "given", 0, dim, seed);
	if (tq_shared_dense_get(ctx, role, rot))
		return TQ_OK;
	ret = dense_alloc(ctx, rot, &rows, &columns);
	if (!ret) {
		memcpy(rows, matrix, sizeof(*rows) * dim * dim);
		transpose(rows, columns, dim);
		ret = tq_shared_dense_add(ctx, role, rot);
	}
	if (ret)
		tq_rotation_destroy(ctx, rot);
	return ret;
}

int tq_rotation_create(struct tq_context *ctx, const char *name, uint32_t arg, uint32_t dim,
		       uint64_t seed, struct tq_rotation *rot)
{
	if (!strcmp(name, "none")) {
		describe(rot, TQ_ROT_NONE, name, arg, dim, seed);
		return TQ_OK;
	}
	if (!strcmp(name, "rht")) {
		describe(rot, TQ_ROT_RHT, name, arg, dim, seed);
		return rht_create(ctx, TQ_ROLE_RHT, rot);
	}
	if (!strcmp(name, "haar")) {
		describe(rot, TQ_ROT_DENSE, name, arg, dim, seed);
		return dense_create(ctx, TQ_ROLE_HAAR, rot);
	}
	if (!strcmp(name, "givens")) {
		describe(rot, TQ_ROT_GIVENS, name, arg, dim, seed);
		return givens_create(ctx, rot);
	}
	if (!strcmp(name, "given"))
		return tq_given_rotation(ctx, arg, dim, seed, rot);
	describe(rot, TQ_ROT_PLUGIN, name, arg, dim, seed);
	return TQ_OK;
}

int tq_sketch_create(struct tq_context *ctx, uint32_t correction, uint32_t dim, uint64_t seed,
		     struct tq_rotation *rot)
{
	switch (correction) {
	case TQ_CORR_QJL_GAUSS:
		describe(rot, TQ_ROT_DENSE, "gauss", 0, dim, seed);
		return dense_create(ctx, TQ_ROLE_QJL_GAUSS, rot);
	case TQ_CORR_QJL_ORTHO:
		describe(rot, TQ_ROT_DENSE, "ortho", 0, dim, seed);
		return dense_create(ctx, TQ_ROLE_QJL_HAAR, rot);
	case TQ_CORR_QJL_RHT:
		describe(rot, TQ_ROT_RHT, "rht", SKETCH_RHT_ROUNDS, dim, seed);
		return rht_create(ctx, TQ_ROLE_QJL_RHT, rot);
	default:
		describe(rot, TQ_ROT_NONE, "none", 0, dim, seed);
		return TQ_OK;
	}
}

void tq_rotation_destroy(struct tq_context *ctx, struct tq_rotation *rot)
{
	tq_free(ctx, (void *)(uintptr_t)rot->signs);
	if (rot->kind == TQ_ROT_DENSE)
		tq_shared_dense_put(ctx, rot);
	tq_free(ctx, (void *)(uintptr_t)rot->order);
	tq_free(ctx, (void *)(uintptr_t)rot->cosines);
	tq_free(ctx, (void *)(uintptr_t)rot->sines);
	memset(rot, 0, sizeof(*rot));
}

const char *tq_rotation_word(const struct tq_rotation *rot)
{
	return rot->kind == TQ_ROT_DENSE ? "dense" : rot->name;
}
