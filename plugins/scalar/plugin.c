/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scalar plugin: the written definition of every result, in plain C. It is linked into the library
 * and goes through the same registration as any plugin.
 */

#include "scalar.h"

#define PRIORITY 100

static const struct tq_quantizer_ops quantize_ops = {
	.struct_size = sizeof(struct tq_quantizer_ops),
	.quantize = scalar_quantize,
	.dequantize = scalar_dequantize,
};

static const struct tq_quantizer_ops score_ops = {
	.struct_size = sizeof(struct tq_quantizer_ops),
	.query_size = scalar_query_size,
	.query_pack = scalar_query_pack,
	.score = scalar_score,
	.score_list = scalar_score_list,
	.score_pairs = scalar_score_pairs,
};

static const struct tq_quantizer_ops attend_ops = {
	.struct_size = sizeof(struct tq_quantizer_ops),
	.logits = scalar_logits,
	.weigh = scalar_weigh,
	.mix = scalar_mix,
	.raw_score = scalar_raw_score,
	.raw_mix = scalar_raw_mix,
};

#define SCALAR_DRIVER(generic, driver)                                                             \
	.struct_size = sizeof(struct tq_driver), .priority = PRIORITY, .name = generic,            \
	.driver_name = driver, .memory = TQ_MEM_HOST,                                              \
	.flags = TQ_DRV_BITEXACT | TQ_DRV_CONCURRENT, .effort_max = 2

static const struct tq_driver drivers[] = {
	{ SCALAR_DRIVER("rotate(none)", "none-scalar"), .rotation_ops = &scalar_none_ops },
	{ SCALAR_DRIVER("rotate(rht)", "rht-scalar"), .rotation_ops = &scalar_rht_ops },
	{ SCALAR_DRIVER("rotate(dense)", "dense-scalar"), .rotation_ops = &scalar_dense_ops },
	{ SCALAR_DRIVER("rotate(givens)", "givens-scalar"), .rotation_ops = &scalar_givens_ops },
	{ SCALAR_DRIVER("quantize(grid)", "quantize-scalar"), .ops = &quantize_ops },
	{ SCALAR_DRIVER("score(grid)", "score-scalar"), .ops = &score_ops },
	{ SCALAR_DRIVER("attend(grid)", "attend-scalar"), .ops = &attend_ops },
	{ SCALAR_DRIVER("quantize(tcq)", "quantize-tcq-scalar"), .ops = &quantize_ops },
	{ SCALAR_DRIVER("score(tcq)", "score-tcq-scalar"), .ops = &score_ops },
	{ SCALAR_DRIVER("attend(tcq)", "attend-tcq-scalar"), .ops = &attend_ops },
	{ SCALAR_DRIVER("quantize(polar)", "quantize-polar-scalar"), .ops = &quantize_ops },
	{ SCALAR_DRIVER("score(polar)", "score-polar-scalar"), .ops = &score_ops },
	{ SCALAR_DRIVER("attend(polar)", "attend-polar-scalar"), .ops = &attend_ops },
	{ SCALAR_DRIVER("quantize(radix)", "quantize-radix-scalar"), .ops = &quantize_ops },
	{ SCALAR_DRIVER("score(radix)", "score-radix-scalar"), .ops = &score_ops },
	{ SCALAR_DRIVER("attend(radix)", "attend-radix-scalar"), .ops = &attend_ops },
};

extern TQ_PLUGIN_DEFINE(scalar);
TQ_PLUGIN_DEFINE(scalar) = {
	.magic = TQ_PLUGIN_MAGIC,
	.abi_major = TQ_ABI_MAJOR,
	.abi_minor = TQ_ABI_MINOR,
	.struct_size = sizeof(struct tq_plugin),
	.driver_size = sizeof(struct tq_driver),
	.name = "scalar",
	.version = "0.1.0",
	.licence = "Apache-2.0",
	.drivers = drivers,
	.ndrivers = sizeof(drivers) / sizeof(drivers[0]),
};
