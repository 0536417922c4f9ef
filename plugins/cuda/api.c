/* SPDX-License-Identifier: Apache-2.0 */
#include "api.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include "tq/status.h"

int tqc_api_open(struct tqc_api *api, char *why, size_t why_size)
{
	memset(api, 0, sizeof(*api));
	api->lib = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
	if (!api->lib) {
		snprintf(why, why_size, "libcuda.so.1 not found");
		return TQ_ERR_NOT_PRESENT;
	}
#define TQC_API_LOAD(member, symbol, params)                                                       \
	*(void **)&api->member = dlsym(api->lib, symbol);                                          \
	if (!api->member) {                                                                        \
		snprintf(why, why_size, "libcuda.so.1 is too old: it has no %s", symbol);          \
		tqc_api_close(api);                                                                \
		return TQ_ERR_NOT_PRESENT;                                                         \
	}
	TQC_API_LIST(TQC_API_LOAD)
#undef TQC_API_LOAD
	*(void **)&api->launch_ex = dlsym(api->lib, "cuLaunchKernelEx");
	return 0;
}

void tqc_api_close(struct tqc_api *api)
{
	if (api->lib)
		dlclose(api->lib);
	memset(api, 0, sizeof(*api));
}

const char *tqc_error(const struct tqc_api *api, CUresult error)
{
	const char *text = NULL;

	if (api->error_string && api->error_string(error, &text) == CU_SUCCESS && text)
		return text;
	return "unknown CUDA error";
}
