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
	uint64_t n, bytes;

	if (!__builtin_mul_overflow(ids->rows, ids->columns, &n) &&
	    !__builtin_mul_overflow(n, sizeof(*ids->ids), &bytes))
		ids->ids = malloc(bytes + 1);
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

static int read_hdf5(const char *path, const char *dataset, struct ids *ids)
{
	uint64_t shape[2];
	struct hdf5 *h;
	int ret = hdf5_open(path, dataset, HDF5_I64, &h, shape);

	if (ret)
		return ret;
	ids->rows = shape[0];
	ids->columns = shape[1];
	ret = make_room(ids);
	if (!ret)
		ret = hdf5_read(h, 0, ids->rows, ids->ids);
	hdf5_close(h);
	return ret;
}

static int check_name(const char *path)
{
	if (ends_in(path, ".npy") || ends_in(path, ".ivecs"))
		return 0;
	return cli_fail(CLI_USAGE, "%s: name does not end in .npy, .ivecs or .hdf5", path);
}

static int read_plain(const char *path, struct ids *ids)
{
	unsigned char *data = NULL;
	size_t size = 0;
	int ret = check_name(path);

	if (ret)
		return ret;
	ret = load(path, &data, &size);
	if (ret)
		return ret;
	ret = ends_in(path, ".npy") ? read_npy(path, data, size, ids)
				    : read_ivecs(path, data, size, ids);
	free(data);
	return ret;
}

int ids_read(const char *path, const char *dataset, struct ids *ids)
{
	int ret;

	*ids = (struct ids){0};
	ret = hdf5_name_length(path) ? read_hdf5(path, dataset, ids) : read_plain(path, ids);
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

static int write_npy(struct output *out, const struct ids *ids)
{
	struct npy_header h = {.dtype = NPY_I64, .dims = 2, .shape = {ids->rows, ids->columns}};
	char text[256];
	int ret = output_write(out, text, npy_format(&h, text, sizeof(text)));

	return ret ? ret : output_write(out, ids->ids, ids->rows * ids->columns * sizeof(*ids->ids));
}

static int write_hdf5(struct output *out, const struct ids *ids, const float *distances)
{
	int ret = hdf5_begin(out->hdf5, IDS_NEIGHBORS, HDF5_I64, ids->rows, ids->columns);

	if (!ret)
		ret = hdf5_write(out->hdf5, ids->ids, ids->rows);
	if (!ret)
		ret = hdf5_begin(out->hdf5, "distances", HDF5_F32, ids->rows, ids->columns);
	return ret ? ret : hdf5_write(out->hdf5, distances, ids->rows);
}

int ids_write(const char *path, const struct ids *ids, const float *distances)
{
	bool hdf5 = hdf5_name_length(path);
	struct output out = {0};
	int ret = hdf5 ? 0 : check_name(path);

	if (!ret)
		ret = hdf5 ? output_open_hdf5(&out, path) : output_open(&out, path);
	if (!ret)
		ret = hdf5 ? write_hdf5(&out, ids, distances) :
		      ends_in(path, ".npy") ? write_npy(&out, ids) : write_ivecs(&out, ids);
	if (!ret)
		ret = output_commit(&out);
	output_abort(&out);
	return ret;
}

int ids_coordinates(const char *path, const struct ids *from, uint32_t **to)
{
	uint64_t n = from->rows * from->columns;

	*to = malloc(n * sizeof(**to) + 1);
	if (!*to)
		return cli_fail(CLI_UNMET, "out of memory");
	for (uint64_t i = 0; i < n; i++) {
		if (from->ids[i] < 0 || from->ids[i] > TQ_MAX_DIM)
			return cli_fail(CLI_USAGE, "%s: row %" PRIu64 ": %" PRId64 " is no coordinate", path,
					i / from->columns, (int64_t)from->ids[i]);
		(*to)[i] = (uint32_t)from->ids[i];
	}
	return 0;
}
