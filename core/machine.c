// SPDX-License-Identifier: Apache-2.0
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
		tq_topo_print(out, 1);
		fputs("}\n", out);
		return;
	}
	fprintf(out, "architecture: %s\ncpu has: %s\ncpu usable: %s\n", name, has, usable);
	tq_topo_print(out, 0);
}
