/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_SIMD_ROW_H
#define TQ_SIMD_ROW_H

/* The buffer of one row, and the core's table of signs: what rotations in memory and registers
 * share. */

#include "tq/plugin.h"

/** Largest dimension whose rows are worked on in a buffer on the stack: fused encode and decode. */
#define SIMD_FUSED_DIM_MAX 4096

/** Floats of that buffer: three rounds move a row by three thirds of it; stores may overshoot. */
#define SIMD_ROW_FLOATS (2 * SIMD_FUSED_DIM_MAX + 64)

/** round_signs - the signs of round @t: the head's, then the tail's */
static inline const float *round_signs(const struct tq_rotation *rot, uint32_t t)
{
	return rot->signs + (size_t)t * rot->window * (rot->window < rot->dim ? 2 : 1);
}

#endif
