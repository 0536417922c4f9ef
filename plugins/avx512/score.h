/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_AVX512_SCORE_H
#define TQ_AVX512_SCORE_H

/*
 * From sums to scores, sixteen rows at once, in the order of operations of tq_score_finish() and
 * tq_pair_finish().
 */

#include "query.h"

#define ROWS 16

/** load_numbers - a float field of sixteen rows: of type plan->scale, or float */
LEVELS_INLINE __m512 load_numbers(const uint8_t *const *row, size_t at, uint32_t dtype)
{
	uint16_t half[ROWS] __attribute__((aligned(32)));
	float full[ROWS] __attribute__((aligned(64)));
	__m256i h;
	int r;

	if (dtype == TQ_F32) {
		for (r = 0; r < ROWS; r++)
			memcpy(full + r, row[r] + at, sizeof(*full));
		return _mm512_load_ps(full);
	}
	for (r = 0; r < ROWS; r++)
		memcpy(half + r, row[r] + at, sizeof(*half));
	h = _mm256_load_si256((const __m256i *)half);
	if (dtype == TQ_F16)
		return _mm512_cvtph_ps(h);
	return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}

/** score_finish - tq_score_finish() of sixteen rows */
LEVELS_INLINE __m512 score_finish(const struct tq_plan *plan, const struct query_head *head,
				  const uint8_t *const *row, __m512 a, __m512 b)
{
	__m512 s = _mm512_setzero_ps(), part;

	if (plan->index_bits)
		s = _mm512_mul_ps(_mm512_mul_ps(a, _mm512_set1_ps(head->scale)),
				  load_numbers(row, plan->layout.scale_at, plan->scale));
	if (plan->layout.rnorm_at != TQ_NO_FIELD) {
		part = _mm512_mul_ps(b, _mm512_set1_ps(head->sketch_scale));
		s = _mm512_add_ps(s, _mm512_mul_ps(part, load_numbers(row, plan->layout.rnorm_at,
								      plan->scale)));
	}
	if (plan->center != TQ_CENTER_OFF)
		s = _mm512_add_ps(s, _mm512_set1_ps(head->add));
	if (plan->center == TQ_CENTER_BOTH)
		s = _mm512_add_ps(s, load_numbers(row, plan->layout.cross_at, TQ_F32));
	return s;
}

/** store_scores - the first @n of sixteen */
LEVELS_INLINE void store_scores(float *to, __m512 s, size_t n)
{
	if (n >= ROWS)
		_mm512_storeu_ps(to, s);
	else
		_mm512_mask_storeu_ps(to, (__mmask16)((1u << n) - 1), s);
}

/** struct score_job - one call of a score operation; @ids is NULL for rows 0 .. @n - 1 */
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

/** job_rows - sixteen rows from number @first; behind the last row it is repeated */
LEVELS_INLINE void job_rows(const struct score_job *job, size_t first, const uint8_t **row)
{
	size_t row_bytes = job->plan->layout.row_bytes, at, r;

	for (r = 0; r < ROWS; r++) {
		at = first + r < job->n ? first + r : job->n - 1;
		row[r] = job->codes + (job->ids ? (size_t)job->ids[at] : at) * row_bytes;
	}
}

/** avx512_score_float - scores of float queries */
void avx512_score_float(const struct score_job *job);

#endif
