/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scores of rows of codes of a fraction of a bit. One query is multiplied by levels as they are looked up;
 * for several, sixteen rows become levels once. A query has its planes by units (radix.h), zeros where a
 * unit has no coordinate:
 *
 *	struct query_head	64 bytes
 *	for each unit		64 bytes of the upper plane, then 64 of the lower one if there are two
 */

#include "grid.h"
#include "radix.h"

/* Levels of sixteen rows: unit u of row r at [BLOCK * u + r] */
struct grid {
	__m512i at[BLOCK * RADIX_UNITS];
};

static size_t units(const struct tq_plan *plan)
{
	return plan->radix->digits * radix_chunks(plan);
}

static size_t query_size(const struct tq_plan *plan, const void *state)
{
	return sizeof(struct query_head) + units(plan) * RADIX_UNIT * query_planes(plan);
}

static void query_pack(const struct tq_plan *plan, const void *state, const struct tq_query *q, void *packed)
{
	struct query_head head = { .scale = q->scale, .add = q->add, .sum = q->sum };
	int8_t *to = (int8_t *)packed + sizeof(head);
	size_t chunks = radix_chunks(plan), n = units(plan), u, first, m;

	memcpy(packed, &head, sizeof(head));
	for (u = 0; u < n; u++) {
		m = radix_unit(plan, u / chunks, u % chunks, &first);
		_mm512_store_si512(to, _mm512_maskz_loadu_epi8(bytes(m), m ? q->hi + first : q->hi));
		to += RADIX_UNIT;
		if (query_planes(plan) < 2)
			continue;
		_mm512_store_si512(to, _mm512_maskz_loadu_epi8(bytes(m), m ? q->lo + first : q->lo));
		to += RADIX_UNIT;
	}
}

/* Tables hold level + 128: twice a level is 2 (level + 128) - 256, and an exact half undoes it */
#define BETA 256
#define HALF 0.5f

/* A of sixteen rows from @first on and one query of @planes */
LEVELS_INLINE __m512 sum_block(const struct tq_plan *plan, const struct radix_lookup *l, uint32_t digits, uint32_t width,
			       const struct strip *strip, size_t first, const int8_t *q, uint32_t planes, int64_t sum)
{
	size_t chunks = radix_chunks(plan), step = RADIX_UNIT * planes, c, g, r, j;
	const uint8_t *const *row = strip->row + first;
	__m512i part[2][4], lane[2][GROUP], words, levels;
	const int8_t *at;

	for (g = 0; g < 4; g++, row += GROUP) {
#pragma GCC unroll 4
		for (r = 0; r < GROUP; r++) {
			lane[0][r] = lane[1][r] = _mm512_setzero_si512();
			fetch_row(plan, strip, first + GROUP * g + r);
		}
		for (c = 0; c < chunks; c++)
#pragma GCC unroll 4
			for (r = 0; r < GROUP; r++) {
				words = radix_words(plan, row[r], c, width);
#pragma GCC unroll 5
				for (j = 0; j < digits; j++) {
					levels = radix_levels(l, (uint32_t)j, words, width);
					at = q + (j * chunks + c) * step;
					lane[0][r] = _mm512_dpbusd_epi32(lane[0][r], levels, _mm512_load_si512(at));
					if (planes == 2)
						lane[1][r] = _mm512_dpbusd_epi32(
							lane[1][r], levels, _mm512_load_si512(at + RADIX_UNIT));
				}
			}
		group_sums(lane, planes, g, part);
	}
	return _mm512_mul_ps(block_sums(part, planes, BETA, sum), _mm512_set1_ps(HALF));
}

LEVELS_INLINE void decode(const struct tq_plan *plan, const struct radix_lookup *l, uint32_t digits, uint32_t width,
			  const struct strip *strip, size_t first, struct grid *grid)
{
	size_t chunks = radix_chunks(plan), c, r, j;
	__m512i words;

	for (r = 0; r < BLOCK; r++)
		fetch_row(plan, strip, first + r);
	for (r = 0; r < BLOCK; r++)
		for (c = 0; c < chunks; c++) {
			words = radix_words(plan, strip->row[first + r], c, width);
#pragma GCC unroll 5
			for (j = 0; j < digits; j++)
				_mm512_store_si512(&grid->at[BLOCK * (j * chunks + c) + r],
						   radix_levels(l, (uint32_t)j, words, width));
		}
}

LEVELS_INLINE void score_one(const struct score_job *job, const struct radix_lookup *l, uint32_t digits, uint32_t width,
			     const struct strip *strip, size_t first, float *scores)
{
	const struct query_head *head = (const struct query_head *)(const void *)job->packed;
	const int8_t *q = (const int8_t *)job->packed + sizeof(*head);
	__m512 a;

	if (query_planes(job->plan) == 1)
		a = sum_block(job->plan, l, digits, width, strip, first, q, 1, head->sum);
	else
		a = sum_block(job->plan, l, digits, width, strip, first, q, 2, head->sum);
	a = finish_rows(job->plan, head, strip, first, a, _mm512_setzero_ps());
	_mm512_mask_storeu_ps(scores, lanes(strip->n - first), a);
}

LEVELS_INLINE void run_width(const struct score_job *job, const struct radix_tables *t, uint32_t digits, uint32_t width)
{
	struct radix_lookup lookup;
	struct strip strip;
	struct grid grid;
	size_t i, j;

	radix_lookup_load(t, digits, width, &lookup);
	for (j = 0; j < job->n; j += STRIP) {
		avx512_strip_rows(job, j, &strip);
		avx512_strip_numbers(job->plan, &strip);
		for (i = 0; i < strip.n; i += BLOCK) {
			if (job->nq == 1) {
				score_one(job, &lookup, digits, width, &strip, i, job->scores + j + i);
				continue;
			}
			decode(job->plan, &lookup, digits, width, &strip, i, &grid);
			grid_score(job, &strip, grid.at, i, units(job->plan), BETA, HALF, job->scores + j + i);
		}
	}
}

static void run(const struct score_job *job, const struct radix_tables *t)
{
	const struct tq_radix *x = job->plan->radix;

	if (x->width == 8)
		run_width(job, t, 5, 8);
	else if (x->width == 5)
		run_width(job, t, 2, 5);
	else if (x->digits == 2)
		run_width(job, t, 2, 7);
	else
		run_width(job, t, 3, 7);
}

static void score(const struct tq_plan *plan, const void *state, const void *packed, size_t nq, const uint8_t *codes,
		  size_t n, float *scores, size_t ld)
{
	struct score_job job = { plan, NULL, packed, nq, codes, NULL, n, scores, ld };

	run(&job, state);
}

static void score_list(const struct tq_plan *plan, const void *state, const void *packed, const uint8_t *codes,
		       const uint32_t *ids, size_t n, float *scores)
{
	struct score_job job = { plan, NULL, packed, 1, codes, ids, n, scores, 0 };

	run(&job, state);
}

const struct tq_quantizer_ops avx512_radix_score_ops = {
	.struct_size = sizeof(struct tq_quantizer_ops),
	.create = avx512_radix_create,
	.destroy = avx512_radix_destroy,
	.query_size = query_size,
	.query_pack = query_pack,
	.score = score,
	.score_list = score_list,
};
