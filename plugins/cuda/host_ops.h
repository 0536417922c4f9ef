/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_CUDA_HOST_OPS_H
#define TQ_CUDA_HOST_OPS_H

#include "tq/plugin.h"

/** Encode and decode of data in host memory, through pinned double buffers. */
extern const struct tq_quantizer_ops tqc_encode_ops;
extern const struct tq_quantizer_ops tqc_decode_ops;

#endif
