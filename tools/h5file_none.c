/* SPDX-License-Identifier: Apache-2.0 */

/* Built without the HDF5 library: files of it are known by name, and refused. */

#include "cli.h"
#include "h5file.h"

static int refuse(const char *path)
{
	return cli_fail(CLI_UNMET, "%s: this program was built without HDF5 (meson -Dhdf5=enabled)", path);
}

int hdf5_open(const char *path, const char *dataset, int type, struct hdf5 **h, uint64_t shape[2])
{
	return refuse(path);
}

const char *hdf5_name(const struct hdf5 *h)
{
	return "";
}

const char *hdf5_path(const struct hdf5 *h)
{
	return "";
}

int hdf5_read(const struct hdf5 *h, uint64_t first, uint64_t n, void *rows)
{
	return CLI_UNMET;
}

int hdf5_create(const char *path, const char *partial, struct hdf5 **h)
{
	return refuse(path);
}

int hdf5_begin(struct hdf5 *h, const char *dataset, int type, uint64_t rows, uint64_t columns)
{
	return CLI_UNMET;
}

int hdf5_write(struct hdf5 *h, const void *rows, uint64_t n)
{
	return CLI_UNMET;
}

int hdf5_close(struct hdf5 *h)
{
	return 0;
}
