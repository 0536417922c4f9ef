/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_CORE_SPLIT_H
#define TQ_CORE_SPLIT_H

#include "codec.h"
#include "tq/split.h"

/**
 * struct tq_split_part - a group of channels
 * @q:        its quantizer
 * @channels: tq_dim(q) numbers, ascending
 * @code_at:  where its row begins in a row
 * @query_at: where its prepared query begins in one
 */
struct tq_split_part {
	struct tq_quantizer *q;
	uint32_t *channels;
	size_t code_at;
	size_t query_at;
};

/**
 * struct tq_split - two groups; read-only after tq_split_create()
 * @centre: of all channels, 0 for those of a group that has none; NULL if neither has
 * @tile:   rows, or queries, that go through the work space at a time
 */
struct tq_split {
	struct tq_context *ctx;
	uint32_t dim;
	size_t code_bytes;
	size_t query_bytes;
	size_t tile;
	float *centre;
	struct tq_split_part part[2];
};

#endif
