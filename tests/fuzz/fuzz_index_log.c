/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Any bytes as the log of an index with partitions: as they are, then with every checksum made right. The
 * index is what the changes that count have made of it.
 */

#include <stdlib.h>
#include <string.h>
#include "index.h"

#define DIM 4
#define HEADER 32
#define RECORD 24

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct tq_index *make(struct tq_context *ctx)
{
	struct tq_index_options o = {.struct_size = sizeof(o), .metric = TQ_METRIC_L2, .nlist = 2};
	static const float x[4 * DIM] = {1, 0, 0, 0, 0, 2, 0, 0, 5, 5, 5, 5, 6, 5, 5, 5};
	struct tq_index *ix;
	struct tq_spec spec;

	tq_spec_init(&spec);
	spec.bits = 1;
	if (tq_index_create(ctx, &spec, DIM, &o, &ix) || tq_index_train(ix, x, DIM, 4) ||
	    tq_index_add(ix, x, DIM, 4, NULL))
		abort();
	return ix;
}

/* Header, then each record as its numbers say */
static void seal(uint8_t *data, size_t size, const struct tq_index *ix)
{
	size_t at = HEADER, body;
	uint32_t crc, kind;
	uint64_t n;

	if (size < HEADER)
		return;
	crc = tq_crc32c(0, data, HEADER - 4);
	memcpy(data + HEADER - 4, &crc, 4);
	while (size - at > RECORD) {
		memcpy(&kind, data + at, 4);
		memcpy(&n, data + at + 8, 8);
		n &= 0xff;
		body = (n * (8 + (kind == TQ_INDEX_REMOVE ? 0 : 4 + ix->row_bytes)) + 7) / 8 * 8;
		if (body > size - at - RECORD)
			body = size - at - RECORD;
		crc = tq_crc32c(0, data + at + RECORD, body);
		memcpy(data + at + 16, &crc, 4);
		crc = tq_crc32c(0, data + at, RECORD - 4);
		memcpy(data + at + RECORD - 4, &crc, 4);
		at += RECORD + body;
	}
}

static void apply(struct tq_context *ctx, const uint8_t *data, size_t size)
{
	static const float x[DIM] = {1, 2, 3, 4};
	struct tq_index *ix = make(ctx);
	int64_t ids[8];
	float scores[8];
	size_t valid;

	tq_index_log_apply(ix, "input", data, size, &valid);
	if (valid > size || tq_index_search(ix, x, DIM, 1, 8, NULL, ids, scores) ||
	    (ids[0] >= 0 && tq_index_reconstruct(ix, ids, 1, scores, DIM)))
		abort();
	tq_index_destroy(ix);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tq_options options = {.struct_size = sizeof(options),
				     .flags = TQ_NO_ENV | TQ_NO_CONFIG | TQ_NO_PLUGINS};
	static struct tq_context *ctx;
	static struct tq_index *shape;
	uint8_t *copy = aligned_alloc(64, (size + 127) / 64 * 64);

	if (!copy || (!ctx && tq_context_create(&options, &ctx)))
		abort();
	if (!shape)
		shape = make(ctx);
	memcpy(copy, data, size);
	apply(ctx, copy, size);
	seal(copy, size, shape);
	apply(ctx, copy, size);
	free(copy);
	return 0;
}
