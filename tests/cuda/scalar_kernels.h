/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_TEST_SCALAR_KERNELS_H
#define TQ_TEST_SCALAR_KERNELS_H

#include "compose.h"

/** The plan's work by scalar on the host: what the fake driver's launches do. */
struct scalar_kernels {
	const struct tq_pipeline *pipe;
	const struct tq_pipeline *values; /* attention: @pipe is that of keys */
	size_t query_bytes; /* of the plugin */
	char wrong[32];	    /* this kernel spoils its output */
};
extern struct scalar_kernels scalar_kernels;

/** scalar_kernel - for fake_kernel */
void scalar_kernel(const char *name, unsigned gx, unsigned gy, void **params);

/** scalar_kv_kernel, scalar_kv_spoil - the same for those of attention */
void scalar_kv_kernel(const char *name, unsigned gx, void **params);
void scalar_kv_spoil(const char *name, void **params);

#endif
