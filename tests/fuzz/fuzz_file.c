/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Any bytes as a .tq file: opened as they are, then with the checksums of sections, table and header made
 * right, so that the checks behind them are reached. What opens is read to its end.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "core.h"
#include "file.h"
#include "tq/split.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void seal_sections(uint8_t *data, size_t size, size_t table)
{
	struct tq_file_entry e;
	size_t at;

	for (at = size - table; at < size; at += sizeof(e)) {
		memcpy(&e, data + at, sizeof(e));
		if (e.at <= size && e.bytes <= size - e.at)
			e.crc = tq_crc32c(0, data + e.at, e.bytes);
		memcpy(data + at, &e, sizeof(e));
	}
}

static void seal(uint8_t *data, size_t size)
{
	struct tq_file_header h;
	size_t table;

	if (size < sizeof(h))
		return;
	memcpy(&h, data, sizeof(h));
	table = h.nsections * sizeof(struct tq_file_entry);
	h.file_bytes = size;
	if (table <= size) {
		seal_sections(data, size, table);
		h.table_crc = tq_crc32c(0, data + size - table, table);
	}
	h.header_crc = tq_crc32c(0, &h, offsetof(struct tq_file_header, header_crc));
	memcpy(data, &h, sizeof(h));
}

/* What the file says of its split must do for a split; a quantizer may still be refused. */
static void open_split(const struct tq_file *f)
{
	struct tq_split *s;

	if (!tq_file_split_spec(f, 0) || tq_file_dim(f) > 512 || tq_file_split(f, NULL, &s) != TQ_OK)
		return;
	if (tq_split_code_size(s) != tq_file_code_size(f))
		abort();
	tq_split_destroy(s);
}

static void open_bytes(struct tq_context *ctx, const uint8_t *data, size_t size)
{
	int fd = memfd_create("fuzz", 0);
	struct tq_file *f;
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (fd >= 0 && write(fd, data, size) == (ssize_t)size &&
	    tq_file_open(ctx, path, 0, &f) == TQ_OK) {
		tq_crc32c(0, tq_file_codes(f), tq_file_count(f) * tq_file_code_size(f));
		if (tq_file_verify(f) != TQ_OK)
			abort();
		open_split(f);
		tq_file_close(f);
	}
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tq_options options = {.struct_size = sizeof(options),
				     .flags = TQ_NO_ENV | TQ_NO_CONFIG | TQ_NO_PLUGINS};
	static struct tq_context *ctx;
	uint8_t *copy = malloc(size + 1);

	if (!copy || (!ctx && tq_context_create(&options, &ctx) != TQ_OK))
		abort();
	if (size)
		memcpy(copy, data, size);
	open_bytes(ctx, copy, size);
	seal(copy, size);
	open_bytes(ctx, copy, size);
	free(copy);
	return 0;
}
