/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows in and out: check the arguments, then one indirect call per batch, or per tile of rows where
 * the context has threads and the batch is worth splitting.
 */

#include <stdbool.h>
#include "args.h"
#include "parallel.h"

/* What a thread takes at a time: some 50 us of the fastest drivers' work. */
#define FLOATS_PER_TILE 65536
#define QUERY_FLOATS_PER_TILE 8192

static int fail_nonfinite(uint64_t row, const char *what)
{
	return tq_fail_row(TQ_ERR_NONFINITE, row, "%s: row %llu holds NaN or infinity", what,
			   (unsigned long long)row);
}

static int is_f16_limit(const struct tq_plan *plan, const uint8_t *at)
{
	return plan->scale == TQ_F16 && tq_load_scale(plan, at) >= 65504.0f;
}

/* What the stored types could not hold: scales beyond f16, an overflown <x, centre>. */
static int check_stored(const struct tq_pipeline *pipe, const uint8_t *codes, size_t first, size_t n)
{
	const struct tq_plan *plan = pipe->plan;
	const struct tq_layout *layout = &plan->layout;
	const uint8_t *row;
	uint32_t cross;
	size_t i;

	if (plan->scale != TQ_F16 && plan->center != TQ_CENTER_BOTH && !pipe->scales)
		return TQ_OK;
	for (i = first; i < first + n; i++) {
		row = codes + i * layout->row_bytes;
		if (is_f16_limit(plan, row + layout->scale_at) ||
		    (layout->rnorm_at != TQ_NO_FIELD && is_f16_limit(plan, row + layout->rnorm_at)))
			return tq_fail_row(TQ_ERR_RANGE, i, "x: row %zu is too large for scale=f16",
					   i);
		if (pipe->scales && tq_load_scale(plan, row + layout->scale_at) >= TQ_SCALE_LIMIT)
			return tq_fail_row(TQ_ERR_RANGE, i, "x: row %zu over the scales exceeds a float", i);
		if (layout->cross_at == TQ_NO_FIELD)
			continue;
		memcpy(&cross, row + layout->cross_at, sizeof(cross));
		if ((cross & 0x7f800000u) == 0x7f800000u)
			return tq_fail_row(TQ_ERR_RANGE, i,
					   "x: row %zu times the centre exceeds a float", i);
	}
	return TQ_OK;
}

/* A batch of encode, decode or prepare, which packs each query @nadds times if it has @adds. */
struct batch {
	const struct tq_quantizer *q;
	const void *in;
	void *out;
	int dtype;
	size_t stride;
	const float *centre;
	const float *adds;
	size_t nadds;
};

/* On one thread if the drivers cannot be split. */
static int split(const struct tq_quantizer *q, bool may, size_t n, size_t work, size_t each,
		 tq_rows_fn fn, void *arg)
{
	return may ? tq_rows_split(q->ctx, n, tq_rows_tile(work, each), fn, arg) : fn(arg, 0, 0, n);
}

static int check_finite(void *arg, uint32_t lane, size_t first, size_t n)
{
	const struct batch *b = arg;
	const char *x = (const char *)b->in + first * b->stride * tq_dtype_size(b->dtype);
	size_t row = tq_first_nonfinite(b->q->ctx, x, b->dtype, b->q->plan->dim, b->stride, n, b->centre);

	return row < n ? fail_nonfinite(first + row, "x") : TQ_OK;
}

static int encode_tile(void *arg, uint32_t lane, size_t first, size_t n)
{
	const struct batch *b = arg;
	const struct tq_plan *plan = b->q->plan;
	const char *x = (const char *)b->in + first * b->stride * tq_dtype_size(b->dtype);
	uint8_t *codes = b->out;
	int ret;

	ret = tq_pipeline_encode(&b->q->pipe, x, b->dtype, b->stride, n,
				 codes + first * plan->layout.row_bytes);
	return ret ? ret : check_stored(&b->q->pipe, codes, first, n);
}

int tq_encode_as(const struct tq_quantizer *q, const void *x, int dtype, size_t stride, size_t n,
		 void *codes)
{
	struct batch b = {q, x, codes, dtype, stride, NULL, NULL, 1};
	size_t element = tq_dtype_size(dtype);
	int ret;

	TQ_CHECK_POINTER(q);
	if (!element)
		return tq_fail(TQ_ERR_ARG, "dtype: %d is none", dtype);
	if (n == 0)
		return TQ_OK;
	TQ_CHECK_POINTER(x);
	TQ_CHECK_POINTER(codes);
	ret = tq_check_rows(q->plan->dim, "stride", stride, n, element);
	if (!ret)
		ret = tq_check_codes(tq_code_size(q), "codes", n);
	b.centre = q->plan->centre;
	if (!ret)
		ret = split(q, true, n, FLOATS_PER_TILE, q->plan->dim, check_finite, &b);
	return ret ? ret
		   : split(q, q->pipe.split_encode, n, FLOATS_PER_TILE, q->plan->dim, encode_tile,
			   &b);
}

int tq_encode(const struct tq_quantizer *q, const float *x, size_t stride, size_t n, void *codes)
{
	return tq_encode_as(q, x, TQ_F32, stride, n, codes);
}

static int decode_tile(void *arg, uint32_t lane, size_t first, size_t n)
{
	const struct batch *b = arg;
	size_t at = first * b->stride * tq_dtype_size(b->dtype);

	return tq_pipeline_decode(&b->q->pipe,
				  (const uint8_t *)b->in + first * b->q->plan->layout.row_bytes, n,
				  (char *)b->out + at, b->dtype, b->stride);
}

int tq_decode_as(const struct tq_quantizer *q, const void *codes, size_t n, void *x, int dtype,
		 size_t stride)
{
	struct batch b = {q, codes, x, dtype, stride, NULL, NULL, 1};
	size_t element = tq_dtype_size(dtype);
	int ret;

	TQ_CHECK_POINTER(q);
	if (!element)
		return tq_fail(TQ_ERR_ARG, "dtype: %d is none", dtype);
	if (n == 0)
		return TQ_OK;
	TQ_CHECK_POINTER(codes);
	TQ_CHECK_POINTER(x);
	ret = tq_check_rows(q->plan->dim, "stride", stride, n, element);
	if (!ret)
		ret = tq_check_codes(tq_code_size(q), "codes", n);
	if (ret)
		return ret;
	return split(q, q->pipe.split_decode, n, FLOATS_PER_TILE, q->plan->dim, decode_tile, &b);
}

int tq_decode(const struct tq_quantizer *q, const void *codes, size_t n, float *x, size_t stride)
{
	return tq_decode_as(q, codes, n, x, TQ_F32, stride);
}

static int prepare_tile(void *arg, uint32_t lane, size_t first, size_t n)
{
	const struct batch *b = arg;
	const struct tq_pipeline *pipe = &b->q->pipe;
	int ret = tq_pipeline_prepare_adds(pipe, (const float *)b->in + first * b->stride, b->stride,
					   n, b->adds ? b->adds + first * b->nadds : NULL, b->nadds,
					   (char *)b->out + first * b->nadds * pipe->query_bytes);

	if (ret != TQ_ERR_RANGE)
		return ret;
	first += tq_error_row();
	return tq_fail_row(ret, first, "x: query %zu times the %s exceeds a float", first, tq_pipeline_factor(pipe));
}

int tq_query_prepare_adds(const struct tq_quantizer *q, const float *x, size_t stride, size_t nq,
			  const float *adds, size_t nadds, void *prepared)
{
	struct batch b = {q, x, prepared, TQ_F32, stride, NULL, adds, nadds};
	int ret;

	TQ_CHECK_POINTER(q);
	if (nq == 0)
		return TQ_OK;
	TQ_CHECK_POINTER(x);
	ret = tq_check_prepared(prepared);
	if (!ret)
		ret = tq_check_rows(q->plan->dim, "stride", stride, nq, sizeof(*x));
	if (ret)
		return ret;
	if (nq > PTRDIFF_MAX / q->pipe.query_bytes / nadds)
		return tq_fail(TQ_ERR_ARG, "nq: %zu queries exceed memory", nq);
	b.centre = q->plan->center == TQ_CENTER_BOTH ? q->plan->centre : NULL;
	ret = split(q, true, nq, FLOATS_PER_TILE, q->plan->dim, check_finite, &b);
	return ret ? ret
		   : split(q, q->pipe.split_prepare, nq, QUERY_FLOATS_PER_TILE, q->plan->dim,
			   prepare_tile, &b);
}

int tq_query_prepare(const struct tq_quantizer *q, const float *x, size_t stride, size_t nq,
		     void *prepared)
{
	return tq_query_prepare_adds(q, x, stride, nq, NULL, 1, prepared);
}
