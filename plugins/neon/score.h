/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_NEON_SCORE_H
#define TQ_NEON_SCORE_H

/*
 * From sums to scores, four rows at once, in the order of operations of tq_score_finish().
 */

#include "query.h"

/** One call: @ids are row numbers, or NULL for rows 0 .. @n - 1 */
struct score_job {
	const struct tq_plan *plan;
	const struct neon_tables *tab;
	const char *packed;
	size_t nq;
	const uint8_t *codes;
	const uint32_t *ids;
	size_t n;
	float *scores;
	size_t ld;
};

/** The float fields of four rows; zero where the plan lacks one. */
struct row_fields {
	float32x4_t scale, rnorm, cross;
};

/**
 * struct row_shape - what the end of a score needs of a plan, apart from it: a store of scores may
 * not be seen to change it
 */
struct row_shape {
	size_t bytes;
	uint32_t scale_at, rnorm_at, cross_at, dtype, center, levels;
};

NEON_INLINE struct row_shape row_shape_of(const struct tq_plan *plan)
{
	struct row_shape s = {
		.bytes = plan->layout.row_bytes,
		.scale_at = plan->layout.scale_at,
		.rnorm_at = plan->layout.rnorm_at,
		.cross_at = plan->layout.cross_at,
		.dtype = plan->scale,
		.center = plan->center,
		.levels = plan->index_bits,
	};

	return s;
}

/** row_addresses - rows @j .. @j + 3; past the end the last one again */
NEON_INLINE void row_addresses(const struct score_job *job, size_t row_bytes, size_t j,
			       const uint8_t **row)
{
	size_t k, at;

	if (!job->ids && j + ROWS <= job->n) {
		row[0] = job->codes + j * row_bytes;
		for (k = 1; k < ROWS; k++)
			row[k] = row[k - 1] + row_bytes;
		return;
	}
	for (k = 0; k < ROWS; k++) {
		at = j + k < job->n ? j + k : job->n - 1;
		if (job->ids)
			at = job->ids[at];
		row[k] = job->codes + at * row_bytes;
	}
}

/* A field of four rows: of type plan->scale, or float */
NEON_INLINE float32x4_t field_of_rows(const uint8_t *const *row, size_t at, uint32_t dtype)
{
	uint32x4_t full = vdupq_n_u32(0);
	uint16x4_t half = vdup_n_u16(0);

	if (dtype == TQ_F32) {
		full = vld1q_lane_u32((const void *)(row[0] + at), full, 0);
		full = vld1q_lane_u32((const void *)(row[1] + at), full, 1);
		full = vld1q_lane_u32((const void *)(row[2] + at), full, 2);
		full = vld1q_lane_u32((const void *)(row[3] + at), full, 3);
		return vreinterpretq_f32_u32(full);
	}
	half = vld1_lane_u16((const void *)(row[0] + at), half, 0);
	half = vld1_lane_u16((const void *)(row[1] + at), half, 1);
	half = vld1_lane_u16((const void *)(row[2] + at), half, 2);
	half = vld1_lane_u16((const void *)(row[3] + at), half, 3);
	if (dtype == TQ_F16)
		return vcvt_f32_f16(vreinterpret_f16_u16(half));
	return vreinterpretq_f32_u32(vshll_n_u16(half, 16));
}

NEON_INLINE void row_fields_load(const struct row_shape *s, const uint8_t *const *row,
				 struct row_fields *f)
{
	f->rnorm = f->cross = vdupq_n_f32(0.0f);
	f->scale = field_of_rows(row, s->scale_at, s->dtype);
	if (s->rnorm_at != TQ_NO_FIELD)
		f->rnorm = field_of_rows(row, s->rnorm_at, s->dtype);
	if (s->cross_at != TQ_NO_FIELD)
		f->cross = field_of_rows(row, s->cross_at, TQ_F32);
}

/** score_finish - tq_score_finish() of four rows */
NEON_INLINE float32x4_t score_finish(const struct row_shape *shape, const struct query_head *head,
				     const struct row_fields *f, float32x4_t a, float32x4_t b)
{
	float32x4_t s = vdupq_n_f32(0.0f);

	if (shape->levels)
		s = vmulq_f32(vmulq_n_f32(a, head->scale), f->scale);
	if (shape->rnorm_at != TQ_NO_FIELD)
		s = vaddq_f32(s, vmulq_f32(vmulq_n_f32(b, head->sketch_scale), f->rnorm));
	if (shape->center != TQ_CENTER_OFF)
		s = vaddq_f32(s, vdupq_n_f32(head->add));
	if (shape->center == TQ_CENTER_BOTH)
		s = vaddq_f32(s, f->cross);
	return s;
}

/** store_scores - the first @n of four */
NEON_INLINE void store_scores(float *to, float32x4_t s, size_t n)
{
	if (n >= 4)
		vst1q_f32(to, s);
	else
		store_part16((uint8_t *)to, vreinterpretq_u8_f32(s), 4 * n);
}

/** neon_score_float - scores of float queries */
void neon_score_float(const struct score_job *job);

#endif
