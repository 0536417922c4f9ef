/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_SIMD_QUERY_H
#define TQ_SIMD_QUERY_H

/*
 * A packed query, for every instruction set:
 *
 *	struct query_head		64 bytes
 *	part: the query			if the plan has an index
 *	part: the sketched query	if the plan has a sketch
 *
 * A float part is in coordinate order, padded with zeros to whole lines of 64 bytes. What an integer
 * part looks like says the file that includes this one, by two functions that it defines:
 *
 *	query_plane_bytes	size of one 8-bit plane over codes of so many bits, a multiple of 64
 *	query_pack_planes	write the upper plane and, for 16-bit queries, the lower one (else
 *				NULL); the part is zero before
 */

#include "tq/plugin.h"

struct query_head {
	float scale;
	float sketch_scale;
	float add;
	uint32_t reserved;
	int64_t sum;
	int64_t sketch_sum;
	uint8_t pad[32];
};

static inline size_t query_plane_bytes(const struct tq_plan *plan, uint32_t bits);

/** query_planes - 8-bit planes of an integer query */
static inline uint32_t query_planes(const struct tq_plan *plan)
{
	return plan->query == TQ_QUERY_S16 ? 2 : 1;
}

static inline int has_sketch(const struct tq_plan *plan)
{
	return plan->layout.sketch_at != TQ_NO_FIELD;
}

/** query_part_bytes - size of the part for codes of @bits bits */
static inline size_t query_part_bytes(const struct tq_plan *plan, uint32_t bits)
{
	if (!bits)
		return 0;
	if (plan->query == TQ_QUERY_F32)
		return ((size_t)plan->dim + 31) / 32 * 32 * sizeof(float);
	return query_plane_bytes(plan, bits) * query_planes(plan);
}

static inline size_t query_bytes(const struct tq_plan *plan)
{
	return sizeof(struct query_head) + query_part_bytes(plan, plan->index_bits) +
	       query_part_bytes(plan, has_sketch(plan) ? 1 : 0);
}

/** query_part - the query itself, or its sketch */
static inline const void *query_part(const struct tq_plan *plan, const void *packed, int sketch)
{
	return (const char *)packed + sizeof(struct query_head) +
	       (sketch ? query_part_bytes(plan, plan->index_bits) : 0);
}

#endif
