/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Sums of many integer queries over rows: sixteen rows are decoded once, to a tile that stays in
 * the first cache, and multiplied by all queries.
 *
 * A tile is made of units, one register of levels of each row. Four rows' registers become four
 * that have, in 128 bits L of the i-th, dword 4 L + i of each of the four rows: half of a 16 x 16
 * transpose. The other half is not needed: the query's register is loaded with dword i of each 128
 * bits broadcast there, and what the four quarters of a sum hold is added across at the end.
 */

#include "score.h"
#include "sums.h"

/* Units of a tile: 1024 coordinates */
#define UNITS 16

/* One register of levels of sixteen rows: i-th dwords of group g at [4 * i + g] */
struct unit {
	__m512i part[4 * BLOCK / GROUP];
};

struct tile {
	struct unit hi[UNITS];
	struct unit lo[UNITS];
};

/* The sums of one query and sixteen rows, four rows each */
struct quad {
	__m512i g0, g1, g2, g3;
};

LEVELS_INLINE void store_group(struct unit *u, size_t g, __m512i a, __m512i b, __m512i c, __m512i d)
{
	__m512i ab0 = _mm512_unpacklo_epi32(a, b), ab1 = _mm512_unpackhi_epi32(a, b);
	__m512i cd0 = _mm512_unpacklo_epi32(c, d), cd1 = _mm512_unpackhi_epi32(c, d);

	u->part[g] = _mm512_unpacklo_epi64(ab0, cd0);
	u->part[4 + g] = _mm512_unpackhi_epi64(ab0, cd0);
	u->part[8 + g] = _mm512_unpacklo_epi64(ab1, cd1);
	u->part[12 + g] = _mm512_unpackhi_epi64(ab1, cd1);
}

/* Four rows of a chunk to units @unit and up */
LEVELS_INLINE void decode_group(const struct level_tables *t, const uint8_t *const *row,
				const size_t *off, const uint64_t *tail, struct tile *tile,
				size_t unit, size_t g, uint32_t bits)
{
	__m512i hi[GROUP][LEVEL_VECTORS], lo[GROUP][LEVEL_VECTORS];
	const uint8_t *p[3];
	uint32_t r, v;

#pragma GCC unroll 4
	for (r = 0; r < GROUP; r++) {
		p[0] = row[r] + off[0];
		p[1] = row[r] + off[1];
		p[2] = row[r] + off[2];
		levels_decode(t, p, tail, bits, hi[r], lo[r]);
	}
#pragma GCC unroll 8
	for (v = 0; v < levels_vectors(bits); v++) {
		store_group(&tile->hi[unit + v], g, hi[0][v], hi[1][v], hi[2][v], hi[3][v]);
		if (bits > 4)
			store_group(&tile->lo[unit + v], g, lo[0][v], lo[1][v], lo[2][v], lo[3][v]);
	}
}

/* Sixteen rows, from chunk @first on, as much as a tile holds; returns the number of units */
LEVELS_INLINE size_t fill(const struct shape *s, const uint8_t *const *row, size_t first,
			  size_t ahead, struct tile *tile, uint32_t bits)
{
	size_t most = UNITS / levels_vectors(bits), all = s->chunks + s->rest, n, c, g, off[3];
	struct level_tables t;
	const uint64_t *tail;
	const char *next;
	uint32_t k;

	n = all - first < most ? all - first : most;
	level_tables_load(&t, &s->hi, &s->lo, bits);
	for (g = 0; g < BLOCK / GROUP; g++, row += GROUP) {
		next = (const char *)row[0] + ahead;
		for (c = first; c < first + n; c++) {
			for (k = 0; k < 3; k++)
				off[k] = s->at[k] +
					 (k < levels_fields(bits) ? c * levels_step(bits, k) : 0);
			tail = c < s->chunks ? NULL : s->tail;
			fetch(next + c * fetch_bytes(bits), bits);
			if (tail)
				decode_group(&t, row, off, s->tail, tile,
					     (c - first) * levels_vectors(bits), g, bits);
			else
				decode_group(&t, row, off, NULL, tile,
					     (c - first) * levels_vectors(bits), g, bits);
		}
	}
	return n * levels_vectors(bits);
}

LEVELS_INLINE void add_products(struct quad *acc, const struct unit *u, int i, __m512i q)
{
	acc->g0 = _mm512_dpbusd_epi32(acc->g0, u->part[4 * i], q);
	acc->g1 = _mm512_dpbusd_epi32(acc->g1, u->part[4 * i + 1], q);
	acc->g2 = _mm512_dpbusd_epi32(acc->g2, u->part[4 * i + 2], q);
	acc->g3 = _mm512_dpbusd_epi32(acc->g3, u->part[4 * i + 3], q);
}

/* The i-th dwords of a unit by those of up to four queries */
#define DOT_DWORD(i)                                                                               \
	do {                                                                                       \
		add_products(&a0, u, i, _mm512_shuffle_epi32(_mm512_load_si512(q), 0x55 * (i)));   \
		if (nq > 1)                                                                        \
			add_products(                                                              \
				&a1, u, i,                                                         \
				_mm512_shuffle_epi32(_mm512_load_si512(q + size), 0x55 * (i)));    \
		if (nq > 2)                                                                        \
			add_products(&a2, u, i,                                                    \
				     _mm512_shuffle_epi32(_mm512_load_si512(q + 2 * size),         \
							  0x55 * (i)));                            \
		if (nq > 3)                                                                        \
			add_products(&a3, u, i,                                                    \
				     _mm512_shuffle_epi32(_mm512_load_si512(q + 3 * size),         \
							  0x55 * (i)));                            \
	} while (0)

LEVELS_INLINE void add_total(__m512i *total, const struct quad *a, int start)
{
	__m512i sum = add_quarters(a->g0, a->g1, a->g2, a->g3);

	*total = start ? sum : _mm512_add_epi32(*total, sum);
}

/*
 * @n units by up to four queries, @size bytes apart; @step is from one unit to the next.
 * @start: these are the first products of the totals
 */
LEVELS_INLINE void dot_units(const struct unit *u, size_t n, const int8_t *q, size_t size,
			     size_t step, __m512i *total, int start, size_t nq)
{
	const __m512i zero = _mm512_setzero_si512();
	struct quad a0 = {zero, zero, zero, zero}, a1 = a0, a2 = a0, a3 = a0;

	for (; n; n--, u++, q += step) {
		DOT_DWORD(0);
		DOT_DWORD(1);
		DOT_DWORD(2);
		DOT_DWORD(3);
	}
	add_total(total, &a0, start);
	if (nq > 1)
		add_total(total + 1, &a1, start);
	if (nq > 2)
		add_total(total + 2, &a2, start);
	if (nq > 3)
		add_total(total + 3, &a3, start);
}

static void dot_tile(const struct unit *u, size_t n, const int8_t *q, size_t size, size_t step,
		     __m512i *total, int start, size_t nq)
{
	for (; nq >= 4; nq -= 4, q += 4 * size, total += 4)
		dot_units(u, n, q, size, step, total, start, 4);
	if (nq == 1)
		dot_units(u, n, q, size, step, total, start, 1);
	if (nq == 2)
		dot_units(u, n, q, size, step, total, start, 2);
	if (nq == 3)
		dot_units(u, n, q, size, step, total, start, 3);
}

#define FILL(bits)                                                                                 \
	static size_t fill_##bits(const struct shape *s, const uint8_t *const *row, size_t first,  \
				  size_t ahead, struct tile *tile)                                 \
	{                                                                                          \
		return fill(s, row, first, ahead, tile, bits);                                     \
	}

FILL(1)
FILL(2)
FILL(3)
FILL(4)
FILL(5)
FILL(6)
FILL(7)
FILL(8)

static size_t (*const fills[])(const struct shape *s, const uint8_t *const *row, size_t first,
			       size_t ahead, struct tile *tile) = {
	NULL, fill_1, fill_2, fill_3, fill_4, fill_5, fill_6, fill_7, fill_8,
};

/* Sums of sixteen rows and all queries, not yet combined */
static void sum_block(const struct shape *s, uint32_t planes, const uint8_t *const *row,
		      size_t ahead, const int8_t *q, size_t size, size_t nq,
		      __m512i (*total)[QUERIES])
{
	size_t all = s->chunks + s->rest, first, n, step = 64 * planes;
	int start, two = s->bits > 4;
	struct tile tile;

	for (first = 0; first < all; first += n / levels_vectors(s->bits), q += n * step) {
		start = first == 0;
		n = fills[s->bits](s, row, first, ahead, &tile);
		dot_tile(tile.hi, n, q, size, step, total[0], start, nq);
		if (two)
			dot_tile(tile.lo, n, q, size, step, total[1], start, nq);
		if (planes == 2)
			dot_tile(tile.hi, n, q + 64, size, step, total[1], start && !two, nq);
		if (planes == 2 && two)
			dot_tile(tile.lo, n, q + 64, size, step, total[2], start, nq);
	}
}

/* A of sixteen rows and all queries from up to three sums */
static void combine_all(const __m512i (*total)[QUERIES], int n, int32_t beta, const int64_t *sum,
			size_t nq, float (*a)[STRIP], size_t at)
{
	__m512i s[3];
	size_t i;

	for (i = 0; i < nq; i++) {
		s[0] = total[0][i];
		s[1] = total[n > 1][i];
		s[2] = total[n > 2 ? 2 : 0][i];
		_mm512_store_ps(a[i] + at, combine(s, n, beta, sum[i]));
	}
}

void avx512_sum_tile(const struct shape *shape, uint32_t planes, const struct strip *strip,
		     const int8_t *q, size_t size, const int64_t *sum, size_t nq, float (*a)[STRIP])
{
	int n = nsums(shape->bits, planes);
	__m512i total[3][QUERIES];
	size_t j;

	if (n == 1) {
		avx512_sum_group(shape, strip, q, size, sum, nq, a);
		return;
	}
	for (j = 0; j < strip->n; j += BLOCK) {
		sum_block(shape, planes, strip->row + j, strip->ahead, q, size, nq, total);
		combine_all((const __m512i(*)[QUERIES])total, n, shape->beta, sum, nq, a, j);
	}
}
