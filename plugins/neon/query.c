/* SPDX-License-Identifier: Apache-2.0 */

/* Packing a query: the parts are in query.h, the order of coordinates in levels.h. */

#include "levels.h"
#include "query.h"
#include "../simd/query_pack.h"

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

static void query_pack_planes(const struct tq_plan *plan, uint32_t bits, const int8_t *hi,
			      const int8_t *lo, int8_t *part)
{
	size_t room = query_plane_bytes(plan, bits), per = levels_registers(bits);

	pack_plane(hi, plan->dim, per, room, part);
	if (lo)
		pack_plane(lo, plan->dim, per, room, part + room);
}

size_t neon_query_size(const struct tq_plan *plan, const void *state)
{
	return query_bytes(plan);
}

void neon_query_pack(const struct tq_plan *plan, const void *state, const struct tq_query *q,
		     void *packed)
{
	query_pack_all(plan, q, packed);
}
