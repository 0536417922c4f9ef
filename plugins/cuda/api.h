/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_CUDA_API_H
#define TQ_CUDA_API_H

/*
 * The part of the CUDA Driver API that the plugin calls, found by dlopen: the plugin builds and
 * loads where neither toolkit nor driver is installed. Types and constants are the API's own,
 * declared here because its header may be absent.
 */

#include <stddef.h>
#include <stdint.h>

typedef int CUresult;
typedef int CUdevice;
typedef uintptr_t CUdeviceptr;
typedef struct CUctx_st *CUcontext;
typedef struct CUmod_st *CUmodule;
typedef struct CUfunc_st *CUfunction;
typedef struct CUstream_st *CUstream;
typedef struct CUevent_st *CUevent;

typedef struct CUlaunchAttribute_st {
	int id;
	int reserved;
	union {
		char room[64];
		int flag;
	} value;
} CUlaunchAttribute;

typedef struct CUlaunchConfig_st {
	unsigned gx, gy, gz, bx, by, bz, shared;
	CUstream stream;
	CUlaunchAttribute *attributes;
	unsigned nattributes;
} CUlaunchConfig;

/* CUDA_MEMCPY2D */
typedef struct CUmemcpy2D_st {
	size_t source_x, source_y;
	int source_type;
	const void *source_host;
	CUdeviceptr source;
	void *source_array;
	size_t source_pitch, x, y;
	int type;
	void *host;
	CUdeviceptr to;
	void *array;
	size_t pitch, width, height;
} CUmemcpy2D;

enum {
	CU_SUCCESS = 0,
	CU_ERROR_NO_DEVICE = 100,
	CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT = 16,
	CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR = 75,
	CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR = 76,
	CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR = 81,
	CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN = 97,
	CU_FUNC_ATTRIBUTE_NUM_REGS = 4,
	CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES = 8,
	CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT = 9,
	CU_STREAM_NON_BLOCKING = 1,
	CU_MEMORYTYPE_DEVICE = 2,
	CU_EVENT_DISABLE_TIMING = 2,
	CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION = 6,
};

/* X(member, symbol, parameters) */
#define TQC_API_LIST(X)                                                                            \
	X(init, "cuInit", (unsigned flags))                                                        \
	X(driver_version, "cuDriverGetVersion", (int *version))                                    \
	X(error_string, "cuGetErrorString", (CUresult error, const char **text))                   \
	X(device_count, "cuDeviceGetCount", (int *count))                                          \
	X(device_get, "cuDeviceGet", (CUdevice * dev, int ordinal))                                \
	X(device_name, "cuDeviceGetName", (char *name, int len, CUdevice dev))                     \
	X(device_attribute, "cuDeviceGetAttribute", (int *value, int attr, CUdevice dev))          \
	X(ctx_retain, "cuDevicePrimaryCtxRetain", (CUcontext * ctx, CUdevice dev))                 \
	X(ctx_release, "cuDevicePrimaryCtxRelease_v2", (CUdevice dev))                             \
	X(ctx_push, "cuCtxPushCurrent_v2", (CUcontext ctx))                                        \
	X(ctx_pop, "cuCtxPopCurrent_v2", (CUcontext * ctx))                                        \
	X(module_load, "cuModuleLoadData", (CUmodule * mod, const void *image))                    \
	X(module_unload, "cuModuleUnload", (CUmodule mod))                                         \
	X(module_function, "cuModuleGetFunction",                                                  \
	  (CUfunction * fn, CUmodule mod, const char *name))                                       \
	X(function_attribute, "cuFuncSetAttribute", (CUfunction fn, int attr, int value))          \
	X(function_get, "cuFuncGetAttribute", (int *value, int attr, CUfunction fn))               \
	X(launch, "cuLaunchKernel",                                                                \
	  (CUfunction fn, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,         \
	   unsigned bz, unsigned shared, CUstream stream, void **params, void **extra))            \
	X(mem_alloc, "cuMemAlloc_v2", (CUdeviceptr * ptr, size_t size))                            \
	X(mem_free, "cuMemFree_v2", (CUdeviceptr ptr))                                             \
	X(host_alloc, "cuMemHostAlloc", (void **ptr, size_t size, unsigned flags))                 \
	X(host_free, "cuMemFreeHost", (void *ptr))                                                 \
	X(copy_in, "cuMemcpyHtoDAsync_v2",                                                         \
	  (CUdeviceptr to, const void *from, size_t size, CUstream stream))                        \
	X(copy_out, "cuMemcpyDtoHAsync_v2",                                                        \
	  (void *to, CUdeviceptr from, size_t size, CUstream stream))                              \
	X(copy_2d, "cuMemcpy2DAsync_v2", (const CUmemcpy2D *copy, CUstream stream))                \
	X(stream_create, "cuStreamCreate", (CUstream * stream, unsigned flags))                    \
	X(stream_destroy, "cuStreamDestroy_v2", (CUstream stream))                                 \
	X(stream_sync, "cuStreamSynchronize", (CUstream stream))

struct tqc_api {
	void *lib;
#define TQC_API_MEMBER(member, symbol, params) CUresult(*member) params;
	TQC_API_LIST(TQC_API_MEMBER)
#undef TQC_API_MEMBER
	/* cuLaunchKernelEx; NULL where the driver has none */
	CUresult (*launch_ex)(const CUlaunchConfig *config, CUfunction fn, void **params, void **extra);
};

/**
 * tqc_api_open - load libcuda.so.1 and find every function
 * @api: written
 * @why: receives the reason on failure
 *
 * Return: 0, or TQ_ERR_NOT_PRESENT.
 */
int tqc_api_open(struct tqc_api *api, char *why, size_t why_size);

/** tqc_api_close - forget the library */
void tqc_api_close(struct tqc_api *api);

/** tqc_error - the driver's text for an error, never NULL */
const char *tqc_error(const struct tqc_api *api, CUresult error);

#endif
