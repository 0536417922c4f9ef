/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The NEON plugin: armv8.0 for every stage, and for scores and attention the dot products of armv8.2, and the byte
 * matrix products of i8mm beside it. This file is data, compiled for the baseline; no other file of
 * the plugin runs before the core has seen the CPU's features.
 */

#include "drivers.h"
#include "../simd/trellis_plan.h"

#define PRIORITY 200
#define ONE_TO_EIGHT_BITS 0x1fe
#define WITHOUT_SKETCH                                                                             \
	(1u << TQ_CORR_NONE | 1u << TQ_CORR_NORM | 1u << TQ_CORR_LS | 1u << TQ_CORR_UNBIASED)

#define NEON_DRIVER(generic, driver, prio, features)                                               \
	.struct_size = sizeof(struct tq_driver), .priority = (prio), .name = generic,              \
	.driver_name = driver, .memory = TQ_MEM_HOST,                                              \
	.flags = TQ_DRV_BITEXACT | TQ_DRV_CONCURRENT,                                              \
	.need = {.arch = TQ_ARCH_AARCH64, .cpu = TQ_CPU_NEON | (features)}

static const struct tq_driver drivers[] = {
	{
		NEON_DRIVER("rotate(rht)", "rht-neon", PRIORITY, 0),
		.rotation_ops = &neon_rht_ops,
	},
	{
		NEON_DRIVER("rotate(dense)", "dense-neon", PRIORITY, 0),
		.rotation_ops = &neon_dense_ops,
	},
	{
		NEON_DRIVER("quantize(grid)", "quantize-neon", PRIORITY, 0),
		.bits = ONE_TO_EIGHT_BITS,
		.effort_max = 1,
		.ops = &neon_quantize_ops,
	},
	{
		NEON_DRIVER("encode(rht,grid)", "encode-neon", PRIORITY, 0),
		.dim_max = 4096,
		.bits = ONE_TO_EIGHT_BITS,
		.corrections = WITHOUT_SKETCH,
		.effort_max = 1,
		.ops = &neon_encode_ops,
	},
	{
		NEON_DRIVER("decode(rht,grid)", "decode-neon", PRIORITY, 0),
		.dim_max = 4096,
		.bits = ONE_TO_EIGHT_BITS,
		.corrections = WITHOUT_SKETCH,
		.effort_max = 2,
		.ops = &neon_decode_ops,
	},
	{
		NEON_DRIVER("score(grid)", "score-neon", PRIORITY, 0),
		.effort_max = 2,
		.ops = &neon_score_ops,
	},
	{
		NEON_DRIVER("score(grid)", "score-dotprod", PRIORITY + 50, TQ_CPU_DOTPROD),
		.effort_max = 2,
		.ops = &neon_score_dotprod_ops,
	},
	{
		NEON_DRIVER("score(grid)", "score-i8mm", PRIORITY + 40,
			    TQ_CPU_DOTPROD | TQ_CPU_I8MM),
		.effort_max = 2,
		.ops = &neon_score_i8mm_ops,
	},
	{
		NEON_DRIVER("attend(grid)", "attend-neon", PRIORITY, 0),
		.bits = ONE_TO_EIGHT_BITS,
		.effort_max = 2,
		.ops = &neon_attend_ops,
	},
	{
		NEON_DRIVER("attend(grid)", "attend-dotprod", PRIORITY + 50, TQ_CPU_DOTPROD),
		.bits = ONE_TO_EIGHT_BITS,
		.effort_max = 2,
		.ops = &neon_attend_dotprod_ops,
	},
	{
		NEON_DRIVER("quantize(tcq)", "quantize-tcq-neon", PRIORITY, 0),
		.dim_max = 4096,
		.supports = trellis_supports,
		.ops = &neon_trellis_ops,
	},
	{
		NEON_DRIVER("score(tcq)", "score-tcq-neon", PRIORITY, 0),
		.dim_max = 4096,
		.supports = trellis_score_supports,
		.ops = &neon_trellis_score_ops,
	},
	{
		NEON_DRIVER("score(tcq)", "score-tcq-dotprod", PRIORITY + 50, TQ_CPU_DOTPROD),
		.dim_max = 4096,
		.supports = trellis_score_supports,
		.ops = &neon_trellis_score_dotprod_ops,
	},
	{
		NEON_DRIVER("attend(tcq)", "attend-tcq-neon", PRIORITY, 0),
		.dim_max = 4096,
		.supports = trellis_supports,
		.ops = &neon_trellis_attend_ops,
	},
	{
		NEON_DRIVER("attend(tcq)", "attend-tcq-dotprod", PRIORITY + 50, TQ_CPU_DOTPROD),
		.dim_max = 4096,
		.supports = trellis_supports,
		.ops = &neon_trellis_attend_dotprod_ops,
	},
	{
		NEON_DRIVER("quantize(radix)", "quantize-radix-neon", PRIORITY, 0),
		.dim_max = 4096,
		.effort_max = 2,
		.ops = &neon_radix_ops,
	},
	{
		NEON_DRIVER("score(radix)", "score-radix-neon", PRIORITY, 0),
		.dim_max = 4096,
		.effort_max = 2,
		.supports = integer_query_supports,
		.ops = &neon_radix_score_ops,
	},
	{
		NEON_DRIVER("score(radix)", "score-radix-dotprod", PRIORITY + 50, TQ_CPU_DOTPROD),
		.dim_max = 4096,
		.effort_max = 2,
		.supports = integer_query_supports,
		.ops = &neon_radix_score_dotprod_ops,
	},
};

TQ_PLUGIN_DEFINE(neon) = {
	.magic = TQ_PLUGIN_MAGIC,
	.abi_major = TQ_ABI_MAJOR,
	.abi_minor = TQ_ABI_MINOR,
	.struct_size = sizeof(struct tq_plugin),
	.driver_size = sizeof(struct tq_driver),
	.name = "neon",
	.version = "0.1.0",
	.licence = "Apache-2.0",
	.drivers = drivers,
	.ndrivers = sizeof(drivers) / sizeof(drivers[0]),
};
