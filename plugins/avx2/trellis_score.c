/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scores of rows of trellis codes: sum_tile() of score_tile.c, with a tile that is decoded here, and queries in the
 * order of coordinates. Compiled twice, as score.c is.
 */

#include "score.h"
#include "trellis.h"

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

AVX2_INLINE void decode_row(const struct trellis_tables *t, const uint8_t *row, size_t first, size_t chunks, size_t r,
			    unsigned window, struct tile *tile)
{
	uint8_t room[16] __attribute__((aligned(16)));
	const uint8_t *field = lanes_field(&t->lanes, row, room);
	__m256i grid[2];
	size_t c;

	for (c = 0; c < chunks; c++) {
		trellis_grid(t, field, TRELLIS_GROUP * (first + c), window, grid);
		_mm256_store_si256(&tile->hi[2 * c][r], grid[0]);
		_mm256_store_si256(&tile->hi[2 * c + 1][r], grid[1]);
	}
}

static void decode_8(const struct shape *s, const uint8_t *const *row, size_t first, size_t chunks, struct tile *tile)
{
	size_t r;

	for (r = 0; r < ROWS; r++)
		decode_row(s->trellis, row[r], first, chunks, r, 8, tile);
}

static void decode_9(const struct shape *s, const uint8_t *const *row, size_t first, size_t chunks, struct tile *tile)
{
	size_t r;

	for (r = 0; r < ROWS; r++)
		decode_row(s->trellis, row[r], first, chunks, r, 9, tile);
}

static void trellis_shape(const struct tq_plan *plan, const void *state, struct shape *s)
{
	s->decode = plan->window == 8 ? decode_8 : decode_9;
	s->trellis = state;
	s->bits = plan->index_bits;
	s->dim = plan->dim;
	s->alpha = 2.0;
	s->beta = 127.0;
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

	trellis_shape(job->plan, state, &shape);
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

/* A row as a query of one plane, lanes_padded() bytes; returns its sum */
static int64_t unpack(const struct tq_plan *plan, const struct trellis_tables *t, const uint8_t *row, int8_t *to)
{
	__m256i sum = _mm256_setzero_si256(), odd;
	size_t padded = lanes_padded(plan), at;

	trellis_row(plan, t, row, (uint8_t *)to);
	for (at = 0; at < padded; at += 32, to += 32) {
		odd = _mm256_load_si256((const __m256i *)to);
		odd = _mm256_sub_epi8(_mm256_add_epi8(odd, odd), _mm256_set1_epi8(127));
		odd = _mm256_and_si256(odd, byte_mask(at < plan->dim ? plan->dim - at : 0));
		_mm256_store_si256((__m256i *)to, odd);
		sum = dot_add(sum, _mm256_set1_epi8(1), odd);
	}
	return sum_i64(_mm256_add_epi64(_mm256_cvtepi32_epi64(_mm256_castsi256_si128(sum)),
					_mm256_cvtepi32_epi64(_mm256_extracti128_si256(sum, 1))));
}

/* @na rows that are unpacked together against all of the job's */
static void pairs_some(const struct score_job *job, const void *state, const uint8_t *a, size_t na, float *scores)
{
	size_t size = lanes_padded(job->plan), row_bytes = job->plan->layout.row_bytes, i, j, r;
	int8_t query[PAIRS_ROOM] __attribute__((aligned(64)));
	float value[ROWS] __attribute__((aligned(32)));
	int64_t sum[TILE_QUERIES];
	__m256 sums[TILE_QUERIES];
	struct row_numbers rows;
	struct shape shape;

	trellis_shape(job->plan, state, &shape);
	for (i = 0; i < na; i++)
		sum[i] = unpack(job->plan, state, a + i * row_bytes, query + i * size);
	for (j = 0; j < job->n; j += ROWS) {
		load_rows(job, j, &rows);
		sum_tile(&shape, rows.row, (const char *)query, size, 1, sum, na, sums);
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
	size_t most = PAIRS_ROOM / lanes_padded(plan), i, n;

	most = most < TILE_QUERIES ? most : TILE_QUERIES;
	for (i = 0; i < na; i += n) {
		n = na - i < most ? na - i : most;
		pairs_some(&job, state, a + i * plan->layout.row_bytes, n, scores + i * ld);
	}
}

const struct tq_quantizer_ops SCORE_NAME(SCORE_ISA, trellis_score_ops) = {
	.struct_size = sizeof(struct tq_quantizer_ops),
	.create = avx2_trellis_create,
	.destroy = avx2_trellis_destroy,
	.query_size = query_size,
	.query_pack = query_pack,
	.score = score,
	.score_list = score_list,
	.score_pairs = score_pairs,
};
