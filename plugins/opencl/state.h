/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_OPENCL_STATE_H
#define TQ_OPENCL_STATE_H

#include <stdatomic.h>
#include "tables.h"

/** What the drivers of this plugin have for a state. */
struct tqo_state {
	struct tqo_tables tables;
	const struct tq_host *host;
	atomic_int failed;
};

/** tqo_state_create - of a plan, or of a rotation alone; as tqo_tables_create() */
int tqo_state_create(const struct tq_host *host, const struct tq_plan *plan, const struct tq_rotation *rot,
		     void **state);

/* create, destroy and failed of struct tq_quantizer_ops */
int tqo_plan_create(const struct tq_host *host, const struct tq_plan *plan, void **state);
void tqo_state_destroy(const struct tq_host *host, void *state);
int tqo_state_failed(const void *state);

/** tqo_state_fail - an operation that returns nothing could not be done */
void tqo_state_fail(struct tqo_state *s, int err);

#endif
