/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TOOLS_EVAL_H
#define TOOLS_EVAL_H

/* The parts of tq eval: the vectors and their exact inner products, one measurement, what theory
 * says. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "coder.h"
#include "tq/tq.h"

#define EVAL_NEAREST 10

/**
 * struct eval_data - what every spec is measured on
 * @dim:      coordinates
 * @n:        base rows
 * @nq:       queries
 * @nearest:  how many true neighbours each query has: EVAL_NEAREST, or n if that is less
 * @base:     n rows
 * @queries:  nq rows
 * @truth:    truth[i * n + j] = <query i, row j>, in f64
 * @best:     best[i * EVAL_NEAREST ...]: rows of the largest truth, largest first, ties by number
 */
struct eval_data {
	uint32_t dim;
	size_t n;
	size_t nq;
	size_t nearest;
	float *base;
	float *queries;
	double *truth;
	uint32_t *best;
};

/**
 * eval_load - take rows evenly from the files and compute the truth
 * @queries: NULL: some rows of @base are held out
 * @rows:    at most so many base rows
 * @nq:      at most so many queries
 *
 * Return: 0, or an exit code with a line printed.
 */
int eval_load(struct eval_data *data, const struct vectors *base, const struct vectors *queries,
	      uint64_t rows, uint64_t nq);
void eval_unload(struct eval_data *data);

/** eval_best - numbers of the @k largest of @n scores, largest first, ties by number */
void eval_best(const float *scores, size_t n, size_t k, uint32_t *best);

/** What is measured and what theory says, in the same units. */
struct eval_figures {
	double vnmse;	 /* E |x^ - x|^2 / |x - centre|^2 */
	double slope;	 /* of estimated over true inner products, without what the centre adds */
	double variance; /* d times that of an estimate, unit vectors, orthogonal query */
};

/**
 * eval_theory - what a perfectly random rotation gives at effort=0
 * @spec:   the spec in force
 * @levels: level values in units of sigma = 1
 * @count:  how many; 0 for pure QJL
 *
 * From the moments of the nearest level under the sphere density of @dim, integrated here in f64
 * without any of the library's tables. NaN for codes that have no level for a coordinate alone: no
 * formula gives what a trellis or recursive angles leave.
 */
struct eval_figures eval_theory(const struct tq_spec *spec, uint32_t dim, const float *levels,
				unsigned count);

/**
 * struct eval_result - one row of the table
 * @given:      the spec as the user wrote it
 * @spec:       the whole spec
 * @drivers:    names
 * @bytes:      per row
 * @bits:       per coordinate, everything included
 * @measured:   figures
 * @theory:     likewise
 * @vnmse_full: E |x^ - x|^2 / |x|^2; vnmse unless there is a centre
 * @recall1:    how often the best of the scores is the true best
 * @recall10:   the part of the true ten among the ten best scores
 * @encode:     rows per second
 * @encode_ratio: time of memcpy of the input over time of encode
 * @score:      rows per second, one query at a time
 * @score_ratio: time of an f32 inner product over time of a score
 */
struct eval_result {
	const char *given;
	char spec[CODER_TEXT];
	char drivers[160];
	size_t bytes;
	double bits;
	struct eval_figures measured;
	struct eval_figures theory;
	double vnmse_full;
	double recall1;
	double recall10;
	double encode;
	double encode_ratio;
	double score;
	double score_ratio;
};

/** eval_measure - 0, or an exit code with a line printed */
int eval_measure(const struct eval_data *data, const struct coder *c, struct eval_result *result);

/** eval_median_time - seconds that @run(@arg) takes: median of at least 5 runs or 0.1 s */
double eval_median_time(void (*run)(void *arg), void *arg);

/** eval_dot_f32 - scores of one query over @n rows, written for speed: the baseline */
void eval_dot_f32(const float *query, const float *rows, size_t n, uint32_t dim, float *scores);

/** eval_draw - SVG of distortion against bits; 0, or an exit code with a line printed */
int eval_draw(const char *path, const char *title, const struct eval_result *results, size_t n);

#endif
