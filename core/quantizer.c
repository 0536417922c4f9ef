/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A quantizer's life, and what it says of itself. rows.c has what it does to rows.
 */

#include <inttypes.h>
#include "codec.h"
#include "conf.h"
#include "context.h"
#include "given.h"

static const char *const rotation_words[] = { "rht", "haar", "givens", "given", "none", NULL };

static int check_centre(const struct tq_spec *spec, uint32_t dim, const float *centre)
{
	uint32_t i;

	if (spec->center == TQ_CENTER_OFF)
		return centre ? tq_fail(TQ_ERR_ARG, "options.centre: the spec says center=off") :
				TQ_OK;
	if (!centre)
		return tq_fail(TQ_ERR_ARG, "options.centre: NULL, but the spec has a centre");
	for (i = 0; i < dim; i++)
		if ((tq_f32_bits(centre[i]) & 0x7f800000u) == 0x7f800000u)
			return tq_fail(TQ_ERR_NONFINITE, "options.centre: element %u is not finite", i);
	if (spec->center == TQ_CENTER_BOTH && !isfinite(tq_dot16(centre, centre, dim)))
		return tq_fail(TQ_ERR_RANGE, "options.centre: its square exceeds a float");
	return TQ_OK;
}

/* Dense matrices are kept by rows and by columns; all else is a few floats a coordinate. */
static uint64_t table_bytes(const struct tq_spec *spec, uint32_t dim)
{
	uint64_t d = dim, dense = 2 * sizeof(float) * d * d, bytes = 0;

	if (!strcmp(spec->rotation, "haar"))
		bytes += dense;
	else if (strcmp(spec->rotation, "given")) /* tq_given_add() has counted its own */
		bytes += 2 * sizeof(float) * d * spec->rotation_arg;
	if (spec->correction == TQ_CORR_QJL_GAUSS || spec->correction == TQ_CORR_QJL_ORTHO)
		bytes += dense;
	return bytes;
}

static int check_memory(struct tq_context *ctx, const struct tq_spec *spec, uint32_t dim)
{
	uint64_t bytes = table_bytes(spec, dim), limit = ctx->config->memory_limit;

	if (bytes <= limit)
		return TQ_OK;
	return tq_fail(TQ_ERR_FULL,
		       "memory_limit is %" PRIu64 " bytes; the tables of rotation=%s at %u dimensions "
		       "take %" PRIu64, limit, spec->rotation, dim, bytes);
}

static int check_args(struct tq_context *ctx, const struct tq_spec *spec, uint32_t dim,
		      const struct tq_quantizer_options *options, struct tq_quantizer **out)
{
	int ret;

	if (!ctx || !spec || !out)
		return tq_fail(TQ_ERR_ARG, "%s is NULL", !ctx ? "ctx" : !spec ? "spec" : "out");
	*out = NULL;
	if (dim == 0)
		return tq_fail(TQ_ERR_ARG, "dim is 0");
	if (options && options->struct_size < sizeof(*options))
		return tq_fail(TQ_ERR_ARG, "options.struct_size: %u is not %zu", options->struct_size,
			       sizeof(*options));
	ret = tq_spec_check(spec, dim);
	if (!ret)
		ret = check_memory(ctx, spec, dim);
	if (ret)
		return ret;
	return check_centre(spec, dim, options ? options->centre : NULL);
}

/* No driver has the rotation: perhaps its name was mistyped. */
static int no_driver(const struct tq_spec *spec, const struct tq_plan *plan, int ret)
{
	const char *near;

	if (ret != TQ_ERR_NO_DRIVER || plan->rotation.kind != TQ_ROT_PLUGIN)
		return ret;
	near = tq_suggest(spec->rotation, rotation_words);
	if (!near)
		return ret;
	return tq_fail(ret, "%.400s; did you mean rotation=%s?", tq_error_text(), near);
}

int tq_quantizer_create(struct tq_context *ctx, const struct tq_spec *spec, uint32_t dim,
			const struct tq_quantizer_options *options, struct tq_quantizer **out)
{
	struct tq_quantizer *q;
	int ret;

	ret = check_args(ctx, spec, dim, options, out);
	if (ret)
		return ret;
	q = tq_alloc(ctx, sizeof(*q));
	if (!q)
		return TQ_ERR_NOMEM;
	q->ctx = ctx;
	q->spec = *spec;
	q->spec.struct_size = sizeof(q->spec);
	ret = tq_plan_create(ctx, spec, dim, options ? options->centre : NULL, &q->plan);
	if (ret)
		goto err_free_quantizer;
	ret = tq_pipeline_create(ctx, q->plan, tq_given_scales(ctx, spec), options ? options->driver : NULL,
				 &q->pipe, &q->why);
	if (ret)
		goto err_free_plan;
	q->hash = tq_codebook_crc(q->plan->code, q->plan->index_bits, &q->plan->codebook);
	*out = q;
	return TQ_OK;

err_free_plan:
	ret = no_driver(spec, q->plan, ret);
	tq_explain_free(ctx, &q->why);
	tq_plan_destroy(ctx, q->plan);
err_free_quantizer:
	tq_free(ctx, q);
	return ret;
}

void tq_quantizer_destroy(struct tq_quantizer *q)
{
	if (!q)
		return;
	tq_pipeline_destroy(&q->pipe);
	tq_plan_destroy(q->ctx, q->plan);
	tq_explain_free(q->ctx, &q->why);
	tq_free(q->ctx, q);
}

uint32_t tq_dim(const struct tq_quantizer *q)
{
	return q->plan->dim;
}

size_t tq_code_size(const struct tq_quantizer *q)
{
	return q->plan->layout.row_bytes;
}

size_t tq_query_size(const struct tq_quantizer *q)
{
	return q->pipe.query_bytes;
}

const struct tq_spec *tq_quantizer_spec(const struct tq_quantizer *q)
{
	return &q->spec;
}

const float *tq_quantizer_centre(const struct tq_quantizer *q)
{
	return q->plan->centre;
}

uint32_t tq_codebook_hash(const struct tq_quantizer *q)
{
	return q->hash;
}

unsigned tq_codebook_levels(const struct tq_quantizer *q, float *levels)
{
	const struct tq_codebook *book = &q->plan->codebook;
	uint32_t k;

	for (k = 0; k < book->count; k++)
		levels[k] = (float)book->odd[k] * book->half_step;
	return book->count;
}

size_t tq_dtype_size(int dtype)
{
	switch (dtype) {
	case TQ_F32:
		return 4;
	case TQ_F16:
	case TQ_BF16:
		return 2;
	default:
		return 0;
	}
}

const char *tq_quantizer_driver(const struct tq_quantizer *q, int stage)
{
	const struct tq_pipeline *p = &q->pipe;
	const struct tq_choice *choice;

	switch (stage) {
	case TQ_STAGE_ROTATE:
		choice = &p->rotation.choice;
		break;
	case TQ_STAGE_SKETCH:
		choice = &p->sketch.choice;
		break;
	case TQ_STAGE_QUANTIZE:
		choice = &p->op[TQ_OP_QUANTIZE].choice;
		break;
	case TQ_STAGE_SCORE:
		choice = &p->op[TQ_OP_SCORE].choice;
		break;
	case TQ_STAGE_ENCODE:
		choice = &p->op[TQ_OP_ENCODE].choice;
		break;
	case TQ_STAGE_DECODE:
		choice = &p->op[TQ_OP_DECODE].choice;
		break;
	default:
		return "";
	}
	return choice->driver ? choice->driver->driver_name : "";
}

void tq_quantizer_explain(const struct tq_quantizer *q, FILE *out)
{
	if (q->why.text)
		fwrite(q->why.text, 1, q->why.used, out);
}
