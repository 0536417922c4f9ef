/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Any bytes as a configuration file. A file that is refused gives one line with its name; of one that
 * is taken, the settings in force are shown, and what is shown is taken again.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "tq/tq.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int load(const void *text, size_t size, struct tq_context **ctx)
{
	struct tq_options options = {.struct_size = sizeof(options),
				     .flags = TQ_NO_ENV | TQ_NO_PLUGINS};
	int fd = memfd_create("fuzz", 0), ret;
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	options.config_file = path;
	if (fd < 0 || write(fd, text, size) != (ssize_t)size)
		abort();
	ret = tq_context_create(&options, ctx);
	if (ret && (strncmp(tq_error_text(), path, strlen(path)) || strchr(tq_error_text(), '\n')))
		abort();
	close(fd);
	return ret;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tq_context *ctx, *again;
	char *shown = NULL;
	const char *spec;
	size_t bytes;
	FILE *out;

	if (load(data, size, &ctx))
		return 0;
	out = open_memstream(&shown, &bytes);
	if (!out)
		abort();
	tq_context_config(ctx, out);
	fclose(out);
	tq_context_profile(ctx, NULL, &spec);
	if (load(shown, bytes, &again))
		abort();
	tq_context_destroy(again);
	tq_context_destroy(ctx);
	free(shown);
	return 0;
}
