/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The search for a row's bits under a trellis code: ../simd/trellis_search.h, 32 groups to a register. Costs
 * are turned by permutations over whole registers, which other instruction sets lack.
 */

#include "trellis.h"

typedef __m512i costs;
#define COSTS_LANES 32
#define COSTS_PARTS 1
#define COSTS_OWN_TURN

AVX512_INLINE costs costs_load(const uint16_t *at)
{
	return _mm512_load_si512(at);
}

AVX512_INLINE void costs_store(uint16_t *at, costs x)
{
	_mm512_store_si512(at, x);
}

AVX512_INLINE costs costs_set(uint16_t x)
{
	return _mm512_set1_epi16((short)x);
}

AVX512_INLINE costs costs_min(costs a, costs b)
{
	return _mm512_min_epu16(a, b);
}

AVX512_INLINE costs costs_sub(costs a, costs b)
{
	return _mm512_sub_epi16(a, b);
}

AVX512_INLINE costs costs_add(costs before, costs u, costs level)
{
	__m512i d = _mm512_subs_epi16(u, level);

	return _mm512_adds_epu16(before, _mm512_mulhrs_epi16(d, d));
}

AVX512_INLINE costs costs_least(costs x)
{
	__m256i half = _mm256_min_epu16(_mm512_castsi512_si256(x), _mm512_extracti64x4_epi64(x, 1));
	__m128i quarter = _mm_min_epu16(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));

	return _mm512_broadcastw_epi16(_mm_minpos_epu16(quarter));
}

/* Costs [c][j] for all j, from @at on: a register of those that repeat every @period groups */
AVX512_INLINE costs costs_repeat(const uint16_t *at, unsigned period)
{
	switch (period) {
	case 1:
		return _mm512_set1_epi16((short)*at);
	case 2:
		return _mm512_broadcastd_epi32(_mm_loadu_si32(at));
	case 4:
		return _mm512_broadcastq_epi64(_mm_loadl_epi64((const __m128i *)(const void *)at));
	case 8:
		return _mm512_broadcast_i32x4(_mm_load_si128((const __m128i *)(const void *)at));
	case 16:
		return _mm512_broadcast_i64x4(_mm256_load_si256((const __m256i *)(const void *)at));
	default:
		return _mm512_load_si512(at);
	}
}

/* @n registers of costs in the order of groups, to [c][j] */
AVX512_INLINE void turn(const uint16_t *transpose, const __m512i *cost, unsigned n, unsigned bits, uint16_t *turned)
{
	const __m512i order = _mm512_load_si512(transpose);
	__m512i t[256 / COSTS_LANES], ab, cd;
	unsigned i;

#pragma GCC unroll 8
	for (i = 0; i < n; i++)
		t[i] = _mm512_permutexvar_epi16(order, cost[i]);
	if (n == 1) {
		_mm512_store_si512(turned, t[0]);
	} else if (bits == 1) {
#pragma GCC unroll 4
		for (i = 0; i < n / 2; i++) {
			ab = _mm512_shuffle_i64x2(t[2 * i], t[2 * i + 1], 0x44);
			cd = _mm512_shuffle_i64x2(t[2 * i], t[2 * i + 1], 0xee);
			_mm512_store_si512(turned + 32 * i, ab);
			_mm512_store_si512(turned + 16 * n + 32 * i, cd);
		}
	} else if (n == 4) {
		/* 2 bits: quarter c of each register to register c */
		ab = _mm512_shuffle_i64x2(t[0], t[1], 0x44);
		cd = _mm512_shuffle_i64x2(t[2], t[3], 0x44);
		_mm512_store_si512(turned, _mm512_shuffle_i64x2(ab, cd, 0x88));
		_mm512_store_si512(turned + 32, _mm512_shuffle_i64x2(ab, cd, 0xdd));
		ab = _mm512_shuffle_i64x2(t[0], t[1], 0xee);
		cd = _mm512_shuffle_i64x2(t[2], t[3], 0xee);
		_mm512_store_si512(turned + 64, _mm512_shuffle_i64x2(ab, cd, 0x88));
		_mm512_store_si512(turned + 96, _mm512_shuffle_i64x2(ab, cd, 0xdd));
	} else if (bits == 2) {
		/* quarter c of both registers side by side */
		const __m512i first = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
		const __m512i second = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);

		_mm512_store_si512(turned, _mm512_permutex2var_epi64(t[0], first, t[1]));
		_mm512_store_si512(turned + 32, _mm512_permutex2var_epi64(t[0], second, t[1]));
	} else {
		/* 3 bits: qword c of both registers side by side */
		const __m512i first = _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11);
		const __m512i second = _mm512_setr_epi64(4, 12, 5, 13, 6, 14, 7, 15);

		_mm512_store_si512(turned, _mm512_permutex2var_epi64(t[0], first, t[1]));
		_mm512_store_si512(turned + 32, _mm512_permutex2var_epi64(t[0], second, t[1]));
	}
}

#define costs_turn(t, cost, n, k, turned) turn((t)->transpose, cost, n, (k).bits, turned)
#define turned_at(period, c, v) ((c) * (period) + ((period) > 32 ? 32 * (v) % (period) : 0))

/* As in scalar: clip, then round */
static void to_units(const float *y, size_t n, float inv, int16_t *u)
{
	const __m512 factor = _mm512_set1_ps(inv), top = _mm512_set1_ps(TQ_TRELLIS_TOP);
	__m512 v;
	size_t i;

	for (i = 0; i < n; i += 16) {
		v = _mm512_mul_ps(_mm512_maskz_loadu_ps(lanes(n - i), y + i), factor);
		v = _mm512_max_ps(_mm512_min_ps(v, top), _mm512_sub_ps(_mm512_setzero_ps(), top));
		_mm256_storeu_si256((__m256i *)(void *)(u + i), _mm512_cvtepi32_epi16(_mm512_cvtps_epi32(v)));
	}
}

#include "../simd/trellis_back.h"
#include "../simd/trellis_search.h"

size_t avx512_trellis_together(const struct tq_plan *plan)
{
	return search_together(plan);
}

void avx512_trellis_search_tables(const struct tq_plan *plan, struct trellis_tables *t)
{
	unsigned bits = plan->index_bits, groups = 1u << (plan->window - bits), held = groups < 32 ? groups : 32, i;

	search_tables(plan, t->target, t->level);
	for (i = 0; i < 32; i++)
		t->transpose[(i % held % (1u << bits)) * (held >> bits) + (i % held >> bits)] = (uint16_t)(i % held);
}

void avx512_trellis_search(const struct tq_plan *plan, const struct trellis_tables *t,
			   const float *const *y, const float *r, size_t rows, uint8_t *const *row)
{
	search_rows(plan, t, y, r, rows, row);
}
