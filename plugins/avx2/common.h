/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_AVX2_COMMON_H
#define TQ_AVX2_COMMON_H

/*
 * What the files of the AVX2 plugin share. Everything is bit-identical to docs/FORMAT.md:
 *
 * - floats are added in the order written there. The 16 lanes of dot16 are two registers, lanes 0-7
 * and 8-15; multiplication and addition stay separate instructions;
 * - the only fused multiply-adds multiply by +-1, which is exact, so they round like the plain sum;
 * - integer sums are exact in int32, so their order is free.
 *
 * Loads never reach past the field of a row, stores never past its last byte.
 */

#include <immintrin.h>
#include "tq/plugin.h"

#define AVX2_INLINE static inline __attribute__((always_inline))

/** Cells of the table that finds the level of a code with 5 bits or more. */
#define AVX2_CELLS 1024

/**
 * struct avx2_tables - the codebook in the forms that the kernels want; state of every grid driver
 * @split:    up to 4 bits: the bounds of search step s (2, 3, 4) at [s - 2][-p & 7], p the bits
 * found so far
 * @middle:   the bound of step 1
 * @odd_low:  up to 4 bits: odd[k], k < 8, at [-k & 7]
 * @odd_high: odd[8 + k] likewise
 * @odd:      odd[k] as float
 * @odd_padded: the same from 1 on, NaN before and behind
 * @odd_bytes: up to 4 bits: odd[k], by index
 * @grid:     up to 4 bits: (odd[k] + 127) / 2, by index
 * @grid_hi:  from 5 bits: (odd[k] + 16383) / 2 of the k-th positive level, its upper 7 bits
 * @grid_lo:  its lower 7 bits
 * @folds:    4 bits: SEARCH_FOLD of search.h serves
 * @magnitude: then: its thresholds, by cell
 * @bounds:   from 5 bits: the thresholds, then +inf
 * @first:    from 5 bits: the level where the search starts in a cell of y
 * @steps:    thresholds that one cell may hold
 * @to_cell:  cells per unit of sigma; SEARCH_FOLD: units of its place
 */
struct avx2_tables {
	float split[3][8];
	float middle;
	uint32_t steps;
	uint32_t folds;
	float to_cell;
	float magnitude[8];
	float odd_low[8];
	float odd_high[8];
	float odd[256];
	float odd_padded[258];
	float bounds[256];
	int8_t odd_bytes[16];
	uint8_t grid[16];
	uint8_t grid_hi[128];
	uint8_t grid_lo[128];
	int32_t first[AVX2_CELLS];
};

int avx2_tables_create(const struct tq_host *host, const struct tq_plan *plan, void **state);
void avx2_tables_destroy(const struct tq_host *host, void *state);

/**
 * avx2_rht_forward - y = R x in place
 * @buf: @n rows of dim + rounds * roll floats, @stride apart; x lies at rounds * roll of a row, y at
 *       its beginning
 */
void avx2_rht_forward(const struct tq_rotation *rot, float *buf, size_t stride, size_t n);

/** avx2_rht_backward - x = R^T y in place; y lies at @buf, x at @buf + rounds * roll */
void avx2_rht_backward(const struct tq_rotation *rot, float *buf);

/** Rows that are rotated, then quantized together. */
#define AVX2_BATCH_ROWS 8

/**
 * struct avx2_ahead - what the caller will read next; fetched while other rows are quantized
 * @x:     of the first row
 * @step:  bytes between rows
 * @bytes: of each row; 0: nothing
 */
struct avx2_ahead {
	const char *x;
	size_t step;
	size_t bytes;
};

/**
 * avx2_quantize_rows - rotated rows to the bytes of their codes, sketch fields left alone
 * @y:     row r at y + r * stride
 * @n:     rows
 * @ahead: up to so many rows
 */
void avx2_quantize_rows(const struct tq_plan *plan, const struct avx2_tables *tab, const float *y,
			size_t stride, const struct tq_row_stat *stat, size_t n,
			const struct avx2_ahead *ahead, uint8_t *codes);

/**
 * avx2_descend - move indices of a row to neighbours while that makes its fit better
 * @yc, @cc: the fit; @cc receives the new one
 *
 * Return: the new yc.
 */
float avx2_descend(const struct tq_plan *plan, const struct avx2_tables *tab, const float *y,
		   uint8_t *row, float yc, int64_t *cc);

/** avx2_dequantize_row - y_i = odd_i * (m * half_step); returns the exponent of the scale */
int32_t avx2_dequantize_row(const struct tq_plan *plan, const struct avx2_tables *tab,
			    const uint8_t *row, float *y);
void avx2_dequantize(const struct tq_plan *plan, const void *state, const uint8_t *codes, size_t n,
		     float *y, int32_t *exponent);

extern const struct tq_rotation_ops avx2_rht_ops;
extern const struct tq_rotation_ops avx2_dense_ops;
extern const struct tq_quantizer_ops avx2_quantize_ops;
extern const struct tq_quantizer_ops avx2_encode_ops;
extern const struct tq_quantizer_ops avx2_decode_ops;
extern const struct tq_quantizer_ops avx2_score_ops;
extern const struct tq_quantizer_ops avxvnni_score_ops;

#endif
