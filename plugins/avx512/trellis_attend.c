/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Weighted sums of rows of trellis codes, FORMAT.md section 8. As for the grid (attend.c), the levels of four rows
 * are interleaved, so that a 32-bit lane holds one coordinate of four rows and one instruction adds four
 * products; a weight is 128 hi + lo, both s8. 64 coordinates of a tile of rows are decoded at a time, for
 * all weights. A whole sum fits into 32 bits: 1024 * 16256 * 127 < 2^31.
 */

#include "attend.h"
#include "trellis.h"
#include "weights.h"

#define TILE_ROWS 128

/* Sums of 64 coordinates: [weight][plane][register] */
struct unit_sums {
	__m512i at[MOST_WEIGHTS][2][4];
};

/* A unit of rows @first .. of @n; rows past the end repeat the last, their weights are 0. Returns the groups. */
AVX512_INLINE size_t fill(const struct tq_plan *plan, const struct trellis_tables *t, size_t u, const uint8_t *codes,
			  size_t first, size_t n, __m512i (*tile)[4], unsigned window)
{
	const struct trellis_lookup lookup = trellis_lookup_load(t);
	size_t most = n - first < TILE_ROWS ? n - first : TILE_ROWS, groups = (most + 3) / 4, g, r, at;
	__m512i row[4];

	for (g = 0; g < groups; g++) {
#pragma GCC unroll 4
		for (r = 0; r < 4; r++) {
			at = first + 4 * g + r < n ? first + 4 * g + r : n - 1;
			row[r] = trellis_grid(&lookup, &t->unit[u], codes + at * plan->layout.row_bytes, window);
		}
		interleave(row, tile[g]);
	}
	return groups;
}

/* The products of a tile and one plane of a weight, on top of @sum */
AVX512_INLINE void multiply(__m512i (*tile)[4], size_t groups, const int8_t *q, __m512i *sum)
{
	__m512i s0 = sum[0], s1 = sum[1], s2 = sum[2], s3 = sum[3], factor;
	int32_t four;
	size_t g;

	for (g = 0; g < groups; g++) {
		memcpy(&four, q + 4 * g, sizeof(four));
		factor = _mm512_set1_epi32(four);
		s0 = _mm512_dpbusd_epi32(s0, tile[g][0], factor);
		s1 = _mm512_dpbusd_epi32(s1, tile[g][1], factor);
		s2 = _mm512_dpbusd_epi32(s2, tile[g][2], factor);
		s3 = _mm512_dpbusd_epi32(s3, tile[g][3], factor);
	}
	sum[0] = s0;
	sum[1] = s1;
	sum[2] = s2;
	sum[3] = s3;
}

/* A of 64 coordinates: twice the sum over (level + 127) / 2, less 127 times the weights */
AVX512_INLINE void finish(__m512i (*sum)[4], int32_t weights, __m512 step, float *sums, size_t n)
{
	__m512i a, off = _mm512_set1_epi32(127 * weights);
	_Alignas(64) float by_coordinate[TRELLIS_UNIT];
	__m512 x[4];
	size_t i;

#pragma GCC unroll 4
	for (i = 0; i < 4; i++) {
		a = _mm512_add_epi32(_mm512_slli_epi32(sum[0][i], 7), sum[1][i]);
		x[i] = _mm512_cvtepi32_ps(_mm512_sub_epi32(_mm512_slli_epi32(a, 1), off));
	}
	store_quarters(x, by_coordinate, 16);
	for (i = 0; i < n; i += 16)
		store_floats(sums + i,
			     _mm512_add_ps(load_floats(sums + i, lanes(n - i)),
					   _mm512_mul_ps(_mm512_load_ps(by_coordinate + i), step)),
			     lanes(n - i));
}

/* Up to MOST_WEIGHTS weights */
static void mix_some(const struct tq_plan *plan, const struct trellis_tables *t, const struct weights *q, size_t nw,
		     const uint8_t *codes, size_t n, float *sums, size_t ld)
{
	__m512i tile[TILE_ROWS / 4][4];
	size_t d = plan->dim, u, first, groups, w;
	struct unit_sums sum;

	for (u = 0; TRELLIS_UNIT * u < d; u++) {
		memset(&sum, 0, nw * sizeof(sum.at[0]));
		for (first = 0; first < n; first += TILE_ROWS) {
			groups = plan->window == 8 ? fill(plan, t, u, codes, first, n, tile, 8) :
						     fill(plan, t, u, codes, first, n, tile, 9);
			for (w = 0; w < nw; w++) {
				multiply(tile, groups, q->plane[w][0] + first, sum.at[w][0]);
				multiply(tile, groups, q->plane[w][1] + first, sum.at[w][1]);
			}
		}
		for (w = 0; w < nw; w++)
			if (q->unit[w] != 0.0f)
				finish(sum.at[w], (int32_t)q->sum[w], _mm512_set1_ps(q->unit[w] * plan->codebook.half_step),
				       sums + w * ld + TRELLIS_UNIT * u,
				       d - TRELLIS_UNIT * u < TRELLIS_UNIT ? d - TRELLIS_UNIT * u : TRELLIS_UNIT);
	}
}

static void mix(const struct tq_plan *plan, const void *state, const float *weights, size_t ldw, size_t nw,
		const uint8_t *codes, size_t n, float *sums, size_t ld)
{
	float scale[TQ_MIX_ROWS];
	struct weights q;
	size_t w, some;

	load_scales(plan, codes, n, scale);
	for (; nw; nw -= some, weights += some * ldw, sums += some * ld) {
		some = nw < MOST_WEIGHTS ? nw : MOST_WEIGHTS;
		for (w = 0; w < some; w++)
			q.unit[w] = quantize(weights + w * ldw, scale, n, &q, (int)w);
		mix_some(plan, state, &q, some, codes, n, sums, ld);
	}
}

const struct tq_quantizer_ops avx512_trellis_attend_ops = {
	.struct_size = sizeof(struct tq_quantizer_ops),
	.create = avx512_trellis_create,
	.destroy = avx512_trellis_destroy,
	.mix = mix,
	.logits = avx512_logits,
	.weigh = avx512_weigh,
	.raw_score = avx512_raw_score,
	.raw_mix = avx512_raw_mix,
};
