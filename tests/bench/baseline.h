/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_BENCH_BASELINE_H
#define TQ_BENCH_BASELINE_H

/*
 * What the library is compared with, written for the widest instructions that this CPU has: reading
 * bytes (a plain sum), copying them, and dot products of a query with rows of half and single
 * floats.
 */

#include <stddef.h>
#include <stdint.h>

/** baseline_isa - "avx512", "avx2", "neon", "c": what the functions below use */
const char *baseline_isa(void);

/** baseline_sum - the sum of @n bytes */
uint64_t baseline_sum(const void *p, size_t n);

/** baseline_dot16 - scores of @n rows of @dim IEEE halves; 0 where this CPU has no conversion */
int baseline_dot16(const float *query, const uint16_t *rows, size_t n, uint32_t dim, float *scores);

/** baseline_dot32 - the same for floats */
void baseline_dot32(const float *query, const float *rows, size_t n, uint32_t dim, float *scores);

#endif
