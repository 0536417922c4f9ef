/* SPDX-License-Identifier: Apache-2.0 */
/* Attention over a paged KV cache in device memory: arguments are checked and handed to the driver. */

#include <math.h>
#include "args.h"
#include "device_codec.h"
#include "selftest.h"
#include "tq/device_kv.h"

#define HEADS_MAX 1024
#define PAGE_MIN 32
#define PAGE_MAX 4096
#define SPLITS_MAX 512
#define RAW_MAX 65536
/* Blocks of a launch */
#define BLOCKS_MAX INT32_MAX

/**
 * struct tq_device_kv - two codecs and a shape
 * @values: NULL where the keys are the values too
 * @page: bytes of a page
 */
struct tq_device_kv {
	const struct tq_device_codec *keys, *values;
	struct tq_device_kv_options o;
	size_t page;
};

static int check_options(const struct tq_device_kv_options *o)
{
	if (o->struct_size != sizeof(*o))
		return tq_fail(TQ_ERR_ARG, "options.struct_size: %u, expected %zu", o->struct_size, sizeof(*o));
	if (o->kv_heads < 1 || o->kv_heads > HEADS_MAX)
		return tq_fail(TQ_ERR_ARG, "options.kv_heads: %u is not in 1..%d", o->kv_heads, HEADS_MAX);
	if (o->query_heads < 1 || o->query_heads % o->kv_heads)
		return tq_fail(TQ_ERR_ARG, "options.query_heads: %u is no multiple of kv_heads, %u", o->query_heads,
			       o->kv_heads);
	if (o->query_heads > 64 * HEADS_MAX)
		return tq_fail(TQ_ERR_ARG, "options.query_heads: %u are more than %d", o->query_heads, 64 * HEADS_MAX);
	if (o->page_tokens < PAGE_MIN || o->page_tokens > PAGE_MAX || (o->page_tokens & (o->page_tokens - 1)))
		return tq_fail(TQ_ERR_ARG, "options.page_tokens: %u is no power of two in %d..%d", o->page_tokens,
			       PAGE_MIN, PAGE_MAX);
	if (o->sinks > RAW_MAX || o->recent > RAW_MAX)
		return tq_fail(TQ_ERR_ARG, "options.%s: more than %d", o->sinks > RAW_MAX ? "sinks" : "recent", RAW_MAX);
	if (o->ring > 2 * RAW_MAX || (o->ring && o->ring < o->recent))
		return tq_fail(TQ_ERR_ARG, "options.ring: %u is not in %u..%d", o->ring, o->recent, 2 * RAW_MAX);
	if ((o->key_raw_dim || o->sinks || o->recent) && o->raw_type != TQ_F16 && o->raw_type != TQ_BF16)
		return tq_fail(TQ_ERR_ARG, "options.raw_type: %u is neither TQ_F16 nor TQ_BF16", o->raw_type);
	return TQ_OK;
}

static void *value_state(const struct tq_device_kv *kv)
{
	return kv->values ? kv->values->state : NULL;
}

/* Coordinates of a key and of a value */
static uint32_t key_width(const struct tq_device_kv *kv)
{
	return kv->keys->plan->dim + kv->o.key_raw_dim;
}

static uint32_t value_dim(const struct tq_device_kv *kv)
{
	return (kv->values ? kv->values : kv->keys)->plan->dim;
}

static int open_kv(struct tq_device_kv *kv, struct tq_queue *queue)
{
	const struct tq_device_codec *k = kv->keys, *v = kv->values;
	char why[TQ_REASON_MAX] = "";
	int ret;

	if (!k->ops->kv_page)
		return tq_fail(TQ_ERR_UNSUPPORTED, "tq_device_kv_create: the device's driver has no attention");
	tq_note(NULL);
	if (v && kv->o.key_raw_dim)
		return tq_fail(TQ_ERR_UNSUPPORTED, "options.key_raw_dim: %u: only for keys that are the values too (values: NULL)",
			       kv->o.key_raw_dim);
	if (!v && (kv->o.sinks || kv->o.recent))
		return tq_fail(TQ_ERR_UNSUPPORTED, "options.sinks, options.recent: not for keys that are the values too");
	kv->page = k->ops->kv_page(k->state, value_state(kv), &kv->o);
	if (!kv->page)
		return tq_fail(TQ_ERR_UNSUPPORTED, "tq_device_kv_create: %s",
			       tq_noted(tq_status_text(TQ_ERR_UNSUPPORTED)));
	pthread_mutex_lock(&k->ctx->registry->lock);
	ret = v ? tq_gate_device_kv(k, v, tq_queue_where(queue), why, sizeof(why)) :
		  tq_gate_device_mla(k, &kv->o, tq_queue_where(queue), why, sizeof(why));
	if (ret == TQ_ERR_SELFTEST && tq_entry_pass(k->entry, ret, why))
		ret = TQ_ERR_NOMEM;
	pthread_mutex_unlock(&k->ctx->registry->lock);
	return ret ? tq_fail(ret, "tq_device_kv_create: %s", *why ? why : tq_status_text(ret)) : TQ_OK;
}

int tq_device_kv_create(const struct tq_device_codec *keys, const struct tq_device_codec *values,
			struct tq_queue *queue, const struct tq_device_kv_options *options,
			struct tq_device_kv **kv)
{
	struct tq_device_kv *made;
	int ret;

	TQ_CHECK_POINTER(keys);
	TQ_CHECK_POINTER(queue);
	TQ_CHECK_POINTER(options);
	TQ_CHECK_POINTER(kv);
	*kv = NULL;
	ret = check_options(options);
	if (!ret)
		ret = tq_device_place(keys, queue);
	if (ret)
		return ret;
	if (values && (keys->ctx != values->ctx || keys->ops != values->ops || keys->device != values->device))
		return tq_fail(TQ_ERR_ARG, "values: of another context, driver or device than keys");
	made = tq_alloc(keys->ctx, sizeof(*made));
	if (!made)
		return TQ_ERR_NOMEM;
	*made = (struct tq_device_kv){ .keys = keys, .values = values, .o = *options };
	if (!made->o.ring)
		made->o.ring = made->o.recent;
	ret = open_kv(made, queue);
	if (ret) {
		tq_free(keys->ctx, made);
		return ret;
	}
	*kv = made;
	return TQ_OK;
}

void tq_device_kv_destroy(struct tq_device_kv *kv)
{
	if (kv)
		tq_free(kv->keys->ctx, kv);
}

size_t tq_device_kv_page_size(const struct tq_device_kv *kv)
{
	return kv->page;
}

static bool has_raw(const struct tq_device_kv *kv)
{
	return kv->o.sinks || kv->o.recent;
}

size_t tq_device_kv_raw_size(const struct tq_device_kv *kv)
{
	size_t row = (size_t)kv->keys->plan->dim + value_dim(kv);

	return has_raw(kv) ? ((size_t)kv->o.sinks + kv->o.ring) * kv->o.kv_heads * row * sizeof(uint16_t) : 0;
}

/* ---- calls ---- */

static int check_place(const struct tq_device_kv *kv, const struct tq_queue *queue)
{
	TQ_CHECK_POINTER(kv);
	return tq_device_place(kv->keys, queue);
}

/* @heads rows of a token side by side, tokens @stride elements apart */
static int check_tokens(const char *name, const void *x, const char *stride_name, size_t stride, size_t heads,
			uint32_t dim, size_t n, int dtype)
{
	size_t element = tq_dtype_size(dtype);

	if (!element)
		return tq_fail(TQ_ERR_ARG, "dtype: %d is none", dtype);
	if (!x)
		return tq_fail(TQ_ERR_ARG, "%s is NULL", name);
	if ((uintptr_t)x % element)
		return tq_fail(TQ_ERR_ARG, "%s: not aligned to its elements", name);
	if (stride < heads * dim)
		return tq_fail(TQ_ERR_ARG, "%s: %zu is less than %zu heads of %u", stride_name, stride, heads, dim);
	if (stride > PTRDIFF_MAX / element || n > PTRDIFF_MAX / (stride * element))
		return tq_fail(TQ_ERR_ARG, "%s: %zu tokens of %zu exceed memory", stride_name, n, stride);
	return TQ_OK;
}

static int check_memory(const char *name, const void *p, size_t align)
{
	if (!p)
		return tq_fail(TQ_ERR_ARG, "%s is NULL", name);
	if ((uintptr_t)p % align)
		return tq_fail(TQ_ERR_ARG, "%s: not aligned to %zu bytes", name, align);
	return TQ_OK;
}

int tq_kv_append_async(const struct tq_device_kv *kv, struct tq_queue *queue,
		       const struct tq_device_kv_rows *rows)
{
	int ret = check_place(kv, queue);

	if (ret)
		return ret;
	TQ_CHECK_POINTER(rows);
	if (rows->struct_size != sizeof(*rows))
		return tq_fail(TQ_ERR_ARG, "rows.struct_size: %u, expected %zu", rows->struct_size, sizeof(*rows));
	if (rows->tokens == 0)
		return TQ_OK;
	if (rows->tokens > BLOCKS_MAX / 2 / kv->o.kv_heads)
		return tq_fail(TQ_ERR_ARG, "rows.tokens: %u are more than %u", rows->tokens,
			       (unsigned)(BLOCKS_MAX / 2 / kv->o.kv_heads));
	ret = check_tokens("rows.keys", rows->keys, "rows.key_stride", rows->key_stride, kv->o.kv_heads,
			   key_width(kv), rows->tokens, rows->dtype);
	if (!ret && kv->values)
		ret = check_tokens("rows.values", rows->values, "rows.value_stride", rows->value_stride,
				   kv->o.kv_heads, kv->values->plan->dim, rows->tokens, rows->dtype);
	if (!ret)
		ret = check_memory("rows.slots", rows->slots, sizeof(*rows->slots));
	if (!ret)
		ret = check_memory("rows.pages", rows->pages, 16);
	if (!ret && rows->centre)
		ret = check_memory("rows.centre", rows->centre, sizeof(*rows->centre));
	if (!ret && has_raw(kv))
		ret = check_memory("rows.raw_slots", rows->raw_slots, sizeof(*rows->raw_slots));
	if (!ret && has_raw(kv))
		ret = check_memory("rows.raw", rows->raw, 16);
	if (ret)
		return ret;
	TQ_DEVICE_RUN("tq_kv_append_async", kv->keys->ops->kv_append(kv->keys->state, value_state(kv),
								     tq_queue_where(queue), &kv->o, rows));
	return TQ_OK;
}

/* What decides the scratch */
static int check_shape(const struct tq_device_kv *kv, const struct tq_device_kv_call *call)
{
	uint64_t rows, units, raw = ((uint64_t)kv->o.sinks + kv->o.recent) / 32 + 5, splits = !call->splits ? SPLITS_MAX : call->splits > 4 ? call->splits : 4;

	if (call->struct_size != sizeof(*call))
		return tq_fail(TQ_ERR_ARG, "call.struct_size: %u, expected %zu", call->struct_size, sizeof(*call));
	if (call->tokens == 0)
		return tq_fail(TQ_ERR_ARG, "call.tokens: 0");
	if (call->splits > SPLITS_MAX)
		return tq_fail(TQ_ERR_ARG, "call.splits: %u is not in 0..%d", call->splits, SPLITS_MAX);
	if (call->sequences > BLOCKS_MAX || call->tokens > BLOCKS_MAX / 65536)
		return tq_fail(TQ_ERR_ARG, "call.%s are too many", call->tokens > BLOCKS_MAX / 65536 ? "tokens" : "sequences");
	rows = (uint64_t)call->tokens * (kv->o.query_heads / kv->o.kv_heads);
	units = (kv->values ? (rows + 3) / 4 : (rows + 15) / 16 * 4) * kv->o.kv_heads;
	splits = splits > raw ? splits : raw;
	if (call->page_mass && (uint64_t)call->sequences * (call->max_tokens / kv->o.page_tokens + 1) > BLOCKS_MAX)
		return tq_fail(TQ_ERR_ARG, "call.page_mass: %u sequences of %u tokens have too many pages", call->sequences,
			       call->max_tokens);
	if (call->sequences && units * splits > (uint64_t)BLOCKS_MAX / call->sequences)
		return tq_fail(TQ_ERR_ARG, "call.sequences: %u of %u query tokens are too many for one call",
			       call->sequences, call->tokens);
	return TQ_OK;
}

size_t tq_kv_attend_async_scratch(const struct tq_device_kv *kv, const struct tq_device_kv_call *call)
{
	if (!kv || !call || check_shape(kv, call))
		return 0;
	return kv->keys->ops->kv_scratch(kv->keys->state, value_state(kv), &kv->o, call);
}

int tq_kv_attend_async(const struct tq_device_kv *kv, struct tq_queue *queue,
		       const struct tq_device_kv_call *call)
{
	int ret = check_place(kv, queue);
	size_t n;

	if (ret)
		return ret;
	TQ_CHECK_POINTER(call);
	ret = check_shape(kv, call);
	if (ret || call->sequences == 0)
		return ret;
	if (!isfinite(call->scale) || call->scale < 0.0f)
		return tq_fail(TQ_ERR_ARG, "call.scale: %g is not positive", (double)call->scale);
	if (!isfinite(call->softcap) || call->softcap < 0.0f)
		return tq_fail(TQ_ERR_ARG, "call.softcap: %g is not positive", (double)call->softcap);
	n = (size_t)call->sequences * call->tokens;
	ret = check_tokens("call.query", call->query, "call.query_stride", call->query_stride, kv->o.query_heads,
			   key_width(kv), n, call->dtype);
	if (!ret)
		ret = check_tokens("call.out", call->out, "call.out_stride", call->out_stride, kv->o.query_heads,
				   value_dim(kv), n, call->dtype);
	if (!ret)
		ret = check_memory("call.pages", call->pages, 16);
	if (!ret)
		ret = check_memory("call.table", call->table, sizeof(*call->table));
	if (!ret)
		ret = check_memory("call.lengths", call->lengths, sizeof(*call->lengths));
	if (!ret)
		ret = check_memory("call.scratch", call->scratch, 256);
	if (!ret && call->centre)
		ret = check_memory("call.centre", call->centre, sizeof(*call->centre));
	if (!ret && has_raw(kv))
		ret = check_memory("call.raw", call->raw, 16);
	if (!ret && has_raw(kv))
		ret = check_memory("call.areas", call->areas, sizeof(*call->areas));
	if (!ret && call->page_mass)
		ret = check_memory("call.page_mass", call->page_mass, sizeof(*call->page_mass));
	if (!ret && call->sink_logits)
		ret = check_memory("call.sink_logits", call->sink_logits, sizeof(*call->sink_logits));
	if (ret)
		return ret;
	TQ_DEVICE_RUN("tq_kv_attend_async", kv->keys->ops->kv_attend(kv->keys->state, value_state(kv),
								     tq_queue_where(queue), &kv->o, call));
	return TQ_OK;
}
