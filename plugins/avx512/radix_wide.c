/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scores of rows of 4.5 bits. 32 words are a unit of 64 bytes for each plane of levels, 128 hi + lo = level + 16384:
 * byte 2 i is the first digit of word i, 2 i + 1 the second. A query has its planes by units too, behind its head:
 * 64 bytes of the upper one, then 64 of the lower one if there are two. One query is multiplied by levels as they
 * are looked up; for several, sixteen rows become levels once.
 */

#include "grid.h"
#include "radix.h"

#define DIM_MAX 4096
#define UNITS (DIM_MAX / 2 / RADIX_WIDE_UNIT)

/* A is twice the sum of 128 hi + lo, less this times that of the query, and half of that */
#define BETA 32768
#define HALF 0.5f

/* Levels of sixteen rows: unit u of plane p of row r at [p][BLOCK * u + r] */
struct grid {
	__m512i at[2][BLOCK * UNITS];
};

static size_t units(const struct tq_plan *plan)
{
	return (plan->radix->words + RADIX_WIDE_UNIT - 1) / RADIX_WIDE_UNIT;
}

static size_t query_size(const struct tq_plan *plan, const void *state)
{
	return sizeof(struct query_head) + units(plan) * 64 * query_planes(plan);
}

/* The coordinates of unit @u: two digits of each word side by side */
static void pack_unit(const struct tq_plan *plan, const int8_t *q, size_t u, int8_t *to)
{
	size_t words = plan->radix->words, k = RADIX_WIDE_UNIT * u, n = words - k, i;

	memset(to, 0, 64);
	for (i = 0; i < n && i < RADIX_WIDE_UNIT; i++) {
		to[2 * i] = q[k + i];
		if (words + k + i < plan->dim)
			to[2 * i + 1] = q[words + k + i];
	}
}

static void query_pack(const struct tq_plan *plan, const void *state, const struct tq_query *q, void *packed)
{
	struct query_head head = { .scale = q->scale, .add = q->add, .sum = q->sum };
	int8_t *to = (int8_t *)packed + sizeof(head);
	size_t u;

	memcpy(packed, &head, sizeof(head));
	for (u = 0; u < units(plan); u++, to += 64) {
		pack_unit(plan, q->hi, u, to);
		if (query_planes(plan) < 2)
			continue;
		to += 64;
		pack_unit(plan, q->lo, u, to);
	}
}

/* Both planes of unit @u of a row, of @n words */
LEVELS_INLINE void read_unit(const struct tq_plan *plan, __m512i hi, __m512i lo, const uint8_t *row, size_t u, size_t n,
			     __m512i *level)
{
	__m512i digits = radix_wide_digits(radix_wide_words(plan, row, RADIX_WIDE_UNIT * u, n));

	level[0] = _mm512_permutexvar_epi8(digits, hi);
	level[1] = _mm512_permutexvar_epi8(digits, lo);
}

/* Products of a unit and one query on top of the sums of a row, those of sums.h for two planes of levels */
LEVELS_INLINE void multiply(const __m512i *level, const int8_t *q, uint32_t planes, __m512i *sum)
{
	__m512i x = _mm512_load_si512(q);

	sum[0] = _mm512_dpbusd_epi32(sum[0], level[0], x);
	sum[1] = _mm512_dpbusd_epi32(sum[1], level[1], x);
	if (planes < 2)
		return;
	x = _mm512_load_si512(q + 64);
	sum[1] = _mm512_dpbusd_epi32(sum[1], level[0], x);
	sum[2] = _mm512_dpbusd_epi32(sum[2], level[1], x);
}

/* A of sixteen rows of @n whole units and a last one of @rest words from @first on, and one query of @planes */
LEVELS_INLINE __m512 sum_block(const struct tq_plan *plan, const struct radix_tables *t, size_t n, size_t rest,
			       const struct strip *strip, size_t first, const int8_t *q, uint32_t planes, int64_t sum)
{
	__m512i hi = _mm512_load_si512(t->hi), lo = _mm512_load_si512(t->lo), part[3][4], lane[GROUP][3], level[2];
	size_t u, g, r;
	uint32_t k;

	for (g = 0; g < 4; g++, first += GROUP) {
#pragma GCC unroll 4
		for (r = 0; r < GROUP; r++) {
			lane[r][0] = lane[r][1] = lane[r][2] = _mm512_setzero_si512();
			fetch_row(plan, strip, first + r);
			for (u = 0; u < n; u++) {
				read_unit(plan, hi, lo, strip->row[first + r], u, RADIX_WIDE_UNIT, level);
				multiply(level, q + 64 * planes * u, planes, lane[r]);
			}
			if (!rest)
				continue;
			read_unit(plan, hi, lo, strip->row[first + r], n, rest, level);
			multiply(level, q + 64 * planes * n, planes, lane[r]);
		}
#pragma GCC unroll 3
		for (k = 0; k < planes + 1; k++)
			part[k][g] = add_lanes(lane[0][k], lane[1][k], lane[2][k], lane[3][k]);
	}
#pragma GCC unroll 3
	for (k = 0; k < planes + 1; k++)
		lane[0][k] = add_quarters(part[k][0], part[k][1], part[k][2], part[k][3]);
	return _mm512_mul_ps(combine(lane[0], (int)planes + 1, BETA, sum), _mm512_set1_ps(HALF));
}

static void decode(const struct tq_plan *plan, const struct radix_tables *t, const struct strip *strip, size_t first,
		   struct grid *grid)
{
	__m512i hi = _mm512_load_si512(t->hi), lo = _mm512_load_si512(t->lo), level[2];
	size_t n = units(plan), u, r;

	for (r = 0; r < BLOCK; r++) {
		fetch_row(plan, strip, first + r);
		for (u = 0; u < n; u++) {
			read_unit(plan, hi, lo, strip->row[first + r], u, plan->radix->words - RADIX_WIDE_UNIT * u, level);
			_mm512_store_si512(&grid->at[0][BLOCK * u + r], level[0]);
			_mm512_store_si512(&grid->at[1][BLOCK * u + r], level[1]);
		}
	}
}

/* The same as sum_block() from decoded rows */
LEVELS_INLINE __m512 sum_grid(const struct grid *grid, size_t n, const int8_t *q, uint32_t planes, int64_t sum)
{
	size_t step = 64 * planes;
	__m512i s[3] = { grid_dot(grid->at[0], q, step, n), grid_dot(grid->at[1], q, step, n) };

	if (planes == 2) {
		s[1] = _mm512_add_epi32(s[1], grid_dot(grid->at[0], q + 64, step, n));
		s[2] = grid_dot(grid->at[1], q + 64, step, n);
	}
	return _mm512_mul_ps(combine(s, (int)planes + 1, BETA, sum), _mm512_set1_ps(HALF));
}

LEVELS_INLINE void run_planes(const struct score_job *job, const struct radix_tables *t, uint32_t planes)
{
	const struct tq_plan *plan = job->plan;
	size_t size = query_size(plan, t), words = plan->radix->words, i, j, k;
	const struct query_head *head;
	struct strip strip;
	struct grid grid;
	const int8_t *q;
	__m512 a;

	for (j = 0; j < job->n; j += STRIP) {
		avx512_strip_rows(job, j, &strip);
		avx512_strip_numbers(plan, &strip);
		for (i = 0; i < strip.n; i += BLOCK) {
			if (job->nq > 1)
				decode(plan, t, &strip, i, &grid);
			for (k = 0; k < job->nq; k++) {
				head = (const struct query_head *)(const void *)(job->packed + k * size);
				q = (const int8_t *)(head + 1);
				if (job->nq > 1)
					a = sum_grid(&grid, units(plan), q, planes, head->sum);
				else if (words == 2 * RADIX_WIDE_UNIT)
					a = sum_block(plan, t, 2, 0, &strip, i, q, planes, head->sum);
				else
					a = sum_block(plan, t, words / RADIX_WIDE_UNIT, words % RADIX_WIDE_UNIT, &strip, i, q,
						      planes, head->sum);
				a = finish_rows(plan, head, &strip, i, a, _mm512_setzero_ps());
				_mm512_mask_storeu_ps(job->scores + k * job->ld + j + i, lanes(strip.n - i), a);
			}
		}
	}
}

static void run(const struct score_job *job, const struct radix_tables *t)
{
	if (query_planes(job->plan) == 2)
		run_planes(job, t, 2);
	else
		run_planes(job, t, 1);
}

#include "score_calls.h"

const struct tq_quantizer_ops avx512_radix_wide_ops = {
	.struct_size = sizeof(struct tq_quantizer_ops),
	.create = avx512_radix_create,
	.destroy = avx512_radix_destroy,
	.query_size = query_size,
	.query_pack = query_pack,
	.score = score,
	.score_list = score_list,
};
