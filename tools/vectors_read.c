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
#include "tq/rules.h"
#include "vectors.h"

#define MEAN_ROWS 256

int vectors_kind_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *dot = strrchr(slash ? slash : path, '.');

	if (hdf5_name_length(path))
		return VECTORS_HDF5;
	if (dot && !strcmp(dot, ".npy"))
		return VECTORS_NPY;
	if (dot && !strcmp(dot, ".fvecs"))
		return VECTORS_FVECS;
	if (dot && !strcmp(dot, ".bvecs"))
		return VECTORS_BVECS;
	if (dot && (!strcmp(dot, ".f32") || !strcmp(dot, ".bin")))
		return VECTORS_RAW;
	return -1;
}

int vectors_unknown_kind(const char *path)
{
	return cli_fail(CLI_USAGE, "%s: name does not end in .npy, .fvecs, .bvecs, .f32, .bin or .hdf5", path);
}

/** read_at - all @bytes at @at; the file may have changed since it was opened */
static int read_at(const struct vectors *v, uint64_t at, uint64_t bytes, void *data)
{
	unsigned char *to = data;

	while (bytes) {
		ssize_t got = pread(v->fd, to, bytes < 1u << 30 ? bytes : 1u << 30, (off_t)at);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return cli_fail(CLI_USAGE, "%s: cannot read: %s", v->path, strerror(errno));
		if (got == 0)
			return cli_fail(CLI_USAGE, "%s: ends at byte %" PRIu64, v->path, at);
		to += got;
		at += (uint64_t)got;
		bytes -= (uint64_t)got;
	}
	return 0;
}

static int read_npy_header(struct vectors *v, uint64_t file_bytes, unsigned most)
{
	unsigned char head[NPY_HEADER_MAX];
	size_t size = file_bytes < sizeof(head) ? (size_t)file_bytes : sizeof(head);
	struct npy_header h;
	uint64_t columns;
	char why[200];
	int ret = read_at(v, 0, size, head);

	if (ret)
		return ret;
	if (npy_parse(head, size, &h, why, sizeof(why)))
		return cli_fail(CLI_USAGE, "%s: %s", v->path, why);
	if (h.dtype >= NPY_I32)
		return cli_fail(CLI_USAGE, "%s: elements are integers; '<f4' and '<f2' are read", v->path);
	if (h.dims > most)
		return cli_fail(CLI_USAGE, "%s: the array has more than two dimensions", v->path);
	columns = h.shape[h.dims - 1];
	if (columns < 1 || columns > TQ_MAX_DIM)
		return cli_fail(CLI_USAGE, "%s: rows of %" PRIu64 " numbers; 1 to %d are possible",
				v->path, columns, TQ_MAX_DIM);
	v->count = 1;
	for (unsigned i = 0; i + 1 < h.dims; i++)
		if (__builtin_mul_overflow(v->count, h.shape[i], &v->count))
			return cli_fail(CLI_USAGE, "%s: the shape is too large", v->path);
	v->dtype = h.dtype;
	v->dim = (uint32_t)columns;
	v->data_at = h.data_at;
	v->dims = h.dims;
	memcpy(v->shape, h.shape, sizeof(v->shape));
	return 0;
}

static int read_fvecs_header(struct vectors *v, uint64_t file_bytes)
{
	uint32_t dim;
	int ret;

	if (file_bytes < sizeof(dim))
		return cli_fail(CLI_USAGE, "%s: has no rows", v->path);
	ret = read_at(v, 0, sizeof(dim), &dim);
	if (ret)
		return ret;
	if (dim < 1 || dim > TQ_MAX_DIM)
		return cli_fail(CLI_USAGE,
				"%s: at byte 0: row 0 has %u numbers; 1 to %d are possible",
				v->path, dim, TQ_MAX_DIM);
	v->dim = dim;
	return 0;
}

static int open_hdf5(struct vectors *v, uint32_t dim, const char *dataset)
{
	uint64_t shape[2];
	int ret = hdf5_open(v->path, dataset, HDF5_F32, &v->hdf5, shape);

	if (ret)
		return ret;
	v->path = hdf5_name(v->hdf5);
	if (shape[1] < 1 || shape[1] > TQ_MAX_DIM)
		ret = cli_fail(CLI_USAGE, "%s: rows of %" PRIu64 " numbers; 1 to %d are possible",
			       v->path, shape[1], TQ_MAX_DIM);
	else if (dim && shape[1] != dim)
		ret = cli_fail(CLI_USAGE, "%s: rows have %" PRIu64 " numbers, %u are needed", v->path,
			       shape[1], dim);
	if (ret) {
		vectors_close(v);
		return ret;
	}
	v->count = shape[0];
	v->dim = (uint32_t)shape[1];
	v->row_bytes = v->dim * sizeof(float);
	return 0;
}

/** check_length - the rows fill the file exactly */
static int check_length(struct vectors *v, uint64_t file_bytes)
{
	uint64_t bytes = file_bytes - v->data_at;

	v->row_bytes = v->kind == VECTORS_BVECS ? 4 + v->dim
		       : v->dim * (uint64_t)tq_dtype_size(v->dtype) +
				 (v->kind == VECTORS_FVECS ? 4 : 0);
	if (v->kind != VECTORS_NPY)
		v->count = bytes / v->row_bytes;
	if (v->count > bytes / v->row_bytes || v->count * v->row_bytes != bytes)
		return cli_fail(CLI_USAGE,
				"%s: has %" PRIu64 " bytes of data; %" PRIu64 " rows of %" PRIu64
				" bytes are not that",
				v->path, bytes, v->count, v->row_bytes);
	return 0;
}

/** open_file - @most: dimensions that a .npy may have */
static int open_file(struct vectors *v, const char *path, uint32_t dim, unsigned most, const char *dataset)
{
	struct stat st;
	int ret;

	*v = (struct vectors){.path = path, .fd = -1, .dtype = TQ_F32, .dim = dim};
	v->kind = vectors_kind_of(path);
	if (v->kind < 0)
		return vectors_unknown_kind(path);
	if (v->kind == VECTORS_HDF5)
		return open_hdf5(v, dim, dataset);
	if (v->kind == VECTORS_RAW && !dim)
		return cli_fail(CLI_USAGE, "%s: a file of bare numbers needs --dim", path);
	v->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (v->fd < 0)
		return cli_fail(CLI_USAGE, "%s: cannot open: %s", path, strerror(errno));
	if (fstat(v->fd, &st) || !S_ISREG(st.st_mode)) {
		ret = cli_fail(CLI_USAGE, "%s: is not a regular file", path);
		goto err_close;
	}
	ret = v->kind == VECTORS_NPY	 ? read_npy_header(v, (uint64_t)st.st_size, most)
	      : v->kind == VECTORS_FVECS || v->kind == VECTORS_BVECS
		      ? read_fvecs_header(v, (uint64_t)st.st_size)
					 : 0;
	if (!ret)
		ret = check_length(v, (uint64_t)st.st_size);
	if (!ret && dim && v->dim != dim)
		ret = cli_fail(CLI_USAGE, "%s: rows have %u numbers, %u are needed", path, v->dim,
			       dim);
	if (ret)
		goto err_close;
	return 0;

err_close:
	vectors_close(v);
	return ret;
}

int vectors_open(struct vectors *v, const char *path, uint32_t dim, const char *dataset)
{
	return open_file(v, path, dim, 2, dataset);
}

int vectors_open_array(struct vectors *v, const char *path)
{
	if (vectors_kind_of(path) != VECTORS_NPY) {
		*v = (struct vectors){.path = path, .fd = -1};
		return cli_fail(CLI_USAGE, "%s: name does not end in .npy", path);
	}
	return open_file(v, path, 0, NPY_DIMS_MAX, NULL);
}

void vectors_close(struct vectors *v)
{
	if (v->fd >= 0)
		close(v->fd);
	v->fd = -1;
	if (v->hdf5)
		v->path = hdf5_path(v->hdf5);
	hdf5_close(v->hdf5);
	v->hdf5 = NULL;
}

/** unwrap_fvecs - check and drop the dimension in front of each row, in place */
static int unwrap_fvecs(const struct vectors *v, uint64_t first, uint64_t n, unsigned char *rows)
{
	for (uint64_t i = 0; i < n; i++) {
		uint32_t dim;

		memcpy(&dim, rows + i * v->row_bytes, sizeof(dim));
		if (dim != v->dim)
			return cli_fail(CLI_USAGE,
					"%s: row %" PRIu64 ": has %u numbers, the first has %u",
					v->path, first + i, dim, v->dim);
		memmove(rows + i * (v->row_bytes - 4), rows + i * v->row_bytes + 4,
			v->row_bytes - 4);
	}
	return 0;
}

/** unwrap_bvecs - bytes as f32, in place; from the last row on, since rows of two and more grow */
static int unwrap_bvecs(const struct vectors *v, uint64_t first, uint64_t n, unsigned char *rows)
{
	unsigned char row[4 + TQ_MAX_DIM];

	for (uint64_t done = 0; done < n; done++) {
		uint64_t i = v->dim == 1 ? done : n - 1 - done;
		uint32_t dim;

		memcpy(row, rows + i * v->row_bytes, v->row_bytes);
		memcpy(&dim, row, sizeof(dim));
		if (dim != v->dim)
			return cli_fail(CLI_USAGE,
					"%s: row %" PRIu64 ": has %u numbers, the first has %u",
					v->path, first + i, dim, v->dim);
		for (uint32_t j = 0; j < v->dim; j++) {
			float x = row[4 + j];

			memcpy(rows + (i * v->dim + j) * sizeof(x), &x, sizeof(x));
		}
	}
	return 0;
}

uint64_t vectors_room_f32(const struct vectors *v)
{
	uint64_t floats = v->dim * sizeof(float);

	return v->row_bytes > floats ? v->row_bytes : floats;
}

uint64_t vectors_room(const struct vectors *v)
{
	return v->kind == VECTORS_BVECS ? vectors_room_f32(v) : v->row_bytes;
}

int vectors_read(const struct vectors *v, uint64_t first, uint64_t n, void *rows)
{
	int ret;

	if (v->kind == VECTORS_HDF5)
		return hdf5_read(v->hdf5, first, n, rows);
	ret = read_at(v, v->data_at + first * v->row_bytes, n * v->row_bytes, rows);
	if (!ret && v->kind == VECTORS_FVECS)
		ret = unwrap_fvecs(v, first, n, rows);
	if (!ret && v->kind == VECTORS_BVECS)
		ret = unwrap_bvecs(v, first, n, rows);
	return ret;
}

int vectors_read_f32(const struct vectors *v, uint64_t first, uint64_t n, float *rows)
{
	int ret = vectors_read(v, first, n, rows);

	if (ret || v->dtype == TQ_F32)
		return ret;
	for (uint64_t i = n * v->dim; i-- > 0;) {
		uint16_t half;

		memcpy(&half, (const unsigned char *)rows + 2 * i, sizeof(half));
		rows[i] = tq_f16_to_f32(half);
	}
	return 0;
}

int vectors_nonfinite(const char *path, uint64_t row)
{
	return cli_fail(CLI_USAGE, "%s: row %" PRIu64 ": holds NaN or infinity", path, row);
}

static int add_row(const struct vectors *v, uint64_t number, const float *row, double *sum)
{
	for (uint32_t j = 0; j < v->dim; j++) {
		if (!isfinite(row[j]))
			return vectors_nonfinite(v->path, number);
		sum[j] += (double)row[j];
	}
	return 0;
}

int vectors_mean(const struct vectors *v, float *mean)
{
	double *sum = calloc(v->dim, sizeof(*sum));
	float *rows = malloc(MEAN_ROWS * ((size_t)v->dim + 1) * sizeof(*rows));
	int ret = 0;

	if (!sum || !rows) {
		ret = cli_fail(CLI_UNMET, "out of memory");
		goto err_free;
	}
	for (uint64_t first = 0; first < v->count && !ret; first += MEAN_ROWS) {
		uint64_t n = v->count - first < MEAN_ROWS ? v->count - first : MEAN_ROWS;

		ret = vectors_read_f32(v, first, n, rows);
		for (uint64_t i = 0; i < n && !ret; i++)
			ret = add_row(v, first + i, rows + i * v->dim, sum);
	}
	for (uint32_t j = 0; j < v->dim; j++)
		mean[j] = (float)(sum[j] / (double)(v->count ? v->count : 1));

err_free:
	free(rows);
	free(sum);
	return ret;
}
