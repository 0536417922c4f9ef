/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A libOpenCL.so.1 that passes every call on to the machine's own, and makes one of them fail. It is loaded
 * first, so the plugin's dlopen finds it. FAKE_OLD leaves a function out.
 */
#define CL_TARGET_OPENCL_VERSION 120
#define CL_USE_DEPRECATED_OPENCL_1_2_APIS
#include <CL/cl.h>
#include <dlfcn.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "fake_opencl.h"

static unsigned long calls, fail_at;
static long held;

void fake_fail_at(unsigned long call)
{
	calls = 0;
	fail_at = call;
}

unsigned long fake_calls(void)
{
	return calls;
}

long fake_held(void)
{
	return held;
}

static void *real(const char *name)
{
	static const char *const places[] = {"/usr/lib/*-linux-gnu/libOpenCL.so.1", "/usr/lib*/libOpenCL.so.1"};
	static void *lib;
	glob_t found;
	size_t k, i;

	for (k = 0; !lib && k < 2; k++) {
		if (glob(places[k], 0, NULL, &found))
			continue;
		for (i = 0; !lib && i < found.gl_pathc; i++)
			lib = dlopen(found.gl_pathv[i], RTLD_NOW | RTLD_LOCAL);
		globfree(&found);
	}
	return lib ? dlsym(lib, name) : NULL;
}

#define FAILS (++calls == fail_at)

/* Calls that return an error; without a real library nothing works. */
#define PASS(name, params, args)                                                                   \
	cl_int name params                                                                         \
	{                                                                                          \
		__typeof__(name) *fn;                                                      \
                                                                                                   \
		*(void **)&fn = real(#name);                                                       \
		return FAILS ? CL_OUT_OF_RESOURCES : fn ? fn args : CL_INVALID_PLATFORM;           \
	}

/* Calls that return an object, and an error through the last parameter */
#define MAKE(type, name, params, args)                                                             \
	type name params                                                                           \
	{                                                                                          \
		__typeof__(name) *fn;                                                      \
		type made = NULL;                                                                  \
                                                                                                   \
		*(void **)&fn = real(#name);                                                       \
		*err = CL_OUT_OF_RESOURCES;                                                        \
		if (!FAILS && fn)                                                                  \
			made = fn args;                                                            \
		held += made != NULL;                                                              \
		return made;                                                                       \
	}

/* Releases do not fail here. */
#define DROP(name, type)                                                                           \
	cl_int name(type what)                                                                     \
	{                                                                                          \
		__typeof__(name) *fn;                                                      \
                                                                                                   \
		*(void **)&fn = real(#name);                                                       \
		held--;                                                                            \
		return fn(what);                                                                   \
	}

PASS(clGetPlatformIDs, (cl_uint n, cl_platform_id *ids, cl_uint *count), (n, ids, count))
PASS(clGetPlatformInfo, (cl_platform_id p, cl_platform_info what, size_t n, void *at, size_t *size),
     (p, what, n, at, size))
PASS(clGetDeviceIDs, (cl_platform_id p, cl_device_type t, cl_uint n, cl_device_id *ids, cl_uint *count),
     (p, t, n, ids, count))
PASS(clGetDeviceInfo, (cl_device_id d, cl_device_info what, size_t n, void *at, size_t *size),
     (d, what, n, at, size))
MAKE(cl_context, clCreateContext,
     (const cl_context_properties *props, cl_uint n, const cl_device_id *ids,
      void(CL_CALLBACK *note)(const char *, const void *, size_t, void *), void *arg, cl_int *err),
     (props, n, ids, note, arg, err))
DROP(clReleaseContext, cl_context)
MAKE(cl_command_queue, clCreateCommandQueue,
     (cl_context c, cl_device_id d, cl_command_queue_properties props, cl_int *err), (c, d, props, err))
DROP(clReleaseCommandQueue, cl_command_queue)
MAKE(cl_program, clCreateProgramWithSource,
     (cl_context c, cl_uint n, const char **text, const size_t *size, cl_int *err), (c, n, text, size, err))
MAKE(cl_program, clCreateProgramWithBinary,
     (cl_context c, cl_uint n, const cl_device_id *ids, const size_t *size, const unsigned char **bytes,
      cl_int *status, cl_int *err),
     (c, n, ids, size, bytes, status, err))
DROP(clReleaseProgram, cl_program)
PASS(clBuildProgram,
     (cl_program p, cl_uint n, const cl_device_id *ids, const char *options,
      void(CL_CALLBACK *note)(cl_program, void *), void *arg),
     (p, n, ids, options, note, arg))
PASS(clGetProgramBuildInfo, (cl_program p, cl_device_id d, cl_program_build_info what, size_t n, void *at, size_t *size),
     (p, d, what, n, at, size))
PASS(clGetProgramInfo, (cl_program p, cl_program_info what, size_t n, void *at, size_t *size),
     (p, what, n, at, size))
MAKE(cl_kernel, clCreateKernel, (cl_program p, const char *name, cl_int *err), (p, name, err))
DROP(clReleaseKernel, cl_kernel)
PASS(clSetKernelArg, (cl_kernel k, cl_uint i, size_t size, const void *value), (k, i, size, value))
MAKE(cl_mem, clCreateBuffer, (cl_context c, cl_mem_flags flags, size_t size, void *at, cl_int *err),
     (c, flags, size, at, err))
DROP(clReleaseMemObject, cl_mem)
PASS(clEnqueueWriteBuffer,
     (cl_command_queue q, cl_mem m, cl_bool wait, size_t at, size_t size, const void *from, cl_uint n,
      const cl_event *after, cl_event *done),
     (q, m, wait, at, size, from, n, after, done))
PASS(clEnqueueWriteBufferRect,
     (cl_command_queue q, cl_mem m, cl_bool wait, const size_t *at, const size_t *from_at, const size_t *region,
      size_t pitch, size_t slice, size_t from_pitch, size_t from_slice, const void *from, cl_uint n,
      const cl_event *after, cl_event *done),
     (q, m, wait, at, from_at, region, pitch, slice, from_pitch, from_slice, from, n, after, done))
PASS(clEnqueueReadBufferRect,
     (cl_command_queue q, cl_mem m, cl_bool wait, const size_t *at, const size_t *to_at, const size_t *region,
      size_t pitch, size_t slice, size_t to_pitch, size_t to_slice, void *to, cl_uint n, const cl_event *after,
      cl_event *done),
     (q, m, wait, at, to_at, region, pitch, slice, to_pitch, to_slice, to, n, after, done))
PASS(clEnqueueNDRangeKernel,
     (cl_command_queue q, cl_kernel k, cl_uint dims, const size_t *at, const size_t *global, const size_t *local,
      cl_uint n, const cl_event *after, cl_event *done),
     (q, k, dims, at, global, local, n, after, done))
#ifndef FAKE_OLD
PASS(clFlush, (cl_command_queue q), (q))
#endif

/* Waits all the same: a failure leaves nothing under way that writes into the test's memory. */
cl_int clFinish(cl_command_queue q)
{
	__typeof__(clFinish) *fn;
	cl_int err;

	*(void **)&fn = real("clFinish");
	err = fn(q);
	return FAILS ? CL_OUT_OF_RESOURCES : err;
}
