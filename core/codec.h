/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_CODEC_H
#define TQ_CODEC_H

#include "compose.h"
#include "tq/quantizer.h"

/**
 * struct tq_quantizer - a plan and its pipeline
 * @spec:  in force
 * @hash:  CRC32C of the level table
 * @why:   the choice of drivers, line by line
 *
 * Read-only after tq_quantizer_create().
 */
struct tq_quantizer {
	struct tq_context *ctx;
	struct tq_spec spec;
	struct tq_plan *plan;
	struct tq_pipeline pipe;
	uint32_t hash;
	struct tq_explain why;
};

/**
 * tq_first_nonfinite - the first of @n rows that holds NaN or infinity
 * @ctx:    whose CPU reads them
 * @x:      rows of @dim elements, @stride elements apart; any alignment
 * @centre: checked after it is subtracted; NULL for none
 *
 * Return: the row, or @n if all are finite.
 */
size_t tq_first_nonfinite(const struct tq_context *ctx, const void *x, int dtype, size_t dim, size_t stride, size_t n,
			  const float *centre);

/**
 * tq_query_prepare_adds - tq_query_prepare() of each query @nadds times, with other numbers to add
 * @adds: what is added to every score in place of the centre's part: nq * nadds numbers
 * @prepared: room for nq * nadds * tq_query_size(q) bytes, aligned to 64
 */
int tq_query_prepare_adds(const struct tq_quantizer *q, const float *x, size_t stride, size_t nq,
			  const float *adds, size_t nadds, void *prepared);

struct tq_top_k_options;

/**
 * tq_top_k_heaps - tq_top_k() that adds to results which are heaps (heap.h), and leaves them so
 * @blocks: @codes are in blocks, where the pipeline has @block_bytes; options->rows is NULL then
 */
int tq_top_k_heaps(const struct tq_quantizer *q, const void *prepared, size_t nq, const void *codes,
		   bool blocks, size_t n, size_t k, const struct tq_top_k_options *options, int64_t *ids,
		   float *scores);

/**
 * tq_top_k_heap - the same for one query in the caller's thread, where the pipeline has @split_score
 *
 * Nothing is checked, nothing can fail but the driver: tq_pipeline_failed() says so afterwards. For scans of few
 * rows each.
 */
void tq_top_k_heap(const struct tq_quantizer *q, const void *prepared, const void *codes, bool blocks, size_t n,
		   size_t k, const struct tq_top_k_options *options, int64_t *ids, float *scores);

/** tq_score_blocks - scores of one query and @n rows in blocks, in the caller's thread; fails as tq_score() */
int tq_score_blocks(const struct tq_quantizer *q, const void *prepared, const void *blocks, size_t n,
		    float *scores);

#endif
