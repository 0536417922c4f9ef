/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gate.
 */
#include "selftest.h"

int tq_gate_rotation(struct tq_entry *e, const struct tq_rotation *rot, char *why, size_t size)
{
	return TQ_OK;
}

int tq_gate_ops(struct tq_entry *e, const struct tq_plan *plan, char *why, size_t size)
{
	return TQ_OK;
}

void tq_gate_forget(struct tq_entry *e)
{
}

void tq_gate_free(struct tq_context *ctx)
{
}

int tq_context_selftest(struct tq_context *ctx, unsigned *failed)
{
	if (!ctx)
		return tq_fail(TQ_ERR_ARG, "ctx is NULL");
	if (failed)
		*failed = 0;
	return TQ_OK;
}
