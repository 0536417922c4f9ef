/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The row codec's calls: check the arguments, then one indirect call per batch.
 */

#include "codec.h"

/* A NULL among the pointers of a call, by its name. */
#define CHECK_POINTER(p)                                                                           \
	do {                                                                                       \
		if (!(p))                                                                          \
			return tq_fail(TQ_ERR_ARG, "%s is NULL", #p);                              \
	} while (0)

/* @n rows of @dim elements @stride apart: do they fit into the address space? */
static int check_rows(const struct tq_quantizer *q, const char *name, size_t stride, size_t n,
		      size_t element)
{
	if (stride < q->plan->dim)
		return tq_fail(TQ_ERR_ARG, "%s: %zu is less than the dimension %u", name, stride,
			       q->plan->dim);
	if (stride > PTRDIFF_MAX / element || n > PTRDIFF_MAX / (stride * element))
		return tq_fail(TQ_ERR_ARG, "%s: %zu rows of %zu exceed memory", name, n, stride);
	return TQ_OK;
}

static int check_codes(const struct tq_quantizer *q, const char *name, size_t n)
{
	if (n > PTRDIFF_MAX / q->plan->layout.row_bytes)
		return tq_fail(TQ_ERR_ARG, "%s: %zu rows exceed memory", name, n);
	return TQ_OK;
}

static int check_scores(size_t ld, size_t columns)
{
	if (ld < columns)
		return tq_fail(TQ_ERR_ARG, "ld: %zu is less than the number of rows %zu", ld, columns);
	return TQ_OK;
}

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
static int check_stored(const struct tq_plan *plan, const uint8_t *codes, size_t n)
{
	const struct tq_layout *layout = &plan->layout;
	const uint8_t *row;
	uint32_t cross;
	size_t i;

	if (plan->scale != TQ_F16 && plan->center != TQ_CENTER_BOTH)
		return TQ_OK;
	for (i = 0; i < n; i++) {
		row = codes + i * layout->row_bytes;
		if (is_f16_limit(plan, row + layout->scale_at) ||
		    (layout->rnorm_at != TQ_NO_FIELD && is_f16_limit(plan, row + layout->rnorm_at)))
			return tq_fail_row(TQ_ERR_RANGE, i, "x: row %zu is too large for scale=f16", i);
		if (layout->cross_at == TQ_NO_FIELD)
			continue;
		memcpy(&cross, row + layout->cross_at, sizeof(cross));
		if ((cross & 0x7f800000u) == 0x7f800000u)
			return tq_fail_row(TQ_ERR_RANGE, i,
					   "x: row %zu times the centre exceeds a float", i);
	}
	return TQ_OK;
}

int tq_encode_as(const struct tq_quantizer *q, const void *x, int dtype, size_t stride, size_t n,
		 void *codes)
{
	size_t element = tq_dtype_size(dtype), row;
	int ret;

	CHECK_POINTER(q);
	if (!element)
		return tq_fail(TQ_ERR_ARG, "dtype: %d is none", dtype);
	if (n == 0)
		return TQ_OK;
	CHECK_POINTER(x);
	CHECK_POINTER(codes);
	ret = check_rows(q, "stride", stride, n, element);
	if (!ret)
		ret = check_codes(q, "codes", n);
	if (ret)
		return ret;
	row = tq_first_nonfinite(x, dtype, q->plan->dim, stride, n, q->plan->centre);
	if (row < n)
		return fail_nonfinite(row, "x");
	ret = tq_pipeline_encode(&q->pipe, x, dtype, stride, n, codes);
	if (ret)
		return ret;
	return check_stored(q->plan, codes, n);
}

int tq_encode(const struct tq_quantizer *q, const float *x, size_t stride, size_t n, void *codes)
{
	return tq_encode_as(q, x, TQ_F32, stride, n, codes);
}

int tq_decode_as(const struct tq_quantizer *q, const void *codes, size_t n, void *x, int dtype,
		 size_t stride)
{
	size_t element = tq_dtype_size(dtype);
	int ret;

	CHECK_POINTER(q);
	if (!element)
		return tq_fail(TQ_ERR_ARG, "dtype: %d is none", dtype);
	if (n == 0)
		return TQ_OK;
	CHECK_POINTER(codes);
	CHECK_POINTER(x);
	ret = check_rows(q, "stride", stride, n, element);
	if (!ret)
		ret = check_codes(q, "codes", n);
	if (ret)
		return ret;
	return tq_pipeline_decode(&q->pipe, codes, n, x, dtype, stride);
}

int tq_decode(const struct tq_quantizer *q, const void *codes, size_t n, float *x, size_t stride)
{
	return tq_decode_as(q, codes, n, x, TQ_F32, stride);
}

static int check_prepared(const void *prepared)
{
	CHECK_POINTER(prepared);
	if ((uintptr_t)prepared % 64)
		return tq_fail(TQ_ERR_ARG, "prepared: not aligned to 64 bytes");
	return TQ_OK;
}

int tq_query_prepare(const struct tq_quantizer *q, const float *x, size_t stride, size_t nq,
		     void *prepared)
{
	const float *centre;
	size_t row;
	int ret;

	CHECK_POINTER(q);
	if (nq == 0)
		return TQ_OK;
	CHECK_POINTER(x);
	ret = check_prepared(prepared);
	if (!ret)
		ret = check_rows(q, "stride", stride, nq, sizeof(*x));
	if (ret)
		return ret;
	if (nq > PTRDIFF_MAX / q->pipe.query_bytes)
		return tq_fail(TQ_ERR_ARG, "nq: %zu queries exceed memory", nq);
	centre = q->plan->center == TQ_CENTER_BOTH ? q->plan->centre : NULL;
	row = tq_first_nonfinite(x, TQ_F32, q->plan->dim, stride, nq, centre);
	if (row < nq)
		return fail_nonfinite(row, "x");
	return tq_pipeline_prepare(&q->pipe, x, stride, nq, prepared);
}

int tq_score(const struct tq_quantizer *q, const void *prepared, size_t nq, const void *codes,
	     size_t n, float *scores, size_t ld)
{
	const struct tq_served *score;
	int ret;

	CHECK_POINTER(q);
	if (nq == 0 || n == 0)
		return TQ_OK;
	CHECK_POINTER(codes);
	CHECK_POINTER(scores);
	ret = check_prepared(prepared);
	if (!ret)
		ret = check_codes(q, "codes", n);
	if (!ret)
		ret = check_scores(ld, n);
	if (ret)
		return ret;
	score = &q->pipe.op[TQ_OP_SCORE];
	score->ops->score(q->plan, score->state, prepared, nq, codes, n, scores, ld);
	return TQ_OK;
}

int tq_score_list(const struct tq_quantizer *q, const void *prepared, const void *codes,
		  const uint32_t *ids, size_t n, float *scores)
{
	const struct tq_served *score;
	int ret;

	CHECK_POINTER(q);
	if (n == 0)
		return TQ_OK;
	CHECK_POINTER(codes);
	CHECK_POINTER(ids);
	CHECK_POINTER(scores);
	ret = check_prepared(prepared);
	if (ret)
		return ret;
	score = &q->pipe.op[TQ_OP_SCORE];
	score->ops->score_list(q->plan, score->state, prepared, codes, ids, n, scores);
	return TQ_OK;
}

int tq_score_pairs(const struct tq_quantizer *q, const void *a, size_t na, const void *b, size_t nb,
		   float *scores, size_t ld)
{
	const struct tq_served *pairs;
	int ret;

	CHECK_POINTER(q);
	if (q->plan->index_bits == 0)
		return tq_fail(TQ_ERR_UNSUPPORTED, "pairs: codes of signs alone have no levels");
	if (q->plan->center == TQ_CENTER_DATA)
		return tq_fail(TQ_ERR_UNSUPPORTED, "pairs: needs center=off or center=both");
	if (na == 0 || nb == 0)
		return TQ_OK;
	CHECK_POINTER(a);
	CHECK_POINTER(b);
	CHECK_POINTER(scores);
	ret = check_codes(q, "a", na);
	if (!ret)
		ret = check_codes(q, "b", nb);
	if (!ret)
		ret = check_scores(ld, nb);
	if (ret)
		return ret;
	pairs = &q->pipe.op[TQ_OP_SCORE_PAIRS];
	pairs->ops->score_pairs(q->plan, pairs->state, a, na, b, nb, scores, ld);
	return TQ_OK;
}
