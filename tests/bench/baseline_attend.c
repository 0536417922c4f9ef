/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attention over an fp16 cache and over float32 rows, one KV head, written with the care that the library
 * takes: grouped queries share every row that is loaded, products are fma, sums are added across sixteen at a
 * time, weights by a polynomial, blocks of 256 tokens with a running maximum; what comes next is fetched while
 * one works, so that reading the cache is the limit. AVX-512; elsewhere there is no such baseline.
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

/* Two registers to one whose neighbouring halves are sums: four such steps turn 16 registers into their sums */
AVX512 static inline __m512 fold_lanes(__m512 a, __m512 b, int step)
{
	if (step == 0)
		return _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
	if (step == 1)
		return _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(a), _mm512_castps_pd(b))),
				     _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(a), _mm512_castps_pd(b))));
	return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
}

/* Lane 4 g + r: the sum of register [r][g] */
AVX512 static inline __m512 sum_lanes(__m512 (*a)[4])
{
	__m512 x[4];
	int g;

	for (g = 0; g < 4; g++)
		x[g] = fold_lanes(fold_lanes(a[0][g], a[1][g], 0), fold_lanes(a[2][g], a[3][g], 0), 1);
	x[0] = fold_lanes(x[0], x[1], 2);
	x[2] = fold_lanes(x[2], x[3], 2);
	return fold_lanes(x[0], x[2], 2);
}

/* @bytes from @p on into the second cache, while other work is under way */
AVX512 static inline void fetch(const void *p, size_t bytes)
{
	size_t i;

	for (i = 0; i < bytes; i += 64)
		_mm_prefetch((const char *)p + i, _MM_HINT_T1);
}

/* Logits of four queries, four rows at a time; the block's values are fetched meanwhile */
AVX512 static inline void logits(const float *query, const void *keys, const void *values, int half, size_t n,
				 float (*to)[BLOCK])
{
	const __m512 scale = _mm512_set1_ps(0.08838834764831845f);
	size_t t, i, row = (half ? 2 : 4) * DIM;
	__m512 a[4][4], x[4], q;
	int g, r;

	for (t = 0; t < n; t += 4) {
		fetch((const char *)values + t * row, 4 * row);
		for (r = 0; r < 4; r++)
			for (g = 0; g < 4; g++)
				a[r][g] = _mm512_setzero_ps();
		for (i = 0; i < DIM; i += 16) {
			for (r = 0; r < 4; r++)
				x[r] = load(keys, half, (t + (size_t)r) * DIM + i);
			for (g = 0; g < 4; g++) {
				q = _mm512_loadu_ps(query + g * DIM + i);
				for (r = 0; r < 4; r++)
					a[r][g] = _mm512_fmadd_ps(x[r], q, a[r][g]);
			}
		}
		q = _mm512_mul_ps(sum_lanes(a), scale);
		_mm_storeu_ps(to[0] + t, _mm512_castps512_ps128(q));
		_mm_storeu_ps(to[1] + t, _mm512_extractf32x4_ps(q, 1));
		_mm_storeu_ps(to[2] + t, _mm512_extractf32x4_ps(q, 2));
		_mm_storeu_ps(to[3] + t, _mm512_extractf32x4_ps(q, 3));
	}
}

/* Values by weights, 64 coordinates at a time; the next block's keys are fetched meanwhile */
AVX512 static inline void mix(const void *values, const void *next, int half, size_t n, float (*w)[BLOCK])
{
	size_t t, i, row = (half ? 2 : 4) * DIM;
	__m512 acc[4][4], x[4], weight;
	int g, k;

	for (i = 0; i < DIM; i += 64) {
		for (g = 0; g < 4; g++)
			for (k = 0; k < 4; k++)
				acc[g][k] = _mm512_loadu_ps(run.out[g] + i + 16 * k);
		for (t = 0; t < n; t++) {
			if (next)
				fetch((const char *)next + (i / 64 * n + t) * row / 2, row / 2);
			for (k = 0; k < 4; k++)
				x[k] = load(values, half, t * DIM + i + 16 * (size_t)k);
			for (g = 0; g < 4; g++) {
				weight = _mm512_set1_ps(w[g][t]);
				for (k = 0; k < 4; k++)
					acc[g][k] = _mm512_fmadd_ps(x[k], weight, acc[g][k]);
			}
		}
		for (g = 0; g < 4; g++)
			for (k = 0; k < 4; k++)
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

AVX512 static inline void block(const float *query, const void *keys, const void *values, const void *next,
				int half, size_t n)
{
	float w[4][BLOCK];
	int g;

	logits(query, keys, values, half, n, w);
	for (g = 0; g < 4; g++)
		weigh(w[g], n, g);
	mix(values, next, half, n, w);
}

AVX512 static void block16(const float *query, const uint16_t *keys, const uint16_t *values,
			   const uint16_t *next, size_t n)
{
	block(query, keys, values, next, 1, n);
}

AVX512 static void block32(const float *query, const float *keys, const float *values, size_t n)
{
	block(query, keys, values, NULL, 0, n);
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
		block16(query, keys + t * DIM, values + t * DIM, keys + (t + BLOCK) * DIM, BLOCK);
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
