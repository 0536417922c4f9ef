/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scalar's own operations as a plugin, right but for the one place that -DSPOIL_... asks for: what the
 * gate must find in quantize(grid), score(grid), encode(rht,grid) and decode(rht,grid).
 */
#include <stdlib.h>
#include "../../plugins/scalar/scalar.h"

static void quantize(const struct tq_plan *plan, const void *state, const float *y,
		     const struct tq_row_stat *stat, size_t n, uint8_t *codes)
{
#ifdef SPOIL_MINUS_ZERO
	float *copy = malloc(n * plan->dim * sizeof(*y));
	size_t i;

	for (i = 0; i < n * plan->dim; i++)
		copy[i] = tq_f32_bits(y[i]) == 0x80000000u ? -1e-6f : y[i];
	scalar_quantize(plan, state, copy, stat, n, codes);
	free(copy);
#else
	scalar_quantize(plan, state, y, stat, n, codes);
#endif
#ifdef SPOIL_CODES_PAST_END
	codes[n * plan->layout.row_bytes] ^= 1;
#endif
}

static void dequantize(const struct tq_plan *plan, const void *state, const uint8_t *codes, size_t n,
		       float *y, int32_t *exponent)
{
	scalar_dequantize(plan, state, codes, n, y, exponent);
#ifdef SPOIL_EXPONENT
	if (n % 8)
		exponent[n - 1]++;
#endif
}

static void score(const struct tq_plan *plan, const void *state, const void *packed, size_t nq,
		  const uint8_t *codes, size_t n, float *scores, size_t ld)
{
	scalar_score(plan, state, packed, nq, codes, n, scores, ld);
#if defined(SPOIL_SCORE_TAIL)
	if (n == 33)
		scores[32] = 0.0f;
#elif defined(SPOIL_SCORE_GAP)
	if (nq > 1 && ld > n)
		scores[n] = 0.0f;
#elif defined(SPOIL_SCORE_PAST_END)
	scores[(nq - 1) * ld + n] = 0.0f;
#elif defined(SPOIL_SCORE_RUNS)
	static unsigned calls;

	scores[0] += (float)(++calls % 2);
#endif
}

static void score_list(const struct tq_plan *plan, const void *state, const void *packed,
		       const uint8_t *codes, const uint32_t *ids, size_t n, float *scores)
{
	scalar_score_list(plan, state, packed, codes, ids, n, scores);
#ifdef SPOIL_LIST
	if (n > 1 && ids[0] == ids[1])
		scores[1] = 0.0f;
#endif
}

/* Rows as they were put into blocks */
static void score_blocks(const struct tq_plan *plan, const void *state, const void *packed, size_t nq,
			 const uint8_t *blocks, size_t n, float *scores, size_t ld)
{
	uint8_t row[TQ_BLOCK_ROW_MAX];
	size_t i;

	for (i = 0; i < n; i++) {
		tq_block_get(plan, blocks + i / TQ_BLOCK_ROWS * tq_block_bytes(plan), i % TQ_BLOCK_ROWS, row);
		scalar_score(plan, state, packed, nq, row, 1, scores + i, ld);
	}
#ifdef SPOIL_BLOCKS
	if (n > 17)
		scores[17] = scores[17] + 1.0f;
#endif
}

static void score_pairs(const struct tq_plan *plan, const void *state, const uint8_t *a, size_t na,
			const uint8_t *b, size_t nb, float *scores, size_t ld)
{
	scalar_score_pairs(plan, state, a, na, b, nb, scores, ld);
#ifdef SPOIL_PAIRS
	if (na == 2)
		scores[ld] = scores[ld] + 1.0f;
#endif
}

static int encode(const struct tq_plan *plan, const void *state, const void *x, int dtype,
		  size_t stride, size_t n, uint8_t *codes)
{
	float *y = malloc(3 * plan->dim * sizeof(*y));
	struct tq_row_stat stat;
	size_t i, element = dtype == TQ_F32 ? 4 : 2;

#ifdef SPOIL_ENCODE_TYPE
	dtype = dtype == TQ_BF16 ? TQ_F16 : dtype;
#endif
	for (i = 0; i < n; i++) {
		tq_row_load(plan, (const char *)x + i * stride * element, dtype, y, &stat);
		scalar_rht_ops.rotate(&plan->rotation, NULL, y, y + plan->dim, 1, y + 2 * plan->dim);
		scalar_quantize(plan, NULL, y + plan->dim, &stat, 1,
				codes + i * plan->layout.row_bytes);
	}
	free(y);
	return TQ_OK;
}

static int decode(const struct tq_plan *plan, const void *state, const uint8_t *codes, size_t n,
		  void *x, int dtype, size_t stride)
{
	float *y = malloc(3 * plan->dim * sizeof(*y));
	size_t i, j, d = plan->dim;
	int32_t e;

	for (i = 0; i < n; i++) {
		scalar_dequantize(plan, NULL, codes + i * plan->layout.row_bytes, 1, y, &e);
		scalar_rht_ops.unrotate(&plan->rotation, NULL, y, y + d, 1, y + 2 * d);
		for (j = 0; j < d; j++)
			tq_store_element(x, dtype, i * stride + j, y[d + j] * tq_pow2(e));
#ifdef SPOIL_DECODE_GAP
		if (stride > d && i + 1 < n)
			tq_store_element(x, dtype, i * stride + d, 0.0f);
#endif
	}
	free(y);
	return TQ_OK;
}

static int plain(const struct tq_plan *plan, char *why, size_t size)
{
	static const char text[] = "no centre";

	if (plan->center == TQ_CENTER_OFF)
		return 1;
	memcpy(why, text, size < sizeof(text) ? size : sizeof(text));
	return 0;
}

static const struct tq_quantizer_ops quantize_ops = {
	.struct_size = sizeof(struct tq_quantizer_ops),
	.quantize = quantize,
	.dequantize = dequantize,
};

static const struct tq_quantizer_ops score_ops = {
	.struct_size = sizeof(struct tq_quantizer_ops),
	.query_size = scalar_query_size,
	.query_pack = scalar_query_pack,
	.score = score,
	.score_list = score_list,
	.score_blocks = score_blocks,
	.score_pairs = score_pairs,
};

static const struct tq_quantizer_ops encode_ops = {
	.struct_size = sizeof(struct tq_quantizer_ops),
	.encode = encode,
};

static const struct tq_quantizer_ops decode_ops = {
	.struct_size = sizeof(struct tq_quantizer_ops),
	.decode = decode,
};

#define DRIVER(generic, driver)                                                                    \
	.struct_size = sizeof(struct tq_driver), .priority = 900, .name = generic,                 \
	.driver_name = driver, .flags = TQ_DRV_BITEXACT | TQ_DRV_CONCURRENT, .effort_max = 2

/* No qjl: the fused ones here do not sketch */
#define PLAIN_CORRECTIONS 0xfu

static const struct tq_driver drivers[] = {
	{ DRIVER("quantize(grid)", "quantize-spoiled"), .ops = &quantize_ops },
	{ DRIVER("score(grid)", "score-spoiled"), .ops = &score_ops },
	{ DRIVER("encode(rht,grid)", "encode-spoiled"), .corrections = PLAIN_CORRECTIONS,
	  .supports = plain, .ops = &encode_ops },
	{ DRIVER("decode(rht,grid)", "decode-spoiled"), .corrections = PLAIN_CORRECTIONS,
	  .supports = plain, .ops = &decode_ops },
};

TQ_PLUGIN_DEFINE(spoiled) = {
	.magic = TQ_PLUGIN_MAGIC,
	.abi_major = TQ_ABI_MAJOR,
	.abi_minor = TQ_ABI_MINOR,
	.struct_size = sizeof(struct tq_plugin),
	.driver_size = sizeof(struct tq_driver),
	.name = SPOIL_NAME,
	.version = "1",
	.licence = "Apache-2.0",
	.drivers = drivers,
	.ndrivers = sizeof(drivers) / sizeof(drivers[0]),
};
