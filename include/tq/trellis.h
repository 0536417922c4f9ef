/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_TRELLIS_H
#define TQ_TRELLIS_H

/*
 * The rules of the trellis codes that every driver shares, FORMAT.md sections 3 and 4. A driver of theirs
 * includes this header beside tq/plugin.h.
 *
 * A row is cut into segments of at most 128 coordinates. The bits of a segment of n coordinates, b each,
 * are a ring of n * b. Coordinate i of the segment has the state whose bits are those of the ring from
 * i * b on, low bits first, window of them; its level is looked up by the state. So neighbours share all
 * but b of their bits, and any coordinate is decoded from its own window, alone.
 */

#include <stddef.h>
#include <stdint.h>
#include "tq/plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Longest segment; all begin at multiples of half of it. */
#define TQ_TRELLIS_SEGMENT 128
/** A last segment shorter than this takes the second half of the one before. */
#define TQ_TRELLIS_SHORT 16
#define TQ_TRELLIS_STATES 512

/** Coordinates and levels in the search for the best states: 256 steps to a half step of the levels. */
#define TQ_TRELLIS_UNIT 256
#define TQ_TRELLIS_TOP (127 * TQ_TRELLIS_UNIT)
/** Path costs stop at this; the least is taken off before every fourth coordinate. */
#define TQ_TRELLIS_COST_MAX 65535u
#define TQ_TRELLIS_REBASE 4

/** tq_trellis_segment - the segment of coordinate @i: @start .. @end - 1 */
static inline void tq_trellis_segment(size_t dim, size_t i, size_t *start, size_t *end)
{
	size_t rest = dim % TQ_TRELLIS_SEGMENT, tail = dim;

	if (dim > TQ_TRELLIS_SEGMENT && rest > 0 && rest < TQ_TRELLIS_SHORT)
		tail = dim - rest - TQ_TRELLIS_SEGMENT / 2;
	*start = i >= tail ? tail : i - i % TQ_TRELLIS_SEGMENT;
	*end = i >= tail ? dim : *start + TQ_TRELLIS_SEGMENT < tail ? *start + TQ_TRELLIS_SEGMENT : tail;
}

/** tq_trellis_state - the @window bits from bit @at on of the ring of @nbits bits */
static inline uint32_t tq_trellis_state(const uint8_t *ring, size_t nbits, size_t at, unsigned window)
{
	uint32_t state = 0;
	unsigned i;

	if (at + 16 <= nbits)
		return (uint32_t)(ring[at / 8] | ring[at / 8 + 1] << 8) >> at % 8 & ((1u << window) - 1u);
	for (i = 0; i < window; i++, at = at + 1 == nbits ? 0 : at + 1)
		state |= (uint32_t)(ring[at / 8] >> at % 8 & 1) << i;
	return state;
}

/** tq_trellis_odd - level numbers of coordinates @first .. @first + @n - 1 of a row */
static inline void tq_trellis_odd(const struct tq_plan *plan, const uint8_t *row, size_t first, size_t n,
				  int16_t *odd)
{
	const uint8_t *bits = row + plan->layout.section[0].at;
	size_t b = plan->index_bits, start = 0, end = 0, i;

	for (i = first; i < first + n; i++) {
		if (i >= end)
			tq_trellis_segment(plan->dim, i, &start, &end);
		*odd++ = plan->trellis[tq_trellis_state(bits + start * b / 8, (end - start) * b,
							(i - start) * b, plan->window)];
	}
}

/** tq_trellis_pack - write the @b bits of each of @n coordinates from @first, a multiple of 8, on */
static inline void tq_trellis_pack(const struct tq_plan *plan, const uint8_t *symbol, size_t first,
				   size_t n, uint8_t *row)
{
	uint8_t *at = row + plan->layout.section[0].at + first * plan->index_bits / 8;
	unsigned held = 0, pending = 0;
	size_t i;

	for (i = 0; i < n; i++) {
		pending |= (unsigned)symbol[i] << held;
		held += plan->index_bits;
		if (held >= 8) {
			*at++ = (uint8_t)pending;
			pending >>= 8;
			held -= 8;
		}
	}
	if (held)
		*at = (uint8_t)pending;
}

/** tq_trellis_warm - coordinates on each side of the seam that the search for its state looks at */
static inline size_t tq_trellis_warm(const struct tq_plan *plan, size_t n)
{
	size_t warm = plan->index_bits == 1 ? n : 32 / plan->index_bits;

	return warm < n ? warm : n;
}

#ifdef __cplusplus
}
#endif
#endif
