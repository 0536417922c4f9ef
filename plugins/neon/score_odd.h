/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_NEON_SCORE_ODD_H
#define TQ_NEON_SCORE_ODD_H

/*
 * Operations of score(*) for codes whose rows become levels in the order of coordinates: the blocks of group.h, and
 * queries in that order. The file that includes this one has
 *
 *	struct code_rows	four rows as it keeps them while their blocks are written
 *	like_bits		4 or 5: as many bits of a grid have levels of as many planes, by the plan
 *	rows_open		begin with four rows
 *	rows_write		their levels of up to DOT_BLOCK coordinates from @first on; past the row's end zeros if
 *				@zeros, else anything; returns the bytes. @to: planes @plane_bytes apart, as of group.h
 */

#include "pairs.h"

static void query_pack_planes(const struct tq_plan *plan, uint32_t bits, const int8_t *hi, const int8_t *lo,
			      int8_t *part)
{
	memcpy(part, hi, plan->dim);
	if (lo)
		memcpy(part + query_plane_bytes(plan, bits), lo, plan->dim);
}

/* What sums_value() wants: levels are odd integers */
static const struct shape odd_shape = {.alpha = 1};

/* Sums of four rows with the planes of some queries */
static void sums_of(const struct tq_plan *plan, const void *state, const uint8_t *const *row,
		    const int8_t *const *plane, size_t nplanes, int32x4_t sum[2][COLUMNS])
{
	uint32_t level_planes = levels_planes(like_bits(plan));
	const int8_t *columns[COLUMNS];
	struct level_block levels;
	struct code_rows rows;
	size_t first, c, n;

	for (c = 0; c < nplanes; c++)
		sum[0][c] = sum[1][c] = vdupq_n_s32(0);
	rows_open(plan, state, row, &rows);
	for (first = 0; first < plan->dim; first += DOT_BLOCK) {
		n = rows_write(plan, state, &rows, first, 0, &levels, sizeof(levels.plane[0]), dot_rows_put);
		for (c = 0; c < nplanes; c++)
			columns[c] = plane[c] + first;
		group_block(&levels, level_planes, columns, nplanes, n, sum);
	}
}

/* Up to GROUP queries and all rows */
static void score_some(const struct score_job *job, const void *state)
{
	uint32_t planes = query_planes(job->plan), bits = like_bits(job->plan), p;
	const struct row_shape shape = row_shape_of(job->plan);
	size_t size = query_bytes(job->plan), i, j;
	int32x4_t sum[2][COLUMNS], own[3];
	const struct query_head *head;
	const int8_t *plane[COLUMNS];
	const uint8_t *row[ROWS];
	struct row_fields f;
	float32x4_t a;

	for (i = 0; i < job->nq; i++)
		for (p = 0; p < planes; p++)
			plane[i * planes + p] = (const int8_t *)query_part(job->plan, job->packed + i * size, 0) +
						p * query_plane_bytes(job->plan, bits);
	for (j = 0; j < job->n; j += ROWS) {
		row_addresses(job, shape.bytes, j, row);
		row_fields_load(&shape, row, &f);
		sums_of(job->plan, state, row, plane, job->nq * planes, sum);
		for (i = 0; i < job->nq; i++) {
			head = (const void *)(job->packed + i * size);
			group_pick(sum, i * planes, bits, planes, own);
			a = sums_value(&odd_shape, own, head->sum, bits, planes);
			store_scores(job->scores + i * job->ld + j, score_finish(&shape, head, &f, a, vdupq_n_f32(0.0f)),
				     job->n - j);
		}
	}
}

#define SCORE_MOST GROUP
#include "../simd/trellis_score.h"

/* Sums of four rows with four others, a column each */
static void pair_sums_of(const struct tq_plan *plan, const void *state, const uint8_t *const *a,
			 const uint8_t *const *b, int32x4_t sum[2][COLUMNS])
{
	uint32_t planes = levels_planes(like_bits(plan)), p;
	const int8_t *columns[ROWS * 2];
	struct code_rows rows, others;
	struct column_block left;
	struct level_block right;
	size_t first, r, n;

	for (r = 0; r < ROWS * planes; r++) {
		sum[0][r] = sum[1][r] = vdupq_n_s32(0);
		p = (uint32_t)(r % planes);
		columns[r] = left.row[p][r / planes];
	}
	rows_open(plan, state, a, &rows);
	rows_open(plan, state, b, &others);
	for (first = 0; first < plan->dim; first += DOT_BLOCK) {
		rows_write(plan, state, &rows, first, 1, &left, sizeof(left.row[0]), column_put);
		n = rows_write(plan, state, &others, first, 0, &right, sizeof(right.plane[0]), dot_rows_put);
		group_block(&right, planes, columns, ROWS * planes, n, sum);
	}
}

static void score_pairs(const struct tq_plan *plan, const void *state, const uint8_t *a, size_t na, const uint8_t *b,
			size_t nb, float *scores, size_t ld)
{
	struct score_job left = {plan, NULL, NULL, 0, a, NULL, na, scores, ld};
	struct score_job right = {plan, NULL, NULL, 0, b, NULL, nb, NULL, 0};
	uint32_t bits = like_bits(plan), planes = levels_planes(bits);
	const struct row_shape shape = row_shape_of(plan);
	const uint8_t *rows[ROWS], *others[ROWS];
	int32x4_t sum[2][COLUMNS], own[3];
	struct row_fields f;
	size_t i, j, r;

	for (i = 0; i < na; i += ROWS) {
		row_addresses(&left, shape.bytes, i, rows);
		for (j = 0; j < nb; j += ROWS) {
			row_addresses(&right, shape.bytes, j, others);
			row_fields_load(&shape, others, &f);
			pair_sums_of(plan, state, rows, others, sum);
			for (r = 0; r < ROWS && i + r < na; r++) {
				group_pick(sum, r * planes, bits, planes, own);
				store_scores(scores + (i + r) * ld + j,
					     pair_finish(plan, rows[r], &f, sums_value(&odd_shape, own, 0, bits, planes)),
					     nb - j);
			}
		}
	}
}

#endif
