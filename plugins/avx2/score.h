/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_AVX2_SCORE_H
#define TQ_AVX2_SCORE_H

/*
 * What the kernels of scores share. The files score.c, score_tile.c and score_pairs.c are compiled
 * twice: plain AVX2, and with AVX-VNNI, whose dpbusd does in one instruction what maddubs, madd and
 * add do in three. SCORE_ISA, avx2 or avxvnni, goes in front of their names.
 *
 * Up to three sums run over a row, all exact in int32 (65536 * 2 * 127 * 127 < 2^31):
 *
 *	levels   query	sums				G
 *	1 plane  s8	g q				S0
 *	1 plane  s16	g qhi, g qlo			128 S0 + S1
 *	2 planes s8	hi q, lo q			128 S0 + S1
 *	2 planes s16	hi qhi, hi qlo + lo qhi, lo qlo	16384 S0 + 128 S1 + S2
 *
 * and A = alpha G - beta sum(q), with (alpha, beta) = (2, 127) on the grid of one plane, (2, 16383)
 * of two, (2 odd, odd) for one bit, (2, 1) for a sketch. With one sum everything stays in int32;
 * otherwise it is put together in double, which is exact below 2^53, and rounded once.
 */

#include "query.h"

#define SCORE_JOIN(isa, name) isa##_##name
#define SCORE_NAME(isa, name) SCORE_JOIN(isa, name)

/** Rows that go together: a row per lane once their sums are added across */
#define ROWS 8

/* Chunks of a tile */
#define TILE_CHUNKS 16

/** struct tile - the levels of eight rows: register v of chunk c of row r at [2 c + v][r] */
struct tile {
	__m256i hi[2 * TILE_CHUNKS][ROWS];
	__m256i lo[2 * TILE_CHUNKS][ROWS];
};

/**
 * struct shape - how the bits of some fields become a sum over a row
 * @decode:  rows to a tile, if that takes more than @tables; up to 4 bits
 * @trellis: what it takes
 * @bits: of an index, or 1 for a sketch
 */
struct shape {
	void (*decode)(const struct shape *s, const uint8_t *const *row, size_t first, size_t chunks,
		       struct tile *tile);
	const void *trellis;
	struct level_tables tables;
	struct tq_section section[3];
	uint32_t bits;
	size_t dim;
	double alpha, beta;
};

/** struct row_numbers - eight rows, and the floats of each that scores need */
struct row_numbers {
	const uint8_t *row[ROWS];
	__m256 scale, rnorm, cross;
};

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

/** level_shape - of the index fields */
AVX2_INLINE void level_shape(const struct tq_plan *plan, const struct avx2_tables *tab,
			     struct shape *s)
{
	uint32_t bits = plan->index_bits;

	s->decode = NULL;
	memcpy(s->section, plan->layout.section, sizeof(s->section));
	s->bits = bits;
	s->dim = plan->dim;
	s->alpha = bits == 1 ? 2.0 * plan->codebook.odd[1] : 2.0;
	s->beta = bits == 1 ? plan->codebook.odd[1] : bits > 4 ? 16383.0 : 127.0;
	level_tables_load(&s->tables, tab, bits);
}

/** sketch_shape - of the sketch's bits */
AVX2_INLINE void sketch_shape(const struct tq_plan *plan, struct shape *s)
{
	s->decode = NULL;
	s->section[0] = (struct tq_section){.width = 1, .at = plan->layout.sketch_at};
	s->bits = 1;
	s->dim = plan->dim;
	s->alpha = 2.0;
	s->beta = 1.0;
}

/** nsums - number of sums per row */
AVX2_INLINE int nsums(uint32_t bits, uint32_t planes)
{
	return (bits > 4 ? 2 : 1) + (int)planes - 1;
}

AVX2_INLINE uint32_t nfields(uint32_t bits)
{
	return bits == 3 || bits == 5 || bits == 6 ? 2 : bits == 7 ? 3 : 1;
}

/** stage_tail - the part of a chunk behind the last whole one, to where all of a chunk can be read
 */
AVX2_INLINE void stage_tail(const struct shape *s, size_t rest, uint32_t bits, const uint8_t **p,
			    uint8_t (*staged)[64])
{
	uint32_t k;
	size_t n;

	for (k = 0; k < nfields(bits); k++) {
		n = (rest * s->section[k].width + 7) / 8;
		_mm256_store_si256((__m256i *)staged[k], part32(p[k], n < 32 ? n : 32));
		if (bits == 8)
			_mm256_store_si256((__m256i *)(staged[k] + 32),
					   part32(p[k] + 32, n > 32 ? n - 32 : 0));
		p[k] = staged[k];
	}
}

/** add_across - eight registers of eight lanes to the eight sums of their lanes */
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

/** combine - A, rounded to float, of eight rows from their @n sums; @sum that of the query */
AVX2_INLINE __m256 combine(const struct shape *s, const __m256i *total, int n, int64_t sum)
{
	double beta_sum = s->beta * (double)sum;
	__m128i half[3];
	__m256i one;
	__m128 low;
	int k;

	if (n == 1) {
		one = _mm256_mullo_epi32(total[0], _mm256_set1_epi32((int)s->alpha));
		one = _mm256_sub_epi32(one, _mm256_set1_epi32((int)beta_sum));
		return _mm256_cvtepi32_ps(one);
	}
	half[0] = _mm256_castsi256_si128(total[0]);
	for (k = 1; k < n; k++)
		half[k] = _mm256_castsi256_si128(total[k]);
	low = combine4(half, n, s->alpha, beta_sum);
	half[0] = _mm256_extracti128_si256(total[0], 1);
	for (k = 1; k < n; k++)
		half[k] = _mm256_extracti128_si256(total[k], 1);
	return _mm256_insertf128_ps(_mm256_castps128_ps256(low),
				    combine4(half, n, s->alpha, beta_sum), 1);
}

/** load_field8 - a float field of eight rows: of type plan->scale, or float */
AVX2_INLINE __m256 load_field8(const uint8_t *const *row, size_t at, uint32_t dtype)
{
	__m256i v = _mm256_setzero_si256();
	uint16_t half[8] __attribute__((aligned(16)));
	float full[8] __attribute__((aligned(32)));
	int r;

	if (dtype == TQ_F32) {
		for (r = 0; r < 8; r++)
			memcpy(full + r, row[r] + at, sizeof(*full));
		return _mm256_setr_ps(full[0], full[1], full[2], full[3], full[4], full[5], full[6],
				      full[7]);
	}
	for (r = 0; r < 8; r++)
		memcpy(half + r, row[r] + at, sizeof(*half));
	if (dtype == TQ_F16)
		return _mm256_cvtph_ps(_mm_load_si128((const __m128i *)half));
	v = _mm256_cvtepu16_epi32(_mm_load_si128((const __m128i *)half));
	return _mm256_castsi256_ps(_mm256_slli_epi32(v, 16));
}

/** load_rows - rows @j .. @j + 7 of the job; behind its end the last one again */
AVX2_INLINE void load_rows(const struct score_job *job, size_t j, struct row_numbers *rows)
{
	const struct tq_layout *lay = &job->plan->layout;
	size_t k, at;

	for (k = 0; k < ROWS; k++) {
		at = j + k < job->n ? j + k : job->n - 1;
		rows->row[k] = job->codes + (job->ids ? (size_t)job->ids[at] : at) * lay->row_bytes;
	}
}

/** load_numbers - the floats of the rows, after their codes have been read */
AVX2_INLINE void load_numbers(const struct tq_plan *plan, struct row_numbers *rows)
{
	const struct tq_layout *lay = &plan->layout;

	if (plan->index_bits)
		rows->scale = load_field8(rows->row, lay->scale_at, plan->scale);
	if (lay->rnorm_at != TQ_NO_FIELD)
		rows->rnorm = load_field8(rows->row, lay->rnorm_at, plan->scale);
	if (plan->center == TQ_CENTER_BOTH)
		rows->cross = load_field8(rows->row, lay->cross_at, TQ_F32);
}

/** score_finish8 - tq_score_finish() of eight rows */
AVX2_INLINE __m256 score_finish8(const struct tq_plan *plan, const struct query_head *head,
				 const struct row_numbers *rows, __m256 a, __m256 b)
{
	__m256 s = _mm256_setzero_ps();

	if (plan->index_bits)
		s = _mm256_mul_ps(_mm256_mul_ps(a, _mm256_set1_ps(head->scale)), rows->scale);
	if (plan->layout.rnorm_at != TQ_NO_FIELD)
		s = _mm256_add_ps(
			s, _mm256_mul_ps(_mm256_mul_ps(b, _mm256_set1_ps(head->sketch_scale)),
					 rows->rnorm));
	if (plan->center != TQ_CENTER_OFF)
		s = _mm256_add_ps(s, _mm256_set1_ps(head->add));
	if (plan->center == TQ_CENTER_BOTH)
		s = _mm256_add_ps(s, rows->cross);
	return s;
}

/** store_elements8 - the first @n of eight scores */
AVX2_INLINE void store_elements8(float *to, __m256 s, size_t n)
{
	if (n >= 8)
		_mm256_storeu_ps(to, s);
	else
		_mm256_maskstore_ps(to, lane_mask((ptrdiff_t)n), s);
}

/**
 * avx2_score_float - scores of float queries
 * @ids: row numbers, or NULL for rows 0 .. @n - 1
 */
void avx2_score_float(const struct tq_plan *plan, const struct avx2_tables *tab, const char *packed,
		      size_t nq, const uint8_t *codes, const uint32_t *ids, size_t n, float *scores,
		      size_t ld);

/** Queries whose sums over a tile are kept at a time */
#define TILE_QUERIES 64

/** Most dimensions of score_planes(), a multiple of QUERY_CHUNK, and queries of a call */
#define PLANES_DIM 1024
#define PLANES_QUERIES 4

#define sum_tile SCORE_NAME(SCORE_ISA, sum_tile)
#define pair_scores SCORE_NAME(SCORE_ISA, pair_scores)
#define score_planes SCORE_NAME(SCORE_ISA, score_planes)

/**
 * sum_tile - A, rounded to float, of eight rows and up to TILE_QUERIES integer queries
 * @q:    their parts, @size bytes apart, of @planes planes
 * @sum:  the sums of their coordinates
 * @a:    receives a register per query
 */
void sum_tile(const struct shape *s, const uint8_t *const *row, const char *q, size_t size,
	      uint32_t planes, const int64_t *sum, size_t nq, __m256 *a);

/** score_planes - all rows and up to PLANES_QUERIES queries of two planes; up to 4 bits, no sketch */
void score_planes(const struct score_job *job);

#define block_scores SCORE_NAME(SCORE_ISA, block_scores)

/** block_scores - the operation score_blocks */
void block_scores(const struct tq_plan *plan, const void *state, const void *packed, size_t nq,
		  const uint8_t *blocks, size_t n, float *scores, size_t ld);

void pair_scores(const struct tq_plan *plan, const void *state, const uint8_t *a, size_t na,
		 const uint8_t *b, size_t nb, float *scores, size_t ld);

#endif
