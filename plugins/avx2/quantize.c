/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Rotated rows to codes, FORMAT.md section 4 steps 6-8: the stage quantize, and the second half of
 * the fused encode.
 *
 * Eight rows pass each step together: their sigmas, then their levels and sums, then their scales.
 * The levels of a row depend on nothing but its sigma, so the CPU works on several rows at a time.
 */

#include "effort.h"

/**
 * struct batch - up to eight rows on their way
 * @y, @stride, @codes, @n, @ahead: as in avx2_quantize_rows()
 * @sigma: of each row
 * @yc:    lanes of sum y * odd, eight left of the tree
 * @cc:    up to 4 bits: int32 lanes of sum odd^2
 * @wide:  else: the sum
 */
struct batch {
	const float *y;
	size_t stride;
	uint8_t *codes;
	size_t n;
	struct avx2_ahead ahead;
	float sigma[AVX2_BATCH_ROWS];
	__m256 yc[AVX2_BATCH_ROWS];
	__m256 cc[AVX2_BATCH_ROWS];
	float wide[AVX2_BATCH_ROWS];
};

typedef void (*quantize_batch)(const struct tq_plan *plan, const struct avx2_tables *tab,
			       struct batch *b);

/* A row of zeros: every threshold is 0 and every coordinate reaches it */
static void quantize_zero_row(const struct tq_plan *plan, uint8_t *row)
{
	__m256i idx = _mm256_set1_epi8((char)(plan->codebook.count - 1));
	size_t at, n;

	for (at = 0; at < plan->dim; at += 32) {
		n = plan->dim - at < 32 ? plan->dim - at : 32;
		pack_block(&plan->layout, plan->index_bits, row,
			   _mm256_and_si256(idx, byte_mask(n)), at, n);
	}
}

/* Effort 2; the new sums are one lane of the old ones */
AVX2_INLINE void descend(const struct tq_plan *plan, const struct avx2_tables *tab, const float *y,
			 uint8_t *row, uint32_t bits, struct fit_sums *sums)
{
	int64_t cc = fit_cc(sums, bits);
	float yc = avx2_descend(plan, tab, y, row, sum_tree(sums->yc[0], sums->yc[1]), &cc);

	sums->yc[0] = _mm256_zextps128_ps256(_mm_set_ss(yc));
	sums->yc[1] = _mm256_setzero_ps();
	sums->cc = _mm256_zextsi128_si256(_mm_cvtsi64_si128(cc));
}

/* Levels, bytes and sums of the batch */
AVX2_INLINE void quantize_as(const struct tq_plan *plan, const struct avx2_tables *tab,
			     struct batch *b, enum search how, uint32_t bits, int want_sums)
{
	size_t row_bytes = plan->layout.row_bytes, i;
	struct fit_sums sums;
	const float *y;
	float sigma;

	for (i = 0; i < b->n; i++) {
		y = b->y + i * b->stride;
		sigma = b->sigma[i];
		fetch_bytes(b->ahead.x + i * b->ahead.step, b->ahead.bytes);
		if (!(sigma > 0.0f)) {
			quantize_zero_row(plan, b->codes + i * row_bytes);
			continue;
		}
		if (plan->effort && bits > 1)
			sigma = sigma * best_multiplier(plan, tab, y, sigma, how, bits);
		fit_nearest(plan, tab, y, sigma, how, bits, want_sums, 1, b->codes + i * row_bytes,
			    &sums);
		if (want_sums && plan->effort == 2 && bits > 1)
			descend(plan, tab, y, b->codes + i * row_bytes, bits, &sums);
		b->yc[i] = _mm256_add_ps(sums.yc[0], sums.yc[1]);
		if (bits <= 4)
			b->cc[i] = _mm256_castsi256_ps(sums.cc);
		else
			b->wide[i] = (float)fit_cc(&sums, bits);
	}
}

#define QUANTIZE_AS(name, how, bits)                                                               \
	static void name(const struct tq_plan *plan, const struct avx2_tables *tab,                \
			 struct batch *b)                                                          \
	{                                                                                          \
		quantize_as(plan, tab, b, how, bits, 1);                                           \
	}                                                                                          \
	static void name##_plain(const struct tq_plan *plan, const struct avx2_tables *tab,        \
				 struct batch *b)                                                  \
	{                                                                                          \
		quantize_as(plan, tab, b, how, bits, 0);                                           \
	}

QUANTIZE_AS(quantize_1, SEARCH_SPLIT, 1)
QUANTIZE_AS(quantize_2, SEARCH_SPLIT, 2)
QUANTIZE_AS(quantize_3, SEARCH_SPLIT, 3)
QUANTIZE_AS(quantize_4, SEARCH_SPLIT, 4)
QUANTIZE_AS(quantize_4_fold, SEARCH_FOLD, 4)
QUANTIZE_AS(quantize_5, SEARCH_CELL, 5)
QUANTIZE_AS(quantize_6, SEARCH_CELL, 6)
QUANTIZE_AS(quantize_7, SEARCH_CELL, 7)
QUANTIZE_AS(quantize_8, SEARCH_CELL, 8)

/* By index bits, without sums and with them; first 4 bits by SEARCH_FOLD */
static const quantize_batch quantizers[9][2] = {
	{quantize_4_fold_plain, quantize_4_fold}, {quantize_1_plain, quantize_1},
	{quantize_2_plain, quantize_2},		  {quantize_3_plain, quantize_3},
	{quantize_4_plain, quantize_4},		  {quantize_5_plain, quantize_5},
	{quantize_6_plain, quantize_6},		  {quantize_7_plain, quantize_7},
	{quantize_8_plain, quantize_8},
};

static int wants_sums(const struct tq_plan *plan)
{
	return plan->effort == 2 || plan->correction == TQ_CORR_NORM ||
	       plan->correction == TQ_CORR_LS || plan->correction == TQ_CORR_UNBIASED;
}

/* The numbers of each row of @stat, as lanes */
AVX2_INLINE __m256 gather_norms(const struct tq_row_stat *stat, size_t n, __m256i *exponent)
{
	float norm2[AVX2_BATCH_ROWS] = {0};
	int32_t e[AVX2_BATCH_ROWS] = {0};
	size_t i;

	for (i = 0; i < n; i++) {
		norm2[i] = stat[i].norm2;
		e[i] = stat[i].exponent;
	}
	*exponent = _mm256_loadu_si256((const __m256i *)e);
	return _mm256_loadu_ps(norm2);
}

/* Levels of up to eight rows, then all their scales */
static void quantize_eight(const struct tq_plan *plan, const struct avx2_tables *tab,
			   struct batch *b, const struct tq_row_stat *stat)
{
	const struct tq_layout *lay = &plan->layout;
	__m256 norm2, sigma, cc, scale;
	__m256i exponent;
	size_t i;

	norm2 = gather_norms(stat, b->n, &exponent);
	sigma = _mm256_sqrt_ps(_mm256_div_ps(norm2, _mm256_set1_ps((float)plan->dim)));
	_mm256_storeu_ps(b->sigma, sigma);
	if (plan->index_bits)
		quantizers[tab->folds ? 0 : plan->index_bits][wants_sums(plan)](plan, tab, b);
	cc = plan->index_bits <= 4 ? _mm256_cvtepi32_ps(_mm256_castps_si256(sum_rows(b->cc, 1)))
				   : _mm256_loadu_ps(b->wide);
	scale = scales_of_rows(plan, norm2, sum_rows(b->yc, 0), cc);
	store_scales(plan, scale_rows_up(scale, exponent), b->n, b->codes + lay->scale_at);
	for (i = 0; i < b->n && lay->cross_at != TQ_NO_FIELD; i++)
		memcpy(b->codes + i * lay->row_bytes + lay->cross_at, &stat[i].cross,
		       sizeof(stat[i].cross));
}

void avx2_quantize_rows(const struct tq_plan *plan, const struct avx2_tables *tab, const float *y,
			size_t stride, const struct tq_row_stat *stat, size_t n,
			const struct avx2_ahead *ahead, uint8_t *codes)
{
	struct batch b = {.y = y, .stride = stride, .codes = codes, .ahead = *ahead};

	for (; n > 0; n -= b.n, stat += b.n) {
		b.n = n < AVX2_BATCH_ROWS ? n : AVX2_BATCH_ROWS;
		quantize_eight(plan, tab, &b, stat);
		b.y += b.n * stride;
		b.ahead.x += b.n * ahead->step;
		b.codes += b.n * plan->layout.row_bytes;
	}
}

static void avx2_quantize(const struct tq_plan *plan, const void *state, const float *y,
			  const struct tq_row_stat *stat, size_t n, uint8_t *codes)
{
	const struct avx2_ahead nothing = {(const char *)y, 0, 0};

	avx2_quantize_rows(plan, state, y, plan->dim, stat, n, &nothing, codes);
}

const struct tq_quantizer_ops avx2_quantize_ops = {
	.struct_size = sizeof(struct tq_quantizer_ops),
	.create = avx2_tables_create,
	.destroy = avx2_tables_destroy,
	.quantize = avx2_quantize,
	.dequantize = avx2_dequantize,
};
