/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_NORMAL_H
#define TEST_NORMAL_H

/* Normal numbers for a test, the same in each run: set state first. */

#include <math.h>
#include <stdint.h>

static uint64_t state;

static inline double uniform(void)
{
	state = state * 6364136223846793005ull + 1442695040888963407ull;
	return (double)(state >> 11) * 0x1p-53;
}

static inline double normal(void)
{
	return sqrt(-2 * log(uniform() + 1e-300)) * cos(6.283185307179586 * uniform());
}

#endif
