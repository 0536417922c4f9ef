/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Any text as a spec. What is accepted prints, and what is printed parses to the same spec; what is
 * refused leaves the spec as it was and says why.
 */

#include <stdlib.h>
#include <string.h>
#include "tq/tq.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void round_trip(const struct tq_spec *spec)
{
	char text[TQ_SPEC_STRING_MAX], small[TQ_SPEC_STRING_MAX];
	struct tq_spec again;

	tq_spec_init(&again);
	if (tq_spec_print(spec, text, sizeof(text)) || tq_spec_parse(&again, text) ||
	    memcmp(&again, spec, sizeof(again)))
		abort();
	if (tq_spec_print(spec, small, strlen(text)) != TQ_ERR_RANGE ||
	    tq_spec_print(spec, small, strlen(text) + 1) || strcmp(small, text))
		abort();
	tq_spec_check(spec, 1);
	tq_spec_check(spec, TQ_MAX_DIM);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	struct tq_spec spec, before;

	if (!text)
		abort();
	if (size)
		memcpy(text, data, size);
	text[size] = '\0';
	tq_spec_init(&spec);
	before = spec;
	if (tq_spec_parse(&spec, text) == TQ_OK)
		round_trip(&spec);
	else if (memcmp(&spec, &before, sizeof(spec)) || !tq_error_text()[0])
		abort();
	free(text);
	return 0;
}
