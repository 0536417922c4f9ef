/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Integer scores, FORMAT.md section 6; score.h has the sums.
 *
 * Rows go eight at a time; their sums, eight lanes each, are added across and land in one register
 * with a row per lane, and so does the arithmetic that makes the scores. A query alone is
 * multiplied with levels as they are decoded; several share a tile of them.
 */

#include "score.h"

AVX2_INLINE void add_chunk(const struct level_tables *t, const uint8_t *const *p, const int8_t *q,
			   uint32_t bits, uint32_t planes, __m256i *acc)
{
	struct levels lev;
	__m256i hi, lo;
	int v;

	levels_decode(t, p, bits, &lev);
	for (v = 0; v < 2; v++) {
		hi = _mm256_load_si256((const __m256i *)(q + 32 * v));
		acc[0] = dot_add(acc[0], lev.hi[v], hi);
		if (bits > 4)
			acc[1] = dot_add(acc[1], lev.lo[v], hi);
		if (planes == 1)
			continue;
		lo = _mm256_load_si256((const __m256i *)(q + 64 + 32 * v));
		acc[1] = dot_add(acc[1], lev.hi[v], lo);
		if (bits > 4)
			acc[2] = dot_add(acc[2], lev.lo[v], lo);
	}
}

/* One row: eight lanes of each sum */
AVX2_INLINE void row_sums(const struct shape *s, const uint8_t *row, const int8_t *q, uint32_t bits,
			  uint32_t planes, __m256i *acc)
{
	uint8_t staged[3][64] __attribute__((aligned(32)));
	size_t chunks = s->dim / QUERY_CHUNK, rest = s->dim % QUERY_CHUNK, c;
	const uint8_t *p[3] = {NULL, NULL, NULL};
	uint32_t k;
	int i;

	for (i = 0; i < nsums(bits, planes); i++)
		acc[i] = _mm256_setzero_si256();
	for (k = 0; k < nfields(bits); k++)
		p[k] = row + s->section[k].at;
	for (c = 0; c < chunks; c++, q += QUERY_CHUNK * planes) {
		add_chunk(&s->tables, p, q, bits, planes, acc);
		for (k = 0; k < nfields(bits); k++)
			p[k] += 8 * s->section[k].width;
	}
	if (!rest)
		return;
	stage_tail(s, rest, bits, p, staged);
	add_chunk(&s->tables, p, q, bits, planes, acc);
}

/* A of eight rows and one query */
AVX2_INLINE __m256 block_sums(const struct shape *s, const uint8_t *const *row, const int8_t *q,
			      int64_t sum, uint32_t bits, uint32_t planes)
{
	__m256i acc[3], by_row[3][ROWS], total[3];
	int n = nsums(bits, planes), r, k;

	for (r = 0; r < ROWS; r++) {
		row_sums(s, row[r], q, bits, planes, acc);
		for (k = 0; k < n; k++)
			by_row[k][r] = acc[k];
	}
	for (k = 0; k < n; k++)
		total[k] = add_across(by_row[k]);
	return combine(s, total, n, sum);
}

/* All rows and one query */
AVX2_INLINE void score_one(const struct score_job *job, uint32_t bits, uint32_t planes)
{
	const struct tq_plan *plan = job->plan;
	const struct query_head *head = (const void *)job->packed;
	__m256 a = _mm256_setzero_ps(), b = a;
	struct shape level, sketch;
	struct row_numbers rows;
	size_t j;

	level_shape(plan, job->tab, &level);
	sketch_shape(plan, &sketch);
	for (j = 0; j < job->n; j += ROWS) {
		load_rows(job, j, &rows);
		if (bits)
			a = block_sums(&level, rows.row, query_part(plan, head, 0), head->sum, bits,
				       planes);
		if (has_sketch(plan))
			b = block_sums(&sketch, rows.row, query_part(plan, head, 1),
				       head->sketch_sum, 1, planes);
		load_numbers(plan, &rows);
		store_elements8(job->scores + j, score_finish8(plan, head, &rows, a, b),
				job->n - j);
	}
}

#define SCORE_ONE(bits, planes)                                                                    \
	static void one_##bits##_##planes(const struct score_job *job)                             \
	{                                                                                          \
		score_one(job, bits, planes);                                                      \
	}

SCORE_ONE(0, 1)
SCORE_ONE(1, 1)
SCORE_ONE(2, 1)
SCORE_ONE(3, 1)
SCORE_ONE(4, 1)
SCORE_ONE(5, 1)
SCORE_ONE(6, 1)
SCORE_ONE(7, 1)
SCORE_ONE(8, 1)
SCORE_ONE(0, 2)
SCORE_ONE(1, 2)
SCORE_ONE(2, 2)
SCORE_ONE(3, 2)
SCORE_ONE(4, 2)
SCORE_ONE(5, 2)
SCORE_ONE(6, 2)
SCORE_ONE(7, 2)
SCORE_ONE(8, 2)

static void (*const one_query[2][9])(const struct score_job *job) = {
	{one_0_1, one_1_1, one_2_1, one_3_1, one_4_1, one_5_1, one_6_1, one_7_1, one_8_1},
	{one_0_2, one_1_2, one_2_2, one_3_2, one_4_2, one_5_2, one_6_2, one_7_2, one_8_2},
};

/* Up to TILE_QUERIES queries and all rows: eight rows are decoded once for them */
static void score_several(const struct score_job *job)
{
	const struct tq_plan *plan = job->plan;
	size_t size = query_bytes(plan), i, j;
	int64_t sum[TILE_QUERIES], sketch_sum[TILE_QUERIES];
	__m256 a[TILE_QUERIES], b[TILE_QUERIES], s;
	const struct query_head *head;
	struct shape level, sketch;
	struct row_numbers rows;

	level_shape(plan, job->tab, &level);
	sketch_shape(plan, &sketch);
	for (i = 0; i < job->nq; i++) {
		head = (const void *)(job->packed + i * size);
		sum[i] = head->sum;
		sketch_sum[i] = head->sketch_sum;
		a[i] = b[i] = _mm256_setzero_ps();
	}
	for (j = 0; j < job->n; j += ROWS) {
		load_rows(job, j, &rows);
		if (plan->index_bits)
			sum_tile(&level, rows.row, query_part(plan, job->packed, 0), size,
				 query_planes(plan), sum, job->nq, a);
		if (has_sketch(plan))
			sum_tile(&sketch, rows.row, query_part(plan, job->packed, 1), size,
				 query_planes(plan), sketch_sum, job->nq, b);
		load_numbers(plan, &rows);
		for (i = 0; i < job->nq; i++) {
			head = (const void *)(job->packed + i * size);
			s = score_finish8(plan, head, &rows, a[i], b[i]);
			store_elements8(job->scores + i * job->ld + j, s, job->n - j);
		}
	}
}

static void run(struct score_job *job)
{
	size_t left = job->nq, size = query_bytes(job->plan), most;
	const struct tq_plan *plan = job->plan;
	int planes = plan->index_bits && plan->index_bits <= 4 && !has_sketch(plan) && query_planes(plan) == 2 &&
		     plan->dim <= PLANES_DIM && left > 1;

	if (job->plan->query == TQ_QUERY_F32) {
		avx2_score_float(job->plan, job->tab, job->packed, job->nq, job->codes, job->ids,
				 job->n, job->scores, job->ld);
		return;
	}
	most = planes ? PLANES_QUERIES : TILE_QUERIES;
	for (; left > 0; left -= job->nq) {
		job->nq = left < most ? left : most;
		if (planes)
			score_planes(job);
		else if (job->nq == 1)
			one_query[query_planes(job->plan) - 1][job->plan->index_bits](job);
		else
			score_several(job);
		job->packed += job->nq * size;
		job->scores += job->nq * job->ld;
	}
}

static void score(const struct tq_plan *plan, const void *state, const void *packed, size_t nq,
		  const uint8_t *codes, size_t n, float *scores, size_t ld)
{
	struct score_job job = {plan, state, packed, nq, codes, NULL, n, scores, ld};

	run(&job);
}

static void score_list(const struct tq_plan *plan, const void *state, const void *packed,
		       const uint8_t *codes, const uint32_t *ids, size_t n, float *scores)
{
	struct score_job job = {plan, state, packed, 1, codes, ids, n, scores, 0};

	run(&job);
}

const struct tq_quantizer_ops SCORE_NAME(SCORE_ISA, score_ops) = {
	.struct_size = sizeof(struct tq_quantizer_ops),
	.create = avx2_tables_create,
	.destroy = avx2_tables_destroy,
	.query_size = avx2_query_size,
	.query_pack = avx2_query_pack,
	.score = score,
	.score_list = score_list,
	.score_blocks = block_scores,
	.score_pairs = pair_scores,
};
