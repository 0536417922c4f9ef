/* SPDX-License-Identifier: Apache-2.0 */
/*
 * "Did you mean": the known word at the smallest edit distance from a mistyped one.
 */

#include "core.h"

#define WORD_MAX 63

/* Optimal string alignment: insert, delete, replace, or swap two neighbours, each at cost 1. */
static unsigned edit_distance(const char *a, size_t na, const char *b, size_t nb)
{
	unsigned row[3][WORD_MAX + 1], *prev2 = row[0], *prev = row[1], *cur = row[2], *spare, cost;
	size_t i, j;

	for (j = 0; j <= nb; j++)
		prev[j] = (unsigned)j;
	for (i = 1; i <= na; i++) {
		cur[0] = (unsigned)i;
		for (j = 1; j <= nb; j++) {
			cost = prev[j - 1] + (a[i - 1] != b[j - 1]);
			if (prev[j] + 1 < cost)
				cost = prev[j] + 1;
			if (cur[j - 1] + 1 < cost)
				cost = cur[j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    prev2[j - 2] + 1 < cost)
				cost = prev2[j - 2] + 1;
			cur[j] = cost;
		}
		spare = prev2;
		prev2 = prev;
		prev = cur;
		cur = spare;
	}
	return prev[nb];
}

const char *tq_suggest(const char *word, const char *const *words)
{
	const char *best = NULL;
	size_t nw = strlen(word), n;
	unsigned dist, best_dist;

	if (nw == 0 || nw > WORD_MAX)
		return NULL;
	best_dist = nw <= 2 ? 2 : nw <= 5 ? 3 : 4;
	for (; *words; words++) {
		n = strlen(*words);
		if (n > WORD_MAX)
			continue;
		dist = edit_distance(word, nw, *words, n);
		if (dist < best_dist) {
			best_dist = dist;
			best = *words;
		}
	}
	return best;
}
