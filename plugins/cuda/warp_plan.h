/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_CUDA_WARP_PLAN_H
#define TQ_CUDA_WARP_PLAN_H

/*
 * What the kernels of a warp to a tile of rows know besides the plan (warp_rht.cuh). A chunk is 32 coordinates.
 * Shared by the host code (C) and the kernels (CUDA C).
 */

#include <stdint.h>

/* Threads of a block, at most */
#define TQC_WARP_THREADS 256

/* Floats between the chunks of a row in shared memory: 8 threads that read 16 bytes of 8 chunks meet no bank twice */
#define TQC_CHUNK_PITCH 36

/* Bytes of a note on a row; buckets of magnitudes, at most */
#define TQC_WARP_NOTE 16
#define TQC_MAX_STEPS 512

/* Magnitudes less than the bucket's end by look-up: @below thresholds lie under the bucket, @bound in it or infinity */
struct tqc_step {
	float bound;
	uint32_t below;
};

/* A level above 0 and the threshold under it, 0 for the first */
struct tqc_magnitude {
	float bound, odd;
};

/*
 * @rows: of a tile, a power of two
 * @pitch: floats between rows
 * @chunks, @window: chunks of a row, and of a window of butterflies: a power of two of 2 to 128
 * @shift: its logarithm
 * @windows: 1, or 2: head and tail
 * @turn: chunks that a round rolls by, half a window, if d is three halves of one
 * @spare: another d with two windows: a second copy of the tile takes the tail
 * @stage: bytes for the codes of a tile
 * @room: bytes of a warp: tile, spare tile, notes on rows, stage
 * @steps: buckets of @unit magnitudes each, in eighths
 */
struct tqc_warp {
	uint32_t rows, pitch, chunks, window, shift, windows, turn, spare;
	uint32_t stage, room, steps;
	float unit;
	const struct tqc_step *step;
	const struct tqc_magnitude *magnitude;
};

/* Bytes of a block's tables: sign words and factors of @rounds, and @table others, all in multiples of 16 */
#define TQC_WARP_TABLES(rounds, w, table)                                                                               \
	((((rounds) * (w)->windows * ((w)->window + 1) * 4 + 15) & ~15u) + (((table) + 15) & ~15u))

#endif
