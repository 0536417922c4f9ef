/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rotations that were given to a context: checked, kept, found again by their checksum. The tables are
 * those of the library's own rotations, so every driver of these serves: a matrix is dense, pairs with
 * angles are layers of givens, and where there is neither a rotation of the library is meant.
 */

#include <inttypes.h>
#include <stdio.h>
#include "conf.h"
#include "context.h"
#include "given.h"
#include "rotation.h"
#include "tq/given.h"

/* The place of a random stream's role where matrices are shared; 0 is none. */
#define ROLE_GIVEN 0
#define SUM_VERSION 1u
#define SUM_SCALED 16u /* added to the kind */
#define SCALE_MAX 0x1p40f

/*
 * struct tq_given_entry - one of them
 * @table:  dense or givens: its tables
 * @word:   else the library's rotation
 * @scales: of channels, or NULL
 */
struct tq_given_entry {
	struct tq_given_entry *next;
	uint32_t sum, dim;
	struct tq_rotation table;
	struct tq_spec word;
	float *scales;
};

/* ---- what was given ---- */

static int check_scales(const struct tq_given *g)
{
	uint32_t i;

	for (i = 0; i < g->dim; i++) {
		if (!isfinite(g->scales[i]))
			return tq_fail(TQ_ERR_NONFINITE, "given.scales: element %u is not finite", i);
		if (g->scales[i] < 1 / SCALE_MAX || g->scales[i] > SCALE_MAX)
			return tq_fail(TQ_ERR_RANGE, "given.scales: element %u is %g, not in 2^-40..2^40", i,
				       (double)g->scales[i]);
	}
	return TQ_OK;
}

static int check_matrix(const struct tq_given *g)
{
	size_t d = g->dim, i, j, at_i = 0, at_j = 0;
	double worst = 0.0, dot;

	if (d > TQ_MAX_DENSE_DIM)
		return tq_fail(TQ_ERR_UNSUPPORTED, "given.matrix: limited to %d dimensions, not %zu",
			       TQ_MAX_DENSE_DIM, d);
	for (i = 0; i < d * d; i++)
		if (!isfinite(g->matrix[i]))
			return tq_fail(TQ_ERR_NONFINITE, "given.matrix: row %zu column %zu is not finite", i / d,
				       i % d);
	for (i = 0; i < d; i++)
		for (j = 0; j <= i; j++) {
			dot = fabs(tq_inner(g->matrix + i * d, g->matrix + j * d, d) - (i == j));
			if (dot > worst) {
				worst = dot;
				at_i = i;
				at_j = j;
			}
		}
	if (worst > TQ_GIVEN_TOLERANCE)
		return tq_fail(TQ_ERR_ARG,
			       "given.matrix: not orthogonal: |R R^T - I| is %.3g at rows %zu and %zu, at most "
			       "%g is allowed", worst, at_i, at_j, TQ_GIVEN_TOLERANCE);
	return TQ_OK;
}

/* Layer @layer's pairs; @seen has a byte per coordinate. */
static int check_layer(const struct tq_given *g, uint32_t layer, uint8_t *seen)
{
	const uint32_t *pair = g->pairs + (size_t)layer * 2 * g->npairs;
	const float *angle = g->angles + (size_t)layer * g->npairs;
	uint32_t t;

	memset(seen, 0, g->dim);
	for (t = 0; t < 2 * g->npairs; t++) {
		if (pair[t] >= g->dim)
			return tq_fail(TQ_ERR_ARG, "given.pairs: layer %u pair %u: coordinate %u of %u", layer,
				       t / 2, pair[t], g->dim);
		if (seen[pair[t]])
			return tq_fail(TQ_ERR_ARG, "given.pairs: layer %u pair %u: coordinate %u is in the layer "
				       "already", layer, t / 2, pair[t]);
		seen[pair[t]] = 1;
	}
	for (t = 0; t < g->npairs; t++) {
		if (!isfinite(angle[t]))
			return tq_fail(TQ_ERR_NONFINITE, "given.angles: layer %u pair %u is not finite", layer, t);
		if (fabsf(angle[t]) > TQ_GIVEN_ANGLE_MAX)
			return tq_fail(TQ_ERR_RANGE, "given.angles: layer %u pair %u is %g, beyond +-%g", layer, t,
				       (double)angle[t], (double)TQ_GIVEN_ANGLE_MAX);
	}
	return TQ_OK;
}

static int check_pairs(struct tq_context *ctx, const struct tq_given *g)
{
	int ret = TQ_OK;
	uint8_t *seen;
	uint32_t l;

	if (g->layers > TQ_GIVEN_LAYERS_MAX)
		return tq_fail(TQ_ERR_ARG, "given.layers: %u is above %d", g->layers, TQ_GIVEN_LAYERS_MAX);
	if (!g->npairs || g->npairs > g->dim / 2)
		return tq_fail(TQ_ERR_ARG, "given.npairs: %u is not in 1..%u", g->npairs, g->dim / 2);
	if (!g->pairs || !g->angles)
		return tq_fail(TQ_ERR_ARG, "given.%s is NULL, but there are layers", g->pairs ? "angles" : "pairs");
	seen = tq_alloc(ctx, g->dim);
	if (!seen)
		return TQ_ERR_NOMEM;
	for (l = 0; !ret && l < g->layers; l++)
		ret = check_layer(g, l, seen);
	tq_free(ctx, seen);
	return ret;
}

/* The library's rotation by its word in a spec, and that word as a spec prints it. */
static int read_word(const struct tq_given *g, struct tq_spec *spec)
{
	char text[TQ_ROTATION_NAME_MAX + 24];
	const char *word = g->rotation ? g->rotation : "none";

	tq_spec_init(spec);
	if (strlen(word) > TQ_ROTATION_NAME_MAX || strcspn(word, " \t\r\n,=") != strlen(word))
		return tq_fail(TQ_ERR_SPEC, "given.rotation: '%.40s' is no rotation", word);
	snprintf(text, sizeof(text), "rotation=%s", word);
	if (tq_spec_parse(spec, text))
		return tq_fail(TQ_ERR_SPEC, "given.rotation: %.300s", tq_error_text());
	if (strcmp(spec->rotation, "rht") && strcmp(spec->rotation, "haar") &&
	    strcmp(spec->rotation, "givens") && strcmp(spec->rotation, "none"))
		return tq_fail(TQ_ERR_SPEC, "given.rotation: '%s' is none of rht, haar, givens, none", word);
	return tq_spec_check(spec, g->dim);
}

static uint64_t table_bytes(const struct tq_given *g)
{
	uint64_t d = g->dim;

	return g->matrix ? 2 * sizeof(float) * d * d : 2 * sizeof(float) * d * g->layers;
}

static int check(struct tq_context *ctx, const struct tq_given *g, struct tq_spec *word)
{
	uint64_t bytes = table_bytes(g), limit = ctx->config->memory_limit;
	int ret;

	if (g->struct_size < sizeof(*g))
		return tq_fail(TQ_ERR_ARG, "given.struct_size: %u is not %zu", g->struct_size, sizeof(*g));
	if (g->dim < 1 || g->dim > TQ_MAX_DIM)
		return tq_fail(TQ_ERR_ARG, "given.dim: %u is not in 1..%d", g->dim, TQ_MAX_DIM);
	if (!!g->matrix + !!g->layers + !!g->rotation > 1)
		return tq_fail(TQ_ERR_ARG, "given: a matrix, layers of pairs or the name of a rotation: one of them");
	if (bytes > limit)
		return tq_fail(TQ_ERR_FULL, "memory_limit is %" PRIu64 " bytes; the given tables take %" PRIu64,
			       limit, bytes);
	ret = g->scales ? check_scales(g) : TQ_OK;
	if (ret)
		return ret;
	if (g->matrix)
		return check_matrix(g);
	return g->layers ? check_pairs(ctx, g) : read_word(g, word);
}

/* ---- the checksum ---- */

static uint32_t sum_u32(uint32_t crc, const void *words, size_t n)
{
	const char *at = words;
	uint8_t bytes[4];
	uint32_t v;

	for (; n; n--, at += 4) {
		memcpy(&v, at, sizeof(v));
		bytes[0] = (uint8_t)v;
		bytes[1] = (uint8_t)(v >> 8);
		bytes[2] = (uint8_t)(v >> 16);
		bytes[3] = (uint8_t)(v >> 24);
		crc = tq_crc32c(crc, bytes, sizeof(bytes));
	}
	return crc;
}

static uint32_t sum_of(const struct tq_given *g, const struct tq_spec *word)
{
	uint32_t kind = g->matrix ? TQ_ROT_DENSE : g->layers ? TQ_ROT_GIVENS : 0;
	uint32_t head[] = { SUM_VERSION, g->dim, g->scales ? kind + SUM_SCALED : kind, g->layers,
			    g->layers ? g->npairs : 0 };
	size_t d = g->dim, n = (size_t)g->layers * g->npairs;
	uint32_t crc = sum_u32(0, head, sizeof(head) / sizeof(head[0]));

	if (g->scales)
		crc = sum_u32(crc, g->scales, d);
	if (g->matrix)
		crc = sum_u32(crc, g->matrix, d * d);
	if (g->layers) {
		crc = sum_u32(crc, g->pairs, 2 * n);
		crc = sum_u32(crc, g->angles, n);
	}
	if (!g->matrix && !g->layers) {
		crc = tq_crc32c(crc, word->rotation, strlen(word->rotation));
		crc = sum_u32(crc, &word->rotation_arg, 1);
	}
	return crc ? crc : 1;
}

/* ---- the tables ---- */

/* Taylor's sine and cosine of |r| <= pi/4 and a bit, after whole quarter turns in two parts were taken off. */
void tq_given_turn(float angle, float *cosine, float *sine)
{
	double turns = floor((double)angle * 0.63661977236758134 + 0.5), r, z, s, c;
	int k, quarter = (int)turns & 3;

	r = ((double)angle - turns * 1.5707963267341256) - turns * 6.0771005065061922e-11;
	z = r * r;
	for (s = 1.0, k = 17; k >= 3; k -= 2)
		s = 1.0 - s * (z / (double)(k * (k - 1)));
	s = s * r;
	for (c = 1.0, k = 18; k >= 2; k -= 2)
		c = 1.0 - c * (z / (double)(k * (k - 1)));
	*cosine = (float)(quarter == 0 ? c : quarter == 1 ? -s : quarter == 2 ? -c : s);
	*sine = (float)(quarter == 0 ? s : quarter == 1 ? c : quarter == 2 ? -s : -c);
}

/* One layer as the library's givens have it: pairs side by side, what has none at the end, turned by nothing. */
static void fill_layer(const struct tq_given *g, uint32_t layer, uint8_t *seen, uint32_t *order,
		       float *cosines, float *sines)
{
	const uint32_t *pair = g->pairs + (size_t)layer * 2 * g->npairs;
	const float *angle = g->angles + (size_t)layer * g->npairs;
	uint32_t t, i, n;

	memset(seen, 0, g->dim);
	for (t = 0; t < g->npairs; t++)
		tq_given_turn(angle[t], &cosines[t], &sines[t]);
	for (; t < g->dim / 2; t++) {
		cosines[t] = 1.0f;
		sines[t] = 0.0f;
	}
	for (n = 0; n < 2 * g->npairs; n++) {
		order[n] = pair[n];
		seen[pair[n]] = 1;
	}
	for (i = 0; i < g->dim; i++)
		if (!seen[i])
			order[n++] = i;
}

static int fill_pairs(struct tq_context *ctx, const struct tq_given *g, const struct tq_rotation *rot)
{
	size_t d = g->dim, half = d / 2;
	uint8_t *seen = tq_alloc(ctx, d);
	uint32_t l;

	if (!seen)
		return TQ_ERR_NOMEM;
	for (l = 0; l < g->layers; l++)
		fill_layer(g, l, seen, (uint32_t *)(uintptr_t)rot->order + l * d,
			   (float *)(uintptr_t)rot->cosines + l * half, (float *)(uintptr_t)rot->sines + l * half);
	tq_free(ctx, seen);
	return TQ_OK;
}

static int make_table(struct tq_context *ctx, const struct tq_given *g, struct tq_given_entry *e)
{
	struct tq_rotation *rot = &e->table;
	int ret;

	if (g->scales) {
		e->scales = tq_alloc(ctx, g->dim * sizeof(*e->scales));
		if (!e->scales)
			return TQ_ERR_NOMEM;
		memcpy(e->scales, g->scales, g->dim * sizeof(*e->scales));
	}
	if (g->matrix)
		return tq_rotation_dense(ctx, ROLE_GIVEN, g->matrix, g->dim, e->sum, rot);
	if (!g->layers)
		return TQ_OK;
	ret = tq_rotation_givens(ctx, g->layers, g->dim, rot);
	return ret ? ret : fill_pairs(ctx, g, rot);
}

static void entry_free(struct tq_context *ctx, struct tq_given_entry *e)
{
	if (!e)
		return;
	tq_rotation_destroy(ctx, &e->table);
	tq_free(ctx, e->scales);
	tq_free(ctx, e);
}

static bool same_table(const struct tq_given_entry *a, const struct tq_given_entry *b)
{
	const struct tq_rotation *r = &a->table, *s = &b->table;
	size_t d = a->dim, half = d / 2 * sizeof(float);

	if (a->dim != b->dim || r->kind != s->kind || r->rounds != s->rounds || !a->scales != !b->scales)
		return false;
	if (a->scales && memcmp(a->scales, b->scales, d * sizeof(*a->scales)))
		return false;
	if (r->kind == TQ_ROT_DENSE)
		return !memcmp(r->rows, s->rows, d * d * sizeof(float));
	if (r->kind == TQ_ROT_GIVENS)
		return !memcmp(r->order, s->order, r->rounds * d * sizeof(*r->order)) &&
		       !memcmp(r->cosines, s->cosines, r->rounds * half) &&
		       !memcmp(r->sines, s->sines, r->rounds * half);
	return !strcmp(a->word.rotation, b->word.rotation) && a->word.rotation_arg == b->word.rotation_arg;
}

/* ---- the context's list ---- */

static struct tq_given_entry *find(struct tq_context *ctx, uint32_t sum)
{
	struct tq_given_entry *e;

	for (e = ctx->shared.given; e && e->sum != sum; e = e->next)
		;
	return e;
}

/* Entries are never taken out, nor changed, until the context goes. */
static int keep(struct tq_context *ctx, struct tq_given_entry *e)
{
	struct tq_given_entry *old;
	int ret = TQ_OK;

	pthread_mutex_lock(&ctx->shared.lock);
	old = find(ctx, e->sum);
	if (!old) {
		e->next = ctx->shared.given;
		ctx->shared.given = e;
	} else if (!same_table(e, old)) {
		ret = tq_fail(TQ_ERR_ARG, "given: another rotation of the checksum %u is in the context already", e->sum);
	}
	pthread_mutex_unlock(&ctx->shared.lock);
	if (old)
		entry_free(ctx, e);
	return ret;
}

int tq_given_add(struct tq_context *ctx, const struct tq_given *given, uint32_t *sum)
{
	struct tq_given_entry *e;
	struct tq_spec word = { 0 };
	int ret;

	if (!ctx || !given || !sum)
		return tq_fail(TQ_ERR_ARG, "%s is NULL", !ctx ? "ctx" : !given ? "given" : "sum");
	*sum = 0;
	ret = check(ctx, given, &word);
	if (ret)
		return ret;
	e = tq_alloc(ctx, sizeof(*e));
	if (!e)
		return TQ_ERR_NOMEM;
	e->sum = sum_of(given, &word);
	e->dim = given->dim;
	e->word = word;
	ret = make_table(ctx, given, e);
	if (ret) {
		entry_free(ctx, e);
		return ret;
	}
	*sum = e->sum;
	ret = keep(ctx, e);
	if (ret)
		*sum = 0;
	return ret;
}

int tq_given_rotation(struct tq_context *ctx, uint32_t sum, uint32_t dim, uint64_t seed,
		      struct tq_rotation *rot)
{
	const struct tq_given_entry *e;
	size_t half = dim / 2 * sizeof(float);
	int ret;

	pthread_mutex_lock(&ctx->shared.lock);
	e = find(ctx, sum);
	pthread_mutex_unlock(&ctx->shared.lock);
	if (!e)
		return tq_fail(TQ_ERR_SPEC, "rotation: given:%u: this context has no such numbers; tq_given_add() first",
			       sum);
	if (e->dim != dim)
		return tq_fail(TQ_ERR_SPEC, "rotation: given:%u has %u dimensions, not %u", sum, e->dim, dim);
	if (e->table.kind == TQ_ROT_DENSE)
		return tq_rotation_dense(ctx, ROLE_GIVEN, e->table.rows, dim, sum, rot);
	if (e->table.kind != TQ_ROT_GIVENS)
		return tq_rotation_create(ctx, e->word.rotation, e->word.rotation_arg, dim, seed, rot);
	ret = tq_rotation_givens(ctx, e->table.rounds, dim, rot);
	if (ret)
		return ret;
	memcpy((void *)(uintptr_t)rot->order, e->table.order, e->table.rounds * (size_t)dim * sizeof(*rot->order));
	memcpy((void *)(uintptr_t)rot->cosines, e->table.cosines, e->table.rounds * half);
	memcpy((void *)(uintptr_t)rot->sines, e->table.sines, e->table.rounds * half);
	return TQ_OK;
}

const float *tq_given_scales(struct tq_context *ctx, const struct tq_spec *spec)
{
	const struct tq_given_entry *e;

	if (strcmp(spec->rotation, "given"))
		return NULL;
	pthread_mutex_lock(&ctx->shared.lock);
	e = find(ctx, spec->rotation_arg);
	pthread_mutex_unlock(&ctx->shared.lock);
	return e ? e->scales : NULL;
}

void tq_given_free(struct tq_context *ctx)
{
	struct tq_given_entry *e, *next;

	for (e = ctx->shared.given; e; e = next) {
		next = e->next;
		entry_free(ctx, e);
	}
	ctx->shared.given = NULL;
}
