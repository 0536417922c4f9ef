/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Rotated rows to codes and back, FORMAT.md sections 4 (steps 6-8) and 5.
 *
 * A block is 32 coordinates: four registers of y. Each gets its level number in 32-bit lanes (see
 * tables.c for the two searches), the 16-lane sum yc of y * odd and the exact sum cc of odd^2,
 * where the spec needs them; then the numbers are narrowed to bytes and cut into fields.
 *
 * Coordinates past the end are zeros: they add +-0 to a lane of yc, which changes nothing, and are
 * masked out of cc and of the bytes.
 */

#include "pack.h"

/* The thresholds of one row: bounds times the row's sigma (and multiplier) */
struct row_bounds {
	__m256 middle;
	__m256 split[3];
	__m256 to_cell;
	float bounds[256];
};

/* What the search leaves: sum of y * odd in 16 lanes, sum of odd^2 */
struct row_sums {
	__m256 yc[2];
	__m256i cc;
};

AVX2_INLINE void scale_bounds(const struct avx2_tables *tab, float sigma, uint32_t bits,
			      struct row_bounds *rb)
{
	__m256 s = _mm256_set1_ps(sigma);
	uint32_t k;

	if (bits <= 4) {
		rb->middle = _mm256_set1_ps(tab->middle * sigma);
		for (k = 0; k + 1 < bits; k++)
			rb->split[k] = _mm256_mul_ps(_mm256_loadu_ps(tab->split[k]), s);
		return;
	}
	rb->to_cell = _mm256_set1_ps(tab->to_cell / sigma);
	for (k = 0; k < 1u << bits; k += 8)
		_mm256_storeu_ps(rb->bounds + k,
				 _mm256_mul_ps(_mm256_loadu_ps(tab->bounds + k), s));
}

/* Binary search in registers: minus the level number */
AVX2_INLINE __m256i search_split(const struct row_bounds *rb, __m256 y, uint32_t bits, __m256i *top)
{
	__m256i found = _mm256_castps_si256(_mm256_cmp_ps(y, rb->middle, _CMP_GE_OQ));
	uint32_t s;

	*top = found;
	for (s = 0; s + 1 < bits; s++) {
		__m256 t = _mm256_permutevar8x32_ps(rb->split[s], found);
		__m256i ge = _mm256_castps_si256(_mm256_cmp_ps(y, t, _CMP_GE_OQ));

		found = _mm256_add_epi32(_mm256_add_epi32(found, found), ge);
	}
	return found;
}

/* From the cell of y upwards: the level number */
AVX2_INLINE __m256i search_cell(const struct avx2_tables *tab, const struct row_bounds *rb,
				__m256 y)
{
	__m256 cell = _mm256_add_ps(_mm256_mul_ps(y, rb->to_cell),
				    _mm256_set1_ps((float)(AVX2_CELLS / 2)));
	__m256i level;
	uint32_t s;

	cell = _mm256_max_ps(cell, _mm256_setzero_ps());
	cell = _mm256_min_ps(cell, _mm256_set1_ps((float)(AVX2_CELLS - 1)));
	level = _mm256_i32gather_epi32(tab->first, _mm256_cvttps_epi32(cell), 4);
	for (s = 0; s < tab->steps; s++) {
		__m256 t = _mm256_i32gather_ps(rb->bounds, level, 4);
		__m256i ge = _mm256_castps_si256(_mm256_cmp_ps(y, t, _CMP_GE_OQ));

		level = _mm256_sub_epi32(level, ge);
	}
	return level;
}

AVX2_INLINE void add_yc(struct row_sums *sums, int lane, __m256 y, __m256 odd)
{
	sums->yc[lane] = _mm256_add_ps(sums->yc[lane], _mm256_mul_ps(y, odd));
}

/* One block of up to 32: level numbers as bytes, zero past @n, and its share of the sums */
AVX2_INLINE __m256i quantize_block(const struct avx2_tables *tab, const struct row_bounds *rb,
				   const __m256 *y, uint32_t bits, int want_sums, size_t n,
				   struct row_sums *sums)
{
	const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
	__m256i level[4], top, idx, mag;
	__m256 odd[4];
	int i;

	for (i = 0; i < 4; i++) {
		if (bits > 4) {
			level[i] = search_cell(tab, rb, y[i]);
			if (want_sums)
				odd[i] = _mm256_i32gather_ps(tab->odd, level[i], 4);
		} else {
			level[i] = search_split(rb, y[i], bits, &top);
			if (want_sums)
				odd[i] = _mm256_permutevar8x32_ps(_mm256_loadu_ps(tab->odd_low),
								  level[i]);
			if (want_sums && bits == 4)
				odd[i] = _mm256_blendv_ps(
					odd[i],
					_mm256_permutevar8x32_ps(_mm256_loadu_ps(tab->odd_high),
								 level[i]),
					_mm256_castsi256_ps(top));
		}
		if (want_sums)
			add_yc(sums, i & 1, y[i], odd[i]);
	}
	if (bits > 4) {
		idx = _mm256_packus_epi16(_mm256_packs_epi32(level[0], level[1]),
					  _mm256_packs_epi32(level[2], level[3]));
		idx = _mm256_permutevar8x32_epi32(idx, order);
	} else {
		idx = _mm256_packs_epi16(_mm256_packs_epi32(level[0], level[1]),
					 _mm256_packs_epi32(level[2], level[3]));
		idx = _mm256_abs_epi8(_mm256_permutevar8x32_epi32(idx, order));
	}
	if (want_sums && bits > 4) {
		__m256i o[2], m = byte_mask(n), sq;

		o[0] = _mm256_packs_epi32(_mm256_cvtps_epi32(odd[0]), _mm256_cvtps_epi32(odd[1]));
		o[1] = _mm256_packs_epi32(_mm256_cvtps_epi32(odd[2]), _mm256_cvtps_epi32(odd[3]));
		if (n < 32) {
			m = _mm256_permutevar8x32_epi32(m,
							_mm256_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7));
			o[0] = _mm256_and_si256(o[0], _mm256_unpacklo_epi8(m, m));
			o[1] = _mm256_and_si256(o[1], _mm256_unpackhi_epi8(m, m));
		}
		sq = _mm256_add_epi32(_mm256_madd_epi16(o[0], o[0]), _mm256_madd_epi16(o[1], o[1]));
		sums->cc = add_widened(sums->cc, sq);
	}
	if (n < 32)
		idx = _mm256_and_si256(idx, byte_mask(n));
	if (want_sums && bits <= 4) {
		mag = _mm256_shuffle_epi8(
			_mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)tab->abs_odd)),
			idx);
		if (n < 32)
			mag = _mm256_and_si256(mag, byte_mask(n));
		mag = _mm256_maddubs_epi16(mag, mag);
		sums->cc = _mm256_add_epi32(sums->cc, _mm256_madd_epi16(mag, _mm256_set1_epi16(1)));
	}
	return idx;
}

/* One pass over the row; @row NULL: only the sums */
AVX2_INLINE void quantize_pass(const struct tq_plan *plan, const struct avx2_tables *tab,
			       const float *y, float sigma, uint32_t bits, int want_sums,
			       uint8_t *row, float *yc, int64_t *cc)
{
	struct row_sums sums = {{_mm256_setzero_ps(), _mm256_setzero_ps()}, _mm256_setzero_si256()};
	size_t d = plan->dim, at, n;
	struct row_bounds rb;
	__m256i idx;
	__m256 v[4];
	int i;

	scale_bounds(tab, sigma, bits, &rb);
	for (at = 0; at + 32 <= d; at += 32) {
		for (i = 0; i < 4; i++)
			v[i] = _mm256_loadu_ps(y + at + 8 * i);
		idx = quantize_block(tab, &rb, v, bits, want_sums, 32, &sums);
		if (row)
			pack_block(&plan->layout, row, idx, at, 32);
	}
	n = d - at;
	if (n) {
		for (i = 0; i < 4; i++)
			v[i] = part8f(y + at + 8 * i, (ptrdiff_t)n - 8 * i);
		idx = quantize_block(tab, &rb, v, bits, want_sums, n, &sums);
		if (row)
			pack_block(&plan->layout, row, idx, at, n);
	}
	*yc = sum_tree(sums.yc[0], sums.yc[1]);
	*cc = bits > 4 ? sum_i64(sums.cc) : sum_i64(add_widened(_mm256_setzero_si256(), sums.cc));
}

/* The multiplier 0.75 + j/32 of the bounds, j = 0 .. 16, with the best (yc * yc) / cc; the first
 * best wins */
AVX2_INLINE float best_multiplier(const struct tq_plan *plan, const struct avx2_tables *tab,
				  const float *y, float sigma, uint32_t bits)
{
	float best = -1.0f, best_mu = 0.75f, yc, quality, mu;
	int64_t cc;
	int j;

	for (j = 0; j <= 16; j++) {
		mu = 0.75f + (float)j / 32.0f;
		quantize_pass(plan, tab, y, sigma * mu, bits, 1, NULL, &yc, &cc);
		quality = yc > 0.0f ? (yc * yc) / (float)cc : 0.0f;
		if (quality > best) {
			best = quality;
			best_mu = mu;
		}
	}
	return best_mu;
}

AVX2_INLINE void quantize_bits(const struct tq_plan *plan, const struct avx2_tables *tab,
			       const float *y, float sigma, uint32_t bits, uint8_t *row, float *yc,
			       int64_t *cc)
{
	if (plan->effort && bits > 1)
		sigma = sigma * best_multiplier(plan, tab, y, sigma, bits);
	if (plan->correction == TQ_CORR_NORM || plan->correction == TQ_CORR_LS ||
	    plan->correction == TQ_CORR_UNBIASED)
		quantize_pass(plan, tab, y, sigma, bits, 1, row, yc, cc);
	else
		quantize_pass(plan, tab, y, sigma, bits, 0, row, yc, cc);
}

/* A row of zeros: every threshold is 0 and every coordinate reaches it */
static void quantize_zero_row(const struct tq_plan *plan, uint8_t *row)
{
	__m256i idx = _mm256_set1_epi8((char)(plan->codebook.count - 1));
	size_t at, n;

	for (at = 0; at < plan->dim; at += 32) {
		n = plan->dim - at < 32 ? plan->dim - at : 32;
		pack_block(&plan->layout, row, _mm256_and_si256(idx, byte_mask(n)), at, n);
	}
}

static void quantize_4(const struct tq_plan *plan, const struct avx2_tables *tab, const float *y,
		       float sigma, uint8_t *row, float *yc, int64_t *cc)
{
	quantize_bits(plan, tab, y, sigma, 4, row, yc, cc);
}

static void quantize_3(const struct tq_plan *plan, const struct avx2_tables *tab, const float *y,
		       float sigma, uint8_t *row, float *yc, int64_t *cc)
{
	quantize_bits(plan, tab, y, sigma, 3, row, yc, cc);
}

static void quantize_2(const struct tq_plan *plan, const struct avx2_tables *tab, const float *y,
		       float sigma, uint8_t *row, float *yc, int64_t *cc)
{
	quantize_bits(plan, tab, y, sigma, 2, row, yc, cc);
}

static void quantize_1(const struct tq_plan *plan, const struct avx2_tables *tab, const float *y,
		       float sigma, uint8_t *row, float *yc, int64_t *cc)
{
	quantize_bits(plan, tab, y, sigma, 1, row, yc, cc);
}

static void quantize_wide(const struct tq_plan *plan, const struct avx2_tables *tab, const float *y,
			  float sigma, uint8_t *row, float *yc, int64_t *cc)
{
	quantize_bits(plan, tab, y, sigma, plan->index_bits > 4 ? plan->index_bits : 5, row, yc,
		      cc);
}

/* Levels and bytes of a row that is not zero */
static void quantize_levels(const struct tq_plan *plan, const struct avx2_tables *tab,
			    const float *y, float sigma, uint8_t *row, float *yc, int64_t *cc)
{
	switch (plan->index_bits) {
	case 1:
		quantize_1(plan, tab, y, sigma, row, yc, cc);
		break;
	case 2:
		quantize_2(plan, tab, y, sigma, row, yc, cc);
		break;
	case 3:
		quantize_3(plan, tab, y, sigma, row, yc, cc);
		break;
	case 4:
		quantize_4(plan, tab, y, sigma, row, yc, cc);
		break;
	default:
		quantize_wide(plan, tab, y, sigma, row, yc, cc);
		break;
	}
}

/* One batch: all roots, then all levels, then all scales, so that no row waits for its own chain */
static void quantize_batch(const struct tq_plan *plan, const struct avx2_tables *tab,
			   const float *y, size_t stride, const struct tq_row_stat *stat, size_t n,
			   uint8_t *codes)
{
	float sigma[AVX2_BATCH_ROWS], yc[AVX2_BATCH_ROWS] = {0}, scale;
	int64_t cc[AVX2_BATCH_ROWS] = {0};
	size_t row_bytes = plan->layout.row_bytes, i;
	uint8_t *row;

	for (i = 0; i < n; i++)
		sigma[i] = sqrtf(stat[i].norm2 / (float)plan->dim);
	for (i = 0; i < n; i++) {
		if (stat[i].norm2 > 0.0f)
			quantize_levels(plan, tab, y + i * stride, sigma[i], codes + i * row_bytes,
					&yc[i], &cc[i]);
		else
			quantize_zero_row(plan, codes + i * row_bytes);
	}
	for (i = 0; i < n; i++) {
		row = codes + i * row_bytes;
		scale = tq_row_scale(plan, stat[i].norm2, yc[i], cc[i]);
		tq_store_scale(plan, row, tq_scale_up(scale, stat[i].exponent));
		if (plan->layout.cross_at != TQ_NO_FIELD)
			memcpy(row + plan->layout.cross_at, &stat[i].cross, sizeof(stat[i].cross));
	}
}

void avx2_quantize_rows(const struct tq_plan *plan, const struct avx2_tables *tab, const float *y,
			size_t stride, const struct tq_row_stat *stat, size_t n, uint8_t *codes)
{
	size_t part;

	for (; n > 0; n -= part, y += part * stride, stat += part) {
		part = n < AVX2_BATCH_ROWS ? n : AVX2_BATCH_ROWS;
		quantize_batch(plan, tab, y, stride, stat, part, codes);
		codes += part * plan->layout.row_bytes;
	}
}

static void avx2_quantize(const struct tq_plan *plan, const void *state, const float *y,
			  const struct tq_row_stat *stat, size_t n, uint8_t *codes)
{
	avx2_quantize_rows(plan, state, y, plan->dim, stat, n, codes);
}

/* f32(odd) * t of eight level numbers in bytes */
AVX2_INLINE __m256 level_values(const struct avx2_tables *tab, __m128i bytes, __m256 low,
				__m256 high, __m256 t, uint32_t bits)
{
	__m256i level = _mm256_cvtepu8_epi32(bytes);

	if (bits > 4)
		return _mm256_mul_ps(_mm256_i32gather_ps(tab->odd, level, 4), t);
	if (bits < 4)
		return _mm256_permutevar8x32_ps(low, level);
	return _mm256_blendv_ps(_mm256_permutevar8x32_ps(low, level),
				_mm256_permutevar8x32_ps(high, level),
				_mm256_castsi256_ps(_mm256_slli_epi32(level, 28)));
}

AVX2_INLINE void dequantize_bits(const struct tq_plan *plan, const struct avx2_tables *tab,
				 const uint8_t *row, float step, float *y, uint32_t bits)
{
	__m256 t = _mm256_set1_ps(step), low, high, v[4];
	size_t d = plan->dim, at, n;
	__m256i idx;
	__m128i half;
	int i;

	low = _mm256_mul_ps(_mm256_loadu_ps(tab->odd), t);
	high = _mm256_mul_ps(_mm256_loadu_ps(tab->odd + 8), t);
	for (at = 0; at < d; at += 32) {
		n = d - at < 32 ? d - at : 32;
		idx = unpack_block(&plan->layout, row, at, n);
		half = _mm256_castsi256_si128(idx);
		v[0] = level_values(tab, half, low, high, t, bits);
		v[1] = level_values(tab, _mm_unpackhi_epi64(half, half), low, high, t, bits);
		half = _mm256_extracti128_si256(idx, 1);
		v[2] = level_values(tab, half, low, high, t, bits);
		v[3] = level_values(tab, _mm_unpackhi_epi64(half, half), low, high, t, bits);
		if (n == 32) {
			for (i = 0; i < 4; i++)
				_mm256_storeu_ps(y + at + 8 * i, v[i]);
		} else {
			for (i = 0; i < 4; i++)
				_mm256_maskstore_ps(y + at + 8 * i, lane_mask((ptrdiff_t)n - 8 * i),
						    v[i]);
		}
	}
}

int32_t avx2_dequantize_row(const struct tq_plan *plan, const struct avx2_tables *tab,
			    const uint8_t *row, float *y)
{
	int32_t exponent;
	float step = tq_split_scale(tq_load_scale(plan, row), &exponent) * plan->codebook.half_step;

	if (plan->index_bits < 4)
		dequantize_bits(plan, tab, row, step, y, 3);
	else if (plan->index_bits == 4)
		dequantize_bits(plan, tab, row, step, y, 4);
	else
		dequantize_bits(plan, tab, row, step, y, 8);
	return exponent;
}

static void avx2_dequantize(const struct tq_plan *plan, const void *state, const uint8_t *codes,
			    size_t n, float *y, int32_t *exponent)
{
	size_t i;

	for (i = 0; i < n; i++)
		exponent[i] = avx2_dequantize_row(plan, state, codes + i * plan->layout.row_bytes,
						  y + i * plan->dim);
}

const struct tq_quantizer_ops avx2_quantize_ops = {
	.struct_size = sizeof(struct tq_quantizer_ops),
	.create = avx2_tables_create,
	.destroy = avx2_tables_destroy,
	.quantize = avx2_quantize,
	.dequantize = avx2_dequantize,
};
