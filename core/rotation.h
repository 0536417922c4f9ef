/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_ROTATION_H
#define TQ_ROTATION_H

#include "core.h"

/**
 * tq_rotation_create - tables of a spec's rotation; FORMAT.md section 2
 * @ctx:  memory
 * @name: "none", "rht", "haar", "givens", "given"; any other name gets kind TQ_ROT_PLUGIN and no
 *        tables. Kept by reference: must outlive @rot
 * @arg:  rounds, layers or checksum
 * @dim:  coordinates; the caller checked the limit of dense rotations
 * @seed: key of the streams
 * @rot:  written; release with tq_rotation_destroy()
 *
 * Return: TQ_OK; TQ_ERR_NOMEM; TQ_ERR_SPEC: the context was given no such rotation.
 */
int tq_rotation_create(struct tq_context *ctx, const char *name, uint32_t arg, uint32_t dim,
		       uint64_t seed, struct tq_rotation *rot);

/**
 * tq_rotation_dense - the map of a matrix
 * @role, @seed: quantizers of a context share the matrix of equal ones and @dim: @matrix is not read then
 */
int tq_rotation_dense(struct tq_context *ctx, uint32_t role, const float *matrix, uint32_t dim,
		      uint64_t seed, struct tq_rotation *rot);

/** tq_rotation_givens - a map of layers whose order, cosines and sines the caller fills in */
int tq_rotation_givens(struct tq_context *ctx, uint32_t layers, uint32_t dim, struct tq_rotation *rot);

/** tq_sketch_create - the sketch of qjl:gauss|ortho|rht, with streams of its own; else kind NONE */
int tq_sketch_create(struct tq_context *ctx, uint32_t correction, uint32_t dim, uint64_t seed,
		     struct tq_rotation *rot);

/** tq_rotation_destroy - release the tables */
void tq_rotation_destroy(struct tq_context *ctx, struct tq_rotation *rot);

/** tq_rotation_word - the word in a driver's generic name: "rht", "dense", "givens", "none", NAME */
const char *tq_rotation_word(const struct tq_rotation *rot);

#endif
