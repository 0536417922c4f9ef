/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cli.h"
#include "npy.h"
#include "vectors.h"

static int fail_output(const struct output *out, const char *what)
{
	return cli_fail(CLI_UNMET, "%s: cannot %s: %s", out->path, what, strerror(errno));
}

int output_open(struct output *out, const char *path)
{
	struct stat st;
	int fd;

	*out = (struct output){.path = path};
	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
		return cli_fail(CLI_UNMET, "%s: is there already and is not a regular file", path);
	if (asprintf(&out->partial, "%s.partial-%ld", path, (long)getpid()) < 0) {
		out->partial = NULL;
		return cli_fail(CLI_UNMET, "out of memory");
	}
	fd = open(out->partial, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (fd < 0) {
		fail_output(out, "create");
		goto err_free;
	}
	out->file = fdopen(fd, "w");
	if (!out->file) {
		fail_output(out, "create");
		goto err_close;
	}
	return 0;

err_close:
	close(fd);
	unlink(out->partial);
err_free:
	free(out->partial);
	out->partial = NULL;
	return CLI_UNMET;
}

int output_open_hdf5(struct output *out, const char *path)
{
	int ret;

	*out = (struct output){.path = path};
	if (path[hdf5_name_length(path)])
		return cli_fail(CLI_USAGE, "%s: a file is written as a whole: leave out the dataset", path);
	ret = output_open(out, path);
	if (!ret)
		ret = hdf5_create(path, out->partial, &out->hdf5);
	return ret;
}

int output_write(struct output *out, const void *data, size_t bytes)
{
	if (fwrite(data, 1, bytes, out->file) != bytes)
		return fail_output(out, "write");
	return 0;
}

int output_commit(struct output *out)
{
	int ret = hdf5_close(out->hdf5);

	out->hdf5 = NULL;
	if (fflush(out->file) || ferror(out->file) || fsync(fileno(out->file)))
		ret = ret ? ret : fail_output(out, "write");
	if (fclose(out->file) && !ret)
		ret = fail_output(out, "close");
	out->file = NULL;
	if (!ret && rename(out->partial, out->path))
		ret = fail_output(out, "rename");
	if (ret)
		unlink(out->partial);
	free(out->partial);
	out->partial = NULL;
	return ret;
}

void output_abort(struct output *out)
{
	hdf5_close(out->hdf5);
	out->hdf5 = NULL;
	if (out->file)
		fclose(out->file);
	out->file = NULL;
	if (out->partial)
		unlink(out->partial);
	free(out->partial);
	out->partial = NULL;
}

int vectors_create(struct output *out, const char *path, int dtype, uint32_t dim, uint64_t count,
		   const char *dataset)
{
	struct npy_header header = {.dtype = dtype, .dims = 2, .shape = {count, dim}};
	char text[256];
	int kind = vectors_kind_of(path);
	int ret;

	*out = (struct output){.path = path};
	if (kind < 0)
		return vectors_unknown_kind(path);
	if (kind != VECTORS_NPY && dtype != TQ_F32)
		return cli_fail(CLI_USAGE, "%s: only .npy files hold f16", path);
	ret = kind == VECTORS_HDF5 ? output_open_hdf5(out, path) : output_open(out, path);
	if (!ret && kind == VECTORS_HDF5)
		ret = hdf5_begin(out->hdf5, dataset, HDF5_F32, count, dim);
	if (!ret && kind == VECTORS_NPY)
		ret = output_write(out, text, npy_format(&header, text, sizeof(text)));
	return ret;
}

/** write_bytes - a row as the nearest bytes */
static int write_bytes(struct output *out, uint32_t dim, const float *row)
{
	unsigned char bytes[TQ_MAX_DIM];

	for (uint32_t i = 0; i < dim; i++)
		bytes[i] = (unsigned char)lrintf(fminf(fmaxf(row[i], 0.0f), 255.0f));
	return output_write(out, bytes, dim);
}

int vectors_write(struct output *out, int dtype, uint32_t dim, const void *rows, uint64_t n)
{
	size_t row_bytes = dim * tq_dtype_size(dtype);
	int kind = vectors_kind_of(out->path), ret = 0;

	if (kind == VECTORS_HDF5)
		return hdf5_write(out->hdf5, rows, n);
	if (kind != VECTORS_FVECS && kind != VECTORS_BVECS)
		return output_write(out, rows, n * row_bytes);
	for (uint64_t i = 0; i < n && !ret; i++) {
		ret = output_write(out, &dim, sizeof(dim));
		if (!ret && kind == VECTORS_BVECS)
			ret = write_bytes(out, dim, (const float *)rows + i * dim);
		else if (!ret)
			ret = output_write(out, (const char *)rows + i * row_bytes, row_bytes);
	}
	return ret;
}
