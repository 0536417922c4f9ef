/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_SIMD_RADIX_BOOK_H
#define TQ_SIMD_RADIX_BOOK_H

/* The codebooks of a fraction of a bit. Who includes this has a struct radix_tables, of which radix_rows.h says more. */

#include "tq/radix.h"

/** radix_book - the levels of digit @j alone, as a codebook of their own */
static inline void radix_book(const struct tq_plan *plan, uint32_t j, struct tq_codebook *book)
{
	const struct tq_codebook *from = &plan->codebook;
	uint32_t base = plan->radix->base[j];

	*book = *from;
	book->count = plan->radix->count[j];
	memcpy(book->odd, from->odd + base, book->count * sizeof(from->odd[0]));
	memcpy(book->bounds, from->bounds + base, (book->count - 1) * sizeof(from->bounds[0]));
}

/** radix_books - one, or two where the second digit has levels of its own */
static inline void radix_books(const struct tq_plan *plan, struct radix_tables *t)
{
	uint32_t j;

	t->books = plan->radix->base[1] ? 2 : 1;
	for (j = 0; j < t->books; j++)
		radix_book(plan, j, &t->book[j].levels);
}

#endif
