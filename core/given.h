/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_CORE_GIVEN_H
#define TQ_CORE_GIVEN_H

#include "core.h"

/** tq_given_free - all that tq_given_add() left in the context */
void tq_given_free(struct tq_context *ctx);

/**
 * tq_given_rotation - the tables of rotation=given:SUM
 * @rot: written; release with tq_rotation_destroy()
 *
 * Return: TQ_OK; TQ_ERR_SPEC: the context does not know this checksum, or for another dimension;
 * TQ_ERR_NOMEM.
 */
int tq_given_rotation(struct tq_context *ctx, uint32_t sum, uint32_t dim, uint64_t seed,
		      struct tq_rotation *rot);

/** tq_given_scales - @spec's scales of channels, which live as long as the context; NULL if it has none */
const float *tq_given_scales(struct tq_context *ctx, const struct tq_spec *spec);

/** tq_given_turn - cosine and sine by fixed arithmetic, FORMAT.md section 2 */
void tq_given_turn(float angle, float *cosine, float *sine);

#endif
