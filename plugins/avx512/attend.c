/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Weighted sums of coded rows, FORMAT.md section 8.
 *
 * A weight is 128 hi + lo, both s8, as a query of two planes is; levels are bytes. Four rows go
 * together: their level bytes are interleaved, so that a 32-bit lane holds one coordinate of four
 * rows, and vpdpbusd adds the four products:
 *
 *	row t	 a0 a1 a2 a3 ...		lane 0: a0 b0 c0 d0
 *	row t+1	 b0 b1 b2 b3 ...	->	lane 1: a1 b1 c1 d1
 *	...
 *
 * A tile of rows is interleaved once for all weights; codes of one field as they lie in the row, for they
 * are bytes too and fewer, with the first products, and decoded when they are multiplied. Rows that
 * fill half of a register or less share one (short.h), four and four, and so do their weights; the halves are
 * added at the end. Sums over a call stay in int32: with 1024 rows at most, |sum of hi * level| < 1024 * 127 *
 * 127. With one plane of levels the whole sum A fits too, and is put together modulo 2^32; with two it is put
 * together in double, which is exact.
 */

#include "attend.h"
#include "attend_sums.h"
#include "attend_tile.h"

/* Where two registers of products come from: a register of codes and two of its levels, or two registers */
struct pair {
	const __m512i *at[2];
	size_t step;
	const struct level_tables *tables;
	uint32_t v;
};

LEVELS_INLINE void load_pair(const struct pair *from, size_t g, uint32_t bits, __m512i *x)
{
	__m512i level[LEVEL_VECTORS], code;

	if (late(bits)) {
		code = keep(from->at[0][g * from->step]);
		levels_of_fields(from->tables, &code, bits, level, NULL);
		x[0] = level[from->v];
		x[1] = level[from->v + 1];
		return;
	}
	x[0] = from->at[0][g * from->step];
	x[1] = from->at[1][g * from->step];
}

/* Two registers of levels times up to four weights, both planes; @fill: codes get to their tile on the way */
LEVELS_INLINE void add_products(struct source *s, const struct tile *tile, const struct pair *from, int fill,
				const struct weights *w, const struct pair_weights *pairs, int first, int nw,
				uint32_t bits, __m512i *acc0, __m512i *acc1)
{
	const int8_t *weight = w->plane[first][0] + tile->first;
	const size_t plane = sizeof(w->plane[0][0]);
	const uint32_t fold = pairs ? 2 : 1;
	struct ahead ahead = s->ahead;
	__m512i a[8], b[8], x[2], q;
	size_t g;
	int i;

#pragma GCC unroll 8
	for (i = 0; i < 2 * nw; i++) {
		a[i] = acc0[i * MOST_LANES];
		b[i] = acc1[i * MOST_LANES];
	}
	for (g = 0; g < tile->groups; g++, weight += 4) {
		fetch_ahead(&ahead);
		if (fill)
			fill_codes(s, tile, g, bits, fold);
		load_pair(from, g, bits, x);
#pragma GCC unroll 8
		for (i = 0; i < 2 * nw; i++) {
			if (pairs)
				q = pairs->at[2 * first + i][g];
			else
				q = _mm512_set1_epi32(*(const int32_t *)(const void *)(weight + (size_t)i * plane));
			a[i] = _mm512_dpbusd_epi32(a[i], x[0], q);
			b[i] = _mm512_dpbusd_epi32(b[i], x[1], q);
		}
	}
#pragma GCC unroll 8
	for (i = 0; i < 2 * nw; i++) {
		acc0[i * MOST_LANES] = a[i];
		acc1[i * MOST_LANES] = b[i];
	}
	s->ahead = ahead;
}

LEVELS_INLINE void add_weights(struct source *s, const struct tile *tile, const struct pair *from, int fill,
			       const struct weights *w, const struct pair_weights *pairs, int nw, uint32_t bits,
			       __m512i *acc0, __m512i *acc1)
{
	const size_t weight = 2 * MOST_LANES;
	size_t i = 0, n = (size_t)nw;

	if (fill && n >= 4)
		add_products(s, tile, from, 1, w, pairs, 0, 4, bits, acc0, acc1);
	else if (fill)
		add_products(s, tile, from, 1, w, pairs, 0, 1, bits, acc0, acc1);
	if (fill)
		i = n >= 4 ? 4 : 1;
	for (; i + 4 <= n; i += 4)
		add_products(s, tile, from, 0, w, pairs, (int)i, 4, bits, acc0 + i * weight, acc1 + i * weight);
	for (; i < n; i++)
		add_products(s, tile, from, 0, w, pairs, (int)i, 1, bits, acc0 + i * weight, acc1 + i * weight);
}

LEVELS_INLINE void add_tile(struct source *s, const struct tile *tile, const struct weights *w,
			    const struct pair_weights *pairs, int nw, uint32_t bits, struct chunk_sums *sums)
{
	uint32_t vectors = levels_vectors(bits), registers = 4 * vectors, p, j, v;
	struct pair from = {.step = tile_step(bits), .tables = &s->tables};

	if (late(bits)) {
#pragma GCC unroll 4
		for (v = 0; v < vectors; v += 2) {
			from.v = v;
			from.at[0] = tile->at;
			add_weights(s, tile, &from, !v, w, pairs, nw, bits, &sums->at[0][0][0][4 * v],
				    &sums->at[0][0][0][4 * v + 4]);
			for (j = 1; j < 4; j++) {
				from.at[0] = tile->at + j;
				add_weights(s, tile, &from, 0, w, pairs, nw, bits, &sums->at[0][0][0][4 * v + j],
					    &sums->at[0][0][0][4 * v + 4 + j]);
			}
		}
		return;
	}
	fill_levels(s, tile, bits, pairs ? 2 : 1);
	for (p = 0; p < levels_planes(bits); p++) {
		for (j = 0; j < registers; j += 2) {
			from.at[0] = tile->at + p * registers + j;
			from.at[1] = from.at[0] + 1;
			add_weights(s, tile, &from, 0, w, pairs, nw, bits, &sums->at[p][0][0][j], &sums->at[p][0][0][j + 1]);
		}
	}
}

/* All that lies behind the rows, evenly over their passes: wanted next if it is another head's keys */
LEVELS_INLINE void plan_ahead(struct source *s, int nw, uint32_t bits)
{
	size_t passes = 2 * levels_vectors(bits) * levels_planes(bits) * (size_t)(nw / 4 + nw % 4);
	size_t row = s->plan->layout.row_bytes;

	passes *= s->shape->chunks + s->shape->rest;
	if (!s->chunk)
		s->ahead.at = (const char *)s->codes + s->n * row;
	s->ahead.step = (4 * (s->shape->fold > 1 ? 2 : 1) * row + passes - 1) / passes;
}

LEVELS_INLINE void sum_rows(struct source *s, const struct weights *w, int nw, uint32_t bits,
			    struct chunk_sums *sums)
{
	size_t rows = 4 * (TILE_BYTES / (64 * tile_step(bits))), left;
	__m512i room[TILE_BYTES / 64];
	struct tile tile = {.at = room};

	for (; tile.first < s->n; tile.first += rows) {
		left = s->n - tile.first;
		tile.groups = ((left < rows ? left : rows) + 3) / 4;
		if (s->chunk < s->shape->chunks) {
			tile.tail = NULL;
			add_tile(s, &tile, w, NULL, nw, bits, sums);
		} else {
			tile.tail = s->shape->tail;
			add_tile(s, &tile, w, NULL, nw, bits, sums);
		}
	}
}

LEVELS_INLINE void sum_pairs(struct source *s, const struct weights *w, int nw, uint32_t bits,
			     struct chunk_sums *sums)
{
	__m512i room[SHORT_GROUPS * 4 * LEVEL_VECTORS / 2];
	const size_t rows = 8 * SHORT_GROUPS;
	struct tile tile = {.at = room};
	struct pair_weights pairs;
	size_t left;

	for (; tile.first < s->n; tile.first += rows) {
		left = s->n - tile.first;
		tile.groups = ((left < rows ? left : rows) + 7) / 8;
		pair_up(w, nw, &tile, &pairs);
		if (short_mask(s->shape, bits, 2)) {
			tile.tail = s->shape->tail;
			add_tile(s, &tile, w, &pairs, nw, bits, sums);
		} else {
			tile.tail = NULL;
			add_tile(s, &tile, w, &pairs, nw, bits, sums);
		}
	}
}

LEVELS_INLINE void sum_chunk(struct source *s, const struct weights *w, int nw, uint32_t bits,
			     struct chunk_sums *sums)
{
	uint32_t registers = 4 * levels_vectors(bits), p, j;
	int i;

	for (p = 0; p < levels_planes(bits); p++)
		for (i = 0; i < nw; i++)
			for (j = 0; j < registers; j++)
				sums->at[p][i][0][j] = sums->at[p][i][1][j] = _mm512_setzero_si512();
	plan_ahead(s, nw, bits);
	if (bits <= 4 && s->shape->fold > 1)
		sum_pairs(s, w, nw, bits, sums);
	else
		sum_rows(s, w, nw, bits, sums);
}

LEVELS_INLINE void add_chunk_sums(const struct source *s, const struct weights *w, int i,
				  uint32_t bits, const struct chunk_sums *sums, float *out)
{
	size_t chunk = levels_chunk(bits), left = s->plan->dim - s->chunk * chunk, c;
	__m512 step = _mm512_set1_ps(w->unit[i] * s->plan->codebook.half_step), a, old;
	_Alignas(64) float ordered[16 * MOST_LANES];
	__mmask16 m;

	if (bits <= 4 && s->shape->fold > 1)
		order(sums, i, w->sum[i], bits, 2, ordered);
	else
		order(sums, i, w->sum[i], bits, 1, ordered);
	for (c = 0; c < chunk && c < left; c += 16) {
		m = lanes(left - c);
		a = _mm512_load_ps(ordered + c);
		old = _mm512_maskz_loadu_ps(m, out + c);
		_mm512_mask_storeu_ps(out + c, m, _mm512_add_ps(old, _mm512_mul_ps(a, step)));
	}
}

LEVELS_INLINE void source_open(struct source *s, const void *state, uint32_t bits)
{
	const struct score_tables *tab = state;

	s->shape = &tab->level;
	level_tables_load(&s->tables, &tab->level.hi, &tab->level.lo, bits);
}

LEVELS_INLINE size_t chunk_dim(uint32_t bits)
{
	return levels_chunk(bits);
}

#define MIX_OWN_SCALES
#include "../simd/mix.h"

const struct tq_quantizer_ops avx512_attend_ops = {
	.struct_size = sizeof(struct tq_quantizer_ops),
	.create = avx512_score_create,
	.destroy = avx512_score_destroy,
	.mix = mix,
	.logits = avx512_logits,
	.weigh = avx512_weigh,
	.raw_score = avx512_raw_score,
	.raw_mix = avx512_raw_mix,
};
