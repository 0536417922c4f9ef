/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Sums of a few queries of two planes over rows of up to 4 bits: the heads that share a KV head.
 *
 * Four rows' registers of a chunk become four that have, in 128 bits L of the i-th, dword 4 L + i of each
 * of the four rows. Codes are bytes as levels are, so fields are moved before they are decoded: half the
 * moves. (3 bits have two fields, which only meet where they lie in a row: there levels are moved.) The
 * queries are laid out once per call, with dword i of each 128 bits broadcast there. Eight rows are
 * multiplied by up to four queries at a time, all sums in registers; rows lie in lanes at the end.
 *
 * A = 2 G - beta sum(q) is put together modulo 2^32, G = 128 S0 + S1: |A| <= 127 * 16256 * dim < 2^31.
 */

#include "score.h"
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

static void spread_queries(const int8_t *q, size_t size, size_t nq, size_t registers, struct group *to)
{
	size_t r, g;
	int p;

	for (r = 0; r < registers; r++) {
		for (g = 0; g < nq; g++) {
			for (p = 0; p < 2; p++) {
				__m512i x = _mm512_load_si512(q + g * size + (2 * r + (size_t)p) * 64);

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

/* What four rows hold of a chunk: parts of the field, or for 3 bits of each register of levels */
LEVELS_INLINE void load_rows(const struct level_tables *t, const struct shape *s, const uint8_t *const *row,
			     size_t chunk, const uint64_t *tail, uint32_t bits, __m512i (*part)[PARTS])
{
	__m512i x[GROUP], level[GROUP][LEVEL_VECTORS];
	const uint8_t *p[3] = {NULL};
	uint32_t k, v;
	int r;

#pragma GCC unroll 4
	for (r = 0; r < GROUP; r++) {
		for (k = 0; k < levels_fields(bits); k++)
			p[k] = row[r] + s->at[k] + chunk * levels_step(bits, k);
		if (bits == 3)
			levels_decode(t, p, tail, bits, level[r], NULL);
		else
			x[r] = load_field(p[0], tail, 64);
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
			     uint32_t bits, __m512i (*acc)[2][2])
{
	__m512i low[LEVEL_VECTORS][PARTS], high[LEVEL_VECTORS][PARTS], a[LEVEL_VECTORS], b[LEVEL_VECTORS];
	uint32_t v, vectors = levels_vectors(bits);
	int i;

	load_rows(t, s, row, chunk, tail, bits, low);
	load_rows(t, s, row + GROUP, chunk, tail, bits, high);
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

/* G of eight rows, four in each of @to: their sums over the four quarters of a register */
LEVELS_INLINE void sum_eight(const struct level_tables *t, const struct shape *s, const uint8_t *const *row,
			     size_t ahead, size_t stride, const struct group *q, int nq, uint32_t bits,
			     __m512i (*to)[2])
{
	const char *next = (const char *)row[0] + ahead, *end = next + 8 * stride;
	uint32_t vectors = levels_vectors(bits);
	__m512i acc[MOST][2][2];
	size_t c;
	int g, h;

	for (; next < end; next += 64)
		_mm_prefetch(next, _MM_HINT_T1);
#pragma GCC unroll 4
	for (g = 0; g < nq; g++)
		acc[g][0][0] = acc[g][0][1] = acc[g][1][0] = acc[g][1][1] = _mm512_setzero_si512();
	for (c = 0; c < s->chunks; c++)
		add_chunk(t, s, row, c, NULL, q->at + c * vectors, nq, bits, acc);
	if (s->rest)
		add_chunk(t, s, row, c, s->tail, q->at + c * vectors, nq, bits, acc);
#pragma GCC unroll 4
	for (g = 0; g < nq; g++)
		for (h = 0; h < 2; h++)
			to[g][h] = _mm512_add_epi32(_mm512_slli_epi32(acc[g][0][h], 7), acc[g][1][h]);
}

LEVELS_INLINE void sum_strip(const struct shape *s, const struct strip *strip, const struct group *q,
			     const int64_t *sum, int nq, uint32_t bits, float (*a)[STRIP])
{
	__m512i eight[2][MOST][2], total;
	struct level_tables t;
	size_t j;
	int g;

	level_tables_load(&t, &s->hi, &s->lo, bits);
	for (j = 0; j < strip->n; j += BLOCK) {
		sum_eight(&t, s, strip->row + j, strip->ahead, strip->stride, q, nq, bits, eight[0]);
		sum_eight(&t, s, strip->row + j + 8, strip->ahead, strip->stride, q, nq, bits, eight[1]);
#pragma GCC unroll 4
		for (g = 0; g < nq; g++) {
			total = add_quarters(eight[0][g][0], eight[0][g][1], eight[1][g][0], eight[1][g][1]);
			total = _mm512_sub_epi32(_mm512_add_epi32(total, total),
						 _mm512_set1_epi32((int32_t)((uint32_t)s->beta * (uint32_t)sum[g])));
			_mm512_store_ps(a[g] + j, _mm512_cvtepi32_ps(total));
		}
	}
}

#define SUM_STRIP(bits)                                                                                      \
	static void sum_strip_##bits(const struct shape *s, const struct strip *strip, const struct group *q, \
				     const int64_t *sum, size_t nq, float (*a)[STRIP])                        \
	{                                                                                                    \
		if (nq == 4)                                                                                 \
			sum_strip(s, strip, q, sum, 4, bits, a);                                             \
		else if (nq == 3)                                                                            \
			sum_strip(s, strip, q, sum, 3, bits, a);                                             \
		else if (nq == 2)                                                                            \
			sum_strip(s, strip, q, sum, 2, bits, a);                                             \
		else                                                                                         \
			sum_strip(s, strip, q, sum, 1, bits, a);                                             \
	}

SUM_STRIP(1)
SUM_STRIP(2)
SUM_STRIP(3)
SUM_STRIP(4)

void avx512_sum_planes(const struct shape *shape, const struct strip *strip, const int8_t *q, size_t size,
		      const int64_t *sum, size_t nq, float (*a)[STRIP])
{
	static void (*const by_bits[])(const struct shape *s, const struct strip *strip, const struct group *q,
				       const int64_t *sum, size_t nq, float (*a)[STRIP]) = {
		NULL, sum_strip_1, sum_strip_2, sum_strip_3, sum_strip_4};
	size_t registers = (shape->chunks + shape->rest) * levels_vectors(shape->bits), n;
	struct group group;

	for (; nq; nq -= n, q += n * size, sum += n, a += n) {
		n = nq < MOST ? nq : MOST;
		spread_queries(q, size, n, registers, &group);
		by_bits[shape->bits](shape, strip, &group, sum, n, a);
	}
}
