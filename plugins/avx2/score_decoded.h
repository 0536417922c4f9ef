/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_AVX2_SCORE_DECODED_H
#define TQ_AVX2_SCORE_DECODED_H

/*
 * Operations of score(*) for codes whose rows become bytes in the order of coordinates: sum_tile() of score_tile.c
 * with a tile that the code fills, and queries in that order. The file that includes this one has
 *
 *	code_shape	how the code fills a tile
 *	unpack		a row as a query of unpacked_planes(), unpacked_bytes() bytes; returns what sum_tile() takes for its sum
 */

/* Room for the queries of one pass over the other side: eight rows or more */
#define PAIRS_ROOM 32768

static void pack_plane(const int8_t *from, size_t dim, size_t stride, int8_t *to)
{
	size_t at;

	for (at = 0; at < dim; at += QUERY_CHUNK, to += stride)
		memcpy(to, from + at, dim - at < QUERY_CHUNK ? dim - at : QUERY_CHUNK);
}

static void query_pack_planes(const struct tq_plan *plan, uint32_t bits, const int8_t *hi, const int8_t *lo,
			      int8_t *part)
{
	size_t stride = QUERY_CHUNK * query_planes(plan);

	(void)bits;
	pack_plane(hi, plan->dim, stride, part);
	if (lo)
		pack_plane(lo, plan->dim, stride, part + QUERY_CHUNK);
}

/* Up to TILE_QUERIES queries and all rows: eight rows are decoded once for them */
static void score_some(const struct score_job *job, const void *state)
{
	size_t size = query_bytes(job->plan), i, j;
	const char *part = query_part(job->plan, job->packed, 0);
	const struct query_head *head;
	int64_t sum[TILE_QUERIES];
	__m256 a[TILE_QUERIES], s;
	struct row_numbers rows;
	struct shape shape;

	code_shape(job->plan, state, &shape);
	for (i = 0; i < job->nq; i++) {
		head = (const void *)(job->packed + i * size);
		sum[i] = head->sum;
	}
	for (j = 0; j < job->n; j += ROWS) {
		load_rows(job, j, &rows);
		sum_tile(&shape, rows.row, part, size, query_planes(job->plan), sum, job->nq, a);
		load_numbers(job->plan, &rows);
		for (i = 0; i < job->nq; i++) {
			head = (const void *)(job->packed + i * size);
			s = score_finish8(job->plan, head, &rows, a[i], _mm256_setzero_ps());
			store_elements8(job->scores + i * job->ld + j, s, job->n - j);
		}
	}
}

#define SCORE_MOST TILE_QUERIES
#include "../simd/trellis_score.h"

/* @na rows that are unpacked together against all of the job's */
static void pairs_some(const struct score_job *job, const void *state, const uint8_t *a, size_t na, float *scores)
{
	size_t size = unpacked_bytes(job->plan), row_bytes = job->plan->layout.row_bytes, i, j, r;
	int8_t query[PAIRS_ROOM] __attribute__((aligned(64)));
	float value[ROWS] __attribute__((aligned(32)));
	int64_t sum[TILE_QUERIES];
	__m256 sums[TILE_QUERIES];
	struct row_numbers rows;
	struct shape shape;

	code_shape(job->plan, state, &shape);
	for (i = 0; i < na; i++)
		sum[i] = unpack(job->plan, state, a + i * row_bytes, query + i * size);
	for (j = 0; j < job->n; j += ROWS) {
		load_rows(job, j, &rows);
		sum_tile(&shape, rows.row, (const char *)query, size, unpacked_planes(job->plan), sum, na, sums);
		for (i = 0; i < na; i++) {
			_mm256_store_ps(value, sums[i]);
			for (r = 0; r < ROWS && j + r < job->n; r++)
				scores[i * job->ld + j + r] =
					tq_pair_finish(job->plan, a + i * row_bytes, rows.row[r], value[r]);
		}
	}
}

static void score_pairs(const struct tq_plan *plan, const void *state, const uint8_t *a, size_t na, const uint8_t *b,
			size_t nb, float *scores, size_t ld)
{
	struct score_job job = {plan, NULL, NULL, na, b, NULL, nb, scores, ld};
	size_t most = PAIRS_ROOM / unpacked_bytes(plan), i, n;

	most = most < TILE_QUERIES ? most : TILE_QUERIES;
	for (i = 0; i < na; i += n) {
		n = na - i < most ? na - i : most;
		pairs_some(&job, state, a + i * plan->layout.row_bytes, n, scores + i * ld);
	}
}

#endif
