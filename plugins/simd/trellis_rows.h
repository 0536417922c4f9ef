/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_SIMD_TRELLIS_ROWS_H
#define TQ_SIMD_TRELLIS_ROWS_H

/*
 * The operations of quantize(tcq) for every instruction set. The file that includes this one defines
 *
 *	trellis_together	rows that a search works on at once: 1 or 2
 *	trellis_search		the bits of so many rows
 *	trellis_fit		sum y * odd in 16 lanes, and sum odd^2, of a row whose bits are there
 *	trellis_floats		a row's coordinates
 */

#include "tq/trellis.h"

static void finish(const struct tq_plan *plan, const struct trellis_tables *t, const float *y,
		   const struct tq_row_stat *stat, uint8_t *row)
{
	int64_t cc;
	float yc = trellis_fit(plan, t, y, row, &cc), scale = tq_row_scale(plan, stat->norm2, yc, cc);

	tq_store_scale(plan, row + plan->layout.scale_at, tq_scale_up(scale, stat->exponent));
	if (plan->layout.cross_at != TQ_NO_FIELD)
		memcpy(row + plan->layout.cross_at, &stat->cross, sizeof(stat->cross));
}

static void quantize(const struct tq_plan *plan, const void *state, const float *y,
		     const struct tq_row_stat *stat, size_t n, uint8_t *codes)
{
	size_t most = trellis_together(plan), rows, k;
	const float *from[2];
	uint8_t *row[2];
	float r[2];

	for (; n; n -= rows, y += rows * plan->dim, stat += rows, codes += rows * plan->layout.row_bytes) {
		rows = n < most ? n : most;
		for (k = 0; k < rows; k++) {
			from[k] = y + k * plan->dim;
			row[k] = codes + k * plan->layout.row_bytes;
			r[k] = sqrtf(stat[k].norm2 / (float)plan->dim);
		}
		trellis_search(plan, state, from, r, rows, row);
		for (k = 0; k < rows; k++)
			finish(plan, state, from[k], &stat[k], row[k]);
	}
}

static void dequantize(const struct tq_plan *plan, const void *state, const uint8_t *codes, size_t n,
		       float *y, int32_t *exponent)
{
	float step;
	size_t i;

	for (i = 0; i < n; i++, codes += plan->layout.row_bytes, y += plan->dim) {
		step = tq_split_scale(tq_load_scale(plan, codes + plan->layout.scale_at), &exponent[i]);
		trellis_floats(plan, state, codes, step * plan->codebook.half_step, y);
	}
}

#endif
