/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_AVX512_FINISH_H
#define TQ_AVX512_FINISH_H

/*
 * From sums to scores, sixteen rows at a time, in the order of operations of tq_score_finish().
 */

#include "score.h"

/** finish_rows - scores of the rows @i .. @i + 15 of a strip; @b counts only if there is a sketch */
LEVELS_INLINE __m512 finish_rows(const struct tq_plan *plan, const struct query_head *head,
				 const struct strip *strip, size_t i, __m512 a, __m512 b)
{
	__m512 s = _mm512_setzero_ps(), part;

	if (plan->index_bits)
		s = _mm512_mul_ps(_mm512_mul_ps(a, _mm512_set1_ps(head->scale)),
				  _mm512_load_ps(strip->scale + i));
	if (plan->layout.rnorm_at != TQ_NO_FIELD) {
		part = _mm512_mul_ps(b, _mm512_set1_ps(head->sketch_scale));
		part = _mm512_mul_ps(part, _mm512_load_ps(strip->rnorm + i));
		s = _mm512_add_ps(s, part);
	}
	if (plan->center != TQ_CENTER_OFF)
		s = _mm512_add_ps(s, _mm512_set1_ps(head->add));
	if (plan->center == TQ_CENTER_BOTH)
		s = _mm512_add_ps(s, _mm512_load_ps(strip->cross + i));
	return s;
}

/** is_plain - does finish_plain() serve: levels, no sketch, a centre of queries and rows */
LEVELS_INLINE int is_plain(const struct tq_plan *plan)
{
	return plan->index_bits && plan->layout.rnorm_at == TQ_NO_FIELD &&
	       plan->center == TQ_CENTER_BOTH;
}

/** finish_plain - finish_rows() of such a plan */
LEVELS_INLINE __m512 finish_plain(const struct query_head *head, const struct strip *strip,
				  size_t i, __m512 a)
{
	__m512 s = _mm512_mul_ps(_mm512_mul_ps(a, _mm512_set1_ps(head->scale)),
				 _mm512_load_ps(strip->scale + i));

	return _mm512_add_ps(_mm512_add_ps(s, _mm512_set1_ps(head->add)),
			     _mm512_load_ps(strip->cross + i));
}

#endif
