/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_CUDA_DEVICE_H
#define TQ_CUDA_DEVICE_H

#include <pthread.h>
#include <sys/types.h>
#include "api.h"
#include "kernel_list.h"
#include "kv_list.h"
#include "radix_list.h"
#include "tcq_list.h"
#include "warp_list.h"

#define TQC_KERNEL_ID(name, ...) id_##name,
enum tqc_kernel {
	TQC_PLAIN_KERNELS(TQC_KERNEL_ID) TQC_ENCODE_KERNELS(TQC_KERNEL_ID)
		TQC_DECODE_KERNELS(TQC_KERNEL_ID) TQC_SCORE_KERNELS(TQC_KERNEL_ID) TQC_KV_KERNELS(TQC_KERNEL_ID)
			TQC_TCQ_KERNELS(TQC_KERNEL_ID) TQC_RADIX_KERNELS(TQC_KERNEL_ID) TQC_WARP_KERNELS(TQC_KERNEL_ID) TQC_KERNELS,
};
#undef TQC_KERNEL_ID

/* kernels.cu, kv.cu, tcq.cu, radix.cu and warp.cu, in the order of their kernels above */
#define TQC_MODULES 5

/** Buffers of TQC_CHUNK_BYTES for one chunk of rows from host memory: pinned, and the GPU's. */
#define TQC_CHUNK_BYTES (4u << 20)

struct tqc_lane {
	CUstream stream;
	void *in, *out;
	CUdeviceptr dev_in, dev_out;
};

/**
 * One GPU of this process: its primary context and the loaded kernels. Shared and counted. @lane: of whoever
 * holds @lanes_lock; made for the first who asks, kept to the last user's end
 */
struct tqc_device {
	struct tqc_api api;
	CUdevice dev;
	CUcontext ctx;
	CUmodule mod[TQC_MODULES];
	CUfunction fn[TQC_KERNELS];
	int registers[TQC_KERNELS];
	int ordinal, major, processors, shared_max, shared_processor;
	pid_t pid;
	unsigned users;
	char name[128];
	pthread_mutex_t lanes_lock;
	struct tqc_lane lane[2];
};

/**
 * tqc_device_get - retain the primary context of a GPU and load the kernels
 * @ordinal: the driver's number of the GPU
 * @dev:     receives the device; give back with tqc_device_put()
 * @why:     receives the reason on failure
 *
 * Thread-safe. A process that forked after the driver was initialised cannot use it: that is
 * refused here, because the driver would only fail later and elsewhere.
 *
 * Return: 0; TQ_ERR_NOT_PRESENT; TQ_ERR_DEVICE with the driver's text.
 */
int tqc_device_get(int ordinal, struct tqc_device **dev, char *why, size_t why_size);
void tqc_device_put(struct tqc_device *dev);

/**
 * tqc_device_look - is a GPU there and new enough; makes no context on it
 * @name: receives its name
 *
 * The second stage of probing: the first, in the core, is that the plugin's file is there; contexts
 * and kernels come with the first plan.
 *
 * Return: 0; TQ_ERR_NOT_PRESENT; TQ_ERR_DEVICE with the driver's text.
 */
int tqc_device_look(int ordinal, char *name, size_t name_size, char *why, size_t why_size);

/** tqc_enter - make the device's context current; every entry of the plugin does, and leaves again
 */
int tqc_enter(struct tqc_device *dev);
void tqc_leave(struct tqc_device *dev);

/** tqc_is_forked - is this another process than the one that started the device */
int tqc_is_forked(const struct tqc_device *dev);

/**
 * tqc_device_lanes - make the device's lanes, unless they are there; the device is entered
 *
 * Pinning memory takes milliseconds a megabyte, too long for every plan to have its own.
 */
CUresult tqc_device_lanes(struct tqc_device *dev);

/**
 * struct tqc_launch - one kernel to start
 * @gx: blocks, at least 1; @gy: problems of a batch
 * @what: for the error's text
 */
struct tqc_launch {
	enum tqc_kernel kernel;
	const char *what;
	unsigned gx, gy, threads;
	size_t shared;
	CUstream stream;
};

/** tqc_launch - start a kernel on the current context; 0 or the driver's error */
CUresult tqc_launch(struct tqc_device *dev, const struct tqc_launch *l, void **params);

/**
 * tqc_launch_early - the same, and where device and driver can, the kernel may begin before the stream's
 * last kernel has ended: it waits for that itself (kv_attend.cuh)
 */
CUresult tqc_launch_early(struct tqc_device *dev, const struct tqc_launch *l, void **params);

#endif
