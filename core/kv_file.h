/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_CORE_KV_FILE_H
#define TQ_CORE_KV_FILE_H

/*
 * The kv section of a .tq file, docs/FORMAT.md section 9: this header, the codecs, which codec each head
 * has, then for each layer its centre, its entries and their pages.
 */

#include <stdint.h>

#define TQ_KV_FILE_VERSION 1
/* Where some keys or values are split: each names a second codec, and the first's channels. */
#define TQ_KV_FILE_SPLIT 2
/* Number of a head's codec where its rows stay in 16 bits. */
#define TQ_KV_FILE_RAW UINT32_MAX

struct tq_kv_file_header {
	uint32_t version;
	uint32_t layers, kv_heads, query_heads;
	uint32_t key_dim, key_raw_dim, value_dim;
	uint32_t raw_type, sinks, window, page_tokens, center, center_tokens;
	uint32_t ncodecs;
};

struct tq_kv_file_codec {
	uint32_t dim;
	uint32_t hash;
	char spec[256]; /* zero-padded */
};

struct tq_kv_file_layer {
	uint64_t tokens;
	uint32_t nentries;
	uint32_t centred;
};

struct tq_kv_file_entry {
	uint64_t start;
	uint32_t offset, count;
	uint32_t coded, zero;
};

struct tq_kv;
struct tq_kv_seq;

/** tq_kv_section_read - a sequence from the bytes of a kv section, not trusted; @path for error texts */
int tq_kv_section_read(struct tq_kv *kv, const char *path, const void *data, uint64_t bytes,
		       struct tq_kv_seq **out);

#endif
