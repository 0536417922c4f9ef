/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_CUDA_DEVICE_H
#define TQ_CUDA_DEVICE_H

#include <sys/types.h>
#include "api.h"

enum tqc_kernel {
	TQC_ENCODE,
	TQC_DECODE,
	TQC_KERNELS,
};

/** One GPU of this process: its primary context and the loaded kernels. Shared and counted. */
struct tqc_device {
	struct tqc_api api;
	CUdevice dev;
	CUcontext ctx;
	CUmodule mod;
	CUfunction fn[TQC_KERNELS];
	int ordinal, processors, shared_max;
	pid_t pid;
	unsigned users;
	char name[128];
};

/**
 * tqc_device_get - retain the primary context of a GPU and load the kernels
 * @ordinal: the driver's number of the GPU
 * @dev:     receives the device; give back with tqc_device_put()
 * @why:     receives the reason on failure
 *
 * Thread-safe. A process that forked after the driver was initialised cannot use it: that is refused
 * here, because the driver would only fail later and elsewhere.
 *
 * Return: 0; TQ_ERR_NOT_PRESENT; TQ_ERR_DEVICE with the driver's text.
 */
int tqc_device_get(int ordinal, struct tqc_device **dev, char *why, size_t why_size);
void tqc_device_put(struct tqc_device *dev);

/** tqc_device_count - how many GPUs; negative TQ_ERR_* with the reason */
int tqc_device_count(char *why, size_t why_size);

/** tqc_enter - make the device's context current; every entry of the plugin does, and leaves again */
int tqc_enter(struct tqc_device *dev);
void tqc_leave(struct tqc_device *dev);

/** tqc_launch - start a kernel on the current context; 0 or the driver's error */
CUresult tqc_launch(struct tqc_device *dev, enum tqc_kernel kernel, unsigned blocks,
		    unsigned threads, size_t shared, CUstream stream, void **params);

#endif
