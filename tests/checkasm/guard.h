/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHECKASM_GUARD_H
#define CHECKASM_GUARD_H

#include <stddef.h>
#include <stdint.h>

/**
 * struct guarded - a buffer between two pages that may not be touched
 * @at:   the buffer
 * @size: its bytes; those of its pages that are left over hold canaries
 * @map:  the whole mapping
 */
struct guarded {
	uint8_t *at;
	size_t size;
	uint8_t *map;
	size_t map_size;
};

/**
 * guarded_alloc - a buffer of @size bytes filled with canaries
 * @align: a power of two that @at must keep
 * @back:  1: the buffer ends at the upper guard page (as closely as @align allows), 0: it begins
 *         right behind the lower one
 *
 * Exits the program if there is no memory.
 */
struct guarded guarded_alloc(size_t size, size_t align, int back);

/** guarded_seal - make an input read-only */
void guarded_seal(const struct guarded *g);

/** guarded_intact - 1 if no canary outside the buffer has changed */
int guarded_intact(const struct guarded *g);

void guarded_free(struct guarded *g);

#endif
