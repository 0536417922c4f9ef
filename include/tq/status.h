/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_STATUS_H
#define TQ_STATUS_H

/*
 * Every call that can fail returns 0 (TQ_OK) or one of the negative codes below. The text that names
 * the argument, file and line, or row is kept per thread until the next failing call of that thread.
 */

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(TQ_STATIC)
#define TQ_API
#elif defined(__GNUC__)
#define TQ_API __attribute__((visibility("default")))
#else
#define TQ_API
#endif

/* X(name, value, text): one list makes the enum, the names and the texts */
#define TQ_STATUS_LIST(X)                                                                          \
	X(TQ_OK, 0, "success")                                                                     \
	X(TQ_ERR_ARG, -1, "invalid argument")                                                      \
	X(TQ_ERR_NOMEM, -2, "out of memory")                                                       \
	X(TQ_ERR_NONFINITE, -3, "input holds NaN or infinity")                                     \
	X(TQ_ERR_RANGE, -4, "value out of range")                                                  \
	X(TQ_ERR_SPEC, -5, "invalid spec")                                                         \
	X(TQ_ERR_CONFIG, -6, "invalid configuration")                                              \
	X(TQ_ERR_IO, -7, "input/output error")                                                     \
	X(TQ_ERR_FORMAT, -8, "malformed file")                                                     \
	X(TQ_ERR_CHECKSUM, -9, "checksum mismatch")                                                \
	X(TQ_ERR_VERSION, -10, "unsupported version")                                              \
	X(TQ_ERR_UNSUPPORTED, -11, "not supported")                                                \
	X(TQ_ERR_NO_DRIVER, -12, "no usable driver")                                               \
	X(TQ_ERR_PLUGIN, -13, "plugin refused")                                                    \
	X(TQ_ERR_NOT_PRESENT, -14, "device or library not present")                                \
	X(TQ_ERR_SELFTEST, -15, "self-test failed")                                                \
	X(TQ_ERR_FULL, -16, "limit reached")                                                       \
	X(TQ_ERR_DEVICE, -17, "device error")                                                      \
	X(TQ_ERR_INTERNAL, -18, "internal error")

enum tq_status {
#define TQ_STATUS_ENUM(name, value, text) name = value,
	TQ_STATUS_LIST(TQ_STATUS_ENUM)
#undef TQ_STATUS_ENUM
};

/** Row number that tq_error_row() returns when the last failure names no row. */
#define TQ_NO_ROW UINT64_MAX

/**
 * tq_status_name - the constant's name ("TQ_ERR_ARG")
 * @status: a code returned by any call
 *
 * Return: a static string; "TQ_ERR_UNKNOWN" for a number that is no code. Thread-safe.
 */
TQ_API const char *tq_status_name(int status);

/**
 * tq_status_text - what the code means, in a few words
 * @status: a code returned by any call
 *
 * Return: a static string, never NULL. Thread-safe.
 */
TQ_API const char *tq_status_text(int status);

/**
 * tq_error_text - the full text of this thread's last failure
 *
 * Names the argument, the file and line, or the row. Kept until this thread's next failing call.
 *
 * Return: a string owned by the library, never NULL, "" if nothing failed yet. Thread-local.
 */
TQ_API const char *tq_error_text(void);

/**
 * tq_error_row - the row that this thread's last failure names
 *
 * Return: a 0-based row number, or TQ_NO_ROW. Thread-local.
 */
TQ_API uint64_t tq_error_row(void);

#ifdef __cplusplus
}
#endif
#endif
