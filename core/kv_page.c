/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pages of a KV cache: fixed sizes, counted references, one budget of bytes.
 */

#include "kv.h"

static int reserve(struct tq_kv *kv, size_t bytes, size_t credit)
{
	uint64_t used = atomic_load(&kv->used);

	do {
		if (kv->o.byte_limit && used - credit + bytes > kv->o.byte_limit)
			return tq_fail(TQ_ERR_FULL, "a page of %zu bytes exceeds byte_limit %llu: %llu are in use",
				       bytes, (unsigned long long)kv->o.byte_limit,
				       (unsigned long long)used);
	} while (!atomic_compare_exchange_weak(&kv->used, &used, used + bytes));
	return TQ_OK;
}

int tq_kv_page_new(struct tq_kv *kv, uint32_t layer, bool coded, size_t credit,
		   struct tq_kv_page **page)
{
	size_t bytes = coded ? kv->layers[layer].coded_bytes : kv->raw_bytes;
	struct tq_kv_page *p;
	int ret;

	ret = reserve(kv, bytes, credit);
	if (ret)
		return ret;
	p = tq_kv_slab_take(kv, bytes);
	if (!p) {
		atomic_fetch_sub(&kv->used, bytes);
		return TQ_ERR_NOMEM;
	}
	atomic_init(&p->refs, 1);
	p->coded = coded;
	p->bytes = bytes;
	*page = p;
	return TQ_OK;
}

void tq_kv_page_get(struct tq_kv_page *page)
{
	atomic_fetch_add_explicit(&page->refs, 1, memory_order_relaxed);
}

void tq_kv_page_put(struct tq_kv *kv, struct tq_kv_page *page)
{
	if (atomic_fetch_sub_explicit(&page->refs, 1, memory_order_acq_rel) != 1)
		return;
	atomic_fetch_sub(&kv->used, page->bytes);
	tq_kv_slab_give(kv, page);
}

uint16_t *tq_kv_raw_key(const struct tq_kv *kv, struct tq_kv_page *page, uint32_t head,
			size_t *stride)
{
	*stride = kv->key_width;
	return (uint16_t *)(void *)page->data +
	       (size_t)head * kv->o.page_tokens * kv->key_width;
}

uint16_t *tq_kv_raw_value(const struct tq_kv *kv, struct tq_kv_page *page, uint32_t head,
			  size_t *stride)
{
	if (!kv->o.value_dim)
		return tq_kv_raw_key(kv, page, head, stride);
	*stride = kv->o.value_dim;
	return (uint16_t *)(void *)page->data +
	       (size_t)kv->o.page_tokens * (kv->o.kv_heads * (size_t)kv->key_width +
					    head * (size_t)kv->o.value_dim);
}
