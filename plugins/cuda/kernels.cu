/* SPDX-License-Identifier: Apache-2.0 */
/* The kernels of the row codec, a module. Compile with -fmad=false: docs/FORMAT.md has no fma. */
#include "kernel_list.h"
#include "check.cuh"
#include "encode.cuh"
#include "decode.cuh"
#include "query.cuh"
#include "score.cuh"
#include "score_mma.cuh"
#include "topk.cuh"
#include "encode_rht.cuh"
#include "decode_rht.cuh"

TQC_ENCODE_KERNELS(TQC_ENCODE_KERNEL)
TQC_DECODE_KERNELS(TQC_DECODE_KERNEL)
TQC_SCORE_KERNELS(TQC_SCORE_KERNEL)
