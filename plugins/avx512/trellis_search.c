/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The search for a row's bits under a trellis code: scalar's trellis.c has the algorithm and the costs.
 *
 * With G groups and 2^b states to each, a step from the costs m of the groups before to those after is
 *
 *	m'[j] = min over c of m[(j 2^b + c) mod G] + cost(u, level[j 2^b + c])
 *
 * A register holds 32 groups j; for each c the costs before that it needs are m at a stride of 2^b,
 * which repeats itself every G / 2^b groups. So m is kept transposed, [c][j], and a load that repeats
 * 2, 4, 8, 16 or 32 costs over the register fetches them: no shuffles but those of the transpose.
 *
 * What led to a group is not kept, only the costs: the way back finds it again from 2^b costs a step,
 * and so costs little. Two rows go side by side where costs of both fit on the stack: one waits while
 * the other works.
 */

#include "trellis.h"

#define SEGMENT TQ_TRELLIS_SEGMENT
#define ROWS 2
/* Registers of group costs: at most 256 groups */
#define COSTS 8

/* Costs of one or two rows: before every step, in the order of groups; and turned, for the next step */
struct walk {
	uint16_t turned[ROWS][256];
	uint16_t step[(SEGMENT + 1) * 256 + 64];
} __attribute__((aligned(64)));

/* What a search is: constants to the functions below, which are compiled for each */
struct kind {
	unsigned window, bits, rows;
};

AVX512_INLINE unsigned groups_of(struct kind k)
{
	return 1u << (k.window - k.bits);
}

/* Registers of costs */
AVX512_INLINE unsigned registers_of(struct kind k)
{
	return groups_of(k) < 32 ? 1 : groups_of(k) / 32;
}

/* Costs of row @r before step @i */
AVX512_INLINE size_t step_at(struct kind k, unsigned r, size_t i)
{
	return (r * (SEGMENT + 1) + i) * 32 * registers_of(k);
}

/* Costs [c][j] for all j, from @at on: a register of those that repeat every @period groups */
AVX512_INLINE __m512i repeat(const uint16_t *at, unsigned period)
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

AVX512_INLINE __m512i branch(__m512i u, __m512i target)
{
	__m512i d = _mm512_subs_epi16(u, target);

	return _mm512_mulhrs_epi16(d, d);
}

/* The least of all costs, taken off each */
AVX512_INLINE void rebase(__m512i *cost, unsigned n)
{
	__m512i min = cost[0];
	__m256i half;
	__m128i quarter;
	unsigned i;

#pragma GCC unroll 8
	for (i = 1; i < n; i++)
		min = _mm512_min_epu16(min, cost[i]);
	half = _mm256_min_epu16(_mm512_castsi512_si256(min), _mm512_extracti64x4_epi64(min, 1));
	quarter = _mm_min_epu16(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
	min = _mm512_broadcastw_epi16(_mm_minpos_epu16(quarter));
#pragma GCC unroll 8
	for (i = 0; i < n; i++)
		cost[i] = _mm512_sub_epi16(cost[i], min);
}

/* @n registers of costs in the order of groups, to [c][j] */
AVX512_INLINE void turn(const uint16_t *transpose, const __m512i *cost, unsigned n, unsigned bits,
			uint16_t *turned)
{
	const __m512i order = _mm512_load_si512(transpose);
	__m512i t[COSTS], ab, cd;
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

/* Costs in the order of groups, to memory in both orders */
AVX512_INLINE void put(const struct trellis_tables *t, struct walk *w, unsigned r, size_t step,
		       const __m512i *cost, struct kind k)
{
	unsigned i;

#pragma GCC unroll 8
	for (i = 0; i < registers_of(k); i++)
		_mm512_store_si512(w->step + step_at(k, r, step) + 32 * i, cost[i]);
	turn(t->transpose, cost, registers_of(k), k.bits, w->turned[r]);
}

/* One step of @k.rows rows over coordinates @u, to @cost */
AVX512_INLINE void advance(const struct trellis_tables *t, const struct walk *w, const __m512i *u,
			   __m512i (*cost)[COSTS], struct kind k)
{
	const unsigned fan = 1u << k.bits, period = groups_of(k) >> k.bits;
	const int16_t *target = t->target;
	unsigned r, v, c, at;
	__m512i level, sum;

#pragma GCC unroll 8
	for (v = 0; v < registers_of(k); v++) {
#pragma GCC unroll 16
		for (c = 0; c < fan; c++, target += 32) {
			at = c * period + (period > 32 ? 32 * v % period : 0);
			level = _mm512_load_si512(target);
#pragma GCC unroll 2
			for (r = 0; r < k.rows; r++) {
				sum = _mm512_adds_epu16(repeat(w->turned[r] + at, period),
							branch(u[r], level));
				cost[r][v] = c ? _mm512_min_epu16(cost[r][v], sum) : sum;
			}
		}
	}
}

/* @steps steps over @u, the first of which is number @first of the walk; costs are kept from number 0 on */
static inline __attribute__((always_inline)) void
forward(const struct trellis_tables *t, struct walk *w, const int16_t (*u)[SEGMENT], size_t first, size_t steps,
	struct kind k)
{
	__m512i cost[ROWS][COSTS], x[ROWS];
	unsigned r;
	size_t i;

	for (i = 0; i < steps; i++) {
#pragma GCC unroll 2
		for (r = 0; r < k.rows; r++)
			x[r] = _mm512_set1_epi16(u[r][i]);
		advance(t, w, x, cost, k);
#pragma GCC unroll 2
		for (r = 0; r < k.rows; r++) {
			if ((first + i + 1) % TQ_TRELLIS_REBASE == 0)
				rebase(cost[r], registers_of(k));
			put(t, w, r, i + 1, cost[r], k);
		}
	}
}

/* The costs that a walk starts from: nothing but at @group, or nothing anywhere if that is negative */
AVX512_INLINE void begin(const struct trellis_tables *t, struct walk *w, unsigned r, int group, struct kind k)
{
	uint16_t cost[32 * COSTS] __attribute__((aligned(64)));
	__m512i start[COSTS];
	unsigned i;

	memset(cost, group < 0 ? 0 : 0xff, sizeof(cost));
	if (group >= 0)
		cost[group] = 0;
	for (i = 0; i < registers_of(k); i++)
		start[i] = _mm512_load_si512(cost + 32 * i);
	put(t, w, r, 0, start, k);
}

AVX512_INLINE __m128i candidates(const int16_t *level, const uint16_t *before, __m128i u)
{
	__m128i d = _mm_subs_epi16(u, _mm_loadu_si128((const __m128i *)(const void *)level));

	return _mm_adds_epu16(_mm_mulhrs_epi16(d, d),
			      _mm_loadu_si128((const __m128i *)(const void *)before));
}

/* The least of eight, and its place in the upper half */
AVX512_INLINE uint32_t least(__m128i cost)
{
	return (uint32_t)_mm_cvtsi128_si32(_mm_minpos_epu16(cost));
}

/* The low bits of the best state that led to @group at step @i; @group becomes the one before */
AVX512_INLINE unsigned back(const struct trellis_tables *t, const struct walk *w, unsigned r, size_t i,
			    int16_t u, unsigned *group, struct kind k)
{
	unsigned s = *group << k.bits, mask = groups_of(k) - 1, c;
	const uint16_t *before = w->step + step_at(k, r, i) + (s & mask);
	__m128i x = _mm_set1_epi16(u), cost = candidates(t->level + s, before, x);
	uint32_t low, high;

	if (k.bits == 1)
		cost = _mm_or_si128(cost, _mm_set_epi32(-1, -1, -1, 0));
	if (k.bits == 2)
		cost = _mm_or_si128(cost, _mm_set_epi32(-1, -1, 0, 0));
	low = least(cost);
	c = low >> 16;
	if (k.bits == 4) {
		high = least(candidates(t->level + s + 8, before + 8, x));
		c = (high & 0xffff) < (low & 0xffff) ? 8 + (high >> 16) : c;
	}
	*group = (s | c) & mask;
	return c;
}

static unsigned cheapest(const uint16_t *cost, unsigned groups)
{
	unsigned best = 0, j;

	for (j = 1; j < groups; j++)
		best = cost[j] < cost[best] ? j : best;
	return best;
}

/* Coordinates of a segment in search units, and those before and after the seam */
struct units {
	int16_t all[ROWS][SEGMENT];
	int16_t before[ROWS][SEGMENT];
};

static inline __attribute__((always_inline)) void
search(const struct trellis_tables *t, struct walk *w, const struct units *u, size_t n, size_t warm,
       uint8_t (*symbol)[SEGMENT], struct kind k)
{
	unsigned group[ROWS], r;
	size_t i;

	for (r = 0; r < k.rows; r++)
		begin(t, w, r, -1, k);
	forward(t, w, u->before, 0, warm, k);
	for (r = 0; r < k.rows; r++)
		memmove(w->step + step_at(k, r, 0), w->step + step_at(k, r, warm),
			32 * registers_of(k) * sizeof(*w->step));
	forward(t, w, u->all, warm, warm, k);
	for (r = 0; r < k.rows; r++)
		group[r] = cheapest(w->step + step_at(k, r, warm), groups_of(k));
	for (i = warm; i-- > 0;)
		for (r = 0; r < k.rows; r++)
			back(t, w, r, i, u->all[r][i], &group[r], k);
	for (r = 0; r < k.rows; r++)
		begin(t, w, r, (int)group[r], k);
	forward(t, w, u->all, 0, n, k);
	for (i = n; i-- > 0;)
		for (r = 0; r < k.rows; r++)
			symbol[r][i] = (uint8_t)back(t, w, r, i, u->all[r][i], &group[r], k);
}

typedef void (*search_fn)(const struct trellis_tables *t, struct walk *w, const struct units *u, size_t n,
			  size_t warm, uint8_t (*symbol)[SEGMENT]);

#define SEARCH(window, bits, rows)                                                                 \
	static void search_##window##_##bits##_##rows(                                             \
		const struct trellis_tables *t, struct walk *w, const struct units *u, size_t n,   \
		size_t warm, uint8_t (*symbol)[SEGMENT])                                           \
	{                                                                                          \
		search(t, w, u, n, warm, symbol, (struct kind){ window, bits, rows });             \
	}

SEARCH(8, 1, 1)
SEARCH(8, 2, 1)
SEARCH(8, 3, 1)
SEARCH(8, 4, 1)
SEARCH(9, 1, 1)
SEARCH(9, 2, 1)
SEARCH(9, 3, 1)
SEARCH(9, 4, 1)
SEARCH(8, 2, 2)
SEARCH(8, 3, 2)
SEARCH(8, 4, 2)
SEARCH(9, 2, 2)
SEARCH(9, 3, 2)
SEARCH(9, 4, 2)

/* By window, rows and bits; two rows of one bit do not fit into a walk */
static const search_fn searches[2][2][5] = {
	{ { NULL, search_8_1_1, search_8_2_1, search_8_3_1, search_8_4_1 },
	  { NULL, NULL, search_8_2_2, search_8_3_2, search_8_4_2 } },
	{ { NULL, search_9_1_1, search_9_2_1, search_9_3_1, search_9_4_1 },
	  { NULL, NULL, search_9_2_2, search_9_3_2, search_9_4_2 } },
};

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

size_t avx512_trellis_together(const struct tq_plan *plan)
{
	return plan->index_bits == 1 ? 1 : ROWS;
}

void avx512_trellis_search(const struct tq_plan *plan, const struct trellis_tables *t,
			   const float *const *y, const float *r, size_t rows, uint8_t *const *row)
{
	search_fn run = searches[plan->window - 8][rows - 1][plan->index_bits];
	uint8_t symbol[ROWS][SEGMENT];
	size_t start, end, n, warm, k;
	float step, inv;
	struct units u;
	struct walk w;

	for (start = 0; start < plan->dim; start = end) {
		tq_trellis_segment(plan->dim, start, &start, &end);
		n = end - start;
		warm = tq_trellis_warm(plan, n);
		for (k = 0; k < rows; k++) {
			step = r[k] * plan->codebook.half_step;
			inv = r[k] > 0.0f ? (float)TQ_TRELLIS_UNIT / step : 0.0f;
			to_units(y[k] + start, n, inv, u.all[k]);
			memcpy(u.before[k], u.all[k] + n - warm, warm * sizeof(*u.before[k]));
		}
		run(t, &w, &u, n, warm, symbol);
		for (k = 0; k < rows; k++)
			tq_trellis_pack(plan, symbol[k], start, n, row[k]);
	}
}
