/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_SELFTEST_H
#define TQ_SELFTEST_H

/*
 * The gate: no driver is selectable before the core has seen it give the right answers, per family of
 * specs. Called with the registry's lock held; what passed is kept.
 */

#include "registry.h"

struct tq_device_codec;
struct tq_device_kv_options;

/**
 * tq_gate_rotation - test a rotate(*) driver on one map
 * @why: receives what was wrong
 *
 * Return: TQ_OK; TQ_ERR_SELFTEST with @why; TQ_ERR_NOMEM.
 */
int tq_gate_rotation(struct tq_entry *e, const struct tq_rotation *rot, char *why, size_t size);

/** tq_gate_ops - test every filled slot of any other driver on one plan; as tq_gate_rotation() */
int tq_gate_ops(struct tq_entry *e, const struct tq_plan *plan, char *why, size_t size);

/**
 * tq_gate_device - test a device(*) driver with a plan's tables attached; every codec is tested
 * @state: what attach made
 *
 * Return: TQ_OK; TQ_ERR_SELFTEST with @why; TQ_ERR_DEVICE with @why; TQ_ERR_NOMEM.
 */
int tq_gate_device(struct tq_entry *e, const struct tq_plan *plan, const struct tq_device_queue *queue,
		   void *state, char *why, size_t size);

/**
 * tq_gate_device_kv - test a device's attention with two codecs, as tq_gate_device() does
 *
 * Return: TQ_OK; TQ_ERR_SELFTEST with @why; TQ_ERR_DEVICE with @why; TQ_ERR_NOMEM.
 */
int tq_gate_device_kv(const struct tq_device_codec *keys, const struct tq_device_codec *values,
		      const struct tq_device_queue *queue, char *why, size_t size);

/** tq_gate_device_mla - the same where keys are values too; @options: their part in 16 bits */
int tq_gate_device_mla(const struct tq_device_codec *keys, const struct tq_device_kv_options *options,
		       const struct tq_device_queue *queue, char *why, size_t size);

/** tq_gate_entry - test any driver on what it does for @plan, if anything; @passed: it did, and well */
int tq_gate_entry(struct tq_entry *e, const struct tq_plan *plan, bool *passed);

/** tq_entry_pass - the entry's state after the gate said @err; TQ_ERR_NOMEM if that is all it said */
int tq_entry_pass(struct tq_entry *e, int err, const char *why);

/** tq_gate_forget - release what the gate keeps on an entry */
void tq_gate_forget(struct tq_entry *e);

/** tq_gate_free - release what the gate keeps on the registry */
void tq_gate_free(struct tq_context *ctx);

#endif
