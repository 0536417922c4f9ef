/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_RADIX_H
#define TQ_RADIX_H

/*
 * Codes of a fraction of a bit (code=lm:1.6 and the like; docs/FORMAT.md sections 3 and 4): the level counts are no powers of two, and
 * the level indices of a few coordinates are the digits of one word. Word k of the W in a row holds coordinates
 * k, W + k, 2 W + k and so on, so that a run of words is as many runs of coordinates. Drivers of plugins share these rules.
 */

#include "tq/plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TQ_RADIX_DIGITS 5
#define TQ_RADIX_WORDS 512

/**
 * struct tq_radix - tables of such a code
 * @digits: of a word, 2..TQ_RADIX_DIGITS
 * @width:  bits of a word, 5..9
 * @words:  in a row: ceil(dim / digits)
 * @count:  levels of a digit
 * @place:  digit j of word w is w / place[j] % count[j]; place[0] is 1
 * @base:   where the levels of digit j begin in codebook.odd; its bounds begin there in codebook.bounds
 * @level:  the level number that digit j of a word stands for
 *
 * Words that no encoder writes, from the product of the counts on, have digits like any other.
 */
struct tq_radix {
	uint32_t struct_size;
	uint32_t digits;
	uint32_t width;
	uint32_t words;
	uint16_t count[TQ_RADIX_DIGITS + 1];
	uint16_t place[TQ_RADIX_DIGITS + 1];
	uint16_t base[TQ_RADIX_DIGITS + 1];
	int16_t level[TQ_RADIX_DIGITS][TQ_RADIX_WORDS];
};

/** tq_radix_word - word @k of a row */
static inline unsigned tq_radix_word(const struct tq_plan *plan, const uint8_t *row, size_t k)
{
	const struct tq_section *s = plan->layout.section;
	unsigned word = 0;
	size_t bit;

	for (; s < plan->layout.section + plan->layout.nsections; s++) {
		bit = k * s->width;
		word |= ((unsigned)row[s->at + bit / 8] >> bit % 8 & ((1u << s->width) - 1u)) << s->shift;
	}
	return word;
}

/** tq_radix_put - replace word @k of a row */
static inline void tq_radix_put(const struct tq_plan *plan, uint8_t *row, size_t k, unsigned word)
{
	const struct tq_section *s = plan->layout.section;
	unsigned mask, at;
	uint8_t *byte;
	size_t bit;

	for (; s < plan->layout.section + plan->layout.nsections; s++) {
		bit = k * s->width;
		at = bit % 8;
		mask = (1u << s->width) - 1u;
		byte = row + s->at + bit / 8;
		*byte = (uint8_t)((*byte & ~(mask << at)) | (word >> s->shift & mask) << at);
	}
}

/** tq_radix_digit - which digit of its word coordinate @i is */
static inline uint32_t tq_radix_digit(const struct tq_radix *x, size_t i)
{
	return (uint32_t)(i / x->words);
}

/** tq_radix_odd - level numbers of coordinates @first to @first + @n - 1 of a row */
static inline void tq_radix_odd(const struct tq_plan *plan, const uint8_t *row, size_t first, size_t n,
				int16_t *odd)
{
	const struct tq_radix *x = plan->radix;
	uint32_t j = tq_radix_digit(x, first);
	size_t k = first - (size_t)j * x->words, i;

	for (i = 0; i < n; i++) {
		odd[i] = x->level[j][tq_radix_word(plan, row, k)];
		if (++k == x->words) {
			k = 0;
			j++;
		}
	}
}

#ifdef __cplusplus
}
#endif
#endif
