/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_SELECT_H
#define TQ_SELECT_H

#include "core.h"

/** What a stage got: the driver, its plugin's name and the services to pass to it. */
struct tq_choice {
	const struct tq_driver *driver;
	const char *plugin;
	const struct tq_host *host;
};

/** Lines "STAGE DRIVER: why", kept for tq_quantizer_explain(). Zero-initialised by its owner. */
struct tq_explain {
	char *text;
	size_t used, room;
};

void tq_explain_free(struct tq_context *ctx, struct tq_explain *why);

/**
 * tq_select_rotation - the driver for one linear map
 * @ctx: registry, configuration
 * @rot: the map; the generic name is rotate(rht|dense|givens|none|NAME)
 * @pin: a driver or plugin name, or NULL for the context's pin or free choice. With a pin the
 *       candidates are the pinned ones and scalar; @pinned counts how often the pin was served
 * @out: receives the choice, gate passed
 *
 * Opens, probes and tests candidates lazily, under the registry's lock.
 *
 * Return: TQ_OK; TQ_ERR_NO_DRIVER.
 */
int tq_select_rotation(struct tq_context *ctx, const struct tq_rotation *rot, const char *pin,
		       unsigned *pinned, struct tq_choice *out, struct tq_explain *why);

/**
 * tq_select_op - the driver of generic name @name for the operation at @slot
 * @slot: offsetof(struct tq_quantizer_ops, ...) of the operation that must not be NULL
 *
 * Return: TQ_OK; for a fused operation that no driver has too, with @out as it was: compose instead.
 * TQ_ERR_NO_DRIVER.
 */
int tq_select_op(struct tq_context *ctx, const char *name, size_t slot,
		 const struct tq_plan *plan, const char *pin, unsigned *pinned,
		 struct tq_choice *out, struct tq_explain *why);

struct tq_entry;

/**
 * tq_select_device - the driver for work on device memory; pins and order do not apply to it
 * @name: "device(cuda)"
 * @plan: NULL: only look whether there is one
 * @entry: receives the driver's entry, so that the caller can test it; may be NULL
 *
 * Called with the registry's lock held. Return: TQ_OK; TQ_ERR_NOT_PRESENT with the reason of the
 * driver that came nearest; TQ_ERR_UNSUPPORTED with what @plan lacks; TQ_ERR_NO_DRIVER.
 */
int tq_select_device(struct tq_context *ctx, const char *name, const struct tq_plan *plan,
		     struct tq_choice *out, struct tq_entry **entry);

/** tq_pin_unserved - TQ_ERR_NO_DRIVER with the reason why nothing of @pin serves, if there is one */
int tq_pin_unserved(struct tq_context *ctx, const char *pin);

/** tq_effective_pin - @pin if not NULL, else the context's (option, environment, config), else NULL */
const char *tq_effective_pin(struct tq_context *ctx, const char *pin);

/** tq_families - what drivers of codes are divided into: NULL-terminated */
extern const char *const tq_families[];

/** tq_stage_family - that of a code */
const char *tq_stage_family(uint32_t code);

/** tq_stage_name - "VERB(FAMILY)" by the plan's code; @rotation, unless NULL, comes before it */
void tq_stage_name(const struct tq_plan *plan, const char *verb, const char *rotation, char *name,
		   size_t size);
#define TQ_STAGE_NAME_MAX 64

#endif
