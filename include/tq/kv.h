/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_KV_H
#define TQ_KV_H

/*
 * A KV cache over the row codec: layers x KV heads x pages of tokens.
 *
 *	struct tq_kv_options o = { .struct_size = sizeof(o), .layers = 32, .kv_heads = 8,
 *				   .query_heads = 32, .key_dim = 128, .value_dim = 128 };
 *	tq_kv_create(ctx, &o, &kv);
 *	tq_kv_seq_create(kv, &seq);
 *	tq_kv_append(seq, layer, &rows);		keys and values of new tokens
 *	tq_kv_attend(seq, layer, &call);		outputs of query tokens
 *
 * The first tokens (sinks) and the last (window) of a sequence stay in 16 bits; a page of keys and
 * values is coded when it has left the window whole. Sequences share pages after tq_kv_seq_fork() and
 * copy one only to write to it. All heads of a layer are appended and attended together; layers are
 * independent.
 *
 * Keys are scored in integers, as tq_score() does, and values are added in integers, so an output is
 * the same on every CPU backend and for every number of threads: docs/FORMAT.md section 8.
 *
 * Specs of keys and values may split the channels of a head into two groups, as tq/split.h does with rows:
 *
 *	split=0-7,16,40-63 bits=3 scale=bf16 / bits=2 scale=bf16
 *
 * The first spec is that of the channels listed, numbers and spans below key_dim or value_dim, each once; the second
 * that of the rest. Either is over preset=cache, has its own rotation, norm and levels, and takes what a spec of all
 * channels takes. tq_split_choose() finds the channels of most energy; overrides give each layer and head its own. A
 * score is the sum of both groups' scores, and each group's values are added on their own. Caches on devices are made
 * from row codecs and have no splits.
 *
 * Thread-safety: different sequences may be used by different threads at once, also forks of one
 * another. One sequence: any number of attends at once, or one of the other calls alone.
 */

#include <stddef.h>
#include <stdint.h>
#include "tq/context.h"
#include "tq/quantizer.h"

#ifdef __cplusplus
extern "C" {
#endif

struct tq_kv;
struct tq_kv_seq;

#define TQ_KV_MAX_DIM 1024

/** Where the vector comes from that is taken off keys before they are coded; exact under softmax. */
enum tq_kv_center {
	TQ_KV_CENTER_OFF = 0,
	TQ_KV_CENTER_GIVEN, /* options.centre */
	TQ_KV_CENTER_LEARN, /* mean of the first center_tokens keys behind the sinks, then frozen */
};

/** What options and overrides say of rows that are never coded. */
#define TQ_KV_RAW "raw"

/** The n-th layer or head from the end, in overrides: TQ_KV_LAST(1) is the last; n up to 1024. */
#define TQ_KV_LAST(n) (0u - (unsigned)(n))

/**
 * struct tq_kv_override - other specs for some layers and heads
 * @first_layer, @last_layer: inclusive; TQ_KV_LAST(n) counts from the end
 * @first_head, @last_head:   inclusive, KV heads; likewise
 * @key_spec, @value_spec:    a spec string, also a split, TQ_KV_RAW, or NULL to leave it
 */
struct tq_kv_override {
	uint32_t first_layer, last_layer;
	uint32_t first_head, last_head;
	const char *key_spec;
	const char *value_spec;
};

/**
 * struct tq_kv_options - what a cache holds; everything is copied
 * @struct_size:   sizeof(struct tq_kv_options)
 * @layers:        1..1024
 * @kv_heads:      1..1024
 * @query_heads:   a multiple of @kv_heads
 * @key_dim:       coded coordinates of a key, 1..TQ_KV_MAX_DIM
 * @key_raw_dim:   further coordinates of a key, kept in 16 bits (MLA: the 64 rotary ones); may be 0
 * @value_dim:     1..TQ_KV_MAX_DIM; 0: the coded coordinates of the key are the value too (MLA)
 * @key_spec:      spec string over the defaults of preset=cache, a split, TQ_KV_RAW, or NULL for preset=cache.
 *                 Its center key must be off: @center is what keys have instead. query=auto means s16
 * @value_spec:    likewise; corrections qjl:* are for keys alone. Ignored where @value_dim is 0
 * @overrides:     later ones win
 * @noverrides:    how many
 * @raw_type:      TQ_F16 or TQ_BF16: sinks, window, and what is never coded
 * @sinks:         first tokens of a sequence that stay in 16 bits
 * @window:        last tokens that stay in 16 bits, at least
 * @page_tokens:   tokens per page: a multiple of 16 up to 512; 0 for 128
 * @byte_limit:    most bytes of pages; 0 for no limit
 * @center:        enum tq_kv_center
 * @center_tokens: LEARN: how many keys; until a sequence has them nothing of it is coded
 * @centre:        GIVEN: layers x kv_heads x key_dim floats
 * @driver:        pin, as in struct tq_quantizer_options
 */
struct tq_kv_options {
	uint32_t struct_size;
	uint32_t layers;
	uint32_t kv_heads;
	uint32_t query_heads;
	uint32_t key_dim;
	uint32_t key_raw_dim;
	uint32_t value_dim;
	const char *key_spec;
	const char *value_spec;
	const struct tq_kv_override *overrides;
	size_t noverrides;
	uint32_t raw_type;
	uint32_t sinks;
	uint32_t window;
	uint32_t page_tokens;
	uint64_t byte_limit;
	uint32_t center;
	uint32_t center_tokens;
	const float *centre;
	const char *driver;
};

/**
 * tq_kv_options_init - one layer of one head of 128 coordinates, preset=cache, f16, pages of 128
 * @options: written whole
 */
TQ_API void tq_kv_options_init(struct tq_kv_options *options);

/**
 * tq_kv_profile_name - the names of the profiles that tq_kv_options_profile() knows
 * @ctx:   whose configuration
 * @index: 0, 1, ...
 *
 * The configuration's first (group "kv" of its files), then the library's own: kv8, kv4, kv3, kv2, and at the
 * bytes of the last three kv4-fine, kv3-fine, kv2-fine: closer, and slower where a backend lacks their codes.
 *
 * Return: the name, or NULL past the last one.
 */
TQ_API const char *tq_kv_profile_name(struct tq_context *ctx, unsigned index);

/**
 * tq_kv_options_profile - what a profile of the configuration says of a cache
 * @ctx:     must outlive the use of @options: strings and overrides stay its own
 * @name:    of a profile
 * @options: initialised. Specs, overrides, raw type, sinks, window, page and center become the
 *           profile's; shapes, byte_limit and driver stay
 *
 * Overrides that the shapes do not fit are found by tq_kv_create(). Thread-safe.
 *
 * Return: TQ_OK; TQ_ERR_ARG; TQ_ERR_CONFIG where there is no such profile.
 */
TQ_API int tq_kv_options_profile(struct tq_context *ctx, const char *name,
				 struct tq_kv_options *options);

/**
 * struct tq_kv_bytes - what tokens cost
 * @token:  bytes of one coded token, all layers and heads
 * @raw:    bytes of one token in 16 bits
 * @coded:  pages of codes of one sequence
 * @window: pages of 16-bit rows of one sequence
 * @total:  all sequences: coded + window
 * @plain:  what a cache of 16-bit values without pages would take
 */
struct tq_kv_bytes {
	uint64_t token;
	uint64_t raw;
	uint64_t coded;
	uint64_t window;
	uint64_t total;
	uint64_t plain;
};

/**
 * tq_kv_size - bytes of pages before anything is allocated
 * @ctx:       for the specs
 * @options:   as for tq_kv_create()
 * @tokens:    tokens per sequence
 * @sequences: sequences that share nothing
 * @bytes:     written
 *
 * Return: TQ_OK; as tq_kv_create(), but for memory.
 */
TQ_API int tq_kv_size(struct tq_context *ctx, const struct tq_kv_options *options, uint64_t tokens,
		      uint64_t sequences, struct tq_kv_bytes *bytes);

/**
 * tq_kv_create - make an empty cache
 * @ctx:     must outlive the cache
 * @options: what it holds
 * @kv:      receives the cache; release with tq_kv_destroy()
 *
 * Return: TQ_OK; TQ_ERR_ARG naming the member; TQ_ERR_SPEC; TQ_ERR_UNSUPPORTED; TQ_ERR_NONFINITE
 * (centre); TQ_ERR_NO_DRIVER; TQ_ERR_NOMEM.
 */
TQ_API int tq_kv_create(struct tq_context *ctx, const struct tq_kv_options *options,
			struct tq_kv **kv);

/** tq_kv_destroy - release a cache; its sequences must be gone. NULL is allowed */
TQ_API void tq_kv_destroy(struct tq_kv *kv);

/** tq_kv_used - bytes of pages in use. Thread-safe */
TQ_API uint64_t tq_kv_used(const struct tq_kv *kv);

/* ---- sequences ---- */

/**
 * tq_kv_seq_create - an empty sequence
 * @kv:  must outlive the sequence
 * @seq: receives it; release with tq_kv_seq_drop()
 *
 * Return: TQ_OK; TQ_ERR_ARG; TQ_ERR_NOMEM.
 */
TQ_API int tq_kv_seq_create(struct tq_kv *kv, struct tq_kv_seq **seq);

/**
 * tq_kv_seq_fork - a second sequence with the same tokens
 * @seq:  unchanged; its pages are shared until one side writes to them
 * @fork: receives the new sequence
 *
 * Return: TQ_OK; TQ_ERR_ARG; TQ_ERR_NOMEM.
 */
TQ_API int tq_kv_seq_fork(struct tq_kv_seq *seq, struct tq_kv_seq **fork);

/** tq_kv_seq_drop - release a sequence and the pages that only it has. NULL is allowed */
TQ_API void tq_kv_seq_drop(struct tq_kv_seq *seq);

/**
 * tq_kv_seq_tokens - one past the position of the last token of a layer; 0 where there is none
 * @layer: below options.layers, else the result is 0
 */
TQ_API uint64_t tq_kv_seq_tokens(const struct tq_kv_seq *seq, uint32_t layer);

/**
 * tq_kv_seq_rewind - forget the last tokens of every layer (speculative decoding)
 * @tokens: what remains: positions 0 .. @tokens - 1; layers that have no more stay as they are
 *
 * Return: TQ_OK; TQ_ERR_ARG; TQ_ERR_RANGE where those positions were trimmed away.
 */
TQ_API int tq_kv_seq_rewind(struct tq_kv_seq *seq, uint64_t tokens);

/**
 * tq_kv_seq_trim - forget tokens between the sinks and a position (a sliding context)
 * @position: tokens from options.sinks up to here go; later ones keep their positions
 *
 * Return: TQ_OK; TQ_ERR_ARG; TQ_ERR_RANGE past the end of a layer.
 */
TQ_API int tq_kv_seq_trim(struct tq_kv_seq *seq, uint64_t position);

/**
 * tq_kv_seq_save - write a sequence to a .tq file
 * @path: as tq_file_create()
 *
 * The file holds pages as they are, the centres, and the options that decide what they mean.
 *
 * Return: TQ_OK; TQ_ERR_ARG; TQ_ERR_IO; TQ_ERR_NOMEM.
 */
TQ_API int tq_kv_seq_save(const struct tq_kv_seq *seq, const char *path);

/**
 * tq_kv_seq_restore - read a sequence back; it continues bit for bit
 * @kv:   with the options that the saved one had, channels of splits too, but that effort, and corrections
 *        other than qjl:*, may differ (what comes is coded with the cache's own); centres not yet learned are
 *        taken from the file
 * @path: not trusted
 * @seq:  receives the sequence
 *
 * Return: TQ_OK; TQ_ERR_ARG; TQ_ERR_IO; TQ_ERR_FORMAT; TQ_ERR_CHECKSUM; TQ_ERR_VERSION;
 * TQ_ERR_UNSUPPORTED for a cache with other options or centres; TQ_ERR_FULL; TQ_ERR_NOMEM.
 */
TQ_API int tq_kv_seq_restore(struct tq_kv *kv, const char *path, struct tq_kv_seq **seq);

/**
 * tq_kv_seq_read - a token as the cache has it
 * @layer:    below options.layers
 * @head:     KV head
 * @position: of the token
 * @key:      receives key_dim + key_raw_dim floats, decoded, the centre added back
 * @value:    receives value_dim floats (key_dim where that is 0)
 * @coded:    receives whether it has been coded; may be NULL
 *
 * Return: TQ_OK; TQ_ERR_ARG; TQ_ERR_RANGE where there is no such token; TQ_ERR_NOMEM.
 */
TQ_API int tq_kv_seq_read(const struct tq_kv_seq *seq, uint32_t layer, uint32_t head,
			  uint64_t position, float *key, float *value, bool *coded);

/* ---- tokens ---- */

/**
 * struct tq_kv_rows - keys and values of new tokens of one layer
 * @struct_size:  sizeof(struct tq_kv_rows)
 * @tokens:       how many
 * @dtype:        enum tq_dtype of both
 * @keys:         token t, KV head h at keys + t * key_stride + h * (key_dim + key_raw_dim)
 * @key_stride:   between tokens, in elements
 * @values:       token t, KV head h at values + t * value_stride + h * value_dim; NULL where value_dim is 0
 * @value_stride: in elements
 */
struct tq_kv_rows {
	uint32_t struct_size;
	uint32_t tokens;
	int dtype;
	const void *keys;
	size_t key_stride;
	const void *values;
	size_t value_stride;
};

/**
 * tq_kv_append - add tokens at the end of a layer
 * @seq:   the sequence
 * @layer: below options.layers
 * @rows:  the tokens
 *
 * All or nothing: a failure leaves the tokens that were there, and the sequence can be used on.
 * May allocate; codes pages that have left the window.
 *
 * Return: TQ_OK; TQ_ERR_ARG; TQ_ERR_NONFINITE, TQ_ERR_RANGE (beyond f16) with the token in
 * tq_error_row(); TQ_ERR_FULL at options.byte_limit; TQ_ERR_NOMEM.
 */
TQ_API int tq_kv_append(struct tq_kv_seq *seq, uint32_t layer, const struct tq_kv_rows *rows);

/**
 * struct tq_kv_call - one attention call: all query heads of one layer
 * @struct_size: sizeof(struct tq_kv_call)
 * @tokens:      query tokens, at least 1
 * @position:    of the first query token. Causal: token i sees keys up to position + i
 * @dtype:       enum tq_dtype of @query and @out
 * @query:       token t, head g at query + t * query_stride + g * (key_dim + key_raw_dim)
 * @query_stride: in elements
 * @out:         token t, head g at out + t * out_stride + g * value_dim (key_dim where that is 0)
 * @out_stride:  in elements
 * @scale:       of logits; 0 for 1 / sqrt(key_dim + key_raw_dim)
 * @softcap:     logits become softcap * tanh(logit / softcap); 0 for none
 * @causal:      0: every key is seen
 * @window:      a query sees this many keys, its own position the last; 0 for all. Implies causal
 * @keep_sinks:  with @window: options.sinks stay visible
 * @sink_logits: one more logit per query head, without a value; NULL for none
 * @lse:         receives log(sum(exp(logits))), tokens x query_heads; NULL for none
 * @page_mass:   receives the attention mass on each page, summed over heads and query tokens;
 *               tq_kv_seq_pages() floats; NULL for none
 * @scratch:     tq_kv_attend_scratch() bytes, aligned to 64
 * @scratch_bytes: its size
 */
struct tq_kv_call {
	uint32_t struct_size;
	uint32_t tokens;
	uint64_t position;
	int dtype;
	const void *query;
	size_t query_stride;
	void *out;
	size_t out_stride;
	float scale;
	float softcap;
	int causal;
	uint64_t window;
	int keep_sinks;
	const float *sink_logits;
	float *lse;
	float *page_mass;
	void *scratch;
	size_t scratch_bytes;
};

/**
 * tq_kv_attend_scratch - bytes of scratch that an attend of this layer needs, for any number of query
 * tokens, while the sequence has at most @tokens tokens
 */
TQ_API size_t tq_kv_attend_scratch(const struct tq_kv_seq *seq, uint64_t tokens);

/** tq_kv_seq_pages - pages of a layer, in the order of tokens */
TQ_API size_t tq_kv_seq_pages(const struct tq_kv_seq *seq, uint32_t layer);

/**
 * tq_kv_attend - attention of query tokens over the tokens of a layer
 * @seq:   not changed
 * @layer: below options.layers
 * @call:  what to compute
 *
 * Allocates nothing and takes no lock. A query that sees no key gets zeros, and -infinity as lse.
 * Splits tokens at fixed places, so the result does not depend on threads.
 *
 * Return: TQ_OK; TQ_ERR_ARG; TQ_ERR_NONFINITE with the query token; TQ_ERR_RANGE: too little scratch.
 */
TQ_API int tq_kv_attend(const struct tq_kv_seq *seq, uint32_t layer,
			const struct tq_kv_call *call);

#ifdef __cplusplus
}
#endif
#endif
