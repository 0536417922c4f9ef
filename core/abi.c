/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables of a plugin, read as data and checked before any code of it runs: magic and numbers
 * first, because the meaning of everything behind them depends on these.
 */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "abi.h"
#include "select.h"

#define DRIVERS_MAX 256
#define NAME_MAX_LEN 47

const struct tq_driver *tq_abi_driver(const struct tq_plugin *plugin, size_t i)
{
	return (const struct tq_driver *)((const char *)plugin->drivers + i * plugin->driver_size);
}

static int bad(char *why, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static int bad(char *why, size_t size, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(why, size, fmt, args);
	va_end(args);
	return 1;
}

/* lower case letters, digits, '-' and '_', a letter or digit first; returns the length or 0 */
static size_t word(const char *s)
{
	size_t n = 0;

	if (!s || *s == '-' || *s == '_')
		return 0;
	while (islower((unsigned char)s[n]) || isdigit((unsigned char)s[n]) || s[n] == '-' ||
	       s[n] == '_')
		n++;
	return n;
}

static int is_name(const char *s)
{
	size_t n = word(s);

	return n && n <= NAME_MAX_LEN && s[n] == '\0';
}

/* "VERB(ROTATION" + tail */
static int is_generic(const char *s, const char *verb, const char *tail)
{
	size_t n = strlen(verb), r;

	if (strncmp(s, verb, n))
		return 0;
	r = word(s + n);
	return r && r < TQ_ROTATION_NAME_MAX && !strcmp(s + n + r, tail);
}

static int is_codec(const char *name)
{
	static const char *const verbs[] = { "quantize", "score", "attend" };
	char whole[TQ_STAGE_NAME_MAX], tail[TQ_STAGE_NAME_MAX];
	const char *const *family;
	size_t i;

	for (family = tq_families; *family; family++) {
		for (i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
			snprintf(whole, sizeof(whole), "%s(%s)", verbs[i], *family);
			if (!strcmp(name, whole))
				return 1;
		}
		snprintf(tail, sizeof(tail), ",%s)", *family);
		if (is_generic(name, "encode(", tail) || is_generic(name, "decode(", tail))
			return 1;
	}
	return 0;
}

static int check_rotation(const struct tq_driver *d, char *why, size_t size)
{
	const struct tq_rotation_ops *ops = d->rotation_ops;

	if (!ops || d->ops || d->device_ops)
		return bad(why, size, "driver %s: %s must have rotation_ops and no ops",
				d->driver_name, d->name);
	if (ops->struct_size != sizeof(*ops))
		return bad(why, size, "driver %s: rotation_ops of %u bytes, expected %zu",
				d->driver_name, ops->struct_size, sizeof(*ops));
	if (!ops->rotate || !ops->unrotate)
		return bad(why, size, "driver %s: rotate and unrotate must both be there",
				d->driver_name);
	if (!ops->create != !ops->destroy)
		return bad(why, size, "driver %s: create without destroy, or the reverse",
				d->driver_name);
	if (!strcmp(d->name, "rotate(haar)") || !strcmp(d->name, "rotate(gauss)"))
		return bad(why, size, "driver %s: %s is served by rotate(dense)",
				d->driver_name, d->name);
	return 0;
}

static int check_ops(const struct tq_driver *d, char *why, size_t size)
{
	const struct tq_quantizer_ops *ops = d->ops;
	int slots;

	if (!ops || d->rotation_ops || d->device_ops)
		return bad(why, size, "driver %s: %s must have ops and no rotation_ops",
				d->driver_name, d->name);
	if (ops->struct_size != sizeof(*ops))
		return bad(why, size, "driver %s: ops of %u bytes, expected %zu",
				d->driver_name, ops->struct_size, sizeof(*ops));
	if (!ops->create != !ops->destroy)
		return bad(why, size, "driver %s: create without destroy, or the reverse",
				d->driver_name);
	slots = !!ops->query_size + !!ops->query_pack + !!ops->score + !!ops->score_list;
	if (slots != 0 && slots != 4)
		return bad(why, size,
				"driver %s: %d of the 4 slots query_size, query_pack, score and "
				"score_list are filled: all or none",
				d->driver_name, slots);
	if (ops->score_blocks && !slots)
		return bad(why, size, "driver %s: score_blocks without score", d->driver_name);
	slots = !!ops->logits + !!ops->weigh + !!ops->mix + !!ops->raw_score + !!ops->raw_mix;
	if (slots != 0 && slots != 5)
		return bad(why, size,
				"driver %s: %d of the 5 slots logits, weigh, mix, raw_score and "
				"raw_mix are filled: all or none",
				d->driver_name, slots);
	if ((d->name[0] == 'a' && !ops->mix) || (d->name[0] == 'q' && !ops->quantize && !ops->dequantize) ||
	    (d->name[0] == 's' && !ops->score && !ops->score_pairs) ||
	    (d->name[0] == 'e' && !ops->encode) || (d->name[0] == 'd' && !ops->decode))
		return bad(why, size, "driver %s: no operation of %s is filled", d->driver_name,
				d->name);
	return 0;
}

static int check_device(const struct tq_driver *d, char *why, size_t size)
{
	const struct tq_device_ops *ops = d->device_ops;
	int slots;

	if (!ops || d->ops || d->rotation_ops)
		return bad(why, size, "driver %s: %s must have device_ops and no others", d->driver_name,
				d->name);
	if (ops->struct_size != sizeof(*ops))
		return bad(why, size, "driver %s: device_ops of %u bytes, expected %zu",
				d->driver_name, ops->struct_size, sizeof(*ops));
	if (d->memory != TQ_MEM_CUDA || !(d->flags & TQ_DRV_BITEXACT))
		return bad(why, size, "driver %s: %s must be bit-exact and in device memory",
				d->driver_name, d->name);
	if (!ops->open || !ops->attach || !ops->detach || !ops->query_size || !ops->encode ||
	    !ops->decode || !ops->query || !ops->score || !ops->topk_scratch || !ops->topk ||
	    !ops->check || !ops->memory_alloc || !ops->memory_free || !ops->copy_in || !ops->copy_out)
		return bad(why, size, "driver %s: a slot of device_ops is empty", d->driver_name);
	slots = !!ops->kv_page + !!ops->kv_append + !!ops->kv_scratch + !!ops->kv_attend;
	if (slots != 0 && slots != 4)
		return bad(why, size, "driver %s: %d of the 4 kv slots of device_ops are filled: all or none",
				d->driver_name, slots);
	return 0;
}

static int check_driver(const struct tq_plugin *p, size_t i, char *why, size_t size)
{
	const struct tq_driver *d = tq_abi_driver(p, i);

	if (d->struct_size != sizeof(*d))
		return bad(why, size, "driver %zu: struct of %u bytes, expected %zu", i,
				d->struct_size, sizeof(*d));
	if (!is_name(d->driver_name))
		return bad(why, size, "driver %zu: driver_name is missing or malformed", i);
	if (!d->name)
		return bad(why, size, "driver %s: the generic name is missing", d->driver_name);
	if (d->memory > TQ_MEM_OPENCL)
		return bad(why, size, "driver %s: unknown memory kind %u", d->driver_name,
				d->memory);
	if (d->flags & ~(TQ_DRV_BITEXACT | TQ_DRV_CONCURRENT))
		return bad(why, size, "driver %s: unknown flags 0x%x", d->driver_name, d->flags);
	if (!(d->flags & TQ_DRV_CONCURRENT))
		return bad(why, size, "driver %s: not concurrent, and the core calls from many "
				"threads", d->driver_name);
	if (d->dim_max && d->dim_min > d->dim_max)
		return bad(why, size, "driver %s: dim_min %u above dim_max %u", d->driver_name,
				d->dim_min, d->dim_max);
	if (is_generic(d->name, "rotate(", ")"))
		return check_rotation(d, why, size);
	if (is_codec(d->name))
		return check_ops(d, why, size);
	if (!strcmp(d->name, "device(cuda)"))
		return check_device(d, why, size);
	return bad(why, size, "driver %s: unknown generic name \"%.40s\"", d->driver_name,
			d->name);
}

int tq_abi_check(const struct tq_plugin *p, char *why, size_t size)
{
	size_t i, k;

	why[0] = '\0';
	if (p->magic != TQ_PLUGIN_MAGIC)
		return !bad(why, size, "magic 0x%08x, expected 0x%08x", p->magic,
				TQ_PLUGIN_MAGIC);
	if (p->abi_major != TQ_ABI_MAJOR || p->abi_minor > TQ_ABI_MINOR)
		return !bad(why, size, "made for plugin ABI %u.%u, this library has %u.%u",
				p->abi_major, p->abi_minor, TQ_ABI_MAJOR, TQ_ABI_MINOR);
	if (p->struct_size != sizeof(*p))
		return !bad(why, size, "struct tq_plugin of %u bytes, expected %zu",
				p->struct_size, sizeof(*p));
	if (p->driver_size != sizeof(struct tq_driver))
		return !bad(why, size, "struct tq_driver of %u bytes, expected %zu",
				p->driver_size, sizeof(struct tq_driver));
	if (!is_name(p->name))
		return !bad(why, size, "the plugin's name is missing or malformed");
	if (!p->version || !p->licence)
		return !bad(why, size, "the plugin's %s is missing",
				p->version ? "licence" : "version");
	if (!p->drivers || p->ndrivers == 0 || p->ndrivers > DRIVERS_MAX)
		return !bad(why, size, "a table of %u drivers, expected 1 to %d",
				p->drivers ? p->ndrivers : 0, DRIVERS_MAX);
	for (i = 0; i < p->ndrivers; i++) {
		if (check_driver(p, i, why, size))
			return 0;
		for (k = 0; k < i; k++)
			if (!strcmp(tq_abi_driver(p, k)->driver_name,
				    tq_abi_driver(p, i)->driver_name))
				return !bad(why, size, "driver name %s appears twice",
						tq_abi_driver(p, i)->driver_name);
	}
	return 1;
}
