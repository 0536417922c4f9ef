/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_SIMD_TRELLIS_PLAN_H
#define TQ_SIMD_TRELLIS_PLAN_H

/* Which plans the drivers of trellis codes serve: for the table of drivers, which has no vector code. */

#include <stdio.h>
#include "tq/plugin.h"

/** trellis_supports - rows whose segments end with a byte */
static inline int trellis_supports(const struct tq_plan *plan, char *why, size_t size)
{
	if (plan->dim % 8 == 0)
		return 1;
	snprintf(why, size, "does not serve dimensions that are no multiple of 8");
	return 0;
}

/** integer_query_supports - queries that are integers */
static inline int integer_query_supports(const struct tq_plan *plan, char *why, size_t size)
{
	if (plan->query != TQ_QUERY_F32)
		return 1;
	snprintf(why, size, "does not serve query=f32");
	return 0;
}

/** trellis_score_supports - both */
static inline int trellis_score_supports(const struct tq_plan *plan, char *why, size_t size)
{
	return integer_query_supports(plan, why, size) && trellis_supports(plan, why, size);
}

#endif
