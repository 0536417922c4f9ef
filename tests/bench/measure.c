/* SPDX-License-Identifier: Apache-2.0 */
/* Clocks, samples, memory, and quantizers of pinned plugins. */

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include "bench.h"

#define SAMPLE_NS 1e6
#define HUGE_PAGE ((size_t)2 << 20)
#define MAX_OPEN 64

const char *const bench_plugins[BENCH_PLUGINS] = {"scalar", "avx2", "avx512", "neon",
						  "neon-dotprod"};

static struct {
	char plugin[32];
	unsigned threads;
	struct tq_context *ctx;
} contexts[MAX_OPEN];
static struct tq_quantizer *quantizers[MAX_OPEN];
static size_t ncontexts, nquantizers;

void bench_die(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

double bench_clock_ns(bool wall)
{
	struct timespec t;

	clock_gettime(wall ? CLOCK_MONOTONIC : CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static double sample(const struct bench_job *job, unsigned loops)
{
	double start = bench_clock_ns(job->wall);
	unsigned i;

	for (i = 0; i < loops; i++)
		job->run(job->arg);
	return (bench_clock_ns(job->wall) - start) / loops;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double bench_median(double *t, size_t n)
{
	qsort(t, n, sizeof(*t), by_value);
	return t[n / 2];
}

void bench_measure(const struct bench *b, struct bench_job *jobs, size_t n)
{
	static double t[BENCH_MAX_JOBS][BENCH_MAX_REPEATS];
	unsigned loops[BENCH_MAX_JOBS], r;
	size_t j;

	for (j = 0; j < n; j++) {
		double once = sample(&jobs[j], 1);

		if (once < SAMPLE_NS)
			once = sample(&jobs[j], 1 + (unsigned)(SAMPLE_NS / 10 / (once + 1)));
		loops[j] = 1 + (unsigned)(SAMPLE_NS / (once + 1));
	}
	for (r = 0; r < b->repeats; r++)
		for (j = 0; j < n; j++)
			t[j][r] = sample(&jobs[j], loops[j]);
	for (j = 0; j < n; j++) {
		jobs[j].ns = bench_median(t[j], b->repeats) / jobs[j].work;
		jobs[j].best = t[j][0] / jobs[j].work;
	}
}

void *bench_room(size_t bytes)
{
	size_t size = (bytes + HUGE_PAGE) / HUGE_PAGE * HUGE_PAGE;
	void *p = aligned_alloc(HUGE_PAGE, size);

	if (!p)
		bench_die("out of memory: %zu bytes", size);
	madvise(p, size, MADV_HUGEPAGE);
	memset(p, 0, size);
	return p;
}

void bench_normals(float *x, size_t n, uint64_t seed)
{
	size_t i;
	int k, sum;

	for (i = 0; i < n; i++) {
		for (k = 0, sum = 0; k < 4; k++) {
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			sum += (int)(seed >> 48) - 32768;
		}
		x[i] = (float)sum * (1.0f / 37837.0f);
	}
}

void bench_repeat(void *p, size_t unit, size_t total)
{
	size_t done = unit, n;

	for (; done < total; done += n) {
		n = done < total - done ? done / unit * unit : total - done;
		memcpy((char *)p + done, p, n);
	}
}

static struct tq_context *context_of(const char *plugin, unsigned threads)
{
	struct tq_options o = {.struct_size = sizeof(o), .driver = plugin, .threads = threads};
	size_t i;

	for (i = 0; i < ncontexts; i++)
		if (!strcmp(contexts[i].plugin, plugin) && contexts[i].threads == threads)
			return contexts[i].ctx;
	if (ncontexts == MAX_OPEN)
		bench_die("too many contexts");
	if (tq_context_create(&o, &contexts[i].ctx))
		bench_die("%s: %s", plugin, tq_error_text());
	snprintf(contexts[i].plugin, sizeof(contexts[i].plugin), "%s", plugin);
	contexts[i].threads = threads;
	ncontexts++;
	return contexts[i].ctx;
}

static bool served_by(struct tq_context *ctx, const char *plugin, const char *driver)
{
	struct tq_driver_info info = {.struct_size = sizeof(info)};
	size_t i;

	for (i = 0; !tq_context_driver(ctx, i, &info); i++)
		if (!strcmp(info.driver_name, driver))
			return !strcmp(info.plugin, plugin);
	return false;
}

static bool serves(struct tq_context *ctx, const char *plugin, const struct tq_quantizer *q,
		   int stage)
{
	const char *driver = tq_quantizer_driver(q, stage);

	/* fused stages are absent where stages are composed; the quantizer stage stands for them */
	if (!driver[0])
		driver = tq_quantizer_driver(q, TQ_STAGE_QUANTIZE);
	return served_by(ctx, plugin, driver);
}

struct tq_quantizer *bench_quantizer(const char *plugin, const char *text, uint32_t dim, int stage,
				     unsigned threads)
{
	struct tq_context *ctx = context_of(plugin, threads);
	struct tq_quantizer *q;
	struct tq_spec spec;
	int ret;

	tq_spec_init(&spec);
	if (tq_spec_parse(&spec, text))
		bench_die("%s", tq_error_text());
	ret = tq_quantizer_create(ctx, &spec, dim, NULL, &q);
	if (ret == TQ_ERR_NO_DRIVER)
		return NULL;
	if (ret)
		bench_die("%s: %s", plugin, tq_error_text());
	if (!serves(ctx, plugin, q, stage)) {
		tq_quantizer_destroy(q);
		return NULL;
	}
	if (nquantizers == MAX_OPEN)
		bench_die("too many quantizers");
	quantizers[nquantizers++] = q;
	return q;
}

void bench_release(void)
{
	while (nquantizers)
		tq_quantizer_destroy(quantizers[--nquantizers]);
	while (ncontexts)
		tq_context_destroy(contexts[--ncontexts].ctx);
}
