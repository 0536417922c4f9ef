/* SPDX-License-Identifier: Apache-2.0 */

/* Least cost under a budget of bytes. */

#include "kv_plan.h"

static int64_t bytes_of(const struct kv_choice *c, size_t item, unsigned candidate)
{
	return c->bytes[(item & 1) * c->candidates + candidate];
}

static double cost_of(const struct kv_choice *c, size_t item, unsigned candidate)
{
	return c->cost[item * c->candidates + candidate];
}

/* Fewest bytes; among equals least cost */
static unsigned smallest(const struct kv_choice *c, size_t item)
{
	unsigned best = 0;

	for (unsigned i = 1; i < c->candidates; i++) {
		int64_t more = bytes_of(c, item, i) - bytes_of(c, item, best);

		if (more < 0 || (!more && cost_of(c, item, i) < cost_of(c, item, best)))
			best = i;
	}
	return best;
}

/* The step from the item's choice that saves most per byte, of those that fit into @left; 0 if there is none */
static double best_step(const struct kv_choice *c, size_t item, int64_t left, unsigned *to)
{
	unsigned from = c->chosen[item];
	double best = 0;

	for (unsigned i = 0; i < c->candidates; i++) {
		int64_t more = bytes_of(c, item, i) - bytes_of(c, item, from);
		double saved = cost_of(c, item, from) - cost_of(c, item, i);

		if (more <= 0 || more > left || !(saved / (double)more > best))
			continue;
		best = saved / (double)more;
		*to = i;
	}
	return best;
}

int kv_choose(const struct kv_choice *c, int64_t budget)
{
	for (size_t i = 0; i < c->items; i++) {
		c->chosen[i] = smallest(c, i);
		budget -= bytes_of(c, i, c->chosen[i]);
	}
	if (budget < 0)
		return -1;
	for (;;) {
		size_t item = 0;
		unsigned to = 0, step = 0;
		double best = 0;

		for (size_t i = 0; i < c->items; i++) {
			double gain = best_step(c, i, budget, &step);

			if (!(gain > best))
				continue;
			best = gain;
			item = i;
			to = step;
		}
		if (!(best > 0))
			return 0;
		budget -= bytes_of(c, item, to) - bytes_of(c, item, c->chosen[item]);
		c->chosen[item] = to;
	}
}
