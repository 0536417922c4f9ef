/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_AVX512_UNITS_H
#define TQ_AVX512_UNITS_H

/*
 * Weighted sums of units: 64 level bytes of each row, for codes whose levels are looked up once for all weights.
 * As for the grid (attend.c), those of four rows are interleaved, so that a 32-bit lane holds one coordinate of
 * four rows and one instruction adds four products; a weight is 128 hi + lo, both s8. Included by files that include
 * weights.h, which must come first.
 */

#define UNIT 64

/* Sums of a unit: [weight][plane][register] */
struct unit_sums {
	__m512i at[MOST_WEIGHTS][2][4];
};

/* A call of mix: its scales, and the weights in work */
struct mix_call {
	float scale[TQ_MIX_ROWS];
	struct weights weights;
	size_t n, nw;
};

static inline void mix_open(const struct tq_plan *plan, const uint8_t *codes, size_t n, struct mix_call *call)
{
	load_scales(plan, codes, n, call->scale);
	call->n = n;
}

/* As many of the @nw weights from @weights on as go together */
static inline void mix_weights(struct mix_call *call, const float *weights, size_t ldw, size_t nw)
{
	size_t w;

	call->nw = nw < MOST_WEIGHTS ? nw : MOST_WEIGHTS;
	for (w = 0; w < call->nw; w++)
		call->weights.unit[w] = quantize(weights + w * ldw, call->scale, call->n, &call->weights, (int)w);
}

/* Products of a tile of @groups times four rows and @planes planes of weights in turn, on top of @sum */
AVX512_INLINE void multiply_planes(__m512i (*tile)[4], size_t groups, const int8_t *q, int planes, __m512i (*sum)[4])
{
	const size_t plane = TQ_MIX_ROWS + 64;
	__m512i acc[4][4], factor;
	int32_t four;
	size_t g;
	int p, i;

#pragma GCC unroll 4
	for (p = 0; p < planes; p++)
#pragma GCC unroll 4
		for (i = 0; i < 4; i++)
			acc[p][i] = sum[p][i];
	for (g = 0; g < groups; g++, q += 4)
#pragma GCC unroll 4
		for (p = 0; p < planes; p++) {
			memcpy(&four, q + (size_t)p * plane, sizeof(four));
			factor = _mm512_set1_epi32(four);
#pragma GCC unroll 4
			for (i = 0; i < 4; i++)
				acc[p][i] = _mm512_dpbusd_epi32(acc[p][i], tile[g][i], factor);
		}
#pragma GCC unroll 4
	for (p = 0; p < planes; p++)
#pragma GCC unroll 4
		for (i = 0; i < 4; i++)
			sum[p][i] = acc[p][i];
}

/* Those of rows @first and up of all @nw weights */
AVX512_INLINE void multiply_unit(__m512i (*tile)[4], size_t groups, const struct weights *q, size_t nw, size_t first,
				 struct unit_sums *sum)
{
	size_t w;

	_Static_assert(sizeof(q->plane[0][0]) == TQ_MIX_ROWS + 64, "planes lie side by side");
	for (w = 0; w + 2 <= nw; w += 2)
		multiply_planes(tile, groups, q->plane[w][0] + first, 4, sum->at[w]);
	if (w < nw)
		multiply_planes(tile, groups, q->plane[w][0] + first, 2, sum->at[w]);
}

/* A sum of weight @w, modulo 2^32 */
AVX512_INLINE __m512i unit_whole(const struct unit_sums *sum, size_t w, int i)
{
	return _mm512_add_epi32(_mm512_slli_epi32(sum->at[w][0][i], 7), sum->at[w][1][i]);
}

/* @x times @step to the @n first of 64 sums in order */
AVX512_INLINE void add_ordered(const float *x, __m512 step, float *sums, size_t n)
{
	size_t i;

	for (i = 0; i < n && i < UNIT; i += 16)
		store_floats(sums + i,
			     _mm512_add_ps(load_floats(sums + i, lanes(n - i)), _mm512_mul_ps(_mm512_load_ps(x + i), step)),
			     lanes(n - i));
}

#endif
