/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TOOLS_VECTORS_H
#define TOOLS_VECTORS_H

/*
 * Files of float vectors: .npy (f32 and f16, C order, two dimensions), .fvecs (each row preceded by
 * its dimension), .bvecs (the same of bytes), rows of f32 without anything else (.f32, .bin) whose dimension the user
 * gives, and datasets of HDF5 files (h5file.h). The ending of the name decides.
 *
 * Failing calls have printed their line and return CLI_USAGE or CLI_UNMET.
 */

#include <stdint.h>
#include <stdio.h>
#include "h5file.h"
#include "npy.h"
#include "tq/quantizer.h"

enum vectors_kind {
	VECTORS_NPY,
	VECTORS_FVECS,
	VECTORS_RAW,
	VECTORS_BVECS,
	VECTORS_HDF5,
};

/** vectors_kind_of - by the ending of @path; -1 if it is none of ours */
int vectors_kind_of(const char *path);

/** vectors_unknown_kind - print the line for that; returns CLI_USAGE */
int vectors_unknown_kind(const char *path);

/* ---- reading ---- */

/**
 * struct vectors - an open file of vectors
 * @path:     borrowed; with the dataset while an HDF5 file is open
 * @fd:       the file, unless it is @hdf5
 * @kind:     enum vectors_kind
 * @dtype:    TQ_F32 or TQ_F16
 * @dim:      columns, 1..TQ_MAX_DIM
 * @count:    rows
 * @data_at:  offset of the first row
 * @row_bytes: bytes of one row in the file, what precedes it included
 * @dims:     of the array: 2 but after vectors_open_array()
 * @shape:    the dimensions; the last is @dim, the product of the others @count
 */
struct vectors {
	const char *path;
	int fd;
	int kind;
	int dtype;
	uint32_t dim;
	uint64_t count;
	uint64_t data_at;
	uint64_t row_bytes;
	unsigned dims;
	uint64_t shape[NPY_DIMS_MAX];
	struct hdf5 *hdf5;
};

/**
 * vectors_open - check header and length
 * @dim:     what raw files need and others must match; 0: any
 * @dataset: of an HDF5 file: VECTORS_TRAIN for rows, VECTORS_TEST for queries, unless @path names one
 */
int vectors_open(struct vectors *v, const char *path, uint32_t dim, const char *dataset);
#define VECTORS_TRAIN "train"
#define VECTORS_TEST "test"
void vectors_close(struct vectors *v);

/** vectors_open_array - the same for .npy alone, of two to four dimensions: rows of the last */
int vectors_open_array(struct vectors *v, const char *path);

/** vectors_room, vectors_room_f32 - bytes that a row takes while it is read */
uint64_t vectors_room(const struct vectors *v);
uint64_t vectors_room_f32(const struct vectors *v);

/** vectors_read - rows @first .. @first + @n - 1, packed, of type @dtype; room for n * vectors_room() */
int vectors_read(const struct vectors *v, uint64_t first, uint64_t n, void *rows);

/** vectors_read_f32 - the same as f32; room for n * vectors_room_f32() bytes */
int vectors_read_f32(const struct vectors *v, uint64_t first, uint64_t n, float *rows);

/** vectors_mean - mean of all rows, summed in f64 in the order of the rows; room for dim floats */
int vectors_mean(const struct vectors *v, float *mean);

/** vectors_nonfinite - print the line for a row (from 0) with NaN or infinity; returns CLI_USAGE */
int vectors_nonfinite(const char *path, uint64_t row);

/* ---- writing ---- */

/** An output file that appears under its name only when complete. */
struct output {
	const char *path;
	char *partial;
	FILE *file;
	struct hdf5 *hdf5;
};

int output_open(struct output *out, const char *path);

/** output_open_hdf5 - the same for an HDF5 file, to be filled through @out->hdf5 */
int output_open_hdf5(struct output *out, const char *path);

/** output_write - 0, or CLI_UNMET with a line */
int output_write(struct output *out, const void *data, size_t bytes);

/** output_commit - 0 when the file is complete under its name; the output is closed in any case */
int output_commit(struct output *out);

/** output_abort - leave nothing; a closed or never opened (zeroed) output is allowed */
void output_abort(struct output *out);

/**
 * vectors_create - begin a file of @count rows; finish with output_commit() or output_abort()
 * @dataset: its name in an HDF5 file
 */
int vectors_create(struct output *out, const char *path, int dtype, uint32_t dim, uint64_t count,
		   const char *dataset);

/** vectors_write - add @n packed rows of the type that was given; .bvecs takes the nearest of 0..255 */
int vectors_write(struct output *out, int dtype, uint32_t dim, const void *rows, uint64_t n);

#endif
