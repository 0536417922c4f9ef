/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Sums of several integer queries over eight rows, which are decoded once: to a tile of at most
 * 1024 coordinates, which stays in the first level cache and is multiplied by all queries. Longer
 * rows are so many tiles, whose sums add up.
 */

#include "score.h"

/* The queries of one tile, from its first chunk on */
struct tile_queries {
	const char *q;
	size_t size, step, n;
};

AVX2_INLINE void decode_row(const struct shape *s, const uint8_t *row, size_t first, size_t chunks,
			    size_t r, uint32_t bits, struct tile *tile)
{
	uint8_t staged[3][64] __attribute__((aligned(32)));
	const uint8_t *p[3] = {NULL, NULL, NULL};
	struct levels lev;
	uint32_t k;
	size_t c;
	int v;

	for (k = 0; k < nfields(bits); k++)
		p[k] = row + s->section[k].at + first * 8 * s->section[k].width;
	for (c = 0; c < chunks; c++) {
		if ((first + c + 1) * QUERY_CHUNK > s->dim)
			stage_tail(s, s->dim % QUERY_CHUNK, bits, p, staged);
		levels_decode(&s->tables, p, bits, &lev);
		for (v = 0; v < 2; v++) {
			_mm256_store_si256(&tile->hi[2 * c + (size_t)v][r], lev.hi[v]);
			if (bits > 4)
				_mm256_store_si256(&tile->lo[2 * c + (size_t)v][r], lev.lo[v]);
		}
		for (k = 0; k < nfields(bits); k++)
			p[k] += 8 * s->section[k].width;
	}
}

typedef void (*decode_rows)(const struct shape *s, const uint8_t *const *row, size_t first,
			    size_t chunks, struct tile *tile);

#define DECODE_ROWS(bits)                                                                          \
	static void decode_##bits(const struct shape *s, const uint8_t *const *row, size_t first,  \
				  size_t chunks, struct tile *tile)                                \
	{                                                                                          \
		size_t r;                                                                          \
                                                                                                   \
		for (r = 0; r < ROWS; r++)                                                         \
			decode_row(s, row[r], first, chunks, r, bits, tile);                       \
	}

DECODE_ROWS(1)
DECODE_ROWS(2)
DECODE_ROWS(3)
DECODE_ROWS(4)
DECODE_ROWS(5)
DECODE_ROWS(6)
DECODE_ROWS(7)
DECODE_ROWS(8)

static const decode_rows decoders[9] = {
	NULL, decode_1, decode_2, decode_3, decode_4, decode_5, decode_6, decode_7, decode_8,
};

/* Four rows of a tile and two queries: @a and @b receive four sums each */
AVX2_INLINE void dot_four(const __m256i (*tile)[ROWS], size_t chunks, const char *q, const char *r,
			  size_t step, __m256i *a, __m256i *b)
{
	__m256i a0 = _mm256_setzero_si256(), a1 = a0, a2 = a0, a3 = a0;
	__m256i b0 = a0, b1 = a0, b2 = a0, b3 = a0, x, y, level;
	size_t c;
	int v;

	for (c = 0; c < chunks; c++, q += step, r += step) {
#pragma GCC unroll 2
		for (v = 0; v < 2; v++, tile++) {
			x = _mm256_load_si256((const __m256i *)(q + 32 * v));
			y = _mm256_load_si256((const __m256i *)(r + 32 * v));
			level = _mm256_load_si256(&tile[0][0]);
			a0 = dot_add(a0, level, x);
			b0 = dot_add(b0, level, y);
			level = _mm256_load_si256(&tile[0][1]);
			a1 = dot_add(a1, level, x);
			b1 = dot_add(b1, level, y);
			level = _mm256_load_si256(&tile[0][2]);
			a2 = dot_add(a2, level, x);
			b2 = dot_add(b2, level, y);
			level = _mm256_load_si256(&tile[0][3]);
			a3 = dot_add(a3, level, x);
			b3 = dot_add(b3, level, y);
		}
	}
	a[0] = a0;
	a[1] = a1;
	a[2] = a2;
	a[3] = a3;
	b[0] = b0;
	b[1] = b1;
	b[2] = b2;
	b[3] = b3;
}

/* One plane of the levels and one of the queries: into, or added to, a sum of each query */
static void dot_tile(const __m256i (*tile)[ROWS], size_t chunks, const struct tile_queries *queries,
		     size_t plane, __m256i *total, int add)
{
	const char *q = queries->q + plane * QUERY_CHUNK, *r;
	__m256i a[ROWS], b[ROWS], x, y;
	size_t i;

	for (i = 0; i < queries->n; i += 2, q += 2 * queries->size) {
		r = i + 1 < queries->n ? q + queries->size : q;
		dot_four(tile, chunks, q, r, queries->step, a, b);
		dot_four((const __m256i(*)[ROWS]) & tile[0][4], chunks, q, r, queries->step, a + 4,
			 b + 4);
		x = add_across(a);
		y = add_across(b);
		total[i] = add ? _mm256_add_epi32(total[i], x) : x;
		if (i + 1 < queries->n)
			total[i + 1] = add ? _mm256_add_epi32(total[i + 1], y) : y;
	}
}

void sum_tile(const struct shape *s, const uint8_t *const *row, const char *q, size_t size,
	      uint32_t planes, const int64_t *sum, size_t nq, __m256 *a)
{
	struct tile_queries queries = {q, size, QUERY_CHUNK * planes, nq};
	size_t all = query_chunks(s->dim), first, chunks, i;
	const __m256i(*hi)[ROWS], (*lo)[ROWS];
	__m256i total[3][TILE_QUERIES], sums[3];
	int n = nsums(s->bits, planes), wide = s->bits > 4, k;
	struct tile tile;

	hi = (const __m256i(*)[ROWS])tile.hi;
	lo = (const __m256i(*)[ROWS])tile.lo;
	for (first = 0; first < all; first += chunks, queries.q += chunks * queries.step) {
		chunks = all - first < TILE_CHUNKS ? all - first : TILE_CHUNKS;
		(s->decode ? s->decode : decoders[s->bits])(s, row, first, chunks, &tile);
		dot_tile(hi, chunks, &queries, 0, total[0], first > 0);
		if (wide)
			dot_tile(lo, chunks, &queries, 0, total[1], first > 0);
		if (planes == 1)
			continue;
		dot_tile(hi, chunks, &queries, 1, total[1], wide || first > 0);
		if (wide)
			dot_tile(lo, chunks, &queries, 1, total[2], first > 0);
	}
	for (i = 0; i < nq; i++) {
		for (k = 0; k < n; k++)
			sums[k] = total[k][i];
		a[i] = combine(s, sums, n, sum[i]);
	}
}
