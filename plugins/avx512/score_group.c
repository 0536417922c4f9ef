/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Sums of several 8-bit queries over rows of up to 4 bits: 32 rows are turned once, so that a
 * register has a dword of the codes of sixteen rows. Its levels, a row to a lane, are multiplied by
 * a dword of each query, which a load repeats over the register, and what comes out needs no adding
 * across. A chunk goes by eight queries at a time, whose sixteen sums stay in registers.
 */

#include "dwords.h"
#include "score.h"
#include "sums.h"

#define TURNED (2 * BLOCK)
#define AT_ONCE 8

/* A chunk of 32 rows, dword by dword: the widest field, and for 3 bits the narrow one */
struct turned {
	__m512i wide[16][2];
	__m512i narrow[8][2];
};

/* @bytes of a field at @at of the rows */
LEVELS_INLINE void turn_field(const uint8_t *const *row, const uint8_t *const *more, size_t at,
			      uint64_t mask, __m512i (*to)[2])
{
	__m512i x[4], y[4];
	uint32_t j;

	for (; mask; mask >>= 16, at += 16, to += 4) {
		if ((mask & 0xffff) == 0xffff) {
			load_dwords(row, at, 0xffff, x);
			load_dwords(more, at, 0xffff, y);
		} else {
			load_dwords(row, at, (__mmask16)mask, x);
			load_dwords(more, at, (__mmask16)mask, y);
		}
#pragma GCC unroll 4
		for (j = 0; j < 4; j++) {
			to[j][0] = x[j];
			to[j][1] = y[j];
		}
	}
}

/* Chunk @c; returns the dwords of the widest field */
LEVELS_INLINE uint32_t turn(const struct shape *s, const uint8_t *const *row,
			    const uint8_t *const *more, size_t c, struct turned *to, uint32_t bits)
{
	uint32_t last = levels_fields(bits) - 1;
	int whole = c < s->chunks;
	uint64_t mask = whole ? ~0ull : s->tail[last];

	turn_field(row, more, s->at[last] + 64 * c, mask, to->wide);
	if (bits == 3)
		turn_field(row, more, s->at[0] + 32 * c, whole ? 0xffffffff : s->tail[0],
			   to->narrow);
	return ((uint32_t)_mm_popcnt_u64(mask) + 3) / 4;
}

/* Byte p of each dword: bits 4 p + @first and up of it; what lies outside comes from next to it */
LEVELS_INLINE __m512i bits_of_dword(__m512i x, int first)
{
	uint64_t control = 0;
	int k;

	for (k = 7; k >= 0; k--)
		control = control << 8 | (uint64_t)((32 * (k / 4) + 4 * (k % 4) + first) & 63);
	return _mm512_multishift_epi64_epi8(_mm512_set1_epi64((long long)control), x);
}

/* The levels of dword @t: V registers */
LEVELS_INLINE void turned_levels(const struct level_tables *t, __m512i wide, __m512i narrow,
				 int odd, __m512i *level, uint32_t bits)
{
	__m512i idx;
	uint32_t v;

	if (bits != 3) {
		levels_of_fields(t, &wide, bits, level, NULL);
		return;
	}
	for (v = 0; v < 4; v += 2) {
		idx = bits_of_dword(narrow, (odd ? 16 : 0) + (int)v - 4);
		idx = select_bits(0x0f, v ? _mm512_srli_epi16(wide, 4) : wide, idx);
		level[v] = look_up(t->hi, idx, bits);
		level[v + 1] = look_up(t->hi + 1, idx, bits);
	}
}

/* One or two queries have twice the sums: a chain of products would wait for each one */
LEVELS_INLINE uint32_t spare_sums(uint32_t nq)
{
	return nq > 2 ? 0 : nq;
}

LEVELS_INLINE __m512i repeat_dword(const int8_t *p)
{
	int32_t x;

	memcpy(&x, p, sizeof(x));
	return _mm512_set1_epi32(x);
}

/* Dword @t of the chunk by that of @nq queries @size bytes apart */
LEVELS_INLINE void add_dword(const struct level_tables *tables, const struct turned *x, uint32_t t,
			     int odd, const int8_t *q, size_t size, __m512i (*sum)[2], uint32_t nq,
			     uint32_t bits)
{
	__m512i level[2][LEVEL_VECTORS], factor, *at;
	uint32_t v, k;

	turned_levels(tables, x->wide[t][0], x->narrow[t / 2][0], odd, level[0], bits);
	turned_levels(tables, x->wide[t][1], x->narrow[t / 2][1], odd, level[1], bits);
#pragma GCC unroll 8
	for (v = 0; v < levels_vectors(bits); v++) {
#pragma GCC unroll 8
		for (k = 0; k < nq; k++) {
			factor = repeat_dword(q + k * size + 64 * v + 4 * t);
			at = sum[k + (v & 1) * spare_sums(nq)];
			at[0] = _mm512_dpbusd_epi32(at[0], level[0][v], factor);
			at[1] = _mm512_dpbusd_epi32(at[1], level[1][v], factor);
		}
	}
}

/* @n dwords of a chunk by @nq queries, on top of @total */
LEVELS_INLINE void add_chunk(const struct shape *s, const struct turned *x, uint32_t n,
			     const int8_t *q, size_t size, __m512i (*total)[2], uint32_t nq,
			     uint32_t bits)
{
	struct level_tables tables;
	__m512i sum[AT_ONCE][2];
	uint32_t t, k;

	level_tables_load(&tables, &s->hi, &s->lo, bits);
#pragma GCC unroll 8
	for (k = 0; k < nq; k++) {
		sum[k][0] = total[k][0];
		sum[k][1] = total[k][1];
	}
#pragma GCC unroll 2
	for (k = nq; k < nq + spare_sums(nq); k++)
		sum[k][1] = sum[k][0] = _mm512_setzero_si512();
	for (t = 0; t < n; t++) {
		add_dword(&tables, x, t, 0, q, size, sum, nq, bits);
		if (bits == 3 && ++t < n)
			add_dword(&tables, x, t, 1, q, size, sum, nq, bits);
	}
#pragma GCC unroll 2
	for (k = 0; k < spare_sums(nq); k++) {
		sum[k][0] = _mm512_add_epi32(sum[k][0], sum[nq + k][0]);
		sum[k][1] = _mm512_add_epi32(sum[k][1], sum[nq + k][1]);
	}
#pragma GCC unroll 8
	for (k = 0; k < nq; k++) {
		total[k][0] = sum[k][0];
		total[k][1] = sum[k][1];
	}
}

/* ... of as many queries as there are */
LEVELS_INLINE void add_queries(const struct shape *s, const struct turned *x, uint32_t n,
			       const int8_t *q, size_t size, __m512i (*total)[2], size_t nq,
			       uint32_t bits)
{
	for (; nq >= 8; nq -= 8, q += 8 * size, total += 8)
		add_chunk(s, x, n, q, size, total, 8, bits);
	if (nq & 4) {
		add_chunk(s, x, n, q, size, total, 4, bits);
		q += 4 * size;
		total += 4;
	}
	if (nq & 2) {
		add_chunk(s, x, n, q, size, total, 2, bits);
		q += 2 * size;
		total += 2;
	}
	if (nq & 1)
		add_chunk(s, x, n, q, size, total, 1, bits);
}

/* Ask for the @part-th of @parts parts of the rows that come @ahead */
LEVELS_INLINE void fetch_part(const struct strip *strip, const uint8_t *row, size_t part,
			      size_t parts)
{
	size_t all = strip->stride * TURNED, at = all * part / parts & ~(size_t)63;
	size_t end = all * (part + 1) / parts;

	for (; strip->ahead && at < end; at += 64)
		_mm_prefetch((const char *)row + strip->ahead + at, _MM_HINT_T0);
}

LEVELS_INLINE void sum_group(const struct shape *s, const struct strip *strip, const int8_t *q,
			     size_t size, const int64_t *sum, size_t nq, float (*a)[STRIP],
			     uint32_t bits)
{
	size_t chunks = s->chunks + s->rest, step = 64 * levels_vectors(bits), j, c, k;
	const uint8_t *const *row = strip->row, *const * more;
	__m512i total[QUERIES][2];
	struct turned x;
	uint32_t n;

	for (j = 0; j < strip->n; j += TURNED, row += TURNED) {
		more = strip->n - j > BLOCK ? row + BLOCK : row;
		memset(total, 0, nq * sizeof(*total));
		for (c = 0; c < chunks; c++) {
			fetch_part(strip, row[0], c, chunks);
			n = turn(s, row, more, c, &x, bits);
			add_queries(s, &x, n, q + c * step, size, total, nq, bits);
		}
		for (k = 0; k < nq; k++) {
			_mm512_store_ps(a[k] + j, combine(&total[k][0], 1, s->beta, sum[k]));
			if (more != row)
				_mm512_store_ps(a[k] + j + BLOCK,
						combine(&total[k][1], 1, s->beta, sum[k]));
		}
	}
}

#define SUM_GROUP(bits)                                                                            \
	static void sum_group_##bits(const struct shape *s, const struct strip *strip,             \
				     const int8_t *q, size_t size, const int64_t *sum, size_t nq,  \
				     float(*a)[STRIP])                                             \
	{                                                                                          \
		sum_group(s, strip, q, size, sum, nq, a, bits);                                    \
	}

SUM_GROUP(1)
SUM_GROUP(2)
SUM_GROUP(3)
SUM_GROUP(4)

void avx512_sum_group(const struct shape *shape, const struct strip *strip, const int8_t *q,
		      size_t size, const int64_t *sum, size_t nq, float (*a)[STRIP])
{
	static void (*const kernel[])(const struct shape *s, const struct strip *strip,
				      const int8_t *q, size_t size, const int64_t *sum, size_t nq,
				      float(*a)[STRIP]) = {
		NULL, sum_group_1, sum_group_2, sum_group_3, sum_group_4,
	};

	kernel[shape->bits](shape, strip, q, size, sum, nq, a);
}
