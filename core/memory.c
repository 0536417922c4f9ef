/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory and log lines of a context.
 */

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include "context.h"

#define ALIGNMENT 64
#define LOG_LINE_MAX 1024

static void *default_alloc(void *arg, size_t size, size_t align)
{
	return aligned_alloc(align, (size + align - 1) & ~(align - 1));
}

static void default_free(void *arg, void *ptr)
{
	free(ptr);
}

const struct tq_allocator tq_default_allocator = { default_alloc, default_free, NULL };

void *tq_alloc(struct tq_context *ctx, size_t size)
{
	void *ptr = NULL;

	if (size == 0)
		size = 1;
	if (size <= SIZE_MAX - ALIGNMENT)
		ptr = ctx->allocator.alloc(ctx->allocator.arg, size, ALIGNMENT);
	if (!ptr) {
		tq_fail(TQ_ERR_NOMEM, "out of memory: %zu bytes", size);
		return NULL;
	}
	return memset(ptr, 0, size);
}

void *tq_alloc_huge(struct tq_context *ctx, size_t size)
{
	bool huge = ctx->allocator.alloc == default_alloc && size % TQ_HUGE_PAGE == 0;
	void *ptr = ctx->allocator.alloc(ctx->allocator.arg, size, huge ? TQ_HUGE_PAGE : ALIGNMENT);

	if (!ptr)
		tq_fail(TQ_ERR_NOMEM, "out of memory: %zu bytes", size);
#ifdef MADV_HUGEPAGE
	else if (huge)
		madvise(ptr, size, MADV_HUGEPAGE); /* a hint: it may be refused */
#endif
	return ptr;
}

void tq_free(struct tq_context *ctx, void *ptr)
{
	if (ptr)
		ctx->allocator.free(ctx->allocator.arg, ptr);
}

void tq_log(struct tq_context *ctx, int level, const char *fmt, ...)
{
	char line[LOG_LINE_MAX];
	va_list args;

	if (!ctx->log || level > ctx->log_level)
		return;
	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	ctx->log(ctx->log_arg, level, line);
}
