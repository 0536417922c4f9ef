/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The GPUs of this process. The CUDA driver is process-wide whatever a library does, so this list
 * is too: one primary context per GPU, retained while anybody uses it.
 */
#include "device.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "tq/status.h"

#define TQC_MAX_DEVICES 16

extern const unsigned char tqc_fatbin[], tqc_kv_fatbin[], tqc_tcq_fatbin[], tqc_radix_fatbin[], tqc_warp_fatbin[];

/* The modules, and the first kernel of each */
static const struct {
	const unsigned char *fatbin;
	int first;
} modules[TQC_MODULES] = {
	{tqc_fatbin, 0},
	{tqc_kv_fatbin, id_tqc_kv_append},
	{tqc_tcq_fatbin, id_tqc_decode_tcq},
	{tqc_radix_fatbin, id_tqc_encode_radix},
	{tqc_warp_fatbin, id_tqc_encode_warp_1_0},
};

#define TQC_KERNEL_NAME(name, ...) #name,
static const char *const kernel_names[TQC_KERNELS] = {
	TQC_PLAIN_KERNELS(TQC_KERNEL_NAME) TQC_ENCODE_KERNELS(TQC_KERNEL_NAME)
		TQC_DECODE_KERNELS(TQC_KERNEL_NAME) TQC_SCORE_KERNELS(TQC_KERNEL_NAME) TQC_KV_KERNELS(TQC_KERNEL_NAME)
			TQC_TCQ_KERNELS(TQC_KERNEL_NAME) TQC_RADIX_KERNELS(TQC_KERNEL_NAME) TQC_WARP_KERNELS(TQC_KERNEL_NAME)};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct tqc_device devices[TQC_MAX_DEVICES];
static struct tqc_api driver;
static pid_t driver_pid;

/* Load and initialise the driver once per process; called with the lock held. */
static int driver_start(char *why, size_t why_size)
{
	int version = 0, ret;
	CUresult err;

	if (driver.lib && driver_pid == getpid())
		return 0;
	if (driver.lib) {
		snprintf(
			why, why_size,
			"forked after init: start the GPU work before or after the fork, not both");
		return TQ_ERR_DEVICE;
	}
	ret = tqc_api_open(&driver, why, why_size);
	if (ret)
		return ret;
	err = driver.init(0);
	if (err) {
		snprintf(why, why_size, err == CU_ERROR_NO_DEVICE ? "no device: %s" : "cuInit: %s",
			 tqc_error(&driver, err));
		goto err_close;
	}
	err = driver.driver_version(&version);
	if (err || version < 11040) {
		snprintf(why, why_size, "driver for CUDA %d.%d is too old: 11.4 is needed",
			 version / 1000, version % 1000 / 10);
		goto err_close;
	}
	driver_pid = getpid();
	return 0;
err_close:
	tqc_api_close(&driver);
	return TQ_ERR_NOT_PRESENT;
}

/* A call of the driver, remembering which for the error's text. */
#define STEP(call)                                                                                 \
	do {                                                                                       \
		step = #call;                                                                      \
		err = driver.call;                                                                 \
	} while (0)

static int step_failed(int ordinal, const char *step, CUresult err, char *why, size_t why_size)
{
	snprintf(why, why_size, "GPU %d: %.*s: %s", ordinal, (int)strcspn(step, "("), step,
		 tqc_error(&driver, err));
	return TQ_ERR_DEVICE;
}

/* What is known of a device without a context on it; called with the lock held. */
static int device_look(struct tqc_device *d, int ordinal, char *why, size_t why_size)
{
	int count = 0, minor = 0;
	const char *step;
	CUresult err;

	memset(d, 0, sizeof(*d));
	d->ordinal = ordinal;
	STEP(device_count(&count));
	if (!err && ordinal >= count) {
		snprintf(why, why_size,
			 count ? "no device: GPU %d of %d" : "no device: none listed", ordinal,
			 count);
		return TQ_ERR_NOT_PRESENT;
	}
	if (!err)
		STEP(device_get(&d->dev, ordinal));
	if (!err)
		STEP(device_name(d->name, sizeof(d->name) - 1, d->dev));
	if (!err)
		STEP(device_attribute(&d->major, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR,
				      d->dev));
	if (!err)
		STEP(device_attribute(&minor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR,
				      d->dev));
	if (!err)
		STEP(device_attribute(&d->processors, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT,
				      d->dev));
	if (!err)
		STEP(device_attribute(&d->shared_max,
				      CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN,
				      d->dev));
	if (!err)
		STEP(device_attribute(&d->shared_processor,
				      CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR,
				      d->dev));
	if (err)
		return step_failed(ordinal, step, err, why, why_size);
	if (d->major < 8) {
		snprintf(why, why_size, "%s has compute capability %d.%d: 8.0 is needed", d->name,
			 d->major, minor);
		return TQ_ERR_NOT_PRESENT;
	}
	return 0;
}

int tqc_device_look(int ordinal, char *name, size_t name_size, char *why, size_t why_size)
{
	struct tqc_device d;
	int ret;

	pthread_mutex_lock(&lock);
	ret = driver_start(why, why_size);
	if (!ret)
		ret = device_look(&d, ordinal, why, why_size);
	pthread_mutex_unlock(&lock);
	if (!ret)
		snprintf(name, name_size, "%s", d.name);
	return ret;
}

static void unload_kernels(struct tqc_device *d)
{
	int m;

	for (m = 0; m < TQC_MODULES; m++)
		if (d->mod[m])
			d->api.module_unload(d->mod[m]);
}

/* The kernels of a device whose context is current; called with the lock held. */
static CUresult load_kernels(struct tqc_device *d, const char **failed)
{
	CUresult err = CU_SUCCESS;
	const char *step = NULL;
	int k, m;

	for (m = 0; !err && m < TQC_MODULES; m++)
		STEP(module_load(&d->mod[m], modules[m].fatbin));
	for (k = m = 0; !err && k < TQC_KERNELS; k++) {
		m += m + 1 < TQC_MODULES && k == modules[m + 1].first;
		STEP(module_function(&d->fn[k], d->mod[m], kernel_names[k]));
		if (!err)
			STEP(function_get(&d->registers[k], CU_FUNC_ATTRIBUTE_NUM_REGS, d->fn[k]));
		if (!err)
			STEP(function_attribute(d->fn[k],
						CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
						d->shared_max - TQC_STATIC_SHARED_MAX));
		/* kernels that follow one another, and want the same, need not wait for a processor to change */
		if (!err && k >= id_tqc_kv_append && k < id_tqc_decode_tcq)
			STEP(function_attribute(d->fn[k], CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT, 100));
	}
	if (err)
		unload_kernels(d);
	*failed = step;
	return err;
}

/* Everything of one device; called with the lock held. */
static int device_start(struct tqc_device *d, int ordinal, char *why, size_t why_size)
{
	const char *step;
	CUcontext old;
	CUresult err;
	int ret;

	ret = device_look(d, ordinal, why, why_size);
	if (ret)
		return ret;
	d->api = driver;
	STEP(ctx_retain(&d->ctx, d->dev));
	if (err)
		return step_failed(ordinal, step, err, why, why_size);
	STEP(ctx_push(d->ctx));
	if (!err) {
		err = load_kernels(d, &step);
		d->api.ctx_pop(&old);
	}
	if (err) {
		ret = step_failed(ordinal, step, err, why, why_size);
		d->api.ctx_release(d->dev);
		return ret;
	}
	d->pid = getpid();
	pthread_mutex_init(&d->lanes_lock, NULL);
	return 0;
}

#undef STEP

static void lanes_free(struct tqc_device *d)
{
	const struct tqc_api *api = &d->api;
	int i;

	for (i = 0; i < 2; i++) {
		struct tqc_lane *l = &d->lane[i];

		if (l->dev_out)
			api->mem_free(l->dev_out);
		if (l->dev_in)
			api->mem_free(l->dev_in);
		if (l->out)
			api->host_free(l->out);
		if (l->in)
			api->host_free(l->in);
		if (l->stream)
			api->stream_destroy(l->stream);
	}
	memset(d->lane, 0, sizeof(d->lane));
}

static CUresult lanes_alloc(struct tqc_device *d)
{
	const struct tqc_api *api = &d->api;
	CUresult err = 0;
	int i;

	for (i = 0; i < 2 && !err; i++) {
		struct tqc_lane *l = &d->lane[i];

		err = api->stream_create(&l->stream, CU_STREAM_NON_BLOCKING);
		if (!err)
			err = api->host_alloc(&l->in, TQC_CHUNK_BYTES, 0);
		if (!err)
			err = api->host_alloc(&l->out, TQC_CHUNK_BYTES, 0);
		if (!err)
			err = api->mem_alloc(&l->dev_in, TQC_CHUNK_BYTES);
		if (!err)
			err = api->mem_alloc(&l->dev_out, TQC_CHUNK_BYTES);
	}
	if (err)
		lanes_free(d);
	return err;
}

CUresult tqc_device_lanes(struct tqc_device *d)
{
	CUresult err = 0;

	pthread_mutex_lock(&d->lanes_lock);
	if (!d->lane[1].dev_out)
		err = lanes_alloc(d);
	pthread_mutex_unlock(&d->lanes_lock);
	return err;
}

int tqc_device_get(int ordinal, struct tqc_device **dev, char *why, size_t why_size)
{
	struct tqc_device *d;
	int ret;

	if (ordinal < 0 || ordinal >= TQC_MAX_DEVICES) {
		snprintf(why, why_size, "no GPU %d", ordinal);
		return TQ_ERR_NOT_PRESENT;
	}
	pthread_mutex_lock(&lock);
	d = &devices[ordinal];
	ret = driver_start(why, why_size);
	if (!ret && !d->users)
		ret = device_start(d, ordinal, why, why_size);
	if (!ret) {
		d->users++;
		*dev = d;
	}
	pthread_mutex_unlock(&lock);
	return ret;
}

void tqc_device_put(struct tqc_device *d)
{
	CUcontext old;

	pthread_mutex_lock(&lock);
	if (!--d->users && d->pid == getpid()) {
		if (!d->api.ctx_push(d->ctx)) {
			lanes_free(d);
			unload_kernels(d);
			d->api.ctx_pop(&old);
		}
		d->api.ctx_release(d->dev);
		pthread_mutex_destroy(&d->lanes_lock);
	}
	pthread_mutex_unlock(&lock);
}

int tqc_is_forked(const struct tqc_device *dev)
{
	return dev->pid != getpid();
}

int tqc_enter(struct tqc_device *dev)
{
	if (tqc_is_forked(dev))
		return TQ_ERR_DEVICE;
	return dev->api.ctx_push(dev->ctx) ? TQ_ERR_DEVICE : 0;
}

void tqc_leave(struct tqc_device *dev)
{
	CUcontext old;

	dev->api.ctx_pop(&old);
}

CUresult tqc_launch(struct tqc_device *dev, const struct tqc_launch *l, void **params)
{
	return dev->api.launch(dev->fn[l->kernel], l->gx, l->gy, 1, l->threads, 1, 1,
			       (unsigned)l->shared, l->stream, params, NULL);
}

CUresult tqc_launch_early(struct tqc_device *dev, const struct tqc_launch *l, void **params)
{
	CUlaunchAttribute early = { .id = CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION, .value.flag = 1 };
	CUlaunchConfig config = { l->gx, l->gy, 1, l->threads, 1, 1, (unsigned)l->shared, l->stream, &early, 1 };

	if (dev->major < 9 || !dev->api.launch_ex)
		return tqc_launch(dev, l, params);
	return dev->api.launch_ex(&config, dev->fn[l->kernel], params, NULL);
}
