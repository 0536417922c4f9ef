/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Effort 2: coordinate descent over the indices of a row. Coordinate after coordinate moves to the
 * level below, else to the one above, if the fit (yc * yc) / cc then is strictly better; at most
 * four sweeps.
 *
 * Few coordinates move. So eight are tried at once under the present fit, and as long as none of
 * them moves the fit is the same for all; from the first that does the rest is tried again.
 */

#include "pack.h"

#define SWEEPS 4

struct fit {
	float yc;
	int64_t cc;
};

/* What a move of each of eight coordinates changes; NaN where there is no such level */
struct moves {
	__m256 yc;
	__m256i cc;
};

static float quality(const struct fit *fit)
{
	return fit->yc > 0.0f ? (fit->yc * fit->yc) / (float)fit->cc : 0.0f;
}

AVX2_INLINE struct moves moves_to(__m256 y, __m256 from, __m256 to)
{
	__m256i a = _mm256_cvtps_epi32(from), b = _mm256_cvtps_epi32(to);
	struct moves m;

	m.yc = _mm256_mul_ps(y, _mm256_sub_ps(to, from));
	m.cc = _mm256_sub_epi32(_mm256_mullo_epi32(b, b), _mm256_mullo_epi32(a, a));
	return m;
}

/* Bit per coordinate whose move is strictly better; sums of squares are exact in double */
AVX2_INLINE uint32_t better(const struct moves *m, const struct fit *fit, float than)
{
	__m256d base = _mm256_set1_pd((double)fit->cc), low, high;
	__m256 yc = _mm256_add_ps(_mm256_set1_ps(fit->yc), m->yc), cc, q;

	low = _mm256_add_pd(base, _mm256_cvtepi32_pd(_mm256_castsi256_si128(m->cc)));
	high = _mm256_add_pd(base, _mm256_cvtepi32_pd(_mm256_extracti128_si256(m->cc, 1)));
	cc = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm256_cvtpd_ps(low)),
				  _mm256_cvtpd_ps(high), 1);
	q = _mm256_div_ps(_mm256_mul_ps(yc, yc), cc);
	q = _mm256_and_ps(_mm256_cmp_ps(q, _mm256_set1_ps(than), _CMP_GT_OQ),
			  _mm256_cmp_ps(yc, _mm256_setzero_ps(), _CMP_GT_OQ));
	return (uint32_t)_mm256_movemask_ps(q);
}

/* Eight coordinates, of which those in @live exist; returns whether one moved */
static int descend_eight(const struct avx2_tables *tab, __m256 y, uint8_t *index, uint32_t live,
			 struct fit *fit)
{
	const float *odd = tab->odd_padded + 1;
	__m256i at = widen8u(index);
	float yc[2][8] __attribute__((aligned(32)));
	int32_t cc[2][8] __attribute__((aligned(32)));
	struct moves down, up;
	uint32_t lower, any;
	int moved = 0, i, way;
	__m256 from;

	from = gather8f(odd, at);
	down = moves_to(y, from, gather8f(odd - 1, at));
	up = moves_to(y, from, gather8f(odd + 1, at));
	while (live) {
		lower = better(&down, fit, quality(fit)) & live;
		any = (better(&up, fit, quality(fit)) & live) | lower;
		if (!any)
			break;
		if (!moved) {
			_mm256_store_ps(yc[0], down.yc);
			_mm256_store_ps(yc[1], up.yc);
			_mm256_store_si256((__m256i *)cc[0], down.cc);
			_mm256_store_si256((__m256i *)cc[1], up.cc);
		}
		i = __builtin_ctz(any);
		way = !(lower >> i & 1);
		index[i] = (uint8_t)(index[i] + (way ? 1 : -1));
		fit->yc = fit->yc + yc[way][i];
		fit->cc += cc[way][i];
		live &= ~((2u << i) - 1);
		moved = 1;
	}
	return moved;
}

/* One sweep over the row; returns whether a coordinate moved */
static int sweep(const struct tq_plan *plan, const struct avx2_tables *tab, const float *y,
		 uint8_t *row, struct fit *fit)
{
	uint8_t index[32] __attribute__((aligned(32)));
	int any = 0, moved, k;
	size_t at, n;
	ptrdiff_t left;
	__m256i idx;

	for (at = 0; at < plan->dim; at += n) {
		n = plan->dim - at < 32 ? plan->dim - at : 32;
		idx = unpack_block(&plan->layout, plan->index_bits, row, at, n);
		_mm256_store_si256((__m256i *)index, _mm256_and_si256(idx, byte_mask(n)));
		moved = 0;
		for (k = 0; k < 4; k++) {
			left = (ptrdiff_t)n - 8 * k;
			if (left > 0)
				moved |= descend_eight(tab, part8f(y + at + 8 * k, left),
						       index + 8 * k,
						       left >= 8 ? 0xff : (1u << left) - 1, fit);
		}
		idx = _mm256_load_si256((const __m256i *)index);
		if (moved)
			pack_block(&plan->layout, plan->index_bits, row, idx, at, n);
		any |= moved;
	}
	return any;
}

/* The fit of the indices in the row */
static struct fit fit_stored(const struct tq_plan *plan, const struct avx2_tables *tab,
			     const float *y, const uint8_t *row)
{
	__m256 sum[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()}, odd, v;
	uint8_t index[32] __attribute__((aligned(32)));
	__m256i o, cc = _mm256_setzero_si256();
	size_t at, n;
	int k;

	for (at = 0; at < plan->dim; at += n) {
		n = plan->dim - at < 32 ? plan->dim - at : 32;
		o = unpack_block(&plan->layout, plan->index_bits, row, at, n);
		_mm256_store_si256((__m256i *)index, _mm256_and_si256(o, byte_mask(n)));
		for (k = 0; k < 4; k++) {
			v = part8f(y + at + 8 * k, (ptrdiff_t)n - 8 * k);
			o = widen8u(index + 8 * k);
			odd = gather8f(tab->odd, o);
			sum[k & 1] = _mm256_add_ps(sum[k & 1], _mm256_mul_ps(v, odd));
			o = _mm256_and_si256(_mm256_cvtps_epi32(odd),
					     lane_mask((ptrdiff_t)n - 8 * k));
			cc = add_widened(cc, _mm256_mullo_epi32(o, o));
		}
	}
	return (struct fit){sum_tree(sum[0], sum[1]), sum_i64(cc)};
}

float avx2_descend(const struct tq_plan *plan, const struct avx2_tables *tab, const float *y,
		   uint8_t *row, float yc, int64_t *cc)
{
	struct fit fit = {yc, *cc};
	int k;

	for (k = 0; k < SWEEPS && sweep(plan, tab, y, row, &fit); k++)
		;
	fit = fit_stored(plan, tab, y, row);
	*cc = fit.cc;
	return fit.yc;
}
