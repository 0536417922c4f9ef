/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Scores of a few queries of two planes over rows of up to 4 bits: the heads that share a KV head.
 *
 * Four rows' registers of 32 coordinates become four that have, in 128 bits L of the i-th, dword 4 L + i of
 * each of the four rows; codes of 4 bits are bytes as levels are, so they are moved before they are decoded:
 * half the moves. The queries are laid out once per call, with dword i of each 128 bits broadcast there. Four
 * rows are multiplied by up to four queries at a time, all sums in registers; rows lie in lanes at the end.
 *
 * A = alpha G - beta sum(q) is put together modulo 2^32, G = 128 S0 + S1: |A| <= 127 * 16256 * dim < 2^31.
 */

#include "score.h"

/* Parts of a register of levels */
#define PARTS 4
/* Bytes between the row in work and the one that is fetched from memory */
#define AHEAD 8192

/* One query register in its four parts, both planes */
struct spread {
	__m256i part[PARTS][2];
};

/* Queries of a pass: [chunk][register][query] */
struct group {
	struct spread at[PLANES_DIM / QUERY_CHUNK][2][PLANES_QUERIES];
};

static void spread_queries(const char *q, size_t size, size_t nq, size_t chunks, struct group *to)
{
	size_t c, g;
	__m256i x;
	int v, p;

	for (c = 0; c < chunks; c++, q += 2 * QUERY_CHUNK) {
		for (v = 0; v < 2; v++) {
			for (g = 0; g < PLANES_QUERIES; g++) {
				for (p = 0; p < 2; p++) {
					x = _mm256_setzero_si256();
					if (g < nq)
						x = _mm256_load_si256((const __m256i *)(q + g * size +
											p * QUERY_CHUNK + 32 * v));
					to->at[c][v][g].part[0][p] = _mm256_shuffle_epi32(x, 0x00);
					to->at[c][v][g].part[1][p] = _mm256_shuffle_epi32(x, 0x55);
					to->at[c][v][g].part[2][p] = _mm256_shuffle_epi32(x, 0xaa);
					to->at[c][v][g].part[3][p] = _mm256_shuffle_epi32(x, 0xff);
				}
			}
		}
	}
}

AVX2_INLINE void move_dwords(const __m256i *row, __m256i *part)
{
	__m256i ab0 = _mm256_unpacklo_epi32(row[0], row[1]), ab1 = _mm256_unpackhi_epi32(row[0], row[1]);
	__m256i cd0 = _mm256_unpacklo_epi32(row[2], row[3]), cd1 = _mm256_unpackhi_epi32(row[2], row[3]);

	part[0] = _mm256_unpacklo_epi64(ab0, cd0);
	part[1] = _mm256_unpackhi_epi64(ab0, cd0);
	part[2] = _mm256_unpacklo_epi64(ab1, cd1);
	part[3] = _mm256_unpackhi_epi64(ab1, cd1);
}

/* Products of part @i of a register of levels of four rows; @acc: [query][plane] */
AVX2_INLINE void add_part(const struct spread *q, int i, __m256i level, int nq, __m256i (*acc)[2])
{
	int g;

#pragma GCC unroll 4
	for (g = 0; g < nq; g++) {
		acc[g][0] = dot_add(acc[g][0], level, q[g].part[i][0]);
		acc[g][1] = dot_add(acc[g][1], level, q[g].part[i][1]);
	}
}

/* A chunk of four rows; @rest: coordinates of it that there are, 0 for all */
AVX2_INLINE void add_chunk(const struct shape *s, const uint8_t *const *row, size_t chunk, size_t rest,
			   const struct spread (*q)[PLANES_QUERIES], int nq, uint32_t bits, __m256i (*acc)[2])
{
	uint8_t staged[3][64] __attribute__((aligned(32)));
	const uint8_t *p[3] = {NULL, NULL, NULL};
	const __m256i mask = _mm256_set1_epi8(15);
	__m256i x[2][4], part[PARTS], level;
	struct levels lev;
	uint32_t k;
	int r, v, i;

#pragma GCC unroll 4
	for (r = 0; r < 4; r++) {
		for (k = 0; k < nfields(bits); k++)
			p[k] = row[r] + s->section[k].at + chunk * 8 * s->section[k].width;
		if (rest)
			stage_tail(s, rest, bits, p, staged);
		if (bits == 4) {
			x[0][r] = _mm256_loadu_si256((const __m256i *)p[0]);
			continue;
		}
		levels_decode(&s->tables, p, bits, &lev);
		x[0][r] = lev.hi[0];
		x[1][r] = lev.hi[1];
	}
	for (v = 0; v < (bits == 4 ? 1 : 2); v++) {
		move_dwords(x[v], part);
#pragma GCC unroll 4
		for (i = 0; i < PARTS; i++) {
			if (bits != 4) {
				add_part(q[v], i, part[i], nq, acc);
				continue;
			}
			level = _mm256_shuffle_epi8(s->tables.grid, _mm256_and_si256(part[i], mask));
			add_part(q[0], i, level, nq, acc);
			level = _mm256_and_si256(_mm256_srli_epi16(part[i], 4), mask);
			add_part(q[1], i, _mm256_shuffle_epi8(s->tables.grid, level), nq, acc);
		}
	}
}

/* G of four rows */
AVX2_INLINE void sum_four(const struct shape *s, const uint8_t *const *row, const struct group *q, int nq,
			  uint32_t bits, __m128i *to)
{
	size_t chunks = s->dim / QUERY_CHUNK, rest = s->dim % QUERY_CHUNK, c;
	__m256i acc[PLANES_QUERIES][2], both;
	int g;

#pragma GCC unroll 4
	for (g = 0; g < nq; g++)
		acc[g][0] = acc[g][1] = _mm256_setzero_si256();
	for (c = 0; c < chunks; c++)
		add_chunk(s, row, c, 0, q->at[c], nq, bits, acc);
	if (rest)
		add_chunk(s, row, c, rest, q->at[c], nq, bits, acc);
#pragma GCC unroll 4
	for (g = 0; g < nq; g++) {
		both = _mm256_add_epi32(_mm256_slli_epi32(acc[g][0], 7), acc[g][1]);
		to[g] = _mm_add_epi32(_mm256_castsi256_si128(both), _mm256_extracti128_si256(both, 1));
	}
}

/* Rows that will be wanted later; behind those of a short call lies what may well be wanted next */
AVX2_INLINE void fetch_ahead(const struct score_job *job, size_t j)
{
	size_t row = job->plan->layout.row_bytes, all = job->n * row, ahead = all > 2 * AHEAD ? AHEAD : all;
	const char *at = (const char *)job->codes + j * row + ahead, *end = at + ROWS * row;

	for (; at < end; at += 64)
		_mm_prefetch(at, _MM_HINT_T1);
}

AVX2_INLINE void score_rows(const struct score_job *job, const struct shape *s, const struct group *q, int nq,
			    uint32_t bits)
{
	const struct tq_plan *plan = job->plan;
	const struct query_head *head;
	size_t size = query_bytes(plan), j;
	__m128i low[PLANES_QUERIES], high[PLANES_QUERIES];
	struct row_numbers rows = {.row = {NULL}};
	uint32_t beta_sum;
	__m256i a;
	int i;

	for (j = 0; j < job->n; j += ROWS) {
		load_rows(job, j, &rows);
		fetch_ahead(job, j);
		sum_four(s, rows.row, q, nq, bits, low);
		sum_four(s, rows.row + 4, q, nq, bits, high);
		load_numbers(plan, &rows);
#pragma GCC unroll 4
		for (i = 0; i < nq; i++) {
			if ((size_t)i >= job->nq)
				break;
			head = (const void *)(job->packed + (size_t)i * size);
			a = _mm256_inserti128_si256(_mm256_castsi128_si256(low[i]), high[i], 1);
			a = bits == 1 ? _mm256_mullo_epi32(a, _mm256_set1_epi32((int32_t)s->alpha)) :
					_mm256_add_epi32(a, a);
			beta_sum = (uint32_t)(int32_t)s->beta * (uint32_t)head->sum;
			a = _mm256_sub_epi32(a, _mm256_set1_epi32((int32_t)beta_sum));
			store_elements8(job->scores + (size_t)i * job->ld + j,
					score_finish8(plan, head, &rows, _mm256_cvtepi32_ps(a), _mm256_setzero_ps()),
					job->n - j);
		}
	}
}

#define SCORE_ROWS(bits)                                                                                    \
	static void score_rows_##bits(const struct score_job *job, const struct shape *s, const struct group *q) \
	{                                                                                                    \
		if (job->nq > 2)                                                                             \
			score_rows(job, s, q, 4, bits);                                                      \
		else                                                                                         \
			score_rows(job, s, q, 2, bits);                                                      \
	}

SCORE_ROWS(1)
SCORE_ROWS(2)
SCORE_ROWS(3)
SCORE_ROWS(4)

void score_planes(const struct score_job *job)
{
	static void (*const by_bits[])(const struct score_job *job, const struct shape *s, const struct group *q) = {
		NULL, score_rows_1, score_rows_2, score_rows_3, score_rows_4};
	const struct tq_plan *plan = job->plan;
	struct shape level;
	struct group group;

	level_shape(plan, job->tab, &level);
	spread_queries(query_part(plan, job->packed, 0), query_bytes(plan), job->nq, query_chunks(plan->dim), &group);
	by_bits[plan->index_bits](job, &level, &group);
}
