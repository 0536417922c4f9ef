/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_BENCH_SCAN_H
#define TQ_BENCH_SCAN_H

/*
 * A full scan of coded rows, and the same for the baselines. Scores go to a buffer that is used
 * again for every block of rows, as in a caller that keeps the best k: the scan reads codes, and
 * what it writes stays in cache.
 */

#include "bench.h"

#define SCAN_SCORES ((size_t)1 << 16)
#define SCAN_BLOCK ((size_t)4096)
/** Queries that scan_prepare() makes at most */
#define SCAN_MAX_QUERIES 256

struct scan {
	const struct tq_quantizer *q;
	const void *prepared;
	size_t nq, rows, row_bytes;
	const uint8_t *codes;
	float *scores;
	/* the baselines */
	const float *query;
	const void *plain;
	uint32_t dim;
	unsigned threads;
};

/** scan_prepare - @nq prepared queries for @q; free with free() */
void *scan_prepare(const struct tq_quantizer *q, size_t nq);

/** scan_fill - codes of random rows all over @codes; returns how many rows fit into @bytes */
size_t scan_fill(const struct tq_quantizer *q, uint8_t *codes, size_t bytes);

void scan_codes(void *scan);  /* tq_score() of all rows, block by block */
void scan_stream(void *scan); /* sum of the code bytes */
void scan_dot16(void *scan);  /* fp16 dot products of all rows of @plain */
void scan_dot32(void *scan);

/** scan_halves - fill with halves in +-[0.5, 1), which are ordinary numbers as floats too */
void scan_halves(void *p, size_t bytes);

#endif
