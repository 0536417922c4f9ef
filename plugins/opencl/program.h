/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_OPENCL_PROGRAM_H
#define TQ_OPENCL_PROGRAM_H

#include "api.h"
#include "tq/plugin.h"

/** What a program is built for: the key of its binary. */
struct tqo_target {
	cl_platform_id platform;
	cl_device_id device;
	cl_context context;
};

/**
 * tqo_program_build - the kernels, from the cache of binaries or from their sources
 * @why: receives the reason on failure, with the compiler's log
 *
 * Return: 0; TQ_ERR_DEVICE.
 */
int tqo_program_build(const struct tqo_api *api, const struct tq_host *host, const struct tqo_target *target,
		      cl_program *program, char *why, size_t why_size);

#endif
