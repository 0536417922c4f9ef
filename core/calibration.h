/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_CALIBRATION_H
#define TQ_CALIBRATION_H

/*
 * The calibration profile: what each driver's operations took on this machine, measured by
 * tq_context_calibrate() and used by the selection where neither a pin nor the configured order
 * decides. It can reorder drivers that pass the gate, nothing else.
 */

#include <stdbool.h>
#include <stdio.h>
#include "registry.h"

#define TQ_CALIBRATION_NAME_MAX 64

/** One measurement: @ps picoseconds per row of @dim coordinates. */
struct tq_timing {
	char stage[TQ_CALIBRATION_NAME_MAX];
	char driver[TQ_CALIBRATION_NAME_MAX];
	uint32_t dim;
	uint32_t bits;
	uint32_t ps;
};

/** A plugin as it was when its drivers were measured. */
struct tq_calibrated_plugin {
	char name[TQ_CALIBRATION_NAME_MAX];
	char version[TQ_CALIBRATION_NAME_MAX];
	char build[TQ_CALIBRATION_NAME_MAX];
};

/** What a profile must have been made by, and on, to be in force. */
struct tq_calibration_key {
	char version[TQ_CALIBRATION_NAME_MAX];
	char build[TQ_CALIBRATION_NAME_MAX];
	char cpu[TQ_CALIBRATION_NAME_MAX];
	char features[TQ_REASON_MAX];
};

/**
 * struct tq_calibration - a profile
 * @path:    where it was looked for; "" if nowhere
 * @reason:  why it is not in force, or ""; for explanations
 * @valid:   it is in force
 */
struct tq_calibration {
	const char *path;
	const char *reason;
	bool valid;
	struct tq_calibration_key key;
	struct tq_calibrated_plugin *plugins;
	size_t nplugins;
	struct tq_timing *timings;
	size_t ntimings;
};

/** tq_calibration_dim - the dimension that speaks for @dim in a profile */
uint32_t tq_calibration_dim(uint32_t dim);

/** tq_calibration_bits - the index bits that speak for @bits */
uint32_t tq_calibration_bits(uint32_t bits);

/** tq_calibration_place - the file to read and write, or NULL; malloc's */
char *tq_calibration_place(struct tq_context *ctx);

/** tq_calibration_here - the key of this library on this machine */
void tq_calibration_here(struct tq_context *ctx, struct tq_calibration_key *key);

/** tq_calibration_plugin_here - how a loaded plugin stands in a profile */
void tq_calibration_plugin_here(const struct tq_module *m, struct tq_calibrated_plugin *p);

/**
 * tq_calibration_parse - read the text of a profile
 * @path: for error texts
 * @text: zero-terminated, @size bytes without the zero
 * @cal:  receives key, plugins and timings, all checked; release with tq_calibration_free()
 *
 * Return: TQ_OK; TQ_ERR_CONFIG with path:line; TQ_ERR_UNSUPPORTED without libconfig; TQ_ERR_NOMEM.
 */
int tq_calibration_parse(struct tq_context *ctx, const char *path, const char *text, size_t size,
			 struct tq_calibration *cal);

/**
 * tq_calibration_load - read the context's profile, once, and decide whether it is in force
 *
 * Called with the registry's lock, with its files open. A profile that cannot be used is no
 * failure: the reason is logged and kept.
 */
int tq_calibration_load(struct tq_context *ctx);
void tq_calibration_free(struct tq_context *ctx, struct tq_calibration *cal);

/** tq_calibration_find - what @e's driver took in this stage, or NULL; @bits 0 for rotations */
const struct tq_timing *tq_calibration_find(struct tq_context *ctx, const struct tq_entry *e,
					    const char *stage, uint32_t dim, uint32_t bits);

/** tq_calibration_head - the start of a profile: everything but the timings */
void tq_calibration_head(struct tq_context *ctx, FILE *f);

/** tq_build_id - the GNU build id of the object that holds @address, in hexadecimal; "" if none */
void tq_build_id(const void *address, char *text, size_t size);

#endif
