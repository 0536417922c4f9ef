/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_BLOCK_H
#define TQ_BLOCK_H

/*
 * Blocks: the same rows in the order in which a scan reads them. Included by tq/plugin.h.
 *
 * A block holds 16 rows. Each row is cut into dwords, the last of every field filled up with zeros: the
 * scale (in the low half, if it has 2 bytes), cross if center=both, then the fields of the index. The block
 * is dword 0 of rows 0 to 15, dword 1 of rows 0 to 15, and so on:
 *
 *	64 bytes	scale
 *	64 bytes	cross, if there is one
 *	64 bytes each	field 0: coordinates 0 .. 32 / width - 1, the next 32 / width, ...
 *	...		field 1, likewise
 *
 * So a register that is loaded has the same coordinates of rows side by side, and what is summed over
 * coordinates is never added across a register. A block begins at a multiple of 64. It is a form in memory:
 * files and logs have rows. Rows of plans without sketch, of up to 4 bits and queries of 8 have it.
 */

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include "tq/plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TQ_BLOCK_ROWS 16u
/** The most bytes that a row with a form in blocks has; its dimension is at most 4096. */
#define TQ_BLOCK_ROW_MAX 2064u

/** tq_block_field_at - where field @k of the index begins in a block */
static inline size_t tq_block_field_at(const struct tq_plan *plan, uint32_t k)
{
	size_t dwords = plan->layout.cross_at != TQ_NO_FIELD ? 2 : 1;
	uint32_t i;

	for (i = 0; i < k; i++)
		dwords += (plan->layout.section[i].bytes + 3) / 4;
	return dwords * 4 * TQ_BLOCK_ROWS;
}

/** tq_block_bytes - size of a block, a multiple of 64; 0: rows of this plan have no such form */
static inline size_t tq_block_bytes(const struct tq_plan *plan)
{
	if (plan->index_bits < 1 || plan->index_bits > 4 || plan->dim > 4096 || plan->query != TQ_QUERY_S8 ||
	    plan->layout.sketch_at != TQ_NO_FIELD)
		return 0;
	return tq_block_field_at(plan, plan->layout.nsections);
}

/** tq_block_move - @bytes at @part of a row to its dwords at @at of a block, or back if @get */
static inline void tq_block_move(uint8_t *at, uint32_t r, uint8_t *part, size_t bytes, int get)
{
	uint8_t dword[4] = { 0 };
	size_t n;

	for (at += 4 * r; bytes; bytes -= n, part += n, at += 4 * TQ_BLOCK_ROWS) {
		n = bytes < 4 ? bytes : 4;
		if (get) {
			memcpy(part, at, n);
			continue;
		}
		if (n < 4)
			memset(dword, 0, sizeof(dword));
		memcpy(dword, part, n);
		memcpy(at, dword, sizeof(dword));
	}
}

static inline void tq_block_row(const struct tq_plan *plan, uint8_t *block, uint32_t r, uint8_t *row, int get)
{
	const struct tq_layout *lay = &plan->layout;
	uint32_t k;

	tq_block_move(block, r, row + lay->scale_at, plan->scale == TQ_F32 ? 4 : 2, get);
	if (lay->cross_at != TQ_NO_FIELD)
		tq_block_move(block + 4 * TQ_BLOCK_ROWS, r, row + lay->cross_at, 4, get);
	for (k = 0; k < lay->nsections; k++)
		tq_block_move(block + tq_block_field_at(plan, k), r, row + lay->section[k].at,
			      lay->section[k].bytes, get);
}

/** tq_block_put - @row becomes row @r, 0 to 15, of a block */
static inline void tq_block_put(const struct tq_plan *plan, uint8_t *block, uint32_t r, const uint8_t *row)
{
	tq_block_row(plan, block, r, (uint8_t *)(uintptr_t)row, 0);
}

/** tq_block_get - row @r of a block as it was put there, every byte of it */
static inline void tq_block_get(const struct tq_plan *plan, const uint8_t *block, uint32_t r, uint8_t *row)
{
	tq_block_row(plan, (uint8_t *)(uintptr_t)block, r, row, 1);
}

#ifdef __cplusplus
}
#endif
#endif
