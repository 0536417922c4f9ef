/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Rotated rows to codes and back, FORMAT.md section 4 steps 6-8 and section 5: the stages quantize
 * and dequantize, and the second half of the fused encode.
 *
 * Sixteen rows pass each step together: their sigmas, then their levels and sums, then their
 * scales. The levels of a row depend on nothing but its sigma, so the CPU works on several rows at
 * a time.
 */

#include "descend.h"
#include "rows.h"

/**
 * struct batch - up to 16 rows on their way
 * @y, @stride, @codes, @ahead, @n: as in avx512_quantize_rows()
 * @sigma:   of each row
 * @to_cell: tab->to_cell / sigma
 * @cc_sum:  sum of odd^2, if not small_cc()
 * @yc:      lanes of sum y * odd
 * @cc:      int32 lanes of sum of odd^2, if small_cc()
 */
struct batch {
	const float *y;
	size_t stride;
	uint8_t *codes;
	struct avx512_ahead ahead;
	size_t n;
	float sigma[BATCH_ROWS];
	float to_cell[BATCH_ROWS];
	float cc_sum[BATCH_ROWS];
	__m512 yc[BATCH_ROWS];
	__m512 cc[BATCH_ROWS];
};

typedef void (*quantize_batch)(const struct tq_plan *plan, const struct avx512_tables *tab,
			       struct batch *b);

/* Do 32 bits hold the sum of odd^2, and a float lane its share? */
AVX512_INLINE int small_cc(const struct tq_plan *plan)
{
	return plan->index_bits <= 4 && plan->dim < CC_FLOAT_SPAN;
}

/* Under thresholds times sigma; @row NULL: only the sums */
AVX512_INLINE struct fit_sums fit_nearest(const struct tq_plan *plan,
					  const struct avx512_tables *tab, const float *y,
					  float sigma, float to_cell, enum search how, int bits,
					  uint8_t *row, const char *next, size_t element)
{
	struct fit_sums sums = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_si512()};
	struct thresholds th;

	scale_thresholds(tab, sigma, to_cell, how, &th);
	quantize_span(plan, tab, &th, how, bits, y, row, next, element, &sums);
	return sums;
}

/* The exact sum of odd^2 */
AVX512_INLINE int64_t fit_cc(struct fit_sums *sums, int bits)
{
	if (bits <= 4)
		fit_flush(sums);
	return _mm512_reduce_add_epi64(sums->cc_wide);
}

#define MULTIPLIERS 17

AVX512_INLINE float multiplier(int j)
{
	return 0.75f + (float)j / 32.0f;
}

AVX512_INLINE struct fit_sums fit_multiplied(const struct tq_plan *plan,
					     const struct avx512_tables *tab, const float *y,
					     float sigma, enum search how, int bits)
{
	return fit_nearest(plan, tab, y, sigma, tab->to_cell / sigma, how, bits, NULL, NULL, 0);
}

/* The multiplier j = 0 .. 16 of the bounds with the best (yc * yc) / cc; the first best wins. The
 * first sixteen are compared together, the last with the best of them. */
AVX512_INLINE float best_multiplier(const struct tq_plan *plan, const struct avx512_tables *tab,
				    const float *y, float sigma, enum search how, int bits)
{
	__m512 lanes_yc[BATCH_ROWS], lanes_cc[BATCH_ROWS], yc, cc, quality;
	float cc_sum[BATCH_ROWS], best, last_yc;
	struct fit_sums sums;
	int j;

	for (j = 0; j < MULTIPLIERS - 1; j++) {
		sums = fit_multiplied(plan, tab, y, sigma * multiplier(j), how, bits);
		lanes_yc[j] = sums.yc;
		if (small_cc(plan))
			lanes_cc[j] = _mm512_castsi512_ps(_mm512_cvtps_epi32(sums.cc_small));
		else
			cc_sum[j] = (float)fit_cc(&sums, bits);
	}
	sums = fit_multiplied(plan, tab, y, sigma * multiplier(j), how, bits);
	yc = sum_rows(lanes_yc, 0);
	cc = small_cc(plan) ? _mm512_cvtepi32_ps(_mm512_castps_si512(sum_rows(lanes_cc, 1)))
			    : _mm512_loadu_ps(cc_sum);
	quality = _mm512_maskz_div_ps(_mm512_cmp_ps_mask(yc, _mm512_setzero_ps(), _CMP_GT_OQ),
				      _mm512_mul_ps(yc, yc), cc);
	best = _mm512_reduce_max_ps(quality);
	last_yc = sum_tree(sums.yc);
	if (last_yc > 0.0f && (last_yc * last_yc) / (float)fit_cc(&sums, bits) > best)
		return multiplier(j);
	return multiplier(
		__builtin_ctz(_mm512_cmp_ps_mask(quality, _mm512_set1_ps(best), _CMP_EQ_OQ)));
}

/* Levels, bytes and sums of the batch */
AVX512_INLINE void quantize_as(const struct tq_plan *plan, const struct avx512_tables *tab,
			       struct batch *b, enum search how, int bits)
{
	size_t row_bytes = plan->layout.row_bytes, i;
	struct fit_sums sums;
	const float *y;
	float sigma;

	for (i = 0; i < b->n; i++) {
		y = b->y + i * b->stride;
		sigma = b->sigma[i];
		if (plan->effort && bits > 1 && sigma > 0.0f) {
			sigma = sigma * best_multiplier(plan, tab, y, sigma, how, bits);
			b->to_cell[i] = tab->to_cell / sigma;
		}
		sums = fit_nearest(plan, tab, y, sigma, b->to_cell[i], how, bits,
				   b->codes + i * row_bytes, b->ahead.x + i * b->ahead.step,
				   b->ahead.element);
		if (plan->effort == 2 && bits > 1 && sigma > 0.0f)
			sums = descend(plan, tab, y, sum_tree(sums.yc), fit_cc(&sums, bits),
				       b->codes + i * row_bytes, bits);
		b->yc[i] = sums.yc;
		if (small_cc(plan))
			b->cc[i] = _mm512_castsi512_ps(_mm512_cvtps_epi32(sums.cc_small));
		else
			b->cc_sum[i] = (float)fit_cc(&sums, bits);
	}
}

#define QUANTIZE_AS(name, how, bits)                                                               \
	static void name(const struct tq_plan *plan, const struct avx512_tables *tab,              \
			 struct batch *b)                                                          \
	{                                                                                          \
		quantize_as(plan, tab, b, how, bits);                                              \
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

/* By index bits, without and with cells that hold one threshold at most */
static const quantize_batch quantizers[9][2] = {
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

/* The numbers of each row of @stat, as lanes */
AVX512_INLINE __m512 gather_norms(const struct tq_row_stat *stat, size_t n, __m512i *exponent)
{
	int32_t e[BATCH_ROWS] = {0};
	float norm2[BATCH_ROWS] = {0};
	size_t i;

	for (i = 0; i < n; i++) {
		norm2[i] = stat[i].norm2;
		e[i] = stat[i].exponent;
	}
	*exponent = _mm512_loadu_si512(e);
	return _mm512_loadu_ps(norm2);
}

/* Levels of up to 16 rows, then all their scales */
static void quantize_16(const struct tq_plan *plan, const struct avx512_tables *tab,
			struct batch *b, const struct tq_row_stat *stat)
{
	size_t row_bytes = plan->layout.row_bytes, i;
	__m512 norm2, sigma, cc, scale;
	__m512i exponent;

	norm2 = gather_norms(stat, b->n, &exponent);
	sigma = _mm512_sqrt_ps(_mm512_div_ps(norm2, _mm512_set1_ps((float)plan->dim)));
	_mm512_storeu_ps(b->sigma, sigma);
	_mm512_storeu_ps(b->to_cell, _mm512_div_ps(_mm512_set1_ps(tab->to_cell), sigma));
	quantizers[plan->index_bits][tab->in_cells](plan, tab, b);
	cc = small_cc(plan) ? _mm512_cvtepi32_ps(_mm512_castps_si512(sum_rows(b->cc, 1)))
			    : _mm512_loadu_ps(b->cc_sum);
	scale = scales_of_rows(plan, norm2, sum_rows(b->yc, 0), cc);
	store_scales(plan, scale_rows_up(scale, exponent), b->n, b->codes);
	for (i = 0; i < b->n; i++) {
		if (!(stat[i].norm2 > 0.0f))
			quantize_zero_row(plan, b->codes + i * row_bytes);
		if (plan->layout.cross_at != TQ_NO_FIELD)
			memcpy(b->codes + i * row_bytes + plan->layout.cross_at, &stat[i].cross,
			       sizeof(stat[i].cross));
	}
}

void avx512_quantize_rows(const struct tq_plan *plan, const struct avx512_tables *tab,
			  const float *y, size_t stride, const struct tq_row_stat *stat, size_t n,
			  const struct avx512_ahead *ahead, uint8_t *codes)
{
	struct batch b = {.y = y, .stride = stride, .codes = codes, .ahead = *ahead};

	for (; n > 0; n -= b.n, stat += b.n) {
		b.n = n < BATCH_ROWS ? n : BATCH_ROWS;
		quantize_16(plan, tab, &b, stat);
		b.y += b.n * stride;
		b.ahead.x += b.n * ahead->step;
		b.codes += b.n * plan->layout.row_bytes;
	}
}

static void avx512_quantize(const struct tq_plan *plan, const void *state, const float *y,
			    const struct tq_row_stat *stat, size_t n, uint8_t *codes)
{
	const size_t step = plan->dim * sizeof(*y);
	const struct avx512_ahead ahead = {(const char *)y + BATCH_ROWS * step, step, sizeof(*y)};

	avx512_quantize_rows(plan, state, y, plan->dim, stat, n, &ahead, codes);
}

AVX512_INLINE void dequantize_span(const struct tq_plan *plan, const struct level_values *values,
				   int bits, const uint8_t *row, float *y)
{
	size_t d = plan->dim, at;

	for (at = 0; at + 16 <= d; at += 16)
		_mm512_storeu_ps(y + at, values_at(plan, values, bits, row, at, 16));
	if (at < d)
		_mm512_mask_storeu_ps(y + at, lanes(d - at),
				      values_at(plan, values, bits, row, at, d - at));
}

int32_t avx512_dequantize_row(const struct tq_plan *plan, const struct avx512_tables *tab,
			      const uint8_t *row, float *y)
{
	struct level_values values;
	int32_t exponent = values_of_row(plan, tab, row, &values);

	switch (plan->index_bits) {
	case 1:
		dequantize_span(plan, &values, 1, row, y);
		break;
	case 2:
		dequantize_span(plan, &values, 2, row, y);
		break;
	case 3:
		dequantize_span(plan, &values, 3, row, y);
		break;
	case 4:
		dequantize_span(plan, &values, 4, row, y);
		break;
	case 5:
		dequantize_span(plan, &values, 5, row, y);
		break;
	default:
		dequantize_span(plan, &values, (int)plan->index_bits, row, y);
	}
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
