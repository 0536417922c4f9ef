/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_OPENCL_API_H
#define TQ_OPENCL_API_H

/*
 * The part of OpenCL that the plugin calls, found by dlopen of the ICD loader: the plugin loads where
 * there is none. Khronos' headers are needed to build.
 */

#define CL_TARGET_OPENCL_VERSION 120
#define CL_USE_DEPRECATED_OPENCL_1_2_APIS
#include <CL/cl.h>
#include <stddef.h>

/* X(function) */
#define TQO_API_LIST(X)                                                                            \
	X(clGetPlatformIDs)                                                                        \
	X(clGetPlatformInfo)                                                                       \
	X(clGetDeviceIDs)                                                                          \
	X(clGetDeviceInfo)                                                                         \
	X(clCreateContext)                                                                         \
	X(clReleaseContext)                                                                        \
	X(clCreateCommandQueue)                                                                    \
	X(clReleaseCommandQueue)                                                                   \
	X(clCreateProgramWithSource)                                                               \
	X(clCreateProgramWithBinary)                                                               \
	X(clBuildProgram)                                                                          \
	X(clGetProgramBuildInfo)                                                                   \
	X(clGetProgramInfo)                                                                        \
	X(clReleaseProgram)                                                                        \
	X(clCreateKernel)                                                                          \
	X(clReleaseKernel)                                                                         \
	X(clSetKernelArg)                                                                          \
	X(clCreateBuffer)                                                                          \
	X(clReleaseMemObject)                                                                      \
	X(clEnqueueWriteBuffer)                                                                    \
	X(clEnqueueWriteBufferRect)                                                                \
	X(clEnqueueReadBufferRect)                                                                 \
	X(clEnqueueNDRangeKernel)                                                                  \
	X(clFlush)                                                                                 \
	X(clFinish)

struct tqo_api {
	void *lib;
#define TQO_API_MEMBER(name) __typeof__(name) *name;
	TQO_API_LIST(TQO_API_MEMBER)
#undef TQO_API_MEMBER
};

/** tqo_api_open - 0, or TQ_ERR_NOT_PRESENT with the reason: there is no loader, or it lacks a function */
int tqo_api_open(struct tqo_api *api, char *why, size_t why_size);

/** tqo_error - the name of an OpenCL error; a static string */
const char *tqo_error(cl_int error);

#endif
