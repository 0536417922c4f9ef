/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Scores of float queries: dot16 of the levels (as integers in float) and the query, and of the
 * sketch's signs and the sketched query. Coordinates go in their own order, 32 at a time, because
 * the order of additions is part of the result. Behind the end the query is zero, which adds +-0 to
 * a lane and so changes nothing.
 */

#include "pack.h"
#include "score.h"

struct float_tables {
	const float *odd;
	__m256 low, high;
};

AVX2_INLINE __m256 odd_values(const struct float_tables *t, __m128i bytes, uint32_t bits)
{
	__m256i level = _mm256_cvtepu8_epi32(bytes);

	if (bits > 4)
		return gather8f(t->odd, level);
	return _mm256_blendv_ps(_mm256_permutevar8x32_ps(t->low, level),
				_mm256_permutevar8x32_ps(t->high, level),
				_mm256_castsi256_ps(_mm256_slli_epi32(level, 28)));
}

AVX2_INLINE float dot_levels(const struct tq_plan *plan, const struct float_tables *t,
			     const uint8_t *row, const float *y, uint32_t bits)
{
	__m256 sum[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()}, v;
	size_t d = plan->dim, at, n;
	__m128i quarter[4];
	__m256i idx;
	int k;

	for (at = 0; at < d; at += 32) {
		n = d - at < 32 ? d - at : 32;
		idx = unpack_block(&plan->layout, plan->index_bits, row, at, n);
		quarter[0] = _mm256_castsi256_si128(idx);
		quarter[1] = _mm_unpackhi_epi64(quarter[0], quarter[0]);
		quarter[2] = _mm256_extracti128_si256(idx, 1);
		quarter[3] = _mm_unpackhi_epi64(quarter[2], quarter[2]);
		for (k = 0; k < 4; k++) {
			v = _mm256_mul_ps(odd_values(t, quarter[k], bits),
					  _mm256_loadu_ps(y + at + 8 * k));
			sum[k & 1] = _mm256_add_ps(sum[k & 1], v);
		}
	}
	return sum_tree(sum[0], sum[1]);
}

/* Sum of +-z: a clear bit flips the sign, which is the product with -1 */
AVX2_INLINE float dot_signs(const struct tq_plan *plan, const uint8_t *row, const float *z)
{
	const __m256i select = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
	__m256 sum[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()}, flip;
	const uint8_t *bits = row + plan->layout.sketch_at;
	size_t i, bytes = plan->layout.sketch_bytes;
	__m256i b;

	for (i = 0; i < bytes; i++) {
		b = _mm256_and_si256(_mm256_set1_epi32(bits[i]), select);
		b = _mm256_cmpeq_epi32(b, _mm256_setzero_si256());
		flip = _mm256_castsi256_ps(_mm256_slli_epi32(b, 31));
		sum[i & 1] =
			_mm256_add_ps(sum[i & 1], _mm256_xor_ps(_mm256_loadu_ps(z + 8 * i), flip));
	}
	return sum_tree(sum[0], sum[1]);
}

void avx2_score_float(const struct tq_plan *plan, const struct avx2_tables *tab, const char *packed,
		      size_t nq, const uint8_t *codes, const uint32_t *ids, size_t n, float *scores,
		      size_t ld)
{
	struct float_tables t = {tab->odd, _mm256_loadu_ps(tab->odd),
				 _mm256_loadu_ps(tab->odd + 8)};
	size_t size = query_bytes(plan), i, j;
	const struct query_head *head;
	struct tq_query query = {0};
	float a = 0.0f, b = 0.0f;
	const uint8_t *row;
	const void *q;

	for (j = 0; j < n; j++) {
		row = codes + (ids ? (size_t)ids[j] : j) * plan->layout.row_bytes;
		for (i = 0; i < nq; i++) {
			q = packed + i * size;
			head = q;
			if (plan->index_bits > 4)
				a = dot_levels(plan, &t, row, query_part(plan, q, 0), 8);
			else if (plan->index_bits)
				a = dot_levels(plan, &t, row, query_part(plan, q, 0), 4);
			if (has_sketch(plan))
				b = dot_signs(plan, row, query_part(plan, q, 1));
			query.scale = head->scale;
			query.sketch_scale = head->sketch_scale;
			query.add = head->add;
			scores[i * ld + j] = tq_score_finish(plan, &query, row, a, b);
		}
	}
}
