/* SPDX-License-Identifier: Apache-2.0 */

/* The options of a cache that tq kv eval and tq kv plan both have. */

#include "cli.h"
#include "kv.h"

int kv_take_option(struct tq_kv_options *o, int letter, const char *text, uint64_t most)
{
	static const char *const names[] = {"--sinks", "--window", "--page", "--center-tokens"};
	uint32_t *const fields[] = {&o->sinks, &o->window, &o->page_tokens, &o->center_tokens};
	int i = letter - KV_SINKS, page = letter == KV_PAGE, ret;
	uint64_t n = 0;

	ret = cli_number(names[i], text, page ? 16 : 0, page ? 512 : most, &n);
	*fields[i] = (uint32_t)n;
	if (letter == KV_CENTER_TOKENS)
		o->center = n ? TQ_KV_CENTER_LEARN : TQ_KV_CENTER_OFF;
	return ret;
}
