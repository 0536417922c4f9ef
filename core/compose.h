/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_COMPOSE_H
#define TQ_COMPOSE_H

#include <stdbool.h>
#include "plan.h"
#include "select.h"

/** What is stored as a scale where a float (bf16: its largest) is too small for it */
#define TQ_SCALE_LIMIT 3.3895313892515355e38f

/** A linear map with the driver that applies it. Unused if @choice.driver is NULL. */
struct tq_map {
	const struct tq_rotation *rot;
	const struct tq_rotation_ops *ops;
	void *state;
	struct tq_choice choice;
};

/** The operations that are chosen one by one. */
enum tq_operation {
	TQ_OP_QUANTIZE = 0,
	TQ_OP_DEQUANTIZE,
	TQ_OP_SCORE, /* with query_size, query_pack and score_list */
	TQ_OP_SCORE_PAIRS,
	TQ_OP_ENCODE, /* fused; may have no driver */
	TQ_OP_DECODE, /* likewise */
	TQ_OP_COUNT,
};

/** An operation's driver. One state per driver: @borrowed if an earlier operation made it. */
struct tq_served {
	const struct tq_quantizer_ops *ops;
	void *state;
	int borrowed;
	struct tq_choice choice;
};

/**
 * struct tq_pipeline - the stages of a plan, each with its driver
 * @query_bytes: size of a packed query, a multiple of 64
 * @block_bytes: of 16 rows in blocks, which the driver scores; 0: it takes rows only
 * @scales:      of channels, taken off rows and put on queries; NULL for none
 * @coef:        constant of the sketch: FORMAT.md section 5
 * @split_encode: the drivers that encode run on the CPU and give a row the same result in any batch:
 *               a call may be cut into several. The others likewise
 * @may_fail:    a driver's operations that return nothing can fail: see tq_pipeline_failed()
 *
 * Read-only after tq_pipeline_create().
 */
struct tq_pipeline {
	struct tq_context *ctx;
	const struct tq_plan *plan;
	struct tq_map rotation;
	struct tq_map sketch;
	struct tq_served op[TQ_OP_COUNT];
	size_t query_bytes, block_bytes;
	const float *scales;
	float coef;
	bool may_fail;
	bool split_encode, split_decode, split_prepare, split_score, split_pairs;
};

/**
 * tq_pipeline_create - choose a driver for every stage and make its state
 * @plan: outlives the pipeline
 * @scales: of channels, likewise; NULL for none
 * @pin:  driver or plugin that must serve at least one stage; NULL for the context's pin or none
 * @why:  receives the explanation; may be NULL
 *
 * Return: TQ_OK; TQ_ERR_NO_DRIVER; TQ_ERR_NOMEM; what a driver's create returned.
 */
int tq_pipeline_create(struct tq_context *ctx, const struct tq_plan *plan, const float *scales,
		       const char *pin, struct tq_pipeline *pipe, struct tq_explain *why);
void tq_pipeline_destroy(struct tq_pipeline *pipe);

/** tq_pipeline_factor - what else may take a query out of range: "centre" or "scales" */
static inline const char *tq_pipeline_factor(const struct tq_pipeline *pipe)
{
	return pipe->scales && pipe->plan->center == TQ_CENTER_OFF ? "scales" : "centre";
}

/**
 * tq_pipeline_failed - TQ_OK, or tq_fail() if an operation that returns nothing could not be done
 *
 * Asked after such operations. A device that failed once stays so for the pipeline: no wrong result passes.
 */
int tq_pipeline_failed(const struct tq_pipeline *pipe);

/*
 * The same by hand, for the gate: start, give each stage its driver (the sketch too, if the plan has
 * one; a fused stage may stay empty), measure. A failure leaves a pipeline to be destroyed.
 */
void tq_pipeline_start(struct tq_pipeline *pipe, struct tq_context *ctx, const struct tq_plan *plan);
int tq_map_serve(struct tq_map *map, const struct tq_rotation *rot, const struct tq_choice *choice);
int tq_pipeline_serve(struct tq_pipeline *pipe, enum tq_operation op,
		      const struct tq_choice *choice);
int tq_pipeline_measure(struct tq_pipeline *pipe);

/*
 * The three below work on checked arguments and finite input. They use the stack for up to 4096
 * dimensions and one allocation per call above that. Return: TQ_OK; TQ_ERR_NOMEM; what a fused driver
 * returned; from prepare, TQ_ERR_RANGE with the row whose product with the centre is not finite. Strides
 * are in elements. Input and output do not overlap.
 */
int tq_pipeline_encode(const struct tq_pipeline *pipe, const void *x, int dtype, size_t stride,
		       size_t n, uint8_t *codes);
int tq_pipeline_decode(const struct tq_pipeline *pipe, const uint8_t *codes, size_t n, void *x,
		       int dtype, size_t stride);
int tq_pipeline_prepare(const struct tq_pipeline *pipe, const float *x, size_t stride, size_t nq,
			void *prepared);

/**
 * tq_pipeline_prepare_adds - each query @nadds times, with another number to add to its scores
 * @adds: nq * nadds numbers in place of what the centre adds; NULL: that
 * @prepared: query i with its number j at (i * nadds + j) * query_bytes
 */
int tq_pipeline_prepare_adds(const struct tq_pipeline *pipe, const float *x, size_t stride,
			     size_t nq, const float *adds, size_t nadds, void *prepared);

#endif
