/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Any text as the spec of a cache's keys or values. What is accepted is checked anew: groups of a split have a codec each
 * and every channel once, in order; what is refused says why, in one line that names the argument.
 */

#include <stdlib.h>
#include <string.h>
#include "../../core/kv.h" /* not that of the tools */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void refused(int ret)
{
	if ((ret != TQ_ERR_SPEC && ret != TQ_ERR_UNSUPPORTED) || strncmp(tq_error_text(), "argument: ", 10) ||
	    strchr(tq_error_text(), '\n'))
		abort();
}

/* Both groups ascend, neither is empty, and together they are all channels */
static void check_order(const struct tq_kv_code *code, uint32_t dim)
{
	uint32_t order[TQ_KV_MAX_DIM], n, i;
	bool seen[TQ_KV_MAX_DIM] = { 0 };
	int ret = tq_kv_order(code, "argument", dim, order, &n);

	if (ret) {
		refused(ret);
		return;
	}
	if (!n || n >= dim)
		abort();
	for (i = 0; i < dim; i++) {
		if (order[i] >= dim || seen[order[i]] || (i && i != n && order[i] <= order[i - 1]))
			abort();
		seen[order[i]] = true;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	struct tq_kv_code code;
	uint32_t g;
	int ret;

	if (!text)
		abort();
	if (size)
		memcpy(text, data, size);
	text[size] = '\0';
	ret = tq_kv_spec(text, "argument", size % 2, &code);
	if (ret)
		refused(ret);
	for (g = 0; !ret && g < code.groups; g++)
		if (tq_spec_check(&code.spec[g], 0) || code.spec[g].center != TQ_CENTER_OFF)
			abort();
	if (!ret && code.groups == 2) {
		check_order(&code, 64);
		check_order(&code, TQ_KV_MAX_DIM);
	}
	free(text);
	return 0;
}
