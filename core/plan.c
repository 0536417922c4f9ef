/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A spec made ready for one dimension: every table that a driver may need.
 */

#include "context.h"
#include "plan.h"
#include "rotation.h"
#include "tq/polar.h"
#include "tq/radix.h"

/* The plan and what it points to; the plan comes first. */
struct owned_plan {
	struct tq_plan plan;
	char rotation_name[TQ_ROTATION_NAME_MAX];
	struct tq_polar polar;
	struct tq_radix radix;
	float *centre;
};

static uint32_t query_kind(const struct tq_spec *spec, uint32_t index_bits)
{
	if (spec->query != TQ_QUERY_AUTO)
		return spec->query;
	return index_bits <= 4 ? TQ_QUERY_S8 : TQ_QUERY_S16;
}

static void set_trellis(struct tq_plan *plan)
{
	const struct tq_trellis *t = tq_trellis_of(plan->code, plan->index_bits);

	if (!t)
		return;
	plan->window = t->window;
	plan->trellis = t->odd;
}

static void set_polar(struct owned_plan *own)
{
	if (!tq_polar_radius_bits(own->plan.code))
		return;
	tq_polar_fill(own->plan.code, &own->polar);
	own->plan.polar = &own->polar;
}

static void set_radix(struct owned_plan *own)
{
	struct tq_plan *plan = &own->plan;

	if (!tq_radix_width(plan->code))
		return;
	tq_radix_fill(plan->code, plan->dim, &plan->codebook, &own->radix);
	plan->radix = &own->radix;
}

static int copy_centre(struct tq_context *ctx, struct owned_plan *own, const float *centre)
{
	struct tq_plan *plan = &own->plan;

	if (plan->center == TQ_CENTER_OFF)
		return TQ_OK;
	own->centre = tq_alloc(ctx, sizeof(float) * plan->dim);
	if (!own->centre)
		return TQ_ERR_NOMEM;
	memcpy(own->centre, centre, sizeof(float) * plan->dim);
	plan->centre = own->centre;
	plan->centre_norm2 = tq_dot16(centre, centre, plan->dim);
	return TQ_OK;
}

int tq_plan_create(struct tq_context *ctx, const struct tq_spec *spec, uint32_t dim,
		   const float *centre, struct tq_plan **out)
{
	struct owned_plan *own;
	struct tq_plan *plan;
	int ret;

	own = tq_alloc(ctx, sizeof(*own));
	if (!own)
		return TQ_ERR_NOMEM;
	plan = &own->plan;
	plan->struct_size = sizeof(*plan);
	plan->dim = dim;
	plan->index_bits = tq_spec_index_bits(spec);
	plan->code = spec->code;
	plan->correction = spec->correction;
	plan->effort = spec->effort;
	plan->center = spec->center;
	plan->scale = spec->scale;
	plan->query = query_kind(spec, plan->index_bits);
	tq_layout_build(spec, dim, &plan->layout);
	set_trellis(plan);
	set_polar(own);
	memcpy(own->rotation_name, spec->rotation, sizeof(own->rotation_name));
	ret = copy_centre(ctx, own, centre);
	if (!ret)
		ret = tq_shared_codebook(ctx, plan->code, plan->index_bits, dim, &plan->codebook);
	if (!ret)
		ret = tq_rotation_create(ctx, own->rotation_name, spec->rotation_arg, dim,
					 spec->seed, &plan->rotation);
	if (!ret)
		ret = tq_sketch_create(ctx, spec->correction, dim, spec->seed, &plan->sketch);
	if (ret)
		goto err_free_plan;
	set_radix(own);
	*out = plan;
	return TQ_OK;

err_free_plan:
	tq_plan_destroy(ctx, plan);
	return ret;
}

void tq_plan_destroy(struct tq_context *ctx, struct tq_plan *plan)
{
	struct owned_plan *own = (struct owned_plan *)plan;

	if (!plan)
		return;
	tq_rotation_destroy(ctx, &plan->rotation);
	tq_rotation_destroy(ctx, &plan->sketch);
	tq_free(ctx, own->centre);
	tq_free(ctx, own);
}
