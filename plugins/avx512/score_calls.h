/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_AVX512_SCORE_CALLS_H
#define TQ_AVX512_SCORE_CALLS_H

/*
 * Operations of score(*) for codes that are no grid. The file that includes this one defines
 *
 *	run	all rows and queries of a job
 */

static void score(const struct tq_plan *plan, const void *state, const void *packed, size_t nq, const uint8_t *codes,
		  size_t n, float *scores, size_t ld)
{
	struct score_job job = { plan, NULL, packed, nq, codes, NULL, n, scores, ld };

	run(&job, state);
}

static void score_list(const struct tq_plan *plan, const void *state, const void *packed, const uint8_t *codes,
		       const uint32_t *ids, size_t n, float *scores)
{
	struct score_job job = { plan, NULL, packed, 1, codes, ids, n, scores, 0 };

	run(&job, state);
}

#endif
