/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Strips of rows: finding them, and from sums to scores in the order of operations of
 * tq_score_finish().
 */

#include "finish.h"

/* Addresses of sixteen rows, the numbers of which are given */
LEVELS_INLINE void addresses(const uint8_t *codes, uint32_t row_bytes, __m512i number,
			     const uint8_t **row)
{
	const __m512i base = _mm512_set1_epi64((long long)(uintptr_t)codes);
	const __m512i size = _mm512_set1_epi64(row_bytes);
	__m512i low = _mm512_cvtepu32_epi64(_mm512_castsi512_si256(number));
	__m512i high = _mm512_cvtepu32_epi64(_mm512_extracti64x4_epi64(number, 1));

	_mm512_storeu_si512(row, _mm512_add_epi64(base, _mm512_mul_epu32(low, size)));
	_mm512_storeu_si512(row + 8, _mm512_add_epi64(base, _mm512_mul_epu32(high, size)));
}

/* Addresses of a whole strip of packed rows */
LEVELS_INLINE void packed_addresses(const uint8_t *codes, uint32_t row_bytes, const uint8_t **row)
{
	const __m512i lane = _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7);
	const __m512i step = _mm512_set1_epi64(8 * (long long)row_bytes);
	__m512i at = _mm512_add_epi64(_mm512_set1_epi64((long long)(uintptr_t)codes),
				      _mm512_mul_epu32(lane, _mm512_set1_epi64(row_bytes)));
	size_t i;

	for (i = 0; i < STRIP; i += 8, at = _mm512_add_epi64(at, step))
		_mm512_storeu_si512(row + i, at);
}

void avx512_strip_rows(const struct score_job *job, size_t first, struct strip *strip)
{
	const __m512i lane =
		_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
	uint32_t row_bytes = job->plan->layout.row_bytes;
	size_t n = job->n - first < STRIP ? job->n - first : STRIP, i;
	const uint8_t *codes = job->codes;
	__m512i number;

	strip->n = n;
	strip->stride = job->ids ? 0 : row_bytes;
	/* what lies behind the rows of a short call may well be wanted next */
	strip->ahead = job->ids ? 0 : job->n * row_bytes > 2 * AHEAD ? AHEAD : job->n * row_bytes;
	/* but not behind rows that are no whole blocks: with them ends what is scanned, as a partition of an index */
	if (job->n % BLOCK && (job->n - first - n) * row_bytes < strip->ahead)
		strip->ahead = 0;
	if (!job->ids)
		codes += first * row_bytes;
	if (!job->ids && n == STRIP) {
		packed_addresses(codes, row_bytes, strip->row);
		return;
	}
	for (i = 0; i < n; i += BLOCK) {
		number = _mm512_min_epu32(_mm512_add_epi32(lane, _mm512_set1_epi32((int)i)),
					  _mm512_set1_epi32((int)(n - 1)));
		if (job->ids)
			number = _mm512_i32gather_epi32(number, job->ids + first, 4);
		addresses(codes, row_bytes, number, strip->row + i);
	}
}

/* A number of @size bytes of each row; packed rows are reached without their addresses */
LEVELS_INLINE void collect(const struct strip *strip, size_t at, size_t size, uint8_t *to)
{
	size_t n = (strip->n + BLOCK - 1) / BLOCK * BLOCK, step = strip->stride, i;
	const uint8_t *p = strip->row[0] + at;

	if (step && strip->n == STRIP) {
		for (i = 0; i < STRIP; i += 4, p += 4 * step, to += 4 * size) {
			memcpy(to, p, size);
			memcpy(to + size, p + step, size);
			memcpy(to + 2 * size, p + 2 * step, size);
			memcpy(to + 3 * size, p + 3 * step, size);
		}
		return;
	}
	for (i = 0; i < n; i++)
		memcpy(to + i * size, strip->row[i] + at, size);
}

static void load_numbers(const struct strip *strip, size_t at, uint32_t dtype, float *to)
{
	uint16_t half[STRIP] __attribute__((aligned(64)));
	__m512i bits;
	__m256i h;
	size_t i;

	if (dtype == TQ_F32) {
		collect(strip, at, sizeof(*to), (uint8_t *)to);
		return;
	}
	collect(strip, at, sizeof(*half), (uint8_t *)half);
	for (i = 0; i < strip->n; i += BLOCK) {
		h = _mm256_load_si256((const __m256i *)(half + i));
		bits = _mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16);
		_mm512_store_ps(to + i,
				dtype == TQ_F16 ? _mm512_cvtph_ps(h) : _mm512_castsi512_ps(bits));
	}
}

void avx512_strip_numbers(const struct tq_plan *plan, struct strip *strip)
{
	if (plan->index_bits)
		load_numbers(strip, plan->layout.scale_at, plan->scale, strip->scale);
	if (plan->layout.rnorm_at != TQ_NO_FIELD)
		load_numbers(strip, plan->layout.rnorm_at, plan->scale, strip->rnorm);
	if (plan->center == TQ_CENTER_BOTH)
		load_numbers(strip, plan->layout.cross_at, TQ_F32, strip->cross);
}

void avx512_score_finish(const struct tq_plan *plan, const struct query_head *head,
			 const struct strip *strip, const float *a, const float *b, float *scores)
{
	size_t i, rest;
	__m512 s;

	for (i = 0; i < strip->n; i += BLOCK) {
		s = finish_rows(plan, head, strip, i, _mm512_load_ps(a + i), _mm512_load_ps(b + i));
		rest = strip->n - i;
		_mm512_mask_storeu_ps(scores + i,
				      rest < BLOCK ? (__mmask16)((1u << rest) - 1) : 0xffff, s);
	}
}
