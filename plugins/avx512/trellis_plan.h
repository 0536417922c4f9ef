/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_AVX512_TRELLIS_PLAN_H
#define TQ_AVX512_TRELLIS_PLAN_H

/* Which plans the drivers of trellis codes serve: for the table of drivers, which has no vector code. */

#include "tq/plugin.h"

/** avx512_trellis_supports - rows whose segments end with a byte */
int avx512_trellis_supports(const struct tq_plan *plan, char *why, size_t size);

/** avx512_trellis_score_supports - ... and whole queries */
int avx512_trellis_score_supports(const struct tq_plan *plan, char *why, size_t size);

#endif
