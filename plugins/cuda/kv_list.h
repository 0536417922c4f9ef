/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_CUDA_KV_LIST_H
#define TQ_CUDA_KV_LIST_H

/* The kernels of kv.cu, as kernel_list.h has the others. */

/* Tiles that a warp of an attend kernel has in shared memory; blocks that a processor should hold */
#define TQC_KV_STAGES 3
#define TQC_TILE_TOKENS 32
/* Tokens in 16 bits that a block attends to */
#define TQC_RAW_CHUNK 32
/* Shared memory of such a block: padded keys, values, four queries; 1024 floats take the place of keys */
#define TQC_RAW_SHARED(dim) (TQC_RAW_CHUNK * (4 * (dim) + 16) + 16 * (dim))
/* Tiles that a warp can add up in integers: 32768 tokens x 255 x 127 x 2 < 2^31 */
#define TQC_FLUSH_TILES 1024
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
	X(tqc_kv_raw, 0)                                                                           \
	X(tqc_kv_mass, 0)                                                                          \
	TQC_KV_ATTEND(X)                                                                           \
	TQC_KV_MLA(X)

#endif
