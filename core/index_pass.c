/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows that bounds let through, and their scores: what scans in two stages are made of.
 */

#include "fetch.h"
#include "index_pass.h"
#include "reach.h"
#include "registry.h"

#define GROUP 32

void tq_wait_drop(struct tq_wait_list *list, float worst)
{
	size_t i, m = 0;

	for (i = 0; i < list->n; i++)
		if (list->at[i].bound >= worst)
			list->at[m++] = list->at[i];
	list->n = m;
}

void tq_pass_signs(const struct tq_pass *p, size_t q, size_t nq, size_t first, size_t n, float *score)
{
	const struct tq_pipeline *pipe = &p->ix->sign->pipe;
	const struct tq_served *op = &pipe->op[TQ_OP_SCORE];

	op->ops->score_blocks(pipe->plan, op->state, p->sign + q * pipe->query_bytes, nq,
			      p->s->signs + first / TQ_BLOCK_ROWS * pipe->block_bytes, n, score, p->tile);
}

static bool counts(const struct tq_pass *p, size_t row)
{
	return !p->filter || p->filter[row / 64] >> row % 64 & 1;
}

/* Ids are looked at last: few rows come here, and for the others that would be one miss of the cache more */
static void offer(const struct tq_pass *p, const struct tq_heap *heap, float score, size_t row)
{
	if (score >= heap->scores[0] && p->s->ids[row] >= 0)
		tq_heap_offer(heap, score, p->s->ids[row]);
}

void tq_pass_fetch(const struct tq_pass *p, size_t row)
{
	tq_fetch(p->s->codes + row * p->ix->row_bytes, p->ix->row_bytes);
}

static inline TQ_REACH_INLINE size_t choose(const struct tq_pass *p, float most, size_t first, size_t n, float worst,
					    float *bound, uint32_t *rows,
					    uint64_t (*reach)(const float *s, float worst, bool beyond))
{
	const float *error = p->s->error + first;
	size_t i, j, end, m = 0;
	uint64_t mask;

	for (i = n; i % TQ_REACH; i++)
		bound[i] = -INFINITY;
	for (i = 0; i < n; i = end) {
		end = i + TQ_REACH;
		for (j = i; most > 0.0f && j < (end < n ? end : n); j++)
			bound[j] = bound[j] + most * error[j];
		mask = reach(bound + i, worst, false);
		if (end > n)
			mask &= (UINT64_C(1) << (n - i)) - 1;
		for (; mask; mask &= mask - 1) {
			j = i + (size_t)__builtin_ctzll(mask);
			if (!counts(p, first + j))
				continue;
			bound[m] = bound[j];
			rows[m++] = (uint32_t)(first + j);
		}
	}
	return m;
}

static size_t choose_base(const struct tq_pass *p, float most, size_t first, size_t n, float worst, float *bound,
			  uint32_t *rows)
{
	return choose(p, most, first, n, worst, bound, rows, tq_reach_base);
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static size_t choose_avx2(const struct tq_pass *p, float most, size_t first, size_t n,
							  float worst, float *bound, uint32_t *rows)
{
	return choose(p, most, first, n, worst, bound, rows, tq_reach_avx2);
}

__attribute__((target("avx512f"))) static size_t choose_avx512(const struct tq_pass *p, float most, size_t first, size_t n,
							       float worst, float *bound, uint32_t *rows)
{
	return choose(p, most, first, n, worst, bound, rows, tq_reach_avx512);
}
#endif

size_t tq_pass_choose(const struct tq_pass *p, float most, size_t first, size_t n, float worst, float *bound,
		      uint32_t *rows)
{
#if defined(__x86_64__)
	if (p->ix->ctx->registry->cpu & TQ_CPU_AVX512)
		return choose_avx512(p, most, first, n, worst, bound, rows);
	if (p->ix->ctx->registry->cpu & TQ_CPU_X86_64_V3)
		return choose_avx2(p, most, first, n, worst, bound, rows);
#endif
	return choose_base(p, most, first, n, worst, bound, rows);
}

void tq_pass_score(const struct tq_pass *p, size_t q, const struct tq_heap *heap, struct tq_wait_list *list)
{
	const struct tq_pipeline *pipe = &p->ix->q->pipe;
	const struct tq_served *score = &pipe->op[TQ_OP_SCORE];
	const struct tq_waiting *of = list->at;
	float scores[GROUP], most[GROUP];
	uint32_t group[GROUP];
	size_t i, j, m;

	tq_wait_drop(list, heap->scores[0]);
	for (i = 0; i < list->n && i < GROUP; i++)
		tq_pass_fetch(p, of[i].row);
	for (i = 0; i < list->n;) {
		for (m = 0; i < list->n && m < GROUP; i++) {
			if (i + GROUP < list->n)
				tq_pass_fetch(p, of[i + GROUP].row);
			if (of[i].bound >= heap->scores[0]) {
				most[m] = of[i].bound;
				group[m++] = of[i].row;
			}
		}
		if (m)
			score->ops->score_list(pipe->plan, score->state, p->packed + q * pipe->query_bytes,
					       p->s->codes, group, m, scores);
		for (j = 0; j < m; j++)
			if (scores[j] <= most[j])
				offer(p, heap, scores[j], group[j]);
	}
	list->n = 0;
}

void tq_pass_offer(const struct tq_pass *p, size_t q, const struct tq_heap *heap, float *scores, const float *signs,
		       size_t first, size_t n)
{
	float of_block[TQ_BLOCK_ROWS], sign;
	size_t i, m, block, left;
	uint32_t rows[TQ_PASS_ROWS];

	m = tq_pass_choose(p, 0.0f, first, n, heap->scores[0], scores, rows);
	for (i = 0; i < m; i++) {
		if (!(scores[i] >= heap->scores[0]))
			continue;
		if (signs) {
			sign = signs[rows[i] - first];
		} else {
			block = rows[i] / TQ_BLOCK_ROWS * TQ_BLOCK_ROWS;
			left = p->s->n - block;
			tq_pass_signs(p, q, 1, block, left < TQ_BLOCK_ROWS ? left : TQ_BLOCK_ROWS, of_block);
			sign = of_block[rows[i] - block];
		}
		if (scores[i] <= sign + p->reach[q] * p->s->error[rows[i]])
			offer(p, heap, scores[i], rows[i]);
	}
}
