/* SPDX-License-Identifier: Apache-2.0 */
#include "api.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include "tq/status.h"

int tqo_api_open(struct tqo_api *api, char *why, size_t why_size)
{
	memset(api, 0, sizeof(*api));
	api->lib = dlopen("libOpenCL.so.1", RTLD_NOW | RTLD_LOCAL);
	if (!api->lib) {
		snprintf(why, why_size, "libOpenCL.so.1 not found");
		return TQ_ERR_NOT_PRESENT;
	}
#define TQO_API_LOAD(name)                                                                         \
	*(void **)&api->name = dlsym(api->lib, #name);                                             \
	if (!api->name) {                                                                          \
		snprintf(why, why_size, "libOpenCL.so.1 is too old: it has no %s", #name);         \
		dlclose(api->lib);                                                                 \
		memset(api, 0, sizeof(*api));                                                      \
		return TQ_ERR_NOT_PRESENT;                                                         \
	}
	TQO_API_LIST(TQO_API_LOAD)
#undef TQO_API_LOAD
	return 0;
}

const char *tqo_error(cl_int error)
{
	static const struct {
		cl_int error;
		const char *name;
	} names[] = {
#define TQO_ERROR(name) {name, #name}
		TQO_ERROR(CL_DEVICE_NOT_FOUND),
		TQO_ERROR(CL_DEVICE_NOT_AVAILABLE),
		TQO_ERROR(CL_COMPILER_NOT_AVAILABLE),
		TQO_ERROR(CL_MEM_OBJECT_ALLOCATION_FAILURE),
		TQO_ERROR(CL_OUT_OF_RESOURCES),
		TQO_ERROR(CL_OUT_OF_HOST_MEMORY),
		TQO_ERROR(CL_BUILD_PROGRAM_FAILURE),
		TQO_ERROR(CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST),
		TQO_ERROR(CL_INVALID_VALUE),
		TQO_ERROR(CL_INVALID_PLATFORM),
		TQO_ERROR(CL_INVALID_DEVICE),
		TQO_ERROR(CL_INVALID_CONTEXT),
		TQO_ERROR(CL_INVALID_COMMAND_QUEUE),
		TQO_ERROR(CL_INVALID_MEM_OBJECT),
		TQO_ERROR(CL_INVALID_BINARY),
		TQO_ERROR(CL_INVALID_BUILD_OPTIONS),
		TQO_ERROR(CL_INVALID_PROGRAM),
		TQO_ERROR(CL_INVALID_PROGRAM_EXECUTABLE),
		TQO_ERROR(CL_INVALID_KERNEL_NAME),
		TQO_ERROR(CL_INVALID_KERNEL),
		TQO_ERROR(CL_INVALID_ARG_INDEX),
		TQO_ERROR(CL_INVALID_ARG_VALUE),
		TQO_ERROR(CL_INVALID_ARG_SIZE),
		TQO_ERROR(CL_INVALID_KERNEL_ARGS),
		TQO_ERROR(CL_INVALID_WORK_GROUP_SIZE),
		TQO_ERROR(CL_INVALID_WORK_ITEM_SIZE),
		TQO_ERROR(CL_INVALID_OPERATION),
		TQO_ERROR(CL_INVALID_BUFFER_SIZE),
		TQO_ERROR(CL_INVALID_GLOBAL_WORK_SIZE),
#undef TQO_ERROR
		{-1001, "CL_PLATFORM_NOT_FOUND_KHR"},
	};
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].error == error)
			return names[i].name;
	return "unknown OpenCL error";
}
