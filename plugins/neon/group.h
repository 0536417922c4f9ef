/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_NEON_GROUP_H
#define TQ_NEON_GROUP_H

/*
 * Four rows with many vectors: their levels are written to a buffer once, a block of coordinates at
 * a time, and meet every column, that is, every plane of up to GROUP queries, or of other rows.
 */

#include "sums.h"

/** Vectors that share the levels of four rows */
#define COLUMNS 32
#define GROUP (COLUMNS / 2)

/** Levels of four rows by plane: hi, lo, or lo alone */
struct level_block {
	struct dot_rows plane[2];
};

/* One chunk; levels past the end of the row become zero, one bit @signs */
NEON_INLINE void chunk_levels(const struct shape *s, const uint8_t *row, size_t chunk, size_t rest,
			      uint32_t bits, int signs, struct levels *lev)
{
	uint32_t per = levels_registers(bits), v;
	uint8x16_t f[3];
	int8x16_t used;

	chunk_load(s, row, chunk, rest, bits, f);
	levels_decode(&s->tables, f, bits, lev);
	for (v = 0; bits == 1 && signs && v < per; v++)
		lev->lo[v] = vorrq_s8(lev->lo[v], vdupq_n_s8(1));
	for (v = 0; rest && v < per; v++) {
		used = vreinterpretq_s8_u8(bytes_below((rest + per - 1 - v) / per));
		lev->lo[v] = vandq_s8(lev->lo[v], used);
		if (levels_planes(bits) == 2)
			lev->hi[v] = vandq_s8(lev->hi[v], used);
	}
}

/**
 * levels_write - levels of up to DOT_BLOCK coordinates from @first on
 * @signs: one bit: 1 for a clear and -1 for a set bit, not a mask
 * @to:    the planes, @plane_bytes apart
 * @put:   writes a register to a plane
 *
 * Return: bytes of each row and plane.
 */
NEON_INLINE size_t levels_write(const struct shape *s, const uint8_t *const *row, size_t first,
				uint32_t bits, int signs, void *to, size_t plane_bytes,
				void (*put)(void *to, size_t row, size_t at, int8x16_t v))
{
	size_t end = s->dim - first < DOT_BLOCK ? s->dim : first + DOT_BLOCK, at, c = 0, r, rest;
	char *lo = (char *)to + (levels_planes(bits) - 1) * plane_bytes;
	uint32_t per = levels_registers(bits), v;
	struct levels lev;

	for (r = 0; r < ROWS; r++) {
		for (at = first, c = 0; at < end; at += 16 * per) {
			rest = end - at < 16 * per ? end - at : 0;
			chunk_levels(s, row[r], at / (16 * per), rest, bits, signs, &lev);
			for (v = 0; v < per; v++, c += 16) {
				if (levels_planes(bits) == 2)
					put(to, r, c, lev.hi[v]);
				put(lo, r, c, lev.lo[v]);
			}
		}
	}
	return c;
}

/**
 * group_block - one block of levels with every column
 * @columns: @ncolumns vectors of @n bytes
 * @sum:     [plane of the levels][column], added to
 */
static void group_block(const struct level_block *levels, uint32_t level_planes,
			const int8_t *const *columns, size_t ncolumns, size_t n,
			int32x4_t sum[2][COLUMNS])
{
	uint32_t p;
	size_t c;

	for (p = 0; p < level_planes; p++) {
		for (c = 0; DOT_COLUMNS == 8 && c + 8 <= ncolumns; c += 8)
			dot_tile(&levels->plane[p], columns + c, n, 8, sum[p] + c);
		for (; c + 4 <= ncolumns; c += 4)
			dot_tile(&levels->plane[p], columns + c, n, 4, sum[p] + c);
		for (; c + 2 <= ncolumns; c += 2)
			dot_tile(&levels->plane[p], columns + c, n, 2, sum[p] + c);
		if (c < ncolumns)
			dot_tile(&levels->plane[p], columns + c, n, 1, sum[p] + c);
	}
}

/**
 * group_sums - four rows and up to COLUMNS planes
 * @planes: @nplanes vectors of bytes in the order of the levels
 * @sum:    receives [plane of the levels][plane]
 */
NEON_INLINE void group_sums(const struct shape *s, const uint8_t *const *row,
			    const int8_t *const *planes, size_t nplanes, uint32_t bits,
			    int32x4_t sum[2][COLUMNS])
{
	const int8_t *columns[COLUMNS];
	struct level_block levels;
	size_t first, c, n;

	for (c = 0; c < nplanes; c++)
		sum[0][c] = sum[1][c] = vdupq_n_s32(0);
	for (first = 0; first < s->dim; first += DOT_BLOCK) {
		n = levels_write(s, row, first, bits, 0, &levels, sizeof(levels.plane[0]),
				 dot_rows_put);
		for (c = 0; c < nplanes; c++)
			columns[c] = planes[c] + first;
		group_block(&levels, levels_planes(bits), columns, nplanes, n, sum);
	}
}

/**
 * group_pick - the sums of one vector of @planes planes out of a group's
 * @at:  its first plane
 * @out: receives what sums_one() leaves
 */
NEON_INLINE void group_pick(int32x4_t sum[2][COLUMNS], size_t at, uint32_t bits, uint32_t planes,
			    int32x4_t *out)
{
	int last = sums_count(levels_planes(bits), planes) - 1;

	out[0] = sum[0][at];
	if (last == 2)
		out[1] = vaddq_s32(sum[0][at + 1], sum[1][at]);
	if (last > 0)
		out[last] = sum[levels_planes(bits) - 1][at + planes - 1];
}

#endif
