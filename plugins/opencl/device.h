/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_OPENCL_DEVICE_H
#define TQ_OPENCL_DEVICE_H

#include <pthread.h>
#include <sys/types.h>
#include "api.h"
#include "tq/plugin.h"

/* X(name): the kernels */
#define TQO_KERNEL_LIST(X)                                                                         \
	X(tqo_butterfly)                                                                           \
	X(tqo_roll)                                                                                \
	X(tqo_dense)                                                                               \
	X(tqo_givens)                                                                              \
	X(tqo_load)                                                                                \
	X(tqo_quantize)                                                                            \
	X(tqo_pack)                                                                                \
	X(tqo_signs)                                                                               \
	X(tqo_unsign)                                                                              \
	X(tqo_levels)                                                                              \
	X(tqo_store)                                                                               \
	X(tqo_expand)                                                                              \
	X(tqo_score)                                                                               \
	X(tqo_score_float)

enum tqo_kernel {
#define TQO_KERNEL_ID(name) id_##name,
	TQO_KERNEL_LIST(TQO_KERNEL_ID) TQO_KERNELS
#undef TQO_KERNEL_ID
};

/* Bytes of each buffer of a lane */
#define TQO_LANE_BYTES ((size_t)4 << 20)

/**
 * struct tqo_lane - one of two in-order queues, with buffers for the rows that it works on
 * @in, @out: what is copied to and from the device
 * @y, @z:    rows of floats, or planes of bytes
 * @small:    a byte per coordinate and a struct tqo_stat per row
 * @gather:   host memory for rows that do not lie side by side
 */
struct tqo_lane {
	cl_command_queue queue;
	cl_mem in, out, y, z, small, stat;
	uint8_t *gather;
	size_t row0, rows;
};

/**
 * struct tqo_device - a started device, shared by all states of this process
 * @lock:    one call at a time: kernels keep their arguments, lanes their rows
 * @queries: TQO_LANE_BYTES for packed queries
 */
struct tqo_device {
	struct tqo_api api;
	cl_device_id id;
	cl_context context;
	cl_program program;
	cl_kernel kernel[TQO_KERNELS];
	struct tqo_lane lane[2];
	cl_mem queries;
	pthread_mutex_t lock;
	pid_t pid;
	char name[128];
};

/**
 * tqo_device_look - is a device there that computes as FORMAT.md asks; starts nothing on it
 * @name: receives its name
 *
 * The device is the first fit one, GPUs before others; the setting "device" names it by a part of its
 * platform's or its own name.
 *
 * Return: 0; TQ_ERR_NOT_PRESENT; TQ_ERR_DEVICE if this process forked after OpenCL had started.
 */
int tqo_device_look(const struct tq_host *host, char *name, size_t name_size, char *why, size_t why_size);

/** tqo_device_get - the same device, started at first; it stays until the last tqo_device_stop() */
int tqo_device_get(const struct tq_host *host, struct tqo_device **dev, char *why, size_t why_size);

/** Users of the plugin, its contexts: the devices stop with the last. */
void tqo_devices_retain(void);
void tqo_devices_release(void);

/** tqo_is_forked - is this another process than the one that started the device */
int tqo_is_forked(const struct tqo_device *dev);

struct tqo_arg {
	size_t size;
	const void *value;
};
#define TQO_ARG(x) {sizeof(x), &(x)}

/**
 * tqo_launch - queue a kernel; the device's lock is held
 * @items:  work-items, rounded up to whole groups
 * @slices: of the second dimension
 */
cl_int tqo_launch(struct tqo_device *dev, struct tqo_lane *lane, enum tqo_kernel kernel, size_t items,
		  size_t slices, const struct tqo_arg *args, unsigned nargs);

#define TQO_LAUNCH(dev, lane, kernel, items, slices, ...)                                          \
	tqo_launch(dev, lane, kernel, items, slices, (const struct tqo_arg[]){__VA_ARGS__},        \
		   sizeof((const struct tqo_arg[]){__VA_ARGS__}) / sizeof(struct tqo_arg))

#endif
