/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_CUDA_RADIX_LIST_H
#define TQ_CUDA_RADIX_LIST_H

/* The kernels of fractions of a bit, by name, as in kernel_list.h; a module of their own, radix.cu. */

/* X(name, 0): kernels for every such plan; the first name begins the module */
#define TQC_RADIX_KERNELS(X)                                                                       \
	X(tqc_encode_radix, 0)                                                                     \
	X(tqc_decode_radix, 0)                                                                     \
	X(tqc_score_radix, 0)

#endif
