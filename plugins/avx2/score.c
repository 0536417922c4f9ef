/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Integer scores, FORMAT.md section 6. Compiled twice: plain AVX2, and with AVX-VNNI, whose dpbusd
 *does in one instruction what maddubs, madd and add do in three.
 *
 * Up to four sums run over a row, all exact in int32 (65536 * 127 * 127 < 2^31):
 *
 *	levels   query	sums				A =
 *	1 plane  s8	g q				alpha S0 - beta sum(q)
 *	1 plane  s16	g qhi, g qlo			alpha (128 S0 + S1) - beta sum(q)
 *	2 planes s8	hi q, lo q			128 S0 + S1
 *	2 planes s16	hi qhi, hi qlo + lo qhi, lo qlo	16384 S0 + 128 S1 + S2
 *
 * with (alpha, beta) = (2, 127) on the grid, (2 odd, odd) for one bit, (2, 1) for a sketch. With
 *one sum everything stays in int32; otherwise it is put together in double, which is exact below
 *2^53, and rounded once.
 *
 * Rows go eight at a time; their sums, eight lanes each, are added across and land in one register
 *with a row per lane, and so does the arithmetic that makes the scores.
 */

#include "levels.h"
#include "query.h"
#include "score.h"

#define ROWS 8

/* Longest row that is decoded once for several queries */
#define TILE_DIM 4096

/* How the bits of a field become a sum over the row */
struct shape {
	struct level_tables tables;
	const struct tq_section *section;
	uint32_t nsections;
	size_t dim;
	double alpha, beta;
};

/* Number of sums per row */
AVX2_INLINE int nsums(uint32_t bits, uint32_t planes)
{
	return (bits > 4 ? 2 : 1) + (int)planes - 1;
}

AVX2_INLINE void add_chunk(const struct level_tables *t, const uint8_t *const *p, const int8_t *q,
			   uint32_t bits, uint32_t planes, __m256i *acc)
{
	struct levels lev;
	__m256i hi, lo;
	int v;

	levels_decode(t, p, bits, &lev);
	for (v = 0; v < 2; v++) {
		hi = _mm256_load_si256((const __m256i *)(q + 32 * v));
		if (bits <= 4) {
			acc[0] = dot_add(acc[0], lev.hi[v], hi);
			if (planes == 2) {
				lo = _mm256_load_si256((const __m256i *)(q + 64 + 32 * v));
				acc[1] = dot_add(acc[1], lev.hi[v], lo);
			}
			continue;
		}
		hi = _mm256_sign_epi8(hi, lev.sign[v]);
		acc[0] = dot_add(acc[0], lev.hi[v], hi);
		acc[1] = dot_add(acc[1], lev.lo[v], hi);
		if (planes == 2) {
			lo = _mm256_load_si256((const __m256i *)(q + 64 + 32 * v));
			lo = _mm256_sign_epi8(lo, lev.sign[v]);
			acc[1] = dot_add(acc[1], lev.hi[v], lo);
			acc[2] = dot_add(acc[2], lev.lo[v], lo);
		}
	}
}

AVX2_INLINE uint32_t nfields(uint32_t bits)
{
	return bits == 3 || bits == 5 || bits == 6 ? 2 : bits == 7 ? 3 : 1;
}

/* The part of a chunk behind the last whole one, copied to where all of a chunk can be read */
AVX2_INLINE void stage_tail(const struct shape *s, size_t rest, uint32_t nsections, uint32_t bits,
			    const uint8_t **p, uint8_t (*staged)[64])
{
	uint32_t k;
	size_t n;

	for (k = 0; k < nsections; k++) {
		n = (rest * s->section[k].width + 7) / 8;
		_mm256_store_si256((__m256i *)staged[k], part32(p[k], n < 32 ? n : 32));
		if (bits == 8)
			_mm256_store_si256((__m256i *)(staged[k] + 32),
					   part32(p[k] + 32, n > 32 ? n - 32 : 0));
		p[k] = staged[k];
	}
}

/* One row: eight lanes of each sum */
AVX2_INLINE void row_sums(const struct shape *s, const uint8_t *row, const int8_t *q, uint32_t bits,
			  uint32_t planes, __m256i *acc)
{
	uint8_t staged[3][64] __attribute__((aligned(32)));
	size_t chunks = s->dim / QUERY_CHUNK, rest = s->dim % QUERY_CHUNK, c;
	const uint8_t *p[3] = {NULL, NULL, NULL};
	uint32_t nsections = nfields(bits);
	uint32_t k;
	int i;

	for (i = 0; i < nsums(bits, planes); i++)
		acc[i] = _mm256_setzero_si256();
	for (k = 0; k < nsections; k++)
		p[k] = row + s->section[k].at;
	for (c = 0; c < chunks; c++, q += QUERY_CHUNK * planes) {
		add_chunk(&s->tables, p, q, bits, planes, acc);
		for (k = 0; k < nsections; k++)
			p[k] += 8 * s->section[k].width;
	}
	if (!rest)
		return;
	stage_tail(s, rest, nsections, bits, p, staged);
	add_chunk(&s->tables, p, q, bits, planes, acc);
}

/* Eight registers of eight lanes to the eight sums of their lanes */
AVX2_INLINE __m256i add_across(const __m256i *v)
{
	__m256i a = _mm256_hadd_epi32(v[0], v[1]), b = _mm256_hadd_epi32(v[2], v[3]);
	__m256i c = _mm256_hadd_epi32(v[4], v[5]), d = _mm256_hadd_epi32(v[6], v[7]);

	a = _mm256_hadd_epi32(a, b);
	c = _mm256_hadd_epi32(c, d);
	return _mm256_add_epi32(_mm256_permute2x128_si256(a, c, 0x20),
				_mm256_permute2x128_si256(a, c, 0x31));
}

AVX2_INLINE __m128 combine4(const __m128i *s, int n, double alpha, double beta_sum)
{
	__m256d v = _mm256_cvtepi32_pd(s[0]);
	int k;

	for (k = 1; k < n; k++)
		v = _mm256_add_pd(_mm256_mul_pd(v, _mm256_set1_pd(128.0)),
				  _mm256_cvtepi32_pd(s[k]));
	v = _mm256_sub_pd(_mm256_mul_pd(v, _mm256_set1_pd(alpha)), _mm256_set1_pd(beta_sum));
	return _mm256_cvtpd_ps(v);
}

/* Decode a row of up to 4 bits to every ROWS-th register of @to */
AVX2_INLINE void row_levels(const struct shape *s, const uint8_t *row, uint32_t bits, __m256i *to)
{
	uint8_t staged[3][64] __attribute__((aligned(32)));
	size_t chunks = s->dim / QUERY_CHUNK, rest = s->dim % QUERY_CHUNK, c;
	const uint8_t *p[3] = {NULL, NULL, NULL};
	uint32_t nsections = nfields(bits), k;
	struct levels lev;

	for (k = 0; k < nsections; k++)
		p[k] = row + s->section[k].at;
	for (c = 0; c < chunks + (rest != 0); c++, to += 2 * ROWS) {
		if (c == chunks)
			stage_tail(s, rest, nsections, bits, p, staged);
		levels_decode(&s->tables, p, bits, &lev);
		_mm256_store_si256(to, lev.hi[0]);
		_mm256_store_si256(to + ROWS, lev.hi[1]);
		for (k = 0; k < nsections; k++)
			p[k] += 8 * s->section[k].width;
	}
}

/* Four rows of a tile of @n registers each and two queries: @a and @b receive four sums each */
AVX2_INLINE void dot_four(const __m256i *tile, size_t n, const int8_t *q, const int8_t *r,
			  __m256i *a, __m256i *b)
{
	__m256i a0 = _mm256_setzero_si256(), a1 = a0, a2 = a0, a3 = a0;
	__m256i b0 = a0, b1 = a0, b2 = a0, b3 = a0, x, y, level;
	size_t u;

	for (u = 0; u < n; u++, tile += ROWS) {
		x = _mm256_load_si256((const __m256i *)(q + 32 * u));
		y = _mm256_load_si256((const __m256i *)(r + 32 * u));
		level = _mm256_load_si256(tile);
		a0 = dot_add(a0, level, x);
		b0 = dot_add(b0, level, y);
		level = _mm256_load_si256(tile + 1);
		a1 = dot_add(a1, level, x);
		b1 = dot_add(b1, level, y);
		level = _mm256_load_si256(tile + 2);
		a2 = dot_add(a2, level, x);
		b2 = dot_add(b2, level, y);
		level = _mm256_load_si256(tile + 3);
		a3 = dot_add(a3, level, x);
		b3 = dot_add(b3, level, y);
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

/* A of eight rows, rounded to float, from their one sum */
AVX2_INLINE __m256 one_sum(const struct shape *s, const __m256i *by_row, int64_t sum)
{
	__m256i total = _mm256_mullo_epi32(add_across(by_row), _mm256_set1_epi32((int)s->alpha));

	total = _mm256_sub_epi32(total, _mm256_set1_epi32((int)(s->beta * (double)sum)));
	return _mm256_cvtepi32_ps(total);
}

/* A, rounded to float, of eight rows */
AVX2_INLINE __m256 block_sums(const struct shape *s, const uint8_t *const *row, const int8_t *q,
			      int64_t sum, uint32_t bits, uint32_t planes)
{
	__m256i acc[3], by_row[3][ROWS], total[3];
	__m128i half[3];
	__m128 low;
	int n = nsums(bits, planes), r, k;

	for (r = 0; r < ROWS; r++) {
		row_sums(s, row[r], q, bits, planes, acc);
		for (k = 0; k < n; k++)
			by_row[k][r] = acc[k];
	}
	if (n == 1)
		return one_sum(s, by_row[0], sum);
	for (k = 0; k < n; k++)
		total[k] = add_across(by_row[k]);
	for (k = 0; k < n; k++)
		half[k] = _mm256_castsi256_si128(total[k]);
	low = combine4(half, n, s->alpha, s->beta * (double)sum);
	for (k = 0; k < n; k++)
		half[k] = _mm256_extracti128_si256(total[k], 1);
	return _mm256_insertf128_ps(_mm256_castps128_ps256(low),
				    combine4(half, n, s->alpha, s->beta * (double)sum), 1);
}

/* Scores of one query and eight rows */
AVX2_INLINE __m256 score_block(const struct tq_plan *plan, const struct shape *level,
			       const struct shape *sketch, const void *packed,
			       const uint8_t *const *row, uint32_t bits, uint32_t planes)
{
	const struct query_head *head = packed;
	__m256 a = _mm256_setzero_ps(), b = a;

	if (bits)
		a = block_sums(level, row, query_part(plan, packed, 0), head->sum, bits, planes);
	if (sketch->section)
		b = block_sums(sketch, row, query_part(plan, packed, 1), head->sketch_sum, 1,
			       planes);
	return score_finish8(plan, head, row, a, b);
}

struct score_job {
	const struct tq_plan *plan;
	const struct avx2_tables *tab;
	const char *packed;
	size_t nq;
	const uint8_t *codes;
	const uint32_t *ids;
	size_t n;
	float *scores;
	size_t ld;
};

/* Eight rows and all queries: the rows are decoded once */
AVX2_INLINE void score_tile(const struct score_job *job, const struct shape *level,
			    const uint8_t *const *row, size_t j, size_t n, uint32_t bits)
{
	__m256i tile[TILE_DIM / 32 * ROWS], a[ROWS], b[ROWS];
	size_t size = query_bytes(job->plan), registers = 2 * query_chunks(job->plan), i, k;
	const struct query_head *head[2];
	const int8_t *q[2];
	__m256 s;

	for (k = 0; k < ROWS; k++)
		row_levels(level, row[k], bits, tile + k);
	for (i = 0; i < job->nq; i += 2) {
		for (k = 0; k < 2; k++) {
			head[k] =
				(const void *)(job->packed + (i + k < job->nq ? i + k : i) * size);
			q[k] = query_part(job->plan, head[k], 0);
		}
		dot_four(tile, registers, q[0], q[1], a, b);
		dot_four(tile + 4, registers, q[0], q[1], a + 4, b + 4);
		s = score_finish8(job->plan, head[0], row, one_sum(level, a, head[0]->sum),
				  _mm256_setzero_ps());
		store_elements8(job->scores + i * job->ld + j, s, n);
		if (i + 1 == job->nq)
			break;
		s = score_finish8(job->plan, head[1], row, one_sum(level, b, head[1]->sum),
				  _mm256_setzero_ps());
		store_elements8(job->scores + (i + 1) * job->ld + j, s, n);
	}
}

AVX2_INLINE void score_job(const struct score_job *job, uint32_t bits, uint32_t planes)
{
	const struct tq_plan *plan = job->plan;
	const struct tq_layout *lay = &plan->layout;
	size_t row_bytes = lay->row_bytes, size = query_bytes(plan), i, j, k, at, n;
	struct shape level = {.section = lay->section,
			      .nsections = lay->nsections,
			      .dim = plan->dim,
			      .alpha = 2.0,
			      .beta = 127.0};
	struct tq_section bit = {.width = 1, .at = lay->sketch_at, .bytes = lay->sketch_bytes};
	struct shape sketch = {.section = has_sketch(plan) ? &bit : NULL,
			       .nsections = 1,
			       .dim = plan->dim,
			       .alpha = 2.0,
			       .beta = 1.0};
	const uint8_t *row[ROWS];

	level_tables_load(&level.tables, job->tab, bits);
	if (bits == 1) {
		level.alpha = 2.0 * plan->codebook.odd[1];
		level.beta = plan->codebook.odd[1];
	} else if (bits > 4) {
		level.alpha = 1.0;
		level.beta = 0.0;
	}
	for (j = 0; j < job->n; j += ROWS) {
		n = job->n - j < ROWS ? job->n - j : ROWS;
		for (k = 0; k < ROWS; k++) {
			at = j + (k < n ? k : n - 1);
			row[k] = job->codes + (job->ids ? (size_t)job->ids[at] : at) * row_bytes;
		}
		if (bits >= 1 && bits <= 4 && planes == 1 && job->nq > 1 && !has_sketch(plan) &&
		    plan->dim <= TILE_DIM) {
			score_tile(job, &level, row, j, n, bits);
			continue;
		}
		for (i = 0; i < job->nq; i++) {
			__m256 s = score_block(plan, &level, &sketch, job->packed + i * size, row,
					       bits, planes);

			store_elements8(job->scores + i * job->ld + j, s, n);
		}
	}
}

#define SCORE_JOB(bits, planes)                                                                    \
	static void job_##bits##_##planes(const struct score_job *job)                             \
	{                                                                                          \
		score_job(job, bits, planes);                                                      \
	}

SCORE_JOB(0, 1)
SCORE_JOB(1, 1)
SCORE_JOB(2, 1)
SCORE_JOB(3, 1)
SCORE_JOB(4, 1)
SCORE_JOB(5, 1)
SCORE_JOB(6, 1)
SCORE_JOB(7, 1)
SCORE_JOB(8, 1)
SCORE_JOB(0, 2)
SCORE_JOB(1, 2)
SCORE_JOB(2, 2)
SCORE_JOB(3, 2)
SCORE_JOB(4, 2)
SCORE_JOB(5, 2)
SCORE_JOB(6, 2)
SCORE_JOB(7, 2)
SCORE_JOB(8, 2)

static void (*const jobs[2][9])(const struct score_job *job) = {
	{job_0_1, job_1_1, job_2_1, job_3_1, job_4_1, job_5_1, job_6_1, job_7_1, job_8_1},
	{job_0_2, job_1_2, job_2_2, job_3_2, job_4_2, job_5_2, job_6_2, job_7_2, job_8_2},
};

static void run(const struct score_job *job)
{
	if (job->plan->query == TQ_QUERY_F32)
		avx2_score_float(job->plan, job->tab, job->packed, job->nq, job->codes, job->ids,
				 job->n, job->scores, job->ld);
	else
		jobs[query_planes(job->plan) - 1][job->plan->index_bits](job);
}

static void avx2_score(const struct tq_plan *plan, const void *state, const void *packed, size_t nq,
		       const uint8_t *codes, size_t n, float *scores, size_t ld)
{
	struct score_job job = {plan, state, packed, nq, codes, NULL, n, scores, ld};

	run(&job);
}

static void avx2_score_list(const struct tq_plan *plan, const void *state, const void *packed,
			    const uint8_t *codes, const uint32_t *ids, size_t n, float *scores)
{
	struct score_job job = {plan, state, packed, 1, codes, ids, n, scores, 0};

	run(&job);
}

const struct tq_quantizer_ops SCORE_OPS = {
	.struct_size = sizeof(struct tq_quantizer_ops),
	.create = avx2_tables_create,
	.destroy = avx2_tables_destroy,
	.query_size = avx2_query_size,
	.query_pack = avx2_query_pack,
	.score = avx2_score,
	.score_list = avx2_score_list,
};
