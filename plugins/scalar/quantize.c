/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Levels and scale of a rotated row, FORMAT.md section 4 steps 7 and 8, and the way back, section 5.
 * The indices live in the row itself; loops hold a chunk of them on the stack.
 */

#include "scalar.h"

#define MULTIPLIERS 17
#define SWEEPS 4

/* How well a choice of indices points along y: yc = sum y * odd by 16 lanes, cc = sum odd^2. */
struct fit {
	float yc;
	int64_t cc;
};

static float quality(float yc, int64_t cc)
{
	return yc > 0.0f ? (yc * yc) / (float)cc : 0.0f;
}

/* How many of the ascending thresholds are <= y; the count of levels is a power of two. */
static uint8_t level_of(float y, const float *threshold, unsigned count)
{
	unsigned k = 0, step;

	for (step = count / 2; step > 0; step /= 2)
		if (y >= threshold[k + step - 1])
			k += step;
	return (uint8_t)k;
}

/* Indices of coordinates @at to @at + @n - 1 of row @y */
static void choose(const struct tq_plan *plan, const float *threshold, const float *y, size_t at, size_t n,
		   uint8_t *index)
{
	size_t i;

	if (plan->radix) {
		scalar_radix_choose(plan, threshold, y, at, n, index);
		return;
	}
	for (i = 0; i < n; i++)
		index[i] = level_of(y[at + i], threshold, plan->codebook.count);
}

static void load_indices(const struct tq_plan *plan, const uint8_t *row, size_t at, size_t n, uint8_t *index)
{
	if (plan->radix)
		scalar_radix_load(plan, row, at, n, index);
	else
		tq_unpack_indices(plan, row, at, n, index);
}

/* Into fields that hold words already, if these have digits */
static void store_indices(const struct tq_plan *plan, const uint8_t *index, size_t at, size_t n, uint8_t *row)
{
	if (plan->radix)
		scalar_radix_store(plan, index, at, n, row);
	else
		tq_pack_indices(plan, index, at, n, row);
}

static void make_thresholds(const struct tq_plan *plan, float r, float *threshold)
{
	uint32_t k;

	for (k = 0; k + 1 < plan->codebook.count; k++)
		threshold[k] = plan->codebook.bounds[k] * r;
}

static void fit_add(const struct tq_plan *plan, const float *y, const uint8_t *index, size_t n,
		    float *lane, int64_t *cc)
{
	size_t i;
	int odd;

	for (i = 0; i < n; i++) {
		odd = plan->codebook.odd[index[i]];
		lane[i & 15] = lane[i & 15] + y[i] * (float)odd;
		*cc += odd * odd;
	}
}

/* The fit of the nearest levels under bounds * r; stored into @row unless it is NULL. */
static struct fit fit_nearest(const struct tq_plan *plan, const float *y, float r, uint8_t *row)
{
	float threshold[256], lane[16] = { 0 };
	uint8_t index[SCALAR_CHUNK];
	struct fit fit = { 0 };
	size_t at, n;

	make_thresholds(plan, r, threshold);
	if (row && plan->radix)
		scalar_clear_fields(plan, row);
	for (at = 0; at < plan->dim; at += n) {
		n = plan->dim - at < SCALAR_CHUNK ? plan->dim - at : SCALAR_CHUNK;
		choose(plan, threshold, y, at, n, index);
		fit_add(plan, y + at, index, n, lane, &fit.cc);
		if (row)
			store_indices(plan, index, at, n, row);
	}
	fit.yc = tq_sum16(lane);
	return fit;
}

/* The fit of the levels in the row. */
static struct fit fit_stored(const struct tq_plan *plan, const float *y, const uint8_t *row)
{
	int16_t level[SCALAR_CHUNK];
	struct fit fit = { 0 };
	float lane[16] = { 0 };
	size_t at, n, i;

	for (at = 0; at < plan->dim; at += n) {
		n = plan->dim - at < SCALAR_CHUNK ? plan->dim - at : SCALAR_CHUNK;
		scalar_load_levels(plan, row, at, n, level);
		for (i = 0; i < n; i++) {
			lane[i & 15] = lane[i & 15] + y[at + i] * (float)level[i];
			fit.cc += level[i] * level[i];
		}
	}
	fit.yc = tq_sum16(lane);
	return fit;
}

/* Effort 1: the multiplier of the thresholds, 0.75 .. 1.25, whose levels point best along y. */
static struct fit fit_search(const struct tq_plan *plan, const float *y, float r, uint8_t *row)
{
	float mu, best_mu = 0.75f, best = -1.0f, q;
	struct fit fit;
	int j;

	for (j = 0; j < MULTIPLIERS; j++) {
		mu = 0.75f + (float)j / 32.0f;
		fit = fit_nearest(plan, y, r * mu, NULL);
		q = quality(fit.yc, fit.cc);
		if (q > best) {
			best = q;
			best_mu = mu;
		}
	}
	return fit_nearest(plan, y, r * best_mu, row);
}

/* Move one index to a neighbour if that is strictly better. */
static int try_move(const struct tq_plan *plan, float y, int step, uint8_t *index, struct fit *fit)
{
	const int16_t *odd = plan->codebook.odd;
	int to = *index + step;
	struct fit next;

	if (to < 0 || to >= (int)plan->codebook.count || (plan->radix && !scalar_radix_alike(plan, *index, to)))
		return 0;
	next.yc = fit->yc + y * (float)(odd[to] - odd[*index]);
	next.cc = fit->cc + odd[to] * odd[to] - odd[*index] * odd[*index];
	if (!(next.yc > 0.0f) || !(quality(next.yc, next.cc) > quality(fit->yc, fit->cc)))
		return 0;
	*fit = next;
	*index = (uint8_t)to;
	return 1;
}

/* Effort 2: coordinate descent over the indices in the row. */
static struct fit fit_descend(const struct tq_plan *plan, const float *y, struct fit fit,
			      uint8_t *row)
{
	uint8_t index[SCALAR_CHUNK];
	int sweep, moved = 1;
	size_t at, n, i;

	for (sweep = 0; sweep < SWEEPS && moved; sweep++) {
		moved = 0;
		for (at = 0; at < plan->dim; at += n) {
			n = plan->dim - at < SCALAR_CHUNK ? plan->dim - at : SCALAR_CHUNK;
			load_indices(plan, row, at, n, index);
			for (i = 0; i < n; i++)
				moved |= try_move(plan, y[at + i], -1, &index[i], &fit) ||
					 try_move(plan, y[at + i], 1, &index[i], &fit);
			store_indices(plan, index, at, n, row);
		}
	}
	return fit_stored(plan, y, row);
}

static void quantize_row(const struct tq_plan *plan, const float *y, const struct tq_row_stat *stat,
			 uint8_t *row)
{
	float r = sqrtf(stat->norm2 / (float)plan->dim), scale;
	struct fit fit = { 0 };

	if (plan->window) {
		scalar_trellis(plan, y, r, row);
		fit = fit_stored(plan, y, row);
	} else if (plan->polar) {
		scalar_polar(plan, y, r, row);
		fit = fit_stored(plan, y, row);
	} else if (plan->effort >= 1 && plan->codebook.count > 2)
		fit = fit_search(plan, y, r, row);
	else if (plan->codebook.count > 0)
		fit = fit_nearest(plan, y, r, row);
	if (plan->effort == 2 && plan->codebook.count > 2)
		fit = fit_descend(plan, y, fit, row);
	scale = tq_row_scale(plan, stat->norm2, fit.yc, fit.cc);
	tq_store_scale(plan, row + plan->layout.scale_at, tq_scale_up(scale, stat->exponent));
	if (plan->layout.cross_at != TQ_NO_FIELD)
		memcpy(row + plan->layout.cross_at, &stat->cross, sizeof(stat->cross));
}

void scalar_quantize(const struct tq_plan *plan, const void *state, const float *y,
		     const struct tq_row_stat *stat, size_t n, uint8_t *codes)
{
	size_t i;

	for (i = 0; i < n; i++)
		quantize_row(plan, y + i * plan->dim, &stat[i],
			     codes + i * plan->layout.row_bytes);
}

static void dequantize_row(const struct tq_plan *plan, const uint8_t *row, float *y,
			   int32_t *exponent)
{
	float t = tq_split_scale(tq_load_scale(plan, row + plan->layout.scale_at), exponent) *
		  plan->codebook.half_step;
	int16_t level[SCALAR_CHUNK];
	size_t at, n, i;

	for (at = 0; at < plan->dim; at += n) {
		n = plan->dim - at < SCALAR_CHUNK ? plan->dim - at : SCALAR_CHUNK;
		scalar_load_levels(plan, row, at, n, level);
		for (i = 0; i < n; i++)
			y[at + i] = (float)level[i] * t;
	}
}

void scalar_dequantize(const struct tq_plan *plan, const void *state, const uint8_t *codes,
		       size_t n, float *y, int32_t *exponent)
{
	size_t i;

	for (i = 0; i < n; i++)
		dequantize_row(plan, codes + i * plan->layout.row_bytes, y + i * plan->dim,
			       &exponent[i]);
}
