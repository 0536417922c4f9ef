/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_TEST_SCALAR_KERNELS_H
#define TQ_TEST_SCALAR_KERNELS_H

#include "compose.h"

/** The plan's work by scalar on the host: what the fake driver's launches do. */
struct scalar_kernels {
	const struct tq_pipeline *pipe;
	size_t query_bytes; /* of the plugin */
	char wrong[32];	    /* this kernel spoils its output */
};
extern struct scalar_kernels scalar_kernels;

/** scalar_kernel - for fake_kernel */
void scalar_kernel(const char *name, unsigned gx, unsigned gy, void **params);

#endif
