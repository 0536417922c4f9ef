/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_CUDA_KV_LIST_H
#define TQ_CUDA_KV_LIST_H

#include "tcq_list.h"

/* The kernels of kv.cu, as kernel_list.h has the others. */

/* Tiles that a warp of an attend kernel has in shared memory; blocks that a processor should hold */
#define TQC_KV_STAGES 3
#define TQC_TILE_TOKENS 32
/* Coordinates in a tile of a row of @d: what is more belongs to queries of zeros and to sums that nobody reads */
#define TQC_KV_PADDED(d) (((d) + 31) & ~31u)
/* Tokens in 16 bits that a block attends to */
#define TQC_RAW_CHUNK 32
/* Shared memory of such a block: padded keys, of which 1024 floats take the place; values, four queries */
#define TQC_RAW_KEYS(key_dim) ((key_dim) < 64 ? 4096 : TQC_RAW_CHUNK * (2 * (key_dim) + 16))
#define TQC_RAW_SHARED(key_dim, dim) (TQC_RAW_KEYS(key_dim) + TQC_RAW_CHUNK * 2 * (dim) + 16 * (key_dim))
/* Tiles that a warp can add up in integers: 32768 tokens x 255 x 127 x 2 < 2^31 */
#define TQC_FLUSH_TILES 1024
/* Tiles of a kernel for any bits; entries of its table of levels are this far apart, one word for each lane */
#define TQC_WIDE_STAGES 2
#define TQC_WIDE_STEP 128
/* Threads that put splits together */
#define TQC_KV_COMBINE 256
#define TQC_KV_BLOCKS(d) ((d) == 256 ? 2 : 4)

/* X(name, D, KEY_BITS, VALUE_BITS): values have no more bits than keys */
#define TQC_KV_D(X, d)                                                                             \
	X(tqc_kv_attend_##d##_2_2, d, 2, 2)                                                        \
	X(tqc_kv_attend_##d##_3_2, d, 3, 2)                                                        \
	X(tqc_kv_attend_##d##_3_3, d, 3, 3)                                                        \
	X(tqc_kv_attend_##d##_4_2, d, 4, 2)                                                        \
	X(tqc_kv_attend_##d##_4_3, d, 4, 3)                                                        \
	X(tqc_kv_attend_##d##_4_4, d, 4, 4)
#define TQC_KV_ATTEND(X) TQC_KV_D(X, 64) TQC_KV_D(X, 96) TQC_KV_D(X, 128) TQC_KV_D(X, 256)

/* Values of 1 bit, for head sizes that are common */
#define TQC_KV_ONE(X)                                                                              \
	X(tqc_kv_attend_64_1_1, 64, 1, 1)                                                          \
	X(tqc_kv_attend_64_2_1, 64, 2, 1)                                                          \
	X(tqc_kv_attend_64_3_1, 64, 3, 1)                                                          \
	X(tqc_kv_attend_64_4_1, 64, 4, 1)                                                          \
	X(tqc_kv_attend_128_1_1, 128, 1, 1)                                                        \
	X(tqc_kv_attend_128_2_1, 128, 2, 1)                                                        \
	X(tqc_kv_attend_128_3_1, 128, 3, 1)                                                        \
	X(tqc_kv_attend_128_4_1, 128, 4, 1)

/* X(name, D, BITS): values of at most D coordinates; 8: keys and values have as many, 0: whatever the call says */
#define TQC_KV_WIDE(X)                                                                             \
	X(tqc_kv_wide_64, 64, 0)                                                                   \
	X(tqc_kv_wide_128, 128, 0)                                                                 \
	X(tqc_kv_wide_256, 256, 0)                                                                 \
	X(tqc_kv_bytes_64, 64, 8)                                                                  \
	X(tqc_kv_bytes_128, 128, 8)                                                                \
	X(tqc_kv_bytes_256, 256, 8)

/* X(name, D, KEYS, VALUES): trellis codes of values, of keys, of both; of the others any codes */
#define TQC_KV_TCQ(X)                                                                              \
	X(tqc_kv_tcq_values_64, 64, code_keys<0>, trellis_values<64>)                              \
	X(tqc_kv_tcq_values_128, 128, code_keys<0>, trellis_values<128>)                           \
	X(tqc_kv_tcq_values_256, 256, code_keys<0>, trellis_values<256>)                           \
	X(tqc_kv_tcq_keys_64, 64, trellis_keys, code_values<64, 0>)                                \
	X(tqc_kv_tcq_keys_128, 128, trellis_keys, code_values<128, 0>)                             \
	X(tqc_kv_tcq_keys_256, 256, trellis_keys, code_values<256, 0>)                             \
	X(tqc_kv_tcq_64, 64, trellis_keys, trellis_values<64>)                                     \
	X(tqc_kv_tcq_128, 128, trellis_keys, trellis_values<128>)                                  \
	X(tqc_kv_tcq_256, 256, trellis_keys, trellis_values<256>)

/* X(name, WINDOW, BITS): rows of a trellis code into tiles */
#define TQC_KV_APPEND_TCQ(X)                                                                       \
	X(tqc_kv_append_tcq_8_1, 8, 1)                                                             \
	X(tqc_kv_append_tcq_8_2, 8, 2)                                                             \
	X(tqc_kv_append_tcq_8_3, 8, 3)                                                             \
	X(tqc_kv_append_tcq_8_4, 8, 4)                                                             \
	X(tqc_kv_append_tcq_9_1, 9, 1)                                                             \
	X(tqc_kv_append_tcq_9_2, 9, 2)                                                             \
	X(tqc_kv_append_tcq_9_3, 9, 3)                                                             \
	X(tqc_kv_append_tcq_9_4, 9, 4)

/* X(name, BITS): keys that are values too, 512 coordinates, and 64 in 16 bits */
#define TQC_KV_MLA(X)                                                                              \
	X(tqc_kv_mla_2, 2)                                                                         \
	X(tqc_kv_mla_3, 3)                                                                         \
	X(tqc_kv_mla_4, 4)

/* X(name, ...): the second module, kv.cu; the first of its names begins it */
#define TQC_KV_KERNELS(X)                                                                          \
	X(tqc_kv_append, 0)                                                                        \
	X(tqc_kv_query, 0)                                                                         \
	X(tqc_kv_combine, 0)                                                                       \
	X(tqc_kv_mass, 0)                                                                          \
	TQC_KV_ATTEND(X)                                                                           \
	TQC_KV_ONE(X)                                                                              \
	TQC_KV_WIDE(X)                                                                             \
	TQC_KV_TCQ(X)                                                                              \
	TQC_KV_APPEND_TCQ(X)                                                                       \
	TQC_KV_MLA(X)

#endif
