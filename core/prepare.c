/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Query preparation: load, rotate, quantize to integers, hand to the score driver: FORMAT.md section 6.
 */

#include "compose.h"
#include "tile.h"

/* What loops do at a time; rooms are multiples of 64 */
#define LANES 16

/* A query's integers, or floats: one of the query itself, one of its sketch. */
struct part {
	float scale;
	int64_t sum;
	const int8_t *hi, *lo;
	const float *y;
};

/* The query scaled by a power of two into @y, which has @room, and what the centre adds to every score. */
static int query_load(const struct tq_pipeline *pipe, const float *x, float *y, size_t room, float *add)
{
	const struct tq_plan *plan = pipe->plan;
	size_t d = plan->dim, i;
	int e;

	memcpy(y, x, d * sizeof(*y));
	memset(y + d, 0, (room - d) * sizeof(*y));
	*add = 0.0f;
	if (plan->center != TQ_CENTER_OFF)
		*add = tq_dot16(plan->centre, y, d);
	if (plan->center == TQ_CENTER_BOTH) {
		*add = *add - plan->centre_norm2;
		for (i = 0; i < d; i++)
			y[i] = y[i] - plan->centre[i];
	}
	e = tq_settle(y, room);
	if (!pipe->scales)
		return e;
	for (i = 0; i < d; i++)
		y[i] = y[i] * pipe->scales[i];
	return e + tq_settle(y, room);
}

/* @y, @n of them, a multiple of 64, to one or two planes; returns the step: y ~ q * step. */
static float to_planes(const float *y, size_t n, unsigned planes, int8_t *hi, int8_t *lo,
		       int64_t *sum)
{
	float max = tq_bits_f32(tq_largest_bits(y, n)), top = planes == 2 ? 16256.0f : 127.0f, inv;
	int32_t q[LANES], lane[LANES] = {0};
	size_t i, j;

	if (!(max >= TQ_TINY))
		return 0.0f;
	inv = top / max;
	for (i = 0; i < n; i += LANES) {
		for (j = 0; j < LANES; j++)
			q[j] = (int32_t)tq_rint(y[i + j] * inv);
		for (j = 0; j < LANES; j++)
			lane[j] += q[j];
		if (planes == 2)
			for (j = 0; j < LANES; j++) {
				hi[i + j] = (int8_t)((q[j] + 64) >> 7);
				lo[i + j] = (int8_t)(((q[j] + 64) & 127) - 64);
			}
		else
			for (j = 0; j < LANES; j++)
				hi[i + j] = (int8_t)q[j];
	}
	for (j = 0; j < LANES; j++)
		*sum += lane[j];
	return max / top;
}

/*
 * One part from the row @y, which has room for @room floats; @bytes has room for two planes. @unit is
 * what an integer or float of one counts: the half step of the levels, the constant of the sketch.
 */
static void part_make(const struct tq_plan *plan, float *y, size_t room, int8_t *bytes, float unit,
		      int exponent, struct part *part)
{
	size_t d = plan->dim;
	int8_t *hi = bytes, *lo = bytes + room;
	unsigned planes = plan->query == TQ_QUERY_S16 ? 2 : 1;
	float scale = unit;

	memset(part, 0, sizeof(*part));
	memset(y + d, 0, (room - d) * sizeof(*y));
	if (plan->query == TQ_QUERY_F32) {
		part->y = y;
	} else {
		memset(bytes, 0, 2 * room);
		scale = to_planes(y, room, planes, hi, lo, &part->sum) * unit;
		part->hi = hi;
		part->lo = planes == 2 ? lo : NULL;
	}
	part->scale = tq_scale_up(scale, exponent);
}

/* Packed once, or @nadds times with another number to add to every score in place of the centre's. */
static int prepare_one(const struct tq_pipeline *pipe, struct tq_tile *tile, const float *x,
		       const float *adds, size_t nadds, char *packed)
{
	const struct tq_served *score = &pipe->op[TQ_OP_SCORE];
	const struct tq_map *rotation = &pipe->rotation, *sketch = &pipe->sketch;
	const struct tq_plan *plan = pipe->plan;
	struct tq_query q = { .struct_size = sizeof(q) };
	int8_t *bytes = (int8_t *)tile->x;
	struct part part;
	size_t i;
	int e;

	e = query_load(pipe, x, tile->x, tile->room, &q.add);
	if (!isfinite(q.add))
		return TQ_ERR_RANGE;
	rotation->ops->rotate(rotation->rot, rotation->state, tile->x, tile->y, 1, tile->scratch);
	if (sketch->ops)
		sketch->ops->rotate(sketch->rot, sketch->state, tile->y, tile->z, 1, tile->scratch);
	q.planes = plan->query == TQ_QUERY_F32 ? 0 : plan->query == TQ_QUERY_S16 ? 2 : 1;
	part_make(plan, tile->y, tile->room, bytes, plan->codebook.half_step, e, &part);
	if (pipe->scales && part.scale >= TQ_SCALE_LIMIT)
		return TQ_ERR_RANGE;
	q.scale = part.scale;
	q.sum = part.sum;
	q.hi = part.hi;
	q.lo = part.lo;
	q.y = part.y;
	if (sketch->ops) {
		part_make(plan, tile->z, tile->room, bytes + 2 * tile->room, pipe->coef, e, &part);
		q.sketch_scale = part.scale;
		q.sketch_sum = part.sum;
		q.sketch_hi = part.hi;
		q.sketch_lo = part.lo;
		q.sketch_y = part.y;
	}
	for (i = 0; i < nadds; i++) {
		if (adds)
			q.add = adds[i];
		score->ops->query_pack(plan, score->state, &q, packed + i * pipe->query_bytes);
	}
	return TQ_OK;
}

int tq_pipeline_prepare(const struct tq_pipeline *pipe, const float *x, size_t stride, size_t nq,
			void *prepared)
{
	return tq_pipeline_prepare_adds(pipe, x, stride, nq, NULL, 1, prepared);
}

int tq_pipeline_prepare_adds(const struct tq_pipeline *pipe, const float *x, size_t stride,
			     size_t nq, const float *adds, size_t nadds, void *prepared)
{
	struct tq_tile_stack stack;
	struct tq_tile tile;
	size_t i;
	int ret;

	ret = tq_tile_open(pipe->ctx, pipe->plan->dim, &stack, &tile);
	if (ret)
		return ret;
	for (i = 0; !ret && i < nq; i++) {
		ret = prepare_one(pipe, &tile, x + i * stride, adds ? adds + i * nadds : NULL, nadds,
				  (char *)prepared + i * nadds * pipe->query_bytes);
		if (ret)
			tq_fail_row(ret, i, "x: query %zu times the %s exceeds a float", i, tq_pipeline_factor(pipe));
	}
	tq_tile_close(pipe->ctx, &tile);
	return ret ? ret : tq_pipeline_failed(pipe);
}
