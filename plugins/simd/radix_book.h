/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_SIMD_RADIX_BOOK_H
#define TQ_SIMD_RADIX_BOOK_H

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

#endif
