/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The OpenCL devices of this process. The ICD loader is process-wide whatever a library does, so this
 * list is too.
 */
#include "device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "plan.h"
#include "program.h"
#include "tq/status.h"

#define MAX_DEVICES 16
#define MAX_PLATFORMS 16

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct tqo_device *devices[MAX_DEVICES];
static struct tqo_api api;
static pid_t api_pid;
static unsigned users;

/* What was found: the best device, and why the first of the others will not do */
struct found {
	const char *wanted;
	cl_platform_id platform;
	cl_device_id device;
	int rank, seen, forbidden;
	char name[128], why[256];
};

/* Load the loader once per process; called with the lock held. */
static int api_start(char *why, size_t why_size)
{
	int ret;

	if (api.lib && api_pid == getpid())
		return 0;
	if (api.lib) {
		snprintf(why, why_size,
			 "forked after init: start the OpenCL work before or after the fork, not both");
		return TQ_ERR_DEVICE;
	}
	ret = tqo_api_open(&api, why, why_size);
	if (!ret)
		api_pid = getpid();
	return ret;
}

/* A text of a platform, or of its device if @id: as much as there is room for; "" if there is none */
static void info_text(cl_platform_id platform, cl_device_id id, cl_uint what, char *text, size_t size)
{
	size_t n = 0;
	char *all;

	text[0] = '\0';
	if (id ? api.clGetDeviceInfo(id, what, 0, NULL, &n) : api.clGetPlatformInfo(platform, what, 0, NULL, &n))
		return;
	all = calloc(1, n + 1);
	if (all && !(id ? api.clGetDeviceInfo(id, what, n, all, NULL)
			: api.clGetPlatformInfo(platform, what, n, all, NULL)))
		snprintf(text, size, "%s", all);
	free(all);
}

#define DEVICE_NUMBER(id, what, number)                                                            \
	(api.clGetDeviceInfo(id, what, sizeof(number), &(number), NULL) == CL_SUCCESS)

/* Does the device compute as docs/FORMAT.md asks? NULL, or what is missing. */
static const char *missing(cl_device_id id)
{
	const cl_device_fp_config rounding = CL_FP_ROUND_TO_NEAREST | CL_FP_INF_NAN,
				  exact = CL_FP_CORRECTLY_ROUNDED_DIVIDE_SQRT;
	cl_bool available = 0, compiler = 0, little = 0;
	cl_device_fp_config fp = 0;
	cl_ulong local = 0;
	char version[64];
	size_t group = 0;

	info_text(NULL, id, CL_DEVICE_VERSION, version, sizeof(version));
	if (!DEVICE_NUMBER(id, CL_DEVICE_AVAILABLE, available) ||
	    !DEVICE_NUMBER(id, CL_DEVICE_COMPILER_AVAILABLE, compiler) ||
	    !DEVICE_NUMBER(id, CL_DEVICE_ENDIAN_LITTLE, little) ||
	    !DEVICE_NUMBER(id, CL_DEVICE_SINGLE_FP_CONFIG, fp) ||
	    !DEVICE_NUMBER(id, CL_DEVICE_LOCAL_MEM_SIZE, local) ||
	    !DEVICE_NUMBER(id, CL_DEVICE_MAX_WORK_GROUP_SIZE, group))
		return "does not answer";
	if (!available)
		return "is not available";
	if (strncmp(version, "OpenCL ", 7) || strtod(version + 7, NULL) < 1.2)
		return "has no OpenCL 1.2";
	if (!compiler)
		return "has no compiler";
	if (!little)
		return "is big-endian";
	if ((fp & rounding) != rounding)
		return "does not round floats to nearest, or has no infinity";
	if (!(fp & CL_FP_DENORM))
		return "flushes denormal floats to zero";
	if (!(fp & exact))
		return "has no correctly rounded division and square root of floats";
	if (group < TQO_GROUP || local < 20480)
		return "has too small work-groups";
	return NULL;
}

static void consider(struct found *f, cl_platform_id platform, const char *platform_name, cl_device_id id)
{
	cl_device_type type = 0;
	const char *lacks;
	char name[128];
	int rank;

	info_text(NULL, id, CL_DEVICE_NAME, name, sizeof(name));
	f->seen++;
	if (f->wanted && !strstr(name, f->wanted) && !strstr(platform_name, f->wanted)) {
		f->forbidden++;
		return;
	}
	lacks = missing(id);
	if (lacks) {
		if (!f->why[0])
			snprintf(f->why, sizeof(f->why), "%.100s %s", name, lacks);
		return;
	}
	api.clGetDeviceInfo(id, CL_DEVICE_TYPE, sizeof(type), &type, NULL);
	rank = type & (CL_DEVICE_TYPE_GPU | CL_DEVICE_TYPE_ACCELERATOR) ? 2 : 1;
	if (rank <= f->rank)
		return;
	f->rank = rank;
	f->platform = platform;
	f->device = id;
	memcpy(f->name, name, sizeof(name));
}

/* Find the device that serves; called with the lock held. */
static int find(const struct tq_host *host, struct found *f, char *why, size_t why_size)
{
	cl_platform_id platforms[MAX_PLATFORMS];
	cl_device_id ids[MAX_DEVICES];
	cl_uint nplatforms = 0, n, i, k;
	char name[128];
	cl_int err;

	memset(f, 0, sizeof(*f));
	f->wanted = host->config(host, "device");
	err = api.clGetPlatformIDs(MAX_PLATFORMS, platforms, &nplatforms);
	if (err || !nplatforms) {
		snprintf(why, why_size, "no platform: %s", err ? tqo_error(err) : "none installed");
		return TQ_ERR_NOT_PRESENT;
	}
	for (i = 0; i < nplatforms && i < MAX_PLATFORMS; i++) {
		info_text(platforms[i], NULL, CL_PLATFORM_NAME, name, sizeof(name));
		if (api.clGetDeviceIDs(platforms[i], CL_DEVICE_TYPE_ALL, MAX_DEVICES, ids, &n))
			continue;
		for (k = 0; k < n && k < MAX_DEVICES; k++)
			consider(f, platforms[i], name, ids[k]);
	}
	if (f->rank)
		return 0;
	if (f->why[0])
		snprintf(why, why_size, "%s", f->why);
	else if (f->forbidden)
		snprintf(why, why_size, "no device: none of %d is called \"%.60s\"", f->seen, f->wanted);
	else
		snprintf(why, why_size, "no device: %u platforms list none", nplatforms);
	return TQ_ERR_NOT_PRESENT;
}

int tqo_device_look(const struct tq_host *host, char *name, size_t name_size, char *why, size_t why_size)
{
	struct found f;
	int ret;

	pthread_mutex_lock(&lock);
	ret = api_start(why, why_size);
	if (!ret)
		ret = find(host, &f, why, why_size);
	pthread_mutex_unlock(&lock);
	if (!ret)
		snprintf(name, name_size, "%s", f.name);
	return ret;
}

static void lane_free(struct tqo_lane *l)
{
	cl_mem *mem[] = {&l->in, &l->out, &l->y, &l->z, &l->small, &l->stat};
	size_t i;

	for (i = 0; i < sizeof(mem) / sizeof(mem[0]); i++)
		if (*mem[i])
			api.clReleaseMemObject(*mem[i]);
	if (l->queue)
		api.clReleaseCommandQueue(l->queue);
	free(l->gather);
}

static cl_int lane_alloc(struct tqo_device *d, struct tqo_lane *l)
{
	cl_mem *mem[] = {&l->in, &l->out, &l->y, &l->z, &l->small, &l->stat};
	cl_int err = CL_SUCCESS;
	size_t i;

	l->gather = malloc(TQO_LANE_BYTES);
	if (!l->gather)
		return CL_OUT_OF_HOST_MEMORY;
	l->queue = api.clCreateCommandQueue(d->context, d->id, 0, &err);
	for (i = 0; i < sizeof(mem) / sizeof(mem[0]) && !err; i++)
		*mem[i] = api.clCreateBuffer(d->context, CL_MEM_READ_WRITE, TQO_LANE_BYTES, NULL, &err);
	return err;
}

/* What a started device holds; called with the lock held. */
static void device_free(struct tqo_device *d)
{
	int k;

	for (k = 0; k < 2; k++)
		lane_free(&d->lane[k]);
	if (d->queries)
		api.clReleaseMemObject(d->queries);
	for (k = 0; k < TQO_KERNELS; k++)
		if (d->kernel[k])
			api.clReleaseKernel(d->kernel[k]);
	if (d->program)
		api.clReleaseProgram(d->program);
	if (d->context)
		api.clReleaseContext(d->context);
	pthread_mutex_destroy(&d->lock);
	free(d);
}

#define KERNEL_NAME(name) #name,
static const char *const kernel_names[TQO_KERNELS] = {TQO_KERNEL_LIST(KERNEL_NAME)};
#undef KERNEL_NAME

static int failed(const struct tqo_device *d, const char *what, cl_int err, char *why, size_t why_size)
{
	snprintf(why, why_size, "%s: %s: %s", d->name, what, tqo_error(err));
	return err == CL_OUT_OF_HOST_MEMORY ? TQ_ERR_NOMEM : TQ_ERR_DEVICE;
}

/* Everything of one device; called with the lock held. */
static int device_start(const struct tq_host *host, const struct found *f, struct tqo_device *d, char *why,
			size_t why_size)
{
	struct tqo_target target = {f->platform, f->device, NULL};
	cl_int err;
	int k, ret;

	d->api = api;
	d->id = f->device;
	d->pid = getpid();
	memcpy(d->name, f->name, sizeof(d->name));
	pthread_mutex_init(&d->lock, NULL);
	d->context = api.clCreateContext(NULL, 1, &d->id, NULL, NULL, &err);
	if (err)
		return failed(d, "clCreateContext", err, why, why_size);
	target.context = d->context;
	ret = tqo_program_build(&api, host, &target, &d->program, why, why_size);
	if (ret)
		return ret;
	for (k = 0; k < TQO_KERNELS; k++) {
		d->kernel[k] = api.clCreateKernel(d->program, kernel_names[k], &err);
		if (err)
			return failed(d, kernel_names[k], err, why, why_size);
	}
	d->queries = api.clCreateBuffer(d->context, CL_MEM_READ_WRITE, TQO_LANE_BYTES, NULL, &err);
	for (k = 0; k < 2 && !err; k++)
		err = lane_alloc(d, &d->lane[k]);
	return err ? failed(d, "buffers", err, why, why_size) : 0;
}

/* The device of this number among the started ones, started if it was not */
static int started(const struct tq_host *host, const struct found *f, struct tqo_device **dev, char *why,
		   size_t why_size)
{
	int k, ret;

	for (k = 0; k < MAX_DEVICES && devices[k]; k++) {
		*dev = devices[k];
		if (devices[k]->id == f->device)
			return 0;
	}
	if (k == MAX_DEVICES) {
		snprintf(why, why_size, "more than %d devices in use", MAX_DEVICES);
		return TQ_ERR_FULL;
	}
	*dev = calloc(1, sizeof(**dev));
	if (!*dev) {
		snprintf(why, why_size, "no memory for a device");
		return TQ_ERR_NOMEM;
	}
	ret = device_start(host, f, *dev, why, why_size);
	if (ret)
		device_free(*dev);
	else
		devices[k] = *dev;
	return ret;
}

int tqo_device_get(const struct tq_host *host, struct tqo_device **dev, char *why, size_t why_size)
{
	struct found f;
	int ret;

	pthread_mutex_lock(&lock);
	ret = api_start(why, why_size);
	if (!ret)
		ret = find(host, &f, why, why_size);
	if (!ret)
		ret = started(host, &f, dev, why, why_size);
	pthread_mutex_unlock(&lock);
	return ret;
}

void tqo_devices_retain(void)
{
	pthread_mutex_lock(&lock);
	users++;
	pthread_mutex_unlock(&lock);
}

void tqo_devices_release(void)
{
	int k;

	pthread_mutex_lock(&lock);
	if (!--users)
		for (k = 0; k < MAX_DEVICES; k++) {
			if (devices[k] && devices[k]->pid == getpid())
				device_free(devices[k]);
			devices[k] = NULL;
		}
	pthread_mutex_unlock(&lock);
}

int tqo_is_forked(const struct tqo_device *dev)
{
	return dev->pid != getpid();
}

cl_int tqo_launch(struct tqo_device *dev, struct tqo_lane *lane, enum tqo_kernel kernel, size_t items,
		  size_t slices, const struct tqo_arg *args, unsigned nargs)
{
	size_t local[2] = {TQO_GROUP, 1};
	size_t global[2] = {(items + TQO_GROUP - 1) / TQO_GROUP * TQO_GROUP, slices};
	cl_int err = CL_SUCCESS;
	unsigned i;

	for (i = 0; i < nargs && !err; i++)
		err = dev->api.clSetKernelArg(dev->kernel[kernel], i, args[i].size, args[i].value);
	if (err || !items)
		return err;
	return dev->api.clEnqueueNDRangeKernel(lane->queue, dev->kernel[kernel], slices > 1 ? 2 : 1, NULL,
					       global, local, 0, NULL, NULL);
}
