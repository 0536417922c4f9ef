/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_CUDA_WARP_LIST_H
#define TQ_CUDA_WARP_LIST_H

/* The kernels of a warp to a tile of rows, by name, as in kernel_list.h; a module of their own, warp.cu. */

/* X(name, PLANES, SEARCH): levels of one or two planes, effort 0 or 1; the first name begins the module */
#define TQC_WARP_ENCODE_KERNELS(X)                                                                                      \
	X(tqc_encode_warp_1_0, 1, false)                                                                                \
	X(tqc_encode_warp_1_1, 1, true)                                                                                 \
	X(tqc_encode_warp_2_0, 2, false)                                                                                \
	X(tqc_encode_warp_2_1, 2, true)

#define TQC_WARP_KERNELS(X)                                                                                             \
	TQC_WARP_ENCODE_KERNELS(X)                                                                                      \
	X(tqc_decode_warp, 0, 0)

#endif
