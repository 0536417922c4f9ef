/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_BENCH_H
#define TQ_BENCH_H

/*
 * What the benchmarks share: jobs that are timed in turn, memory, the library opened with a pinned
 * plugin, and the report.
 *
 * Every figure is the median of several samples, and everything that is compared is sampled in turn
 * (a, b, c, a, b, c, ...), so that a disturbance hits all alike. Single-threaded jobs are timed by
 * the thread's CPU clock, others by the wall clock.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include "json.h"
#include "tq/tq.h"

#define BENCH_MAX_JOBS 64
#define BENCH_MAX_REPEATS 64

/**
 * struct bench - one program's run
 * @program: its name
 * @repeats: samples per job
 * @memory:  bytes that count as far larger than cache
 * @quick:   fewer sizes, smaller memory, fewer samples
 * @only:    run the part of this name alone; NULL for all
 * @driver:  measure this plugin alone; NULL for all that are there
 * @file:    JSON goes here; NULL for none
 */
struct bench {
	const char *program;
	unsigned repeats;
	size_t memory;
	bool quick;
	const char *only;
	const char *driver;
	FILE *file;
	struct json json;
	bool headed;
};

/** bench_open - read the arguments, start the report; exits with 2 on a usage error */
void bench_open(struct bench *b, const char *program, int argc, char **argv);

/** bench_close - end the report; the program's exit status */
int bench_close(struct bench *b);

/** bench_wants - does the user want this part? */
bool bench_wants(const struct bench *b, const char *part);

/** bench_die - print and exit with 1 */
void bench_die(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));

/**
 * struct bench_job - something that is timed
 * @run:      does the work once
 * @arg:      passed to it
 * @work:     units of work per call: rows, or rows x queries
 * @wall:     timed by the wall clock
 * @ns:       out: median nanoseconds per unit
 * @best:     out: least nanoseconds per unit
 */
struct bench_job {
	void (*run)(void *arg);
	void *arg;
	double work;
	bool wall;
	double ns, best;
};

/** bench_clock_ns - the wall clock, or that of the thread's CPU time */
double bench_clock_ns(bool wall);

/** bench_median - of @n samples, which are put in order, the least first */
double bench_median(double *t, size_t n);

/** bench_measure - sample @n jobs in turn; a sample lasts at least a millisecond */
void bench_measure(const struct bench *b, struct bench_job *jobs, size_t n);

/** bench_room - @bytes of zeroed memory, aligned, in huge pages where the system gives them */
void *bench_room(size_t bytes);

/** bench_normals - @n normal deviates (sums of uniforms) */
void bench_normals(float *x, size_t n, uint64_t seed);

/** bench_repeat - fill @total bytes with copies of the first @unit bytes */
void bench_repeat(void *p, size_t unit, size_t total);

/** The plugins that are measured, the definition first */
extern const char *const bench_plugins[];
#define BENCH_PLUGINS 5

/**
 * bench_quantizer - a quantizer whose stage @stage is served by @plugin
 * @threads: of the library
 *
 * Return: NULL where the plugin is absent, not for this CPU, or does not serve the stage.
 */
struct tq_quantizer *bench_quantizer(const char *plugin, const char *spec, uint32_t dim, int stage,
				     unsigned threads);

/** bench_release - destroy all quantizers and contexts that bench_quantizer() made */
void bench_release(void);

/** A number that was not measured */
#define BENCH_NONE (0.0 / 0.0)

/**
 * struct bench_result - one row of the report
 *
 * The fields from @stream on are nanoseconds of the baselines for the same unit of work: reading
 * the code bytes, copying the input, an fp16 and an fp32 dot product of the dimension, the scalar
 * plugin.
 */
struct bench_result {
	const char *name, *driver, *stage_driver, *spec, *place, *dtype;
	uint32_t bits, dim, queries, threads;
	size_t rows, row_bytes;
	double ns, best;
	double stream, copy, fp16, fp32, scalar;
};

/** bench_result_init - everything absent */
void bench_result_init(struct bench_result *r, const char *name);

/** bench_report - one line to stdout, one object to the JSON */
void bench_report(struct bench *b, const struct bench_result *r);

#endif
