/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_AVX512_SCORE_H
#define TQ_AVX512_SCORE_H

/*
 * What the files that make scores share. Rows go in strips: kernels turn a strip into the sums A
 * (and B of a sketch) as float, score_finish() turns those into scores.
 */

#include "query.h"

/** Rows whose sums are added across together */
#define BLOCK 16
#define STRIP 128
/** Bytes between the row in work and the one that is fetched from memory */
#define AHEAD 8192

/**
 * struct score_job - one call of a score operation
 * @ids: which rows, or NULL for rows 0 .. @n - 1
 */
struct score_job {
	const struct tq_plan *plan;
	const struct score_tables *tab;
	const char *packed;
	size_t nq;
	const uint8_t *codes;
	const uint32_t *ids;
	size_t n;
	float *scores;
	size_t ld;
};

/**
 * struct strip - rows in work
 * @n:   how many there are; up to the next multiple of BLOCK the last is repeated in @row
 * @stride: from each to the next, if they are packed; else 0
 * @ahead: a row at @row + @ahead will be wanted soon
 * @row: where they are
 * @scale, @rnorm, @cross: their float fields, as far as the plan has them
 */
struct strip {
	size_t n;
	size_t stride;
	size_t ahead;
	const uint8_t *row[STRIP];
	float scale[STRIP] __attribute__((aligned(64)));
	float rnorm[STRIP] __attribute__((aligned(64)));
	float cross[STRIP] __attribute__((aligned(64)));
};

/** strip_rows - up to STRIP rows of @job from number @first */
void avx512_strip_rows(const struct score_job *job, size_t first, struct strip *strip);

/** strip_numbers - their float fields */
void avx512_strip_numbers(const struct tq_plan *plan, struct strip *strip);

/**
 * avx512_score_finish - tq_score_finish() of a strip
 * @a, @b: sums, aligned to 64, with room for STRIP; @b is looked at only if the plan has a sketch
 */
void avx512_score_finish(const struct tq_plan *plan, const struct query_head *head,
			 const struct strip *strip, const float *a, const float *b, float *scores);

/**
 * avx512_sum_rows - A of one integer query and the rows of a strip
 * @q:   the query as packed for @shape
 * @sum: sum(q)
 * @a:   receives the sums, aligned to 64, with room for STRIP
 */
void avx512_sum_rows(const struct shape *shape, uint32_t planes, const struct strip *strip,
		     const int8_t *q, int64_t sum, float *a);

/** avx512_sum_short - avx512_sum_rows() where a register holds several rows, one plane, up to 4
 * bits */
void avx512_sum_short(const struct shape *shape, const struct strip *strip, const int8_t *q,
		      int64_t sum, float *a);

/**
 * avx512_sum_bits - avx512_sum_rows() of single bits in a window
 * @lut: of the query
 */
void avx512_sum_bits(const struct shape *shape, const struct strip *strip,
		     const struct bit_sums *lut, int64_t sum, float *a);

/** avx512_score_bits - a whole job, if it is of one query and packed rows of single bits that need no strip; else 0 */
int avx512_score_bits(const struct score_job *job);

/** Most queries of avx512_sum_tile() */
#define QUERIES 32

/**
 * avx512_sum_tile - avx512_sum_rows() of up to QUERIES queries
 * @q:    the first query
 * @size: bytes from one to the next
 * @sum:  sum(q) of each
 * @a:    receives the sums, aligned to 64
 */
void avx512_sum_tile(const struct shape *shape, uint32_t planes, const struct strip *strip,
		     const int8_t *q, size_t size, const int64_t *sum, size_t nq,
		     float (*a)[STRIP]);

/** avx512_sum_group - avx512_sum_tile() of 8-bit queries and up to 4 bits */
void avx512_sum_group(const struct shape *shape, const struct strip *strip, const int8_t *q,
		      size_t size, const int64_t *sum, size_t nq, float (*a)[STRIP]);

/** avx512_score, avx512_score_list - the operations of those names */
void avx512_score(const struct tq_plan *plan, const void *state, const void *packed, size_t nq,
		  const uint8_t *codes, size_t n, float *scores, size_t ld);
void avx512_score_list(const struct tq_plan *plan, const void *state, const void *packed,
		       const uint8_t *codes, const uint32_t *ids, size_t n, float *scores);

/** Most dimensions of avx512_sum_planes(), a multiple of 512 */
#define AVX512_PLANES_DIM 1024

/** avx512_sum_planes - avx512_sum_tile() for queries of two planes, up to 4 bits and AVX512_PLANES_DIM */
void avx512_sum_planes(const struct shape *shape, const struct strip *strip, const int8_t *q, size_t size,
		      const int64_t *sum, size_t nq, float (*a)[STRIP]);

/** avx512_score_pairs - the operation of that name */
void avx512_score_pairs(const struct tq_plan *plan, const void *state, const uint8_t *a, size_t na,
			const uint8_t *b, size_t nb, float *scores, size_t ld);

/** avx512_score_float - scores of float queries */
void avx512_score_float(const struct score_job *job);

#endif
