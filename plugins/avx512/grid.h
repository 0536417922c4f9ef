/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_AVX512_GRID_H
#define TQ_AVX512_GRID_H

/*
 * Sixteen rows as bytes, for codes whose levels are looked up once for all queries of a call: level number g of
 * unit u of row r at [BLOCK * u + r], 64 coordinates in a register. A query has its planes by units too, behind a
 * struct query_head: 64 bytes of the upper one, then 64 of the lower one if there are two.
 */

#include "finish.h"
#include "lanes.h"
#include "sums.h"

#define GRID_UNIT 64

/* Sums of four rows over one plane of a query, each in one lane of every 128 bits */
LEVELS_INLINE __m512i grid_group(const __m512i *grid, const int8_t *q, size_t step, size_t n)
{
	__m512i a = _mm512_setzero_si512(), b = a, c = a, d = a, factor;

	for (; n; n--, grid += BLOCK, q += step) {
		factor = _mm512_load_si512(q);
		a = _mm512_dpbusd_epi32(a, _mm512_load_si512(grid), factor);
		b = _mm512_dpbusd_epi32(b, _mm512_load_si512(grid + 1), factor);
		c = _mm512_dpbusd_epi32(c, _mm512_load_si512(grid + 2), factor);
		d = _mm512_dpbusd_epi32(d, _mm512_load_si512(grid + 3), factor);
	}
	return add_lanes(a, b, c, d);
}

/* Sums of sixteen rows over one plane of @n units, @step bytes apart */
LEVELS_INLINE __m512i grid_dot(const __m512i *grid, const int8_t *q, size_t step, size_t n)
{
	return add_quarters(grid_group(grid, q, step, n), grid_group(grid + 4, q, step, n),
			    grid_group(grid + 8, q, step, n), grid_group(grid + 12, q, step, n));
}

/** grid_sums - sum of (2 g - @beta) q of sixteen rows, @sum that of q */
LEVELS_INLINE __m512 grid_sums(const __m512i *grid, const int8_t *q, uint32_t planes, int32_t beta, int64_t sum, size_t n)
{
	__m512i s[3] = { grid_dot(grid, q, GRID_UNIT * planes, n) };

	if (planes == 2)
		s[1] = grid_dot(grid, q + GRID_UNIT, 2 * GRID_UNIT, n);
	return combine(s, (int)planes, beta, sum);
}

/** fetch_row - ask for as much as row @r of a strip has, ahead of it */
LEVELS_INLINE void fetch_row(const struct tq_plan *plan, const struct strip *strip, size_t r)
{
	size_t u;

	for (u = 0; u < plan->layout.row_bytes; u += 64)
		_mm_prefetch((const char *)strip->row[r] + strip->ahead + u, _MM_HINT_T0);
}

/** group_sums - four rows to one register for each plane: [plane][row] */
LEVELS_INLINE void group_sums(__m512i (*lane)[GROUP], uint32_t planes, size_t g, __m512i (*part)[4])
{
	part[0][g] = add_lanes(lane[0][0], lane[0][1], lane[0][2], lane[0][3]);
	if (planes == 2)
		part[1][g] = add_lanes(lane[1][0], lane[1][1], lane[1][2], lane[1][3]);
}

/** block_sums - sum of (2 g - @beta) q of sixteen rows from their four groups */
LEVELS_INLINE __m512 block_sums(__m512i (*part)[4], uint32_t planes, int32_t beta, int64_t sum)
{
	__m512i s[3] = { add_quarters(part[0][0], part[0][1], part[0][2], part[0][3]) };

	if (planes == 2)
		s[1] = add_quarters(part[1][0], part[1][1], part[1][2], part[1][3]);
	return combine(s, (int)planes, beta, sum);
}

/**
 * grid_score - scores of sixteen rows and all queries of a call
 * @n:      units
 * @beta:   the level number itself, times 1 / @factor, is 2 g - @beta
 */
LEVELS_INLINE void grid_score(const struct score_job *job, const struct strip *strip, const __m512i *grid, size_t first,
			      size_t n, int32_t beta, float factor, float *scores)
{
	uint32_t planes = query_planes(job->plan);
	size_t size = sizeof(struct query_head) + n * GRID_UNIT * planes, i;
	const char *packed = job->packed;
	const struct query_head *head;
	const int8_t *q;
	__m512 a;

	for (i = 0; i < job->nq; i++, packed += size, scores += job->ld) {
		head = (const struct query_head *)(const void *)packed;
		q = (const int8_t *)packed + sizeof(*head);
		a = planes == 1 ? grid_sums(grid, q, 1, beta, head->sum, n) : grid_sums(grid, q, 2, beta, head->sum, n);
		a = finish_rows(job->plan, head, strip, first, _mm512_mul_ps(a, _mm512_set1_ps(factor)), _mm512_setzero_ps());
		_mm512_mask_storeu_ps(scores, lanes(strip->n - first), a);
	}
}

/**
 * struct grid_code - how the rows of a code become levels on a grid
 * @decode: sixteen rows from @first on
 * @unpack: a row as a query of one plane, by units; returns its sum
 * @beta, @factor: as for grid_score()
 */
struct grid_code {
	void (*decode)(const struct tq_plan *plan, const void *state, const struct strip *strip, size_t first, __m512i *grid);
	int64_t (*unpack)(const struct tq_plan *plan, const void *state, const uint8_t *row, int8_t *to);
	size_t units;
	int32_t beta;
	float factor;
};

/** grid_pairs - scores of rows with each other; @grid, @query: room for sixteen rows, and for one */
static inline void grid_pairs(const struct score_job *job, const void *state, const struct grid_code *code,
			      const uint8_t *a, size_t na, __m512i *grid, int8_t *query)
{
	float sum[BLOCK] __attribute__((aligned(64)));
	size_t row_bytes = job->plan->layout.row_bytes, i, j, k, r;
	struct strip strip;
	int64_t whole;
	__m512 s;

	for (j = 0; j < job->n; j += STRIP) {
		avx512_strip_rows(job, j, &strip);
		for (k = 0; k < strip.n; k += BLOCK) {
			code->decode(job->plan, state, &strip, k, grid);
			for (i = 0; i < na; i++) {
				whole = code->unpack(job->plan, state, a + i * row_bytes, query);
				s = grid_sums(grid, query, 1, code->beta, whole, code->units);
				_mm512_store_ps(sum, _mm512_mul_ps(s, _mm512_set1_ps(code->factor)));
				for (r = 0; r < BLOCK && k + r < strip.n; r++)
					job->scores[i * job->ld + j + k + r] = tq_pair_finish(
						job->plan, a + i * row_bytes, strip.row[k + r], sum[r]);
			}
		}
	}
}

#endif
