/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_NEON_COMMON_H
#define TQ_NEON_COMMON_H

/*
 * What the files of the NEON plugin share. Everything is bit-identical to docs/FORMAT.md:
 *
 * - floats are added in the order written there. The 16 lanes of dot16 are four registers;
 *   multiplication and addition stay separate instructions;
 * - the only fused multiply-adds multiply by +-1, which is exact, or choose where an exact search
 *   starts;
 * - integer sums are exact in int32 or int64, so their order is free.
 *
 * Loads never reach past the field of a row, stores never past its last byte.
 */

#include <arm_neon.h>
#include "tq/plugin.h"

#define NEON_INLINE static inline __attribute__((always_inline))

/** Cells of the tables that find a level: up to 4 bits in registers, from 5 bits in memory. */
#define NEON_FEW_CELLS 64
#define NEON_CELLS 1024

/**
 * struct neon_tables - the codebook in the forms that the kernels want; state of every grid driver
 * @hi:       odd[k] = 128 * hi[k] + lo[k], both with the sign of odd[k], so that each lies in
 *            -127..127. Up to 4 bits hi is zero and lo is odd.
 * @lo:       see @hi
 * @bounds:   the thresholds, then +inf
 * @few:      up to 4 bits: the level where the search starts in a cell of y
 * @first:    from 5 bits: likewise
 * @steps:    thresholds that one cell may hold
 * @to_cell:  cells per unit of sigma
 */
struct neon_tables {
	uint32_t steps;
	float to_cell;
	int8_t hi[256];
	int8_t lo[256];
	float bounds[256];
	uint8_t few[NEON_FEW_CELLS];
	int32_t first[NEON_CELLS];
};

int neon_tables_create(const struct tq_host *host, const struct tq_plan *plan, void **state);
void neon_tables_destroy(const struct tq_host *host, void *state);

/** neon_rht_forward - y = R x in place; x lies at @buf + rounds * roll, y at @buf */
void neon_rht_forward(const struct tq_rotation *rot, float *buf);

/** neon_rht_backward - x = R^T y in place; y lies at @buf, x at @buf + rounds * roll */
void neon_rht_backward(const struct tq_rotation *rot, float *buf);

/** neon_quantize_row - a rotated row to the bytes of its code, sketch fields left alone */
void neon_quantize_row(const struct tq_plan *plan, const struct neon_tables *tab, const float *y,
		       const struct tq_row_stat *stat, uint8_t *row);

/** neon_dequantize_row - y_i = odd_i * (m * half_step); returns the exponent of the scale */
int32_t neon_dequantize_row(const struct tq_plan *plan, const struct neon_tables *tab,
			    const uint8_t *row, float *y);

#endif
