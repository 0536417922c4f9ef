/* SPDX-License-Identifier: Apache-2.0 */

/* Any bytes as the header of a .npy file; what is accepted survives being written and read again.
 */

#include <stdlib.h>
#include <string.h>
#include "npy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct npy_header header, again;
	uint8_t *copy = malloc(size ? size : 1);
	char why[64], text[256];

	if (!copy)
		abort();
	if (size)
		memcpy(copy, data, size);
	if (npy_parse(copy, size, &header, why, sizeof(why)) == 0) {
		size_t n = npy_format(&header, text, sizeof(text));

		if (header.data_at > size || npy_parse(text, n, &again, why, sizeof(why)) ||
		    again.dims != header.dims ||
		    memcmp(again.shape, header.shape, header.dims * sizeof(*header.shape)) ||
		    again.dtype != header.dtype || again.data_at != n)
			abort();
	}
	free(copy);
	return 0;
}
