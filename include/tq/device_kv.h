/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_DEVICE_KV_H
#define TQ_DEVICE_KV_H

/*
 * Attention over a paged KV cache of codes in a device's memory, in the manner of tq/device.h: the caller's
 * pointers and stream, no allocation, no waiting, may be recorded into a CUDA graph.
 *
 *	struct tq_device_kv_options o = { sizeof(o), .kv_heads = 8, .query_heads = 32, .page_tokens = 64 };
 *	tq_device_kv_create(keys, values, queue, &o, &kv);	from two codecs
 *	tq_kv_append_async(kv, queue, &rows);			codes of new tokens into pages
 *	tq_kv_attend_async(kv, queue, &call);			outputs of query tokens
 *
 * Pages, page tables and lengths are the engine's: one allocation of any number of pages of
 * tq_device_kv_page_size() bytes per layer, a table of page numbers per sequence, slots of new tokens.
 * A page holds all KV heads of page_tokens tokens.
 *
 * The first tokens of a sequence (sinks) and the last (recent) may stay in 16 bits beside: the engine gives each
 * sequence an area of tq_device_kv_raw_size() bytes of rows. A token that is appended goes to its slot and to its
 * place of the area in one call. Its codes are those that it would have later, so that no token has to be coded when
 * others have made it an old one: an attention call takes from each store what its options say.
 *
 * Keys and values: any multiple of 8 coordinates up to 256 and 1 to 8 bits of either, or trellis codes of 1 to 4; no centre
 * or sketch in the codes, no fractions of a bit. Pages have room for the next multiple of 32 coordinates, and calls take as
 * long as with so many. Fastest: 8 bits of both; up to 4, values no more than keys, at 64, 96, 128 or 256 coordinates of
 * both. Trellis codes take about twice their time, and five times that of append. Keys may be coded less a
 * vector per head (@centre of rows and calls): exact under softmax.
 *
 * MLA, where a key's codes are the value too: 512 coordinates, and 64 more of the key in 16 bits, 2 to 4 bits; no trellis.
 * Sixteen query rows (heads times query tokens) share a pass over the pages.
 *
 * Outputs are those of attention in exact arithmetic over the decoded rows to 1e-3, and the same bits for
 * the same number of splits.
 */

#include <stddef.h>
#include <stdint.h>
#include "tq/status.h"

#ifdef __cplusplus
extern "C" {
#endif

struct tq_queue;
struct tq_device_codec;
struct tq_device_kv;

/**
 * struct tq_device_kv_options - the shape of a layer
 * @struct_size: sizeof(struct tq_device_kv_options)
 * @kv_heads:    1..1024
 * @query_heads: a multiple of @kv_heads
 * @page_tokens: tokens per page: a power of two, 32..4096
 * @key_raw_dim: further coordinates of a key, kept in 16 bits (MLA: the 64 rotary ones); else 0
 * @raw_type:    TQ_F16 or TQ_BF16, of all that is in 16 bits; not looked at where nothing is
 * @sinks:       first tokens of a sequence that are attended in 16 bits, up to 65536; 0 for MLA
 * @recent:      last tokens that are, likewise
 * @ring:        places for these, @recent at least: as many more as tokens are ever taken back; 0 for @recent
 */
struct tq_device_kv_options {
	uint32_t struct_size;
	uint32_t kv_heads;
	uint32_t query_heads;
	uint32_t page_tokens;
	uint32_t key_raw_dim;
	uint32_t raw_type;
	uint32_t sinks;
	uint32_t recent;
	uint32_t ring;
};

/**
 * tq_device_kv_create - the layout of pages for two codecs, tested on the device
 * @keys, @values: must outlive @kv; of one device. @values may be NULL: the coded coordinates of a
 *           key are the value too (MLA)
 * @queue:   whose device; the test waits for it: not while a graph is being recorded
 * @options: the shape
 * @kv:      receives it; release with tq_device_kv_destroy()
 *
 * The test appends tokens, attends to them, and compares with attention over scalar's decoded rows.
 *
 * Return: TQ_OK; TQ_ERR_ARG; TQ_ERR_UNSUPPORTED with the reason; TQ_ERR_SELFTEST; TQ_ERR_DEVICE;
 * TQ_ERR_NOMEM.
 */
TQ_API int tq_device_kv_create(const struct tq_device_codec *keys,
			       const struct tq_device_codec *values, struct tq_queue *queue,
			       const struct tq_device_kv_options *options, struct tq_device_kv **kv);

/** tq_device_kv_destroy - nothing of it may be under way; NULL is allowed */
TQ_API void tq_device_kv_destroy(struct tq_device_kv *kv);

/** tq_device_kv_page_size - bytes of a page: a multiple of 128 */
TQ_API size_t tq_device_kv_page_size(const struct tq_device_kv *kv);

/**
 * tq_device_kv_raw_size - bytes of a sequence's area of 16-bit rows; 0 where there are none
 *
 * An area has @sinks + @ring places. The token at position p belongs to place p below @sinks, else to
 * sinks + (p - sinks) % ring. A place has the keys of all KV heads, then the values.
 */
TQ_API size_t tq_device_kv_raw_size(const struct tq_device_kv *kv);

/**
 * struct tq_device_kv_rows - new tokens, of any sequences
 * @struct_size:  sizeof(struct tq_device_kv_rows)
 * @tokens:       how many
 * @dtype:        enum tq_dtype of both
 * @keys:         token t, KV head h at keys + t * key_stride + h * (dim + key_raw_dim), the coded coordinates first
 * @key_stride:   between tokens, in elements
 * @values:       likewise, but of as many coordinates as values have; not looked at where keys are the values
 * @value_stride: in elements
 * @slots:        device memory: token t goes to place slots[t] % page_tokens of page slots[t] / page_tokens;
 *                nowhere if negative. Two tokens of one call must not have the same slot
 * @pages:        device memory, aligned to 16; need not be cleared first
 * @centre:       device memory, taken off keys before they are coded: kv_heads x dim floats; NULL for none
 * @raw_slots:    device memory: token t's 16-bit row goes to place raw_slots[t] of @raw, areas one after another;
 *                nowhere if negative, as tokens have to that others of the call push out of the ring.
 *                NULL where options have no sinks and no recent tokens
 * @raw:          device memory, aligned to 16: areas of sequences; likewise
 */
struct tq_device_kv_rows {
	uint32_t struct_size;
	uint32_t tokens;
	int dtype;
	const void *keys;
	size_t key_stride;
	const void *values;
	size_t value_stride;
	const int64_t *slots;
	void *pages;
	const float *centre;
	const int64_t *raw_slots;
	void *raw;
};

/**
 * tq_kv_append_async - code new tokens into their pages
 *
 * As tq_encode_async(): the same codes, and no check for NaN and infinity.
 *
 * Return: TQ_OK; TQ_ERR_ARG; TQ_ERR_DEVICE.
 */
TQ_API int tq_kv_append_async(const struct tq_device_kv *kv, struct tq_queue *queue,
			      const struct tq_device_kv_rows *rows);

/**
 * struct tq_device_kv_call - one attention call: all query heads of a layer, several sequences
 * @struct_size:  sizeof(struct tq_device_kv_call)
 * @sequences:    how many
 * @tokens:       query tokens of each sequence: the last ones of its length; token i sees what lies before
 *                it and itself
 * @max_tokens:   no sequence is longer; decides with @sequences how work is split if @splits is 0
 * @splits:       blocks per sequence, KV head and four query rows, 1..512; 0 to choose
 * @window:       a query sees this many keys, its own position the last; 0 for all
 * @dtype:        enum tq_dtype of @query and @out
 * @scale:        of logits; 0 for 1 / sqrt(dim + key_raw_dim)
 * @softcap:      logits become softcap * tanh(logit / softcap); 0 for none
 * @keep_sinks:   with @window: options.sinks stay visible
 * @centre:       that of the rows; NULL for none
 * @sink_logits:  device memory: one more logit per query head, without a value; NULL for none
 * @query:        sequence s, token t, head g at query + (s * tokens + t) * query_stride + g * (dim + key_raw_dim)
 * @query_stride: in elements
 * @out:          likewise, but of as many coordinates as values have
 * @out_stride:   in elements
 * @lse:          receives log(sum(exp(logits))), the sink's among them, sequences x tokens x query_heads floats;
 *                NULL for none
 * @pages:        as in struct tq_device_kv_rows
 * @table:        device memory: sequence s's pages in the order of tokens at table + s * table_stride
 * @table_stride: in entries
 * @lengths:      device memory: tokens of each sequence, those of the query included
 * @raw:          as in struct tq_device_kv_rows
 * @areas:        device memory: sequence s has area areas[s] of @raw; NULL where there are none
 * @page_mass:    device memory, receives the attention mass on each page, all query heads and tokens added up, sink
 *                logits left out: that of page p of sequence s at page_mass + s * table_stride + p, as many as
 *                @max_tokens need. NULL for none
 * @scratch:      device memory, tq_kv_attend_async_scratch() bytes, aligned to 256
 */
struct tq_device_kv_call {
	uint32_t struct_size;
	uint32_t sequences;
	uint32_t tokens;
	uint32_t max_tokens;
	uint32_t splits;
	uint32_t window;
	int dtype;
	float scale;
	float softcap;
	int keep_sinks;
	const float *centre;
	const float *sink_logits;
	const void *query;
	size_t query_stride;
	void *out;
	size_t out_stride;
	float *lse;
	const void *pages;
	const uint32_t *table;
	size_t table_stride;
	const uint32_t *lengths;
	const void *raw;
	const uint32_t *areas;
	float *page_mass;
	void *scratch;
};

/**
 * tq_kv_attend_async_scratch - bytes of device memory that tq_kv_attend_async() needs
 * @call: of its pointers no more is looked at than whether page_mass is NULL
 *
 * Return: bytes; 0 for a call that would be refused.
 */
TQ_API size_t tq_kv_attend_async_scratch(const struct tq_device_kv *kv,
					 const struct tq_device_kv_call *call);

/**
 * tq_kv_attend_async - attention of the last tokens of sequences over all of them
 *
 * A query that sees no key gets zeros, and -infinity or its sink logit as lse. Made for few query tokens: four rows (query
 * tokens times query heads per KV head) share a pass over the pages.
 *
 * Return: TQ_OK; TQ_ERR_ARG; TQ_ERR_DEVICE.
 */
TQ_API int tq_kv_attend_async(const struct tq_device_kv *kv, struct tq_queue *queue,
			      const struct tq_device_kv_call *call);

#ifdef __cplusplus
}
#endif
#endif
