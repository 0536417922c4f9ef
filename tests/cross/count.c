/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One operation of one driver of a plugin on fixed input, between two marks, for an emulator that
 * writes down what it executes; count.sh reads that.
 *
 *	count PLUGIN.so DRIVER OPERATION DIM BITS QUERIES ROWS
 *
 * Prints the address of mark(), of the plugin and of the C library, which are the same in every run
 * of an emulator. OPERATION is encode, decode, dequantize or score; BITS may be a fraction. Exit status 77: not for this CPU.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../checkasm/checkasm.h"
#include "cpu.h"
#include "plan.h"

#define SKIPPED 77

struct call {
	const struct tq_driver *drv;
	const struct tq_plan *plan;
	void *state;
	float *x, *scores;
	int32_t *exponent;
	uint8_t *codes;
	char *packed;
	size_t nq, n;
};

void mark(void);

__attribute__((noinline)) void mark(void)
{
	__asm__ volatile("" ::: "memory");
}

static void *room(size_t bytes)
{
	void *p = aligned_alloc(64, (bytes + 127) / 64 * 64);

	if (!p)
		exit(2);
	return memset(p, 0, (bytes + 127) / 64 * 64);
}

/* The first executable range of a file whose name contains @part */
static void print_range(const char *part)
{
	char line[512], *end;
	unsigned long from, to;
	FILE *f = fopen("/proc/self/maps", "r");

	while (f && fgets(line, sizeof(line), f)) {
		if (!strstr(line, part) || !strstr(line, "r-xp"))
			continue;
		from = strtoul(line, &end, 16);
		to = strtoul(end + 1, NULL, 16);
		printf("range 0x%lx+0x%lx\n", from, to - from);
		break;
	}
	if (f)
		fclose(f);
}

static void make_query(struct call *c, uint64_t *rng)
{
	size_t dim = c->plan->dim, i, k, size = c->drv->ops->query_size(c->plan, c->state);
	struct tq_query q = {.struct_size = sizeof(q), .scale = 0.01f};
	int8_t *hi = room(dim + 64), *lo = room(dim + 64);

	q.planes = c->plan->query == TQ_QUERY_S16 ? 2 : 1;
	q.hi = hi;
	q.lo = lo;
	c->packed = room(c->nq * size);
	for (k = 0; k < c->nq; k++) {
		for (i = 0, q.sum = 0; i < dim; i++) {
			hi[i] = (int8_t)((int)rng_below(rng, 255) - 127);
			lo[i] = (int8_t)(q.planes == 2 ? (int)rng_below(rng, 128) - 64 : 0);
			q.sum += q.planes == 2 ? 128 * hi[i] + lo[i] : hi[i];
		}
		c->drv->ops->query_pack(c->plan, c->state, &q, c->packed + k * size);
	}
	free(hi);
	free(lo);
}

static void run(struct call *c, const char *operation)
{
	const struct tq_quantizer_ops *ops = c->drv->ops;
	size_t dim = c->plan->dim;

	if (!strcmp(operation, "encode") && ops->encode) {
		mark();
		ops->encode(c->plan, c->state, c->x, TQ_F32, dim, c->n, c->codes);
	} else if (!strcmp(operation, "decode") && ops->decode) {
		mark();
		ops->decode(c->plan, c->state, c->codes, c->n, c->x, TQ_F32, dim);
	} else if (!strcmp(operation, "dequantize") && ops->dequantize) {
		mark();
		ops->dequantize(c->plan, c->state, c->codes, c->n, c->x, c->exponent);
	} else if (!strcmp(operation, "score") && ops->score) {
		mark();
		ops->score(c->plan, c->state, c->packed, c->nq, c->codes, c->n, c->scores, c->n);
	} else {
		fprintf(stderr, "count: %s has no %s\n", c->drv->driver_name, operation);
		exit(2);
	}
	mark();
}

static const struct tq_driver *find(const char *path, const char *name)
{
	struct check_plugin p;
	const char *why = check_plugin_open(path, &p);
	uint32_t i;

	for (i = 0; !why && i < p.plugin->ndrivers; i++)
		if (!strcmp(p.plugin->drivers[i].driver_name, name))
			return &p.plugin->drivers[i];
	fprintf(stderr, "count: %s: %s\n", path, why ? why : name);
	exit(2);
}

int main(int argc, char **argv)
{
	struct tq_options options = {.struct_size = sizeof(options),
				     .flags = TQ_NO_ENV | TQ_NO_CONFIG | TQ_NO_PLUGINS};
	struct tq_context *ctx;
	struct tq_plan *plan;
	struct trial t = {0};
	struct call c = {0};
	char why[160], spec[64];
	size_t i;

	if (argc != 8)
		return 2;
	c.drv = find(argv[1], argv[2]);
	if (!tq_cpu_missing(&c.drv->need, check_host()->cpu, why, sizeof(why))) {
		printf("skipped: %s\n", why);
		return SKIPPED;
	}
	tq_spec_init(&t.spec);
	snprintf(spec, sizeof(spec), "bits=%s correction=ls", argv[5]);
	t.rng = 7;
	if (tq_context_create(&options, &ctx) || tq_spec_parse(&t.spec, spec) || tq_spec_check(&t.spec, (uint32_t)atoi(argv[4])) ||
	    tq_plan_create(ctx, &t.spec, (uint32_t)atoi(argv[4]), NULL, &plan)) {
		fprintf(stderr, "count: %s\n", tq_error_text());
		return 2;
	}
	t.plan = plan;
	c.plan = plan;
	c.nq = (size_t)atoi(argv[6]);
	c.n = (size_t)atoi(argv[7]);
	c.x = room(c.n * plan->dim * sizeof(float));
	c.scores = room(c.n * c.nq * sizeof(float));
	c.exponent = room(c.n * sizeof(*c.exponent));
	c.codes = room(c.n * plan->layout.row_bytes);
	for (i = 0; i < c.n * plan->dim; i++)
		c.x[i] = rng_normal(&t.rng);
	trial_codes(&t, c.codes, c.n);
	if (c.drv->ops->create && c.drv->ops->create(check_host(), plan, &c.state))
		return 2;
	if (c.drv->ops->query_pack)
		make_query(&c, &t.rng);
	printf("mark 0x%lx\n", (unsigned long)(uintptr_t)&mark);
	print_range(strrchr(argv[1], '/') ? strrchr(argv[1], '/') + 1 : argv[1]);
	print_range("/libc.so");
	print_range("/libc-");
	fflush(stdout);
	run(&c, argv[3]);
	return 0;
}
