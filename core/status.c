/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Status codes and this thread's error text. The text is the library's only mutable state outside a
 * context, and it is thread-local.
 */

#include <stdarg.h>
#include <stdio.h>
#include "core.h"

#define ERROR_TEXT_MAX 512

static _Thread_local char error_text[ERROR_TEXT_MAX];
static _Thread_local uint64_t error_row = TQ_NO_ROW;
static _Thread_local char note[256];

const char *tq_status_name(int status)
{
	switch (status) {
#define TQ_STATUS_NAME(name, value, text)                                                          \
	case name:                                                                                 \
		return #name;
		TQ_STATUS_LIST(TQ_STATUS_NAME)
	default:
		return "TQ_ERR_UNKNOWN";
	}
}

const char *tq_status_text(int status)
{
	switch (status) {
#define TQ_STATUS_TEXT(name, value, text)                                                          \
	case name:                                                                                 \
		return text;
		TQ_STATUS_LIST(TQ_STATUS_TEXT)
	default:
		return "unknown status";
	}
}

const char *tq_error_text(void)
{
	return error_text;
}

uint64_t tq_error_row(void)
{
	return error_row;
}

/* The arguments may point into the old text (a cause wrapped by its caller), hence the copy. */
static int fail(int code, uint64_t row, const char *fmt, va_list args)
{
	char text[ERROR_TEXT_MAX];

	vsnprintf(text, sizeof(text), fmt, args);
	memcpy(error_text, text, sizeof(text));
	error_row = row;
	return code;
}

int tq_fail(int code, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	fail(code, TQ_NO_ROW, fmt, args);
	va_end(args);
	return code;
}

int tq_fail_row(int code, uint64_t row, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	fail(code, row, fmt, args);
	va_end(args);
	return code;
}

void tq_note(const char *line)
{
	note[0] = '\0';
	if (line)
		snprintf(note, sizeof(note), "%s", line);
}

const char *tq_noted(const char *other)
{
	return note[0] ? note : other;
}
