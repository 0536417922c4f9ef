/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_OPENCL_OPS_H
#define TQ_OPENCL_OPS_H

#include "tq/plugin.h"

extern const struct tq_rotation_ops tqo_rotation_ops;
extern const struct tq_quantizer_ops tqo_encode_ops;
extern const struct tq_quantizer_ops tqo_decode_ops;
extern const struct tq_quantizer_ops tqo_score_ops;

#endif
