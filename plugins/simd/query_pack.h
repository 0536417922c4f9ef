/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_SIMD_QUERY_PACK_H
#define TQ_SIMD_QUERY_PACK_H

/* query_size and query_pack of struct tq_quantizer_ops; query.h has the layout. */

#include "query.h"

static void query_pack_planes(const struct tq_plan *plan, uint32_t bits, const int8_t *hi,
			      const int8_t *lo, int8_t *part);

static void query_pack_part(const struct tq_plan *plan, uint32_t bits, const int8_t *hi,
			    const int8_t *lo, const float *y, char *part)
{
	memset(part, 0, query_part_bytes(plan, bits));
	if (plan->query == TQ_QUERY_F32)
		memcpy(part, y, plan->dim * sizeof(*y));
	else
		query_pack_planes(plan, bits, hi, plan->query == TQ_QUERY_S16 ? lo : NULL,
				  (int8_t *)part);
}

static void query_pack_all(const struct tq_plan *plan, const struct tq_query *q, void *packed)
{
	struct query_head head = {
		.scale = q->scale,
		.sketch_scale = q->sketch_scale,
		.add = q->add,
		.sum = q->sum,
		.sketch_sum = q->sketch_sum,
	};
	char *part = (char *)packed + sizeof(head);

	memcpy(packed, &head, sizeof(head));
	if (plan->index_bits)
		query_pack_part(plan, plan->index_bits, q->hi, q->lo, q->y, part);
	if (has_sketch(plan))
		query_pack_part(plan, 1, q->sketch_hi, q->sketch_lo, q->sketch_y,
				part + query_part_bytes(plan, plan->index_bits));
}

#endif
