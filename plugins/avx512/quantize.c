/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Rotated rows to codes, FORMAT.md section 4 steps 6-8, from memory; the stage quantize and the
 * fused encode of rows that do not stay in registers. unpack.h has the way back.
 */

#include "quantize.h"
#include "unpack.h"

/* One pass over the row under thresholds times sigma; @row NULL: only the sums */
AVX512_INLINE void quantize_pass(const struct tq_plan *plan, const struct avx512_tables *tab,
				 const float *y, float sigma, enum search how, int bits,
				 uint8_t *row, float *yc, int64_t *cc)
{
	struct fit_sums sums = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_si512()};
	size_t d = plan->dim, at, n;
	struct thresholds th;
	__m512i level;
	__m512 v[4];
	int r;

	scale_thresholds(tab, sigma, how, &th);
	for (at = 0; at + 64 <= d; at += 64) {
#pragma GCC unroll 4
		for (r = 0; r < 4; r++)
			v[r] = _mm512_loadu_ps(y + at + 16 * r);
		level = quantize_chunk(tab, &th, how, bits, v, 4, 64, &sums);
		if (row)
			pack_chunk(&plan->layout, bits, level, at, 64, row);
		if (at % CC_FLOAT_SPAN == 0)
			fit_flush(&sums);
	}
	n = d - at;
	if (n) {
#pragma GCC unroll 4
		for (r = 0; r < 4; r++)
			v[r] = n > 16 * (size_t)r ? _mm512_maskz_loadu_ps(lanes(n - 16 * (size_t)r),
									  y + at + 16 * r)
						  : _mm512_setzero_ps();
		level = quantize_chunk(tab, &th, how, bits, v, 4, n, &sums);
		if (row)
			pack_chunk(&plan->layout, bits, level, at, n, row);
	}
	fit_flush(&sums);
	*yc = sum_tree(sums.yc);
	*cc = _mm512_reduce_add_epi64(sums.cc_wide);
}

/* The multiplier 0.75 + j/32 of the bounds, j = 0 .. 16, with the best (yc * yc) / cc; the first
 * best wins */
AVX512_INLINE float best_multiplier(const struct tq_plan *plan, const struct avx512_tables *tab,
				    const float *y, float sigma, enum search how, int bits)
{
	float best = -1.0f, best_mu = 0.75f, yc, quality, mu;
	int64_t cc;
	int j;

	for (j = 0; j <= 16; j++) {
		mu = 0.75f + (float)j / 32.0f;
		quantize_pass(plan, tab, y, sigma * mu, how, bits, NULL, &yc, &cc);
		quality = yc > 0.0f ? (yc * yc) / (float)cc : 0.0f;
		if (quality > best) {
			best = quality;
			best_mu = mu;
		}
	}
	return best_mu;
}

#define QUANTIZE_AS(name, how, bits)                                                               \
	static void name(const struct tq_plan *plan, const struct avx512_tables *tab,              \
			 const float *y, float sigma, uint8_t *row, float *yc, int64_t *cc)        \
	{                                                                                          \
		if (plan->effort && (bits) > 1)                                                    \
			sigma = sigma * best_multiplier(plan, tab, y, sigma, how, bits);           \
		quantize_pass(plan, tab, y, sigma, how, bits, row, yc, cc);                        \
	}

QUANTIZE_AS(quantize_1, SEARCH_1, 1)
QUANTIZE_AS(quantize_2, SEARCH_2, 2)
QUANTIZE_AS(quantize_3, SEARCH_CELLS, 3)
QUANTIZE_AS(quantize_3_split, SEARCH_SPLIT, 3)
QUANTIZE_AS(quantize_4, SEARCH_CELLS, 4)
QUANTIZE_AS(quantize_4_split, SEARCH_SPLIT, 4)
QUANTIZE_AS(quantize_5, SEARCH_SPLIT, 5)
QUANTIZE_AS(quantize_6, SEARCH_WIDE, 6)
QUANTIZE_AS(quantize_7, SEARCH_WIDE, 7)
QUANTIZE_AS(quantize_8, SEARCH_WIDE, 8)

typedef void (*quantize_levels)(const struct tq_plan *plan, const struct avx512_tables *tab,
				const float *y, float sigma, uint8_t *row, float *yc, int64_t *cc);

/* By index bits, with and without cells that hold one threshold at most */
static const quantize_levels quantizers[9][2] = {
	[1] = {quantize_1, quantize_1},	      [2] = {quantize_2, quantize_2},
	[3] = {quantize_3_split, quantize_3}, [4] = {quantize_4_split, quantize_4},
	[5] = {quantize_5, quantize_5},	      [6] = {quantize_6, quantize_6},
	[7] = {quantize_7, quantize_7},	      [8] = {quantize_8, quantize_8},
};

/* A row of zeros: every threshold is 0 and every coordinate reaches it */
static void quantize_zero_row(const struct tq_plan *plan, uint8_t *row)
{
	__m512i top = _mm512_set1_epi8((char)(plan->codebook.count - 1));
	size_t at, n;

	for (at = 0; at < plan->dim; at += 64) {
		n = plan->dim - at < 64 ? plan->dim - at : 64;
		pack_chunk(&plan->layout, (int)plan->index_bits,
			   _mm512_maskz_mov_epi8(bytes(n), top), at, n, row);
	}
}

void avx512_quantize_row(const struct tq_plan *plan, const struct avx512_tables *tab,
			 const float *y, const struct tq_row_stat *stat, uint8_t *row)
{
	float sigma = sqrtf(stat->norm2 / (float)plan->dim), yc = 0.0f;
	int64_t cc = 0;

	if (stat->norm2 > 0.0f)
		quantizers[plan->index_bits][tab->in_cells](plan, tab, y, sigma, row, &yc, &cc);
	else
		quantize_zero_row(plan, row);
	store_row_head(plan, stat, yc, cc, row);
}

static void avx512_quantize(const struct tq_plan *plan, const void *state, const float *y,
			    const struct tq_row_stat *stat, size_t n, uint8_t *codes)
{
	size_t i;

	for (i = 0; i < n; i++)
		avx512_quantize_row(plan, state, y + i * plan->dim, stat + i,
				    codes + i * plan->layout.row_bytes);
}

int32_t avx512_dequantize_row(const struct tq_plan *plan, const struct avx512_tables *tab,
			      const uint8_t *row, float *y)
{
	struct level_values values;
	int32_t exponent = values_of_row(plan, tab, row, &values);
	size_t d = plan->dim, at;

	for (at = 0; at < d; at += 16)
		_mm512_mask_storeu_ps(
			y + at, lanes(d - at),
			values_at(plan, &values, (int)plan->index_bits, row, at, d - at));
	return exponent;
}

static void avx512_dequantize(const struct tq_plan *plan, const void *state, const uint8_t *codes,
			      size_t n, float *y, int32_t *exponent)
{
	size_t i;

	for (i = 0; i < n; i++)
		exponent[i] = avx512_dequantize_row(plan, state, codes + i * plan->layout.row_bytes,
						    y + i * plan->dim);
}

const struct tq_quantizer_ops avx512_quantize_ops = {
	.struct_size = sizeof(struct tq_quantizer_ops),
	.create = avx512_tables_create,
	.destroy = avx512_tables_destroy,
	.quantize = avx512_quantize,
	.dequantize = avx512_dequantize,
};
