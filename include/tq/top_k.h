/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_TOP_K_H
#define TQ_TOP_K_H

/*
 * The best rows of a scan. Scores are made a tile at a time and looked at while they are in the
 * cache; they are never all in memory.
 */

#include <stddef.h>
#include <stdint.h>
#include "tq/quantizer.h"

#ifdef __cplusplus
extern "C" {
#endif

/** The most results per query. */
#define TQ_TOP_K_MAX 4096

/** The id of a result that there is none of; its score is -infinity. */
#define TQ_NO_ID INT64_C(-1)

/** The results given are those of other rows, to be kept where these are no better. */
#define TQ_TOP_K_ADD (1u << 0)

/**
 * struct tq_top_k_options - which rows count, and what they are called; all optional
 * @struct_size: sizeof(struct tq_top_k_options)
 * @flags:       TQ_TOP_K_*
 * @ids:         @ids[r] is the id of row r; NULL: @first_id + r. Rows whose id is negative are
 * passed over, so that a deleted row needs no more than a -1 there
 * @first_id:    not negative; without meaning if @ids is given
 * @filter:      row r counts only if bit r % 64 of word r / 64 is set; NULL: all do. Where a tile
 * of rows has no bit set it is not scored either
 * @rows:        score only the rows of these numbers, n of them, in any order; NULL: all of 0..n-1.
 * A row named twice may be among the results twice
 */
struct tq_top_k_options {
	uint32_t struct_size;
	uint32_t flags;
	const int64_t *ids;
	int64_t first_id;
	const uint64_t *filter;
	const uint32_t *rows;
};

/**
 * tq_top_k - the @k rows of the highest scores, for each query
 * @q:        quantizer
 * @prepared: @nq prepared queries
 * @nq:       number of queries
 * @codes:    @n packed rows
 * @n:        number of rows
 * @k:        1..TQ_TOP_K_MAX; may be more than @n
 * @options:  NULL for none
 * @ids:      ids[i * k + j] receives the j-th best row of query i, TQ_NO_ID past the last
 * @scores:   its score, that of tq_score(); -infinity past the last
 *
 * Highest score first; of equal scores the lower id first. The result is what sorting all scores of
 * tq_score() (tq_score_list() with @rows) in this order would give, for any number of threads. A
 * row whose score is NaN, which only foreign bytes can have, is never a result.
 *
 * With TQ_TOP_K_ADD, @ids and @scores hold results before the call, of an earlier call or of any
 * other origin: parts of a collection can be searched one after the other. Allocates nothing on one
 * thread; with several, 12 bytes per result and further thread, and where that memory is not there
 * the call runs on one.
 *
 * Return: TQ_OK; TQ_ERR_ARG.
 */
TQ_API int tq_top_k(const struct tq_quantizer *q, const void *prepared, size_t nq,
		    const void *codes, size_t n, size_t k, const struct tq_top_k_options *options,
		    int64_t *ids, float *scores);

#ifdef __cplusplus
}
#endif
#endif
