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

/** row_addresses - rows @j .. @j + 3; past the end the last one again */
NEON_INLINE void row_addresses(const struct score_job *job, size_t j, const uint8_t **row)
{
	size_t k, at;

	for (k = 0; k < ROWS; k++) {
		at = j + k < job->n ? j + k : job->n - 1;
		if (job->ids)
			at = job->ids[at];
		row[k] = job->codes + at * job->plan->layout.row_bytes;
	}
}

/* A field of four rows: of type plan->scale, or float */
NEON_INLINE float32x4_t field_of_rows(const uint8_t *const *row, size_t at, uint32_t dtype)
{
	uint32_t full[ROWS];
	uint16_t half[ROWS];
	int r;

	if (dtype == TQ_F32) {
		for (r = 0; r < ROWS; r++)
			memcpy(full + r, row[r] + at, sizeof(*full));
		return vreinterpretq_f32_u32(vld1q_u32(full));
	}
	for (r = 0; r < ROWS; r++)
		memcpy(half + r, row[r] + at, sizeof(*half));
	if (dtype == TQ_F16)
		return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(half)));
	return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(half), 16));
}

NEON_INLINE void row_fields_load(const struct tq_plan *plan, const uint8_t *const *row,
				 struct row_fields *f)
{
	const struct tq_layout *lay = &plan->layout;

	f->rnorm = f->cross = vdupq_n_f32(0.0f);
	f->scale = field_of_rows(row, lay->scale_at, plan->scale);
	if (lay->rnorm_at != TQ_NO_FIELD)
		f->rnorm = field_of_rows(row, lay->rnorm_at, plan->scale);
	if (lay->cross_at != TQ_NO_FIELD)
		f->cross = field_of_rows(row, lay->cross_at, TQ_F32);
}

/** score_finish - tq_score_finish() of four rows */
NEON_INLINE float32x4_t score_finish(const struct tq_plan *plan, const struct query_head *head,
				     const struct row_fields *f, float32x4_t a, float32x4_t b)
{
	float32x4_t s = vdupq_n_f32(0.0f);

	if (plan->index_bits)
		s = vmulq_f32(vmulq_n_f32(a, head->scale), f->scale);
	if (plan->layout.rnorm_at != TQ_NO_FIELD)
		s = vaddq_f32(s, vmulq_f32(vmulq_n_f32(b, head->sketch_scale), f->rnorm));
	if (plan->center != TQ_CENTER_OFF)
		s = vaddq_f32(s, vdupq_n_f32(head->add));
	if (plan->center == TQ_CENTER_BOTH)
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
