/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TOOLS_IDS_H
#define TOOLS_IDS_H

/*
 * Files of numbers of rows: .npy (i64 or i32, one or two dimensions), .ivecs (each row preceded by its
 * length, all i32, rows of one length) and datasets of HDF5 files (h5file.h). Failing calls have printed their line.
 */

#include <stdint.h>
#include "vectors.h"

/** struct ids - @rows x @columns numbers */
struct ids {
	int64_t *ids;
	uint64_t rows, columns;
};

/** ids_read - all of a file; free() @ids->ids. @dataset: as in vectors_open() */
int ids_read(const char *path, const char *dataset, struct ids *ids);

/** ids_coordinates - the same numbers as the library takes coordinates; free() @to, whatever is returned */
int ids_coordinates(const char *path, const struct ids *from, uint32_t **to);

/**
 * ids_write - a file of rows, complete or not there; .ivecs holds numbers below 2^31 only
 * @distances: of each; an HDF5 file holds them too
 */
int ids_write(const char *path, const struct ids *ids, const float *distances);
#define IDS_NEIGHBORS "neighbors"

#endif
