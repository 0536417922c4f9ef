/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Fused encode of rht + grid: load, centre and scale, then rotate, then quantize and pack up to 8
 * rows in a buffer that stays in the first level cache. Each step is the one of the separate
 * stages; the rows of a step do not depend on each other, so the CPU works on several at a time.
 *
 * The CPU's own prefetcher starts over at every page, so the rows of the next batch are asked for: half of each row
 * while rows are loaded, half while they are quantized, since more at once would only queue.
 */

#include "load.h"
#include "../simd/row.h"

/** Floats that the rows of a batch may take */
#define BATCH_FLOATS 4096

typedef void (*encode_rows)(const struct tq_plan *plan, const struct avx2_tables *tab,
			    const void *x, size_t stride, size_t n, uint8_t *codes);

AVX2_INLINE void encode_as(const struct tq_plan *plan, const struct avx2_tables *tab, const void *x,
			   int dtype, uint32_t center, size_t stride, size_t n, uint8_t *codes)
{
	float buf[SIMD_ROW_FLOATS] __attribute__((aligned(64)));
	size_t lead = plan->rotation.rounds * (size_t)plan->rotation.roll;
	size_t room = (plan->dim + lead + 15) / 16 * 16, rows, part, i;
	size_t element = dtype == TQ_F32 ? 4 : 2, step = stride * element;
	size_t half = plan->dim * element / 2 & ~(size_t)63;
	struct tq_row_stat stat[AVX2_BATCH_ROWS];
	struct avx2_ahead ahead;
	const char *row = x;

	rows = room > BATCH_FLOATS / 2 ? 1 : BATCH_FLOATS / room;
	rows = rows < AVX2_BATCH_ROWS ? rows : AVX2_BATCH_ROWS;
	ahead.step = step;
	ahead.bytes = plan->dim * element - half;
	for (; n > 0; n -= part, codes += part * plan->layout.row_bytes) {
		part = n < rows ? n : rows;
		for (i = 0; i < part; i++, row += step) {
			load_row(plan, row, dtype, center, buf + i * room + lead, &stat[i]);
			fetch_bytes(row + rows * step, half);
		}
		avx2_rht_forward(&plan->rotation, buf, room, part);
		ahead.x = row + half;
		avx2_quantize_rows(plan, tab, buf, room, stat, part, &ahead, codes);
	}
}

#define ENCODE_AS(name, dtype, center)                                                             \
	static void name(const struct tq_plan *plan, const struct avx2_tables *tab, const void *x, \
			 size_t stride, size_t n, uint8_t *codes)                                  \
	{                                                                                          \
		encode_as(plan, tab, x, dtype, center, stride, n, codes);                          \
	}

ENCODE_AS(encode_f32, TQ_F32, TQ_CENTER_OFF)
ENCODE_AS(encode_f16, TQ_F16, TQ_CENTER_OFF)
ENCODE_AS(encode_bf16, TQ_BF16, TQ_CENTER_OFF)
ENCODE_AS(encode_f32_data, TQ_F32, TQ_CENTER_DATA)
ENCODE_AS(encode_f16_data, TQ_F16, TQ_CENTER_DATA)
ENCODE_AS(encode_bf16_data, TQ_BF16, TQ_CENTER_DATA)
ENCODE_AS(encode_f32_both, TQ_F32, TQ_CENTER_BOTH)
ENCODE_AS(encode_f16_both, TQ_F16, TQ_CENTER_BOTH)
ENCODE_AS(encode_bf16_both, TQ_BF16, TQ_CENTER_BOTH)

static const encode_rows encoders[3][3] = {
	[TQ_CENTER_OFF] = {encode_f32, encode_f16, encode_bf16},
	[TQ_CENTER_DATA] = {encode_f32_data, encode_f16_data, encode_bf16_data},
	[TQ_CENTER_BOTH] = {encode_f32_both, encode_f16_both, encode_bf16_both},
};

static int avx2_encode(const struct tq_plan *plan, const void *state, const void *x, int dtype,
		       size_t stride, size_t n, uint8_t *codes)
{
	encoders[plan->center][dtype](plan, state, x, stride, n, codes);
	return TQ_OK;
}

const struct tq_quantizer_ops avx2_encode_ops = {
	.struct_size = sizeof(struct tq_quantizer_ops),
	.create = avx2_tables_create,
	.destroy = avx2_tables_destroy,
	.encode = avx2_encode,
};
