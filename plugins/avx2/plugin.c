/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The AVX2 plugin: x86-64-v3, and AVX-VNNI for scores where the CPU has it. This file is data,
 * compiled for the baseline; no other file of the plugin runs before the core has seen the CPU's
 * features.
 */

#include "tq/plugin.h"
#include "../simd/trellis_plan.h"

extern const struct tq_rotation_ops avx2_rht_ops;
extern const struct tq_rotation_ops avx2_dense_ops;
extern const struct tq_quantizer_ops avx2_quantize_ops;
extern const struct tq_quantizer_ops avx2_encode_ops;
extern const struct tq_quantizer_ops avx2_decode_ops;
extern const struct tq_quantizer_ops avx2_attend_ops;
extern const struct tq_quantizer_ops avxvnni_attend_ops;
extern const struct tq_quantizer_ops avx2_score_ops;
extern const struct tq_quantizer_ops avxvnni_score_ops;
extern const struct tq_quantizer_ops avx2_trellis_ops;
extern const struct tq_quantizer_ops avx2_trellis_score_ops;
extern const struct tq_quantizer_ops avxvnni_trellis_score_ops;
extern const struct tq_quantizer_ops avx2_radix_ops;
extern const struct tq_quantizer_ops avx2_radix_score_ops;
extern const struct tq_quantizer_ops avxvnni_radix_score_ops;
extern const struct tq_quantizer_ops avx2_radix_attend_ops;
extern const struct tq_quantizer_ops avxvnni_radix_attend_ops;
extern const struct tq_quantizer_ops avx2_trellis_attend_ops;
extern const struct tq_quantizer_ops avxvnni_trellis_attend_ops;

#define PRIORITY 200
#define ONE_TO_EIGHT_BITS 0x1fe
#define WITHOUT_SKETCH                                                                             \
	(1u << TQ_CORR_NONE | 1u << TQ_CORR_NORM | 1u << TQ_CORR_LS | 1u << TQ_CORR_UNBIASED)

#define AVX2_DRIVER(generic, driver, prio)                                                         \
	.struct_size = sizeof(struct tq_driver), .priority = prio, .name = generic,                \
	.driver_name = driver, .memory = TQ_MEM_HOST, .flags = TQ_DRV_BITEXACT | TQ_DRV_CONCURRENT

#define NEED_V3                                                                                    \
	{                                                                                          \
		.arch = TQ_ARCH_X86_64, .cpu = TQ_CPU_X86_64_V3                                    \
	}

static const struct tq_driver drivers[] = {
	{
		AVX2_DRIVER("rotate(rht)", "rht-avx2", PRIORITY),
		.need = NEED_V3,
		.rotation_ops = &avx2_rht_ops,
	},
	{
		AVX2_DRIVER("rotate(dense)", "dense-avx2", PRIORITY),
		.need = NEED_V3,
		.rotation_ops = &avx2_dense_ops,
	},
	{
		AVX2_DRIVER("quantize(grid)", "quantize-avx2", PRIORITY),
		.need = NEED_V3,
		.bits = ONE_TO_EIGHT_BITS,
		.effort_max = 2,
		.ops = &avx2_quantize_ops,
	},
	{
		AVX2_DRIVER("encode(rht,grid)", "encode-avx2", PRIORITY),
		.need = NEED_V3,
		.dim_max = 4096,
		.bits = ONE_TO_EIGHT_BITS,
		.corrections = WITHOUT_SKETCH,
		.effort_max = 2,
		.ops = &avx2_encode_ops,
	},
	{
		AVX2_DRIVER("decode(rht,grid)", "decode-avx2", PRIORITY),
		.need = NEED_V3,
		.dim_max = 4096,
		.bits = ONE_TO_EIGHT_BITS,
		.corrections = WITHOUT_SKETCH,
		.effort_max = 2,
		.ops = &avx2_decode_ops,
	},
	{
		AVX2_DRIVER("score(grid)", "score-avx2", PRIORITY),
		.need = NEED_V3,
		.effort_max = 2,
		.ops = &avx2_score_ops,
	},
	{
		AVX2_DRIVER("score(grid)", "score-avxvnni", PRIORITY + 50),
		.need = {.arch = TQ_ARCH_X86_64, .cpu = TQ_CPU_X86_64_V3 | TQ_CPU_AVX_VNNI},
		.effort_max = 2,
		.ops = &avxvnni_score_ops,
	},
	{
		AVX2_DRIVER("attend(grid)", "attend-avx2", PRIORITY),
		.need = NEED_V3,
		.bits = ONE_TO_EIGHT_BITS,
		.effort_max = 2,
		.ops = &avx2_attend_ops,
	},
	{
		AVX2_DRIVER("attend(grid)", "attend-avxvnni", PRIORITY + 50),
		.need = {.arch = TQ_ARCH_X86_64, .cpu = TQ_CPU_X86_64_V3 | TQ_CPU_AVX_VNNI},
		.bits = ONE_TO_EIGHT_BITS,
		.effort_max = 2,
		.ops = &avxvnni_attend_ops,
	},
	{
		AVX2_DRIVER("quantize(tcq)", "quantize-tcq-avx2", PRIORITY),
		.need = NEED_V3,
		.dim_max = 4096,
		.supports = trellis_supports,
		.ops = &avx2_trellis_ops,
	},
	{
		AVX2_DRIVER("score(tcq)", "score-tcq-avx2", PRIORITY),
		.need = NEED_V3,
		.dim_max = 4096,
		.supports = trellis_score_supports,
		.ops = &avx2_trellis_score_ops,
	},
	{
		AVX2_DRIVER("score(tcq)", "score-tcq-avxvnni", PRIORITY + 50),
		.need = {.arch = TQ_ARCH_X86_64, .cpu = TQ_CPU_X86_64_V3 | TQ_CPU_AVX_VNNI},
		.dim_max = 4096,
		.supports = trellis_score_supports,
		.ops = &avxvnni_trellis_score_ops,
	},
	{
		AVX2_DRIVER("attend(tcq)", "attend-tcq-avx2", PRIORITY),
		.need = NEED_V3,
		.dim_max = 4096,
		.supports = trellis_supports,
		.ops = &avx2_trellis_attend_ops,
	},
	{
		AVX2_DRIVER("attend(tcq)", "attend-tcq-avxvnni", PRIORITY + 50),
		.need = {.arch = TQ_ARCH_X86_64, .cpu = TQ_CPU_X86_64_V3 | TQ_CPU_AVX_VNNI},
		.dim_max = 4096,
		.supports = trellis_supports,
		.ops = &avxvnni_trellis_attend_ops,
	},
	{
		AVX2_DRIVER("quantize(radix)", "quantize-radix-avx2", PRIORITY),
		.need = NEED_V3,
		.dim_max = 4096,
		.effort_max = 2,
		.ops = &avx2_radix_ops,
	},
	{
		AVX2_DRIVER("score(radix)", "score-radix-avx2", PRIORITY),
		.need = NEED_V3,
		.dim_max = 4096,
		.effort_max = 2,
		.supports = integer_query_supports,
		.ops = &avx2_radix_score_ops,
	},
	{
		AVX2_DRIVER("score(radix)", "score-radix-avxvnni", PRIORITY + 50),
		.need = {.arch = TQ_ARCH_X86_64, .cpu = TQ_CPU_X86_64_V3 | TQ_CPU_AVX_VNNI},
		.dim_max = 4096,
		.effort_max = 2,
		.supports = integer_query_supports,
		.ops = &avxvnni_radix_score_ops,
	},
	{
		AVX2_DRIVER("attend(radix)", "attend-radix-avx2", PRIORITY),
		.need = NEED_V3,
		.dim_max = 4096,
		.effort_max = 2,
		.ops = &avx2_radix_attend_ops,
	},
	{
		AVX2_DRIVER("attend(radix)", "attend-radix-avxvnni", PRIORITY + 50),
		.need = {.arch = TQ_ARCH_X86_64, .cpu = TQ_CPU_X86_64_V3 | TQ_CPU_AVX_VNNI},
		.dim_max = 4096,
		.effort_max = 2,
		.ops = &avxvnni_radix_attend_ops,
	},
};

TQ_PLUGIN_DEFINE(avx2) = {
	.magic = TQ_PLUGIN_MAGIC,
	.abi_major = TQ_ABI_MAJOR,
	.abi_minor = TQ_ABI_MINOR,
	.struct_size = sizeof(struct tq_plugin),
	.driver_size = sizeof(struct tq_driver),
	.name = "avx2",
	.version = "0.1.0",
	.licence = "Apache-2.0",
	.drivers = drivers,
	.ndrivers = sizeof(drivers) / sizeof(drivers[0]),
};
