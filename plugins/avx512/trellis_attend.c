/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Weighted sums of rows of trellis codes, FORMAT.md section 8. 64 coordinates of a tile of rows are decoded at a time,
 * for all weights (units.h), or 128 where segments are whole; those are put in order once they are summed. A whole sum fits into 32 bits: 1024 * 16256 * 127 < 2^31.
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

/* A of 64 coordinates by bytes: twice the sum over (level + 127) / 2, less 127 times the weights */
AVX512_INLINE void to_floats(const struct unit_sums *sum, size_t w, int32_t weights, float *to)
{
	__m512i off = _mm512_set1_epi32(127 * weights);
	__m512 x[4];
	int i;

#pragma GCC unroll 4
	for (i = 0; i < 4; i++)
		x[i] = _mm512_cvtepi32_ps(_mm512_sub_epi32(_mm512_slli_epi32(unit_whole(sum, w, i), 1), off));
	store_quarters(x, to, to + 16, to + 32, to + 48);
}

/* The 128 coordinates of a segment to their order */
AVX512_INLINE void finish_whole(const struct tq_plan *plan, const struct unit_sums *sum, size_t w,
				const struct weights *q, unsigned bits, float *sums)
{
	const __m512i turns = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
	__m512 step = _mm512_set1_ps(q->unit[w] * plan->codebook.half_step), x, y;
	_Alignas(64) float by_byte[2][UNIT];
	size_t i;

	to_floats(&sum[0], w, (int32_t)q->sum[w], by_byte[0]);
	to_floats(&sum[1], w, (int32_t)q->sum[w], by_byte[1]);
	for (i = 0; i < UNIT; i += 8) {
		x = _mm512_castps256_ps512(_mm256_load_ps(by_byte[0] + i));
		y = _mm512_castps256_ps512(_mm256_load_ps(by_byte[1] + i));
		x = bits == 4 ? _mm512_permutex2var_ps(x, turns, y) : _mm512_shuffle_f32x4(x, y, 0x44);
		_mm512_storeu_ps(sums + 2 * i,
				 _mm512_add_ps(_mm512_loadu_ps(sums + 2 * i), _mm512_mul_ps(x, step)));
	}
}

/* Up to MOST_WEIGHTS weights, and segment @at of rows of whole ones, of @bits */
AVX512_INLINE void mix_whole(const struct tq_plan *plan, const struct trellis_tables *t, const struct weights *q,
			     size_t nw, const uint8_t *codes, size_t n, size_t at, unsigned bits, float *sums, size_t ld)
{
	const struct trellis_whole_lookup lookup = trellis_whole_load(t);
	size_t row_bytes = plan->layout.row_bytes, first, groups, g, r, i, w;
	const uint8_t *p = codes + plan->layout.section[0].at + at * 16 * bits;
	__m512i tile[2][TILE_ROWS / 8][4], row[4][2], rows[4];
	struct unit_sums sum[2];

	for (i = 0; i < 2; i++)
		memset(&sum[i], 0, nw * sizeof(sum[i].at[0]));
	for (first = 0; first < n; first += TILE_ROWS / 2) {
		groups = (n - first + 3) / 4 < TILE_ROWS / 8 ? (n - first + 3) / 4 : TILE_ROWS / 8;
		for (g = 0; g < groups; g++) {
			if (!at)
				fetch_behind(row_bytes, codes, n, first + 4 * g);
#pragma GCC unroll 4
			for (r = 0; r < 4; r++) {
				i = first + 4 * g + r < n ? first + 4 * g + r : n - 1;
				trellis_whole(&lookup, p + i * row_bytes, bits, row[r]);
			}
#pragma GCC unroll 2
			for (i = 0; i < 2; i++) {
#pragma GCC unroll 4
				for (r = 0; r < 4; r++)
					rows[r] = row[r][i];
				interleave(rows, tile[i][g]);
			}
		}
		multiply_unit(tile[0], groups, q, nw, first, &sum[0]);
		multiply_unit(tile[1], groups, q, nw, first, &sum[1]);
	}
	for (w = 0; w < nw; w++)
		if (q->unit[w] != 0.0f)
			finish_whole(plan, sum, w, q, bits, sums + w * ld + TRELLIS_SEGMENT * at);
}

static void mix_segments(const struct tq_plan *plan, const struct trellis_tables *t, const struct weights *q, size_t nw,
			 const uint8_t *codes, size_t n, float *sums, size_t ld)
{
	size_t at;

	for (at = 0; at < plan->dim / TRELLIS_SEGMENT; at++) {
		if (plan->index_bits == 4)
			mix_whole(plan, t, q, nw, codes, n, at, 4, sums, ld);
		else if (plan->index_bits == 3)
			mix_whole(plan, t, q, nw, codes, n, at, 3, sums, ld);
		else if (plan->index_bits == 2)
			mix_whole(plan, t, q, nw, codes, n, at, 2, sums, ld);
		else
			mix_whole(plan, t, q, nw, codes, n, at, 1, sums, ld);
	}
}

/* Up to MOST_WEIGHTS weights */
static void mix_units(const struct tq_plan *plan, const struct trellis_tables *t, const struct weights *q, size_t nw,
		      const uint8_t *codes, size_t n, float *sums, size_t ld)
{
	_Alignas(64) float by_coordinate[UNIT];
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
		for (w = 0; w < nw; w++) {
			if (q->unit[w] == 0.0f)
				continue;
			to_floats(&sum, w, (int32_t)q->sum[w], by_coordinate);
			add_ordered(by_coordinate, _mm512_set1_ps(q->unit[w] * plan->codebook.half_step),
				    sums + w * ld + TRELLIS_UNIT * u, d - TRELLIS_UNIT * u);
		}
	}
}

static void mix(const struct tq_plan *plan, const void *state, const float *weights, size_t ldw, size_t nw,
		const uint8_t *codes, size_t n, float *sums, size_t ld)
{
	struct mix_call call;

	for (mix_open(plan, codes, n, &call); nw; nw -= call.nw, weights += call.nw * ldw, sums += call.nw * ld) {
		mix_weights(&call, weights, ldw, nw);
		if (trellis_is_whole(plan))
			mix_segments(plan, state, &call.weights, call.nw, codes, n, sums, ld);
		else
			mix_units(plan, state, &call.weights, call.nw, codes, n, sums, ld);
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
