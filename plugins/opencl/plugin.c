/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The OpenCL plugin: what it offers, as data. It works on host memory; where the copies cost more than
 * the work a CPU driver is faster, so its priority is below theirs: it is used when pinned or ordered.
 */
#include <stdio.h>
#include "device.h"
#include "ops.h"

static int init(const struct tq_host *host)
{
	tqo_devices_retain();
	return 0;
}

static void fini(const struct tq_host *host)
{
	tqo_devices_release();
}

static int probe(const struct tq_host *host, char *device, size_t device_size, char *why, size_t why_size)
{
	return tqo_device_look(host, device, device_size, why, why_size);
}

static int supports(const struct tq_plan *plan, char *why, size_t why_size)
{
	if (plan->rotation.kind == TQ_ROT_PLUGIN) {
		snprintf(why, why_size, "the rotation is another plugin's");
		return 0;
	}
	return 1;
}

#define TQO_DRIVER(generic, own)                                                                   \
	.struct_size = sizeof(struct tq_driver), .priority = 50, .name = generic, .driver_name = own,\
	.memory = TQ_MEM_OPENCL, .flags = TQ_DRV_BITEXACT | TQ_DRV_CONCURRENT

/* Effort 2 walks a row coordinate by coordinate: not for a device. Decode does not ask for the effort. */
#define TQO_STAGE(generic, own, effort, stage_ops)                                                 \
	{TQO_DRIVER(generic, own), .effort_max = (effort), .supports = supports, .ops = &(stage_ops)}
#define TQO_CODEC(rotation)                                                                        \
	TQO_STAGE("encode(" rotation ",grid)", "encode-" rotation "-opencl", 1, tqo_encode_ops),   \
	TQO_STAGE("decode(" rotation ",grid)", "decode-" rotation "-opencl", 2, tqo_decode_ops),   \
	TQO_STAGE("encode(" rotation ",radix)", "encode-" rotation "-radix-opencl", 1, tqo_encode_ops),\
	TQO_STAGE("decode(" rotation ",radix)", "decode-" rotation "-radix-opencl", 2, tqo_decode_ops)

static const struct tq_driver drivers[] = {
	{TQO_DRIVER("rotate(rht)", "rht-opencl"), .rotation_ops = &tqo_rotation_ops},
	TQO_CODEC("rht"),
	TQO_CODEC("dense"),
	TQO_CODEC("givens"),
	TQO_CODEC("none"),
	{TQO_DRIVER("score(grid)", "score-opencl"), .effort_max = 2, .ops = &tqo_score_ops},
	{TQO_DRIVER("score(radix)", "score-radix-opencl"), .effort_max = 2, .ops = &tqo_score_ops},
};

TQ_PLUGIN_DEFINE(opencl) = {
	.magic = TQ_PLUGIN_MAGIC,
	.abi_major = TQ_ABI_MAJOR,
	.abi_minor = TQ_ABI_MINOR,
	.struct_size = sizeof(struct tq_plugin),
	.driver_size = sizeof(struct tq_driver),
	.name = "opencl",
	.version = "0.1.0",
	.licence = "Apache-2.0",
	.init = init,
	.fini = fini,
	.probe = probe,
	.drivers = drivers,
	.ndrivers = sizeof(drivers) / sizeof(drivers[0]),
};
