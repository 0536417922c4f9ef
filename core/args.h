/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_ARGS_H
#define TQ_ARGS_H

/*
 * The arguments that the calls of the row codec have in common. Each returns TQ_OK or TQ_ERR_ARG
 * with the argument's name in the text.
 */

#include "codec.h"

/* A NULL among the pointers of a call, by its name. */
#define TQ_CHECK_POINTER(p)                                                                        \
	do {                                                                                       \
		if (!(p))                                                                          \
			return tq_fail(TQ_ERR_ARG, "%s is NULL", #p);                              \
	} while (0)

/* @n rows of @dim elements @stride apart: do they fit into the address space? */
static inline int tq_check_rows(uint32_t dim, const char *name, size_t stride, size_t n, size_t element)
{
	if (stride < dim)
		return tq_fail(TQ_ERR_ARG, "%s: %zu is less than the dimension %u", name, stride, dim);
	if (stride > PTRDIFF_MAX / element || n > PTRDIFF_MAX / (stride * element))
		return tq_fail(TQ_ERR_ARG, "%s: %zu rows of %zu exceed memory", name, n, stride);
	return TQ_OK;
}

static inline int tq_check_codes(size_t row_bytes, const char *name, size_t n)
{
	if (n > PTRDIFF_MAX / row_bytes)
		return tq_fail(TQ_ERR_ARG, "%s: %zu rows exceed memory", name, n);
	return TQ_OK;
}

static inline int tq_check_scores(size_t ld, size_t columns)
{
	if (ld < columns)
		return tq_fail(TQ_ERR_ARG, "ld: %zu is less than the number of rows %zu", ld,
			       columns);
	return TQ_OK;
}

static inline int tq_check_prepared(const void *prepared)
{
	TQ_CHECK_POINTER(prepared);
	if ((uintptr_t)prepared % 64)
		return tq_fail(TQ_ERR_ARG, "prepared: not aligned to 64 bytes");
	return TQ_OK;
}

/* Prepared queries against @n rows of @row_bytes */
static inline int tq_check_scoring(const void *prepared, const void *codes, size_t row_bytes, size_t n,
				   const float *scores, size_t ld)
{
	int ret;

	TQ_CHECK_POINTER(codes);
	TQ_CHECK_POINTER(scores);
	ret = tq_check_prepared(prepared);
	if (!ret)
		ret = tq_check_codes(row_bytes, "codes", n);
	return ret ? ret : tq_check_scores(ld, n);
}

#endif
