/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Rows against rows: those of one side are decoded to integer queries, of one plane up to 4 bits,
 * else of two by sign and magnitude.
 */

#include "score.h"

/* Room for the queries of one call of a kernel; longer rows go the plain way */
#define ROOM 32768

struct pair_query {
	int64_t sum;
	float scale, cross;
};

static uint32_t pair_planes(const struct tq_plan *plan)
{
	return levels_planes(plan->index_bits);
}

/* Which bytes of register @v of a chunk belong to one of @n coordinates */
LEVELS_INLINE __mmask64 coordinates(uint32_t vectors, uint32_t v, size_t n)
{
	size_t bytes = n > v ? (n - v + vectors - 1) / vectors : 0;

	return bytes < 64 ? ((__mmask64)1 << bytes) - 1 : ~(__mmask64)0;
}

/* A row as a packed query: the layout of query.h, the order of levels.h */
LEVELS_INLINE int64_t unpack(const struct shape *s, const struct score_tables *tab, size_t dim,
			     const uint8_t *row, int8_t *to, uint32_t bits)
{
	const __m512i one = _mm512_set1_epi8(1), zero = _mm512_setzero_si512();
	__m512i hi[LEVEL_VECTORS], lo[LEVEL_VECTORS], sum = zero, low_sum = zero;
	const uint8_t *p[3] = {row + s->at[0], row + s->at[1], row + s->at[2]};
	uint32_t chunk = levels_chunk(bits), planes = levels_planes(bits), v, k;
	struct level_tables t;
	__mmask64 mask;
	size_t at;

	level_tables_load(&t, &tab->pair_hi, &tab->pair_lo, bits);
	for (at = 0; at < dim; at += chunk, to += chunk * planes) {
		levels_decode(&t, p, dim - at < chunk ? s->tail : NULL, bits, hi, lo);
		for (v = 0; v < levels_vectors(bits); v++) {
			mask = coordinates(levels_vectors(bits), v, dim - at);
			hi[v] = _mm512_maskz_mov_epi8(mask, hi[v]);
			sum = _mm512_dpbusd_epi32(sum, one, hi[v]);
			_mm512_store_si512(to + 64 * planes * v, hi[v]);
			if (planes == 1)
				continue;
			lo[v] = _mm512_maskz_mov_epi8(mask, lo[v]);
			low_sum = _mm512_dpbusd_epi32(low_sum, one, lo[v]);
			_mm512_store_si512(to + 64 * planes * v + 64, lo[v]);
		}
		for (k = 0; k < levels_fields(bits); k++)
			p[k] += levels_step(bits, k);
	}
	if (planes == 1)
		return _mm512_reduce_add_epi32(sum);
	return 128 * (int64_t)_mm512_reduce_add_epi32(sum) + _mm512_reduce_add_epi32(low_sum);
}

static int64_t unpack_row(const struct tq_plan *plan, const struct score_tables *tab,
			  const uint8_t *row, int8_t *to)
{
	switch (plan->index_bits) {
	case 1:
		return unpack(&tab->level, tab, plan->dim, row, to, 1);
	case 2:
		return unpack(&tab->level, tab, plan->dim, row, to, 2);
	case 3:
		return unpack(&tab->level, tab, plan->dim, row, to, 3);
	case 4:
		return unpack(&tab->level, tab, plan->dim, row, to, 4);
	case 5:
		return unpack(&tab->level, tab, plan->dim, row, to, 5);
	case 6:
		return unpack(&tab->level, tab, plan->dim, row, to, 6);
	case 7:
		return unpack(&tab->level, tab, plan->dim, row, to, 7);
	default:
		return unpack(&tab->level, tab, plan->dim, row, to, 8);
	}
}

/* tq_pair_finish() of one row and a strip */
static void finish(const struct tq_plan *plan, const struct pair_query *query,
		   const struct strip *strip, const float *a, float *scores)
{
	float h = plan->codebook.half_step;
	__m512 s, part;
	size_t i, rest;

	for (i = 0; i < strip->n; i += BLOCK) {
		part = _mm512_mul_ps(_mm512_load_ps(strip->scale + i),
				     _mm512_set1_ps(query->scale));
		s = _mm512_mul_ps(_mm512_mul_ps(_mm512_load_ps(a + i), _mm512_set1_ps(h * h)),
				  part);
		if (plan->center == TQ_CENTER_BOTH) {
			part = _mm512_add_ps(_mm512_load_ps(strip->cross + i),
					     _mm512_set1_ps(query->cross));
			part = _mm512_sub_ps(part, _mm512_set1_ps(plan->centre_norm2));
			s = _mm512_add_ps(s, part);
		}
		rest = strip->n - i;
		_mm512_mask_storeu_ps(scores + i,
				      rest < BLOCK ? (__mmask16)((1u << rest) - 1) : 0xffff, s);
	}
}

/* @na rows that are unpacked together against all of the job's */
static void score_block(const struct score_job *job, const uint8_t *a, size_t na, float *scores)
{
	int8_t packed[ROOM] __attribute__((aligned(64)));
	float sums[QUERIES][STRIP] __attribute__((aligned(64)));
	const struct tq_plan *plan = job->plan;
	const struct shape *shape = &job->tab->level;
	uint32_t planes = pair_planes(plan);
	size_t size = packed_bytes(plan->dim, plan->index_bits, planes), i, j;
	struct pair_query query[QUERIES];
	int64_t sum[QUERIES];
	struct strip strip;
	const uint8_t *row;

	for (i = 0; i < na; i++) {
		row = a + i * plan->layout.row_bytes;
		sum[i] = unpack_row(plan, job->tab, row, packed + i * size);
		query[i].scale = tq_load_scale(plan, row + plan->layout.scale_at);
		if (plan->center == TQ_CENTER_BOTH)
			memcpy(&query[i].cross, row + plan->layout.cross_at, sizeof(float));
	}
	for (j = 0; j < job->n; j += STRIP) {
		avx512_strip_rows(job, j, &strip);
		if (na == 1)
			avx512_sum_rows(shape, planes, &strip, packed, sum[0], sums[0]);
		else
			avx512_sum_tile(shape, planes, &strip, packed, size, sum, na, sums);
		avx512_strip_numbers(plan, &strip);
		for (i = 0; i < na; i++)
			finish(plan, &query[i], &strip, sums[i], scores + i * job->ld + j);
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

void avx512_score_pairs(const struct tq_plan *plan, const void *state, const uint8_t *a, size_t na,
			const uint8_t *b, size_t nb, float *scores, size_t ld)
{
	struct score_job job = {plan, state, NULL, na, b, NULL, nb, scores, ld};
	size_t most = ROOM / packed_bytes(plan->dim, plan->index_bits, pair_planes(plan));
	size_t row_bytes = plan->layout.row_bytes, i, j, n;

	if (most > QUERIES)
		most = QUERIES;
	for (i = 0; most && i < na; i += n) {
		n = na - i < most ? na - i : most;
		score_block(&job, a + i * row_bytes, n, scores + i * ld);
	}
	for (i = 0; !most && i < na; i++)
		for (j = 0; j < nb; j++)
			scores[i * ld + j] = score_long(plan, a + i * row_bytes, b + j * row_bytes);
}
