/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine as the library sees it, for tq-probe and for bug reports.
 */

#include <string.h>
#include "context.h"
#include "cpu.h"
#include "registry.h"
#include "topo.h"

static void print_words(FILE *out, char *words)
{
	const char *comma = "";
	char *word, *rest;

	fputc('[', out);
	for (word = strtok_r(words, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
		fprintf(out, "%s\"%s\"", comma, word);
		comma = ", ";
	}
	fputc(']', out);
}

static void print_topo_json(FILE *out)
{
	struct tq_topo t;

	tq_topo_read(&t);
	fprintf(out, "{\"source\": \"%s\", \"packages\": %u, \"cores\": %u, \"units\": %u, "
		"\"usable\": %u, \"core_kinds\": %u, \"numa_nodes\": %u, \"memory\": %llu, "
		"\"l1d\": %llu, \"l2\": %llu, \"l3\": %llu}",
		t.source, t.packages, t.cores, t.units, t.usable, t.kinds, t.numa,
		(unsigned long long)t.memory, (unsigned long long)t.cache[0],
		(unsigned long long)t.cache[1], (unsigned long long)t.cache[2]);
}

static void print_topo(FILE *out)
{
	struct tq_topo t;
	int level;

	tq_topo_read(&t);
	fprintf(out, "topology (%s): %u package(s), %u cores, %u threads (%u usable), %u NUMA node(s), "
		"%llu MiB\n", t.source, t.packages, t.cores, t.units, t.usable, t.numa,
		(unsigned long long)(t.memory >> 20));
	if (*t.model)
		fprintf(out, "model: %s\n", t.model);
	for (level = 0; level < 3; level++)
		if (t.cache[level])
			fprintf(out, "L%d cache: %u x %llu KiB\n", level + 1, t.ncache[level],
				(unsigned long long)(t.cache[level] >> 10));
}

void tq_context_machine(struct tq_context *ctx, FILE *out, bool json)
{
	uint32_t arch = tq_cpu_arch();
	const char *name = arch == TQ_ARCH_X86_64 ? "x86-64" :
			   arch == TQ_ARCH_AARCH64 ? "AArch64" :
						     "other";
	char has[TQ_REASON_MAX], usable[TQ_REASON_MAX];

	if (!ctx || !out)
		return;
	tq_cpu_print(tq_cpu_detect(), has, sizeof(has));
	tq_cpu_print(ctx->registry->cpu, usable, sizeof(usable));
	if (json) {
		fprintf(out, "{\"architecture\": \"%s\", \"cpu_has\": ", name);
		print_words(out, has);
		fputs(", \"cpu_usable\": ", out);
		print_words(out, usable);
		fputs(", \"topology\": ", out);
		print_topo_json(out);
		fputs("}\n", out);
		return;
	}
	fprintf(out, "architecture: %s\ncpu has: %s\ncpu usable: %s\n", name, has, usable);
	print_topo(out);
}
