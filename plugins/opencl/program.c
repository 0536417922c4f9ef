/* SPDX-License-Identifier: Apache-2.0 */
#include "program.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cache.h"
#include "core.h"

/* Nothing here that relaxes arithmetic: the bytes are defined by docs/FORMAT.md. */
#define ROUNDING " -cl-fp32-correctly-rounded-divide-sqrt"
#define OPTIONS "-cl-std=CL1.2" ROUNDING
/* With sub-groups and integer dot products, where the compiler defines their macros, as it does from 3.0 on */
#define MORE_OPTIONS "-cl-std=CL3.0 -DTQO_EXTENSIONS" ROUNDING

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

/* A binary may be refused for any reason: NULL then */
static cl_program from_binary(const struct tqo_api *api, const struct tqo_target *t, const char *options,
			      const void *binary, size_t size)
{
	const unsigned char *bytes = binary;
	cl_int status = CL_SUCCESS, err;
	cl_program program;

	program = api->clCreateProgramWithBinary(t->context, 1, &t->device, &size, &bytes, &status, &err);
	if (err)
		return NULL;
	if (!status && !api->clBuildProgram(program, 1, &t->device, options, NULL, NULL))
		return program;
	api->clReleaseProgram(program);
	return NULL;
}

/* ---- the cache ---- */

static void key_add(const struct tqo_api *api, const struct tqo_target *t, int of_device, cl_uint what, char *key,
		    size_t size)
{
	size_t used = strlen(key), n = 0;

	if (of_device ? api->clGetDeviceInfo(t->device, what, size - used - 1, key + used, &n)
		      : api->clGetPlatformInfo(t->platform, what, size - used - 1, key + used, &n))
		n = 0;
	key[used + n] = '\0';
	used = strlen(key);
	key[used] = '\n';
	key[used + 1] = '\0';
}

/* Whatever may change what the compiler makes */
static void make_key(const struct tqo_api *api, const struct tqo_target *t, const char *options, char *key,
		     size_t size)
{
	size_t n = strlen(tqo_source);

	snprintf(key, size, "%s\nsource %08x of %zu bytes\n", options, tq_crc32c(0, tqo_source, n), n);
	key_add(api, t, 0, CL_PLATFORM_NAME, key, size);
	key_add(api, t, 0, CL_PLATFORM_VERSION, key, size);
	key_add(api, t, 1, CL_DEVICE_NAME, key, size);
	key_add(api, t, 1, CL_DEVICE_VERSION, key, size);
	key_add(api, t, 1, CL_DRIVER_VERSION, key, size);
}

/* The built program's binary to disk; what fails there is told and costs time only */
static void keep(const struct tqo_api *api, const struct tq_host *host, cl_program program, const char *dir,
		 const char *key)
{
	unsigned char *binary = NULL;
	char line[512];
	size_t size = 0;

	if (api->clGetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, sizeof(size), &size, NULL) || !size)
		return;
	binary = malloc(size);
	if (binary && !api->clGetProgramInfo(program, CL_PROGRAM_BINARIES, sizeof(binary), &binary, NULL) &&
	    tqo_cache_store(dir, key, binary, size)) {
		snprintf(line, sizeof(line), "the compiled kernels cannot be kept in %.200s: %s", dir,
			 strerror(errno));
		host->log(host, TQ_LOG_WARN, line);
	}
	free(binary);
}

/* From disk, or compiled and kept there */
static int build(const struct tqo_api *api, const struct tq_host *host, const struct tqo_target *target,
		 const char *options, cl_program *program, char *why, size_t why_size)
{
	char dir[2048], key[2048], line[2200];
	int cached = !tqo_cache_dir(host->config(host, "cache"), dir, sizeof(dir)), ret;
	size_t size = 0;
	void *binary;

	if (!cached)
		return from_source(api, target, options, program, why, why_size);
	make_key(api, target, options, key, sizeof(key));
	binary = tqo_cache_load(dir, key, &size);
	*program = binary ? from_binary(api, target, options, binary, size) : NULL;
	free(binary);
	if (*program) {
		snprintf(line, sizeof(line), "kernels read from %s", dir);
		host->log(host, TQ_LOG_DEBUG, line);
		return 0;
	}
	ret = from_source(api, target, options, program, why, why_size);
	if (!ret)
		keep(api, host, *program, dir, key);
	return ret;
}

/* Does the device list an extension that the kernels can use? */
static int is_extended(const struct tqo_api *api, cl_device_id device)
{
	size_t n = 0;
	int found = 0;
	char *list;

	if (api->clGetDeviceInfo(device, CL_DEVICE_EXTENSIONS, 0, NULL, &n))
		return 0;
	list = calloc(1, n + 1);
	if (list && !api->clGetDeviceInfo(device, CL_DEVICE_EXTENSIONS, n, list, NULL))
		found = strstr(list, "subgroups") || strstr(list, "cl_khr_integer_dot_product");
	free(list);
	return found;
}

int tqo_program_build(const struct tqo_api *api, const struct tq_host *host, const struct tqo_target *target,
		      cl_program *program, char *why, size_t why_size)
{
	if (is_extended(api, target->device)) {
		if (!build(api, host, target, MORE_OPTIONS, program, why, why_size))
			return 0;
		host->log(host, TQ_LOG_INFO, "the device's extensions are not used, building with them failed:");
		host->log(host, TQ_LOG_INFO, why);
	}
	return build(api, host, target, OPTIONS, program, why, why_size);
}
