/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_AVX512_DESCEND_H
#define TQ_AVX512_DESCEND_H

/*
 * Effort 2: sweeps over the coordinates in turn, each moved to a neighbouring level if the quality
 * (yc * yc) / cc then rises. Both moves of sixteen coordinates are tried at once from the present
 * yc and cc. Those before the first that rises would have failed one by one too, so only that one
 * is made, and those behind it are tried again: the moves, and every rounding, of the sweep in
 * turn. Few coordinates move.
 */

#include "quantize.h"
#include "unpack.h"

#define SWEEPS 4

/** struct descent - where a row is: one number each, in all lanes */
struct descent {
	__m512 yc;
	__m512 quality;
	__m512i cc; /* 64-bit lanes */
};

/** struct moves - what yc, cc and the quality become if a coordinate moves, for sixteen of them */
struct moves {
	__m512 yc;
	__m512 quality;
	__m512i more_cc;
};

AVX512_INLINE __m512 quality_of(__m512 yc, __m512i cc_low, __m512i cc_high)
{
	__m512 cc = _mm512_castps256_ps512(_mm512_cvtepi64_ps(cc_low));
	__mmask16 ahead = _mm512_cmp_ps_mask(yc, _mm512_setzero_ps(), _CMP_GT_OQ);

	cc = _mm512_insertf32x8(cc, _mm512_cvtepi64_ps(cc_high), 1);
	return _mm512_maskz_div_ps(ahead, _mm512_mul_ps(yc, yc), cc);
}

/* Levels @to in place of those of @odd */
AVX512_INLINE struct moves try_moves(const struct avx512_tables *tab, const struct descent *d,
				     __m512 y, __m512 odd, __m512i to, int bits)
{
	__m512 next = odd_of(tab, to, bits), step = _mm512_sub_ps(next, odd);
	__m512 both = _mm512_add_ps(next, odd);
	struct moves m;

	/* next^2 - odd^2: up to 4 bits a float has it */
	if (bits <= 4)
		m.more_cc = _mm512_cvtps_epi32(_mm512_mul_ps(step, both));
	else
		m.more_cc = _mm512_mullo_epi32(_mm512_cvtps_epi32(step), _mm512_cvtps_epi32(both));
	m.yc = _mm512_add_ps(d->yc, _mm512_mul_ps(y, step));
	m.quality = quality_of(
		m.yc,
		_mm512_add_epi64(d->cc, _mm512_cvtepi32_epi64(_mm512_castsi512_si256(m.more_cc))),
		_mm512_add_epi64(d->cc,
				 _mm512_cvtepi32_epi64(_mm512_extracti64x4_epi64(m.more_cc, 1))));
	return m;
}

/* The move of @lane is made */
AVX512_INLINE void make_move(struct descent *d, const struct moves *m, int lane)
{
	__m512i at = _mm512_set1_epi32(lane), more = _mm512_permutexvar_epi32(at, m->more_cc);

	d->yc = _mm512_permutexvar_ps(at, m->yc);
	d->quality = _mm512_permutexvar_ps(at, m->quality);
	d->cc = _mm512_add_epi64(d->cc, _mm512_cvtepi32_epi64(_mm512_castsi512_si256(more)));
}

/* Sixteen coordinates, of which those of @left exist; returns if any moved. A neighbour that does
 * not exist is the level itself, which is no better. */
AVX512_INLINE int descend_16(const struct avx512_tables *tab, struct descent *d, __m512 y,
			     uint32_t left, __m512i *level, int bits)
{
	const __m512i one = _mm512_set1_epi32(1), top = _mm512_set1_epi32((1 << bits) - 1);
	uint32_t down_rises, up_rises, bit;
	struct moves down, up;
	__m512 odd;
	int moved = 0;

	for (;;) {
		odd = odd_of(tab, *level, bits);
		down = try_moves(
			tab, d, y, odd,
			_mm512_max_epi32(_mm512_sub_epi32(*level, one), _mm512_setzero_si512()),
			bits);
		up = try_moves(tab, d, y, odd, _mm512_min_epi32(_mm512_add_epi32(*level, one), top),
			       bits);
		down_rises = left & _mm512_cmp_ps_mask(down.quality, d->quality, _CMP_GT_OQ);
		up_rises = left & _mm512_cmp_ps_mask(up.quality, d->quality, _CMP_GT_OQ);
		bit = (down_rises | up_rises) & -(down_rises | up_rises);
		if (!bit)
			return moved;
		if (down_rises & bit)
			*level = _mm512_mask_sub_epi32(*level, (__mmask16)bit, *level, one);
		else
			*level = _mm512_mask_add_epi32(*level, (__mmask16)bit, *level, one);
		make_move(d, down_rises & bit ? &down : &up, __builtin_ctz(bit));
		left &= ~(2 * bit - 1);
		moved = 1;
	}
}

/* One sweep over the indices in @row */
AVX512_INLINE int sweep(const struct tq_plan *plan, const struct avx512_tables *tab,
			struct descent *d, const float *y, uint8_t *row, int bits)
{
	int moved = 0, here;
	__m512i level[4];
	size_t at, n, r;
	__mmask16 left;

	for (at = 0; at < plan->dim; at += 64) {
		n = plan->dim - at < 64 ? plan->dim - at : 64;
		here = 0;
		for (r = 0; r < 4; r++) {
			level[r] = _mm512_setzero_si512();
			if (n <= 16 * r)
				continue;
			left = lanes(n - 16 * r);
			level[r] = levels_at(&plan->layout, bits, row, at + 16 * r,
					     n - 16 * r < 16 ? n - 16 * r : 16);
			here |= descend_16(tab, d, _mm512_maskz_loadu_ps(left, y + at + 16 * r),
					   left, &level[r], bits);
		}
		if (here)
			pack_chunk(&plan->layout, bits, level_bytes(level, 4, n), at, n, row);
		moved |= here;
	}
	return moved;
}

/* The sums of the indices in @row */
AVX512_INLINE struct fit_sums sums_of_row(const struct tq_plan *plan,
					  const struct avx512_tables *tab, const float *y,
					  const uint8_t *row, int bits)
{
	struct fit_sums sums = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_si512()};
	__mmask16 left;
	size_t at, n;
	__m512 odd;

	for (at = 0; at < plan->dim; at += 16) {
		n = plan->dim - at < 16 ? plan->dim - at : 16;
		left = lanes(n);
		odd = odd_of(tab, levels_at(&plan->layout, bits, row, at, n), bits);
		fit_add(&sums, _mm512_maskz_loadu_ps(left, y + at), _mm512_maskz_mov_ps(left, odd),
			bits);
		if (at % CC_FLOAT_SPAN == CC_FLOAT_SPAN - 16)
			fit_flush(&sums);
	}
	return sums;
}

/**
 * descend - improve the indices in @row
 * @yc, @cc: their sums
 *
 * Return: the sums of the new ones.
 */
AVX512_INLINE struct fit_sums descend(const struct tq_plan *plan, const struct avx512_tables *tab,
				      const float *y, float yc, int64_t cc, uint8_t *row, int bits)
{
	struct descent d = {.yc = _mm512_set1_ps(yc), .cc = _mm512_set1_epi64(cc)};
	int i;

	d.quality = quality_of(d.yc, d.cc, d.cc);
	for (i = 0; i < SWEEPS; i++)
		if (!sweep(plan, tab, &d, y, row, bits))
			break;
	return sums_of_row(plan, tab, y, row, bits);
}

#endif
