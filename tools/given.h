/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TOOLS_GIVEN_H
#define TOOLS_GIVEN_H

#include <stdint.h>
#include "tq/tq.h"

/**
 * given_load - tell the context of the rotation in a directory
 * @dir: matrix.npy (d x d), or pairs.npy (integers, a row per layer: the two coordinates of a pair, of the next,
 *       ...) and angles.npy (a row per layer), or neither: rht:2; scales.npy (one row) beside any, or alone
 * @dim: where neither matrix nor scales say it
 * @sum: receives the argument of rotation=given:SUM
 *
 * Return: 0; CLI_USAGE or CLI_UNMET with a line printed.
 */
int given_load(struct tq_context *ctx, const char *dir, uint32_t dim, uint32_t *sum);

/** given_text - @text with ":SUM" behind a "rotation=given" that has none; free() it; NULL: no memory */
char *given_text(const char *text, uint32_t sum);

#endif
