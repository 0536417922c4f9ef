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

/* ---- attention of 4 grouped queries over rows of 128, with a scale of 1/sqrt(128); tokens in 256s ---- */

/** baseline_can_attend - does this CPU have what the functions below are written for? */
int baseline_can_attend(void);

/** baseline_halves - @n floats, a multiple of 16, to IEEE halves */
void baseline_halves(const float *x, size_t n, uint16_t *to);

/** baseline_attend16 - over keys and values in fp16 */
void baseline_attend16(const float *query, size_t group, const uint16_t *keys, const uint16_t *values,
		       size_t n, float *out);

/** baseline_attend32_begin, baseline_attend32, baseline_attend32_end - over floats, 256 tokens a call */
void baseline_attend32_begin(size_t group);
void baseline_attend32(const float *query, size_t group, const float *keys, const float *values, size_t n);
void baseline_attend32_end(float *out, size_t group);

#endif
