/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Logits, softmax weights, and scores and weighted sums of 16-bit rows, FORMAT.md section 8. The 16 lanes
 * of dot16 are two registers; products and sums stay apart.
 */

#include "attend.h"
#include "load.h"

AVX2_INLINE void store_part8f(float *to, __m256 v, ptrdiff_t n)
{
	if (n >= 8)
		_mm256_storeu_ps(to, v);
	else
		_mm256_maskstore_ps(to, lane_mask(n), v);
}

float avx2_logits(float *x, size_t n, float bias, float factor)
{
	const __m256 none = _mm256_set1_ps(-INFINITY);
	__m256 top = none, v;
	float lane[8], most = -INFINITY;
	ptrdiff_t left;
	size_t t;

	for (t = 0; t < n; t += 8) {
		left = (ptrdiff_t)(n - t);
		v = _mm256_add_ps(part8f(x + t, left), _mm256_set1_ps(bias));
		v = _mm256_mul_ps(v, _mm256_set1_ps(factor));
		store_part8f(x + t, v, left);
		if (left < 8)
			v = _mm256_blendv_ps(none, v, _mm256_castsi256_ps(lane_mask(left)));
		top = _mm256_max_ps(top, v);
	}
	_mm256_storeu_ps(lane, top);
	for (t = 0; t < 8; t++)
		most = lane[t] > most ? lane[t] : most;
	return most;
}

/* tq_exp() of eight; n comes out of the low bits of the sum that rounds, and goes into the exponent */
AVX2_INLINE __m256 exp8(__m256 x)
{
	const __m256 some = _mm256_cmp_ps(x, _mm256_set1_ps(-87.0f), _CMP_GE_OQ);
	const __m256 magic = _mm256_set1_ps(12582912.0f);
	__m256 t = _mm256_mul_ps(x, _mm256_set1_ps(1.44269504088896341f)), n, f, p;
	__m256i e;

	n = _mm256_add_ps(t, magic);
	f = _mm256_sub_ps(t, _mm256_sub_ps(n, magic));
	p = _mm256_set1_ps(1.3264727e-3f);
	p = _mm256_add_ps(_mm256_mul_ps(p, f), _mm256_set1_ps(9.671513e-3f));
	p = _mm256_add_ps(_mm256_mul_ps(p, f), _mm256_set1_ps(5.5507336e-2f));
	p = _mm256_add_ps(_mm256_mul_ps(p, f), _mm256_set1_ps(2.4022242e-1f));
	p = _mm256_add_ps(_mm256_mul_ps(p, f), _mm256_set1_ps(6.9314700e-1f));
	p = _mm256_add_ps(_mm256_mul_ps(p, f), _mm256_set1_ps(1.0f));
	e = _mm256_slli_epi32(_mm256_castps_si256(n), 23);
	return _mm256_and_ps(_mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), e)), some);
}

float avx2_weigh(const float *logits, size_t n, float max, float *weights)
{
	__m256 sum[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()}, w;
	ptrdiff_t left;
	size_t t;

	for (t = 0; t < n; t += 8) {
		left = (ptrdiff_t)(n - t);
		w = exp8(_mm256_sub_ps(part8f(logits + t, left), _mm256_set1_ps(max)));
		if (left < 8)
			w = _mm256_and_ps(w, _mm256_castsi256_ps(lane_mask(left)));
		store_part8f(weights + t, w, left);
		sum[t / 8 % 2] = _mm256_add_ps(sum[t / 8 % 2], w);
	}
	return sum_tree(sum[0], sum[1]);
}

/* One row and up to four queries */
AVX2_INLINE void score_row(int dtype, const float *queries, size_t ldq, size_t nq, const uint16_t *row,
			   size_t d, float *scores, size_t ld)
{
	__m256 acc[4][2], x;
	ptrdiff_t left;
	size_t i, g;

	for (g = 0; g < nq; g++)
		acc[g][0] = acc[g][1] = _mm256_setzero_ps();
	for (i = 0; i + 16 <= d; i += 16) {
		x = load8(row, dtype, i);
		for (g = 0; g < nq; g++)
			acc[g][0] = _mm256_add_ps(acc[g][0],
						  _mm256_mul_ps(x, _mm256_loadu_ps(queries + g * ldq + i)));
		x = load8(row, dtype, i + 8);
		for (g = 0; g < nq; g++)
			acc[g][1] = _mm256_add_ps(
				acc[g][1], _mm256_mul_ps(x, _mm256_loadu_ps(queries + g * ldq + i + 8)));
	}
	for (; i < d; i += 8) {
		left = (ptrdiff_t)(d - i);
		x = load_part8(row, dtype, i, left);
		for (g = 0; g < nq; g++)
			acc[g][i / 8 % 2] = _mm256_add_ps(
				acc[g][i / 8 % 2], _mm256_mul_ps(x, part8f(queries + g * ldq + i, left)));
	}
	for (g = 0; g < nq; g++)
		scores[g * ld] = sum_tree(acc[g][0], acc[g][1]);
}

AVX2_INLINE void raw_score(int dtype, const float *queries, size_t ldq, size_t nq, const uint16_t *rows,
			   size_t stride, size_t n, size_t d, float *scores, size_t ld)
{
	size_t t, g;

	for (t = 0; t < n; t++, rows += stride, scores++) {
		for (g = 0; g + 4 <= nq; g += 4)
			score_row(dtype, queries + g * ldq, ldq, 4, rows, d, scores + g * ld, ld);
		for (; g < nq; g++)
			score_row(dtype, queries + g * ldq, ldq, 1, rows, d, scores + g * ld, ld);
	}
}

void avx2_raw_score(int dtype, const float *queries, size_t ldq, size_t nq, const uint16_t *rows,
		    size_t stride, size_t n, size_t d, float *scores, size_t ld)
{
	if (dtype == TQ_F16)
		raw_score(TQ_F16, queries, ldq, nq, rows, stride, n, d, scores, ld);
	else
		raw_score(TQ_BF16, queries, ldq, nq, rows, stride, n, d, scores, ld);
}

/* Eight coordinates, or @left, and up to four weights: rows in their order */
AVX2_INLINE void mix_lanes(int dtype, const float *weights, size_t ldw, size_t nw, const uint16_t *rows,
			   size_t stride, size_t n, ptrdiff_t left, float *sums, size_t ld)
{
	__m256 acc[4], x;
	size_t t, w;

	for (w = 0; w < nw; w++)
		acc[w] = part8f(sums + w * ld, left);
	for (t = 0; t < n; t++) {
		x = load_part8(rows + t * stride, dtype, 0, left);
		for (w = 0; w < nw; w++)
			acc[w] = _mm256_add_ps(acc[w],
					       _mm256_mul_ps(_mm256_set1_ps(weights[w * ldw + t]), x));
	}
	for (w = 0; w < nw; w++)
		store_part8f(sums + w * ld, acc[w], left);
}

AVX2_INLINE void raw_mix(int dtype, const float *weights, size_t ldw, size_t nw, const uint16_t *rows,
			 size_t stride, size_t n, size_t d, float *sums, size_t ld)
{
	ptrdiff_t left;
	size_t w, i;

	for (w = 0; w < nw; w += w + 4 <= nw ? 4 : 1) {
		for (i = 0; i < d; i += 8) {
			left = d - i < 8 ? (ptrdiff_t)(d - i) : 8;
			if (w + 4 <= nw)
				mix_lanes(dtype, weights + w * ldw, ldw, 4, rows + i, stride, n, left,
					  sums + w * ld + i, ld);
			else
				mix_lanes(dtype, weights + w * ldw, ldw, 1, rows + i, stride, n, left,
					  sums + w * ld + i, ld);
		}
	}
}

void avx2_raw_mix(int dtype, const float *weights, size_t ldw, size_t nw, const uint16_t *rows,
		  size_t stride, size_t n, size_t d, float *sums, size_t ld)
{
	if (dtype == TQ_F16)
		raw_mix(TQ_F16, weights, ldw, nw, rows, stride, n, d, sums, ld);
	else
		raw_mix(TQ_BF16, weights, ldw, nw, rows, stride, n, d, sums, ld);
}
