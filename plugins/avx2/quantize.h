/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_AVX2_QUANTIZE_H
#define TQ_AVX2_QUANTIZE_H

/*
 * Levels, sums and bytes of rotated coordinates, 32 at a time: four registers of y.
 *
 * yc = sum y * odd is 16 lanes. cc = sum odd^2 is exact: up to 4 bits (|odd| <= 127) in float
 * lanes, which hold every integer up to 2^24, and from there in 32-bit ones; beyond 4 bits in
 * 64-bit lanes. Coordinates past the end are zeros: they add +-0 to a lane of yc, which changes
 * nothing, and are masked out of cc and of the bytes.
 */

#include "pack.h"
#include "search.h"

/** Coordinates after which a float lane of odd^2 may be full: 127^2 each, 16 lanes */
#define CC_FLOAT_SPAN 8192

struct fit_sums {
	__m256 yc[2];
	__m256 cc_small[2];
	__m256i cc;
};

AVX2_INLINE void fit_clear(struct fit_sums *sums)
{
	sums->yc[0] = sums->yc[1] = _mm256_setzero_ps();
	sums->cc_small[0] = sums->cc_small[1] = _mm256_setzero_ps();
	sums->cc = _mm256_setzero_si256();
}

/* 32 squares of level numbers of more than 7 bits */
AVX2_INLINE __m256i add_squares(__m256i cc, const __m256 *odd)
{
	__m256i a = _mm256_packs_epi32(_mm256_cvtps_epi32(odd[0]), _mm256_cvtps_epi32(odd[1]));
	__m256i b = _mm256_packs_epi32(_mm256_cvtps_epi32(odd[2]), _mm256_cvtps_epi32(odd[3]));

	a = _mm256_add_epi32(_mm256_madd_epi16(a, a), _mm256_madd_epi16(b, b));
	return add_widened(cc, a);
}

/** fit_flush - empty the float lanes of odd^2 */
AVX2_INLINE void fit_flush(struct fit_sums *sums)
{
	int i;

	for (i = 0; i < 2; i++) {
		sums->cc = _mm256_add_epi32(sums->cc, _mm256_cvtps_epi32(sums->cc_small[i]));
		sums->cc_small[i] = _mm256_setzero_ps();
	}
}

/**
 * quantize_block - the levels of up to 32 coordinates
 * @y:    the coordinates, zero beyond @n
 * @sums: receives their share, if it is wanted
 *
 * Return: the levels as bytes, zero beyond @n.
 */
AVX2_INLINE __m256i quantize_block(const struct avx2_tables *tab, const struct thresholds *th,
				   const __m256 *y, enum search how, uint32_t bits, int want_sums,
				   size_t n, struct fit_sums *sums)
{
	struct found f;
	__m256i level[4], idx;
	__m256 odd[4];
	int i;

#pragma GCC unroll 4
	for (i = 0; i < 4; i++) {
		f = find_levels(tab, th, y[i], how, bits, want_sums);
		level[i] = f.level;
		if (!want_sums)
			continue;
		sums->yc[i & 1] = _mm256_add_ps(sums->yc[i & 1], _mm256_mul_ps(f.x, f.odd));
		odd[i] = f.odd;
		if (n < 32)
			odd[i] = _mm256_and_ps(
				odd[i], _mm256_castsi256_ps(lane_mask((ptrdiff_t)n - 8 * i)));
		if (bits <= 4)
			sums->cc_small[i & 1] =
				_mm256_fmadd_ps(odd[i], odd[i], sums->cc_small[i & 1]);
	}
	if (want_sums && bits > 4)
		sums->cc = add_squares(sums->cc, odd);
	idx = level_bytes(level, how);
	return n < 32 ? _mm256_and_si256(idx, byte_mask(n)) : idx;
}

/**
 * quantize_span - quantize_block() and pack_block() over a row
 * @pack: constant: write to @row; else only the sums
 */
AVX2_INLINE void quantize_span(const struct tq_plan *plan, const struct avx2_tables *tab,
			       const struct thresholds *th, const float *y, enum search how,
			       uint32_t bits, int want_sums, int pack, uint8_t *row,
			       struct fit_sums *sums)
{
	const struct tq_layout lay = plan->layout;
	size_t d = plan->dim, at = 0, end, n;
	__m256i idx;
	__m256 v[4];
	int i;

	fit_clear(sums);
	while (at + 32 <= d) {
		end = d - at < CC_FLOAT_SPAN ? d : at + CC_FLOAT_SPAN;
		for (; at + 32 <= end; at += 32) {
#pragma GCC unroll 4
			for (i = 0; i < 4; i++)
				v[i] = _mm256_loadu_ps(y + at + 8 * i);
			idx = quantize_block(tab, th, v, how, bits, want_sums, 32, sums);
			if (pack)
				pack_block(&lay, bits, row, idx, at, 32);
		}
		if (want_sums && bits <= 4)
			fit_flush(sums);
	}
	n = d - at;
	if (!n)
		return;
#pragma GCC unroll 4
	for (i = 0; i < 4; i++)
		v[i] = part8f(y + at + 8 * i, (ptrdiff_t)n - 8 * i);
	idx = quantize_block(tab, th, v, how, bits, want_sums, n, sums);
	if (pack)
		pack_block(&lay, bits, row, idx, at, n);
	if (want_sums && bits <= 4)
		fit_flush(sums);
}

/** fit_nearest - the sums of the row under thresholds times @sigma; @pack: and its bytes */
AVX2_INLINE void fit_nearest(const struct tq_plan *plan, const struct avx2_tables *tab,
			     const float *y, float sigma, enum search how, uint32_t bits,
			     int want_sums, int pack, uint8_t *row, struct fit_sums *sums)
{
	float room[256] __attribute__((aligned(32)));
	struct thresholds th;

	scale_thresholds(tab, sigma, how, bits, room, &th);
	quantize_span(plan, tab, &th, y, how, bits, want_sums, pack, row, sums);
}

/** fit_cc - the exact sum of odd^2 */
AVX2_INLINE int64_t fit_cc(const struct fit_sums *sums, uint32_t bits)
{
	if (bits > 4)
		return sum_i64(sums->cc);
	return sum_i64(add_widened(_mm256_setzero_si256(), sums->cc));
}

#endif
