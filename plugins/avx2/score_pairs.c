/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Rows against rows: those of one side are decoded to integer queries, of one plane up to 4 bits,
 * else of two by sign and magnitude: odd = 128 hi + lo.
 */

#include "score.h"

/* Room for the queries of one pass over the other side; longer rows go one by one */
#define ROOM 32768

/* What turns a row into a query */
struct pair_tables {
	struct level_tables magnitude;
	__m256i odd;
	__m256i there[2];
	uint32_t bits, planes;
};

static void pair_tables_load(const struct tq_plan *plan, const struct avx2_tables *tab,
			     struct pair_tables *t)
{
	uint8_t hi[128] = {0}, lo[128] = {0}, there[64];
	const struct tq_codebook *book = &plan->codebook;
	uint32_t half = book->count / 2, bits = plan->index_bits, k;
	size_t i;

	t->bits = bits;
	t->planes = bits > 4 ? 2 : 1;
	t->odd = both_lanes((const uint8_t *)tab->odd_bytes);
	for (k = 0; bits > 4 && k < half; k++) {
		hi[k] = (uint8_t)(book->odd[half + k] >> 7);
		lo[k] = (uint8_t)(book->odd[half + k] & 127);
	}
	for (k = 0; bits > 4 && 16 * k < half; k++) {
		t->magnitude.hi[k] = both_lanes(hi + 16 * k);
		t->magnitude.lo[k] = both_lanes(lo + 16 * k);
	}
	for (i = 0; i < 64; i++)
		there[i] = coordinate(bits, i / 32, i % 32) < plan->dim % 64 ? 0xff : 0;
	t->there[0] = _mm256_loadu_si256((const __m256i *)there);
	t->there[1] = _mm256_loadu_si256((const __m256i *)(there + 32));
}

/* The levels of 64 coordinates as two registers of each plane */
AVX2_INLINE void pair_levels(const struct pair_tables *t, const uint8_t *const *p, uint32_t bits,
			     __m256i *hi, __m256i *lo)
{
	uint32_t n = bits > 4 ? 1u << (bits - 5) : 0;
	__m256i idx[2], neg[2], sign;
	int v;

	levels_indices(p, bits, idx, neg);
	for (v = 0; v < 2; v++) {
		if (bits <= 4) {
			hi[v] = _mm256_shuffle_epi8(t->odd, idx[v]);
			continue;
		}
		sign = _mm256_or_si256(neg[v], _mm256_set1_epi8(1));
		hi[v] = _mm256_sign_epi8(look_up(t->magnitude.hi, idx[v], n), sign);
		lo[v] = _mm256_sign_epi8(look_up(t->magnitude.lo, idx[v], n), sign);
	}
}

/* A row as the part of a packed query; returns the sum of its coordinates */
AVX2_INLINE int64_t unpack(const struct shape *s, const struct pair_tables *t, const uint8_t *row,
			   int8_t *to, uint32_t bits)
{
	uint8_t staged[3][64] __attribute__((aligned(32)));
	const __m256i one = _mm256_set1_epi8(1);
	__m256i hi[2], lo[2], high_sum = _mm256_setzero_si256(), low_sum = high_sum, ones;
	const uint8_t *p[3] = {NULL, NULL, NULL};
	uint32_t planes = bits > 4 ? 2 : 1, k;
	size_t at;
	int v;

	ones = _mm256_set1_epi32(1);
	for (k = 0; k < nfields(bits); k++)
		p[k] = row + s->section[k].at;
	for (at = 0; at < s->dim; at += QUERY_CHUNK, to += QUERY_CHUNK * planes) {
		if (s->dim - at < QUERY_CHUNK)
			stage_tail(s, s->dim - at, bits, p, staged);
		pair_levels(t, p, bits, hi, lo);
		for (v = 0; v < 2; v++) {
			if (s->dim - at < QUERY_CHUNK)
				hi[v] = _mm256_and_si256(hi[v], t->there[v]);
			high_sum = dot_add(high_sum, one, hi[v]);
			_mm256_store_si256((__m256i *)(to + 32 * v), hi[v]);
			if (planes == 1)
				continue;
			if (s->dim - at < QUERY_CHUNK)
				lo[v] = _mm256_and_si256(lo[v], t->there[v]);
			low_sum = dot_add(low_sum, one, lo[v]);
			_mm256_store_si256((__m256i *)(to + 64 + 32 * v), lo[v]);
		}
		for (k = 0; k < nfields(bits); k++)
			p[k] += 8 * s->section[k].width;
	}
	high_sum = _mm256_add_epi64(_mm256_mul_epi32(high_sum, ones),
				    _mm256_mul_epi32(_mm256_srli_epi64(high_sum, 32), ones));
	low_sum = _mm256_add_epi64(_mm256_mul_epi32(low_sum, ones),
				   _mm256_mul_epi32(_mm256_srli_epi64(low_sum, 32), ones));
	return planes == 1 ? sum_i64(high_sum) : 128 * sum_i64(high_sum) + sum_i64(low_sum);
}

static int64_t unpack_row(const struct shape *s, const struct pair_tables *t, const uint8_t *row,
			  int8_t *to)
{
	switch (t->bits) {
	case 1:
		return unpack(s, t, row, to, 1);
	case 2:
		return unpack(s, t, row, to, 2);
	case 3:
		return unpack(s, t, row, to, 3);
	case 4:
		return unpack(s, t, row, to, 4);
	case 5:
		return unpack(s, t, row, to, 5);
	case 6:
		return unpack(s, t, row, to, 6);
	case 7:
		return unpack(s, t, row, to, 7);
	default:
		return unpack(s, t, row, to, 8);
	}
}

/* tq_pair_finish() of the row @a and eight others */
static __m256 finish(const struct tq_plan *plan, const uint8_t *a, const struct row_numbers *rows,
		     __m256 sums)
{
	float h = plan->codebook.half_step, cross;
	__m256 s, scale;

	scale = _mm256_mul_ps(_mm256_set1_ps(tq_load_scale(plan, a + plan->layout.scale_at)),
			      rows->scale);
	s = _mm256_mul_ps(_mm256_mul_ps(sums, _mm256_set1_ps(h * h)), scale);
	if (plan->center == TQ_CENTER_BOTH) {
		memcpy(&cross, a + plan->layout.cross_at, sizeof(cross));
		s = _mm256_add_ps(s,
				  _mm256_sub_ps(_mm256_add_ps(_mm256_set1_ps(cross), rows->cross),
						_mm256_set1_ps(plan->centre_norm2)));
	}
	return s;
}

/* @na rows that are unpacked together against all of the job's */
static void score_block(const struct score_job *job, const struct shape *shape,
			const struct pair_tables *t, const uint8_t *a, size_t na, float *scores)
{
	int8_t packed[ROOM] __attribute__((aligned(64)));
	const struct tq_plan *plan = job->plan;
	size_t size = query_chunks(plan->dim) * QUERY_CHUNK * t->planes, i, j;
	int64_t sum[TILE_QUERIES];
	__m256 sums[TILE_QUERIES], s;
	struct row_numbers rows;

	for (i = 0; i < na; i++)
		sum[i] = unpack_row(shape, t, a + i * plan->layout.row_bytes, packed + i * size);
	for (j = 0; j < job->n; j += ROWS) {
		load_rows(job, j, &rows);
		sum_tile(shape, rows.row, (const char *)packed, size, t->planes, sum, na, sums);
		load_numbers(plan, &rows);
		for (i = 0; i < na; i++) {
			s = finish(plan, a + i * plan->layout.row_bytes, &rows, sums[i]);
			store_elements8(scores + i * job->ld + j, s, job->n - j);
		}
	}
}

static float score_long(const struct tq_plan *plan, const uint8_t *a, const uint8_t *b)
{
	uint8_t left[64], right[64];
	size_t at, n, i;
	int64_t sum = 0;

	for (at = 0; at < plan->dim; at += n) {
		n = plan->dim - at < sizeof(left) ? plan->dim - at : sizeof(left);
		tq_unpack_indices(plan, a, at, n, left);
		tq_unpack_indices(plan, b, at, n, right);
		for (i = 0; i < n; i++)
			sum += (int32_t)plan->codebook.odd[left[i]] * plan->codebook.odd[right[i]];
	}
	return tq_pair_finish(plan, a, b, (float)sum);
}

void pair_scores(const struct tq_plan *plan, const void *state, const uint8_t *a, size_t na,
		 const uint8_t *b, size_t nb, float *scores, size_t ld)
{
	struct score_job job = {plan, state, NULL, na, b, NULL, nb, scores, ld};
	size_t row_bytes = plan->layout.row_bytes, most, i, j, n;
	struct pair_tables t;
	struct shape shape;

	level_shape(plan, state, &shape);
	pair_tables_load(plan, state, &t);
	most = ROOM / (query_chunks(plan->dim) * QUERY_CHUNK * t.planes);
	most = most < TILE_QUERIES ? most : TILE_QUERIES;
	for (i = 0; most && i < na; i += n) {
		n = na - i < most ? na - i : most;
		score_block(&job, &shape, &t, a + i * row_bytes, n, scores + i * ld);
	}
	for (i = 0; !most && i < na; i++)
		for (j = 0; j < nb; j++)
			scores[i * ld + j] = score_long(plan, a + i * row_bytes, b + j * row_bytes);
}
