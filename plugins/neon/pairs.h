/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_NEON_PAIRS_H
#define TQ_NEON_PAIRS_H

/*
 * Rows with rows: four rows of @b as the rows of a group, four rows of @a as its columns. One bit
 * is written as a sign, turned over: the product of two of them is the same.
 */

#include "group.h"
#include "score.h"

/** Levels of four rows as columns, by plane */
struct column_block {
	int8_t row[2][ROWS][DOT_BLOCK];
};

NEON_INLINE void column_put(void *to, size_t row, size_t at, int8x16_t v)
{
	vst1q_s8((int8_t *)to + row * DOT_BLOCK + at, v);
}

/* Sums of rows @a with rows @b: [plane of b][row of a, plane of a] */
NEON_INLINE void pair_sums(const struct shape *s, const uint8_t *const *a, const uint8_t *const *b,
			   uint32_t bits, int32x4_t sum[2][COLUMNS])
{
	uint32_t planes = levels_planes(bits), p;
	const int8_t *columns[ROWS * 2];
	struct column_block left;
	struct level_block right;
	size_t first, r, n;

	for (r = 0; r < ROWS * planes; r++)
		sum[0][r] = sum[1][r] = vdupq_n_s32(0);
	for (r = 0; r < ROWS; r++)
		for (p = 0; p < planes; p++)
			columns[r * planes + p] = left.row[p][r];
	for (first = 0; first < s->dim; first += DOT_BLOCK) {
		levels_write(s, a, first, bits, 1, &left, sizeof(left.row[0]), column_put);
		n = levels_write(s, b, first, bits, 1, &right, sizeof(right.plane[0]),
				 dot_rows_put);
		group_block(&right, planes, columns, ROWS * planes, n, sum);
	}
}

/* tq_pair_finish() of one row and four others */
NEON_INLINE float32x4_t pair_finish(const struct tq_plan *plan, const uint8_t *row,
				    const struct row_fields *f, float32x4_t a)
{
	float h = plan->codebook.half_step, scale, cross;
	float32x4_t s, c;

	scale = tq_load_scale(plan, row + plan->layout.scale_at);
	s = vmulq_f32(vmulq_n_f32(a, h * h), vmulq_n_f32(f->scale, scale));
	if (plan->center == TQ_CENTER_BOTH) {
		memcpy(&cross, row + plan->layout.cross_at, sizeof(cross));
		c = vaddq_f32(f->cross, vdupq_n_f32(cross));
		s = vaddq_f32(s, vsubq_f32(c, vdupq_n_f32(plan->centre_norm2)));
	}
	return s;
}

/** pair_job - rows @left with rows @right: scores at left.scores[i * ld + j] */
NEON_INLINE void pair_job(const struct score_job *left, const struct score_job *right,
			  const struct shape *s, uint32_t bits)
{
	const struct tq_plan *plan = left->plan;
	const struct row_shape shape = row_shape_of(plan);
	const uint8_t *a[ROWS], *b[ROWS];
	int32x4_t sum[2][COLUMNS], own[3];
	struct row_fields f;
	size_t i, j, r;

	for (i = 0; i < left->n; i += ROWS) {
		row_addresses(left, shape.bytes, i, a);
		for (j = 0; j < right->n; j += ROWS) {
			row_addresses(right, shape.bytes, j, b);
			row_fields_load(&shape, b, &f);
			pair_sums(s, a, b, bits, sum);
			for (r = 0; r < ROWS && i + r < left->n; r++) {
				group_pick(sum, r * levels_planes(bits), bits, levels_planes(bits),
					   own);
				store_scores(left->scores + (i + r) * left->ld + j,
					     pair_finish(plan, a[r], &f,
							 sums_value(s, own, 0, bits,
								    levels_planes(bits))),
					     right->n - j);
			}
		}
	}
}

#endif
