/* SPDX-License-Identifier: Apache-2.0 */

/* HDF5 files with the HDF5 library. */

#include <errno.h>
#include <hdf5.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include "cli.h"
#include "h5file.h"

/**
 * struct hdf5 - an open file and the dataset that is read or written
 * @path: as given, borrowed
 * @name: FILE:DATASET, for lines
 * @done: rows that were written
 */
struct hdf5 {
	const char *path;
	char *file_name, *name;
	int type;
	hid_t file, set;
	uint64_t columns, done;
};

static hid_t memory_type(const struct hdf5 *h)
{
	return h->type == HDF5_I64 ? H5T_NATIVE_INT64 : H5T_NATIVE_FLOAT;
}

static int fail(const struct hdf5 *h, int code, const char *what)
{
	return cli_fail(code, "%s: %s", h->name, what);
}

static int set_name(struct hdf5 *h, const char *dataset)
{
	free(h->name);
	if (asprintf(&h->name, "%s:%s", h->file_name, dataset) >= 0)
		return 0;
	h->name = NULL;
	return cli_fail(CLI_UNMET, "out of memory");
}

const char *hdf5_name(const struct hdf5 *h)
{
	return h->name;
}

const char *hdf5_path(const struct hdf5 *h)
{
	return h->path;
}

/** dataset_of - the one that is named, or the one that is not */
static const char *dataset_of(const char *path, const char *dataset)
{
	size_t n = hdf5_name_length(path);

	return path[n] ? path + n + 1 : dataset;
}

static struct hdf5 *make(const char *path, const char *dataset, int type)
{
	struct hdf5 *h = calloc(1, sizeof(*h));

	/* the library would print its own stack of errors */
	H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
	if (!h)
		goto err_memory;
	h->path = path;
	h->type = type;
	h->file = h->set = H5I_INVALID_HID;
	h->file_name = strndup(path, hdf5_name_length(path));
	if (h->file_name && !set_name(h, dataset))
		return h;
	hdf5_close(h);
	return NULL;

err_memory:
	cli_fail(CLI_UNMET, "out of memory");
	return NULL;
}

/* ---- reading ---- */

static int check_type(const struct hdf5 *h)
{
	hid_t type = H5Dget_type(h->set);
	H5T_class_t class = H5Tget_class(type);

	H5Tclose(type);
	if (class == H5T_INTEGER || (class == H5T_FLOAT && h->type == HDF5_F32))
		return 0;
	return fail(h, CLI_USAGE, h->type == HDF5_I64 ? "its elements are not integers" :
							"its elements are not numbers");
}

static int check_shape(struct hdf5 *h, uint64_t shape[2])
{
	hid_t space = H5Dget_space(h->set);
	hsize_t dims[2] = {0};
	int rank = H5Sget_simple_extent_ndims(space);

	/* ids may be of one dimension, as in .npy */
	if (rank == 2 || (rank == 1 && h->type == HDF5_I64))
		H5Sget_simple_extent_dims(space, dims, NULL);
	else
		rank = -1;
	H5Sclose(space);
	if (rank < 0)
		return fail(h, CLI_USAGE, "is not of two dimensions");
	shape[0] = dims[0];
	shape[1] = rank == 2 ? dims[1] : 1;
	h->columns = rank == 2 ? dims[1] : 0;
	return 0;
}

int hdf5_open(const char *path, const char *dataset, int type, struct hdf5 **out, uint64_t shape[2])
{
	struct hdf5 *h = make(path, dataset_of(path, dataset), type);
	FILE *file;
	int ret;

	if (!h)
		return CLI_UNMET;
	/* what the system says of a file is worth more than what the library does */
	file = fopen(h->file_name, "rb");
	if (!file) {
		ret = cli_fail(CLI_USAGE, "%s: cannot open: %s", h->file_name, strerror(errno));
		goto err_close;
	}
	fclose(file);
	h->file = H5Fopen(h->file_name, H5F_ACC_RDONLY, H5P_DEFAULT);
	if (h->file < 0) {
		ret = cli_fail(CLI_USAGE, "%s: is not an HDF5 file", h->file_name);
		goto err_close;
	}
	h->set = H5Dopen2(h->file, dataset_of(path, dataset), H5P_DEFAULT);
	ret = h->set < 0 ? fail(h, CLI_USAGE, "is not there") : check_type(h);
	if (!ret)
		ret = check_shape(h, shape);
	if (ret)
		goto err_close;
	*out = h;
	return 0;

err_close:
	hdf5_close(h);
	return ret;
}

/** transfer - rows of the dataset and of memory, in either direction */
static int transfer(const struct hdf5 *h, uint64_t first, uint64_t n, void *into, const void *from)
{
	hsize_t start[2] = {first, 0}, count[2] = {n, h->columns};
	int rank = h->columns ? 2 : 1;
	hid_t space = H5Dget_space(h->set), memory = H5Screate_simple(rank, count, NULL);
	herr_t bad = H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL);

	if (bad >= 0 && from)
		bad = H5Dwrite(h->set, memory_type(h), memory, space, H5P_DEFAULT, from);
	else if (bad >= 0)
		bad = H5Dread(h->set, memory_type(h), memory, space, H5P_DEFAULT, into);
	H5Sclose(memory);
	H5Sclose(space);
	return bad < 0 ? -1 : 0;
}

int hdf5_read(const struct hdf5 *h, uint64_t first, uint64_t n, void *rows)
{
	char what[100];

	if (!n || !transfer(h, first, n, rows, NULL))
		return 0;
	snprintf(what, sizeof(what), "cannot read rows %" PRIu64 " to %" PRIu64, first, first + n - 1);
	return fail(h, CLI_USAGE, what);
}

/* ---- writing ---- */

int hdf5_create(const char *path, const char *partial, struct hdf5 **out)
{
	struct hdf5 *h = make(path, "", 0);

	if (!h)
		return CLI_UNMET;
	h->file = H5Fcreate(partial, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
	if (h->file < 0) {
		cli_fail(CLI_UNMET, "%s: cannot create", h->file_name);
		hdf5_close(h);
		return CLI_UNMET;
	}
	*out = h;
	return 0;
}

int hdf5_begin(struct hdf5 *h, const char *dataset, int type, uint64_t rows, uint64_t columns)
{
	hsize_t dims[2] = {rows, columns};
	hid_t space;

	if (set_name(h, dataset))
		return CLI_UNMET;
	h->type = type;
	h->columns = columns;
	h->done = 0;
	if (h->set >= 0)
		H5Dclose(h->set);
	space = H5Screate_simple(2, dims, NULL);
	h->set = H5Dcreate2(h->file, dataset, type == HDF5_I64 ? H5T_STD_I64LE : H5T_IEEE_F32LE, space,
			    H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
	H5Sclose(space);
	return h->set < 0 ? fail(h, CLI_UNMET, "cannot create") : 0;
}

int hdf5_write(struct hdf5 *h, const void *rows, uint64_t n)
{
	if (n && transfer(h, h->done, n, NULL, rows))
		return fail(h, CLI_UNMET, "cannot write");
	h->done += n;
	return 0;
}

int hdf5_close(struct hdf5 *h)
{
	int ret = 0;

	if (!h)
		return 0;
	if (h->set >= 0 && H5Dclose(h->set) < 0)
		ret = fail(h, CLI_UNMET, "cannot close");
	if (h->file >= 0 && H5Fclose(h->file) < 0 && !ret)
		ret = cli_fail(CLI_UNMET, "%s: cannot close", h->file_name);
	free(h->file_name);
	free(h->name);
	free(h);
	return ret;
}
