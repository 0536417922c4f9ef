/* SPDX-License-Identifier: Apache-2.0 */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include "checkasm.h"
#include "cpu.h"
#include "rng.h"

const char *check_plugin_open(const char *path, struct check_plugin *out)
{
	const struct tq_plugin *p;
	void *so = dlopen(path, RTLD_NOW | RTLD_LOCAL);

	if (!so)
		return dlerror();
	p = dlsym(so, TQ_PLUGIN_SYMBOL);
	if (!p)
		return "no symbol " TQ_PLUGIN_SYMBOL;
	if (p->magic != TQ_PLUGIN_MAGIC || p->abi_major != TQ_ABI_MAJOR ||
	    p->driver_size != sizeof(struct tq_driver))
		return "another ABI";
	out->plugin = p;
	out->path = path;
	return NULL;
}

static void *host_alloc(const struct tq_host *host, size_t size)
{
	void *p = aligned_alloc(64, (size + 64) / 64 * 64);

	if (p)
		memset(p, 0, size);
	return p;
}

static void host_free(const struct tq_host *host, void *ptr)
{
	free(ptr);
}

static void host_log(const struct tq_host *host, int level, const char *line)
{
}

static const char *host_config(const struct tq_host *host, const char *key)
{
	return NULL;
}

const struct tq_host *check_host(void)
{
	static struct tq_host host = {
		.struct_size = sizeof(host),
		.alloc = host_alloc,
		.free = host_free,
		.log = host_log,
		.words = tq_rng_words,
		.normals = tq_rng_normals,
		.config = host_config,
	};

	host.cpu = tq_cpu_detect();
	return &host;
}

int check_has_op(const struct tq_driver *drv, int op)
{
	const struct tq_rotation_ops *r = drv->rotation_ops;
	const struct tq_quantizer_ops *q = drv->ops;

	switch (op) {
	case OP_ROTATE:
		return r && r->rotate;
	case OP_UNROTATE:
		return r && r->unrotate;
	case OP_QUANTIZE:
		return q && q->quantize;
	case OP_DEQUANTIZE:
		return q && q->dequantize;
	case OP_SCORE:
		return q && q->score;
	case OP_SCORE_LIST:
		return q && q->score_list;
	case OP_SCORE_BLOCKS:
		return q && q->score_blocks;
	case OP_SCORE_PAIRS:
		return q && q->score_pairs;
	case OP_LOGITS:
		return q && q->logits;
	case OP_WEIGH:
		return q && q->weigh;
	case OP_MIX:
		return q && q->mix;
	case OP_RAW_SCORE:
		return q && q->raw_score;
	case OP_RAW_MIX:
		return q && q->raw_mix;
	case OP_ENCODE:
		return q && q->encode;
	default:
		return q && q->decode;
	}
}

const struct tq_driver *check_reference(const char *name, int op)
{
	const struct tq_plugin *p = &tq_plugin_scalar;
	uint32_t i;

	if (op == OP_SCORE_BLOCKS) /* what rows in blocks score is what they score as rows */
		op = OP_SCORE;
	for (i = 0; i < p->ndrivers; i++)
		if (!strcmp(p->drivers[i].name, name) && check_has_op(&p->drivers[i], op))
			return &p->drivers[i];
	return NULL;
}
