/* SPDX-License-Identifier: Apache-2.0 */

/* Clocks and the f32 baseline that rates are compared with. */

#include <stdlib.h>
#include <time.h>
#include "eval.h"

#define RUNS_MIN 5
#define RUNS_MAX 1000
#define SECONDS_MIN 0.1
#define SECONDS_MAX 1.0

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double eval_median_time(void (*run)(void *arg), void *arg)
{
	double seconds[RUNS_MAX], start = now(), before = start, after = start;
	size_t n = 0;

	while (n < RUNS_MAX && after - start < SECONDS_MAX &&
	       (n < RUNS_MIN || after - start < SECONDS_MIN)) {
		run(arg);
		after = now();
		seconds[n++] = after - before;
		before = after;
	}
	qsort(seconds, n, sizeof(seconds[0]), compare);
	return seconds[n / 2] > 0 ? seconds[n / 2] : 1e-9;
}

#define LANES 32

/*
 * 32 independent sums: what a compiler needs to fill vector registers and to hide the latency of
 * the additions without being allowed to reorder them.
 */
static inline __attribute__((always_inline)) void dot_rows(const float *query, const float *rows,
							   size_t n, uint32_t dim, float *scores)
{
	for (size_t r = 0; r < n; r++) {
		const float *row = rows + r * dim;
		float lane[LANES] = {0}, sum = 0;
		uint32_t i = 0;

		for (; i + LANES <= dim; i += LANES)
			for (uint32_t l = 0; l < LANES; l++)
				lane[l] += row[i + l] * query[i + l];
		for (; i < dim; i++)
			sum += row[i] * query[i];
		for (uint32_t l = 0; l < LANES; l++)
			sum += lane[l];
		scores[r] = sum;
	}
}

static void dot_rows_base(const float *query, const float *rows, size_t n, uint32_t dim,
			  float *scores)
{
	dot_rows(query, rows, n, dim, scores);
}

#if defined(__x86_64__)
__attribute__((target("avx2,fma"))) static void dot_rows_avx2(const float *query, const float *rows,
							      size_t n, uint32_t dim, float *scores)
{
	dot_rows(query, rows, n, dim, scores);
}
#endif

void eval_dot_f32(const float *query, const float *rows, size_t n, uint32_t dim, float *scores)
{
#if defined(__x86_64__)
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
		dot_rows_avx2(query, rows, n, dim, scores);
		return;
	}
#endif
	dot_rows_base(query, rows, n, dim, scores);
}
