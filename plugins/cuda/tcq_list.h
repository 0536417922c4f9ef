/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_CUDA_TCQ_LIST_H
#define TQ_CUDA_TCQ_LIST_H

/* The kernels of trellis codes, by name, as in kernel_list.h; a module of their own, tcq.cu. */

/* What stands for codes of b bits where score_mma() has its BITS: TQC_TCQ_BITS + b */
#define TQC_TCQ_BITS 16

/* Shared memory of one search: costs twice, what led to them, coordinates, symbols; searches of a warp, blocks */
#define TQC_TCQ_LANES(window) ((window) == 9 ? 32 : 16)
#define TQC_TCQ_TOGETHER(window) (32 / TQC_TCQ_LANES(window))
#define TQC_TCQ_COSTS(window, bits) ((1 << ((window) - (bits))) + ((bits) == 1 ? 16 : 0))
#define TQC_TCQ_FROM 33
#define TQC_TCQ_SEARCH(window, bits)                                                               \
	(8 * TQC_TCQ_COSTS(window, bits) + 4 * TQC_TCQ_FROM * TQC_TCQ_LANES(window) + 4 * 128 + 128)

/* Bytes of the table that scores look windows of several coordinates up in: tcq_score.cuh */
#define TQC_TCQ_TABLE(window, bits) ((bits) == 1 ? 4 << ((window) + 3) : 2 << ((window) + (bits)))

/* X(name, ...): kernels for every trellis plan; the first name begins the module */
#define TQC_TCQ_PLAIN(X)                                                                           \
	X(tqc_decode_tcq, 0)                                                                       \
	X(tqc_score_tcq, 0)

/* X(name, WINDOW, BITS) */
#define TQC_TCQ_ENCODE_W(X, w)                                                                     \
	X(tqc_encode_tcq_##w##_1, w, 1)                                                            \
	X(tqc_encode_tcq_##w##_2, w, 2)                                                            \
	X(tqc_encode_tcq_##w##_3, w, 3)                                                            \
	X(tqc_encode_tcq_##w##_4, w, 4)
#define TQC_TCQ_ENCODE(X) TQC_TCQ_ENCODE_W(X, 8) TQC_TCQ_ENCODE_W(X, 9)

/* X(name, BITS, NT, PQ, STEPS, WORDS): eight of each number of bits */
#define TQC_TCQ_SCORE_BITS(X, bits)                                                                \
	X(tqc_score_tcq_##bits##_1_1, TQC_TCQ_BITS + bits, 1, 1, 0, false)                         \
	X(tqc_score_tcq_##bits##_2_1, TQC_TCQ_BITS + bits, 2, 1, 0, false)                         \
	X(tqc_score_tcq_##bits##_8_1, TQC_TCQ_BITS + bits, 8, 1, 0, false)                         \
	X(tqc_score_tcq_##bits##_1_2, TQC_TCQ_BITS + bits, 1, 2, 0, false)                         \
	X(tqc_score_tcq_##bits##_2_2, TQC_TCQ_BITS + bits, 2, 2, 0, false)                         \
	X(tqc_score_tcq_##bits##_8_2, TQC_TCQ_BITS + bits, 8, 2, 0, false)                         \
	X(tqc_score_tcq_##bits##_d128_1, TQC_TCQ_BITS + bits, 1, 1, 4, false)                      \
	X(tqc_score_tcq_##bits##_d128_2, TQC_TCQ_BITS + bits, 2, 1, 4, false)
#define TQC_TCQ_SCORE(X)                                                                           \
	TQC_TCQ_SCORE_BITS(X, 1) TQC_TCQ_SCORE_BITS(X, 2) TQC_TCQ_SCORE_BITS(X, 3) TQC_TCQ_SCORE_BITS(X, 4)

#define TQC_TCQ_KERNELS(X) TQC_TCQ_PLAIN(X) TQC_TCQ_ENCODE(X) TQC_TCQ_SCORE(X)

#endif
