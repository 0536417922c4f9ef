/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TOOLS_RANKS_H
#define TOOLS_RANKS_H

/*
 * The processes that mpirun has started together. Program tq is one process (ranks_one.c) and does not load
 * an MPI library; started by mpirun as one of several it becomes tq-mpi, which is the same with ranks_mpi.c.
 *
 * An index over several ranks is a file for each: rank r of R has rows n*r/R .. n*(r+1)/R - 1 of all n.
 */

#include <stddef.h>
#include <stdint.h>

/** ranks_begin - first thing in main(); 0, or an exit code with a line printed */
int ranks_begin(int *argc, char ***argv);
void ranks_end(void);

uint32_t ranks_size(void);
uint32_t ranks_rank(void);

/** ranks_agree - wait for all; the greatest exit code that any of them brings */
int ranks_agree(int ret);

/**
 * ranks_merge - the best of all ranks' results, on rank 0
 * @metric: enum tq_metric: what is better
 * @n:      queries
 * @k:      results of each, the best first, of equal scores the lower id, no id (below 0) last
 *
 * All ranks call it, with the same numbers. A reduction by an operation on lists of @k results.
 */
int ranks_merge(uint32_t metric, size_t n, size_t k, int64_t *ids, float *scores);

#endif
