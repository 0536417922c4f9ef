/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TOOLS_NPY_H
#define TOOLS_NPY_H

#include <stddef.h>
#include <stdint.h>
#include "tq/spec.h"

/** Bytes that hold the longest header that is accepted. numpy's own for 2-D arrays has 128. */
#define NPY_HEADER_MAX 4096

/** Most dimensions of an array that is accepted. */
#define NPY_DIMS_MAX 4

/** Types of elements beside those of enum tq_dtype. */
enum npy_dtype {
	NPY_I32 = 16,
	NPY_I64 = 17,
};

/**
 * struct npy_header - a C-order, little-endian array
 * @dtype:   TQ_F32, TQ_F16, or enum npy_dtype
 * @dims:    how many dimensions: 2..NPY_DIMS_MAX; of integers 1 too
 * @shape:   of which the first @dims count
 * @data_at: where the elements start
 */
struct npy_header {
	int dtype;
	unsigned dims;
	uint64_t shape[NPY_DIMS_MAX];
	size_t data_at;
};

/**
 * npy_parse - read the header of a .npy file, versions 1 to 3
 * @data: the file's first bytes
 * @size: how many: NPY_HEADER_MAX, or the whole file if it is shorter
 * @why:  receives what is wrong, with the byte, in at most @why_size bytes
 *
 * Strict: the three keys of the format, each once, and nothing else.
 *
 * Return: 0; -1 with a text.
 */
int npy_parse(const void *data, size_t size, struct npy_header *header, char *why, size_t why_size);

/** npy_format - the version 1 header, 64-byte aligned; returns its length, at most @size */
size_t npy_format(const struct npy_header *header, char *buf, size_t size);

#endif
