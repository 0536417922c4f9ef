/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Fused encode of rht + grid, sixteen rows turned: a register holds one coordinate of all of them. The stages of a
 * butterfly are then sums and differences of whole registers, without a permutation, and what is one number per row
 * (exponent, norm, sigma, sums, scale) needs no adding across.
 *
 * For rows of 64 to 256 coordinates, a multiple of 32 that is a power of two or three times one, up to 4 bits without
 * effort, and no product with the centre. Zeros may differ in sign from those of the general way, which no byte shows.
 */

#include "butterfly.h"
#include "dwords.h"
#include "rows.h"
#include "turned.h"
#include "../simd/row.h"

int avx512_turns(const struct tq_plan *plan, const struct avx512_tables *tab)
{
	uint32_t d = plan->dim, part = d % 3 ? d : d / 3;

	return plan->center != TQ_CENTER_BOTH && plan->index_bits && plan->index_bits <= 4 &&
	       (!plan->effort || plan->index_bits == 1) && (plan->index_bits < 3 || tab->in_cells) &&
	       d >= TURNED_DIM_MIN && d <= TURNED_DIM_MAX && d % 32 == 0 && !(part & (part - 1));
}

/* Element @i + @k of sixteen rows, from the registers of load_dwords() at element @i */
AVX512_INLINE __m512 turned_element(const __m512i *v, int dtype, int k)
{
	__m512i pair;

	if (dtype == TQ_F32)
		return _mm512_castsi512_ps(v[k]);
	pair = v[k / 2];
	if (dtype == TQ_BF16)
		return _mm512_castsi512_ps(k & 1 ? _mm512_and_si512(pair, _mm512_set1_epi32((int)0xffff0000))
						 : _mm512_slli_epi32(pair, 16));
	return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(k & 1 ? _mm512_srli_epi32(pair, 16) : pair));
}

/* The rows to @y, less the @centre if there is one; the largest magnitude of each */
AVX512_INLINE __m512 turn_in_as(const char *x, int dtype, const float *centre, size_t step, size_t d, __m512 *y)
{
	const int n = dtype == TQ_F32 ? 4 : 8;
	const uint8_t *row[16];
	__m512 top[4], v;
	__m512i part[4];
	size_t i;
	int k;

	for (i = 0; i < 16; i++)
		row[i] = (const uint8_t *)x + i * step;
	for (k = 0; k < 4; k++)
		top[k] = _mm512_setzero_ps();
	for (i = 0; i < d; i += (size_t)n) {
		load_dwords(row, 16 / (size_t)n * i, 0xffff, part);
#pragma GCC unroll 8
		for (k = 0; k < n; k++) {
			v = turned_element(part, dtype, k);
			if (centre)
				v = _mm512_sub_ps(v, _mm512_set1_ps(centre[i + (size_t)k]));
			y[i + (size_t)k] = v;
			top[k % 4] = _mm512_range_ps(top[k % 4], v, 11); /* the larger magnitude */
		}
	}
	return _mm512_max_ps(_mm512_max_ps(top[0], top[1]), _mm512_max_ps(top[2], top[3]));
}

static __m512 turn_in(const struct tq_plan *plan, const char *x, int dtype, size_t step, __m512 *y)
{
	const float *centre = plan->center == TQ_CENTER_DATA ? plan->centre : NULL;

	if (dtype == TQ_F32)
		return centre ? turn_in_as(x, TQ_F32, centre, step, plan->dim, y)
			      : turn_in_as(x, TQ_F32, NULL, step, plan->dim, y);
	if (dtype == TQ_BF16)
		return centre ? turn_in_as(x, TQ_BF16, centre, step, plan->dim, y)
			      : turn_in_as(x, TQ_BF16, NULL, step, plan->dim, y);
	return centre ? turn_in_as(x, TQ_F16, centre, step, plan->dim, y)
		      : turn_in_as(x, TQ_F16, NULL, step, plan->dim, y);
}

/* 2^-e of each row; returns if one product scales all of them */
AVX512_INLINE int turned_factors(__m512 top, __m512i *exponent, __m512 *factor)
{
	__m512i field = _mm512_and_si512(_mm512_castps_si512(top), _mm512_set1_epi32(0x7f800000));
	__m512i e = _mm512_sub_epi32(_mm512_srli_epi32(field, 23), _mm512_set1_epi32(127));

	*exponent = e;
	*factor = _mm512_castsi512_ps(_mm512_sub_epi32(_mm512_set1_epi32(0x7f000000), field));
	return !(_mm512_cmplt_epi32_mask(e, _mm512_set1_epi32(TQ_EXPONENT_MIN)) |
		 _mm512_cmpgt_epi32_mask(e, _mm512_set1_epi32(TQ_EXPONENT_MAX)));
}

/* scale_down() of sixteen coordinates; @signs of the first round's window, NULL behind it */
AVX512_INLINE void scale_turned(struct turned *t, __m512 *v, const float *signs, __m512 factor)
{
	__m512 square;
	__mmask16 kept;
	int i;

#pragma GCC unroll 16
	for (i = 0; i < 16; i++) {
		v[i] = _mm512_mul_ps(v[i], factor);
		square = _mm512_mul_ps(v[i], v[i]);
		kept = _mm512_cmp_ps_mask(square, _mm512_set1_ps(TINY_SQUARED), _CMP_GE_OQ);
		t->norm[i] = _mm512_mask_add_ps(t->norm[i], kept, t->norm[i], square);
		v[i] = signs ? _mm512_maskz_mul_ps(kept, v[i], _mm512_set1_ps(signs[i]))
			     : _mm512_maskz_mov_ps(kept, v[i]);
	}
}

/* Stages h = 1 .. 8 of a window; @scale: its rows are scaled before */
AVX512_INLINE void first_stages(struct turned *t, __m512 *y, const float *signs, size_t w, __m512 factor, int scale)
{
	__m512 v[16];
	size_t at;
	int i;

	for (at = 0; at < w; at += 16) {
		fetch_lines(t);
#pragma GCC unroll 16
		for (i = 0; i < 16; i++)
			v[i] = scale ? y[at + (size_t)i] : _mm512_mul_ps(y[at + (size_t)i], _mm512_set1_ps(signs[at + (size_t)i]));
		if (scale)
			scale_turned(t, v, signs + at, factor);
		stages_registers(v, 16);
#pragma GCC unroll 16
		for (i = 0; i < 16; i++)
			y[at + (size_t)i] = v[i];
	}
}

/* Stages h = 16 .. of a window of 16 * @regs coordinates */
AVX512_INLINE void last_stages(__m512 *y, int regs)
{
	__m512 v[16];
	int i, j;

	for (j = 0; j < 16; j++) {
#pragma GCC unroll 16
		for (i = 0; i < regs; i++)
			v[i] = y[16 * i + j];
		stages_registers(v, regs);
#pragma GCC unroll 16
		for (i = 0; i < regs; i++)
			y[16 * i + j] = v[i];
	}
}

static void other_stages(__m512 *y, size_t w)
{
	switch (w) {
	case 256:
		last_stages(y, 16);
		break;
	case 128:
		last_stages(y, 8);
		break;
	case 64:
		last_stages(y, 4);
		break;
	case 32:
		last_stages(y, 2);
	}
}

/* All rounds; the rows end at t->y */
static void rotate_turned(struct turned *t, const struct tq_rotation *rot, __m512 factor)
{
	size_t d = rot->dim, w = rot->window, r = rot->roll, i;
	__m512 *y = t->y + rot->rounds * r;
	const float *signs;
	uint32_t round;

	for (round = 0; round < rot->rounds; round++) {
		signs = round_signs(rot, round);
		if (round == 0)
			first_stages(t, y, signs, w, factor, 1);
		else
			first_stages(t, y, signs, w, factor, 0);
		/* norms are added in the order of coordinates */
		for (i = w; i < d && round == 0; i += 16)
			scale_turned(t, y + i, NULL, factor);
		other_stages(y, w);
		if (w == d)
			continue;
		first_stages(t, y + d - w, signs + w, w, factor, 0);
		other_stages(y + d - w, w);
		memcpy(y - r, y + d - r, r * sizeof(*y));
		y -= r;
	}
}

int avx512_encode_turned(const struct tq_plan *plan, const struct avx512_tables *tab, const char *x, int dtype,
			 size_t step, const struct avx512_ahead *ahead, uint8_t *codes)
{
	const struct tq_rotation *rot = &plan->rotation;
	__m512 factor, norm2, sigma, scale;
	__m512i exponent;
	size_t blocks = rot->rounds * rot->window / 16;
	struct turned t;
	int i;

	t.ahead = *ahead;
	t.line = 0;
	blocks = (rot->window < rot->dim ? 2 * blocks : blocks) + rot->dim / 16;
	t.lines = (rot->dim * ahead->element / 4 + blocks - 1) / blocks;
	factor = turn_in(plan, x, dtype, step, t.y + rot->rounds * rot->roll);
	if (!turned_factors(factor, &exponent, &factor))
		return 0;
	for (i = 0; i < 16; i++)
		t.norm[i] = _mm512_setzero_ps();
	rotate_turned(&t, rot, factor);
	norm2 = sum_turned(t.norm);
	sigma = _mm512_sqrt_ps(_mm512_div_ps(norm2, _mm512_set1_ps((float)plan->dim)));
	avx512_quantize_turned(plan, tab, &t, sigma, codes);
	scale = scales_of_rows(plan, norm2, sum_turned(t.yc), t.cc);
	store_scales(plan, scale_rows_up(scale, exponent), 16, codes);
	return 1;
}
