/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_SIMD_TRELLIS_SEARCH_H
#define TQ_SIMD_TRELLIS_SEARCH_H

/*
 * The search for a row's bits under a trellis code, for every instruction set: scalar's trellis.c has the
 * algorithm and the costs.
 *
 * With G groups and 2^b states to each, a step from the costs m of the groups before to those after is
 *
 *	m'[j] = min over c of m[(j 2^b + c) mod G] + cost(u, level[j 2^b + c])
 *
 * For each c the costs before that a register of groups j needs are m at a stride of 2^b, which repeats
 * itself every G / 2^b groups, the period. So m is kept turned, [c][j], and a load that repeats as many
 * costs over the register fetches them: no shuffles but those of the turning.
 *
 * What led to a group is not kept, only the costs: the way back finds it again from 2^b costs a step,
 * and so costs little. Two rows go side by side where costs of both fit on the stack: one waits while
 * the other works.
 *
 * The file that includes this one defines
 *
 *	costs, COSTS_LANES	a register of so many costs, 16 bits each
 *	COSTS_PARTS		a register is so many parts, each of which holds eight groups of another
 *				run: part p of register v has 8 v .. 8 v + 7 of the p-th run of groups. 1: one run
 *	costs_load, costs_store, costs_set, costs_min, costs_sub
 *	costs_add		@before + branch cost of u and a level
 *	costs_least		the least lane of a register, in all lanes
 *	costs_repeat		a register of costs that repeat themselves
 *	costs_turn		registers of all costs to memory, turned; or what trellis_turn.h wants
 *	costs_back		the best of 2^b states
 *	to_units		coordinates to search units
 */

#include "tq/trellis.h"

#define SEARCH_INLINE static inline __attribute__((always_inline))
#define SEGMENT TQ_TRELLIS_SEGMENT
/* Rows that go together at most */
#define SEARCH_ROWS 2
/* Registers of group costs: at most 256 groups */
#define COSTS_MOST (256 / COSTS_LANES)

/* Costs of one or two rows: before every step, in the order of registers; and turned, for the next step */
struct walk {
	uint16_t turned[SEARCH_ROWS][256];
	uint16_t step[(SEGMENT + 1) * 256 + 64];
} __attribute__((aligned(64)));

/* What a search is: constants to the functions below, which are compiled for each */
struct kind {
	unsigned window, bits, rows;
};

SEARCH_INLINE unsigned groups_of(struct kind k)
{
	return 1u << (k.window - k.bits);
}

/* Registers of costs */
SEARCH_INLINE unsigned registers_of(struct kind k)
{
	return groups_of(k) < COSTS_LANES ? 1 : groups_of(k) / COSTS_LANES;
}

/* Where in its registers the cost of group @j is */
SEARCH_INLINE unsigned place_of(unsigned groups, unsigned j)
{
	unsigned run = groups / COSTS_PARTS;

	return COSTS_PARTS == 1 ? j : j % run / 8 * COSTS_LANES + j / run * 8 + j % 8;
}

/* Costs of row @r before step @i */
SEARCH_INLINE size_t step_at(struct kind k, unsigned r, size_t i)
{
	return (r * (SEGMENT + 1) + i) * COSTS_LANES * registers_of(k);
}

#ifndef COSTS_OWN_TURN
#include "trellis_turn.h"
#endif

/**
 * search_tables - levels in search units
 * @target: by register of groups and low bits, those of its states
 * @level:  by state, with room for a register behind the last
 */
static inline void search_tables(const struct tq_plan *plan, int16_t *target, int16_t *level)
{
	unsigned bits = plan->index_bits, groups = 1u << (plan->window - bits), j, c, at;

	for (j = 0; j < 1u << plan->window; j++)
		level[j] = (int16_t)(plan->trellis[j] * TQ_TRELLIS_UNIT);
	for (j = 0; j < groups || j < COSTS_LANES; j++) {
		at = j < groups ? place_of(groups, j) : j;
		for (c = 0; c < 1u << bits; c++)
			target[((at / COSTS_LANES << bits) + c) * COSTS_LANES + at % COSTS_LANES] =
				level[j % groups << bits | c];
	}
}

/* The least of all costs, taken off each */
SEARCH_INLINE void rebase(costs *cost, unsigned n)
{
	costs min = cost[0];
	unsigned i;

#pragma GCC unroll 32
	for (i = 1; i < n; i++)
		min = costs_min(min, cost[i]);
	min = costs_least(min);
#pragma GCC unroll 32
	for (i = 0; i < n; i++)
		cost[i] = costs_sub(cost[i], min);
}

/* Costs in the order of registers, to memory in both orders */
SEARCH_INLINE void put(const struct trellis_tables *t, struct walk *w, unsigned r, size_t step, const costs *cost,
		       struct kind k)
{
	unsigned i;

#pragma GCC unroll 32
	for (i = 0; i < registers_of(k); i++)
		costs_store(w->step + step_at(k, r, step) + COSTS_LANES * i, cost[i]);
	costs_turn(t, cost, registers_of(k), k, w->turned[r]);
}

/* One step of @k.rows rows over coordinates @u, to @cost */
SEARCH_INLINE void advance(const struct trellis_tables *t, const struct walk *w, const costs *u,
			   costs (*cost)[COSTS_MOST], struct kind k)
{
	const unsigned fan = 1u << k.bits, period = groups_of(k) >> k.bits;
	const int16_t *target = t->target;
	costs level, sum;
	unsigned r, v, c;

#pragma GCC unroll 32
	for (v = 0; v < registers_of(k); v++) {
#pragma GCC unroll 16
		for (c = 0; c < fan; c++, target += COSTS_LANES) {
			level = costs_load((const uint16_t *)target);
#pragma GCC unroll 2
			for (r = 0; r < k.rows; r++) {
				sum = costs_add(costs_repeat(w->turned[r] + turned_at(period, c, v), period), u[r],
						level);
				cost[r][v] = c ? costs_min(cost[r][v], sum) : sum;
			}
		}
	}
}

/* @steps steps over @u, the first of which is number @first of the walk; costs are kept from number 0 on */
SEARCH_INLINE void forward(const struct trellis_tables *t, struct walk *w, const int16_t (*u)[SEGMENT], size_t first,
			   size_t steps, struct kind k)
{
	costs cost[SEARCH_ROWS][COSTS_MOST], x[SEARCH_ROWS];
	unsigned r;
	size_t i;

	for (i = 0; i < steps; i++) {
#pragma GCC unroll 2
		for (r = 0; r < k.rows; r++)
			x[r] = costs_set((uint16_t)u[r][i]);
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
SEARCH_INLINE void begin(const struct trellis_tables *t, struct walk *w, unsigned r, int group, struct kind k)
{
	uint16_t cost[256] __attribute__((aligned(64)));
	costs start[COSTS_MOST];
	unsigned i;

	memset(cost, group < 0 ? 0 : 0xff, sizeof(cost));
	if (group >= 0)
		cost[place_of(groups_of(k), (unsigned)group)] = 0;
	for (i = 0; i < registers_of(k); i++)
		start[i] = costs_load(cost + COSTS_LANES * i);
	put(t, w, r, 0, start, k);
}

/* The low bits of the best state that led to @group at step @i; @group becomes the one before */
SEARCH_INLINE unsigned back(const struct trellis_tables *t, const struct walk *w, unsigned r, size_t i, int16_t u,
			    unsigned *group, struct kind k)
{
	unsigned s = *group << k.bits, mask = groups_of(k) - 1, c;
	const uint16_t *before = w->step + step_at(k, r, i);

	c = costs_back(t->level + s, before + place_of(groups_of(k), s & mask),
		       before + (k.bits == 4 ? place_of(groups_of(k), (s & mask) + 8) : 0), u, k.bits);
	*group = (s | c) & mask;
	return c;
}

SEARCH_INLINE unsigned cheapest(const uint16_t *cost, unsigned groups)
{
	unsigned best = 0, least = cost[0], at, j;

	for (j = 1; j < groups; j++) {
		at = place_of(groups, j);
		best = cost[at] < least ? j : best;
		least = cost[at] < least ? cost[at] : least;
	}
	return best;
}

/* Coordinates of a segment in search units, and those before and after the seam */
struct units {
	int16_t all[SEARCH_ROWS][SEGMENT];
	int16_t before[SEARCH_ROWS][SEGMENT];
};

SEARCH_INLINE void search(const struct trellis_tables *t, struct walk *w, const struct units *u, size_t n, size_t warm,
			  uint8_t (*symbol)[SEGMENT], struct kind k)
{
	unsigned group[SEARCH_ROWS], r;
	size_t i;

	for (r = 0; r < k.rows; r++)
		begin(t, w, r, -1, k);
	forward(t, w, u->before, 0, warm, k);
	for (r = 0; r < k.rows; r++)
		memmove(w->step + step_at(k, r, 0), w->step + step_at(k, r, warm),
			COSTS_LANES * registers_of(k) * sizeof(*w->step));
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

/** search_together - rows that a search works on at once: 1 or 2 */
static inline size_t search_together(const struct tq_plan *plan)
{
	return plan->index_bits == 1 ? 1 : SEARCH_ROWS;
}

/**
 * search_rows - scalar's: the bits of least error
 * @y, @r, @row: of each of @rows rows, as many as go together or one
 */
static void search_rows(const struct tq_plan *plan, const struct trellis_tables *t, const float *const *y,
			const float *r, size_t rows, uint8_t *const *row)
{
	search_fn run = searches[plan->window - 8][rows - 1][plan->index_bits];
	uint8_t symbol[SEARCH_ROWS][SEGMENT];
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

#endif
