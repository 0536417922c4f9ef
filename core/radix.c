/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The codes of a fraction of a bit: how many levels go into a word. FORMAT.md section 3.
 */

#include "plan.h"
#include "tq/radix.h"

/*
 * @digits: of a word
 * @width:  bits of a word
 * @count:  levels of its first digit, and of the others; their product is at most 2^width
 */
static const struct rate {
	uint32_t digits, width;
	uint16_t count[2];
} rates[] = {
	{ 5, 8, { 3, 3 } },	/* 243: 1.6 bits */
	{ 3, 7, { 5, 5 } },	/* 125: 2.333 */
	{ 2, 5, { 6, 5 } },	/* 30: 2.5 */
	{ 2, 7, { 11, 11 } },	/* 121: 3.5 */
	{ 2, 9, { 23, 22 } },	/* 506: 4.5 */
};

static const struct rate *rate_of(uint32_t code)
{
	return code >= TQ_CODE_LM1_6 && code <= TQ_CODE_LM4_5 ? &rates[code - TQ_CODE_LM1_6] : NULL;
}

uint32_t tq_radix_width(uint32_t code)
{
	const struct rate *rate = rate_of(code);

	return rate ? rate->width : 0;
}

uint32_t tq_radix_words(uint32_t code, uint32_t dim)
{
	uint32_t digits = rate_of(code)->digits;

	return (dim + digits - 1) / digits;
}

uint32_t tq_radix_count(uint32_t code, uint32_t book)
{
	const struct rate *rate = rate_of(code);

	return rate && (!book || rate->count[0] != rate->count[1]) ? rate->count[book] : 0;
}

void tq_radix_fill(uint32_t code, uint32_t dim, const struct tq_codebook *book, struct tq_radix *x)
{
	const struct rate *rate = rate_of(code);
	uint32_t j, word, place = 1;

	memset(x, 0, sizeof(*x));
	x->struct_size = sizeof(*x);
	x->digits = rate->digits;
	x->width = rate->width;
	x->words = tq_radix_words(code, dim);
	for (j = 0; j < x->digits; j++) {
		x->count[j] = rate->count[j > 0];
		x->base[j] = (uint16_t)(j && tq_radix_count(code, 1) ? rate->count[0] : 0);
		x->place[j] = (uint16_t)place;
		for (word = 0; word < 1u << x->width; word++)
			x->level[j][word] = book->odd[x->base[j] + word / place % x->count[j]];
		place *= x->count[j];
	}
}
