/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Level indices of the codes of a fraction of a bit, and the words that hold them: FORMAT.md section 4.
 */

#include "scalar.h"

/* How many of the ascending thresholds are <= y */
static unsigned level_among(float y, const float *threshold, unsigned count)
{
	unsigned k = 0, left = count - 1, half;

	while (left) {
		half = left / 2;
		if (y >= threshold[k + half]) {
			k += half + 1;
			left -= half + 1;
		} else {
			left = half;
		}
	}
	return k;
}

void scalar_radix_choose(const struct tq_plan *plan, const float *threshold, const float *y, size_t at, size_t n,
			 uint8_t *index)
{
	const struct tq_radix *x = plan->radix;
	uint32_t j = tq_radix_digit(x, at);
	size_t i, end;

	for (i = 0; i < n; j++) {
		end = ((size_t)j + 1) * x->words - at;
		for (; i < n && i < end; i++)
			index[i] = (uint8_t)(x->base[j] +
					     level_among(y[at + i], threshold + x->base[j], x->count[j]));
	}
}

static unsigned digit_of(const struct tq_radix *x, uint32_t j, unsigned word)
{
	return word / x->place[j] % x->count[j];
}

void scalar_radix_load(const struct tq_plan *plan, const uint8_t *row, size_t at, size_t n, uint8_t *index)
{
	const struct tq_radix *x = plan->radix;
	uint32_t j;
	size_t i;

	for (i = 0; i < n; i++) {
		j = tq_radix_digit(x, at + i);
		index[i] = (uint8_t)(x->base[j] +
				     digit_of(x, j, tq_radix_word(plan, row, at + i - (size_t)j * x->words)));
	}
}

void scalar_radix_store(const struct tq_plan *plan, const uint8_t *index, size_t at, size_t n, uint8_t *row)
{
	const struct tq_radix *x = plan->radix;
	unsigned word;
	uint32_t j;
	size_t i, k;

	for (i = 0; i < n; i++) {
		j = tq_radix_digit(x, at + i);
		k = at + i - (size_t)j * x->words;
		word = tq_radix_word(plan, row, k);
		word += (index[i] - x->base[j] - digit_of(x, j, word)) * x->place[j];
		tq_radix_put(plan, row, k, word);
	}
}
