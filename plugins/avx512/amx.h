/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_AVX512_AMX_H
#define TQ_AVX512_AMX_H

/*
 * What the files of the driver with matrix products share. One instruction multiplies a tile of 16
 * queries by one of 16 rows, 64 coordinates of each:
 *
 *	A	query i:	64 bytes as packed (query.h), at a stride of one query
 *	B	dwords k:	dword k of row 0, of row 1, ... of row 15: a struct level_tile
 *	C	query i:	16 sums of int32, a row each
 *
 * A block is 32 rows by up to 32 queries: four sums at a time, so that no product waits for one.
 */

#include "tq/plugin.h"

/** Rows of a block, and of one tile */
#define AMX_ROWS 32
#define TILE_ROWS 16
/** Queries whose products share the decoded rows, and those of a block */
#define AMX_QUERIES 64
#define AMX_GROUP 32
/** Tiles of levels that are kept, of both halves of the rows and all planes */
#define AMX_TILES 48

/** struct level_tile - a register of levels (levels.h) of 16 rows, by dwords */
struct level_tile {
	uint8_t dword[16][64];
};

struct shape;

/**
 * avx512_amx_fill - chunks @first .. @first + @n - 1 of 16 rows to tiles
 * @fold:  registers in one tile: 1, or the shape's
 * @row:   the rows
 * @ahead: bytes from them to the rows that will be wanted next
 * @whole: may 15 bytes behind each row be read
 * @tile:  register v of chunk c goes to @tile[2 * ((c - @first) * V + v)]
 * @lo:    from 5 bits: as many tiles between the planes
 */
void avx512_amx_fill(const struct shape *shape, uint32_t fold, const uint8_t *const *row,
		     size_t ahead, int whole, size_t first, size_t n, struct level_tile *tile,
		     size_t lo);

/**
 * avx512_amx_fill_blocks - avx512_amx_fill() from a block of tq/block.h, up to 4 bits
 * @block: with 16 rows
 */
void avx512_amx_fill_blocks(const struct tq_plan *plan, const struct shape *shape, uint32_t fold,
			    const uint8_t *block, size_t first, size_t n, struct level_tile *tile);

/** avx512_amx_supports - has the process leave to use tiles; asks for it */
int avx512_amx_supports(const struct tq_plan *plan, char *why, size_t why_size);

#endif
