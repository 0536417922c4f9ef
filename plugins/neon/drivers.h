/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_NEON_DRIVERS_H
#define TQ_NEON_DRIVERS_H

/* The operations of each driver; plugin.c lists them, one kernel file defines each. */

#include "tq/plugin.h"

extern const struct tq_rotation_ops neon_rht_ops;
extern const struct tq_rotation_ops neon_dense_ops;
extern const struct tq_quantizer_ops neon_quantize_ops;
extern const struct tq_quantizer_ops neon_encode_ops;
extern const struct tq_quantizer_ops neon_decode_ops;
extern const struct tq_quantizer_ops neon_attend_ops;
extern const struct tq_quantizer_ops neon_attend_dotprod_ops;
extern const struct tq_quantizer_ops neon_score_ops;
extern const struct tq_quantizer_ops neon_score_dotprod_ops;
extern const struct tq_quantizer_ops neon_score_i8mm_ops;
extern const struct tq_quantizer_ops neon_trellis_ops;
extern const struct tq_quantizer_ops neon_trellis_score_ops;
extern const struct tq_quantizer_ops neon_trellis_score_dotprod_ops;
extern const struct tq_quantizer_ops neon_radix_ops;
extern const struct tq_quantizer_ops neon_radix_score_ops;
extern const struct tq_quantizer_ops neon_radix_score_dotprod_ops;
extern const struct tq_quantizer_ops neon_trellis_attend_ops;
extern const struct tq_quantizer_ops neon_trellis_attend_dotprod_ops;

#endif
