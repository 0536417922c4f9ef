/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_DEVICE_CODEC_H
#define TQ_DEVICE_CODEC_H

/* What the calls on device memory share: device.c has the codec, device_kv.c attention over its codes. */

#include "codec.h"
#include "registry.h"
#include "tq/device.h"

/** struct tq_device_codec - a quantizer's tables on a device */
struct tq_device_codec {
	struct tq_context *ctx;
	const struct tq_plan *plan;
	struct tq_entry *entry;
	const struct tq_device_ops *ops;
	const struct tq_host *host;
	int32_t device;
	void *state;
};

/* Run one operation of the driver; what it logged becomes the error text. */
#define TQ_DEVICE_RUN(what, call)                                                                  \
	do {                                                                                       \
		int run_ret;                                                                       \
                                                                                                   \
		tq_note(NULL);                                                                     \
		run_ret = (call);                                                                  \
		if (run_ret)                                                                       \
			return tq_fail(run_ret, "%s: %s", what,                                    \
				       tq_noted(tq_status_text(run_ret)));                         \
	} while (0)

/** tq_device_place - TQ_ERR_ARG unless both are there and of one device */
int tq_device_place(const struct tq_device_codec *codec, const struct tq_queue *queue);

/** tq_queue_where - the driver's form of the queue */
const struct tq_device_queue *tq_queue_where(const struct tq_queue *queue);

#endif
