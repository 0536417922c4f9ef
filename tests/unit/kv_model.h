/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_KV_MODEL_H
#define TESTS_KV_MODEL_H

/* A simple model of a sequence of a KV cache, for tests that compare the two. */

#include <check.h>
#include "tq/tq.h"

struct shape {
	const char *name;
	struct tq_kv_options o;
};

#define BASE(l, h, g, k, r, v)                                                                     \
	.struct_size = sizeof(struct tq_kv_options), .layers = l, .kv_heads = h, .query_heads = g,     \
	.key_dim = k, .key_raw_dim = r, .value_dim = v, .raw_type = TQ_F16, .page_tokens = 32

enum { SHAPES = 8, MOST = 600 };

/** The caches that tests are run on. */
extern const struct shape shapes[SHAPES];

/* Tokens of one sequence, every layer alike, as 16-bit rows */
struct model {
	struct tq_kv_seq *seq;
	uint64_t tokens, trimmed;
	float *keys, *values;
};

/** kv_ctx - where row codecs are made */
extern struct tq_context *kv_ctx;

/** rng_state, rng - the thread's random numbers, below @below */
extern _Thread_local uint64_t rng_state;
uint32_t rng(uint32_t below);

/** room - memory aligned to 64, filled with a pattern */
void *room(size_t bytes);

/** temp_path - a file of this process and thread */
const char *temp_path(void);

/** model_open - empty; with a sequence of @kv unless that is NULL */
void model_open(struct model *m, struct tq_kv *kv, const struct tq_kv_options *o);
void model_close(struct model *m);

/** model_copy - the tokens of @from, for the sequence that @to has */
void model_copy(const struct model *from, struct model *to, const struct tq_kv_options *o);

/** append - random tokens to both; the cache's status, and where it failed the model is as before */
int append(struct model *m, const struct tq_kv_options *o, uint32_t n);

/** save_and_restore - through a file into @to, also of another cache */
void save_and_restore(const struct model *m, struct tq_kv *kv, const struct tq_kv_options *o, struct model *to);

/** check_sequence - read all tokens, ask in several ways; the answers of @twin, if any, are the same bits */
void check_sequence(const struct model *m, const struct tq_kv_options *o, const struct model *twin);

/** run_cases - make kv_ctx and run the tests of a program; its exit status */
int run_cases(const char *name, TCase *tc);

#endif
