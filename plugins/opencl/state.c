/* SPDX-License-Identifier: Apache-2.0 */
#include "state.h"

#include <string.h>

int tqo_state_create(const struct tq_host *host, const struct tq_plan *plan, const struct tq_rotation *rot,
		     void **state)
{
	struct tqo_state *s = host->alloc(host, sizeof(*s));
	int ret;

	if (!s)
		return TQ_ERR_NOMEM;
	memset(s, 0, sizeof(*s));
	s->host = host;
	ret = tqo_tables_create(host, plan, rot, &s->tables);
	if (ret)
		host->free(host, s);
	else
		*state = s;
	return ret;
}

int tqo_plan_create(const struct tq_host *host, const struct tq_plan *plan, void **state)
{
	return tqo_state_create(host, plan, NULL, state);
}

void tqo_state_destroy(const struct tq_host *host, void *state)
{
	struct tqo_state *s = state;

	tqo_tables_destroy(&s->tables);
	host->free(host, s);
}

int tqo_state_failed(const void *state)
{
	return atomic_load(&((struct tqo_state *)(uintptr_t)state)->failed);
}

void tqo_state_fail(struct tqo_state *s, int err)
{
	atomic_store(&s->failed, err);
}
