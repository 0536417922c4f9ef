/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_CUDA_STATE_H
#define TQ_CUDA_STATE_H

#include "device.h"
#include "device_plan.h"
#include "warp_plan.h"
#include "tq/plugin.h"

/** Largest dimension whose rows fit a block's shared memory. */
#define TQC_MAX_DIM 16384

/**
 * A plan on a device: its tables in one allocation. @levels: up to 16 one-plane grid values, a byte each;
 * @window: bits of a trellis code's states, else 0; @radix: a fraction of a bit; @warp: no rows if its kernels do not
 * serve the plan
 */
struct tqc_plan_state {
	struct tqc_device *dev;
	struct tqc_plan plan;
	struct tqc_warp warp;
	CUdeviceptr tables;
	size_t encode_shared, decode_shared;
	unsigned threads, window, radix;
	uint32_t levels[4];
};

/**
 * tqc_state_create - upload a plan's tables
 * @ordinal: which GPU
 *
 * Return: 0, TQ_ERR_NOMEM, TQ_ERR_DEVICE, TQ_ERR_NOT_PRESENT; the reason goes to the host's log.
 */
int tqc_state_create(const struct tq_host *host, const struct tq_plan *plan, int ordinal,
		     struct tqc_plan_state *state);
void tqc_state_destroy(struct tqc_plan_state *state);

#endif
