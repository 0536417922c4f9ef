/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_CORE_INDEX_STAGE_H
#define TQ_CORE_INDEX_STAGE_H

/*
 * Scans in two stages. Beside its code a row has the signs of its levels as a code of one bit: a vector w
 * along the signs, as long as makes <q, w> an estimate of the row's score <q, v> without bias (w - v is
 * orthogonal to v; the estimate of RaBitQ, Gao and Long, SIGMOD 2024). In a rotated space what they differ
 * by is close to normal, with deviation |q| e where e = |w - v| / sqrt(d) is stored, so that
 *
 *	bound = <q, w> + reach e,	reach = z |q|
 *
 * is too low with a probability of less than the z asked for. The scan reads signs, and codes only of rows
 * whose bound reaches the worst result so far.
 *
 * A row whose score exceeds its bound is no result, wherever it is met: so results do not depend on the
 * order of rows, on threads, or on which tiles were scanned in full because too many bounds passed. They
 * are the best of the rows whose bounds hold.
 *
 * In partitions each query goes its way, in the thread that has it, and if too many of the first rows pass, what is
 * left for it is scanned in full.
 *
 * Otherwise queries of a batch share tiles, and scans in full of those that too many rows pass; results are those of each alone.
 * Where nearly all tiles are scanned in full, stages are left for some calls: what they cost before it shows is a
 * twentieth of a batch over 20,000 rows.
 */

#include "index_search.h"

/** tq_index_make_signer - the codec of signs of codes of @row_bytes; NULL where index or driver has no use for them */
int tq_index_make_signer(const struct tq_index *ix, size_t row_bytes, const float *centre, struct tq_quantizer **q);

/** tq_index_sign_rows - signs of @n codes: rows of ix->sign, and @error of each */
void tq_index_sign_rows(const struct tq_index *ix, const uint8_t *codes, size_t n, uint8_t *rows,
			float *error);

/** tq_index_put_sign - a row of tq_index_sign_rows() becomes row @row of a segment */
void tq_index_put_sign(const struct tq_index *ix, struct tq_index_segment *s, uint32_t row,
		       const uint8_t *sign, float error);

/** tq_index_wants_stages - does a search ask for them? */
static inline bool tq_index_wants_stages(const struct tq_index_search_options *o)
{
	return o && o->exactness > 0.0f && o->exactness < 1.0f;
}

/** tq_index_is_staged - is a segment scanned in two stages for so many queries */
bool tq_index_is_staged(const struct tq_index *ix, const struct tq_index_segment *s,
			const struct tq_index_search_options *o, size_t nq);

/**
 * tq_index_stages_pay - may a search be staged, or were bounds found of late to rule out too little?
 *
 * What was found is kept for some calls as this one: of the same kind (few queries, or a batch), which ask for as much.
 * They are plain scans meanwhile, and find what those find.
 */
bool tq_index_stages_pay(const struct tq_index *ix, const struct tq_index_search_options *o, size_t nq);

/** tq_index_stages_paid - after a staged scan of @rows, times queries, of which @in_full were scanned in full after all */
void tq_index_stages_paid(const struct tq_index *ix, const struct tq_index_search_options *o, size_t nq, size_t rows,
			  size_t in_full);

/** tq_index_reach - of a query: see above; for @k results */
float tq_index_reach(const struct tq_index *ix, const float *x, float exactness, size_t k);

/** Most queries of one tq_index_stage() */
#define TQ_STAGE_QUERIES 64

/**
 * struct tq_index_stage - what is looked for
 * @packed, @sign: the queries for ix->q and ix->sign
 * @reach:  of each query
 * @filter: rows that count, or NULL
 * @k:      results of a query
 */
struct tq_index_stage {
	const char *packed, *sign;
	const float *reach;
	const uint64_t *filter;
	size_t k;
};

/**
 * tq_index_stage - add the best rows of a segment to the results of @nq queries, up to TQ_STAGE_QUERIES: @ids and @keys
 * are a heap (heap.h) for each
 * @in_full: receives, added, rows times queries that were scanned in full, since bounds ruled out too little
 *
 * Return: TQ_OK; TQ_ERR_NOMEM; what a driver's failure was.
 */
int tq_index_stage(const struct tq_index *ix, const struct tq_index_segment *s, const struct tq_index_stage *what,
		   size_t nq, int64_t *ids, float *keys, size_t *in_full);

/**
 * struct tq_index_visit - some partitions, for one query
 * @packed, @sign: the query for ix->q and ix->sign; what it adds is put in for each partition
 * @adds:   which is here, @nprobe as @lists
 * @bits:   room for tq_index_filter()
 */
struct tq_index_visit {
	const struct tq_index_search_options *o;
	const int64_t *lists;
	const float *adds;
	size_t nprobe, k;
	char *packed, *sign;
	float reach;
	uint64_t *bits;
};

/** tq_index_visit - add the best rows of the partitions to the results: @ids and @keys are a heap (heap.h) */
void tq_index_visit(const struct tq_index *ix, const struct tq_index_visit *what, int64_t *ids, float *keys);

#endif
