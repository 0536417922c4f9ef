/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The AVX-512 plugin: F/BW/VL/DQ, VNNI and VBMI, and AMX beside them. This file is data, compiled for the baseline; no
 * other file of the plugin runs before the core has seen the CPU's features.
 */

#include "amx.h"
#include "../simd/trellis_plan.h"

extern const struct tq_rotation_ops avx512_rht_ops;
extern const struct tq_rotation_ops avx512_dense_ops;
extern const struct tq_quantizer_ops avx512_quantize_ops;
extern const struct tq_quantizer_ops avx512_encode_ops;
extern const struct tq_quantizer_ops avx512_decode_ops;
extern const struct tq_quantizer_ops avx512_score_ops;
extern const struct tq_quantizer_ops avx512_amx_ops;
extern const struct tq_quantizer_ops avx512_attend_ops;
extern const struct tq_quantizer_ops avx512_trellis_ops;
extern const struct tq_quantizer_ops avx512_trellis_score_ops;
extern const struct tq_quantizer_ops avx512_trellis_attend_ops;
extern const struct tq_quantizer_ops avx512_polar_ops;
extern const struct tq_quantizer_ops avx512_polar_score_ops;
extern const struct tq_quantizer_ops avx512_radix_ops;
extern const struct tq_quantizer_ops avx512_radix_encode_ops;
extern const struct tq_quantizer_ops avx512_radix_score_ops;
extern const struct tq_quantizer_ops avx512_radix_wide_ops;
extern const struct tq_quantizer_ops avx512_radix_attend_ops;

#define PRIORITY 300
#define ONE_TO_EIGHT_BITS 0x1fe
#define WITHOUT_SKETCH                                                                             \
	(1u << TQ_CORR_NONE | 1u << TQ_CORR_NORM | 1u << TQ_CORR_LS | 1u << TQ_CORR_UNBIASED)

#define RANKED_DRIVER(generic, driver, rank)                                                       \
	.struct_size = sizeof(struct tq_driver), .priority = (rank), .name = generic,              \
	.driver_name = driver, .memory = TQ_MEM_HOST, .flags = TQ_DRV_BITEXACT | TQ_DRV_CONCURRENT

#define AVX512_DRIVER(generic, driver) RANKED_DRIVER(generic, driver, PRIORITY)

#define NEED_VNNI_VBMI                                                                             \
	{                                                                                          \
		.arch = TQ_ARCH_X86_64,                                                            \
		.cpu = TQ_CPU_X86_64_V3 | TQ_CPU_AVX512 | TQ_CPU_AVX512_VNNI | TQ_CPU_AVX512_VBMI  \
	}

#define NEED_AMX                                                                                   \
	{                                                                                          \
		.arch = TQ_ARCH_X86_64,                                                            \
		.cpu = TQ_CPU_X86_64_V3 | TQ_CPU_AVX512 | TQ_CPU_AVX512_VNNI |                     \
		       TQ_CPU_AVX512_VBMI | TQ_CPU_AMX_INT8                                        \
	}

#define NEED_VBMI                                                                                  \
	{                                                                                          \
		.arch = TQ_ARCH_X86_64,                                                            \
		.cpu = TQ_CPU_X86_64_V3 | TQ_CPU_AVX512 | TQ_CPU_AVX512_VBMI                       \
	}

#define NEED_AVX512                                                                                \
	{                                                                                          \
		.arch = TQ_ARCH_X86_64, .cpu = TQ_CPU_X86_64_V3 | TQ_CPU_AVX512                    \
	}

static int polar_score_supports(const struct tq_plan *plan, char *why, size_t why_size)
{
	if (plan->query == TQ_QUERY_S8)
		return 1;
	snprintf(why, why_size, "serves queries of 8 bits");
	return 0;
}

/* Integer queries, and level numbers of so many planes */
static int radix_score_supports_planes(const struct tq_plan *plan, uint32_t planes, char *why, size_t why_size)
{
	if (plan->query == TQ_QUERY_F32)
		snprintf(why, why_size, "does not serve query=f32");
	else if (plan->codebook.planes != planes)
		snprintf(why, why_size, planes == 1 ? "does not serve code=lm:4.5" : "serves code=lm:4.5 alone");
	return plan->query != TQ_QUERY_F32 && plan->codebook.planes == planes;
}

static int radix_score_supports(const struct tq_plan *plan, char *why, size_t why_size)
{
	return radix_score_supports_planes(plan, 1, why, why_size);
}

static int radix_wide_supports(const struct tq_plan *plan, char *why, size_t why_size)
{
	return radix_score_supports_planes(plan, 2, why, why_size);
}

static const struct tq_driver drivers[] = {
	{
		AVX512_DRIVER("rotate(rht)", "rht-avx512"),
		.need = NEED_AVX512,
		.rotation_ops = &avx512_rht_ops,
	},
	{
		AVX512_DRIVER("rotate(dense)", "dense-avx512"),
		.need = NEED_AVX512,
		.rotation_ops = &avx512_dense_ops,
	},
	{
		AVX512_DRIVER("quantize(grid)", "quantize-avx512"),
		.need = NEED_VBMI,
		.bits = ONE_TO_EIGHT_BITS,
		.effort_max = 2,
		.ops = &avx512_quantize_ops,
	},
	{
		AVX512_DRIVER("encode(rht,grid)", "encode-avx512"),
		.need = NEED_VBMI,
		.dim_max = 4096,
		.bits = ONE_TO_EIGHT_BITS,
		.corrections = WITHOUT_SKETCH,
		.effort_max = 2,
		.ops = &avx512_encode_ops,
	},
	{
		AVX512_DRIVER("decode(rht,grid)", "decode-avx512"),
		.need = NEED_VBMI,
		.dim_max = 4096,
		.bits = ONE_TO_EIGHT_BITS,
		.corrections = WITHOUT_SKETCH,
		.effort_max = 2,
		.ops = &avx512_decode_ops,
	},
	{
		AVX512_DRIVER("score(grid)", "score-avx512"),
		.need = NEED_VNNI_VBMI,
		.effort_max = 2,
		.ops = &avx512_score_ops,
	},
	{
		RANKED_DRIVER("score(grid)", "score-amx", PRIORITY + 50),
		.need = NEED_AMX,
		.effort_max = 2,
		.supports = avx512_amx_supports,
		.ops = &avx512_amx_ops,
	},
	{
		AVX512_DRIVER("attend(grid)", "attend-avx512"),
		.need = NEED_VNNI_VBMI,
		.bits = ONE_TO_EIGHT_BITS,
		.effort_max = 2,
		.ops = &avx512_attend_ops,
	},
	{
		AVX512_DRIVER("quantize(tcq)", "quantize-tcq-avx512"),
		.need = NEED_VBMI,
		.dim_max = 4096,
		.supports = trellis_supports,
		.ops = &avx512_trellis_ops,
	},
	{
		AVX512_DRIVER("score(tcq)", "score-tcq-avx512"),
		.need = NEED_VNNI_VBMI,
		.dim_max = 4096,
		.supports = trellis_score_supports,
		.ops = &avx512_trellis_score_ops,
	},
	{
		AVX512_DRIVER("attend(tcq)", "attend-tcq-avx512"),
		.need = NEED_VNNI_VBMI,
		.dim_max = 4096,
		.supports = trellis_supports,
		.ops = &avx512_trellis_attend_ops,
	},
	{
		AVX512_DRIVER("quantize(polar)", "quantize-polar-avx512"),
		.need = NEED_AVX512,
		.ops = &avx512_polar_ops,
	},
	{
		AVX512_DRIVER("score(polar)", "score-polar-avx512"),
		.need = NEED_AVX512,
		.dim_max = 4096,
		.supports = polar_score_supports,
		.ops = &avx512_polar_score_ops,
	},
	{
		AVX512_DRIVER("quantize(radix)", "quantize-radix-avx512"),
		.need = NEED_VBMI,
		.effort_max = 2,
		.ops = &avx512_radix_ops,
	},
	{
		AVX512_DRIVER("encode(rht,radix)", "encode-radix-avx512"),
		.need = NEED_VBMI,
		.dim_max = 4096,
		.effort_max = 2,
		.ops = &avx512_radix_encode_ops,
	},
	{
		AVX512_DRIVER("score(radix)", "score-radix-avx512"),
		.need = NEED_VNNI_VBMI,
		.dim_max = 4096,
		.effort_max = 2,
		.supports = radix_score_supports,
		.ops = &avx512_radix_score_ops,
	},
	{
		AVX512_DRIVER("score(radix)", "score-radix-wide-avx512"),
		.need = NEED_VNNI_VBMI,
		.dim_max = 4096,
		.effort_max = 2,
		.supports = radix_wide_supports,
		.ops = &avx512_radix_wide_ops,
	},
	{
		AVX512_DRIVER("attend(radix)", "attend-radix-avx512"),
		.need = NEED_VNNI_VBMI,
		.effort_max = 2,
		.ops = &avx512_radix_attend_ops,
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
