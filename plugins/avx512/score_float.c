/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Scores of float queries: dot16 of the levels (as integers in float) and the query, and of the
 * sketch's signs and the sketched query. Lane i of one register is lane i of dot16: coordinates go
 * sixteen at a time in their own order, because the order of additions is part of the result.
 * Behind the end the query is zero, which adds +-0 to a lane and so changes nothing.
 */

#include "score.h"

/* Rows or queries whose chains of additions run side by side */
#define CHAINS 4

/* Up to 8 bytes of a field as a number, nothing behind them read */
LEVELS_INLINE uint64_t part_bytes(const uint8_t *p, size_t n)
{
	return (uint64_t)_mm_cvtsi128_si64(_mm_maskz_loadu_epi8((__mmask16)((1u << n) - 1), p));
}

/* Coordinates @at .. @at + 15 (@n of them exist) of a field of @width bits, one per lane */
LEVELS_INLINE __m512i field16(const uint8_t *field, size_t at, size_t n, uint32_t width)
{
	const __m512i lane =
		_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
	const uint8_t *p = field + at * width / 8;
	__m512i x, shift = lane;
	uint64_t v;

	if (width == 8)
		return _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8((__mmask16)((1u << n) - 1), p));
	v = part_bytes(p, (n * width + 7) / 8);
	if (width == 4) {
		x = _mm512_mask_set1_epi32(_mm512_set1_epi32((int)(uint32_t)v), 0xff00,
					   (int)(uint32_t)(v >> 32));
		shift = _mm512_and_si512(lane, _mm512_set1_epi32(7));
		shift = _mm512_slli_epi32(shift, 2);
	} else {
		x = _mm512_set1_epi32((int)(uint32_t)v);
		if (width == 2)
			shift = _mm512_slli_epi32(lane, 1);
	}
	return _mm512_and_si512(_mm512_srlv_epi32(x, shift),
				_mm512_set1_epi32((int)((1u << width) - 1)));
}

LEVELS_INLINE __m512 levels16(const struct tq_layout *lay, const float *odd, const uint8_t *row,
			      size_t at, size_t n)
{
	const struct tq_section *s = lay->section;
	__m512i idx = _mm512_setzero_si512();
	uint32_t k;

	for (k = 0; k < lay->nsections; k++, s++)
		idx = _mm512_or_si512(idx, _mm512_sll_epi32(field16(row + s->at, at, n, s->width),
							    _mm_cvtsi32_si128((int)s->shift)));
	return _mm512_i32gather_ps(idx, odd, 4);
}

/* +-1 of the sketch bits */
LEVELS_INLINE __m512 signs16(const uint8_t *bits, size_t at, size_t n)
{
	__mmask16 set = (__mmask16)part_bytes(bits + at / 8, (n + 7) / 8);

	return _mm512_mask_blend_ps(set, _mm512_set1_ps(-1.0f), _mm512_set1_ps(1.0f));
}

/* sum_tree - lanes l and l+8, then l and l+4, l+2, l+1 */
LEVELS_INLINE float sum_tree(__m512 v)
{
	__m256 s8 = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
	__m128 s4 = _mm_add_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
	__m128 s2 = _mm_add_ps(s4, _mm_movehl_ps(s4, s4));

	return _mm_cvtss_f32(_mm_add_ss(s2, _mm_movehdup_ps(s2)));
}

/* One row and up to CHAINS queries */
static void dots(const struct tq_plan *plan, const float *odd, const uint8_t *row, int sketch,
		 const float *const *y, float *out)
{
	size_t d = plan->dim, at, n;
	__m512 acc[CHAINS], v;
	int i;

	for (i = 0; i < CHAINS; i++)
		acc[i] = _mm512_setzero_ps();
	for (at = 0; at < d; at += 16) {
		n = d - at < 16 ? d - at : 16;
		v = sketch ? signs16(row + plan->layout.sketch_at, at, n)
			   : levels16(&plan->layout, odd, row, at, n);
		for (i = 0; i < CHAINS; i++)
			acc[i] =
				_mm512_add_ps(acc[i], _mm512_mul_ps(v, _mm512_loadu_ps(y[i] + at)));
	}
	for (i = 0; i < CHAINS; i++)
		out[i] = sum_tree(acc[i]);
}

static void score_row(const struct score_job *job, const uint8_t *row, size_t first, size_t nq,
		      float *scores)
{
	const struct tq_plan *plan = job->plan;
	const char *packed = job->packed + first * query_bytes(plan);
	const struct query_head *head[CHAINS];
	float a[CHAINS] = {0}, b[CHAINS] = {0};
	const float *y[CHAINS], *z[CHAINS];
	struct tq_query query = {0};
	size_t i, k;

	for (i = 0; i < CHAINS; i++) {
		k = i < nq ? i : nq - 1;
		head[i] = (const void *)(packed + k * query_bytes(plan));
		y[i] = query_part(plan, head[i], 0);
		z[i] = query_part(plan, head[i], 1);
	}
	if (plan->index_bits)
		dots(plan, job->tab->odd, row, 0, y, a);
	if (has_sketch(plan))
		dots(plan, NULL, row, 1, z, b);
	for (i = 0; i < nq; i++) {
		query.scale = head[i]->scale;
		query.sketch_scale = head[i]->sketch_scale;
		query.add = head[i]->add;
		scores[i * job->ld] = tq_score_finish(plan, &query, row, a[i], b[i]);
	}
}

void avx512_score_float(const struct score_job *job)
{
	const uint8_t *row;
	size_t i, j, m;

	for (j = 0; j < job->n; j++) {
		row = job->codes +
		      (job->ids ? (size_t)job->ids[j] : j) * job->plan->layout.row_bytes;
		for (i = 0; i < job->nq; i += m) {
			m = job->nq - i < CHAINS ? job->nq - i : CHAINS;
			score_row(job, row, i, m, job->scores + i * job->ld + j);
		}
	}
}
