/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_SIMD_TRELLIS_SCORE_H
#define TQ_SIMD_TRELLIS_SCORE_H

/*
 * Operations of score(tcq) that say nothing about levels. The file that includes this one has a struct score_job,
 * query_pack_planes(), and defines
 *
 *	SCORE_MOST	queries that rows are decoded for at a time
 *	score_some	all rows of a job and up to so many queries
 *
 * With SCORE_OWN_QUERY it has query_pack too.
 */

#include "query_pack.h"

static size_t query_size(const struct tq_plan *plan, const void *state)
{
	return query_bytes(plan);
}

#ifndef SCORE_OWN_QUERY
static void query_pack(const struct tq_plan *plan, const void *state, const struct tq_query *q, void *packed)
{
	query_pack_all(plan, q, packed);
}
#endif

static void score(const struct tq_plan *plan, const void *state, const void *packed, size_t nq, const uint8_t *codes,
		  size_t n, float *scores, size_t ld)
{
	struct score_job job = {plan, NULL, packed, nq, codes, NULL, n, scores, ld};
	size_t left;

	for (left = nq; left > 0; left -= job.nq) {
		job.nq = left < SCORE_MOST ? left : SCORE_MOST;
		score_some(&job, state);
		job.packed += job.nq * query_bytes(plan);
		job.scores += job.nq * ld;
	}
}

static void score_list(const struct tq_plan *plan, const void *state, const void *packed, const uint8_t *codes,
		       const uint32_t *ids, size_t n, float *scores)
{
	struct score_job job = {plan, NULL, packed, 1, codes, ids, n, scores, 0};

	score_some(&job, state);
}

#endif
