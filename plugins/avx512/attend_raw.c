/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Softmax weights, and scores and weighted sums of 16-bit rows, FORMAT.md section 8. The 16 lanes of
 * dot16 are the lanes of a register; products and sums stay apart.
 */

#include "attend.h"
#include "lanes.h"

/* tq_exp() of sixteen; n comes out of the low bits of the sum that rounds, and goes into the exponent */
AVX512_INLINE __m512 exp16(__m512 x)
{
	const __mmask16 some = _mm512_cmp_ps_mask(x, _mm512_set1_ps(-87.0f), _CMP_GE_OQ);
	const __m512 magic = _mm512_set1_ps(12582912.0f);
	__m512 t = _mm512_mul_ps(x, _mm512_set1_ps(1.44269504088896341f)), n, f, p;

	n = _mm512_add_ps(t, magic);
	f = _mm512_sub_ps(t, _mm512_sub_ps(n, magic));
	p = _mm512_set1_ps(1.3264727e-3f);
	p = _mm512_add_ps(_mm512_mul_ps(p, f), _mm512_set1_ps(9.671513e-3f));
	p = _mm512_add_ps(_mm512_mul_ps(p, f), _mm512_set1_ps(5.5507336e-2f));
	p = _mm512_add_ps(_mm512_mul_ps(p, f), _mm512_set1_ps(2.4022242e-1f));
	p = _mm512_add_ps(_mm512_mul_ps(p, f), _mm512_set1_ps(6.9314700e-1f));
	p = _mm512_add_ps(_mm512_mul_ps(p, f), _mm512_set1_ps(1.0f));
	return _mm512_castsi512_ps(_mm512_maskz_add_epi32(
		some, _mm512_castps_si512(p), _mm512_slli_epi32(_mm512_castps_si512(n), 23)));
}

float avx512_logits(float *x, size_t n, float bias, float factor)
{
	__m512 top = _mm512_set1_ps(-INFINITY), v;
	__mmask16 m;
	size_t t;

	for (t = 0; t < n; t += 16) {
		m = lanes(n - t);
		v = _mm512_add_ps(_mm512_maskz_loadu_ps(m, x + t), _mm512_set1_ps(bias));
		v = _mm512_mul_ps(v, _mm512_set1_ps(factor));
		_mm512_mask_storeu_ps(x + t, m, v);
		top = _mm512_mask_max_ps(top, m, top, v);
	}
	return _mm512_reduce_max_ps(top);
}

float avx512_weigh(const float *logits, size_t n, float max, float *weights)
{
	__m512 sum = _mm512_setzero_ps(), w;
	__mmask16 m;
	size_t t;

	for (t = 0; t < n; t += 16) {
		m = lanes(n - t);
		w = _mm512_sub_ps(_mm512_maskz_loadu_ps(m, logits + t), _mm512_set1_ps(max));
		w = _mm512_maskz_mov_ps(m, exp16(w));
		_mm512_mask_storeu_ps(weights + t, m, w);
		sum = _mm512_add_ps(sum, w);
	}
	return sum_tree(sum);
}

AVX512_INLINE __m512 load_half(const uint16_t *x, __mmask16 m, int dtype)
{
	__m256i half = _mm256_maskz_loadu_epi16(m, x);

	if (dtype == TQ_F16)
		return _mm512_cvtph_ps(half);
	return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}

/* Four rows and one query */
AVX512_INLINE void score_rows(int dtype, const float *q, const uint16_t *row, size_t stride, size_t n,
			      size_t d, float *scores)
{
	__m512 acc[4], x;
	__mmask16 m;
	size_t i, r;

	for (r = 0; r < n; r++)
		acc[r] = _mm512_setzero_ps();
	for (i = 0; i < d; i += 16) {
		m = lanes(d - i);
		x = _mm512_maskz_loadu_ps(m, q + i);
		for (r = 0; r < n; r++)
			acc[r] = _mm512_add_ps(
				acc[r], _mm512_mul_ps(load_half(row + r * stride + i, m, dtype), x));
	}
	for (r = 0; r < n; r++)
		scores[r] = sum_tree(acc[r]);
}

AVX512_INLINE void raw_score(int dtype, const float *queries, size_t ldq, size_t nq,
			     const uint16_t *rows, size_t stride, size_t n, size_t d, float *scores,
			     size_t ld)
{
	size_t t, g;

	for (t = 0; t < n; t += t + 4 <= n ? 4 : 1)
		for (g = 0; g < nq; g++) {
			if (t + 4 <= n)
				score_rows(dtype, queries + g * ldq, rows + t * stride, stride, 4, d,
					   scores + g * ld + t);
			else
				score_rows(dtype, queries + g * ldq, rows + t * stride, stride, 1, d,
					   scores + g * ld + t);
		}
}

void avx512_raw_score(int dtype, const float *queries, size_t ldq, size_t nq, const uint16_t *rows,
		      size_t stride, size_t n, size_t d, float *scores, size_t ld)
{
	if (dtype == TQ_F16)
		raw_score(TQ_F16, queries, ldq, nq, rows, stride, n, d, scores, ld);
	else
		raw_score(TQ_BF16, queries, ldq, nq, rows, stride, n, d, scores, ld);
}

/* Sixteen coordinates, up to eight weights: rows in their order */
AVX512_INLINE void mix_lanes(int dtype, const float *weights, size_t ldw, size_t nw,
			     const uint16_t *rows, size_t stride, size_t n, __mmask16 m, float *sums,
			     size_t ld)
{
	__m512 acc[8], x;
	size_t t, w;

	for (w = 0; w < nw; w++)
		acc[w] = _mm512_maskz_loadu_ps(m, sums + w * ld);
	for (t = 0; t < n; t++) {
		x = load_half(rows + t * stride, m, dtype);
		for (w = 0; w < nw; w++)
			acc[w] = _mm512_add_ps(acc[w],
					       _mm512_mul_ps(_mm512_set1_ps(weights[w * ldw + t]), x));
	}
	for (w = 0; w < nw; w++)
		_mm512_mask_storeu_ps(sums + w * ld, m, acc[w]);
}

AVX512_INLINE void raw_mix(int dtype, const float *weights, size_t ldw, size_t nw,
			   const uint16_t *rows, size_t stride, size_t n, size_t d, float *sums,
			   size_t ld)
{
	size_t w, k, i;

	for (w = 0; w < nw; w += k) {
		k = nw - w >= 8 ? 8 : nw - w >= 4 ? 4 : 1;
		for (i = 0; i < d; i += 16) {
			if (k == 8)
				mix_lanes(dtype, weights + w * ldw, ldw, 8, rows + i, stride, n,
					  lanes(d - i), sums + w * ld + i, ld);
			else if (k == 4)
				mix_lanes(dtype, weights + w * ldw, ldw, 4, rows + i, stride, n,
					  lanes(d - i), sums + w * ld + i, ld);
			else
				mix_lanes(dtype, weights + w * ldw, ldw, 1, rows + i, stride, n,
					  lanes(d - i), sums + w * ld + i, ld);
		}
	}
}

void avx512_raw_mix(int dtype, const float *weights, size_t ldw, size_t nw, const uint16_t *rows,
		    size_t stride, size_t n, size_t d, float *sums, size_t ld)
{
	if (dtype == TQ_F16)
		raw_mix(TQ_F16, weights, ldw, nw, rows, stride, n, d, sums, ld);
	else
		raw_mix(TQ_BF16, weights, ldw, nw, rows, stride, n, d, sums, ld);
}
