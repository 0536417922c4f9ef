/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of trellis codes: tables, rotated rows to codes and back.
 */

#include "trellis.h"

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

/* (level + 127) / 2 of a state of 9 bits */
static uint8_t grid_of(const struct tq_plan *plan, unsigned state)
{
	int odd = state < 256 ? plan->trellis[state] : -plan->trellis[511 - state];

	return (uint8_t)((odd + 127) / 2);
}

/* The state whose neighbouring bits differ by @y and whose bit @at is clear */
static unsigned state_of(unsigned y, unsigned at)
{
	unsigned state = 0, k;

	for (k = 0; k < 8; k++)
		state |= ((state >> k ^ y >> k) & 1) << (k + 1);
	return state >> at & 1 ? 511 - state : state;
}

/* Coordinate of byte @i of register @k */
static unsigned place_of(unsigned bits, unsigned k, unsigned i)
{
	return bits == 4 ? 2 * i + k : 16 * (i / 8) + 8 * k + i % 8;
}

static void set_whole(const struct tq_plan *plan, struct trellis_whole *w)
{
	static const unsigned sign_of_4[2] = { 7, 3 };
	unsigned bits = plan->index_bits, k, i, at;
	uint8_t low, high;

	for (k = 0; k < 2; k++) {
		at = bits == 4 ? sign_of_4[k] : 8;
		for (i = 0; i < 128; i++) {
			low = grid_of(plan, state_of(i, at));
			high = grid_of(plan, state_of(i + 128, at));
			w->grid[k][i / 64][i % 64] = low;
			w->grid[k][2 + i / 64][i % 64] = low ^ high;
		}
		for (i = 0; i < 64; i++) {
			w->place[k][i] = (uint8_t)place_of(bits, k, i);
			w->shift[k][i] = (uint8_t)(bits * (8 * k + i % 8));
			w->sign[k][i] = w->shift[k][i] + 1;
		}
	}
	for (i = 0; i < 64; i++)
		w->order[i] = (uint8_t)((2 * bits * (i / 8) + i % 8) % (16 * bits));
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
	if (trellis_is_whole(plan))
		set_whole(plan, &t->whole);
	avx512_trellis_search_tables(plan, t);
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

static float trellis_fit(const struct tq_plan *plan, const struct trellis_tables *t, const float *y,
			 const uint8_t *row, int64_t *sum)
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
	*sum = _mm512_reduce_add_epi32(cc);
	return sum_tree(yc);
}

static void trellis_floats(const struct tq_plan *plan, const struct trellis_tables *t, const uint8_t *row,
			   float step, float *y)
{
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

#define trellis_together avx512_trellis_together
#define trellis_search avx512_trellis_search
#include "../simd/trellis_rows.h"

const struct tq_quantizer_ops avx512_trellis_ops = {
	.struct_size = sizeof(struct tq_quantizer_ops),
	.create = avx512_trellis_create,
	.destroy = avx512_trellis_destroy,
	.quantize = quantize,
	.dequantize = dequantize,
};
