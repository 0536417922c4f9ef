/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sequence of a KV cache to a .tq file.
 */

#include "kv.h"
#include "kv_file.h"
#include "tq/file.h"

static uint32_t codec_number(const struct tq_kv *kv, const struct tq_kv_part *part, uint32_t group)
{
	const struct tq_kv_codec *c;
	uint32_t n = 0;

	if (group >= part->groups)
		return TQ_KV_FILE_RAW;
	for (c = kv->codecs; c != part->group[group].codec; c = c->next)
		n++;
	return n;
}

static int write_header(const struct tq_kv *kv, struct tq_file_writer *w)
{
	struct tq_kv_file_header h = { .version = kv->split ? TQ_KV_FILE_SPLIT : TQ_KV_FILE_VERSION,
				       .layers = kv->o.layers,
				       .kv_heads = kv->o.kv_heads, .query_heads = kv->o.query_heads,
				       .key_dim = kv->o.key_dim, .key_raw_dim = kv->o.key_raw_dim,
				       .value_dim = kv->o.value_dim, .raw_type = kv->o.raw_type,
				       .sinks = kv->o.sinks, .window = kv->o.window,
				       .page_tokens = kv->o.page_tokens, .center = kv->o.center,
				       .center_tokens = kv->o.center_tokens };
	const struct tq_kv_codec *c;
	struct tq_kv_file_codec codec;
	int ret;

	for (c = kv->codecs; c; c = c->next)
		h.ncodecs++;
	ret = tq_file_section_write(w, &h, sizeof(h));
	for (c = kv->codecs; !ret && c; c = c->next) {
		memset(&codec, 0, sizeof(codec));
		codec.dim = tq_dim(c->q);
		codec.hash = tq_codebook_hash(c->q);
		ret = tq_spec_print(tq_quantizer_spec(c->q), codec.spec, sizeof(codec.spec));
		if (!ret)
			ret = tq_file_section_write(w, &codec, sizeof(codec));
	}
	return ret;
}

static int write_part(const struct tq_kv *kv, const struct tq_kv_part *part, struct tq_file_writer *w)
{
	uint32_t number[2] = { codec_number(kv, part, 0), codec_number(kv, part, 1) };
	int ret;

	ret = tq_file_section_write(w, number, (kv->split ? 2 : 1) * sizeof(number[0]));
	if (!ret && part->order)
		ret = tq_file_section_write(w, part->order, part->group[1].first * sizeof(*part->order));
	return ret;
}

static int write_heads(const struct tq_kv *kv, struct tq_file_writer *w)
{
	const struct tq_kv_head *head;
	int ret = TQ_OK;
	uint32_t i, h;

	for (i = 0; i < kv->o.layers; i++) {
		for (h = 0; !ret && h < kv->o.kv_heads; h++) {
			head = &kv->layers[i].heads[h];
			ret = write_part(kv, &head->key, w);
			if (!ret)
				ret = write_part(kv, &head->value, w);
		}
	}
	return ret;
}

static int write_layer(const struct tq_kv_seq *seq, uint32_t layer, struct tq_file_writer *w)
{
	const struct tq_kv_layer *l = &seq->kv->layers[layer];
	const struct tq_kv_run *run = &seq->runs[layer];
	struct tq_kv_file_layer head = { .tokens = run->tokens, .nentries = (uint32_t)run->nentries,
					 .centred = l->centre && atomic_load(&l->centred) };
	struct tq_kv_file_entry e = { 0 };
	size_t i;
	int ret;

	ret = tq_file_section_write(w, &head, sizeof(head));
	if (!ret && head.centred)
		ret = tq_file_section_write(w, l->centre, (size_t)seq->kv->o.kv_heads * seq->kv->o.key_dim *
								  sizeof(float));
	for (i = 0; !ret && i < run->nentries; i++) {
		e.start = run->entries[i].start;
		e.offset = run->entries[i].offset;
		e.count = run->entries[i].count;
		e.coded = run->entries[i].page->coded;
		ret = tq_file_section_write(w, &e, sizeof(e));
	}
	for (i = 0; !ret && i < run->nentries; i++)
		ret = tq_file_section_write(w, run->entries[i].page->data, run->entries[i].page->bytes);
	return ret;
}

int tq_kv_seq_save(const struct tq_kv_seq *seq, const char *path)
{
	struct tq_file_writer *w;
	uint32_t i;
	int ret;

	if (!seq || !path)
		return tq_fail(TQ_ERR_ARG, "%s is NULL", seq ? "path" : "seq");
	ret = tq_file_create(seq->kv->ctx, path, seq->kv->base->q, &w);
	if (ret)
		return ret;
	ret = tq_file_section_begin(w, TQ_SECTION_KV, 0);
	if (!ret)
		ret = write_header(seq->kv, w);
	if (!ret)
		ret = write_heads(seq->kv, w);
	for (i = 0; !ret && i < seq->kv->o.layers; i++)
		ret = write_layer(seq, i, w);
	if (ret) {
		tq_file_abort(w);
		return ret;
	}
	return tq_file_commit(w);
}
