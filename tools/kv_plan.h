/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TOOLS_KV_PLAN_H
#define TOOLS_KV_PLAN_H

/*
 * Choosing specs under a budget. An item is the keys or the values of one KV head of one layer; each candidate
 * has a cost for each item, and bytes that depend on whether the item is keys or values.
 */

#include <stddef.h>
#include <stdint.h>

/**
 * struct kv_choice - the problem, and its solution
 * @items:      how many; even ones are keys, odd ones values: ((layer * kv_heads) + head) * 2 + part
 * @candidates: how many
 * @cost:       items x candidates
 * @bytes:      2 x candidates: of a page of keys, of values, more than the first candidate's; may be negative
 * @chosen:     receives the candidate of each item
 */
struct kv_choice {
	size_t items, candidates;
	const double *cost;
	const int64_t *bytes;
	unsigned *chosen;
};

/**
 * kv_choose - least sum of costs, by steps along the lower hull of each item's costs over bytes
 * @budget: bytes that the items may take, counted as @bytes is
 *
 * Each item starts with its cheapest candidate in bytes; then the step that saves most cost per byte and fits is
 * taken, until none fits. That is the optimum for the bytes it uses, but for a last step that did not fit.
 *
 * Return: 0; -1 where even the starts do not fit.
 */
int kv_choose(const struct kv_choice *c, int64_t budget);

#endif
