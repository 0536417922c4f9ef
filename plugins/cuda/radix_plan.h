/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_CUDA_RADIX_PLAN_H
#define TQ_CUDA_RADIX_PLAN_H

/*
 * What kernels know of a fraction of a bit beside struct tqc_plan: struct tq_radix (tq/radix.h), in device memory. It
 * lies where `buckets` of such a plan points, which no kernel of these plans looks thresholds up in. `odd`, `bounds`
 * and `count` are those of all digits, one behind the other.
 */

#include <stdint.h>

#define TQC_RADIX_DIGITS 5
#define TQC_RADIX_WORDS 512

/* @level: the level number that digit j of a word stands for */
struct tqc_radix {
	uint32_t digits, words;
	uint32_t count[TQC_RADIX_DIGITS], place[TQC_RADIX_DIGITS], base[TQC_RADIX_DIGITS], reserved;
	int16_t level[TQC_RADIX_DIGITS][TQC_RADIX_WORDS];
};

#endif
