/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_GIVEN_H
#define TQ_GIVEN_H

/*
 * Rotations whose numbers somebody else made: learned matrices (SpinQuant, arXiv 2405.16406), layers of
 * plane rotations on chosen pairs (ParoQuant, arXiv 2511.10645), scales of channels before a rotation
 * (SmoothQuant, arXiv 2211.10438). A context is told of them once; specs name them by their checksum:
 *
 *	tq_given_add(ctx, &given, &sum);
 *	snprintf(text, sizeof(text), "rotation=given:%u bits=4 correction=ls", sum);
 *
 * So everything that holds a spec (descriptions, files, caches, indexes) holds the name of the numbers,
 * and a context that does not know them, or knows others, refuses to decode.
 */

#include <stddef.h>
#include <stdint.h>
#include "tq/context.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Most layers of pairs. */
#define TQ_GIVEN_LAYERS_MAX 64
/** How far R R^T of a matrix may be from the unit matrix, each element. */
#define TQ_GIVEN_TOLERANCE 1e-5
/** Magnitude of an angle, radians. */
#define TQ_GIVEN_ANGLE_MAX 1024.0f

/**
 * struct tq_given - y = R x, or with scales y = R (x / scales); of a query, R (q * scales)
 * @struct_size: sizeof(struct tq_given)
 * @dim:      coordinates
 * @scales:   dim positive floats, 2^-40..2^40, or NULL. Inner products stay, decoded rows are multiplied
 *            again
 * @matrix:   dim x dim floats, row i makes y_i; at most TQ_MAX_DENSE_DIM coordinates; or NULL
 * @layers:   1..TQ_GIVEN_LAYERS_MAX layers of pairs, the first is applied first; or 0
 * @npairs:   pairs in a layer, at most dim / 2
 * @pairs:    layers x npairs x 2 coordinates; within a layer each occurs once at most
 * @angles:   layers x npairs radians: (u, v) -> (c u - s v, s u + c v)
 * @rotation: where there is neither matrix nor pairs: a rotation of the library, as in a spec ("rht:2",
 *            "haar"), which takes the spec's seed; NULL for "none"
 */
struct tq_given {
	uint32_t struct_size;
	uint32_t dim;
	const float *scales;
	const float *matrix;
	uint32_t layers;
	uint32_t npairs;
	const uint32_t *pairs;
	const float *angles;
	const char *rotation;
};

/**
 * tq_given_add - tell a context of a rotation
 * @ctx:   the context; keeps what it needs until it is destroyed
 * @given: read, not kept
 * @sum:   receives the checksum (FORMAT.md section 2): the argument of "rotation=given:SUM"
 *
 * The same numbers may be added again. Thread-safe. A matrix takes O(dim^3) time to check and
 * 8 dim^2 bytes, which quantizers share.
 *
 * With scales no driver encodes or decodes in one pass, and there are no scores of two rows
 * (tq_score_pairs()) and no codecs on a device.
 *
 * Return: TQ_OK; TQ_ERR_ARG: a shape, pairs that overlap, a matrix that is not orthogonal (the text
 * says by how much), another rotation of this checksum; TQ_ERR_NONFINITE; TQ_ERR_RANGE: an
 * angle, a scale; TQ_ERR_SPEC: @rotation; TQ_ERR_UNSUPPORTED: dimensions; TQ_ERR_FULL: memory_limit;
 * TQ_ERR_NOMEM.
 */
TQ_API int tq_given_add(struct tq_context *ctx, const struct tq_given *given, uint32_t *sum);

#ifdef __cplusplus
}
#endif
#endif
