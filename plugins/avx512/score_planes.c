/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Sums of a few queries of two planes over rows of up to 4 bits: the heads that share a KV head.
 *
 * Four rows' registers of a chunk become four that have, in 128 bits L of the i-th, dword 4 L + i of each
 * of the four rows. Codes are bytes as levels are, so fields are moved before they are decoded: half the
 * moves. (3 bits have two fields, which only meet where they lie in a row: there levels are moved.) The
 * queries are laid out once per call, with dword i of each 128 bits broadcast there. Eight rows are
 * multiplied by up to four queries at a time, all sums in registers; rows lie in lanes at the end. Where a row
 * fills half of a register or less, two share one (short.h), and sixteen go through a pass.
 *
 * A = 2 G - beta sum(q) is put together modulo 2^32, G = 128 S0 + S1: |A| <= 127 * 16256 * dim < 2^31.
 */

#include "score.h"
#include "short.h"
#include "sums.h"

/* Most queries that share a pass, and parts of a register of levels */
#define MOST 4
#define PARTS 4

/* One query register in its four parts, both planes */
struct spread {
	__m512i plane[2][PARTS];
};

/* Queries of a pass: [register of levels][query] */
struct group {
	struct spread at[AVX512_PLANES_DIM / 64][MOST];
};

static void spread_queries(const int8_t *q, size_t size, size_t nq, size_t registers, uint32_t fold, struct group *to)
{
	size_t r, g;
	int p;

	for (r = 0; r < registers; r++) {
		for (g = 0; g < nq; g++) {
			for (p = 0; p < 2; p++) {
				__m512i x = _mm512_load_si512(q + g * size + (2 * r + (size_t)p) * 64);

				if (fold > 1)
					x = _mm512_shuffle_i64x2(x, x, 0x44);
				to->at[r][g].plane[p][0] = _mm512_shuffle_epi32(x, 0x00);
				to->at[r][g].plane[p][1] = _mm512_shuffle_epi32(x, 0x55);
				to->at[r][g].plane[p][2] = _mm512_shuffle_epi32(x, 0xaa);
				to->at[r][g].plane[p][3] = _mm512_shuffle_epi32(x, 0xff);
			}
		}
	}
}

LEVELS_INLINE void move_dwords(const __m512i *row, __m512i *part)
{
	__m512i ab0 = _mm512_unpacklo_epi32(row[0], row[1]), ab1 = _mm512_unpackhi_epi32(row[0], row[1]);
	__m512i cd0 = _mm512_unpacklo_epi32(row[2], row[3]), cd1 = _mm512_unpackhi_epi32(row[2], row[3]);

	part[0] = _mm512_unpacklo_epi64(ab0, cd0);
	part[1] = _mm512_unpackhi_epi64(ab0, cd0);
	part[2] = _mm512_unpacklo_epi64(ab1, cd1);
	part[3] = _mm512_unpackhi_epi64(ab1, cd1);
}

/* What four (eight) rows hold of a chunk: parts of the field, or for 3 bits of each register of levels */
LEVELS_INLINE void load_rows(const struct level_tables *t, const struct shape *s, const uint8_t *const *row,
			     size_t chunk, const uint64_t *tail, uint32_t bits, uint32_t fold, __m512i (*part)[PARTS])
{
	__m512i f[3], x[GROUP], level[GROUP][LEVEL_VECTORS];
	uint32_t last = levels_fields(bits) - 1, k, v;
	int r;

#pragma GCC unroll 4
	for (r = 0; r < GROUP; r++) {
		for (k = 0; fold == 1 && k <= last; k++)
			f[k] = load_field(row[r] + s->at[k] + chunk * levels_step(bits, k), tail ? tail + k : NULL,
					  levels_step(bits, k));
		if (fold == 2)
			short_fields(s, row + r, tail, bits, 2, f);
		x[r] = f[last];
		if (bits == 3)
			levels_of_fields(t, f, bits, level[r], NULL);
	}
	if (bits != 3) {
		move_dwords(x, part[0]);
		return;
	}
#pragma GCC unroll 4
	for (v = 0; v < levels_vectors(bits); v++) {
		for (r = 0; r < GROUP; r++)
			x[r] = level[r][v];
		move_dwords(x, part[v]);
	}
}

/* Products of part @i of a register of levels of eight rows; @acc: [query][plane][four rows] */
LEVELS_INLINE void add_part(const struct spread *q, int i, __m512i low, __m512i high, int nq,
			    __m512i (*acc)[2][2])
{
	__m512i x;
	int g, p;

#pragma GCC unroll 4
	for (g = 0; g < nq; g++) {
#pragma GCC unroll 2
		for (p = 0; p < 2; p++) {
			x = keep(q[g].plane[p][i]);
			acc[g][p][0] = _mm512_dpbusd_epi32(acc[g][p][0], low, x);
			acc[g][p][1] = _mm512_dpbusd_epi32(acc[g][p][1], high, x);
		}
	}
}

LEVELS_INLINE void add_chunk(const struct level_tables *t, const struct shape *s, const uint8_t *const *row,
			     size_t chunk, const uint64_t *tail, const struct spread (*q)[MOST], int nq,
			     uint32_t bits, uint32_t fold, __m512i (*acc)[2][2])
{
	__m512i low[LEVEL_VECTORS][PARTS], high[LEVEL_VECTORS][PARTS], a[LEVEL_VECTORS], b[LEVEL_VECTORS];
	uint32_t v, vectors = levels_vectors(bits);
	int i;

	load_rows(t, s, row, chunk, tail, bits, fold, low);
	load_rows(t, s, row + GROUP * fold, chunk, tail, bits, fold, high);
#pragma GCC unroll 4
	for (i = 0; i < PARTS; i++) {
		if (bits == 3) {
#pragma GCC unroll 4
			for (v = 0; v < vectors; v++)
				add_part(q[v], i, low[v][i], high[v][i], nq, acc);
			continue;
		}
		levels_of_fields(t, &low[0][i], bits, a, NULL);
		levels_of_fields(t, &high[0][i], bits, b, NULL);
#pragma GCC unroll 8
		for (v = 0; v < vectors; v++)
			add_part(q[v], i, a[v], b[v], nq, acc);
	}
}

/* G of eight (sixteen) rows, half in each of @to: their sums over the four quarters (pairs of them) of a register */
LEVELS_INLINE void sum_pass(const struct level_tables *t, const struct shape *s, const uint8_t *const *row,
			    size_t ahead, size_t stride, const uint64_t *tail, const struct group *q, int nq,
			    uint32_t bits, uint32_t fold, __m512i (*to)[2])
{
	const char *next = (const char *)row[0] + ahead, *end = next + 8 * fold * stride;
	uint32_t vectors = levels_vectors(bits);
	__m512i acc[MOST][2][2];
	size_t c;
	int g, h;

	for (; next < end; next += 64)
		_mm_prefetch(next, _MM_HINT_T1);
#pragma GCC unroll 4
	for (g = 0; g < nq; g++)
		acc[g][0][0] = acc[g][0][1] = acc[g][1][0] = acc[g][1][1] = _mm512_setzero_si512();
	for (c = 0; fold == 1 && c < s->chunks; c++)
		add_chunk(t, s, row, c, NULL, q->at + c * vectors, nq, bits, 1, acc);
	if (fold == 2)
		add_chunk(t, s, row, 0, tail, q->at, nq, bits, 2, acc);
	else if (s->rest)
		add_chunk(t, s, row, c, s->tail, q->at + c * vectors, nq, bits, 1, acc);
#pragma GCC unroll 4
	for (g = 0; g < nq; g++)
		for (h = 0; h < 2; h++)
			to[g][h] = _mm512_add_epi32(_mm512_slli_epi32(acc[g][0][h], 7), acc[g][1][h]);
}

/* G of sixteen rows in order; @low and @high: from one pass each, or @low from one of sixteen */
LEVELS_INLINE __m512i add_passes(__m512i *low, __m512i *high, uint32_t fold)
{
	if (fold == 1)
		return add_quarters(low[0], low[1], high[0], high[1]);
	return _mm512_add_epi32(_mm512_shuffle_i32x4(low[0], low[1], 0x88),
				_mm512_shuffle_i32x4(low[0], low[1], 0xdd));
}

LEVELS_INLINE void sum_strip(const struct shape *s, const struct strip *strip, const uint64_t *tail,
			     const struct group *q, const int64_t *sum, int nq, uint32_t bits, uint32_t fold,
			     float (*a)[STRIP])
{
	__m512i pass[2][MOST][2], total;
	struct level_tables t;
	size_t j;
	int g;

	level_tables_load(&t, &s->hi, &s->lo, bits);
	for (j = 0; j < strip->n; j += BLOCK) {
		sum_pass(&t, s, strip->row + j, strip->ahead, strip->stride, tail, q, nq, bits, fold, pass[0]);
		if (fold == 1)
			sum_pass(&t, s, strip->row + j + 8, strip->ahead, strip->stride, tail, q, nq, bits, 1, pass[1]);
#pragma GCC unroll 4
		for (g = 0; g < nq; g++) {
			total = add_passes(pass[0][g], pass[1][g], fold);
			total = _mm512_sub_epi32(_mm512_add_epi32(total, total),
						 _mm512_set1_epi32((int32_t)((uint32_t)s->beta * (uint32_t)sum[g])));
			_mm512_store_ps(a[g] + j, _mm512_cvtepi32_ps(total));
		}
	}
}

#define SUM_STRIP(bits, fold)                                                                                  \
	static void sum_strip_##bits##_##fold(const struct shape *s, const struct strip *strip,                \
					      const uint64_t *tail, const struct group *q, const int64_t *sum, \
					      size_t nq, float (*a)[STRIP])                                    \
	{                                                                                                      \
		if (nq == 4)                                                                                   \
			sum_strip(s, strip, tail, q, sum, 4, bits, fold, a);                                   \
		else if (nq == 3)                                                                              \
			sum_strip(s, strip, tail, q, sum, 3, bits, fold, a);                                   \
		else if (nq == 2)                                                                              \
			sum_strip(s, strip, tail, q, sum, 2, bits, fold, a);                                   \
		else                                                                                           \
			sum_strip(s, strip, tail, q, sum, 1, bits, fold, a);                                   \
	}

SUM_STRIP(1, 1)
SUM_STRIP(2, 1)
SUM_STRIP(3, 1)
SUM_STRIP(4, 1)
SUM_STRIP(1, 2)
SUM_STRIP(2, 2)
SUM_STRIP(3, 2)
SUM_STRIP(4, 2)

void avx512_sum_planes(const struct shape *shape, const struct strip *strip, const int8_t *q, size_t size,
		      const int64_t *sum, size_t nq, float (*a)[STRIP])
{
	static void (*const by_bits[][2])(const struct shape *s, const struct strip *strip, const uint64_t *tail,
					  const struct group *q, const int64_t *sum, size_t nq, float (*a)[STRIP]) = {
		{NULL, NULL},
		{sum_strip_1_1, sum_strip_1_2},
		{sum_strip_2_1, sum_strip_2_2},
		{sum_strip_3_1, sum_strip_3_2},
		{sum_strip_4_1, sum_strip_4_2},
	};
	size_t registers = (shape->chunks + shape->rest) * levels_vectors(shape->bits), n;
	const uint64_t *tail = short_mask(shape, shape->bits, 2);
	struct group group;

	for (; nq; nq -= n, q += n * size, sum += n, a += n) {
		n = nq < MOST ? nq : MOST;
		spread_queries(q, size, n, registers, shape->fold, &group);
		by_bits[shape->bits][shape->fold > 1](shape, strip, tail, &group, sum, n, a);
	}
}
