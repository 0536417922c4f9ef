/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TOOLS_H5FILE_H
#define TOOLS_H5FILE_H

/*
 * Datasets of HDF5 files, by the names that ann-benchmarks gives them: train (the rows), test (queries),
 * neighbors and distances (of each query). A file is named FILE.hdf5 or FILE.h5; FILE.hdf5:NAME is another
 * dataset of it than the one that the reader would take. h5file.c has this with the library, h5file_none.c
 * without. Failing calls have printed their line, with file and dataset.
 */

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct hdf5;

/** What rows are in memory. In a file any type of numbers will do: the library converts. */
enum hdf5_type {
	HDF5_F32,
	HDF5_I64,
};

/** hdf5_name_length - of the file's name in @path; 0 if that names no such file */
static inline size_t hdf5_name_length(const char *path)
{
	static const char *const endings[] = {".hdf5", ".h5"};
	const char *at, *from;

	for (int i = 0; i < 2; i++)
		for (from = path; (at = strstr(from, endings[i])); from = at + 1) {
			at += strlen(endings[i]);
			if (!*at || (*at == ':' && at[1]))
				return (size_t)(at - path);
		}
	return 0;
}

/**
 * hdf5_open - a dataset of numbers in two dimensions
 * @path:    borrowed
 * @dataset: the one to take if @path does not name one
 * @type:    enum hdf5_type: HDF5_I64 refuses what are no integers
 * @shape:   receives rows and columns
 */
int hdf5_open(const char *path, const char *dataset, int type, struct hdf5 **h, uint64_t shape[2]);

/** hdf5_name - FILE:DATASET, for lines; hdf5_path - what it was opened with */
const char *hdf5_name(const struct hdf5 *h);
const char *hdf5_path(const struct hdf5 *h);

/** hdf5_read - rows @first .. @first + @n - 1, packed, of the type that it was opened with */
int hdf5_read(const struct hdf5 *h, uint64_t first, uint64_t n, void *rows);

/** hdf5_create - a file that is empty so far, in place of the one at @partial; @path is borrowed */
int hdf5_create(const char *path, const char *partial, struct hdf5 **h);

/** hdf5_begin - a dataset of @rows x @columns, little-endian; hdf5_write() fills it from the first row on */
int hdf5_begin(struct hdf5 *h, const char *dataset, int type, uint64_t rows, uint64_t columns);
int hdf5_write(struct hdf5 *h, const void *rows, uint64_t n);

/** hdf5_close - what was written is in the file if this returns 0. NULL is allowed */
int hdf5_close(struct hdf5 *h);

#endif
