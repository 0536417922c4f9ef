/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attention over an fp16 cache and over float32 rows, one KV head, written with the care that the library
 * takes: grouped queries share every row that is loaded, products are fma, weights by a polynomial, blocks
 * of 256 tokens with a running maximum. AVX-512; elsewhere there is no such baseline.
 */

#include <math.h>
#include <string.h>
#include "baseline.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,fma")))
#define BLOCK 256
#define GROUP_MAX 8
#define DIM 128

static struct {
	float top[GROUP_MAX], sum[GROUP_MAX], out[GROUP_MAX][DIM];
} run;

AVX512 static inline __m512 load(const void *rows, int half, size_t at)
{
	if (half)
		return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)((const uint16_t *)rows + at)));
	return _mm512_loadu_ps((const float *)rows + at);
}

AVX512 static inline __m512 fast_exp(__m512 x)
{
	__m512 t = _mm512_mul_ps(_mm512_max_ps(x, _mm512_set1_ps(-87.0f)), _mm512_set1_ps(1.44269504f));
	__m512 n = _mm512_roundscale_ps(t, 0), f = _mm512_sub_ps(t, n), p = _mm512_set1_ps(1.339887440e-3f);

	p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(9.618437357e-3f));
	p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(5.550332548e-2f));
	p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(2.402264791e-1f));
	p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(6.931472028e-1f));
	p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1.0f));
	return _mm512_scalef_ps(p, n);
}

/* Logits of four queries, two rows at a time */
AVX512 static inline void logits(const float *query, const void *keys, int half, size_t n,
				 float (*to)[BLOCK])
{
	const float scale = 0.08838834764831845f;
	__m512 a[2][4], x[2], q;
	size_t t, i;
	int g, r;

	for (t = 0; t < n; t += 2) {
		for (r = 0; r < 2; r++)
			for (g = 0; g < 4; g++)
				a[r][g] = _mm512_setzero_ps();
		for (i = 0; i < DIM; i += 16) {
			for (r = 0; r < 2; r++)
				x[r] = load(keys, half, (t + (size_t)r) * DIM + i);
			for (g = 0; g < 4; g++) {
				q = _mm512_loadu_ps(query + g * DIM + i);
				for (r = 0; r < 2; r++)
					a[r][g] = _mm512_fmadd_ps(x[r], q, a[r][g]);
			}
		}
		for (r = 0; r < 2; r++)
			for (g = 0; g < 4; g++)
				to[g][t + (size_t)r] = scale * _mm512_reduce_add_ps(a[r][g]);
	}
}

AVX512 static inline void mix(const void *values, int half, size_t n, float (*w)[BLOCK])
{
	__m512 acc[4][2], x[2];
	size_t t, i;
	int g, k;

	for (i = 0; i < DIM; i += 32) {
		for (g = 0; g < 4; g++)
			for (k = 0; k < 2; k++)
				acc[g][k] = _mm512_loadu_ps(run.out[g] + i + 16 * k);
		for (t = 0; t < n; t++) {
			for (k = 0; k < 2; k++)
				x[k] = load(values, half, t * DIM + i + 16 * (size_t)k);
			for (g = 0; g < 4; g++)
				for (k = 0; k < 2; k++)
					acc[g][k] = _mm512_fmadd_ps(x[k], _mm512_set1_ps(w[g][t]), acc[g][k]);
		}
		for (g = 0; g < 4; g++)
			for (k = 0; k < 2; k++)
				_mm512_storeu_ps(run.out[g] + i + 16 * k, acc[g][k]);
	}
}

AVX512 static void weigh(float *x, size_t n, int g)
{
	__m512 top = _mm512_set1_ps(-INFINITY), sum = _mm512_setzero_ps(), w;
	float most, scale;
	size_t t;

	for (t = 0; t < n; t += 16)
		top = _mm512_max_ps(top, _mm512_loadu_ps(x + t));
	most = _mm512_reduce_max_ps(top);
	if (most > run.top[g]) {
		scale = run.top[g] > -INFINITY ? expf(run.top[g] - most) : 0.0f;
		run.sum[g] *= scale;
		for (t = 0; t < DIM; t++)
			run.out[g][t] *= scale;
		run.top[g] = most;
	}
	for (t = 0; t < n; t += 16) {
		w = fast_exp(_mm512_sub_ps(_mm512_loadu_ps(x + t), _mm512_set1_ps(run.top[g])));
		_mm512_storeu_ps(x + t, w);
		sum = _mm512_add_ps(sum, w);
	}
	run.sum[g] += _mm512_reduce_add_ps(sum);
}

AVX512 static inline void block(const float *query, const void *keys, const void *values, int half, size_t n)
{
	float w[4][BLOCK];
	int g;

	logits(query, keys, half, n, w);
	for (g = 0; g < 4; g++)
		weigh(w[g], n, g);
	mix(values, half, n, w);
}

AVX512 static void block16(const float *query, const uint16_t *keys, const uint16_t *values, size_t n)
{
	block(query, keys, values, 1, n);
}

AVX512 static void block32(const float *query, const float *keys, const float *values, size_t n)
{
	block(query, keys, values, 0, n);
}

AVX512 void baseline_halves(const float *x, size_t n, uint16_t *to)
{
	size_t i;

	for (i = 0; i + 16 <= n; i += 16)
		_mm256_storeu_si256((__m256i *)(to + i), _mm512_cvtps_ph(_mm512_loadu_ps(x + i), 0));
}

int baseline_can_attend(void)
{
	return __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
}

void baseline_attend32_begin(size_t group)
{
	size_t g;

	memset(&run, 0, sizeof(run));
	for (g = 0; g < group; g++)
		run.top[g] = -INFINITY;
}

void baseline_attend32(const float *query, size_t group, const float *keys, const float *values, size_t n)
{
	block32(query, keys, values, n);
}

void baseline_attend32_end(float *out, size_t group)
{
	size_t g, i;

	for (g = 0; g < group; g++)
		for (i = 0; i < DIM; i++)
			out[g * DIM + i] = run.out[g][i] / run.sum[g];
}

void baseline_attend16(const float *query, size_t group, const uint16_t *keys, const uint16_t *values,
		       size_t n, float *out)
{
	size_t t;

	baseline_attend32_begin(group);
	for (t = 0; t < n; t += BLOCK)
		block16(query, keys + t * DIM, values + t * DIM, BLOCK);
	baseline_attend32_end(out, group);
}
#else
int baseline_can_attend(void)
{
	return 0;
}

void baseline_halves(const float *x, size_t n, uint16_t *to)
{
}

void baseline_attend32_begin(size_t group)
{
}

void baseline_attend32(const float *query, size_t group, const float *keys, const float *values, size_t n)
{
}

void baseline_attend32_end(float *out, size_t group)
{
}

void baseline_attend16(const float *query, size_t group, const uint16_t *keys, const uint16_t *values,
		       size_t n, float *out)
{
}
#endif
