/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_CORE_H
#define TQ_CORE_H

/*
 * What the files of the core share. Each concept has its own header beside its .c file; this one has
 * what nearly all of them need: failing with a text, memory and log lines of a context.
 */

#include <stddef.h>
#include <stdint.h>
#include "tq/context.h"
#include "tq/plugin.h"
#include "tq/status.h"

/**
 * tq_fail - record this thread's error text and return the code
 * @code: a TQ_ERR_*
 * @fmt:  printf format of the text; the row is reset to TQ_NO_ROW
 */
int tq_fail(int code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/** tq_fail_row - tq_fail() that also names a row */
int tq_fail_row(int code, uint64_t row, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/**
 * tq_note - keep the last line that a plugin logged as an error on this thread, for tq_noted()
 * @line: NULL to forget it
 */
void tq_note(const char *line);

/** tq_noted - that line, or @other if there is none */
const char *tq_noted(const char *other);

/** tq_alloc - zeroed memory of the context's allocator, aligned to 64; NULL (with tq_fail()) if none */
void *tq_alloc(struct tq_context *ctx, size_t size);

#define TQ_HUGE_PAGE ((size_t)2 << 20)

/**
 * tq_alloc_huge - memory as it comes, aligned to 64, for what is read from end to end again and again. Of the
 * default allocator multiples of 2 MiB lie in huge pages of the system, where it has them
 */
void *tq_alloc_huge(struct tq_context *ctx, size_t size);

/** tq_free - give it back; NULL is allowed */
void tq_free(struct tq_context *ctx, void *ptr);

/** tq_log - one line to the context's hook, if the level is wanted */
void tq_log(struct tq_context *ctx, int level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/** tq_suggest - the word of @words (NULL-terminated) closest to @word, or NULL if none is close */
const char *tq_suggest(const char *word, const char *const *words);

/** tq_inner - inner product in double: lane i mod 8, then the lanes in order */
static inline double tq_inner(const float *x, const float *y, size_t n)
{
	double lane[8] = { 0 }, sum = 0.0;
	size_t i, j;

	for (i = 0; i + 8 <= n; i += 8)
		for (j = 0; j < 8; j++)
			lane[j] += (double)x[i + j] * (double)y[i + j];
	for (; i < n; i++)
		lane[i % 8] += (double)x[i] * (double)y[i];
	for (j = 0; j < 8; j++)
		sum += lane[j];
	return sum;
}

/** tq_round_up - @n to a multiple of @to */
static inline size_t tq_round_up(size_t n, size_t to)
{
	return (n + to - 1) / to * to;
}

/** tq_crc32c - continue a CRC32C (Castagnoli); start with 0 */
uint32_t tq_crc32c(uint32_t crc, const void *data, size_t size);

#endif
