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
 * are bytes too and fewer, with the first products, and decoded when they are multiplied. Sums over a call stay in int32: with 1024
 * rows at most, |sum of hi * level| < 1024 * 127 * 127. With one plane of levels the whole sum A fits
 * too, and is put together modulo 2^32; with two it is put together in double, which is exact.
 */

#include "attend.h"
#include "lanes.h"
#include "query.h"
#include "weights.h"

#define TILE_BYTES 16384
/* Registers of a chunk after interleaving, per plane of levels */
#define MOST_LANES (4 * LEVEL_VECTORS)

/* Sums of one chunk: [plane of levels][weight][plane of weights][interleaved register] */
struct chunk_sums {
	__m512i at[2][MOST_WEIGHTS][2][MOST_LANES];
};

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

/* A tile of rows of a chunk: @groups groups of four from row @first on, and which bytes there are if not all */
struct tile {
	__m512i *at;
	size_t first, groups;
	const uint64_t *tail;
};

/* Where row @t has its fields; rows past the end repeat the last */
LEVELS_INLINE void find_row(const struct source *s, size_t t, uint32_t bits, const uint8_t **p)
{
	const uint8_t *row = s->codes + (t < s->n ? t : s->n - 1) * s->plan->layout.row_bytes;
	uint32_t k;

	for (k = 0; k < levels_fields(bits); k++)
		p[k] = row + s->shape->at[k] + s->chunk * levels_step(bits, k);
}

LEVELS_INLINE void fetch_ahead(struct ahead *a)
{
	_mm_prefetch(a->at, _MM_HINT_T1);
	if (a->step > 64)
		_mm_prefetch(a->at + a->step / 2, _MM_HINT_T1);
	a->at += a->step;
}

/* Codes of the four rows of group @g, as they are */
LEVELS_INLINE void fill_codes(const struct source *s, const struct tile *tile, size_t g, uint32_t bits)
{
	const uint8_t *p[3] = {NULL};
	__m512i rows[4];
	int r;

#pragma GCC unroll 4
	for (r = 0; r < 4; r++) {
		find_row(s, tile->first + 4 * g + (size_t)r, bits, p);
		rows[r] = load_field(p[0], tile->tail, 64);
	}
	interleave(rows, tile->at + 4 * g);
}

/* Levels of all rows */
LEVELS_INLINE void fill_levels(const struct source *s, const struct tile *tile, uint32_t bits)
{
	__m512i hi[4][LEVEL_VECTORS], lo[4][LEVEL_VECTORS], rows[4], *to = tile->at;
	uint32_t vectors = levels_vectors(bits), v;
	const uint8_t *p[3] = {NULL};
	size_t g;
	int r;

	for (g = 0; g < tile->groups; g++) {
#pragma GCC unroll 4
		for (r = 0; r < 4; r++) {
			find_row(s, tile->first + 4 * g + (size_t)r, bits, p);
			levels_decode(&s->tables, p, tile->tail, bits, hi[r], lo[r]);
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
				const struct weights *w, int first, int nw, uint32_t bits, __m512i *acc0,
				__m512i *acc1)
{
	const int8_t *weight = w->plane[first][0] + tile->first;
	const size_t plane = sizeof(w->plane[0][0]);
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
			fill_codes(s, tile, g, bits);
		load_pair(from, g, bits, x);
#pragma GCC unroll 8
		for (i = 0; i < 2 * nw; i++) {
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
			       const struct weights *w, int nw, uint32_t bits, __m512i *acc0, __m512i *acc1)
{
	const size_t weight = 2 * MOST_LANES;
	size_t i = 0, n = (size_t)nw;

	if (fill && n >= 4)
		add_products(s, tile, from, 1, w, 0, 4, bits, acc0, acc1);
	else if (fill)
		add_products(s, tile, from, 1, w, 0, 1, bits, acc0, acc1);
	if (fill)
		i = n >= 4 ? 4 : 1;
	for (; i + 4 <= n; i += 4)
		add_products(s, tile, from, 0, w, (int)i, 4, bits, acc0 + i * weight, acc1 + i * weight);
	for (; i < n; i++)
		add_products(s, tile, from, 0, w, (int)i, 1, bits, acc0 + i * weight, acc1 + i * weight);
}

LEVELS_INLINE void add_tile(struct source *s, const struct tile *tile, const struct weights *w, int nw,
			    uint32_t bits, struct chunk_sums *sums)
{
	uint32_t vectors = levels_vectors(bits), registers = 4 * vectors, p, j, v;
	struct pair from = {.step = tile_step(bits), .tables = &s->tables};

	if (late(bits)) {
#pragma GCC unroll 4
		for (v = 0; v < vectors; v += 2) {
			from.v = v;
			from.at[0] = tile->at;
			add_weights(s, tile, &from, !v, w, nw, bits, &sums->at[0][0][0][4 * v],
				    &sums->at[0][0][0][4 * v + 4]);
			for (j = 1; j < 4; j++) {
				from.at[0] = tile->at + j;
				add_weights(s, tile, &from, 0, w, nw, bits, &sums->at[0][0][0][4 * v + j],
					    &sums->at[0][0][0][4 * v + 4 + j]);
			}
		}
		return;
	}
	fill_levels(s, tile, bits);
	for (p = 0; p < levels_planes(bits); p++) {
		for (j = 0; j < registers; j += 2) {
			from.at[0] = tile->at + p * registers + j;
			from.at[1] = from.at[0] + 1;
			add_weights(s, tile, &from, 0, w, nw, bits, &sums->at[p][0][0][j], &sums->at[p][0][0][j + 1]);
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
	s->ahead.step = (4 * row + passes - 1) / passes;
}

LEVELS_INLINE void sum_chunk(struct source *s, const struct weights *w, int nw, uint32_t bits,
			     struct chunk_sums *sums)
{
	size_t rows = 4 * (TILE_BYTES / (64 * tile_step(bits))), left;
	uint32_t registers = 4 * levels_vectors(bits), p, j;
	__m512i room[TILE_BYTES / 64];
	struct tile tile = {.at = room};
	int i;

	for (p = 0; p < levels_planes(bits); p++)
		for (i = 0; i < nw; i++)
			for (j = 0; j < registers; j++)
				sums->at[p][i][0][j] = sums->at[p][i][1][j] = _mm512_setzero_si512();
	plan_ahead(s, nw, bits);
	for (; tile.first < s->n; tile.first += rows) {
		left = s->n - tile.first;
		tile.groups = ((left < rows ? left : rows) + 3) / 4;
		if (s->chunk < s->shape->chunks) {
			tile.tail = NULL;
			add_tile(s, &tile, w, nw, bits, sums);
		} else {
			tile.tail = s->shape->tail;
			add_tile(s, &tile, w, nw, bits, sums);
		}
	}
}

/* f32(A) of the sixteen coordinates whose sums lie in register @j, from 5 bits */
LEVELS_INLINE __m512 combine_wide(const struct chunk_sums *s, int w, uint32_t j, int64_t sum)
{
	__m256 half[2];
	__m512d v;
	int h;

	for (h = 0; h < 2; h++) {
#define PART(p, q)                                                                                 \
	_mm512_cvtepi32_pd(h ? _mm512_extracti64x4_epi64(s->at[p][w][q][j], 1)                      \
			     : _mm512_castsi512_si256(s->at[p][w][q][j]))
		v = _mm512_mul_pd(PART(0, 0), _mm512_set1_pd(16384.0));
		v = _mm512_add_pd(v, _mm512_mul_pd(_mm512_add_pd(PART(0, 1), PART(1, 0)),
						   _mm512_set1_pd(128.0)));
		v = _mm512_add_pd(v, PART(1, 1));
#undef PART
		v = _mm512_sub_pd(_mm512_add_pd(v, v), _mm512_set1_pd(16383.0 * (double)sum));
		half[h] = _mm512_cvtpd_ps(v);
	}
	return _mm512_insertf32x8(_mm512_castps256_ps512(half[0]), half[1], 1);
}

LEVELS_INLINE __m512 combine(const struct chunk_sums *s, int w, uint32_t j, int64_t sum,
			     uint32_t bits)
{
	__m512i a;

	if (bits > 4)
		return combine_wide(s, w, j, sum);
	a = _mm512_add_epi32(_mm512_slli_epi32(s->at[0][w][0][j], 7), s->at[0][w][1][j]);
	a = _mm512_sub_epi32(_mm512_add_epi32(a, a), _mm512_set1_epi32((int32_t)(127 * sum)));
	return _mm512_cvtepi32_ps(a);
}

/*
 * Where coordinate c of a chunk lies among the interleaved lanes: byte i = c / V of register v = c % V
 * became lane 4 (i / 16) + i % 4 of register 4 v + i / 4 % 4.
 */
LEVELS_INLINE __m512i places(size_t c, uint32_t vectors)
{
	const __m512i ramp = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
	int shift = vectors == 8 ? 3 : vectors == 4 ? 2 : vectors == 2 ? 1 : 0;
	__m512i at = _mm512_add_epi32(_mm512_set1_epi32((int)c), ramp);
	__m512i v = _mm512_and_si512(at, _mm512_set1_epi32((int)vectors - 1));
	__m512i i = _mm512_srli_epi32(at, (unsigned)shift);
	__m512i reg = _mm512_and_si512(_mm512_srli_epi32(i, 2), _mm512_set1_epi32(3));
	__m512i lane = _mm512_slli_epi32(_mm512_srli_epi32(i, 4), 2);

	reg = _mm512_add_epi32(_mm512_slli_epi32(v, 2), reg);
	lane = _mm512_add_epi32(lane, _mm512_and_si512(i, _mm512_set1_epi32(3)));
	return _mm512_add_epi32(_mm512_slli_epi32(reg, 4), lane);
}

/* f32(A) of a chunk in the order of coordinates: places() from the other side, for two registers or one */
LEVELS_INLINE void order(const struct chunk_sums *sums, int w, int64_t sum, uint32_t bits, float *to)
{
	_Alignas(64) float by_lane[16 * MOST_LANES];
	uint32_t vectors = levels_vectors(bits), j, k;
	__m512 x[4], a, b;
	size_t c;

	for (j = 0; vectors == 1 && j < 4; j++)
		x[j] = combine(sums, w, j, sum, bits);
	if (vectors == 1)
		store_quarters(x, to, 16);
	for (j = 0; vectors == 2 && j < 4; j += 2) {
#pragma GCC unroll 2
		for (k = 0; k < 2; k++) {
			a = combine(sums, w, j + k, sum, bits);
			b = combine(sums, w, 4 + j + k, sum, bits);
			x[2 * k] = _mm512_unpacklo_ps(a, b);
			x[2 * k + 1] = _mm512_unpackhi_ps(a, b);
		}
		store_quarters(x, to + 8 * j, 32);
	}
	if (vectors <= 2)
		return;
	for (j = 0; j < 4 * vectors; j++)
		_mm512_store_ps(by_lane + 16 * j, combine(sums, w, j, sum, bits));
	for (c = 0; c < levels_chunk(bits); c += 16)
		_mm512_store_ps(to + c, _mm512_i32gather_ps(places(c, vectors), by_lane, 4));
}

LEVELS_INLINE void add_chunk_sums(const struct source *s, const struct weights *w, int i,
				  uint32_t bits, const struct chunk_sums *sums, float *out)
{
	size_t chunk = levels_chunk(bits), left = s->plan->dim - s->chunk * chunk, c;
	__m512 step = _mm512_set1_ps(w->unit[i] * s->plan->codebook.half_step), a, old;
	_Alignas(64) float ordered[16 * MOST_LANES];
	__mmask16 m;

	order(sums, i, w->sum[i], bits, ordered);
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
