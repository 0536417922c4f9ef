/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_CORE_KV_ATTEND_H
#define TQ_CORE_KV_ATTEND_H

/*
 * One attention call, taken apart. Query rows are the (token, query head) pairs of one KV head, token by
 * token; up to TQ_KV_ROWS of them make a block. The tokens of a layer are cut into parts: neighbouring
 * entries of one kind, at most TQ_KV_SPLIT tokens. For each block: every head's queries are prepared
 * (kv_attend.c), every (head, part) pair leaves a partial result (kv_part.c), and each head's partial
 * results are put together in the order of the parts.
 */

#include "kv.h"

/** Entries first .. first + n - 1, all coded or all in 16 bits. */
struct tq_kv_cut {
	uint32_t first, n;
};

/**
 * struct tq_kv_block - what the steps of a block share; arrays lie in the caller's scratch
 * @first:    first query row of the block
 * @rows:     how many
 * @queries:  [head][row][key_width] floats
 * @prepared: [head] queries prepared for each group of the head's keys, @prepared_bytes apart
 * @bias:     [head][row]: <query, centre>
 * @top, @sum: [head][part][row]: largest logit, and sum of weights relative to it
 * @mix:      [head][part][row][out_dim]: weighted values, rotated and in their groups' order if the part is coded
 * @page_sum: [head][entry][row]: sum of weights; NULL unless page_mass is wanted
 * @work:     [head]: 3 x rows x out_dim floats, and out_dim more
 */
struct tq_kv_block {
	const struct tq_kv *kv;
	const struct tq_kv_layer *layer;
	const struct tq_kv_run *run;
	const struct tq_kv_call *call;
	const struct tq_kv_cut *cuts;
	size_t ncuts;
	float scale;
	size_t first;
	uint32_t rows;
	float *queries;
	unsigned char *prepared;
	size_t prepared_bytes;
	float *bias;
	float *top, *sum, *mix, *page_sum, *work;
};

/** tq_kv_part_attend - logits, weights and weighted values of one head and part */
void tq_kv_part_attend(const struct tq_kv_block *b, uint32_t head, size_t part);

/** tq_kv_prepared_at - where a block's queries that are prepared for a group of keys begin in the head's */
static inline size_t tq_kv_prepared_at(const struct tq_kv_part *key, uint32_t group)
{
	return group ? TQ_KV_ROWS * key->group[0].codec->q->pipe.query_bytes : 0;
}

/** tq_kv_query_token - the query token of a block's row */
static inline uint64_t tq_kv_query_token(const struct tq_kv_block *b, uint32_t row)
{
	return (b->first + row) / b->kv->group;
}

#endif
