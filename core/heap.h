/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_HEAP_H
#define TQ_HEAP_H

/*
 * The k best of a stream of (score, id), in two arrays. The worst of them is at the root, so that
 * one comparison with it refuses nearly everything. A heap is full from the start, of places that
 * are worse than any result. Inline: it stands in the loop over scores.
 */

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** The id of a place that holds no result. */
#define TQ_HEAP_EMPTY INT64_MAX

/** struct tq_heap - @k places; @scores[0] and @ids[0] are the worst */
struct tq_heap {
	float *scores;
	int64_t *ids;
	size_t k;
};

/** tq_heap_worse - is (score, id) a worse result than the other; false for NaN */
static inline bool tq_heap_worse(float score, int64_t id, float other, int64_t other_id)
{
	return score < other || (score == other && id > other_id);
}

/* Let (score, id) sink from place @at, which is free, among the first @n. */
static inline void tq_heap_sink(const struct tq_heap *h, size_t at, size_t n, float score,
				int64_t id)
{
	float *s = h->scores;
	int64_t *ids = h->ids;
	size_t child;

	while ((child = 2 * at + 1) < n) {
		if (child + 1 < n &&
		    tq_heap_worse(s[child + 1], ids[child + 1], s[child], ids[child]))
			child++;
		if (!tq_heap_worse(s[child], ids[child], score, id))
			break;
		s[at] = s[child];
		ids[at] = ids[child];
		at = child;
	}
	s[at] = score;
	ids[at] = id;
}

/** tq_heap_clear - no results */
static inline void tq_heap_clear(const struct tq_heap *h)
{
	size_t i;

	for (i = 0; i < h->k; i++) {
		h->scores[i] = -INFINITY;
		h->ids[i] = TQ_HEAP_EMPTY;
	}
}

/** tq_heap_make - from results in any order; what has a negative id or a score of NaN is none */
static inline void tq_heap_make(const struct tq_heap *h)
{
	size_t i;

	for (i = 0; i < h->k; i++)
		if (h->ids[i] < 0 || h->scores[i] != h->scores[i]) {
			h->scores[i] = -INFINITY;
			h->ids[i] = TQ_HEAP_EMPTY;
		}
	for (i = h->k / 2; i--;)
		tq_heap_sink(h, i, h->k, h->scores[i], h->ids[i]);
}

/** tq_heap_offer - take (score, id) in place of the worst if it is better */
static inline void tq_heap_offer(const struct tq_heap *h, float score, int64_t id)
{
	if (tq_heap_worse(h->scores[0], h->ids[0], score, id))
		tq_heap_sink(h, 0, h->k, score, id);
}

/** tq_heap_sort - into results, the best first; places without one get the id @none */
static inline void tq_heap_sort(const struct tq_heap *h, int64_t none)
{
	float score;
	int64_t id;
	size_t n;

	for (n = h->k; n-- > 1;) {
		score = h->scores[n];
		id = h->ids[n];
		h->scores[n] = h->scores[0];
		h->ids[n] = h->ids[0];
		tq_heap_sink(h, 0, n, score, id);
	}
	for (n = h->k; n && h->ids[n - 1] == TQ_HEAP_EMPTY; n--)
		h->ids[n - 1] = none;
}

#endif
