/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TOOLS_INDEX_EVAL_H
#define TOOLS_INDEX_EVAL_H

#include <stddef.h>
#include <stdint.h>

/**
 * struct index_result - one row of the table
 * @given:    the spec as the user wrote it
 * @nprobe:   partitions per query; 0: all
 * @bytes:    per vector, the id among them
 * @recall_k: part of the true k among the k found
 * @recall_1: how often the true nearest is among the k found
 * @qps:      queries per second, one at a time
 * @qps_batch: all together
 * @build:    rows per second, without the training
 */
struct index_result {
	const char *given;
	uint32_t nprobe;
	uint64_t bytes;
	double recall_k, recall_1, qps, qps_batch, build;
};

/** index_draw - SVG of queries per second against recall; 0, or an exit code with a line printed */
int index_draw(const char *path, const char *title, const struct index_result *results, size_t n);

#endif
