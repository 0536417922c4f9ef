/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_CUDA_KERNEL_LIST_H
#define TQ_CUDA_KERNEL_LIST_H

/* The kernels, by name: one list makes the instances (CUDA C) and the table of functions (C). */

/* Tiles that a warp of a score kernel keeps under way */
#define TQC_SCORE_STAGES(steps) ((steps) ? 4 : 2)

/* Threads of the fast encode and decode, at most: what the registers allow a processor; how many share a row */
#define TQC_ROWS_THREADS 512
#define TQC_ROWS_SHARE(d) ((d) == 128 ? 2 : 1)

/* Floats of decode's tables (decode_rht.cuh) */
#define TQC_BACK_FLOATS(d, rounds) ((rounds) * (d) + (((rounds) + 3) & ~3u))

/* Floats of encode's table of a round, for one thread (rows_rht.cuh) */
#define TQC_ROUND_FLOATS(d, share) ((share) == 1 ? (d) : (d) / 2 + (d) / 16)

/* Shared memory that any of them declares by itself, at most */
#define TQC_STATIC_SHARED_MAX 10240

/* X(name, 0): kernels for every plan */
#define TQC_PLAIN_KERNELS(X)                                                                       \
	X(tqc_encode, 0)                                                                           \
	X(tqc_decode, 0)                                                                           \
	X(tqc_query, 0)                                                                            \
	X(tqc_check, 0)                                                                            \
	X(tqc_score, 0)                                                                            \
	X(tqc_best_clear, 0)                                                                       \
	X(tqc_push, 0)                                                                             \
	X(tqc_select, 0)

/* X(name, D, BITS, FIT) */
#define TQC_ENCODE_RHT_D(X, d)                                                                     \
	X(tqc_encode_##d##_1_0, d, 1, false)                                                       \
	X(tqc_encode_##d##_1_1, d, 1, true)                                                        \
	X(tqc_encode_##d##_2_0, d, 2, false)                                                       \
	X(tqc_encode_##d##_2_1, d, 2, true)                                                        \
	X(tqc_encode_##d##_3_0, d, 3, false)                                                       \
	X(tqc_encode_##d##_3_1, d, 3, true)                                                        \
	X(tqc_encode_##d##_4_0, d, 4, false)                                                       \
	X(tqc_encode_##d##_4_1, d, 4, true)
#define TQC_ENCODE_KERNELS(X) TQC_ENCODE_RHT_D(X, 64) TQC_ENCODE_RHT_D(X, 128)

/* X(name, D, BITS) */
#define TQC_DECODE_RHT_D(X, d)                                                                     \
	X(tqc_decode_##d##_1, d, 1)                                                                \
	X(tqc_decode_##d##_2, d, 2)                                                                \
	X(tqc_decode_##d##_3, d, 3)                                                                \
	X(tqc_decode_##d##_4, d, 4)
#define TQC_DECODE_KERNELS(X) TQC_DECODE_RHT_D(X, 64) TQC_DECODE_RHT_D(X, 128)

/* X(name, BITS, NT, PQ, STEPS, WORDS) */
#define TQC_SCORE_BITS(X, bits)                                                                    \
	X(tqc_score_##bits##_1_1, bits, 1, 1, 0, false)                                            \
	X(tqc_score_##bits##_2_1, bits, 2, 1, 0, false)                                            \
	X(tqc_score_##bits##_8_1, bits, 8, 1, 0, false)                                            \
	X(tqc_score_##bits##_1_2, bits, 1, 2, 0, false)                                            \
	X(tqc_score_##bits##_2_2, bits, 2, 2, 0, false)                                            \
	X(tqc_score_##bits##_8_2, bits, 8, 2, 0, false)
/* 4 bits, one plane: rows of words with f32 scales; d = 128 with these, and without */
#define TQC_SCORE_4(X)                                                                             \
	X(tqc_score_4_1_words, 4, 1, 1, 0, true)                                                   \
	X(tqc_score_4_2_words, 4, 2, 1, 0, true)                                                   \
	X(tqc_score_4_8_words, 4, 8, 1, 0, true)                                                   \
	X(tqc_score_d128_1_words, 4, 1, 1, 4, true)                                                \
	X(tqc_score_d128_2_words, 4, 2, 1, 4, true)                                                \
	X(tqc_score_d128_1, 4, 1, 1, 4, false)                                                     \
	X(tqc_score_d128_2, 4, 2, 1, 4, false)
#define TQC_SCORE_KERNELS(X)                                                                       \
	TQC_SCORE_BITS(X, 1)                                                                       \
	TQC_SCORE_BITS(X, 2)                                                                       \
	TQC_SCORE_BITS(X, 3)                                                                       \
	TQC_SCORE_BITS(X, 4)                                                                       \
	TQC_SCORE_BITS(X, 8)                                                                       \
	TQC_SCORE_4(X)

#endif
