/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Integer scores, FORMAT.md section 6. Compiled for armv8.0, with dot products and with i8mm; dot.h
 * has what differs.
 *
 * Rows go four at a time and their scores, a row per lane, are finished together. One query goes
 * from code bytes to sums in registers. Several queries share one pass: the levels of four rows are
 * written to a buffer once, for up to GROUP queries. Pairs of rows are the same, with rows for
 * queries.
 */

#include "drivers.h"
#include "pairs.h"

static void shape_of_levels(const struct tq_plan *plan, uint32_t bits, struct shape *s)
{
	uint32_t k;

	s->dim = plan->dim;
	s->alpha = 1;
	s->beta = 0;
	for (k = 0; k < plan->layout.nsections; k++)
		s->at[k] = plan->layout.section[k].at;
	if (bits == 1) {
		s->alpha = -2 * plan->codebook.odd[1];
		s->beta = -plan->codebook.odd[1];
	}
}

static void shape_of_sketch(const struct tq_plan *plan, struct shape *s)
{
	s->dim = plan->dim;
	s->at[0] = plan->layout.sketch_at;
	s->alpha = -2;
	s->beta = -1;
}

/* Values of four rows and one query: of the levels, or of the sketch */
NEON_INLINE float32x4_t values_one(const struct tq_plan *plan, const struct shape *s,
				   const uint8_t *const *row, const void *packed, int sketch,
				   uint32_t bits, uint32_t planes)
{
	const struct query_head *head = packed;
	int32x4_t sum[3];

	sums_one(s, row, query_part(plan, packed, sketch), query_plane_bytes(plan, bits), bits, planes,
		 sum);
	return sums_value(s, sum, sketch ? head->sketch_sum : head->sum, bits, planes);
}

/* The same of a group of queries */
NEON_INLINE void values_group(const struct tq_plan *plan, const struct shape *s,
			      const uint8_t *const *row, const char *packed, size_t size, size_t nq,
			      int sketch, uint32_t bits, uint32_t planes, float32x4_t *value)
{
	const struct query_head *head;
	const int8_t *plane[COLUMNS], *part;
	int32x4_t sum[2][COLUMNS], own[3];
	size_t i;
	uint32_t p;

	for (i = 0; i < nq; i++) {
		part = query_part(plan, packed + i * size, sketch);
		for (p = 0; p < planes; p++)
			plane[i * planes + p] = part + p * query_plane_bytes(plan, bits);
	}
	group_sums(s, row, plane, nq * planes, bits, sum);
	for (i = 0; i < nq; i++) {
		head = (const void *)(packed + i * size);
		group_pick(sum, i * planes, bits, planes, own);
		value[i] = sums_value(s, own, sketch ? head->sketch_sum : head->sum, bits, planes);
	}
}

/* @plain: no sketch and no centre, which is known before the loop */
NEON_INLINE void score_one(const struct score_job *job, const struct shape *level,
			   const struct shape *sketch, uint32_t bits, uint32_t planes, int plain)
{
	const struct tq_plan *plan = job->plan;
	struct row_shape shape = row_shape_of(plan);
	float32x4_t a = vdupq_n_f32(0.0f), b = a;
	const struct score_job own = *job;
	const uint8_t *row[ROWS];
	struct query_head head;
	struct row_fields f;
	size_t j;

	memcpy(&head, own.packed, sizeof(head));
	shape.levels = bits;
	if (plain) {
		shape.center = TQ_CENTER_OFF;
		shape.rnorm_at = shape.cross_at = TQ_NO_FIELD;
	}
	for (j = 0; j < own.n; j += ROWS) {
		row_addresses(&own, shape.bytes, j, row);
		row_fields_load(&shape, row, &f);
		if (bits)
			a = values_one(plan, level, row, own.packed, 0, bits, planes);
		if (!plain && has_sketch(plan))
			b = values_one(plan, sketch, row, own.packed, 1, 1, planes);
		store_scores(own.scores + j, score_finish(&shape, &head, &f, a, b), own.n - j);
	}
}

NEON_INLINE void score_group(const struct score_job *job, const struct shape *level,
			     const struct shape *sketch, const char *packed, size_t size, size_t nq,
			     float *scores, uint32_t bits, uint32_t planes)
{
	float32x4_t a[GROUP] = {0}, b[GROUP] = {0};
	const struct tq_plan *plan = job->plan;
	const struct row_shape shape = row_shape_of(plan);
	const uint8_t *row[ROWS];
	struct row_fields f;
	size_t i, j;

	for (j = 0; j < job->n; j += ROWS) {
		row_addresses(job, shape.bytes, j, row);
		row_fields_load(&shape, row, &f);
		if (bits)
			values_group(plan, level, row, packed, size, nq, 0, bits, planes, a);
		if (has_sketch(plan))
			values_group(plan, sketch, row, packed, size, nq, 1, 1, planes, b);
		for (i = 0; i < nq; i++)
			store_scores(scores + i * job->ld + j,
				     score_finish(&shape, (const void *)(packed + i * size), &f,
						  a[i], b[i]),
				     job->n - j);
	}
}

NEON_INLINE void score_job(const struct score_job *job, uint32_t bits, uint32_t planes)
{
	size_t size = neon_query_size(job->plan, job->tab), i, nq;
	struct shape level, sketch;

	if (bits) {
		shape_of_levels(job->plan, bits, &level);
		level_tables_load(&level.tables, job->tab, bits);
	}
	shape_of_sketch(job->plan, &sketch);
	if (job->nq == 1) {
		if (bits && !has_sketch(job->plan) && job->plan->center == TQ_CENTER_OFF)
			score_one(job, &level, &sketch, bits, planes, 1);
		else
			score_one(job, &level, &sketch, bits, planes, 0);
		return;
	}
	for (i = 0; i < job->nq; i += GROUP) {
		nq = job->nq - i < GROUP ? job->nq - i : GROUP;
		score_group(job, &level, &sketch, job->packed + i * size, size, nq,
			    job->scores + i * job->ld, bits, planes);
	}
}

/* Rows @left with rows @right */
NEON_INLINE void pairs_job(const struct score_job *left, const struct score_job *right,
			   uint32_t bits)
{
	int32_t odd = left->plan->codebook.odd[1];
	struct shape s;

	shape_of_levels(left->plan, bits, &s);
	level_tables_load(&s.tables, left->tab, bits);
	s.beta = 0;
	if (bits == 1)
		s.alpha = odd * odd;
	pair_job(left, right, &s, bits);
}

#define SCORE_JOB(bits)                                                                            \
	static void job_##bits(const struct score_job *job)                                        \
	{                                                                                          \
		if (query_planes(job->plan) == 2)                                                  \
			score_job(job, bits, 2);                                                   \
		else                                                                               \
			score_job(job, bits, 1);                                                   \
	}                                                                                          \
	static void pairs_##bits(const struct score_job *left, const struct score_job *right)      \
	{                                                                                          \
		pairs_job(left, right, bits);                                                      \
	}

/* Pure QJL: a sketch alone, and no pairs */
static void job_0(const struct score_job *job)
{
	if (query_planes(job->plan) == 2)
		score_job(job, 0, 2);
	else
		score_job(job, 0, 1);
}

SCORE_JOB(1)
SCORE_JOB(2)
SCORE_JOB(3)
SCORE_JOB(4)
SCORE_JOB(5)
SCORE_JOB(6)
SCORE_JOB(7)
SCORE_JOB(8)

static void run(const struct score_job *job)
{
	static void (*const jobs[9])(const struct score_job *job) = {
		job_0, job_1, job_2, job_3, job_4, job_5, job_6, job_7, job_8};

	if (job->plan->query == TQ_QUERY_F32)
		neon_score_float(job);
	else
		jobs[job->plan->index_bits](job);
}

static void neon_score(const struct tq_plan *plan, const void *state, const void *packed, size_t nq,
		       const uint8_t *codes, size_t n, float *scores, size_t ld)
{
	struct score_job job = {plan, state, packed, nq, codes, NULL, n, scores, ld};

	run(&job);
}

static void neon_score_list(const struct tq_plan *plan, const void *state, const void *packed,
			    const uint8_t *codes, const uint32_t *ids, size_t n, float *scores)
{
	struct score_job job = {plan, state, packed, 1, codes, ids, n, scores, 0};

	run(&job);
}

static void neon_score_pairs(const struct tq_plan *plan, const void *state, const uint8_t *a,
			     size_t na, const uint8_t *b, size_t nb, float *scores, size_t ld)
{
	static void (*const jobs[9])(const struct score_job *, const struct score_job *) = {
		NULL, pairs_1, pairs_2, pairs_3, pairs_4, pairs_5, pairs_6, pairs_7, pairs_8};
	struct score_job left = {plan, state, NULL, 0, a, NULL, na, scores, ld};
	struct score_job right = {plan, state, NULL, 0, b, NULL, nb, NULL, 0};

	jobs[plan->index_bits](&left, &right);
}

const struct tq_quantizer_ops SCORE_OPS = {
	.struct_size = sizeof(struct tq_quantizer_ops),
	.create = neon_tables_create,
	.destroy = neon_tables_destroy,
	.query_size = neon_query_size,
	.query_pack = neon_query_pack,
	.score = neon_score,
	.score_list = neon_score_list,
	.score_pairs = neon_score_pairs,
};
