/* SPDX-License-Identifier: Apache-2.0 */
/* The kernels of a warp to a tile of rows, a module of their own. Compile as kernels.cu. */
#include "warp_decode.cuh"
#include "warp_list.h"

TQC_WARP_ENCODE_KERNELS(TQC_WARP_ENCODE_KERNEL)

extern "C" __global__ void __launch_bounds__(TQC_WARP_THREADS, 3)
	tqc_decode_warp(tqc_plan p, const uint8_t *codes, size_t n, uint8_t *x, int dtype, size_t stride, tqc_warp w)
{
	decode_warp(p, codes, n, x, dtype, stride, w);
}
