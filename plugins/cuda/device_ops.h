/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_CUDA_DEVICE_OPS_H
#define TQ_CUDA_DEVICE_OPS_H

#include "state.h"

/** The codec on the embedder's device pointers and streams. */
extern const struct tq_device_ops tqc_device_ops;

/** What attach makes: a plan on a device */
struct tqc_device_state {
	struct tqc_plan_state plan;
	const struct tq_host *host;
};

/**
 * tqc_ops_enter, tqc_ops_leave - make the context current before work, and no longer after it
 * @what: for the log
 * @err:  the driver's verdict on the work
 *
 * Return: 0 or TQ_ERR_DEVICE, the reason logged.
 */
int tqc_ops_enter(const struct tqc_device_state *s, const char *what);
int tqc_ops_leave(const struct tqc_device_state *s, const char *what, CUresult err);

/* The operations of kv_ops.c */
size_t tqc_kv_page(const void *keys, const void *values,
		   const struct tq_device_kv_options *options);
int tqc_kv_append(const void *keys, const void *values, const struct tq_device_queue *queue,
		  const struct tq_device_kv_options *options, const struct tq_device_kv_rows *rows);
size_t tqc_kv_scratch(const void *keys, const void *values,
		      const struct tq_device_kv_options *options,
		      const struct tq_device_kv_call *call);
int tqc_kv_attend(const void *keys, const void *values, const struct tq_device_queue *queue,
		  const struct tq_device_kv_options *options, const struct tq_device_kv_call *call);

#endif
