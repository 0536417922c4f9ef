/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_OPENCL_TABLES_H
#define TQ_OPENCL_TABLES_H

#include "device.h"
#include "plan.h"

/** A rotation whose tables lie at these offsets of a buffer. */
struct tqo_rotation {
	uint32_t kind, dim, log_window, rounds, roll;
	uint32_t signs, rows, columns, order, cosines, sines;
};

/** A plan, or a rotation alone, on a device: its tables in one buffer. */
struct tqo_tables {
	struct tqo_device *dev;
	cl_mem buffer;
	struct tqo_plan plan;
	struct tqo_rotation rotation, sketch;
};

/**
 * tqo_tables_create - start the device if need be and upload tables
 * @plan: NULL for the rotation alone
 * @rot:  NULL for the plan's
 *
 * Return: 0, TQ_ERR_NOMEM, TQ_ERR_DEVICE, TQ_ERR_NOT_PRESENT; the reason goes to the host's log.
 */
int tqo_tables_create(const struct tq_host *host, const struct tq_plan *plan, const struct tq_rotation *rot,
		      struct tqo_tables *t);
void tqo_tables_destroy(struct tqo_tables *t);

/**
 * tqo_rotate - queue the steps of a rotation of @n rows in lane->y; the result is there too
 * @spare: lane->z is overwritten
 */
cl_int tqo_rotate(const struct tqo_tables *t, const struct tqo_rotation *rot, struct tqo_lane *lane, size_t n,
		  int transpose);

#endif
