/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_cuda.h"

#include <stdlib.h>
#include <string.h>
#include "../../plugins/cuda/api.h"

#define FAILURE 999

struct CUctx_st {
	int device, retained;
};
struct CUmod_st {
	int unused;
};
struct CUfunc_st {
	char name[64];
};
struct CUstream_st {
	int unused;
};

struct fake_machine fake_machine = {0, 12040, 2, 9, 0};
void (*fake_kernel)(const char *, unsigned, unsigned, void **);

static struct CUctx_st contexts[16];
static struct CUfunc_st functions[256];
static size_t nfunctions;
static long calls, failures, held, depth, allocations, waits, early, fail_at = -1;
static int fail_on, push_failed;

void fake_fail_at(long n, int sticky)
{
	fail_at = n < 0 ? -1 : calls + n;
	fail_on = sticky;
}

long fake_calls(void)
{
	return calls;
}

long fake_failures(void)
{
	return failures;
}

long fake_held(void)
{
	return held;
}

int fake_push_failed(void)
{
	int failed = push_failed;

	push_failed = 0;
	return failed;
}

long fake_depth(void)
{
	return depth;
}

long fake_allocations(void)
{
	return allocations;
}

long fake_waits(void)
{
	return waits;
}

long fake_early(void)
{
	return early;
}

/* Counts the call; is it one that fails? */
static int fails(void)
{
	long n = calls++;

	if (fail_at < 0 || n < fail_at || (n > fail_at && !fail_on))
		return 0;
	failures++;
	return 1;
}

#define CALL()                                                                                     \
	do {                                                                                       \
		if (fails())                                                                       \
			return FAILURE;                                                            \
	} while (0)

/* What gives back does so even where it is made to report a failure. */
#define RELEASE() (fails() ? FAILURE : CU_SUCCESS)

CUresult cuInit(unsigned flags)
{
	CALL();
	return fake_machine.init_error;
}

CUresult cuDriverGetVersion(int *version)
{
	CALL();
	*version = fake_machine.version;
	return CU_SUCCESS;
}

CUresult cuGetErrorString(CUresult error, const char **text)
{
	*text = error == FAILURE	      ? "made to fail"
		: error == CU_ERROR_NO_DEVICE ? "no CUDA-capable device is detected"
					      : "another error";
	return CU_SUCCESS;
}

CUresult cuDeviceGetCount(int *count)
{
	CALL();
	*count = fake_machine.devices;
	return CU_SUCCESS;
}

CUresult cuDeviceGet(CUdevice *dev, int ordinal)
{
	CALL();
	*dev = 100 + ordinal;
	return CU_SUCCESS;
}

CUresult cuDeviceGetName(char *name, int len, CUdevice dev)
{
	CALL();
	strncpy(name, "Fake GPU", (size_t)len);
	return CU_SUCCESS;
}

CUresult cuDeviceGetAttribute(int *value, int attr, CUdevice dev)
{
	CALL();
	switch (attr) {
	case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR:
		*value = fake_machine.major;
		break;
	case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR:
		*value = fake_machine.minor;
		break;
	case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT:
		*value = 4;
		break;
	default:
		*value = 227 * 1024;
	}
	return CU_SUCCESS;
}

CUresult cuDevicePrimaryCtxRetain(CUcontext *ctx, CUdevice dev)
{
	CALL();
	*ctx = &contexts[dev - 100];
	(*ctx)->retained++;
	held++;
	return CU_SUCCESS;
}

CUresult cuDevicePrimaryCtxRelease_v2(CUdevice dev)
{
	contexts[dev - 100].retained--;
	held--;
	return RELEASE();
}

CUresult cuCtxPushCurrent_v2(CUcontext ctx)
{
	if (fails()) {
		push_failed = 1;
		return FAILURE;
	}
	if (ctx->retained <= 0)
		abort();
	depth++;
	return CU_SUCCESS;
}

CUresult cuCtxPopCurrent_v2(CUcontext *ctx)
{
	depth--;
	return RELEASE();
}

CUresult cuModuleLoadData(CUmodule *mod, const void *image)
{
	static const unsigned char magic[] = {0x50, 0xed, 0x55, 0xba};

	CALL();
	if (depth <= 0 || memcmp(image, magic, sizeof(magic)))
		abort();
	*mod = malloc(sizeof(**mod));
	held++;
	return CU_SUCCESS;
}

CUresult cuModuleUnload(CUmodule mod)
{
	free(mod);
	held--;
	return RELEASE();
}

CUresult cuModuleGetFunction(CUfunction *fn, CUmodule mod, const char *name)
{
	size_t i;

	CALL();
	for (i = 0; i < nfunctions && strcmp(functions[i].name, name); i++)
		;
	if (i == nfunctions)
		strncpy(functions[nfunctions++].name, name, sizeof(functions[0].name) - 1);
	*fn = &functions[i];
	return CU_SUCCESS;
}

CUresult cuFuncSetAttribute(CUfunction fn, int attr, int value)
{
	CALL();
	return CU_SUCCESS;
}

CUresult cuFuncGetAttribute(int *value, int attr, CUfunction fn)
{
	CALL();
	*value = 64;
	return CU_SUCCESS;
}

CUresult cuLaunchKernel(CUfunction fn, unsigned gx, unsigned gy, unsigned gz, unsigned bx,
			unsigned by, unsigned bz, unsigned shared, CUstream stream, void **params,
			void **extra)
{
	CALL();
	if (depth <= 0 || !gx || !gy || gy > 65535 || !bx || bx > 1024 || shared > 227 * 1024)
		abort();
	if (fake_kernel)
		fake_kernel(fn->name, gx, gy, params);
	return CU_SUCCESS;
}

CUresult cuLaunchKernelEx(const CUlaunchConfig *c, CUfunction fn, void **params, void **extra)
{
	if (c->nattributes != 1 || c->attributes->id != CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION)
		abort();
	early++;
	return cuLaunchKernel(fn, c->gx, c->gy, c->gz, c->bx, c->by, c->bz, c->shared, c->stream, params, extra);
}

CUresult cuMemAlloc_v2(CUdeviceptr *ptr, size_t size)
{
	CALL();
	if (depth <= 0)
		abort();
	*ptr = (CUdeviceptr)aligned_alloc(256, (size + 255) & ~(size_t)255);
	allocations++;
	held++;
	return CU_SUCCESS;
}

CUresult cuMemFree_v2(CUdeviceptr ptr)
{
	free((void *)ptr);
	held--;
	return RELEASE();
}

#ifndef FAKE_OLD
CUresult cuMemHostAlloc(void **ptr, size_t size, unsigned flags)
{
	CALL();
	*ptr = malloc(size);
	allocations++;
	held++;
	return CU_SUCCESS;
}
#endif

CUresult cuMemFreeHost(void *ptr)
{
	free(ptr);
	held--;
	return RELEASE();
}

CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void *from, size_t size, CUstream stream)
{
	CALL();
	memcpy((void *)to, from, size);
	return CU_SUCCESS;
}

CUresult cuMemcpyDtoHAsync_v2(void *to, CUdeviceptr from, size_t size, CUstream stream)
{
	CALL();
	memcpy(to, (const void *)from, size);
	return CU_SUCCESS;
}

CUresult cuMemcpy2DAsync_v2(const CUmemcpy2D *c, CUstream stream)
{
	size_t i;

	CALL();
	if (depth <= 0 || c->source_type != CU_MEMORYTYPE_DEVICE || c->type != CU_MEMORYTYPE_DEVICE ||
	    c->source_pitch < c->source_x + c->width || c->pitch < c->x + c->width)
		abort();
	for (i = 0; i < c->height; i++)
		memcpy((char *)c->to + (c->y + i) * c->pitch + c->x,
		       (const char *)c->source + (c->source_y + i) * c->source_pitch + c->source_x, c->width);
	return CU_SUCCESS;
}

CUresult cuStreamCreate(CUstream *stream, unsigned flags)
{
	CALL();
	*stream = malloc(sizeof(**stream));
	held++;
	return CU_SUCCESS;
}

CUresult cuStreamDestroy_v2(CUstream stream)
{
	free(stream);
	held--;
	return RELEASE();
}

CUresult cuStreamSynchronize(CUstream stream)
{
	CALL();
	waits++;
	return CU_SUCCESS;
}
