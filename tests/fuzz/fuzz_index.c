/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Any bytes as a saved index: opened as they are, then with every checksum made right. What opens, mapped
 * or not, is searched, decoded and changed.
 */

#include <stdlib.h>
#include <string.h>
#include "file.h"
#include "index.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void seal(uint8_t *data, size_t size)
{
	struct tq_file_entry *e;
	struct tq_file_header h;
	size_t table;
	uint32_t i;

	if (size < sizeof(h))
		return;
	memcpy(&h, data, sizeof(h));
	table = h.nsections * sizeof(*e);
	h.file_bytes = size;
	if (h.nsections <= TQ_FILE_MAX_SECTIONS && table <= size - sizeof(h) && (size - table) % 8 == 0) {
		e = (struct tq_file_entry *)(void *)(data + size - table);
		for (i = 0; i < h.nsections; i++)
			if (e[i].at <= size && e[i].bytes <= size - e[i].at)
				e[i].crc = tq_crc32c(0, data + e[i].at, e[i].bytes);
		h.table_crc = tq_crc32c(0, e, table);
	}
	h.header_crc = tq_crc32c(0, &h, offsetof(struct tq_file_header, header_crc));
	memcpy(data, &h, sizeof(h));
}

static void use(struct tq_index *ix)
{
	uint32_t dim = ix->dim;
	float *x = calloc(dim, sizeof(*x)), scores[3];
	struct tq_index_search_options o = {.struct_size = sizeof(o), .nprobe = 2}, again = o;
	int64_t ids[3];
	size_t found;

	if (!x)
		abort();
	x[0] = 1.0f;
	tq_index_verify(ix);
	if (tq_index_search(ix, x, dim, 1, 3, &o, ids, scores) == TQ_OK && ids[0] >= 0)
		tq_index_reconstruct(ix, ids, 1, x, dim);
	again.rerank = 5;
	if (tq_index_refiner(ix))
		tq_index_search(ix, x, dim, 1, 3, &again, ids, scores);
	tq_index_range(ix, x, 0.0f, &o, 3, ids, scores, &found);
	memset(x, 0, dim * sizeof(*x));
	tq_index_add(ix, x, dim, 1, NULL);
	ids[0] = 7;
	/* a mapped file may turn out to have an id twice when ids are first looked up */
	if (tq_index_add(ix, x, dim, 1, ids) == TQ_OK && tq_index_remove(ix, ids, 1) != TQ_OK &&
	    !ix->file)
		abort();
	free(x);
}

/* @data: aligned */
static void open_bytes(struct tq_context *ctx, const uint8_t *data, size_t size, bool map)
{
	struct tq_index *ix;
	struct tq_file *f;

	if (tq_file_open_memory(ctx, data, size, map ? TQ_FILE_DEFER : 0, &f))
		return;
	if (tq_index_read(ctx, f, map, NULL, &ix) == TQ_OK) {
		if (!map)
			tq_file_close(f);
		use(ix);
		tq_index_destroy(ix);
	} else {
		tq_file_close(f);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tq_options options = {.struct_size = sizeof(options),
				     .flags = TQ_NO_ENV | TQ_NO_CONFIG | TQ_NO_PLUGINS};
	static struct tq_context *ctx;
	uint8_t *copy = aligned_alloc(64, (size + 127) / 64 * 64);

	if (!copy || (!ctx && tq_context_create(&options, &ctx)))
		abort();
	memcpy(copy, data, size);
	open_bytes(ctx, copy, size, true);
	seal(copy, size);
	/* mapped or not as the checksum of the header has it: to search what opens is what takes time */
	open_bytes(ctx, copy, size, size < 64 || copy[60] & 1);
	free(copy);
	return 0;
}
