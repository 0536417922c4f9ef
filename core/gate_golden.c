/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The golden sums of the numpy reference: the driver in its place among scalar's stages must give the
 * bytes, the decoded floats and the scores that a second implementation gave. This is what scalar
 * itself is held to. The plans are made once per context.
 */
#include <stdio.h>
#include <string.h>
#include "gate.h"
#include "golden.h"
#include "rng.h"
#include "select.h"
#include "selftest.h"

#define NGOLDEN (sizeof(tq_goldens) / sizeof(tq_goldens[0]))
#define GOLDEN_ROLE 0x200
#define GOLDEN_SEED 7
/* Before first use a driver gets only so many: a plan takes some milliseconds to make. */
#define FEW 4

struct tq_gate {
	struct tq_plan *plan[NGOLDEN];
};

static int golden_plan(struct tq_context *ctx, size_t i, const struct tq_spec *spec, const struct tq_plan **plan)
{
	struct tq_gate *gate = ctx->registry->gate;
	int err;

	if (!gate)
		gate = ctx->registry->gate = tq_alloc(ctx, sizeof(*gate));
	if (!gate)
		return TQ_ERR_NOMEM;
	if (!gate->plan[i]) {
		err = tq_plan_create(ctx, spec, tq_goldens[i].dim, NULL, &gate->plan[i]);
		if (err)
			return err;
	}
	*plan = gate->plan[i];
	return TQ_OK;
}

void tq_gate_free(struct tq_context *ctx)
{
	struct tq_gate *gate = ctx->registry->gate;
	size_t i;

	for (i = 0; gate && i < NGOLDEN; i++)
		tq_plan_destroy(ctx, gate->plan[i]);
	tq_free(ctx, gate);
	ctx->registry->gate = NULL;
}

/* Is it a driver for codes of @family? What a rotation gives shows in the grid's codes. */
static bool is_of(const struct tq_entry *e, const char *family)
{
	const char *name = e->driver->name;
	char tail[16];

	if (!strncmp(name, "rotate(", 7))
		return !strcmp(family, "grid");
	snprintf(tail, sizeof(tail), "%s)", family);
	return strstr(name, tail) && strncmp(name, "attend(", 7);
}

static bool has_part(const struct tq_entry *e, const struct tq_plan *plan)
{
	const char *name = e->driver->name, *word;
	size_t n = strlen("rotate(");

	if (!strncmp(name, "rotate(", n)) {
		word = tq_rotation_word(&plan->rotation);
		if (!strncmp(name + n, word, strlen(word)) && name[n + strlen(word)] == ')')
			return true;
		word = tq_rotation_word(&plan->sketch);
		return plan->sketch.kind != TQ_ROT_NONE && !strncmp(name + n, word, strlen(word)) &&
		       name[n + strlen(word)] == ')';
	}
	if (strncmp(name, "encode(", n) && strncmp(name, "decode(", n))
		return true;
	word = tq_rotation_word(&plan->rotation);
	return !strncmp(name + n, word, strlen(word)) && name[n + strlen(word)] == ',';
}

static void score_all(struct tq_gate_bench *b, const struct tq_pipeline *pipe,
		      const struct tq_golden *g, const float *x, const uint8_t *codes, float *scores)
{
	const struct tq_served *score = &pipe->op[TQ_OP_SCORE];
	struct tq_gate_buffer *packed = tq_gate_buffer(b, g->queries * pipe->query_bytes, 0);

	if (b->err)
		return;
	b->err = tq_pipeline_prepare(pipe, x + (size_t)g->rows * g->dim, g->dim, g->queries,
				     packed->at);
	if (!b->err)
		score->ops->score(pipe->plan, score->state, packed->at, g->queries, codes, g->rows,
				  scores, g->rows);
}

static void check(struct tq_gate_bench *b, const struct tq_golden *g, const struct tq_pipeline *pipe)
{
	size_t n = (size_t)(g->rows + g->queries) * g->dim, i;
	size_t bytes = (size_t)g->rows * pipe->plan->layout.row_bytes;
	struct tq_gate_buffer *codes, *decoded, *scores, *normals, *x;
	const char *what = NULL;
	float *v;

	normals = tq_gate_buffer(b, n * sizeof(double), 0);
	x = tq_gate_buffer(b, n * sizeof(float), 0);
	codes = tq_gate_buffer(b, bytes, 0);
	decoded = tq_gate_buffer(b, n * sizeof(float), 0);
	scores = tq_gate_buffer(b, (size_t)g->rows * g->queries * sizeof(float), 0);
	if (b->err)
		return;
	v = (float *)(void *)x->at;
	tq_rng_normals(GOLDEN_SEED, GOLDEN_ROLE, 0, 0, n, (double *)(void *)normals->at);
	for (i = 0; i < n; i++)
		v[i] = (float)((const double *)(const void *)normals->at)[i];
	b->err = tq_pipeline_encode(pipe, v, TQ_F32, g->dim, g->rows, codes->at);
	if (!b->err)
		b->err = tq_pipeline_decode(pipe, codes->at, g->rows, decoded->at, TQ_F32, g->dim);
	if (!b->err)
		score_all(b, pipe, g, v, codes->at, (float *)(void *)scores->at);
	if (b->err)
		return;
	if (tq_crc32c(0, codes->at, bytes) != g->codes_crc)
		what = "codes";
	else if (tq_crc32c(0, decoded->at, (size_t)g->rows * g->dim * 4) != g->decoded_crc)
		what = "decoded rows";
	else if (b->driver->flags & TQ_DRV_BITEXACT &&
		 tq_crc32c(0, scores->at, (size_t)g->rows * g->queries * 4) != g->scores_crc)
		what = "scores";
	if (what)
		tq_gate_fault(b, "golden vectors: wrong %s for \"%s\", d=%u", what, g->spec, g->dim);
}

int tq_gate_test_golden(struct tq_gate_bench *b)
{
	size_t i, left = b->ctx->registry->thorough ? NGOLDEN : FEW;
	uint32_t dim = b->dim;
	char no[TQ_REASON_MAX];
	const struct tq_plan *plan;
	struct tq_pipeline pipe;
	struct tq_spec spec;

	for (i = 0; !b->err && left && i < NGOLDEN; i++) {
		tq_spec_init(&spec);
		b->err = tq_spec_parse(&spec, tq_goldens[i].spec);
		if (b->err || !is_of(b->entry, tq_stage_family(spec.code)))
			continue;
		b->err = golden_plan(b->ctx, i, &spec, &plan);
		if (b->err || !has_part(b->entry, plan) ||
		    !tq_gate_fits(b->entry, plan, no, sizeof(no)))
			continue;
		b->dim = plan->dim;
		b->err = tq_gate_pipeline(b->ctx, b->entry, plan, &pipe);
		if (b->err)
			break;
		check(b, &tq_goldens[i], &pipe);
		tq_pipeline_destroy(&pipe);
		tq_gate_close(b);
		left--;
	}
	b->dim = dim;
	return b->err;
}
