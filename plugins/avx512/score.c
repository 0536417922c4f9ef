/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Integer scores of one query, FORMAT.md section 6.
 *
 * Up to three sums run over a row, all exact in int32 (65536 * 2 * 127 * 127 < 2^31):
 *
 *	levels   query	sums				G
 *	1 plane  s8	g q				S0
 *	1 plane  s16	g qhi, g qlo			128 S0 + S1
 *	2 planes s8	hi q, lo q			128 S0 + S1
 *	2 planes s16	hi qhi, hi qlo + lo qhi, lo qlo	16384 S0 + 128 S1 + S2
 *
 * and A = 2 G - beta sum(q), where beta is 127, 16383 from 5 bits, 1 for a sketch. With one sum
 * everything stays in int32 (only A itself has to fit); otherwise it is put together in double,
 * which is exact below 2^53, and rounded once.
 *
 * A row's sums are sixteen lanes each. Rows go four at a time, so that a register of the query is
 * loaded once for four; after sixteen rows their lanes are added across, and land in one register
 * with a row per lane.
 */

#include "score.h"

#define GROUP 4

/* How the bits of some fields become sums over the row */
struct shape {
	struct level_tables tables;
	uint32_t at[3];
	__mmask64 tail[3];
	size_t chunks;
	int has_tail;
	int beta;
};

/* Where a row is read, in each of its fields */
struct row_at {
	const uint8_t *field[3];
};

/* Sums of four rows in one 128-bit lane each, to be added across */
struct sums {
	__m512i group[ROWS / GROUP];
};

LEVELS_INLINE int nsums(uint32_t bits, uint32_t planes)
{
	return (int)(levels_planes(bits) + planes) - 1;
}

LEVELS_INLINE void shape_init(struct shape *s, const struct tq_section *section, size_t dim,
			      uint32_t bits)
{
	size_t chunk = levels_chunk(bits), rest = dim % chunk, n;
	uint32_t k;

	s->chunks = dim / chunk;
	s->has_tail = rest != 0;
	for (k = 0; k < levels_fields(bits); k++) {
		s->at[k] = section[k].at;
		n = (rest * section[k].width + 7) / 8;
		s->tail[k] = n < 64 ? ((__mmask64)1 << n) - 1 : ~(__mmask64)0;
	}
}

LEVELS_INLINE void add_chunk(const struct shape *s, const struct row_at *p, int whole,
			     const int8_t *q, uint32_t bits, uint32_t planes, __m512i (*acc)[3])
{
	__m512i hi[LEVEL_VECTORS], lo[LEVEL_VECTORS], q0, q1;
	uint32_t v;
	int r;

	for (r = 0; r < GROUP; r++) {
		levels_decode(&s->tables, p[r].field, s->tail, whole, bits, hi, lo);
		for (v = 0; v < levels_vectors(bits); v++) {
			q0 = _mm512_load_si512(q + 64 * planes * v);
			acc[r][0] = _mm512_dpbusd_epi32(acc[r][0], hi[v], q0);
			if (bits > 4)
				acc[r][1] = _mm512_dpbusd_epi32(acc[r][1], lo[v], q0);
			if (planes == 1)
				continue;
			q1 = _mm512_load_si512(q + 64 * planes * v + 64);
			acc[r][1] = _mm512_dpbusd_epi32(acc[r][1], hi[v], q1);
			if (bits > 4)
				acc[r][2] = _mm512_dpbusd_epi32(acc[r][2], lo[v], q1);
		}
	}
}

/* Four registers to one: lane i of each 128 bits is what register i held there */
LEVELS_INLINE __m512i add_lanes(__m512i a, __m512i b, __m512i c, __m512i d)
{
	__m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
	__m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));

	return _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
}

/* Four registers to one: 128-bit lane i is the sum of the lanes of register i */
LEVELS_INLINE __m512i add_quarters(const __m512i *g)
{
	__m512i ab = _mm512_add_epi32(_mm512_shuffle_i32x4(g[0], g[1], 0x88),
				      _mm512_shuffle_i32x4(g[0], g[1], 0xdd));
	__m512i cd = _mm512_add_epi32(_mm512_shuffle_i32x4(g[2], g[3], 0x88),
				      _mm512_shuffle_i32x4(g[2], g[3], 0xdd));

	return _mm512_add_epi32(_mm512_shuffle_i32x4(ab, cd, 0x88),
				_mm512_shuffle_i32x4(ab, cd, 0xdd));
}

/* The sums of four rows */
LEVELS_INLINE void group_sums(const struct shape *s, const uint8_t *const *row, const int8_t *q,
			      uint32_t bits, uint32_t planes, int g, struct sums *sums)
{
	struct row_at p[GROUP] = {{{NULL}}};
	__m512i acc[GROUP][3];
	size_t c;
	uint32_t k;
	int i, r;

	for (r = 0; r < GROUP; r++) {
		for (i = 0; i < nsums(bits, planes); i++)
			acc[r][i] = _mm512_setzero_si512();
		for (k = 0; k < levels_fields(bits); k++)
			p[r].field[k] = row[r] + s->at[k];
	}
	for (c = 0; c < s->chunks; c++, q += levels_vectors(bits) * 64 * planes) {
		add_chunk(s, p, 1, q, bits, planes, acc);
		for (r = 0; r < GROUP; r++)
			for (k = 0; k < levels_fields(bits); k++)
				p[r].field[k] += levels_step(bits, k);
	}
	if (s->has_tail)
		add_chunk(s, p, 0, q, bits, planes, acc);
	for (i = 0; i < nsums(bits, planes); i++)
		sums[i].group[g] = add_lanes(acc[0][i], acc[1][i], acc[2][i], acc[3][i]);
}

LEVELS_INLINE __m256 combine8(const __m256i *s, int n, double beta_sum)
{
	__m512d v = _mm512_cvtepi32_pd(s[0]);
	int k;

	for (k = 1; k < n; k++)
		v = _mm512_add_pd(_mm512_mul_pd(v, _mm512_set1_pd(128.0)),
				  _mm512_cvtepi32_pd(s[k]));
	return _mm512_cvtpd_ps(_mm512_sub_pd(_mm512_add_pd(v, v), _mm512_set1_pd(beta_sum)));
}

/* A, rounded to float, from the sums of sixteen rows */
LEVELS_INLINE __m512 combine(const __m512i *total, int n, int beta, int64_t sum)
{
	double beta_sum = (double)beta * (double)sum;
	__m256i half[3];
	__m256 low;
	__m512i a;
	int k;

	if (n == 1) {
		a = _mm512_slli_epi32(total[0], 1);
		return _mm512_cvtepi32_ps(
			_mm512_sub_epi32(a, _mm512_set1_epi32((int)(beta * sum))));
	}
	for (k = 0; k < n; k++)
		half[k] = _mm512_castsi512_si256(total[k]);
	low = combine8(half, n, beta_sum);
	for (k = 0; k < n; k++)
		half[k] = _mm512_extracti64x4_epi64(total[k], 1);
	return _mm512_insertf32x8(_mm512_castps256_ps512(low), combine8(half, n, beta_sum), 1);
}

/* A, rounded to float, of sixteen rows, the first @n of which are asked for */
LEVELS_INLINE __m512 block_sums(const struct shape *s, const uint8_t *const *row, size_t n,
				const int8_t *q, int64_t sum, uint32_t bits, uint32_t planes)
{
	struct sums sums[3];
	__m512i total[3];
	int g, i;

	for (g = 0; g < ROWS / GROUP; g++) {
		if ((size_t)g * GROUP < n) {
			group_sums(s, row + (size_t)g * GROUP, q, bits, planes, g, sums);
			continue;
		}
		for (i = 0; i < nsums(bits, planes); i++)
			sums[i].group[g] = _mm512_setzero_si512();
	}
	for (i = 0; i < nsums(bits, planes); i++)
		total[i] = add_quarters(sums[i].group);
	return combine(total, nsums(bits, planes), s->beta, sum);
}

LEVELS_INLINE void score_rows(const struct score_job *job, uint32_t bits, uint32_t planes)
{
	const struct tq_plan *plan = job->plan;
	const struct tq_layout *lay = &plan->layout;
	struct tq_section bit = {.width = 1, .at = lay->sketch_at};
	__m512 a = _mm512_setzero_ps(), b = a;
	size_t size = query_bytes(plan), i, j, n;
	const struct query_head *head;
	struct shape level = {.beta = bits > 4 ? 16383 : 127}, sketch = {.beta = 1};
	const uint8_t *row[ROWS];
	const char *packed;

	if (bits) {
		shape_init(&level, lay->section, plan->dim, bits);
		level_tables_load(&level.tables, &job->tab->hi, &job->tab->lo, bits);
	}
	if (has_sketch(plan)) {
		shape_init(&sketch, &bit, plan->dim, 1);
		level_tables_load(&sketch.tables, &job->tab->sign, NULL, 1);
	}
	for (j = 0; j < job->n; j += ROWS) {
		n = job->n - j < ROWS ? job->n - j : ROWS;
		job_rows(job, j, row);
		for (i = 0; i < job->nq; i++) {
			packed = job->packed + i * size;
			head = (const struct query_head *)(const void *)packed;
			if (bits)
				a = block_sums(&level, row, n, query_part(plan, packed, 0),
					       head->sum, bits, planes);
			if (has_sketch(plan))
				b = block_sums(&sketch, row, n, query_part(plan, packed, 1),
					       head->sketch_sum, 1, planes);
			store_scores(job->scores + i * job->ld + j,
				     score_finish(plan, head, row, a, b), n);
		}
	}
}

#define SCORE_ROWS(bits, planes)                                                                   \
	static void rows_##bits##_##planes(const struct score_job *job)                            \
	{                                                                                          \
		score_rows(job, bits, planes);                                                     \
	}

SCORE_ROWS(0, 1)
SCORE_ROWS(1, 1)
SCORE_ROWS(2, 1)
SCORE_ROWS(3, 1)
SCORE_ROWS(4, 1)
SCORE_ROWS(5, 1)
SCORE_ROWS(6, 1)
SCORE_ROWS(7, 1)
SCORE_ROWS(8, 1)
SCORE_ROWS(0, 2)
SCORE_ROWS(1, 2)
SCORE_ROWS(2, 2)
SCORE_ROWS(3, 2)
SCORE_ROWS(4, 2)
SCORE_ROWS(5, 2)
SCORE_ROWS(6, 2)
SCORE_ROWS(7, 2)
SCORE_ROWS(8, 2)

static void (*const rows_jobs[2][9])(const struct score_job *job) = {
	{rows_0_1, rows_1_1, rows_2_1, rows_3_1, rows_4_1, rows_5_1, rows_6_1, rows_7_1, rows_8_1},
	{rows_0_2, rows_1_2, rows_2_2, rows_3_2, rows_4_2, rows_5_2, rows_6_2, rows_7_2, rows_8_2},
};

static void run(const struct score_job *job)
{
	if (job->plan->query == TQ_QUERY_F32)
		avx512_score_float(job);
	else
		rows_jobs[query_planes(job->plan) - 1][job->plan->index_bits](job);
}

static void avx512_score(const struct tq_plan *plan, const void *state, const void *packed,
			 size_t nq, const uint8_t *codes, size_t n, float *scores, size_t ld)
{
	struct score_job job = {plan, state, packed, nq, codes, NULL, n, scores, ld};

	run(&job);
}

static void avx512_score_list(const struct tq_plan *plan, const void *state, const void *packed,
			      const uint8_t *codes, const uint32_t *ids, size_t n, float *scores)
{
	struct score_job job = {plan, state, packed, 1, codes, ids, n, scores, 0};

	run(&job);
}

const struct tq_quantizer_ops avx512_score_ops = {
	.struct_size = sizeof(struct tq_quantizer_ops),
	.create = avx512_score_create,
	.destroy = avx512_score_destroy,
	.query_size = avx512_query_size,
	.query_pack = avx512_query_pack,
	.score = avx512_score,
	.score_list = avx512_score_list,
};
