/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_NEON_QUERY_H
#define TQ_NEON_QUERY_H

/*
 * An integer part of a packed query (../simd/query.h) is the upper plane and then, for 16-bit
 * queries, the lower one, each padded with zeros to a multiple of 128 bytes and in the order in
 * which the levels come out of the code bytes (levels.h).
 */

#include "lanes.h"
#include "../simd/query.h"

#define QUERY_PAD 128

/** query_plane_bytes - from one plane to the next */
static inline size_t query_plane_bytes(const struct tq_plan *plan, uint32_t bits)
{
	return (plan->dim + QUERY_PAD - 1) / QUERY_PAD * QUERY_PAD;
}

size_t neon_query_size(const struct tq_plan *plan, const void *state);
void neon_query_pack(const struct tq_plan *plan, const void *state, const struct tq_query *q,
		     void *packed);

#endif
