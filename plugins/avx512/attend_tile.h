/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_AVX512_ATTEND_TILE_H
#define TQ_AVX512_ATTEND_TILE_H

/*
 * Rows of a call of weighted sums, interleaved by four: tiles of codes where an index is one field, since those
 * are bytes too and fewer than levels, or of levels.
 */

#include "short.h"
#include "weights.h"

#define TILE_BYTES 16384
/* Groups of rows of a tile where two rows share a register */
#define SHORT_GROUPS 16

/*
 * What is asked for beside the products: @step bytes more with each four rows of a pass. All at once, while a
 * tile is filled, would keep the loads of the tile itself waiting.
 */
struct ahead {
	const char *at;
	size_t step;
};

/* The rows of a call, chunk by chunk */
struct source {
	const struct tq_plan *plan;
	const struct shape *shape;
	const uint8_t *codes;
	size_t n;
	size_t chunk;
	struct level_tables tables;
	struct ahead ahead;
};

/* Are codes interleaved as they are? Fields of several widths meet only where they lie in a row. */
LEVELS_INLINE int late(uint32_t bits)
{
	return bits == 1 || bits == 2 || bits == 4;
}

/* Registers of a tile that four rows of a chunk become */
LEVELS_INLINE uint32_t tile_step(uint32_t bits)
{
	return late(bits) ? 4 : 4 * levels_vectors(bits) * levels_planes(bits);
}

/*
 * A tile of rows of a chunk: @groups groups of four, or of four pairs (short.h), from row @first on, and which
 * bytes there are if not all
 */
struct tile {
	__m512i *at;
	size_t first, groups;
	const uint64_t *tail;
};

/* For pairs: [2 * weight + plane][group], of the first four rows in the lower half and of the others above */
struct pair_weights {
	__m512i at[2 * MOST_WEIGHTS][SHORT_GROUPS];
};

LEVELS_INLINE void fetch_ahead(struct ahead *a)
{
	_mm_prefetch(a->at, _MM_HINT_T1);
	if (a->step > 64)
		_mm_prefetch(a->at + a->step / 2, _MM_HINT_T1);
	a->at += a->step;
}

/* Where the rows of group @g are; those past the end repeat the last */
LEVELS_INLINE void find_rows(const struct source *s, const struct tile *tile, size_t g, uint32_t fold,
			     const uint8_t **row)
{
	size_t t = tile->first + 4 * fold * g, last = s->n - 1, r;

	for (r = 0; r < 4 * fold; r++, t++)
		row[r] = s->codes + (t < last ? t : last) * s->plan->layout.row_bytes;
}

/* The fields of row @row[0], or of that and row[4] */
LEVELS_INLINE void load_fields(const struct source *s, const uint8_t *const *row, const uint64_t *tail, uint32_t bits,
			       uint32_t fold, __m512i *f)
{
	uint32_t k;

	if (fold == 2)
		short_fields(s->shape, row, tail, bits, 2, f);
	for (k = 0; fold == 1 && k < levels_fields(bits); k++)
		f[k] = load_field(row[0] + s->shape->at[k] + s->chunk * levels_step(bits, k), tail ? tail + k : NULL,
				  levels_step(bits, k));
}

/* Codes of the rows of group @g, as they are */
LEVELS_INLINE void fill_codes(const struct source *s, const struct tile *tile, size_t g, uint32_t bits, uint32_t fold)
{
	const uint8_t *row[8];
	__m512i rows[4];
	int r;

	find_rows(s, tile, g, fold, row);
#pragma GCC unroll 4
	for (r = 0; r < 4; r++)
		load_fields(s, row + r, tile->tail, bits, fold, rows + r);
	interleave(rows, tile->at + 4 * g);
}

/* Levels of all rows */
LEVELS_INLINE void fill_levels(const struct source *s, const struct tile *tile, uint32_t bits, uint32_t fold)
{
	__m512i hi[4][LEVEL_VECTORS], lo[4][LEVEL_VECTORS], rows[4], f[3], *to = tile->at;
	uint32_t vectors = levels_vectors(bits), v;
	const uint8_t *row[8];
	size_t g;
	int r;

	for (g = 0; g < tile->groups; g++) {
		find_rows(s, tile, g, fold, row);
#pragma GCC unroll 4
		for (r = 0; r < 4; r++) {
			load_fields(s, row + r, tile->tail, bits, fold, f);
			levels_of_fields(&s->tables, f, bits, hi[r], lo[r]);
		}
		for (v = 0; v < vectors; v++, to += 4) {
			for (r = 0; r < 4; r++)
				rows[r] = hi[r][v];
			interleave(rows, to);
		}
		for (v = 0; bits > 4 && v < vectors; v++, to += 4) {
			for (r = 0; r < 4; r++)
				rows[r] = lo[r][v];
			interleave(rows, to);
		}
	}
}

/* Weights of a tile for pairs of rows */
static void pair_up(const struct weights *w, int nw, const struct tile *tile, struct pair_weights *to)
{
	const __m512i halves = _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
	const int8_t *weight;
	__m512i x;
	size_t g;
	int i;

	for (i = 0; i < 2 * nw; i++) {
		weight = w->plane[i / 2][i % 2] + tile->first;
		for (g = 0; g < tile->groups; g++, weight += 8) {
			x = _mm512_castsi128_si512(_mm_loadl_epi64((const __m128i *)(const void *)weight));
			to->at[i][g] = _mm512_permutexvar_epi32(halves, x);
		}
	}
}

#endif
