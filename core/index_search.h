/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_CORE_INDEX_SEARCH_H
#define TQ_CORE_INDEX_SEARCH_H

/* What searches for the best (index_search.c) and for all that are good enough (index_range.c) share; which partitions
 * they look at is chosen in index_probe.c. */

#include "index.h"

int tq_index_check_options(const struct tq_index *ix, const struct tq_index_search_options *o);

/** tq_index_check_call - the arguments of a search; fails as tq_index_search(). With no queries only some are looked at */
int tq_index_check_call(const struct tq_index *ix, const float *x, size_t stride, size_t nq, size_t k,
			const int64_t *ids, const struct tq_index_search_options *o);

/** tq_index_check_adds - numbers to add, @each of a query: TQ_ERR_RANGE with the query where one is not finite */
int tq_index_check_adds(const float *adds, size_t n, size_t each);

/** tq_index_probe_count - how many partitions a query looks at: 1 without partitions */
int tq_index_probe_count(const struct tq_index *ix, const struct tq_index_search_options *o,
			 size_t *nprobe);

/** tq_index_probe_lists - the @nprobe nearest partitions of each query, roughly the nearest first */
int tq_index_probe_lists(const struct tq_index *ix, const float *x, size_t stride, size_t nq,
			 size_t nprobe, int64_t *lists);

/**
 * tq_index_prepare - a query for some partitions
 * @x:    scaled to norm 1 with cos
 * @work: nprobe + dim floats; the first @nprobe are what tq_index_query() adds
 * @prepared: tq_index_queries() packed queries
 * @sign: one for ix->sign, or NULL
 */
int tq_index_prepare(const struct tq_index *ix, const float *x, const int64_t *lists, size_t nprobe,
		     float *work, void *prepared, void *sign);

/** tq_index_queries - how many packed queries @nprobe partitions take: one, if the number to add can be put in it */
static inline size_t tq_index_queries(const struct tq_index *ix, size_t nprobe)
{
	return ix->centroids && ix->add_at != SIZE_MAX ? 1 : nprobe;
}

/** tq_index_query - the query for the partition at @i, until the next call */
static inline const void *tq_index_query(const struct tq_index *ix, void *prepared, const float *work, size_t i)
{
	char *packed = prepared;

	if (!ix->centroids || ix->add_at == SIZE_MAX)
		return packed + i * tq_query_size(ix->q);
	memcpy(packed + ix->add_at, &work[i], sizeof(work[i]));
	return packed;
}

bool tq_index_has_filter(const struct tq_index_search_options *o);

/** tq_index_filter_words - how many words a filter of any segment takes; 0 if the caller has none */
size_t tq_index_filter_words(const struct tq_index *ix, const struct tq_index_search_options *o);

/** tq_index_filter - the rows of a segment that count, made in @bits if the caller filters; NULL: all */
const uint64_t *tq_index_filter(const struct tq_index_segment *s,
				const struct tq_index_search_options *o, uint64_t *bits);

/** struct tq_index_hit - a row that was found */
struct tq_index_hit {
	float score;
	int64_t id;
};

/** tq_index_sort_hits - the best first, of equal scores the lower id */
void tq_index_sort_hits(struct tq_index_hit *hits, size_t n, uint32_t metric);

/**
 * tq_index_rerank - the best @k of the rows found, options->rerank for each query, by exact scores
 *
 * Without options->fetch the rows are decoded; their ids are in the table then, and the caller holds the lock.
 */
int tq_index_rerank(const struct tq_index *ix, const float *x, size_t stride, size_t nq, size_t k,
		    const struct tq_index_search_options *o, const int64_t *found, int64_t *ids,
		    float *scores);

#endif
