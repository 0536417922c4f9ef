/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scores: queries against rows, a query against picked rows, rows against rows. A large job is cut
 * into cells, some queries by some rows; a small one, or that of a driver that cannot be split, is
 * a single cell.
 */

#include <stdbool.h>
#include "args.h"
#include "parallel.h"

#define WORK_PER_CELL (1 << 20) /* code bytes times queries: 20 us and more */
#define QUERIES_PER_CELL 64

/**
 * struct job - scores of @na queries or rows on the left against @n rows
 * @cell:      score @na of the left from @i on against @n rows from @j on
 * @left:      the left of a cell
 * @rows:      the rows of a cell
 * @row_cells: how many cells lie side by side
 */
struct job {
	void (*cell)(const struct job *job, size_t i, size_t na, size_t j, size_t n);
	const struct tq_quantizer *q;
	const char *a;
	size_t na;
	const uint8_t *codes;
	const uint32_t *ids;
	size_t n;
	float *scores;
	size_t ld;
	size_t left, rows, row_cells;
};

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

static int do_cells(void *arg, uint32_t lane, size_t first, size_t n)
{
	const struct job *job = arg;
	size_t i, j;

	for (; n; n--, first++) {
		i = first / job->row_cells * job->left;
		j = first % job->row_cells * job->rows;
		job->cell(job, i, least(job->left, job->na - i), j, least(job->rows, job->n - j));
	}
	return TQ_OK;
}

static int job_run(struct job *job, bool may_split)
{
	size_t cells;

	job->left = least(job->na, QUERIES_PER_CELL);
	job->rows = tq_rows_tile(WORK_PER_CELL / job->left, job->q->plan->layout.row_bytes);
	job->row_cells = (job->n - 1) / job->rows + 1;
	cells = ((job->na - 1) / job->left + 1) * job->row_cells;
	if (may_split && tq_rows_lanes(job->q->ctx, cells, 1) > 1)
		return tq_rows_split(job->q->ctx, cells, 1, do_cells, job);
	job->cell(job, 0, job->na, 0, job->n);
	return tq_pipeline_failed(&job->q->pipe);
}

static void score_cell(const struct job *job, size_t i, size_t na, size_t j, size_t n)
{
	const struct tq_pipeline *pipe = &job->q->pipe;
	const struct tq_served *score = &pipe->op[TQ_OP_SCORE];

	score->ops->score(pipe->plan, score->state, job->a + i * pipe->query_bytes, na,
			  job->codes + j * pipe->plan->layout.row_bytes, n,
			  job->scores + i * job->ld + j, job->ld);
}

int tq_score(const struct tq_quantizer *q, const void *prepared, size_t nq, const void *codes,
	     size_t n, float *scores, size_t ld)
{
	struct job job = {score_cell, q, prepared, nq, codes, NULL, n, scores, ld, 0, 0, 0};
	int ret;

	TQ_CHECK_POINTER(q);
	if (nq == 0 || n == 0)
		return TQ_OK;
	ret = tq_check_scoring(prepared, codes, tq_code_size(q), n, scores, ld);
	return ret ? ret : job_run(&job, q->pipe.split_score);
}

int tq_score_blocks(const struct tq_quantizer *q, const void *prepared, const void *blocks, size_t n,
		    float *scores)
{
	const struct tq_served *score = &q->pipe.op[TQ_OP_SCORE];

	score->ops->score_blocks(q->plan, score->state, prepared, 1, blocks, n, scores, n);
	return tq_pipeline_failed(&q->pipe);
}

static void list_cell(const struct job *job, size_t i, size_t na, size_t j, size_t n)
{
	const struct tq_served *score = &job->q->pipe.op[TQ_OP_SCORE];

	score->ops->score_list(job->q->plan, score->state, job->a, job->codes, job->ids + j, n,
			       job->scores + j);
}

int tq_score_list(const struct tq_quantizer *q, const void *prepared, const void *codes,
		  const uint32_t *ids, size_t n, float *scores)
{
	struct job job = {list_cell, q, prepared, 1, codes, ids, n, scores, n, 0, 0, 0};
	int ret;

	TQ_CHECK_POINTER(q);
	if (n == 0)
		return TQ_OK;
	TQ_CHECK_POINTER(codes);
	TQ_CHECK_POINTER(ids);
	TQ_CHECK_POINTER(scores);
	ret = tq_check_prepared(prepared);
	return ret ? ret : job_run(&job, q->pipe.split_score);
}

static void pairs_cell(const struct job *job, size_t i, size_t na, size_t j, size_t n)
{
	const struct tq_plan *plan = job->q->plan;
	const struct tq_served *pairs = &job->q->pipe.op[TQ_OP_SCORE_PAIRS];
	size_t row_bytes = plan->layout.row_bytes;

	pairs->ops->score_pairs(plan, pairs->state, (const uint8_t *)job->a + i * row_bytes, na,
				job->codes + j * row_bytes, n, job->scores + i * job->ld + j,
				job->ld);
}

int tq_score_pairs(const struct tq_quantizer *q, const void *a, size_t na, const void *b, size_t nb,
		   float *scores, size_t ld)
{
	struct job job = {pairs_cell, q, a, na, b, NULL, nb, scores, ld, 0, 0, 0};
	int ret;

	TQ_CHECK_POINTER(q);
	if (q->plan->index_bits == 0)
		return tq_fail(TQ_ERR_UNSUPPORTED, "pairs: codes of signs alone have no levels");
	if (q->plan->center == TQ_CENTER_DATA)
		return tq_fail(TQ_ERR_UNSUPPORTED, "pairs: needs center=off or center=both");
	if (q->pipe.scales)
		return tq_fail(TQ_ERR_UNSUPPORTED, "pairs: the rotation has scales of channels");
	if (na == 0 || nb == 0)
		return TQ_OK;
	TQ_CHECK_POINTER(a);
	TQ_CHECK_POINTER(b);
	TQ_CHECK_POINTER(scores);
	ret = tq_check_codes(tq_code_size(q), "a", na);
	if (!ret)
		ret = tq_check_codes(tq_code_size(q), "b", nb);
	if (!ret)
		ret = tq_check_scores(ld, nb);
	return ret ? ret : job_run(&job, q->pipe.split_pairs);
}
