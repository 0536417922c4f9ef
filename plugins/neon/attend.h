/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_NEON_ATTEND_H
#define TQ_NEON_ATTEND_H

/* The operations of attend(grid) that need no codes; attend.c has mix. */

#include "tq/plugin.h"

float neon_logits(float *x, size_t n, float bias, float factor);
float neon_weigh(const float *logits, size_t n, float max, float *weights);
void neon_raw_score(int dtype, const float *queries, size_t ldq, size_t nq, const uint16_t *rows,
		    size_t stride, size_t n, size_t d, float *scores, size_t ld);
void neon_raw_mix(int dtype, const float *weights, size_t ldw, size_t nw, const uint16_t *rows,
		  size_t stride, size_t n, size_t d, float *sums, size_t ld);

#endif
