/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Sums of one integer query over rows. A row's sums are sixteen lanes each. Rows go four at a time,
 * so that a register of the query is loaded once for four; after sixteen rows their lanes are added
 * across, and land in one register with a row per lane. Packed rows are asked for well ahead: the
 * prefetcher of the CPU alone reaches half the speed of memory.
 */

#include "score.h"
#include "sums.h"

/* The sums of one row, sixteen lanes each */
struct row_sums {
	__m512i s0, s1, s2;
};

/* Sums of four rows, each row in one lane of every 128 bits */
struct group_sums {
	__m512i s0, s1, s2;
};

LEVELS_INLINE void add_register(struct row_sums *acc, __m512i hi, __m512i lo, const int8_t *q,
				uint32_t planes, uint32_t bits)
{
	__m512i q0 = _mm512_load_si512(q), q1;

	acc->s0 = _mm512_dpbusd_epi32(acc->s0, hi, q0);
	if (bits > 4)
		acc->s1 = _mm512_dpbusd_epi32(acc->s1, lo, q0);
	if (planes == 1)
		return;
	q1 = _mm512_load_si512(q + 64);
	acc->s1 = _mm512_dpbusd_epi32(acc->s1, hi, q1);
	if (bits > 4)
		acc->s2 = _mm512_dpbusd_epi32(acc->s2, lo, q1);
}

/* One chunk of a row, at @off in each of its fields */
LEVELS_INLINE void add_chunk(const struct level_tables *t, const uint8_t *row, const size_t *off,
			     const uint64_t *tail, const int8_t *q, uint32_t planes,
			     struct row_sums *acc, uint32_t bits)
{
	__m512i hi[LEVEL_VECTORS], lo[LEVEL_VECTORS];
	const uint8_t *p[3] = {row + off[0], row + off[1], row + off[2]};
	uint32_t v;

	levels_decode(t, p, tail, bits, hi, lo);
#pragma GCC unroll 8
	for (v = 0; v < levels_vectors(bits); v++)
		add_register(acc, hi[v], lo[v], q + 64 * planes * v, planes, bits);
}

LEVELS_INLINE struct group_sums sum_group(const struct shape *s, const struct level_tables *t,
					  const uint8_t *const *row, const int8_t *q,
					  uint32_t planes, size_t ahead, uint32_t bits)
{
	const __m512i zero = _mm512_setzero_si512();
	struct row_sums r0 = {zero, zero, zero}, r1 = r0, r2 = r0, r3 = r0;
	size_t off[3] = {s->at[0], s->at[1], s->at[2]}, c;
	struct group_sums g = {zero, zero, zero};
	const char *next = (const char *)row[0] + ahead;
	uint32_t k;

	for (c = 0; c < s->chunks; c++, q += levels_chunk(bits) * planes) {
		fetch(next + c * fetch_bytes(bits), bits);
		add_chunk(t, row[0], off, NULL, q, planes, &r0, bits);
		add_chunk(t, row[1], off, NULL, q, planes, &r1, bits);
		add_chunk(t, row[2], off, NULL, q, planes, &r2, bits);
		add_chunk(t, row[3], off, NULL, q, planes, &r3, bits);
		for (k = 0; k < levels_fields(bits); k++)
			off[k] += levels_step(bits, k);
	}
	if (s->rest) {
		fetch(next + c * fetch_bytes(bits), bits);
		add_chunk(t, row[0], off, s->tail, q, planes, &r0, bits);
		add_chunk(t, row[1], off, s->tail, q, planes, &r1, bits);
		add_chunk(t, row[2], off, s->tail, q, planes, &r2, bits);
		add_chunk(t, row[3], off, s->tail, q, planes, &r3, bits);
	}
	g.s0 = add_lanes(r0.s0, r1.s0, r2.s0, r3.s0);
	if (nsums(bits, planes) > 1)
		g.s1 = add_lanes(r0.s1, r1.s1, r2.s1, r3.s1);
	if (nsums(bits, planes) > 2)
		g.s2 = add_lanes(r0.s2, r1.s2, r2.s2, r3.s2);
	return g;
}

LEVELS_INLINE void sum_rows(const struct shape *s, const struct strip *strip, const int8_t *q,
			    int64_t sum, float *a, uint32_t bits, uint32_t planes)
{
	const uint8_t *const *row = strip->row;
	size_t ahead = strip->ahead, n;
	struct group_sums g0, g1, g2, g3;
	struct level_tables t;
	__m512i total[3];

	level_tables_load(&t, &s->hi, &s->lo, bits);
	for (n = strip->n; n; n -= n < BLOCK ? n : BLOCK, row += BLOCK, a += BLOCK) {
		g3 = g2 = g1 = g0 = sum_group(s, &t, row, q, planes, ahead, bits);
		if (n > GROUP)
			g1 = sum_group(s, &t, row + GROUP, q, planes, ahead, bits);
		if (n > 2 * GROUP)
			g2 = sum_group(s, &t, row + 2 * GROUP, q, planes, ahead, bits);
		if (n > 3 * GROUP)
			g3 = sum_group(s, &t, row + 3 * GROUP, q, planes, ahead, bits);
		total[0] = add_quarters(g0.s0, g1.s0, g2.s0, g3.s0);
		total[1] = add_quarters(g0.s1, g1.s1, g2.s1, g3.s1);
		total[2] = add_quarters(g0.s2, g1.s2, g2.s2, g3.s2);
		_mm512_store_ps(a, combine(total, nsums(bits, planes), s->beta, sum));
	}
}

#define SUM_ROWS(bits)                                                                             \
	static void sum_rows_##bits##_1(const struct shape *s, const struct strip *strip,          \
					const int8_t *q, int64_t sum, float *a)                    \
	{                                                                                          \
		sum_rows(s, strip, q, sum, a, bits, 1);                                            \
	}                                                                                          \
	static void sum_rows_##bits##_2(const struct shape *s, const struct strip *strip,          \
					const int8_t *q, int64_t sum, float *a)                    \
	{                                                                                          \
		sum_rows(s, strip, q, sum, a, bits, 2);                                            \
	}

SUM_ROWS(1)
SUM_ROWS(2)
SUM_ROWS(3)
SUM_ROWS(4)
SUM_ROWS(5)
SUM_ROWS(6)
SUM_ROWS(7)
SUM_ROWS(8)

void avx512_sum_rows(const struct shape *shape, uint32_t planes, const struct strip *strip,
		     const int8_t *q, int64_t sum, float *a)
{
	static void (*const kernel[8][2])(const struct shape *s, const struct strip *strip,
					  const int8_t *q, int64_t sum, float *a) = {
		{sum_rows_1_1, sum_rows_1_2}, {sum_rows_2_1, sum_rows_2_2},
		{sum_rows_3_1, sum_rows_3_2}, {sum_rows_4_1, sum_rows_4_2},
		{sum_rows_5_1, sum_rows_5_2}, {sum_rows_6_1, sum_rows_6_2},
		{sum_rows_7_1, sum_rows_7_2}, {sum_rows_8_1, sum_rows_8_2},
	};

	if (shape->fold > 1 && planes == 1)
		avx512_sum_short(shape, strip, q, sum, a);
	else
		kernel[shape->bits - 1][planes - 1](shape, strip, q, sum, a);
}
