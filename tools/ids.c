/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "cli.h"
#include "ids.h"
#include "npy.h"

static bool ends_in(const char *path, const char *ending)
{
	size_t n = strlen(path), m = strlen(ending);

	return n > m && !strcmp(path + n - m, ending);
}

/** load - a whole regular file; free() it */
static int load(const char *path, unsigned char **data, size_t *size)
{
	FILE *file = fopen(path, "rb");
	struct stat st;
	int ret = 0;

	if (!file)
		return cli_fail(CLI_USAGE, "%s: cannot open: %s", path, strerror(errno));
	*data = NULL;
	if (fstat(fileno(file), &st) || !S_ISREG(st.st_mode)) {
		ret = cli_fail(CLI_USAGE, "%s: is not a regular file", path);
	} else {
		*size = (size_t)st.st_size;
		*data = malloc(*size + 1);
		if (!*data)
			ret = cli_fail(CLI_UNMET, "out of memory");
		else if (fread(*data, 1, *size, file) != *size)
			ret = cli_fail(CLI_USAGE, "%s: cannot read", path);
	}
	if (ret)
		free(*data);
	fclose(file);
	return ret;
}

static int make_room(struct ids *ids)
{
	ids->ids = malloc(ids->rows * ids->columns * sizeof(*ids->ids) + 1);
	return ids->ids ? 0 : cli_fail(CLI_UNMET, "out of memory");
}

static int read_npy(const char *path, const unsigned char *data, size_t size, struct ids *ids)
{
	struct npy_header h;
	uint64_t n, each;
	char why[200];
	int ret;

	if (npy_parse(data, size < NPY_HEADER_MAX ? size : NPY_HEADER_MAX, &h, why, sizeof(why)))
		return cli_fail(CLI_USAGE, "%s: %s", path, why);
	if (h.dtype < NPY_I32 || h.dims > 2)
		return cli_fail(CLI_USAGE, "%s: '<i8' or '<i4' of one or two dimensions is needed", path);
	each = h.dtype == NPY_I64 ? 8 : 4;
	ids->rows = h.shape[0];
	ids->columns = h.dims == 2 ? h.shape[1] : 1;
	if (__builtin_mul_overflow(ids->rows, ids->columns, &n) || n > (size - h.data_at) / each ||
	    n * each != size - h.data_at)
		return cli_fail(CLI_USAGE, "%s: has %zu bytes of data; the shape says otherwise", path,
				size - h.data_at);
	ret = make_room(ids);
	for (uint64_t i = 0; i < n && !ret; i++) {
		int32_t narrow;

		if (each == 8) {
			memcpy(&ids->ids[i], data + h.data_at + 8 * i, 8);
			continue;
		}
		memcpy(&narrow, data + h.data_at + 4 * i, 4);
		ids->ids[i] = narrow;
	}
	return ret;
}

static int read_ivecs(const char *path, const unsigned char *data, size_t size, struct ids *ids)
{
	uint32_t columns = 0;
	int ret;

	if (size >= 4)
		memcpy(&columns, data, 4);
	if (!columns || columns > TQ_MAX_DIM || size % (4 + (size_t)columns * 4))
		return cli_fail(CLI_USAGE, "%s: is not rows of one length", path);
	ids->columns = columns;
	ids->rows = size / (4 + (size_t)columns * 4);
	ret = make_room(ids);
	for (uint64_t i = 0; i < ids->rows && !ret; i++) {
		const unsigned char *row = data + i * (4 + (size_t)columns * 4);
		uint32_t length;
		int32_t id;

		memcpy(&length, row, 4);
		if (length != columns)
			return cli_fail(CLI_USAGE, "%s: row %" PRIu64 ": has %u numbers, the first has %u",
					path, i, length, columns);
		for (uint32_t j = 0; j < columns; j++) {
			memcpy(&id, row + 4 + 4 * (size_t)j, 4);
			ids->ids[i * columns + j] = id;
		}
	}
	return ret;
}

int ids_read(const char *path, struct ids *ids)
{
	unsigned char *data = NULL;
	size_t size = 0;
	int ret;

	*ids = (struct ids){0};
	if (!ends_in(path, ".npy") && !ends_in(path, ".ivecs"))
		return cli_fail(CLI_USAGE, "%s: name does not end in .npy or .ivecs", path);
	ret = load(path, &data, &size);
	if (ret)
		return ret;
	ret = ends_in(path, ".npy") ? read_npy(path, data, size, ids)
				    : read_ivecs(path, data, size, ids);
	free(data);
	if (ret) {
		free(ids->ids);
		ids->ids = NULL;
	}
	return ret;
}

static int write_ivecs(struct output *out, const struct ids *ids)
{
	uint32_t columns = (uint32_t)ids->columns;
	int ret = 0;

	for (uint64_t i = 0; i < ids->rows && !ret; i++) {
		ret = output_write(out, &columns, sizeof(columns));
		for (uint32_t j = 0; j < columns && !ret; j++) {
			int32_t id = (int32_t)ids->ids[i * columns + j];

			if (id != ids->ids[i * columns + j])
				return cli_fail(CLI_USAGE, "%s: %" PRId64 " does not fit into 32 bits; "
						"use .npy", out->path, ids->ids[i * columns + j]);
			ret = output_write(out, &id, sizeof(id));
		}
	}
	return ret;
}

int ids_write(const char *path, const struct ids *ids)
{
	struct npy_header h = {.dtype = NPY_I64, .dims = 2, .shape = {ids->rows, ids->columns}};
	struct output out = {0};
	char text[256];
	int ret;

	if (!ends_in(path, ".npy") && !ends_in(path, ".ivecs"))
		return cli_fail(CLI_USAGE, "%s: name does not end in .npy or .ivecs", path);
	ret = output_open(&out, path);
	if (!ret && ends_in(path, ".ivecs")) {
		ret = write_ivecs(&out, ids);
	} else if (!ret) {
		ret = output_write(&out, text, npy_format(&h, text, sizeof(text)));
		if (!ret)
			ret = output_write(&out, ids->ids, ids->rows * ids->columns * sizeof(*ids->ids));
	}
	if (!ret)
		ret = output_commit(&out);
	output_abort(&out);
	return ret;
}
