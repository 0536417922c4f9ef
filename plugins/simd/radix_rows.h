/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_SIMD_RADIX_ROWS_H
#define TQ_SIMD_RADIX_ROWS_H

/*
 * Rotated rows to codes of a fraction of a bit, FORMAT.md section 4 steps 6-8, for every instruction set. The file
 * that includes this one has a struct radix_tables with @books, one or two, and in each book[].levels a codebook of
 * its levels alone, and defines
 *
 *	fit_nearest	levels under bounds * r, above 0, of a row in the order of coordinates; index NULL: only the sums
 *	pack_words	... to the fields of a row
 */

#include "tq/radix.h"

#define MULTIPLIERS 17
#define SWEEPS 4

/* How well a choice of indices points along y */
struct fit {
	float yc;
	int64_t cc;
};

static float quality(struct fit fit)
{
	return fit.yc > 0.0f ? (fit.yc * fit.yc) / (float)fit.cc : 0.0f;
}

/* Where the coordinates of a book end: it begins where the one before ends */
static size_t book_end(const struct tq_plan *plan, const struct radix_tables *t, uint32_t book)
{
	return book + 1 < t->books ? plan->radix->words : plan->dim;
}

static struct fit fit_nearest(const struct tq_plan *plan, const struct radix_tables *t, const float *y, float r,
			      uint8_t *index);
static void pack_words(const struct tq_plan *plan, const uint8_t *index, uint8_t *row);

/* Effort 1: the multiplier of the thresholds whose levels point best along y, the first of the best */
static float best_multiplier(const struct tq_plan *plan, const struct radix_tables *t, const float *y, float r)
{
	float mu, best_mu = 0.75f, best = -1.0f, q;
	int j;

	for (j = 0; j < MULTIPLIERS; j++) {
		mu = 0.75f + (float)j / 32.0f;
		q = quality(fit_nearest(plan, t, y, r * mu, NULL));
		if (q > best) {
			best = q;
			best_mu = mu;
		}
	}
	return best_mu;
}

/* Move one index to a neighbour of its book if that is strictly better */
static int try_move(const struct tq_codebook *book, float y, int step, uint8_t *index, struct fit *fit)
{
	int to = *index + step;
	struct fit next;

	if (to < 0 || to >= (int)book->count)
		return 0;
	next.yc = fit->yc + y * (float)(book->odd[to] - book->odd[*index]);
	next.cc = fit->cc + book->odd[to] * book->odd[to] - book->odd[*index] * book->odd[*index];
	if (!(next.yc > 0.0f) || !(quality(next) > quality(*fit)))
		return 0;
	*fit = next;
	*index = (uint8_t)to;
	return 1;
}

/* Effort 2: sweeps over all indices until none moves */
static struct fit descend(const struct tq_plan *plan, const struct radix_tables *t, const float *y, struct fit fit,
			  uint8_t *index)
{
	const struct radix_book *b;
	float lane[16] = { 0 };
	int sweep, moved = 1;
	size_t i;

	for (sweep = 0; sweep < SWEEPS && moved; sweep++)
		for (moved = 0, i = 0; i < plan->dim; i++) {
			b = &t->book[t->books > 1 && i >= plan->radix->words];
			moved |= try_move(&b->levels, y[i], -1, &index[i], &fit) ||
				 try_move(&b->levels, y[i], 1, &index[i], &fit);
		}
	for (i = 0; i < plan->dim; i++) {
		b = &t->book[t->books > 1 && i >= plan->radix->words];
		lane[i & 15] = lane[i & 15] + y[i] * (float)b->levels.odd[index[i]];
	}
	fit.yc = tq_sum16(lane);
	return fit;
}

/* A row of zeros: every threshold is 0 and every coordinate reaches it */
static void zero_indices(const struct tq_plan *plan, const struct radix_tables *t, uint8_t *index)
{
	size_t first = 0, end;
	uint32_t book;

	for (book = 0; book < t->books; book++, first = end) {
		end = book_end(plan, t, book);
		memset(index + first, (int)t->book[book].levels.count - 1, end - first);
	}
}

static void quantize_row(const struct tq_plan *plan, const struct radix_tables *t, const float *y,
			 const struct tq_row_stat *stat, uint8_t *index, uint8_t *row)
{
	float r = sqrtf(stat->norm2 / (float)plan->dim), scale;
	struct fit fit = { 0 };

	if (!(r > 0.0f)) {
		zero_indices(plan, t, index);
	} else {
		if (plan->effort)
			r = r * best_multiplier(plan, t, y, r);
		fit = fit_nearest(plan, t, y, r, index);
		if (plan->effort == 2)
			fit = descend(plan, t, y, fit, index);
	}
	pack_words(plan, index, row);
	scale = tq_row_scale(plan, stat->norm2, fit.yc, fit.cc);
	tq_store_scale(plan, row + plan->layout.scale_at, tq_scale_up(scale, stat->exponent));
	if (plan->layout.cross_at != TQ_NO_FIELD)
		memcpy(row + plan->layout.cross_at, &stat->cross, sizeof(stat->cross));
}

#endif
