/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Packing a query: the parts are in query.h, the order of coordinates in levels.h.
 */

#include "levels.h"
#include "query.h"

/* A chunk of 16 * per coordinates is written as per registers: byte i of register v is per * i + v
 */
static void pack_plane(const int8_t *from, size_t dim, size_t per, size_t room, int8_t *to)
{
	size_t c, v, i, at;

	for (c = 0; c < room; c += 16 * per)
		for (v = 0; v < per; v++)
			for (i = 0; i < 16; i++) {
				at = c + per * i + v;
				*to++ = (int8_t)(at < dim ? from[at] : 0);
			}
}

static void pack_part(const struct tq_plan *plan, uint32_t bits, const int8_t *hi, const int8_t *lo,
		      const float *y, void *part)
{
	size_t room = query_plane_bytes(plan), per = levels_registers(bits);

	if (plan->query == TQ_QUERY_F32) {
		memset(part, 0, room * sizeof(*y));
		memcpy(part, y, plan->dim * sizeof(*y));
		return;
	}
	pack_plane(hi, plan->dim, per, room, part);
	if (query_planes(plan) == 2)
		pack_plane(lo, plan->dim, per, room, (int8_t *)part + room);
}

size_t neon_query_size(const struct tq_plan *plan, const void *state)
{
	return sizeof(struct query_head) + query_part_bytes(plan) * (has_sketch(plan) ? 2 : 1);
}

void neon_query_pack(const struct tq_plan *plan, const void *state, const struct tq_query *q,
		     void *packed)
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
		pack_part(plan, plan->index_bits, q->hi, q->lo, q->y, part);
	else
		memset(part, 0, query_part_bytes(plan));
	if (has_sketch(plan))
		pack_part(plan, 1, q->sketch_hi, q->sketch_lo, q->sketch_y,
			  part + query_part_bytes(plan));
}
