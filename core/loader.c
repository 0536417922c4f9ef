// SPDX-License-Identifier: Apache-2.0
/*
 * Plugin files: where they are looked for, which are trusted, and how they are opened.
 */
#include "conf.h"
#include "loader.h"

const char *tq_loader_denied(struct tq_context *ctx, const char *name)
{
	const struct tq_config *c = ctx->config;

	if (tq_names_have(c->deny, name))
		return "on the configuration's deny list";
	if (c->allow[0] && !tq_names_have(c->allow, name))
		return "not on the configuration's allow list";
	return NULL;
}

int tq_loader_find(struct tq_context *ctx)
{
	return TQ_OK;
}

int tq_loader_open(struct tq_module *m)
{
	return TQ_OK;
}
