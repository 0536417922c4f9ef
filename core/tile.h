/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_TILE_H
#define TQ_TILE_H

#include "core.h"

#define TQ_TILE_FLOATS 16384
#define TQ_TILE_ROWS 64

/** Storage of a tile on its user's stack. */
struct tq_tile_stack {
	_Alignas(64) float floats[TQ_TILE_FLOATS];
};

/**
 * struct tq_tile - the working rows of one call
 * @room: floats for one row, the dimension rounded up to 64
 * @rows: how many rows @x, @y and @z hold, 1..TQ_TILE_ROWS
 * @x, @y, @z: 64-byte aligned
 * @scratch:   one row
 * @heap: where they lie if not on the stack
 */
struct tq_tile {
	size_t room;
	size_t rows;
	float *x, *y, *z, *scratch;
	void *heap;
};

/** tq_tile_open - lay a tile out on @stack, or on the heap if a row is too long; TQ_ERR_NOMEM */
static inline int tq_tile_open(struct tq_context *ctx, uint32_t dim, struct tq_tile_stack *stack,
			       struct tq_tile *tile)
{
	size_t room = ((size_t)dim + 63) / 64 * 64, rows = 1;
	float *at = stack->floats;

	tile->heap = NULL;
	if (4 * room > TQ_TILE_FLOATS) {
		at = tile->heap = tq_alloc(ctx, 4 * room * sizeof(*at));
		if (!at)
			return TQ_ERR_NOMEM;
	} else {
		rows = (TQ_TILE_FLOATS - room) / (3 * room);
		if (rows > TQ_TILE_ROWS)
			rows = TQ_TILE_ROWS;
	}
	tile->room = room;
	tile->rows = rows;
	tile->scratch = at;
	tile->x = tile->scratch + room;
	tile->y = tile->x + rows * room;
	tile->z = tile->y + rows * room;
	return TQ_OK;
}

static inline void tq_tile_close(struct tq_context *ctx, struct tq_tile *tile)
{
	tq_free(ctx, tile->heap);
}

#endif
