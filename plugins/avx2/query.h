/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_AVX2_QUERY_H
#define TQ_AVX2_QUERY_H

/*
 * A packed query:
 *
 *	struct query_head		64 bytes
 *	part: the query			64-byte multiples
 *	part: the sketched query	if the plan has a sketch
 *
 * An integer part holds, for every 64 coordinates, 64 bytes of the upper plane and then, for 16-bit
 * queries, 64 bytes of the lower one. The 64 are reordered to the order in which two registers of
 *levels come out of the code bytes (see levels.h). A float part is in coordinate order,
 *zero-padded.
 */

#include "lanes.h"

#define QUERY_CHUNK 64

struct query_head {
	float scale;
	float sketch_scale;
	float add;
	uint32_t reserved;
	int64_t sum;
	int64_t sketch_sum;
	uint8_t pad[32];
};

AVX2_INLINE size_t query_chunks(const struct tq_plan *plan)
{
	return (plan->dim + QUERY_CHUNK - 1) / QUERY_CHUNK;
}

/** query_planes - 8-bit planes of an integer query */
AVX2_INLINE uint32_t query_planes(const struct tq_plan *plan)
{
	return plan->query == TQ_QUERY_S16 ? 2 : 1;
}

AVX2_INLINE size_t query_part_bytes(const struct tq_plan *plan)
{
	if (plan->query == TQ_QUERY_F32)
		return query_chunks(plan) * QUERY_CHUNK * sizeof(float);
	return query_chunks(plan) * QUERY_CHUNK * query_planes(plan);
}

AVX2_INLINE int has_sketch(const struct tq_plan *plan)
{
	return plan->layout.sketch_at != TQ_NO_FIELD;
}

AVX2_INLINE size_t query_bytes(const struct tq_plan *plan)
{
	return sizeof(struct query_head) + query_part_bytes(plan) * (has_sketch(plan) ? 2 : 1);
}

/** query_part - the query itself, or its sketch */
AVX2_INLINE const void *query_part(const struct tq_plan *plan, const void *packed, int sketch)
{
	return (const char *)packed + sizeof(struct query_head) +
	       (sketch ? query_part_bytes(plan) : 0);
}

size_t avx2_query_size(const struct tq_plan *plan, const void *state);
void avx2_query_pack(const struct tq_plan *plan, const void *state, const struct tq_query *q,
		     void *packed);

#endif
