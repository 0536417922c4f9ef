/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One token of a KV cache, as the cache has it.
 */

#include "kv.h"

static void load_raw(const struct tq_kv *kv, const uint16_t *from, size_t n, float *to)
{
	size_t i;

	for (i = 0; i < n; i++)
		to[i] = tq_load_element(from, (int)kv->o.raw_type, i);
}

static int load_part(const struct tq_kv *kv, const struct tq_kv_part *part, const unsigned char *rows,
		     uint32_t row, float *to)
{
	float x[TQ_KV_MAX_DIM], *own = part->order ? x : to;
	const struct tq_kv_group *g;
	int ret = TQ_OK;
	uint32_t i;

	if (!part->groups)
		load_raw(kv, (const uint16_t *)(const void *)rows + (size_t)row * part->dim, part->dim, to);
	for (g = part->group; !ret && g < part->group + part->groups; g++)
		ret = tq_decode(g->codec->q, rows + g->at + row * g->row_bytes, 1, own + g->first, part->dim);
	for (i = 0; !ret && part->order && i < part->dim; i++)
		to[part->order[i]] = own[i];
	return ret;
}

static int read_coded(const struct tq_kv *kv, uint32_t layer, uint32_t head, const struct tq_kv_page *page,
		      uint32_t row, float *key, float *value)
{
	const struct tq_kv_layer *l = &kv->layers[layer];
	const struct tq_kv_head *h = &l->heads[head];
	size_t i, d = kv->o.key_dim;
	int ret;

	ret = load_part(kv, &h->key, page->data + h->key_at, row, key);
	for (i = 0; h->key.groups && l->centre && i < d; i++)
		key[i] = key[i] + l->centre[head * d + i];
	load_raw(kv, (const uint16_t *)(const void *)(page->data + h->tail_at) + (size_t)row * kv->o.key_raw_dim,
		 kv->o.key_raw_dim, key + d);
	if (!kv->o.value_dim)
		memcpy(value, key, d * sizeof(*value));
	else if (!ret)
		ret = load_part(kv, &h->value, page->data + h->value_at, row, value);
	return ret;
}

static const struct tq_kv_entry *find(const struct tq_kv_run *run, uint64_t position)
{
	size_t low = 0, high = run->nentries, middle;

	while (low < high) {
		middle = (low + high) / 2;
		if (tq_kv_end(&run->entries[middle]) <= position)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == run->nentries || run->entries[low].start > position)
		return NULL;
	return &run->entries[low];
}

int tq_kv_seq_read(const struct tq_kv_seq *seq, uint32_t layer, uint32_t head, uint64_t position,
		   float *key, float *value, bool *coded)
{
	const struct tq_kv_entry *e;
	const struct tq_kv *kv;
	size_t stride;
	uint32_t row;

	if (!seq || !key || !value)
		return tq_fail(TQ_ERR_ARG, "%s is NULL", !seq ? "seq" : !key ? "key" : "value");
	kv = seq->kv;
	if (layer >= kv->o.layers || head >= kv->o.kv_heads)
		return tq_fail(TQ_ERR_ARG, "layer %u of %u, head %u of %u", layer, kv->o.layers, head,
			       kv->o.kv_heads);
	e = find(&seq->runs[layer], position);
	if (!e)
		return tq_fail(TQ_ERR_RANGE, "position: layer %u has no token %llu", layer,
			       (unsigned long long)position);
	row = e->offset + (uint32_t)(position - e->start);
	if (coded)
		*coded = e->page->coded;
	if (e->page->coded)
		return read_coded(kv, layer, head, e->page, row, key, value);
	load_raw(kv, tq_kv_raw_key(kv, e->page, head, &stride) + row * (size_t)kv->key_width, kv->key_width,
		 key);
	load_raw(kv, tq_kv_raw_value(kv, e->page, head, &stride) + row * (kv->o.value_dim ? kv->o.value_dim :
									  (size_t)kv->key_width),
		 kv->out_dim, value);
	return TQ_OK;
}
