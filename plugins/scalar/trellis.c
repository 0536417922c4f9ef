/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The search for a row's bits under a trellis code, FORMAT.md section 4 step 7: the Viterbi algorithm in
 * whole numbers, so that any order of the work gives the same bits.
 *
 * A state s has 2^b successors, which share its bits from b on: those bits are the number of the group
 * that the states after it belong to. So what must be known between two coordinates is one cost per group
 * j, that of the best path whose last state s has s >> b = j; the next state is any whose low bits are j.
 */

#include "scalar.h"

#define SEGMENT TQ_TRELLIS_SEGMENT
#define GROUPS_MAX (TQ_TRELLIS_STATES / 2)

/* A walk along coordinates: costs by group, and for every step the bits that led to each group best. */
struct walk {
	const struct tq_plan *plan;
	unsigned bits, groups;
	uint32_t cost[GROUPS_MAX];
	uint8_t from[SEGMENT][GROUPS_MAX];
};

static uint32_t branch_cost(int u, int level)
{
	int d = u - level;

	d = d > 32767 ? 32767 : d < -32768 ? -32768 : d;
	return ((uint32_t)(d * d) + 0x4000u) >> 15;
}

static uint32_t least(const struct walk *w)
{
	uint32_t min = w->cost[0];
	unsigned j;

	for (j = 1; j < w->groups; j++)
		min = w->cost[j] < min ? w->cost[j] : min;
	return min;
}

/* Step number @t of the walk, over a coordinate of value @u. */
static void step(struct walk *w, size_t t, int u, uint8_t *from)
{
	uint32_t next[GROUPS_MAX], base = t % TQ_TRELLIS_REBASE ? 0 : least(w), sum;
	unsigned j, c, s;

	for (j = 0; j < w->groups; j++) {
		next[j] = UINT32_MAX;
		for (c = 0; c < 1u << w->bits; c++) {
			s = j << w->bits | c;
			sum = w->cost[s & (w->groups - 1)] - base +
			      branch_cost(u, w->plan->trellis[s] * TQ_TRELLIS_UNIT);
			sum = sum < TQ_TRELLIS_COST_MAX ? sum : TQ_TRELLIS_COST_MAX;
			if (sum >= next[j])
				continue;
			next[j] = sum;
			from[j] = (uint8_t)c;
		}
	}
	memcpy(w->cost, next, w->groups * sizeof(*next));
}

static unsigned back(const struct walk *w, size_t step, unsigned group)
{
	return (group << w->bits | w->from[step][group]) & (w->groups - 1);
}

/* The group at the seam between the last coordinate and the first, from the coordinates around it. */
static unsigned seam(struct walk *w, const int *u, size_t n)
{
	size_t warm = tq_trellis_warm(w->plan, n), t;
	unsigned group = 0, j;

	memset(w->cost, 0, sizeof(w->cost));
	for (t = 0; t < 2 * warm; t++)
		step(w, t, u[(n - warm + t) % n], w->from[t % warm]);
	for (j = 1; j < w->groups; j++)
		if (w->cost[j] < w->cost[group])
			group = j;
	for (t = warm; t-- > 0;)
		group = back(w, t, group);
	return group;
}

static void search(struct walk *w, const int *u, size_t n, uint8_t *symbol)
{
	unsigned group = seam(w, u, n), j;
	size_t t;

	for (j = 0; j < w->groups; j++)
		w->cost[j] = j == group ? 0 : TQ_TRELLIS_COST_MAX;
	for (t = 0; t < n; t++)
		step(w, t, u[t], w->from[t]);
	for (t = n; t-- > 0;) {
		symbol[t] = w->from[t][group];
		group = back(w, t, group);
	}
}

/* Coordinates in units of 1/256 half step, no larger than the largest level. */
static void to_units(const float *y, size_t n, float inv, int *u)
{
	float v;
	size_t i;

	for (i = 0; i < n; i++) {
		v = y[i] * inv;
		v = v > TQ_TRELLIS_TOP ? TQ_TRELLIS_TOP : v < -TQ_TRELLIS_TOP ? -TQ_TRELLIS_TOP : v;
		u[i] = (int)tq_rint(v);
	}
}

void scalar_trellis(const struct tq_plan *plan, const float *y, float r, uint8_t *row)
{
	float inv = r > 0.0f ? (float)TQ_TRELLIS_UNIT / (r * plan->codebook.half_step) : 0.0f;
	struct walk walk = { .plan = plan, .bits = plan->index_bits };
	uint8_t symbol[SEGMENT];
	size_t start, end;
	int u[SEGMENT];

	walk.groups = 1u << (plan->window - plan->index_bits);
	for (start = 0; start < plan->dim; start = end) {
		tq_trellis_segment(plan->dim, start, &start, &end);
		to_units(y + start, end - start, inv, u);
		search(&walk, u, end - start, symbol);
		tq_trellis_pack(plan, symbol, start, end - start, row);
	}
}
