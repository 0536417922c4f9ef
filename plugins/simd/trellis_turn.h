/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_SIMD_TRELLIS_TURN_H
#define TQ_SIMD_TRELLIS_TURN_H

/*
 * Group costs of a trellis search to [c][j]: group p = j 2^b + c goes to place c * period + j, so the bits
 * of its number rotate by b. A stage over all registers rotates by one: to the right it sets even places
 * apart from odd ones, to the left it interleaves the halves. Where a register has two parts, the number's
 * top bit says which part, and does not take part; costs_join() puts it back below 16 places of a period.
 * The file that includes trellis_search.h defines
 *
 *	costs_even, costs_odd		of two registers, part by part
 *	costs_zip_low, costs_zip_high	likewise, their lower and upper halves interleaved
 *	costs_join			the parts of a register, to one run of places
 */

/* log2 of the places that take part */
SEARCH_INLINE unsigned turn_bits(struct kind k)
{
	return k.window - k.bits - (COSTS_PARTS == 2);
}

SEARCH_INLINE void turn_right(costs *x, unsigned n)
{
	costs y[COSTS_MOST];
	unsigned i;

#pragma GCC unroll 16
	for (i = 0; i < n / 2; i++) {
		y[i] = costs_even(x[2 * i], x[2 * i + 1]);
		y[n / 2 + i] = costs_odd(x[2 * i], x[2 * i + 1]);
	}
#pragma GCC unroll 32
	for (i = 0; i < n; i++)
		x[i] = y[i];
}

SEARCH_INLINE void turn_left(costs *x, unsigned n)
{
	costs y[COSTS_MOST];
	unsigned i;

#pragma GCC unroll 16
	for (i = 0; i < n / 2; i++) {
		y[2 * i] = costs_zip_low(x[i], x[n / 2 + i]);
		y[2 * i + 1] = costs_zip_high(x[i], x[n / 2 + i]);
	}
#pragma GCC unroll 32
	for (i = 0; i < n; i++)
		x[i] = y[i];
}

SEARCH_INLINE void costs_turn(const struct trellis_tables *t, const costs *cost, unsigned n, struct kind k,
			      uint16_t *turned)
{
	const unsigned period = groups_of(k) >> k.bits;
	unsigned right = k.bits, left = turn_bits(k) - k.bits, i;
	costs x[COSTS_MOST];

	(void)t;
#pragma GCC unroll 32
	for (i = 0; i < n; i++)
		x[i] = cost[i];
	/* interleaving takes an instruction, setting apart one for each part */
	if (period == 1)
		right = left = 0;
	else if (right * COSTS_PARTS <= left)
		left = 0;
	else
		right = 0;
	if (right > 0)
		turn_right(x, n);
	if (right > 1)
		turn_right(x, n);
	if (right > 2)
		turn_right(x, n);
	if (left > 0)
		turn_left(x, n);
	if (left > 1)
		turn_left(x, n);
	if (left > 2)
		turn_left(x, n);
#pragma GCC unroll 32
	for (i = 0; i < n; i++)
		costs_store(turned + COSTS_LANES * i, costs_join(x[i], period));
}

/* Where the costs for low bits @c of register @v begin */
SEARCH_INLINE unsigned turned_at(unsigned period, unsigned c, unsigned v)
{
	unsigned run = period / COSTS_PARTS, j = 8 * v % period;

	if (period <= 8)
		return c * period;
	return (c * run + j % run) / 8 * COSTS_LANES + j / run * 8;
}

#endif
