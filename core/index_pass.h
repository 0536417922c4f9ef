/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_CORE_INDEX_PASS_H
#define TQ_CORE_INDEX_PASS_H

/*
 * Rows of a segment that bounds let through (index_stage.h), one by one: what the scan of a large segment
 * (index_stage.c) and that of some partitions (index_visit.c) are made of.
 */

#include "heap.h"
#include "index_stage.h"

/** Most rows of a tile */
#define TQ_PASS_ROWS 512
/** A scan of which more than one row in so many passes is better done in full */
#define TQ_PASS_SHARE 5

/**
 * struct tq_pass - a segment, and queries
 * @packed, @sign: the queries for ix->q and ix->sign
 * @reach:  of each query
 * @tile:   rows of a tile, a multiple of TQ_REACH; what scores of one query have in memory
 * @filter: rows that count, or NULL
 */
struct tq_pass {
	const struct tq_index *ix;
	const struct tq_index_segment *s;
	const char *packed, *sign;
	const float *reach;
	size_t tile;
	const uint64_t *filter;
};

/** struct tq_waiting - a row, and its bound */
struct tq_waiting {
	uint32_t row;
	float bound;
};

/** struct tq_wait_list - @n rows of @room */
struct tq_wait_list {
	struct tq_waiting *at;
	size_t n, room;
};

static inline void tq_wait_put(struct tq_wait_list *list, uint32_t row, float bound)
{
	list->at[list->n++] = (struct tq_waiting){row, bound};
}

/** tq_wait_drop - forget rows that are beaten meanwhile */
void tq_wait_drop(struct tq_wait_list *list, float worst);

/** tq_pass_signs - <q, w> of @nq queries from query @q on and @n rows from @first on, a multiple of 16 */
void tq_pass_signs(const struct tq_pass *p, size_t q, size_t nq, size_t first, size_t n, float *score);

/**
 * tq_pass_choose - which of the rows of a tile pass, and their bounds, for a query of reach @most
 * @bound: of the signs' scores, with room for a tile; becomes those of the rows that pass
 *
 * Return: how many they are.
 */
size_t tq_pass_choose(const struct tq_pass *p, float most, size_t first, size_t n, float worst, float *bound,
		      uint32_t *rows);

/** tq_pass_fetch - the code of a row will be scored soon: they are far from each other */
void tq_pass_fetch(const struct tq_pass *p, size_t row);

/**
 * tq_pass_score - score rows that wait for query @q, and forget them
 *
 * A few at a time, since each may raise what the next have to reach; the next few are on their way meanwhile.
 */
void tq_pass_score(const struct tq_pass *p, size_t q, const struct tq_heap *heap, struct tq_wait_list *list);

/**
 * tq_pass_offer - take from a tile that was scored in full, of query @q
 * @signs: the signs' scores of the tile, or NULL
 *
 * Only rows whose bounds hold are taken: these are looked at only of rows that would be results.
 */
void tq_pass_offer(const struct tq_pass *p, size_t q, const struct tq_heap *heap, float *scores, const float *signs,
		   size_t first, size_t n);

#endif
