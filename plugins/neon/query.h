/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_NEON_QUERY_H
#define TQ_NEON_QUERY_H

/*
 * A packed query:
 *
 *	struct query_head		64 bytes
 *	part: the query
 *	part: the sketched query	if the plan has a sketch
 *
 * An integer part is the upper plane and then, for 16-bit queries, the lower one, each padded with
 * zeros to a multiple of 128 bytes and in the order in which the levels come out of the code bytes
 * (levels.h). A float part is in coordinate order, padded to a multiple of 32.
 */

#include "lanes.h"

#define QUERY_PAD 128

struct query_head {
	float scale;
	float sketch_scale;
	float add;
	uint32_t reserved;
	int64_t sum;
	int64_t sketch_sum;
	uint8_t pad[32];
};

/** query_planes - 8-bit planes of an integer query */
NEON_INLINE uint32_t query_planes(const struct tq_plan *plan)
{
	return plan->query == TQ_QUERY_S16 ? 2 : 1;
}

/** query_plane_bytes - from one plane to the next */
NEON_INLINE size_t query_plane_bytes(const struct tq_plan *plan)
{
	return (plan->dim + QUERY_PAD - 1) / QUERY_PAD * QUERY_PAD;
}

NEON_INLINE size_t query_part_bytes(const struct tq_plan *plan)
{
	if (plan->query == TQ_QUERY_F32)
		return query_plane_bytes(plan) * sizeof(float);
	return query_plane_bytes(plan) * query_planes(plan);
}

NEON_INLINE int has_sketch(const struct tq_plan *plan)
{
	return plan->layout.sketch_at != TQ_NO_FIELD;
}

/** query_part - the query itself, or its sketch */
NEON_INLINE const void *query_part(const struct tq_plan *plan, const void *packed, int sketch)
{
	return (const char *)packed + sizeof(struct query_head) +
	       (sketch ? query_part_bytes(plan) : 0);
}

size_t neon_query_size(const struct tq_plan *plan, const void *state);
void neon_query_pack(const struct tq_plan *plan, const void *state, const struct tq_query *q,
		     void *packed);

#endif
