/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_SIMD_CELLS_H
#define TQ_SIMD_CELLS_H

/*
 * Finding a level by its cell: y * to_cell + origin, clamped, is the number of a cell of equal
 * width. The search starts at the first level that a y in that cell can have and passes at most
 * @steps thresholds. A slack of 2^-14 of a sigma on both sides of the cell covers the rounding of
 * the cell's number (values up to 9, a few units of 2^-24 each), so the comparisons, which are
 * exact, decide alone.
 */

#include "tq/plugin.h"

/**
 * cells_create - the table of cells of a codebook with two levels or more
 * @cells:   their number; cell c holds (c - origin) <= y * to_cell < (c + 1 - origin)
 * @origin:  within the table; @cells - @origin is the distance that the largest threshold gets
 * @first:   receives the level where the search starts
 * @to_cell: receives cells per unit of sigma
 *
 * Return: thresholds that one cell may hold.
 */
static inline uint32_t cells_create(const struct tq_codebook *book, uint32_t cells, double origin,
				    int32_t *first, float *to_cell)
{
	uint32_t cell, low_level = 0, high_level = 0, steps = 0, nbounds = book->count - 1;
	double slack = 1.0 / 16384, width, low, high, reach;

	reach = book->bounds[nbounds - 1] * 1.0009765625;
	*to_cell = (float)((cells - origin) / reach);
	width = 1.0 / *to_cell;
	for (cell = 0; cell < cells; cell++) {
		low = (cell - origin) * width - slack;
		high = (cell + 1 - origin) * width + slack;
		while (cell && low_level < nbounds && book->bounds[low_level] < low)
			low_level++;
		while (high_level < nbounds &&
		       (cell == cells - 1 || book->bounds[high_level] <= high))
			high_level++;
		first[cell] = (int32_t)low_level;
		if (high_level - low_level > steps)
			steps = high_level - low_level;
	}
	return steps;
}

#endif
