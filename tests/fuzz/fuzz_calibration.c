/* SPDX-License-Identifier: Apache-2.0 */

/* Any text as a calibration profile; what is accepted holds only what the selection may see. */

#include <stdlib.h>
#include <string.h>
#include "calibration.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_text(const char *text)
{
	return memchr(text, '\0', TQ_CALIBRATION_NAME_MAX) != NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct tq_context ctx;
	struct tq_calibration cal = {0};
	char *text = malloc(size + 1);
	size_t i;

	ctx.allocator = tq_default_allocator;
	if (!text)
		abort();
	if (size)
		memcpy(text, data, size);
	text[size] = '\0';
	if (tq_calibration_parse(&ctx, "fuzz", text, size, &cal) && (cal.timings || cal.plugins))
		abort();
	for (i = 0; i < cal.ntimings; i++)
		if (!cal.timings[i].ps || cal.timings[i].bits > 8 ||
		    !is_text(cal.timings[i].stage) || !is_text(cal.timings[i].driver))
			abort();
	for (i = 0; i < cal.nplugins; i++)
		if (!is_text(cal.plugins[i].name) || !is_text(cal.plugins[i].build))
			abort();
	tq_calibration_free(&ctx, &cal);
	free(text);
	return 0;
}
