/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The CUDA plugin: what it offers, as data. Its host path is slower than a CPU driver where the
 * copies cost more than the work, so its priority is below theirs: it is used when pinned or
 * ordered.
 */
#include <stdio.h>
#include "device.h"
#include "device_ops.h"
#include "host_ops.h"
#include "state.h"

static int probe(const struct tq_host *host, char *device, size_t device_size, char *why,
		 size_t why_size)
{
	return tqc_device_look(0, device, device_size, why, why_size);
}

static int supports(const struct tq_plan *plan, char *why, size_t why_size)
{
	if (plan->polar) {
		snprintf(why, why_size, "does not serve polar codes");
		return 0;
	}
	if (plan->rotation.kind == TQ_ROT_PLUGIN) {
		snprintf(why, why_size, "the rotation is another plugin's");
		return 0;
	}
	return 1;
}

#define TQC_DRIVER(generic, own, table)                                                            \
	{                                                                                          \
		.struct_size = sizeof(struct tq_driver), .priority = 50, .name = generic,          \
		.driver_name = own, .memory = TQ_MEM_CUDA,                                         \
		.flags = TQ_DRV_BITEXACT | TQ_DRV_CONCURRENT, .dim_max = TQC_MAX_DIM,              \
		.effort_max = 1, .supports = supports, .ops = &table,                              \
	}

static const struct tq_driver drivers[] = {
	TQC_DRIVER("encode(rht,grid)", "encode-rht-cuda", tqc_encode_ops),
	TQC_DRIVER("encode(dense,grid)", "encode-dense-cuda", tqc_encode_ops),
	TQC_DRIVER("encode(givens,grid)", "encode-givens-cuda", tqc_encode_ops),
	TQC_DRIVER("encode(none,grid)", "encode-none-cuda", tqc_encode_ops),
	TQC_DRIVER("decode(rht,grid)", "decode-rht-cuda", tqc_decode_ops),
	TQC_DRIVER("decode(dense,grid)", "decode-dense-cuda", tqc_decode_ops),
	TQC_DRIVER("decode(givens,grid)", "decode-givens-cuda", tqc_decode_ops),
	TQC_DRIVER("decode(none,grid)", "decode-none-cuda", tqc_decode_ops),
	TQC_DRIVER("encode(rht,tcq)", "encode-rht-tcq-cuda", tqc_encode_ops),
	TQC_DRIVER("encode(dense,tcq)", "encode-dense-tcq-cuda", tqc_encode_ops),
	TQC_DRIVER("encode(givens,tcq)", "encode-givens-tcq-cuda", tqc_encode_ops),
	TQC_DRIVER("encode(none,tcq)", "encode-none-tcq-cuda", tqc_encode_ops),
	TQC_DRIVER("decode(rht,tcq)", "decode-rht-tcq-cuda", tqc_decode_ops),
	TQC_DRIVER("decode(dense,tcq)", "decode-dense-tcq-cuda", tqc_decode_ops),
	TQC_DRIVER("decode(givens,tcq)", "decode-givens-tcq-cuda", tqc_decode_ops),
	TQC_DRIVER("decode(none,tcq)", "decode-none-tcq-cuda", tqc_decode_ops),
	TQC_DRIVER("encode(rht,radix)", "encode-rht-radix-cuda", tqc_encode_ops),
	TQC_DRIVER("encode(dense,radix)", "encode-dense-radix-cuda", tqc_encode_ops),
	TQC_DRIVER("encode(givens,radix)", "encode-givens-radix-cuda", tqc_encode_ops),
	TQC_DRIVER("encode(none,radix)", "encode-none-radix-cuda", tqc_encode_ops),
	TQC_DRIVER("decode(rht,radix)", "decode-rht-radix-cuda", tqc_decode_ops),
	TQC_DRIVER("decode(dense,radix)", "decode-dense-radix-cuda", tqc_decode_ops),
	TQC_DRIVER("decode(givens,radix)", "decode-givens-radix-cuda", tqc_decode_ops),
	TQC_DRIVER("decode(none,radix)", "decode-none-radix-cuda", tqc_decode_ops),
	{
		.struct_size = sizeof(struct tq_driver),
		.priority = 50,
		.name = "device(cuda)",
		.driver_name = "device-cuda",
		.memory = TQ_MEM_CUDA,
		.flags = TQ_DRV_BITEXACT | TQ_DRV_CONCURRENT,
		.dim_max = TQC_MAX_DIM,
		.effort_max = 1,
		.supports = supports,
		.device_ops = &tqc_device_ops,
	},
};

TQ_PLUGIN_DEFINE(cuda) = {
	.magic = TQ_PLUGIN_MAGIC,
	.abi_major = TQ_ABI_MAJOR,
	.abi_minor = TQ_ABI_MINOR,
	.struct_size = sizeof(struct tq_plugin),
	.driver_size = sizeof(struct tq_driver),
	.name = "cuda",
	.version = "0.1.0",
	.licence = "Apache-2.0",
	.probe = probe,
	.drivers = drivers,
	.ndrivers = sizeof(drivers) / sizeof(drivers[0]),
};
