/* SPDX-License-Identifier: Apache-2.0 */
/* The kernels of attention over a KV cache, a module of their own. Compile as kernels.cu. */
#include "kv_list.h"
#include "kv_append.cuh"
#include "kv_attend.cuh"
#include "kv_combine.cuh"
#include "kv_mass.cuh"
#include "kv_mla.cuh"
#include "kv_raw.cuh"
#include "kv_trellis.cuh"
#include "kv_wide.cuh"

TQC_KV_ATTEND(TQC_KV_KERNEL)
TQC_KV_ONE(TQC_KV_KERNEL)
TQC_KV_WIDE(TQC_KV_WIDE_KERNEL)
TQC_KV_TCQ(TQC_KV_TCQ_KERNEL)
TQC_KV_APPEND_TCQ(TQC_KV_APPEND_TCQ_KERNEL)
TQC_KV_MLA(TQC_KV_MLA_KERNEL)
