/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_CUDA_DEVICE_OPS_H
#define TQ_CUDA_DEVICE_OPS_H

#include "tq/plugin.h"

/** The codec on the embedder's device pointers and streams. */
extern const struct tq_device_ops tqc_device_ops;

#endif
