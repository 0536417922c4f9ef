/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_PARALLEL_H
#define TQ_PARALLEL_H

#include "context.h"

/**
 * tq_rows_fn - work on rows @first .. @first + @n - 1
 * @arg:  passed through
 * @lane: below tq_rows_lanes(); calls of one lane never overlap
 *
 * Return: TQ_OK, or a code after tq_fail() or tq_fail_row().
 */
typedef int (*tq_rows_fn)(void *arg, uint32_t lane, size_t first, size_t n);

/**
 * tq_rows_lanes - how many lanes tq_rows_run() would use; 1 within a lane of another loop
 * @n:    rows
 * @tile: rows that are worth a thread's while, at least 1
 */
uint32_t tq_rows_lanes(const struct tq_context *ctx, size_t n, size_t tile);

/**
 * tq_rows_run - do all @n rows, @tile at a time on @lanes lanes; in one call of @fn if @lanes is 1
 *
 * Tiles are handed out in ascending order. After a failure those that are under way end, and no
 * others begin.
 *
 * Return: TQ_OK, or the code of the failure with the lowest rows; its text and row are the calling
 * thread's then.
 */
int tq_rows_run(struct tq_context *ctx, size_t n, size_t tile, uint32_t lanes, tq_rows_fn fn,
		void *arg);

/** tq_rows_split - tq_rows_run() on as many lanes as there are */
int tq_rows_split(struct tq_context *ctx, size_t n, size_t tile, tq_rows_fn fn, void *arg);

/**
 * tq_rows_tile - rows per tile for about @work units of work
 * @work: what a tile should hold
 * @each: what a row costs, at least 1
 *
 * Return: a multiple of 64, or less than 64 where one row is that much.
 */
size_t tq_rows_tile(size_t work, size_t each);

#endif
