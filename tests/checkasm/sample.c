/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "checkasm.h"
#include "plan.h"

uint64_t rng_next(uint64_t *s)
{
	uint64_t z = (*s += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

uint32_t rng_below(uint64_t *s, uint32_t n)
{
	return (uint32_t)((rng_next(s) >> 32) * n >> 32);
}

float rng_normal(uint64_t *s)
{
	float sum = -6.0f;
	int i;

	for (i = 0; i < 12; i++)
		sum += (float)(rng_next(s) >> 40) * 0x1p-24f;
	return sum;
}

static uint32_t draw_dim(uint64_t *s, uint32_t most)
{
	static const uint16_t usual[] = {64,  96,   100,  112,	127,  128,  129,  192, 200,
					 255, 256,  257,  320,	384,  512,  576,  768, 960,
					 999, 1000, 1023, 1024, 1025, 1536, 2048, 3072};
	uint32_t d;

	do {
		switch (rng_below(s, 8)) {
		case 0:
			d = 1 + rng_below(s, 16);
			break;
		case 1:
			d = 1 + rng_below(s, 1100);
			break;
		case 2:
		case 3:
			d = 1 + rng_below(s, 140);
			break;
		default:
			d = usual[rng_below(s, sizeof(usual) / sizeof(usual[0]))];
		}
	} while (d > most);
	return d;
}

/* The word between the parentheses of a generic name that is a rotation's, "" if there is none. */
static void rotation_word(const char *name, char *word, size_t size)
{
	const char *p = strchr(name, '(');
	size_t n = p ? strcspn(p + 1, ",)") : 0;

	snprintf(word, size, "%.*s", (int)n, p ? p + 1 : "");
	if (!strcmp(word, "grid") || !strcmp(word, "tcq") || !strcmp(word, "polar") || !strcmp(word, "radix"))
		word[0] = 0;
}

/* A trellis code instead; the definition is slow, so rows are short. */
static void make_trellis(struct trial *t, uint32_t *dim)
{
	struct tq_spec *sp = &t->spec;
	uint64_t *s = &t->rng;

	sp->code = TQ_CODE_TCQ8 + rng_below(s, 2);
	sp->bits = 1 + rng_below(s, 4);
	sp->correction = rng_below(s, 4);
	sp->effort = 0;
	*dim = rng_below(s, 4) ? 8 * (1 + *dim % 50) : 1 + *dim % 400;
}

static void make_polar(struct trial *t)
{
	struct tq_spec *sp = &t->spec;

	sp->code = TQ_CODE_POLAR + rng_below(&t->rng, 4);
	sp->bits = 4;
	sp->correction = rng_below(&t->rng, 4);
	sp->effort = 0;
}

static void make_radix(struct trial *t)
{
	static const uint32_t bits[] = { 2, 3, 3, 4, 5 };
	struct tq_spec *sp = &t->spec;

	sp->code = TQ_CODE_LM1_6 + rng_below(&t->rng, 5);
	sp->bits = bits[sp->code - TQ_CODE_LM1_6];
	sp->correction = rng_below(&t->rng, 4);
}

/* Rows of few single bits, for which there are kernels that a free draw seldom meets */
static void make_bits(struct trial *t, uint32_t *dim)
{
	struct tq_spec *sp = &t->spec;
	uint64_t *s = &t->rng;

	sp->code = TQ_CODE_LM;
	sp->bits = 1;
	sp->correction = rng_below(s, 4);
	sp->center = rng_below(s, 4) ? TQ_CENTER_OFF : rng_below(s, 3);
	sp->scale = rng_below(s, 4) ? TQ_F32 : rng_below(s, 3);
	sp->query = TQ_QUERY_AUTO;
	*dim = 32 * (1 + rng_below(s, 4)) - (rng_below(s, 2) ? 0 : rng_below(s, 12));
}

/* Rows that fit registers as a whole, for which there are kernels too */
static void make_small(struct trial *t, uint32_t *dim)
{
	static const uint16_t dims[] = { 48, 64, 96, 128, 192, 256 };
	struct tq_spec *sp = &t->spec;
	uint64_t *s = &t->rng;

	sp->code = TQ_CODE_LM;
	sp->bits = 1 + rng_below(s, 4);
	sp->correction = rng_below(s, 4);
	sp->center = rng_below(s, 4) ? TQ_CENTER_OFF : TQ_CENTER_DATA;
	sp->effort = 0;
	*dim = dims[rng_below(s, sizeof(dims) / sizeof(dims[0]))];
}

static void draw_spec(struct trial *t, uint32_t *dim)
{
	struct tq_spec *sp = &t->spec;
	uint64_t *s = &t->rng;
	uint32_t most = 4096;
	char word[TQ_ROTATION_NAME_MAX];

	tq_spec_init(sp);
	rotation_word(t->drv->name, word, sizeof(word));
	sp->code = TQ_CODE_LM + rng_below(s, 5) / 4;
	sp->bits = 1 + rng_below(s, 8);
	sp->correction = rng_below(s, 5) ? rng_below(s, 4) : 4 + rng_below(s, 3);
	sp->effort = rng_below(s, 3);
	sp->center = rng_below(s, 2) ? TQ_CENTER_OFF : rng_below(s, 3);
	sp->scale = rng_below(s, 2) ? TQ_F32 : rng_below(s, 3);
	sp->query = rng_below(s, 4);
	sp->seed = rng_next(s);
	snprintf(sp->rotation, sizeof(sp->rotation), "%s", word[0] ? word : "rht");
	sp->rotation_arg = strcmp(sp->rotation, "rht") ? 0 : 1 + rng_below(s, 3);
	if (!strcmp(word, "dense") || sp->correction == TQ_CORR_QJL_GAUSS ||
	    sp->correction == TQ_CORR_QJL_ORTHO)
		most = 300;
	if (!strcmp(word, "dense"))
		snprintf(sp->rotation, sizeof(sp->rotation), "haar");
	if (!strcmp(word, "givens"))
		sp->rotation_arg = 1 + rng_below(s, 6);
	if (sp->bits == 1 && !rng_below(s, 2) && sp->correction <= TQ_CORR_UNBIASED)
		sp->code = TQ_CODE_SIGN;
	*dim = draw_dim(s, most);
	if (t->op == OP_SCORE && !rng_below(s, 5))
		make_bits(t, dim);
	if (t->op == OP_ENCODE && rng_below(s, 2))
		make_small(t, dim);
	if (strstr(t->drv->name, "tcq)"))
		make_trellis(t, dim);
	if (strstr(t->drv->name, "polar)"))
		make_polar(t);
	if (strstr(t->drv->name, "radix)"))
		make_radix(t);
}

/* The same questions that the core asks before it lets a driver serve a plan. */
static int served(const struct tq_driver *d, const struct tq_plan *p)
{
	char why[160] = "";

	if (d->dim_min && p->dim < d->dim_min)
		return 0;
	if (d->dim_max && p->dim > d->dim_max)
		return 0;
	if (d->rotation_ops)
		return 1;
	if (d->bits && !(d->bits & 1u << p->index_bits))
		return 0;
	if (d->corrections && !(d->corrections & 1u << p->correction))
		return 0;
	if (p->effort > d->effort_max && strncmp(d->name, "score", 5))
		return 0;
	return !d->supports || d->supports(p, why, sizeof(why));
}

static int op_defined(const struct trial *t)
{
	const struct tq_plan *p = t->plan;

	if (t->op == OP_SCORE_BLOCKS)
		return tq_block_bytes(p) != 0;
	if (t->op == OP_SCORE_PAIRS)
		return p->index_bits > 0 && p->center != TQ_CENTER_DATA;
	return 1;
}

int trial_draw(struct trial *t)
{
	uint32_t dim, i;
	int tries;

	for (tries = 0; tries < 400; tries++) {
		draw_spec(t, &dim);
		if (tq_spec_check(&t->spec, dim))
			continue;
		t->centre = NULL;
		if (t->spec.center != TQ_CENTER_OFF) {
			t->centre = malloc(dim * sizeof(float));
			for (i = 0; i < dim; i++)
				t->centre[i] = 0.25f * rng_normal(&t->rng);
		}
		if (tq_plan_create(t->ctx, &t->spec, dim, t->centre, &t->plan)) {
			snprintf(t->why, sizeof(t->why), "plan: %s", tq_error_text());
			free(t->centre);
			return 0;
		}
		t->rot = &t->plan->rotation;
		if (served(t->drv, t->plan) && op_defined(t))
			return 1;
		trial_free(t);
	}
	return 0;
}

void trial_free(struct trial *t)
{
	tq_plan_destroy(t->ctx, t->plan);
	free(t->centre);
	t->plan = NULL;
	t->centre = NULL;
}

void trial_vectors(struct trial *t, float *x, size_t stride, size_t dim, size_t n)
{
	uint64_t *s = &t->rng;
	uint32_t usual = rng_below(s, 2); /* rows that one product scales, which some kernels want of all at once */
	size_t r, i;
	float *v, size, g;

	for (r = 0; r < n; r++) {
		uint32_t kind = rng_below(s, 12);

		if (usual && (kind == 3 || kind == 5))
			kind = 0;
		v = x + r * stride;
		size = kind == 1 ? 1e-30f : kind == 2 ? 1e30f : kind == 3 ? 1e-41f : 1.0f;
		for (i = 0; i < dim; i++) {
			g = rng_normal(s);
			if (kind == 4)
				g = g * g * g;
			if (kind == 5)
				g = 0.0f;
			if (kind == 6)
				g = i == dim / 3 ? -3.0f : 0.0f;
			if (kind == 7)
				g = -1.0f;
			if (kind == 8)
				g = (i & 1) ? -0.0f : g;
			if (kind == 9)
				g = g * tq_pow2((int)rng_below(s, 60) - 50);
			v[i] = g * size;
		}
	}
}

static void draw_scale(struct trial *t, uint8_t *at)
{
	uint64_t *s = &t->rng;
	float g = rng_normal(s), v = (g < 0 ? -g : g) * tq_pow2((int)rng_below(s, 12) - 8);

	if (!rng_below(s, 12))
		v = 0.0f;
	if (!rng_below(s, 24))
		v = 1e-40f;
	tq_store_element(at, (int)t->plan->scale, 0, v);
}

static void draw_bits(struct trial *t, uint8_t *at, size_t bytes, uint32_t used_bits)
{
	size_t i;

	for (i = 0; i < bytes; i++)
		at[i] = (uint8_t)rng_next(&t->rng);
	if (used_bits & 7)
		at[bytes - 1] &= (uint8_t)((1u << (used_bits & 7)) - 1u);
}

void trial_codes(struct trial *t, uint8_t *codes, size_t n)
{
	const struct tq_layout *l = &t->plan->layout;
	uint32_t dim = t->plan->dim, k;
	float cross;
	size_t r;

	for (r = 0; r < n; r++, codes += l->row_bytes) {
		draw_scale(t, codes);
		if (l->cross_at != TQ_NO_FIELD) {
			cross = rng_normal(&t->rng);
			memcpy(codes + l->cross_at, &cross, sizeof(cross));
		}
		if (l->rnorm_at != TQ_NO_FIELD && l->rnorm_at != l->scale_at)
			draw_scale(t, codes + l->rnorm_at);
		for (k = 0; k < l->nsections; k++)
			draw_bits(t, codes + l->section[k].at, l->section[k].bytes,
				  (uint32_t)tq_section_bits(t->plan, k));
		if (l->sketch_at != TQ_NO_FIELD)
			draw_bits(t, codes + l->sketch_at, l->sketch_bytes, dim);
	}
}

int trial_differ(struct trial *t, const char *what, const void *want, const void *got, size_t size,
		 size_t element)
{
	const uint8_t *w = want, *g = got;
	uint32_t a = 0, b = 0;
	size_t i;

	if (!memcmp(want, got, size))
		return 0;
	for (i = 0; w[i] == g[i]; i++)
		;
	i = i / element * element;
	memcpy(&a, w + i, element);
	memcpy(&b, g + i, element);
	snprintf(t->why, sizeof(t->why), "%s: element %zu is %0*x, scalar has %0*x", what,
		 i / element, (int)element * 2, (unsigned)b, (int)element * 2, (unsigned)a);
	return 1;
}
