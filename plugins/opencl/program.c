/* SPDX-License-Identifier: Apache-2.0 */
#include "program.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tq/status.h"

/* Nothing here that relaxes arithmetic: the bytes are defined by docs/FORMAT.md. */
#define OPTIONS "-cl-std=CL1.2 -cl-fp32-correctly-rounded-divide-sqrt"

extern const char tqo_source[];

/* What the compiler said, on one line that ends where @size does */
static void build_log(const struct tqo_api *api, cl_program program, cl_device_id device, char *text,
		      size_t size)
{
	size_t n = 0, i;
	char *log;

	text[0] = '\0';
	if (api->clGetProgramBuildInfo(program, device, CL_PROGRAM_BUILD_LOG, 0, NULL, &n) || !n)
		return;
	log = malloc(n + 1);
	if (!log)
		return;
	if (!api->clGetProgramBuildInfo(program, device, CL_PROGRAM_BUILD_LOG, n, log, NULL)) {
		log[n] = '\0';
		for (i = 0; log[i]; i++)
			if ((unsigned char)log[i] < ' ')
				log[i] = ' ';
		snprintf(text, size, "%s", log);
	}
	free(log);
}

static int from_source(const struct tqo_api *api, const struct tqo_target *t, const char *options,
		       cl_program *program, char *why, size_t why_size)
{
	const char *source = tqo_source;
	char log[1024];
	cl_int err;

	*program = api->clCreateProgramWithSource(t->context, 1, &source, NULL, &err);
	if (err) {
		snprintf(why, why_size, "clCreateProgramWithSource: %s", tqo_error(err));
		return TQ_ERR_DEVICE;
	}
	err = api->clBuildProgram(*program, 1, &t->device, options, NULL, NULL);
	if (!err)
		return 0;
	build_log(api, *program, t->device, log, sizeof(log));
	snprintf(why, why_size, "clBuildProgram: %s: %s", tqo_error(err), log);
	api->clReleaseProgram(*program);
	*program = NULL;
	return TQ_ERR_DEVICE;
}

int tqo_program_build(const struct tqo_api *api, const struct tq_host *host, const struct tqo_target *target,
		      cl_program *program, char *why, size_t why_size)
{
	return from_source(api, target, OPTIONS, program, why, why_size);
}
