/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_AVX512_BUTTERFLY_H
#define TQ_AVX512_BUTTERFLY_H

/*
 * The stages of a Hadamard transform over registers.
 *
 * Stages h = 1, 2, 4, 8 stay inside a register: with p = x permuted so that partners change places,
 * p + x * (1, -1, ...) is u + v in the upper place of each pair and u - v in the lower: one
 * permutation and one fma whose product is exact. Stages h = 16, 32, ... run between registers.
 */

#include "lanes.h"

/* 1 where bit log2(h) of the lane is clear, else -1: @set has the lanes where it is set */
AVX512_INLINE __m512 pair_signs(__mmask16 set)
{
	return _mm512_mask_blend_ps(set, _mm512_set1_ps(1.0f), _mm512_set1_ps(-1.0f));
}

AVX512_INLINE __m512 stage_1(__m512 x)
{
	return _mm512_fmadd_ps(x, pair_signs(0xaaaa), _mm512_permute_ps(x, 0xb1));
}

AVX512_INLINE __m512 stage_2(__m512 x)
{
	return _mm512_fmadd_ps(x, pair_signs(0xcccc), _mm512_permute_ps(x, 0x4e));
}

AVX512_INLINE __m512 stage_4(__m512 x)
{
	return _mm512_fmadd_ps(x, pair_signs(0xf0f0), _mm512_shuffle_f32x4(x, x, 0xb1));
}

AVX512_INLINE __m512 stage_8(__m512 x)
{
	return _mm512_fmadd_ps(x, pair_signs(0xff00), _mm512_shuffle_f32x4(x, x, 0x4e));
}

/** stages_lanes - h = 1, 2, 4, 8 */
AVX512_INLINE __m512 stages_lanes(__m512 x)
{
	return stage_8(stage_4(stage_2(stage_1(x))));
}

/** stages_registers - log2(@regs) stages between the registers v[0 .. regs - 1] */
AVX512_INLINE void stages_registers(__m512 *v, int regs)
{
	__m512 u, w;
	int h, i;

#pragma GCC unroll 4
	for (h = 1; h < regs; h *= 2) {
#pragma GCC unroll 16
		for (i = 0; i < regs; i++) {
			if (i & h)
				continue;
			u = v[i];
			w = v[i + h];
			v[i] = _mm512_add_ps(u, w);
			v[i + h] = _mm512_sub_ps(u, w);
		}
	}
}

#endif
