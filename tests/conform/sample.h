/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SAMPLE_H
#define SAMPLE_H

/*
 * Random inputs of the statistical tests: xorshift64* and Box-Muller, nothing of the library. Each test
 * starts its own stream, so a figure does not depend on the order of tests.
 */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include "../scale.h"

enum sample_kind {
	SAMPLE_GAUSS = 0,
	SAMPLE_LOGNORMAL,
};

struct sample {
	uint64_t state;
	double spare;
	int has_spare;
};

static inline double sample_uniform(struct sample *s)
{
	s->state ^= s->state >> 12;
	s->state ^= s->state << 25;
	s->state ^= s->state >> 27;
	return ((double)((s->state * 0x2545f4914f6cdd1dull) >> 11) + 0.5) * 0x1p-53;
}

static inline double sample_normal(struct sample *s)
{
	double r, a;

	if (s->has_spare) {
		s->has_spare = 0;
		return s->spare;
	}
	r = sqrt(-2.0 * log(sample_uniform(s)));
	a = 6.283185307179586 * sample_uniform(s);
	s->spare = r * sin(a);
	s->has_spare = 1;
	return r * cos(a);
}

static inline void sample_vector(struct sample *s, int kind, float *x, uint32_t d)
{
	uint32_t i;

	for (i = 0; i < d; i++)
		x[i] = (float)(kind == SAMPLE_LOGNORMAL ? exp(sample_normal(s)) : sample_normal(s));
}

/** sample_tolerance - a relative tolerance, wider where fewer vectors are drawn */
static inline double sample_tolerance(double tolerance)
{
	return tolerance / sqrt(test_scale());
}

#endif
