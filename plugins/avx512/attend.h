/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_AVX512_ATTEND_H
#define TQ_AVX512_ATTEND_H

/* The parts of attend(grid) that know nothing of codes: attend_raw.c. */

#include "tq/plugin.h"

float avx512_logits(float *x, size_t n, float bias, float factor);
float avx512_weigh(const float *logits, size_t n, float max, float *weights);
void avx512_raw_score(int dtype, const float *queries, size_t ldq, size_t nq, const uint16_t *rows,
		      size_t stride, size_t n, size_t d, float *scores, size_t ld);
void avx512_raw_mix(int dtype, const float *weights, size_t ldw, size_t nw, const uint16_t *rows,
		    size_t stride, size_t n, size_t d, float *sums, size_t ld);

#endif
