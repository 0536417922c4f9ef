/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_GATE_DEVICE_H
#define TQ_GATE_DEVICE_H

/* What the tests of device(*) share: memory of the device that is given back, and copies. */

#include "gate.h"

#define TQ_GATE_PLACES 32

/**
 * struct tq_gate_bed - a bench on a device
 * @state: of the driver, for memory and copies
 * @place: device memory that tq_gate_clear() gives back
 */
struct tq_gate_bed {
	struct tq_gate_bench *b;
	const struct tq_device_ops *ops;
	const struct tq_device_queue *queue;
	void *state;
	void *place[TQ_GATE_PLACES];
	size_t nplaces;
};

/** tq_gate_did - record that @what failed with @err, if it did and nothing did before */
void tq_gate_did(struct tq_gate_bed *bed, const char *what, int err);

/** tq_gate_place - device memory; NULL where something failed */
uint8_t *tq_gate_place(struct tq_gate_bed *bed, size_t size);

/** tq_gate_clear - give back all places and the bench's buffers */
void tq_gate_clear(struct tq_gate_bed *bed);

/** tq_gate_in, tq_gate_out - copy to the device, from it; nothing after a failure */
void tq_gate_in(struct tq_gate_bed *bed, void *to, const void *from, size_t size);
void tq_gate_out(struct tq_gate_bed *bed, void *to, const void *from, size_t size);

#endif
