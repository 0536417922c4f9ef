/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of trellis codes: tables, rotated rows to codes and back.
 */

#include <stdio.h>
#include "trellis.h"

int avx512_trellis_supports(const struct tq_plan *plan, char *why, size_t size)
{
	if (plan->dim % 8 == 0)
		return 1;
	snprintf(why, size, "does not serve dimensions that are no multiple of 8");
	return 0;
}

/* Unit @u begins at coordinate 64 u; its eights of coordinates are @bits bytes each. */
static void set_unit(const struct tq_plan *plan, size_t u, struct trellis_unit *unit)
{
	size_t bits = plan->index_bits, start, end, ring, q, k;

	tq_trellis_segment(plan->dim, TRELLIS_UNIT * u, &start, &end);
	ring = (end - start) * bits / 8;
	unit->at = plan->layout.section[0].at + start * bits / 8;
	unit->mask = bytes(ring);
	for (q = 0; q < 8; q++)
		for (k = 0; k < 8; k++)
			unit->order[8 * q + k] =
				(uint8_t)(((TRELLIS_UNIT * u - start) * bits / 8 + q * bits + k) % ring);
}

static void set_search(const struct tq_plan *plan, struct trellis_tables *t)
{
	unsigned bits = plan->index_bits, groups = 1u << (plan->window - bits), i, c, j, at = 0;
	unsigned held = groups < 32 ? groups : 32;

	for (i = 0; i < 1u << plan->window; i++)
		t->level[i] = (int16_t)(plan->trellis[i] * TQ_TRELLIS_UNIT);
	for (j = 0; j < groups; j += 32)
		for (c = 0; c < 1u << bits; c++)
			for (i = 0; i < 32; i++)
				t->target[at++] = t->level[(j + i) % groups << bits | c];
	for (i = 0; i < 32; i++)
		t->transpose[(i % held % (1u << bits)) * (held >> bits) + (i % held >> bits)] =
			(uint16_t)(i % held);
}

int avx512_trellis_create(const struct tq_host *host, const struct tq_plan *plan, void **state)
{
	struct trellis_tables *t = host->alloc(host, sizeof(*t));
	size_t i;

	if (!t)
		return TQ_ERR_NOMEM;
	memset(t, 0, sizeof(*t));
	for (i = 0; i < 1u << (plan->window - 1); i++)
		t->grid[i] = (uint8_t)((plan->trellis[i] + 127) / 2);
	for (i = 0; i < 64; i++) {
		t->shift[i] = (uint8_t)(i % 8 * plan->index_bits);
		t->sign_shift[i] = (uint8_t)(t->shift[i] + plan->window - 8);
	}
	for (i = 0; TRELLIS_UNIT * i < plan->dim; i++)
		set_unit(plan, i, &t->unit[i]);
	set_search(plan, t);
	*state = t;
	return TQ_OK;
}

void avx512_trellis_destroy(const struct tq_host *host, void *state)
{
	host->free(host, state);
}

AVX512_INLINE __m512i grid_at(const struct tq_plan *plan, const struct trellis_lookup *lookup,
			      const struct trellis_unit *unit, const uint8_t *row)
{
	return plan->window == 8 ? trellis_grid(lookup, unit, row, 8) : trellis_grid(lookup, unit, row, 9);
}

/* 16 coordinates of a unit: y * odd in lanes, odd^2 */
AVX512_INLINE void fit_add(const float *y, __mmask16 mask, __m128i grid, __m512 *yc, __m512i *cc)
{
	__m512 odd = trellis_odd(grid);
	__m512i whole = _mm512_cvtps_epi32(odd);

	*yc = _mm512_mask_add_ps(*yc, mask, *yc, _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, y), odd));
	*cc = _mm512_mask_add_epi32(*cc, mask, *cc, _mm512_mullo_epi32(whole, whole));
}

/* The scale of a row whose bits are there */
static float fit(const struct tq_plan *plan, const struct trellis_tables *t, const float *y,
		 const struct tq_row_stat *stat, const uint8_t *row)
{
	struct trellis_lookup lookup = trellis_lookup_load(t);
	__m512i cc = _mm512_setzero_si512(), grid;
	__m512 yc = _mm512_setzero_ps();
	size_t d = plan->dim, at;

	for (at = 0; at < d; at += TRELLIS_UNIT) {
		grid = grid_at(plan, &lookup, &t->unit[at / TRELLIS_UNIT], row);
		fit_add(y + at, lanes(d - at), _mm512_castsi512_si128(grid), &yc, &cc);
		if (at + 16 < d)
			fit_add(y + at + 16, lanes(d - at - 16), _mm512_extracti32x4_epi32(grid, 1), &yc, &cc);
		if (at + 32 < d)
			fit_add(y + at + 32, lanes(d - at - 32), _mm512_extracti32x4_epi32(grid, 2), &yc, &cc);
		if (at + 48 < d)
			fit_add(y + at + 48, lanes(d - at - 48), _mm512_extracti32x4_epi32(grid, 3), &yc, &cc);
	}
	return tq_row_scale(plan, stat->norm2, sum_tree(yc), _mm512_reduce_add_epi32(cc));
}

static void finish(const struct tq_plan *plan, const struct trellis_tables *t, const float *y,
		   const struct tq_row_stat *stat, uint8_t *row)
{
	float scale = fit(plan, t, y, stat, row);

	tq_store_scale(plan, row + plan->layout.scale_at, tq_scale_up(scale, stat->exponent));
	if (plan->layout.cross_at != TQ_NO_FIELD)
		memcpy(row + plan->layout.cross_at, &stat->cross, sizeof(stat->cross));
}

static void quantize(const struct tq_plan *plan, const void *state, const float *y,
		     const struct tq_row_stat *stat, size_t n, uint8_t *codes)
{
	size_t most = avx512_trellis_together(plan), rows, k;
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
		avx512_trellis_search(plan, state, from, r, rows, row);
		for (k = 0; k < rows; k++)
			finish(plan, state, from[k], &stat[k], row[k]);
	}
}

static void dequantize_row(const struct tq_plan *plan, const struct trellis_tables *t, const uint8_t *row,
			   float *y, int32_t *exponent)
{
	float step = tq_split_scale(tq_load_scale(plan, row + plan->layout.scale_at), exponent) *
		     plan->codebook.half_step;
	struct trellis_lookup lookup = trellis_lookup_load(t);
	uint8_t grid[TRELLIS_UNIT] __attribute__((aligned(64)));
	size_t d = plan->dim, at, i;
	__m512 odd;

	for (at = 0; at < d; at += TRELLIS_UNIT) {
		_mm512_store_si512(grid, grid_at(plan, &lookup, &t->unit[at / TRELLIS_UNIT], row));
		for (i = 0; i < TRELLIS_UNIT && at + i < d; i += 16) {
			odd = trellis_odd(_mm_load_si128((const __m128i *)(const void *)(grid + i)));
			store_floats(y + at + i, _mm512_mul_ps(odd, _mm512_set1_ps(step)), lanes(d - at - i));
		}
	}
}

static void dequantize(const struct tq_plan *plan, const void *state, const uint8_t *codes, size_t n,
		       float *y, int32_t *exponent)
{
	size_t i;

	for (i = 0; i < n; i++)
		dequantize_row(plan, state, codes + i * plan->layout.row_bytes, y + i * plan->dim,
			       &exponent[i]);
}

const struct tq_quantizer_ops avx512_trellis_ops = {
	.struct_size = sizeof(struct tq_quantizer_ops),
	.create = avx512_trellis_create,
	.destroy = avx512_trellis_destroy,
	.quantize = quantize,
	.dequantize = dequantize,
};
