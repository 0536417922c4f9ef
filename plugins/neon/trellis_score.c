/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scores of rows of trellis codes: the blocks of levels of group.h, written here, in the order of coordinates.
 * Compiled for armv8.0 and with dot products.
 */

#include "drivers.h"
#include "pairs.h"
#include "trellis.h"

static void query_pack_planes(const struct tq_plan *plan, uint32_t bits, const int8_t *hi, const int8_t *lo,
			      int8_t *part)
{
	memcpy(part, hi, plan->dim);
	if (lo)
		memcpy(part + query_plane_bytes(plan, bits), lo, plan->dim);
}

/* What sums_value() wants: levels are odd integers of one plane, as those of 4 bits */
static const struct shape odd_shape = {.alpha = 1};
#define LIKE_BITS 4

/* A row from coordinate @first on, up to DOT_BLOCK of them; past its end @zeros or anything; returns the bytes */
NEON_INLINE size_t write_window(const struct tq_plan *plan, const struct trellis_tables *t, const uint8_t *const *row,
				size_t first, int zeros, void *to,
				void (*put)(void *to, size_t row, size_t at, int8x16_t v), unsigned window)
{
	size_t end = plan->dim - first < DOT_BLOCK ? plan->dim : first + DOT_BLOCK, at = 0, r;
	const uint8_t *field;
	struct byte_table table;
	uint8_t room[16];
	int8x16_t odd;

	trellis_table_load(&table, t, window);
	for (r = 0; r < ROWS; r++) {
		field = lanes_field(&t->lanes, row[r], room);
		for (at = 0; first + at < end; at += TRELLIS_LANE) {
			odd = trellis_odd(&t->lanes, &table, field, (first + at) / TRELLIS_LANE, window);
			if (zeros)
				odd = vandq_s8(odd, vreinterpretq_s8_u8(bytes_below(end - first - at)));
			put(to, r, at, odd);
		}
	}
	return at;
}

NEON_INLINE size_t write_levels(const struct tq_plan *plan, const struct trellis_tables *t, const uint8_t *const *row,
				size_t first, int zeros, void *to,
				void (*put)(void *to, size_t row, size_t at, int8x16_t v))
{
	return plan->window == 8 ? write_window(plan, t, row, first, zeros, to, put, 8) :
				   write_window(plan, t, row, first, zeros, to, put, 9);
}

/* Sums of four rows with the planes of some queries */
static void sums_of(const struct tq_plan *plan, const struct trellis_tables *t, const uint8_t *const *row,
		    const int8_t *const *plane, size_t nplanes, int32x4_t sum[2][COLUMNS])
{
	const int8_t *columns[COLUMNS];
	struct level_block levels;
	size_t first, c, n;

	for (c = 0; c < nplanes; c++)
		sum[0][c] = vdupq_n_s32(0);
	for (first = 0; first < plan->dim; first += DOT_BLOCK) {
		n = write_levels(plan, t, row, first, 0, &levels, dot_rows_put);
		for (c = 0; c < nplanes; c++)
			columns[c] = plane[c] + first;
		group_block(&levels, 1, columns, nplanes, n, sum);
	}
}

/* Up to GROUP queries and all rows */
static void score_some(const struct score_job *job, const struct trellis_tables *t)
{
	uint32_t planes = query_planes(job->plan), p;
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
						p * query_plane_bytes(job->plan, LIKE_BITS);
	for (j = 0; j < job->n; j += ROWS) {
		row_addresses(job, shape.bytes, j, row);
		row_fields_load(&shape, row, &f);
		sums_of(job->plan, t, row, plane, job->nq * planes, sum);
		for (i = 0; i < job->nq; i++) {
			head = (const void *)(job->packed + i * size);
			group_pick(sum, i * planes, LIKE_BITS, planes, own);
			a = sums_value(&odd_shape, own, head->sum, LIKE_BITS, planes);
			store_scores(job->scores + i * job->ld + j, score_finish(&shape, head, &f, a, vdupq_n_f32(0.0f)),
				     job->n - j);
		}
	}
}

#define SCORE_MOST GROUP
#include "../simd/trellis_score.h"

/* Sums of four rows with four others, a column each */
static void pair_sums_of(const struct tq_plan *plan, const struct trellis_tables *t, const uint8_t *const *a,
			 const uint8_t *const *b, int32x4_t sum[2][COLUMNS])
{
	const int8_t *columns[ROWS];
	struct column_block left;
	struct level_block right;
	size_t first, r, n;

	for (r = 0; r < ROWS; r++) {
		columns[r] = left.row[0][r];
		sum[0][r] = vdupq_n_s32(0);
	}
	for (first = 0; first < plan->dim; first += DOT_BLOCK) {
		write_levels(plan, t, a, first, 1, &left, column_put);
		n = write_levels(plan, t, b, first, 0, &right, dot_rows_put);
		group_block(&right, 1, columns, ROWS, n, sum);
	}
}

static void score_pairs(const struct tq_plan *plan, const void *state, const uint8_t *a, size_t na, const uint8_t *b,
			size_t nb, float *scores, size_t ld)
{
	struct score_job left = {plan, NULL, NULL, 0, a, NULL, na, scores, ld};
	struct score_job right = {plan, NULL, NULL, 0, b, NULL, nb, NULL, 0};
	const struct row_shape shape = row_shape_of(plan);
	const uint8_t *rows[ROWS], *others[ROWS];
	int32x4_t sum[2][COLUMNS];
	struct row_fields f;
	size_t i, j, r;

	for (i = 0; i < na; i += ROWS) {
		row_addresses(&left, shape.bytes, i, rows);
		for (j = 0; j < nb; j += ROWS) {
			row_addresses(&right, shape.bytes, j, others);
			row_fields_load(&shape, others, &f);
			pair_sums_of(plan, state, rows, others, sum);
			for (r = 0; r < ROWS && i + r < na; r++)
				store_scores(scores + (i + r) * ld + j,
					     pair_finish(plan, rows[r], &f, vcvtq_f32_s32(sum[0][r])), nb - j);
		}
	}
}

const struct tq_quantizer_ops TRELLIS_SCORE_OPS = {
	.struct_size = sizeof(struct tq_quantizer_ops),
	.create = neon_trellis_create,
	.destroy = neon_trellis_destroy,
	.query_size = query_size,
	.query_pack = query_pack,
	.score = score,
	.score_list = score_list,
	.score_pairs = score_pairs,
};
