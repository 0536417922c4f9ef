/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Fused encode of rht + grid, or fractions of a bit, up to 16 rows at a time: load, centre, scale and rotate them into a
 * buffer that stays in the first level cache, then quantize and pack them. Each step is the one of
 * the separate stages. Rows that fit are rotated in registers.
 */

#include "registers.h"
#include "radix.h"
#include "rows.h"
#include "turned.h"

/** Floats that the rows of a batch may take */
#define BATCH_FLOATS 4096

/** struct loaded - rows behind the rotation, and what their statistics come from */
struct loaded {
	__m512 norm[BATCH_ROWS];
	__m512 cross[BATCH_ROWS];
	int32_t exponent[BATCH_ROWS];
};

AVX512_INLINE void store_registers(float *y, const __m512 *v, int regs)
{
	int i;

#pragma GCC unroll 16
	for (i = 0; i < regs; i++)
		_mm512_store_ps(y + 16 * i, v[i]);
}

/* load_row() into registers; @y: room for the row */
AVX512_INLINE void load_registers(const struct tq_plan *plan, const void *x, int dtype,
				  uint32_t center, __m512 *v, int regs, float *y, struct loaded *in,
				  size_t row)
{
	struct load_sums sums = {_mm512_setzero_si512(), _mm512_setzero_ps()};
	__m512 norm = _mm512_setzero_ps(), factor;
	int i;

#pragma GCC unroll 16
	for (i = 0; i < regs; i++)
		v[i] = load_centred(plan, x, dtype, center, 16 * (size_t)i, 0xffff, &sums);
	in->cross[row] = sums.cross;
	sums.top = max_lanes(sums.top);
	if (!load_exponent(sums.top, &in->exponent[row])) {
		store_registers(y, v, regs);
		in->norm[row] = scale_rare(y, 16 * (size_t)regs, in->exponent[row]);
#pragma GCC unroll 16
		for (i = 0; i < regs; i++)
			v[i] = _mm512_load_ps(y + 16 * i);
		return;
	}
	factor = load_factor(sums.top);
#pragma GCC unroll 16
	for (i = 0; i < regs; i++)
		v[i] = scale_down(v[i], factor, &norm);
	in->norm[row] = norm;
}

/* @rows rows at once, their numbers in @in from @first */
AVX512_INLINE void rotate_side_by_side(const struct tq_plan *plan, const char *x, int dtype,
				       uint32_t center, size_t step, float *y, size_t room,
				       struct loaded *in, size_t first, int regs, int rows)
{
	__m512 v[SIDE_BY_SIDE][ROW_REGS_MAX];
	int r;

#pragma GCC unroll 4
	for (r = 0; r < rows; r++)
		load_registers(plan, x + (size_t)r * step, dtype, center, v[r], regs,
			       y + (size_t)r * room, in, first + (size_t)r);
	rotate_registers(&plan->rotation, v, regs, rows);
#pragma GCC unroll 4
	for (r = 0; r < rows; r++)
		store_registers(y + (size_t)r * room, v[r], regs);
}

AVX512_INLINE void rotate_in_registers(const struct tq_plan *plan, const char *x, int dtype,
				       uint32_t center, size_t step, size_t n, float *y,
				       size_t room, struct loaded *in, int regs)
{
	const int rows = rows_side_by_side(regs);
	size_t i;

	for (i = 0; i + (size_t)rows <= n; i += (size_t)rows)
		rotate_side_by_side(plan, x + i * step, dtype, center, step, y + i * room, room, in,
				    i, regs, rows);
	for (; i < n; i++)
		rotate_side_by_side(plan, x + i * step, dtype, center, step, y + i * room, room, in,
				    i, regs, 1);
}

AVX512_INLINE void rotate_in_memory(const struct tq_plan *plan, const char *x, int dtype,
				    uint32_t center, size_t step, size_t n, float *y, size_t room,
				    struct loaded *in)
{
	float *to = y + plan->rotation.rounds * plan->rotation.roll;
	size_t i;

	for (i = 0; i < n; i++, x += step, y += room, to += room) {
		in->exponent[i] = load_row(plan, x, dtype, center, to, &in->norm[i], &in->cross[i]);
		avx512_rht_forward(&plan->rotation, y);
	}
}

/* @n rows of @x, @step bytes apart, rotated to @y, @room floats apart */
AVX512_INLINE void rotate_rows_as(const struct tq_plan *plan, const char *x, int dtype,
				  uint32_t center, size_t step, size_t n, float *y, size_t room,
				  struct loaded *in)
{
	switch (fits_registers(&plan->rotation)) {
	case 1:
		rotate_in_registers(plan, x, dtype, center, step, n, y, room, in, 1);
		break;
	case 2:
		rotate_in_registers(plan, x, dtype, center, step, n, y, room, in, 2);
		break;
	case 3:
		rotate_in_registers(plan, x, dtype, center, step, n, y, room, in, 3);
		break;
	case 4:
		rotate_in_registers(plan, x, dtype, center, step, n, y, room, in, 4);
		break;
	case 6:
		rotate_in_registers(plan, x, dtype, center, step, n, y, room, in, 6);
		break;
	case 8:
		rotate_in_registers(plan, x, dtype, center, step, n, y, room, in, 8);
		break;
	case 12:
		rotate_in_registers(plan, x, dtype, center, step, n, y, room, in, 12);
		break;
	case 16:
		rotate_in_registers(plan, x, dtype, center, step, n, y, room, in, 16);
		break;
	default:
		rotate_in_memory(plan, x, dtype, center, step, n, y, room, in);
	}
}

#define ROTATE_AS(name, dtype)                                                                     \
	static void name(const struct tq_plan *plan, const char *x, size_t step, size_t n,         \
			 float *y, size_t room, struct loaded *in)                                 \
	{                                                                                          \
		rotate_rows_as(plan, x, dtype, TQ_CENTER_OFF, step, n, y, room, in);               \
	}

ROTATE_AS(rotate_f32, TQ_F32)
ROTATE_AS(rotate_f16, TQ_F16)
ROTATE_AS(rotate_bf16, TQ_BF16)

/* With a centre, its loads cost more than a branch for each. */
static void rotate_centred(const struct tq_plan *plan, const char *x, int dtype, size_t step,
			   size_t n, float *y, size_t room, struct loaded *in)
{
	rotate_rows_as(plan, x, dtype, plan->center, step, n, y, room, in);
}

static void rotate(const struct tq_plan *plan, const char *x, int dtype, size_t step, size_t n,
		   float *y, size_t room, struct loaded *in)
{
	if (plan->center != TQ_CENTER_OFF)
		rotate_centred(plan, x, dtype, step, n, y, room, in);
	else if (dtype == TQ_F32)
		rotate_f32(plan, x, step, n, y, room, in);
	else if (dtype == TQ_F16)
		rotate_f16(plan, x, step, n, y, room, in);
	else
		rotate_bf16(plan, x, step, n, y, room, in);
}

/* The statistics of the rows, from their 16 lanes each */
static void finish_stat(const struct tq_plan *plan, struct loaded *in, size_t n,
			struct tq_row_stat *stat)
{
	float norm2[BATCH_ROWS], cross[BATCH_ROWS] = {0};
	size_t i;

	_mm512_storeu_ps(norm2, sum_rows(in->norm, 0));
	if (plan->center == TQ_CENTER_BOTH)
		_mm512_storeu_ps(cross, sum_rows(in->cross, 0));
	for (i = 0; i < n; i++)
		stat[i] = (struct tq_row_stat){norm2[i], in->exponent[i], cross[i]};
}

typedef void (*quantize_rows)(const struct tq_plan *plan, const void *state, const float *y, size_t stride,
			      const struct tq_row_stat *stat, size_t n, const struct avx512_ahead *ahead, uint8_t *codes);

/* Rows by batches; @turned: rows of the grid that are encoded sixteen at a time */
AVX512_INLINE void encode_rows(const struct tq_plan *plan, const void *state, const void *x, int dtype, size_t stride,
			       size_t n, int turned, quantize_rows quantize, uint8_t *codes)
{
	float y[SIMD_ROW_FLOATS] __attribute__((aligned(64)));
	size_t element = dtype == TQ_F32 ? 4 : 2, step = stride * element, room, rows, part;
	struct tq_row_stat stat[BATCH_ROWS];
	struct loaded in = {0};
	struct avx512_ahead ahead = {x, step, element};
	const char *from = x;

	room = (plan->dim + plan->rotation.rounds * plan->rotation.roll + 15) / 16 * 16;
	rows = room > BATCH_FLOATS / 2 ? 1 : BATCH_FLOATS / room;
	rows = rows < BATCH_ROWS ? rows : BATCH_ROWS;
	for (; n > 0; n -= part, from += part * step, codes += part * plan->layout.row_bytes) {
		if (turned && n >= BATCH_ROWS) {
			part = BATCH_ROWS;
			ahead.x = from + part * step;
			if (avx512_encode_turned(plan, state, from, dtype, step, &ahead, codes))
				continue;
		}
		part = n < rows ? n : rows;
		rotate(plan, from, dtype, step, part, y, room, &in);
		ahead.x = from + part * step;
		finish_stat(plan, &in, part, stat);
		quantize(plan, state, y, room, stat, part, &ahead, codes);
	}
}

static void quantize_grid(const struct tq_plan *plan, const void *state, const float *y, size_t stride,
			  const struct tq_row_stat *stat, size_t n, const struct avx512_ahead *ahead, uint8_t *codes)
{
	avx512_quantize_rows(plan, state, y, stride, stat, n, ahead, codes);
}

static int avx512_encode(const struct tq_plan *plan, const void *state, const void *x, int dtype,
			 size_t stride, size_t n, uint8_t *codes)
{
	encode_rows(plan, state, x, dtype, stride, n, avx512_turns(plan, state), quantize_grid, codes);
	return TQ_OK;
}

static int encode_radix(const struct tq_plan *plan, const void *state, const void *x, int dtype, size_t stride, size_t n,
			uint8_t *codes)
{
	encode_rows(plan, state, x, dtype, stride, n, 0, avx512_radix_quantize_rows, codes);
	return TQ_OK;
}

const struct tq_quantizer_ops avx512_encode_ops = {
	.struct_size = sizeof(struct tq_quantizer_ops),
	.create = avx512_tables_create,
	.destroy = avx512_tables_destroy,
	.encode = avx512_encode,
};

const struct tq_quantizer_ops avx512_radix_encode_ops = {
	.struct_size = sizeof(struct tq_quantizer_ops),
	.create = avx512_radix_create,
	.destroy = avx512_radix_destroy,
	.encode = encode_radix,
};
