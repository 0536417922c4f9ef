/* SPDX-License-Identifier: Apache-2.0 */
/* Every kernel of the plugin in one module. Compile with -fmad=false: docs/FORMAT.md has no fma. */
#include "encode.cuh"
#include "decode.cuh"
