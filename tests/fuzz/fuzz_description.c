/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Any bytes as a codec's description: as they are, then with the checksum made right. What is taken has the
 * same bytes again. Only small dimensions are made: a large one costs time and nothing else.
 */

#include <stdlib.h>
#include <string.h>
#include "core.h"
#include "tq/tq.h"

#define DIM_AT 8
#define DIM_MOST 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void make(struct tq_context *ctx, const uint8_t *data, size_t size)
{
	uint8_t again[24 + TQ_SPEC_STRING_MAX + 4 * DIM_MOST + 4];
	size_t room = sizeof(again);
	struct tq_quantizer *q;

	if (tq_quantizer_from_description(ctx, data, size, NULL, &q) != TQ_OK) {
		if (q || !tq_error_text()[0])
			abort();
		return;
	}
	if (tq_describe(q, again, &room) != TQ_OK || room != size || memcmp(again, data, size))
		abort();
	tq_quantizer_destroy(q);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tq_options options = {.struct_size = sizeof(options),
				     .flags = TQ_NO_ENV | TQ_NO_CONFIG | TQ_NO_PLUGINS};
	static struct tq_context *ctx;
	uint8_t *copy = malloc(size + 1);
	uint32_t dim = 0, crc;

	if (!copy || (!ctx && tq_context_create(&options, &ctx) != TQ_OK))
		abort();
	if (size)
		memcpy(copy, data, size);
	if (size >= DIM_AT + sizeof(dim))
		memcpy(&dim, data + DIM_AT, sizeof(dim));
	if (dim <= DIM_MOST || dim > TQ_MAX_DIM) {
		make(ctx, copy, size);
		if (size >= sizeof(crc)) {
			crc = tq_crc32c(0, copy, size - sizeof(crc));
			memcpy(copy + size - sizeof(crc), &crc, sizeof(crc));
			make(ctx, copy, size);
		}
	}
	free(copy);
	return 0;
}
