/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_SIMD_BLOCK_H
#define TQ_SIMD_BLOCK_H

/* What scores of rows in blocks (tq/block.h) have in common: how a call is cut up. */

#include "tq/plugin.h"

/** Bytes of rows that stay in the level-1 cache while all queries pass */
#define BLOCK_BYTES 16384

/** struct block_job - one call, or a part of it */
struct block_job {
	const struct tq_plan *plan;
	const void *state;
	const char *packed;
	const uint8_t *blocks;
	size_t n;
	float *scores;
	size_t ld;
};

/** All rows of a job with as many queries as the function is for */
typedef void (*block_fn)(const struct block_job *job);

/**
 * block_run - all rows of a job with @nq queries of @size bytes each
 * @fn: of 1, 2, 4, ... queries, @widest + 1 of them
 */
static inline void block_run(struct block_job job, size_t nq, size_t size, const block_fn *fn, uint32_t widest)
{
	size_t bytes = tq_block_bytes(job.plan), rows = job.n, most = rows, i, j;
	struct block_job part;
	uint32_t w;

	if (nq > 1)
		most = (BLOCK_BYTES / bytes + 1) * TQ_BLOCK_ROWS;
	for (j = 0; j < rows; j += most) {
		part = job;
		part.n = rows - j < most ? rows - j : most;
		part.blocks += j / TQ_BLOCK_ROWS * bytes;
		part.scores += j;
		for (i = 0; i < nq; i += (size_t)1 << w) {
			for (w = widest; nq - i < (size_t)1 << w; w--)
				;
			fn[w](&part);
			part.packed += size << w;
			part.scores += job.ld << w;
		}
	}
}

#endif
