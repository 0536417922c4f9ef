/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TOOLS_INDEX_TOOL_H
#define TOOLS_INDEX_TOOL_H

/* The commands of tq index, and what they share. Failing calls have printed their line. */

#include <stddef.h>
#include "commands.h"
#include "vectors.h"

#define INDEX_SPECS_MAX 64
#define INDEX_PROBES_MAX 32

/**
 * struct index_options - of all the commands; 0 and NULL where not given
 */
struct index_options {
	struct settings common;
	const char *specs[INDEX_SPECS_MAX];
	size_t nspecs;
	uint32_t nprobes[INDEX_PROBES_MAX];
	size_t nnprobes;
	uint32_t metric, nlist;
	uint64_t k, rows, nq, rerank;
	const char *ids, *out, *scores, *gt, *svg, *refine;
	bool log, on_device;
	uint64_t device; /* if @on_device: the GPU's number */
	float exactness;
};

/** index_parse - the options, and exactly @operands arguments, which begin at optind then */
int index_parse(int argc, char **argv, struct index_options *o, const char *allowed, int operands,
		const char *usage);

/** index_make - an index for the vectors, trained on a sample of them; @spec: over preset=search, or NULL */
int index_make(const struct index_options *o, struct tq_context *ctx, const char *spec,
	       const struct vectors *in, struct tq_index **ix);

/** staged_of - is a search asked to be staged: TQ_INDEX_STAGED or 0 */
static inline uint32_t staged_of(const struct index_options *o)
{
	return o->exactness > 0.0f && o->exactness < 1.0f ? TQ_INDEX_STAGED : 0;
}

/** rerank_of - what a search for the best @k is told to look at again: --rerank, but at least @k; 0: nothing */
static inline size_t rerank_of(const struct index_options *o, uint64_t k)
{
	return o->rerank && o->rerank < k ? k : o->rerank;
}

/** index_part - this rank's file of an index (ranks.h): @path itself where there is one; free() it */
int index_part(const char *path, char **part);

/** index_fill - add this rank's part of all rows, with the ids of a file or numbered; @path: of the ids, or NULL */
int index_fill(struct tq_index *ix, const struct vectors *in, const char *path);

/** index_queries - all rows of a file, or the first @most, as f32; free() them */
int index_queries(const struct vectors *v, uint64_t most, float **rows);

int index_build(int argc, char **argv);
int index_add(int argc, char **argv);
int index_search(int argc, char **argv);
int index_show(int argc, char **argv);
int index_eval(int argc, char **argv);

#endif
