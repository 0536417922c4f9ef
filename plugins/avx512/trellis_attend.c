/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Weighted sums of rows of trellis codes, FORMAT.md section 8. 64 coordinates of a tile of rows are decoded at a time,
 * for all weights (units.h). A whole sum fits into 32 bits: 1024 * 16256 * 127 < 2^31.
 */

#include "attend.h"
#include "trellis.h"
#include "weights.h"
#include "units.h"

#define TILE_ROWS 128

/* A unit of rows @first .. of @n; rows past the end repeat the last, their weights are 0. Returns the groups. */
AVX512_INLINE size_t fill(const struct tq_plan *plan, const struct trellis_tables *t, size_t u, const uint8_t *codes,
			  size_t first, size_t n, __m512i (*tile)[4], unsigned window)
{
	const struct trellis_lookup lookup = trellis_lookup_load(t);
	size_t most = n - first < TILE_ROWS ? n - first : TILE_ROWS, groups = (most + 3) / 4, g, r, at;
	__m512i row[4];

	for (g = 0; g < groups; g++) {
		if (!u)
			fetch_behind(plan->layout.row_bytes, codes, n, first + 4 * g);
#pragma GCC unroll 4
		for (r = 0; r < 4; r++) {
			at = first + 4 * g + r < n ? first + 4 * g + r : n - 1;
			row[r] = trellis_grid(&lookup, &t->unit[u], codes + at * plan->layout.row_bytes, window);
		}
		interleave(row, tile[g]);
	}
	return groups;
}

/* A of 64 coordinates: twice the sum over (level + 127) / 2, less 127 times the weights */
AVX512_INLINE void finish(const struct unit_sums *sum, size_t w, int32_t weights, __m512 step, float *sums, size_t n)
{
	__m512i off = _mm512_set1_epi32(127 * weights);
	__m512 x[4];
	int i;

#pragma GCC unroll 4
	for (i = 0; i < 4; i++)
		x[i] = _mm512_cvtepi32_ps(_mm512_sub_epi32(_mm512_slli_epi32(unit_whole(sum, w, i), 1), off));
	add_unit(x, step, sums, n);
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
			multiply_unit(tile, groups, q, nw, first, &sum);
		}
		for (w = 0; w < nw; w++)
			if (q->unit[w] != 0.0f)
				finish(&sum, w, (int32_t)q->sum[w], _mm512_set1_ps(q->unit[w] * plan->codebook.half_step),
				       sums + w * ld + TRELLIS_UNIT * u, d - TRELLIS_UNIT * u);
	}
}

static void mix(const struct tq_plan *plan, const void *state, const float *weights, size_t ldw, size_t nw,
		const uint8_t *codes, size_t n, float *sums, size_t ld)
{
	struct mix_call call;

	for (mix_open(plan, codes, n, &call); nw; nw -= call.nw, weights += call.nw * ldw, sums += call.nw * ld) {
		mix_weights(&call, weights, ldw, nw);
		mix_some(plan, state, &call.weights, call.nw, codes, n, sums, ld);
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
