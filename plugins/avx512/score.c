/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The score operations: FORMAT.md section 6.
 */

#include "block.h"
#include "score.h"

static void sum_part(const struct score_job *job, const struct shape *shape,
		     const struct strip *strip, const void *part, int64_t sum, float *a)
{
	uint32_t planes = query_planes(job->plan);

	if (shape->windowed && planes == 1)
		avx512_sum_bits(shape, strip, query_bit_sums(job->plan, part), sum, a);
	else
		avx512_sum_rows(shape, planes, strip, part, sum, a);
}

static void score_one(const struct score_job *job, struct strip *strip, size_t first, size_t i)
{
	float a[STRIP] __attribute__((aligned(64))), b[STRIP] __attribute__((aligned(64)));
	const struct tq_plan *plan = job->plan;
	const char *packed = job->packed + i * query_bytes(plan);
	const struct query_head *head = (const struct query_head *)(const void *)packed;

	if (plan->index_bits)
		sum_part(job, &job->tab->level, strip, query_part(plan, packed, 0), head->sum, a);
	if (has_sketch(plan))
		sum_part(job, &job->tab->sketch, strip, query_part(plan, packed, 1),
			 head->sketch_sum, b);
	avx512_strip_numbers(plan, strip);
	avx512_score_finish(plan, head, strip, a, b, job->scores + i * job->ld + first);
}

/* Up to QUERIES queries from number @i: the rows are decoded once */
static void score_tile(const struct score_job *job, struct strip *strip, size_t first, size_t i,
		       size_t nq)
{
	float a[QUERIES][STRIP] __attribute__((aligned(64)));
	float b[QUERIES][STRIP] __attribute__((aligned(64)));
	const struct tq_plan *plan = job->plan;
	uint32_t planes = query_planes(plan);
	size_t size = query_bytes(plan), k;
	const char *packed = job->packed + i * size;
	const struct query_head *head[QUERIES];
	int64_t sum[QUERIES];

	for (k = 0; k < nq; k++) {
		head[k] = (const struct query_head *)(const void *)(packed + k * size);
		sum[k] = head[k]->sum;
	}
	if (plan->index_bits && plan->index_bits <= 4 && planes == 2 && plan->dim <= AVX512_PLANES_DIM)
		avx512_sum_planes(&job->tab->level, strip, query_part(plan, packed, 0), size, sum, nq, a);
	else if (plan->index_bits)
		avx512_sum_tile(&job->tab->level, planes, strip, query_part(plan, packed, 0), size,
				sum, nq, a);
	for (k = 0; k < nq; k++)
		sum[k] = head[k]->sketch_sum;
	if (has_sketch(plan))
		avx512_sum_tile(&job->tab->sketch, planes, strip, query_part(plan, packed, 1), size,
				sum, nq, b);
	avx512_strip_numbers(plan, strip);
	for (k = 0; k < nq; k++)
		avx512_score_finish(plan, head[k], strip, a[k], b[k],
				    job->scores + (i + k) * job->ld + first);
}

static void run(const struct score_job *job)
{
	struct strip strip;
	size_t i, j, n;

	if (job->plan->query == TQ_QUERY_F32) {
		avx512_score_float(job);
		return;
	}
	if (avx512_score_bits(job))
		return;
	for (j = 0; j < job->n; j += STRIP) {
		avx512_strip_rows(job, j, &strip);
		for (i = 0; i < job->nq; i += n) {
			n = job->nq - i < QUERIES ? job->nq - i : QUERIES;
			if (n == 1)
				score_one(job, &strip, j, i);
			else
				score_tile(job, &strip, j, i, n);
		}
	}
}

void avx512_score(const struct tq_plan *plan, const void *state, const void *packed, size_t nq,
		  const uint8_t *codes, size_t n, float *scores, size_t ld)
{
	struct score_job job = {plan, state, packed, nq, codes, NULL, n, scores, ld};

	run(&job);
}

void avx512_score_list(const struct tq_plan *plan, const void *state, const void *packed,
		       const uint8_t *codes, const uint32_t *ids, size_t n, float *scores)
{
	struct score_job job = {plan, state, packed, 1, codes, ids, n, scores, 0};

	run(&job);
}

const struct tq_quantizer_ops avx512_score_ops = {
	.struct_size = sizeof(struct tq_quantizer_ops),
	.create = avx512_score_create,
	.destroy = avx512_score_destroy,
	.query_size = avx512_query_size,
	.query_pack = avx512_query_pack,
	.score = avx512_score,
	.score_list = avx512_score_list,
	.score_blocks = avx512_score_blocks,
	.score_pairs = avx512_score_pairs,
};
