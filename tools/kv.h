/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TOOLS_KV_H
#define TOOLS_KV_H

/*
 * The commands of tq kv, and what they share: dumps of keys, values and queries of a model, what a cache
 * makes of them, and what attention makes of that.
 *
 * Failing calls have printed their line and return an exit code.
 */

#include "commands.h"

/** Each takes the arguments behind its own name. */
int kv_size(int argc, char **argv);
int kv_eval(int argc, char **argv);
int kv_plan(int argc, char **argv);

/* ---- dumps ---- */

/**
 * struct kv_dump - what the heads of a model had to do with one text; C order
 * @tokens:  keys and values per head
 * @queries: of the last tokens, per query head
 * @keys:    layers x kv_heads x tokens x key_dim
 * @values:  layers x kv_heads x tokens x value_dim
 * @query:   layers x query_heads x queries x key_dim
 */
struct kv_dump {
	uint32_t layers, kv_heads, query_heads;
	uint32_t key_dim, value_dim;
	uint32_t tokens, queries;
	float *keys, *values, *query;
};

/** kv_dump_load - three .npy of the same number of dimensions, 2 to 4; missing leading ones are 1 */
int kv_dump_load(struct kv_dump *d, const char *keys, const char *values, const char *queries);
void kv_dump_unload(struct kv_dump *d);

/** kv_dump_options - the dump's shapes, for a cache */
void kv_dump_options(const struct kv_dump *d, struct tq_kv_options *o);

/* ---- options of a cache ---- */

enum kv_letter { KV_SINKS = 512, KV_WINDOW, KV_PAGE, KV_CENTER_TOKENS };

#define KV_CACHE_OPTIONS                                                                                            \
	{"sinks", required_argument, NULL, KV_SINKS}, {"window", required_argument, NULL, KV_WINDOW},               \
		{"page", required_argument, NULL, KV_PAGE},                                                         \
		{"center-tokens", required_argument, NULL, KV_CENTER_TOKENS}

/** kv_take_option - one of enum kv_letter into @o; @most: the greatest number of tokens */
int kv_take_option(struct tq_kv_options *o, int letter, const char *text, uint64_t most);

/* ---- what a cache makes of them ---- */

/* Two lists of 1024 channels, and specs */
#define KV_SPECS_MAX 12288

/**
 * kv_take_specs - "KEYS / VALUES", or one spec for both
 * @text: a split, "split=CHANNELS SPEC / SPEC", is one spec
 * @room: KV_SPECS_MAX characters that they point into
 */
int kv_take_specs(const char *text, char *room, struct tq_kv_options *o);

/**
 * kv_decode - keys and values as a cache returns them once all tokens are there
 * @keys, @values: as in the dump
 * @token_bytes:   of one coded token, all layers and heads
 */
int kv_decode(struct tq_context *ctx, const struct tq_kv_options *o, const struct kv_dump *d, float *keys,
	      float *values, uint64_t *token_bytes);

/**
 * struct kv_cell - one KV head of one layer; sums over @n queries
 * @logit: squared errors of logits, without what all keys of a query have in common; over @nlogits keys
 * @kl:    Kullback-Leibler divergence of the softmax, in nats
 * @error: |o' - o|^2 of outputs
 * @norm:  |o|^2
 */
struct kv_cell {
	double logit, nlogits;
	double kl, error, norm;
	double n;
};

/**
 * kv_compare - causal attention over @keys and @values beside that over the dump's own, in f64
 * @keys, @values: of the whole dump
 * @kl:            receives the divergence of each query of the head, group x queries; NULL for none
 *
 * Return: 0, or an exit code where memory is short.
 */
int kv_compare(const struct kv_dump *d, uint32_t layer, uint32_t head, const float *keys, const float *values,
	       struct kv_cell *cell, float *kl);

/* ---- pictures ---- */

/**
 * struct kv_panel - one heat map
 * @title: a spec
 * @cells: layers x kv_heads
 */
struct kv_panel {
	const char *title;
	const struct kv_cell *cells;
};

/** kv_draw - SVG: mean divergence of each layer and KV head, one panel per spec */
int kv_draw(const char *path, const struct kv_dump *d, const struct kv_panel *panels, size_t n);

#endif
