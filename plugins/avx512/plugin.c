/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The AVX-512 plugin: F/BW/VL/DQ, VNNI and VBMI. This file is data, compiled for the baseline; no
 * other file of the plugin runs before the core has seen the CPU's features.
 */

#include "tq/plugin.h"

extern const struct tq_quantizer_ops avx512_score_ops;

#define PRIORITY 300

#define AVX512_DRIVER(generic, driver)                                                             \
	.struct_size = sizeof(struct tq_driver), .priority = PRIORITY, .name = generic,            \
	.driver_name = driver, .memory = TQ_MEM_HOST, .flags = TQ_DRV_BITEXACT | TQ_DRV_CONCURRENT

#define NEED_VNNI_VBMI                                                                             \
	{                                                                                          \
		.arch = TQ_ARCH_X86_64,                                                            \
		.cpu = TQ_CPU_X86_64_V3 | TQ_CPU_AVX512 | TQ_CPU_AVX512_VNNI | TQ_CPU_AVX512_VBMI  \
	}

static const struct tq_driver drivers[] = {
	{
		AVX512_DRIVER("score(grid)", "score-avx512"),
		.need = NEED_VNNI_VBMI,
		.effort_max = 2,
		.ops = &avx512_score_ops,
	},
};

TQ_PLUGIN_DEFINE(avx512) = {
	.magic = TQ_PLUGIN_MAGIC,
	.abi_major = TQ_ABI_MAJOR,
	.abi_minor = TQ_ABI_MINOR,
	.struct_size = sizeof(struct tq_plugin),
	.driver_size = sizeof(struct tq_driver),
	.name = "avx512",
	.version = "0.1.0",
	.licence = "Apache-2.0",
	.drivers = drivers,
	.ndrivers = sizeof(drivers) / sizeof(drivers[0]),
};
