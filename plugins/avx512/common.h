/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_AVX512_COMMON_H
#define TQ_AVX512_COMMON_H

/*
 * What the files of the AVX-512 plugin share. Everything is bit-identical to docs/FORMAT.md:
 *
 * - floats are added in the order written there. The 16 lanes of dot16 are the 16 lanes of a
 * register; multiplication and addition stay separate instructions;
 * - the only fused multiply-adds have an exact product: by +-1 in the butterflies, of small
 * integers in the sum of odd^2, or decide nothing by themselves (the number of a cell);
 * - integer sums are exact, so their order is free.
 *
 * Masked loads and stores end every row: no byte outside it is touched.
 */

#include <immintrin.h>
#include "tq/plugin.h"

#define AVX512_INLINE static inline __attribute__((always_inline))

/** Cells of the search over 3 and 4 bits, which two registers hold, and over 6 bits and more. */
#define AVX512_CELLS 32
#define AVX512_WIDE_CELLS 1024

/**
 * struct avx512_tables - the codebook in the forms that the kernels want; state of the grid drivers
 * @bounds:    the thresholds, then +inf
 * @odd:       odd[k] as float
 * @low:       up to 5 bits: odd by the last field of the index, repeated; for a clear top bit if
 *             the field of the top bit is apart (1, 3, 5 bits)
 * @high:      ... for a set top bit
 * @at_cell:   3 and 4 bits: the first threshold that a y in the cell may reach, and ...
 * @level:     ... the level below it
 * @to_cell:   cells per unit of sigma
 * @limit:     3 and 4 bits: in units of sigma, beyond the last threshold and within the last cell
 * @in_cells:  3 and 4 bits: no cell holds more than one threshold
 * @steps:     from 6 bits: thresholds that one cell may hold
 * @first:     from 6 bits: the level where the search starts in a cell
 */
struct avx512_tables {
	float bounds[256];
	float odd[256];
	float low[16];
	float high[16];
	float at_cell[AVX512_CELLS];
	int32_t level[AVX512_CELLS];
	float to_cell;
	float limit;
	uint32_t in_cells;
	uint32_t steps;
	int32_t first[AVX512_WIDE_CELLS];
};

/** avx512_tables_fill - tables of a codebook whose levels @bits count */
void avx512_tables_fill(const struct tq_codebook *book, uint32_t bits, struct avx512_tables *t);

int avx512_tables_create(const struct tq_host *host, const struct tq_plan *plan, void **state);
void avx512_tables_destroy(const struct tq_host *host, void *state);

/** avx512_rht_forward - y = R x in place; x lies at @buf + rounds * roll, y at @buf */
void avx512_rht_forward(const struct tq_rotation *rot, float *buf);

/** avx512_rht_backward - x = R^T y in place; y lies at @buf, x at @buf + rounds * roll */
void avx512_rht_backward(const struct tq_rotation *rot, float *buf);

/**
 * struct avx512_ahead - what the caller will read next; fetched while other rows are quantized
 * @x:       first row
 * @step:    bytes between rows
 * @element: bytes of an element
 */
struct avx512_ahead {
	const char *x;
	size_t step;
	size_t element;
};

/**
 * avx512_quantize_rows - rotated rows to the bytes of their codes, sketch fields left alone
 * @y: row r at y + r * stride
 */
void avx512_quantize_rows(const struct tq_plan *plan, const struct avx512_tables *tab,
			  const float *y, size_t stride, const struct tq_row_stat *stat, size_t n,
			  const struct avx512_ahead *ahead, uint8_t *codes);

/** avx512_dequantize_row - y_i = odd_i * (m * half_step); returns the exponent of the scale */
int32_t avx512_dequantize_row(const struct tq_plan *plan, const struct avx512_tables *tab,
			      const uint8_t *row, float *y);

extern const struct tq_rotation_ops avx512_rht_ops;
extern const struct tq_rotation_ops avx512_dense_ops;
extern const struct tq_quantizer_ops avx512_quantize_ops;
extern const struct tq_quantizer_ops avx512_encode_ops;
extern const struct tq_quantizer_ops avx512_decode_ops;

#endif
