/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Sums of one 8-bit query over rows of up to 16 bytes of bits. A bit is one of two levels, so all
 * that counts is the sum S of the query where bits are set. A table has the sums of the query over
 * the sixteen values of four bits, in a byte, or two where one cannot hold it; one register of it serves
 * the four bytes of a dword, the number of the byte being the upper part of the index. Sixteen rows become
 * registers with a dword of each row, so what is found adds up in the lane of the row.
 *
 * Packed rows of a float scale and 8, 12 or 16 bytes of bits behind it go from the codes to their scores without a
 * strip: their scales are one of the dwords.
 */

#include "bits.h"
#include "dwords.h"
#include "lanes.h"
#include "score.h"

/* struct bit_sums as a sum is made from it. @rests: which halves have one; A = @factor S - @offset, exact in float
 * where all are below 2^24 */
struct bit_query {
	const struct bit_sums *lut;
	uint32_t rests;
	__m512 factor, offset;
};

/* A = 2 (base sum(q) + step S) - beta sum(q) */
LEVELS_INLINE struct bit_query bit_query(const struct shape *s, const struct bit_sums *lut, int64_t sum)
{
	int32_t base = s->hi.table[0][0], step = s->hi.table[0][1] - base;
	struct bit_query q = {lut, 0, _mm512_set1_ps((float)(2 * step)),
			      _mm512_set1_ps((float)((s->beta - 2 * base) * sum))};
	uint32_t i;

	for (i = 0; i < lut->nrest; i++)
		q.rests |= 1u << lut->half[i];
	return q;
}

/* A of sixteen rows from the dwords @first .. 3 of their windows; two short chains rather than one long one */
LEVELS_INLINE __m512 sum_dwords(const struct bit_query *q, const __m512i *x, uint32_t first)
{
	const struct bit_sums *lut = q->lut;
	__m512i s0 = _mm512_set1_epi32(lut->base), s1 = _mm512_setzero_si512();
	uint32_t rests = q->rests, j;
	__m512 total;

#pragma GCC unroll 4
	for (j = first; j < BIT_SUMS; j++) {
		s0 = add_found(s0, entries(x[j], 0), lut->dword[j].sum[0]);
		s1 = add_found(s1, entries(x[j], 1), lut->dword[j].sum[1]);
	}
#pragma GCC unroll 4
	for (j = first; j < BIT_SUMS; j++) {
		if (rests >> 2 * j & 1)
			s0 = add_found(s0, entries(x[j], 0), lut->dword[j].rest[0]);
		if (rests >> 2 * j & 2)
			s1 = add_found(s1, entries(x[j], 1), lut->dword[j].rest[1]);
	}
	total = _mm512_cvtepi32_ps(_mm512_add_epi32(s0, s1));
	return _mm512_sub_ps(_mm512_mul_ps(total, q->factor), q->offset);
}

void avx512_sum_bits(const struct shape *s, const struct strip *strip, const struct bit_sums *lut,
		     int64_t sum, float *a)
{
	size_t bytes = (size_t)(strip->row[1] - strip->row[0]) * BLOCK, j, to;
	const struct bit_query q = bit_query(s, lut, sum);
	const uint8_t *const *row = strip->row;
	__m512i x[BIT_SUMS];

	for (j = 0; j < strip->n; j += BLOCK, row += BLOCK) {
		for (to = 0; strip->ahead && to < bytes; to += 64)
			_mm_prefetch((const char *)row[0] + strip->ahead + to, _MM_HINT_T0);
		load_dwords(row, s->window, 0xffff, x);
		_mm512_store_ps(a + j, sum_dwords(&q, x, 0));
	}
}

/* Dwords of a packed row that is turned where it lies, or 0 */
LEVELS_INLINE uint32_t turned_dwords(const struct tq_plan *plan)
{
	const struct tq_layout *lay = &plan->layout;

	if (plan->index_bits != 1 || !has_bit_sums(plan, 1) || plan->scale != TQ_F32)
		return 0;
	/* the scale, the bits, and nothing else */
	if (lay->scale_at || lay->section[0].at != 4 || lay->row_bytes != 4 + lay->section[0].bytes ||
	    lay->row_bytes % 4 || lay->row_bytes < 12)
		return 0;
	return lay->row_bytes / 4;
}

/* Scores of sixteen rows of @step dwords, of which there are @left, as score_finish() has them */
LEVELS_INLINE __m512 score_turned(const struct score_job *job, const struct bit_query *q, const uint8_t *codes,
				  size_t left, uint32_t step)
{
	const struct query_head *head = (const struct query_head *)(const void *)job->packed;
	__m512i from[TURN_MOST], x[TURN_MOST];
	uint32_t first = TURN_MOST - step, k;
	__m512 s;

#pragma GCC unroll 5
	for (k = 0; k < step; k++)
		from[k] = left >= 16 * step ? _mm512_loadu_si512(codes + 64 * k)
			: left > 16 * k	    ? _mm512_maskz_loadu_epi32(lanes(left - 16 * k), codes + 64 * k)
					    : _mm512_setzero_si512();
	/* what is turned ends where the window does */
	turn_rows(from, step, x + first);
	s = _mm512_mul_ps(sum_dwords(q, x + 1, first), _mm512_set1_ps(head->scale));
	s = _mm512_mul_ps(s, _mm512_castsi512_ps(x[first]));
	if (job->plan->center != TQ_CENTER_OFF)
		s = _mm512_add_ps(s, _mm512_set1_ps(head->add));
	return turn_order(s, step);
}

LEVELS_INLINE void score_rows(const struct score_job *job, const struct bit_query *q, uint32_t step)
{
	size_t ahead = job->n * 4 * step > 2 * AHEAD ? AHEAD : job->n * 4 * step, i;
	const uint8_t *codes = job->codes;
	uint32_t k;

	for (i = 0; i + BLOCK <= job->n; i += BLOCK, codes += 64 * step) {
#pragma GCC unroll 5
		for (k = 0; k < step; k++)
			_mm_prefetch((const char *)codes + ahead + 64 * k, _MM_HINT_T0);
		_mm512_storeu_ps(job->scores + i, score_turned(job, q, codes, 16 * step, step));
	}
	if (i < job->n)
		_mm512_mask_storeu_ps(job->scores + i, lanes(job->n - i),
				      score_turned(job, q, codes, (job->n - i) * step, step));
}

int avx512_score_bits(const struct score_job *job)
{
	const struct query_head *head = (const struct query_head *)(const void *)job->packed;
	uint32_t step = job->ids || job->nq != 1 ? 0 : turned_dwords(job->plan);
	struct bit_query q;

	if (!step)
		return 0;
	q = bit_query(&job->tab->level, query_bit_sums(job->plan, query_part(job->plan, job->packed, 0)), head->sum);
	if (step == 3)
		score_rows(job, &q, 3);
	else if (step == 4)
		score_rows(job, &q, 4);
	else
		score_rows(job, &q, 5);
	return 1;
}

/* The query where its bits are in a window of 128 that ends where the row's do */
void avx512_bit_sums(const int8_t *q, size_t dim, struct bit_sums *lut)
{
	int8_t window[BIT_SUMS_DIM_MAX] = {0};

	memcpy(window + BIT_SUMS_DIM_MAX - (dim + 7) / 8 * 8, q, dim);
	avx512_block_sums(window, BIT_SUMS_DIM_MAX, lut);
}
