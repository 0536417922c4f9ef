/* SPDX-License-Identifier: Apache-2.0 */
/* Arguments, the JSON file (schema tq-bench/1) and the table on stdout. */

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "baseline.h"
#include "bench.h"

#ifndef BENCH_FLAGS
#define BENCH_FLAGS ""
#endif
#if defined(__clang__)
#define BENCH_COMPILER __VERSION__
#else
#define BENCH_COMPILER "gcc " __VERSION__
#endif

static void usage(const char *program)
{
	fprintf(stderr,
		"usage: bench-%s [--json FILE] [--quick] [--only PART] [--driver PLUGIN] "
		"[--repeats N]\n",
		program);
	exit(2);
}

static void cpu_model(char *model, size_t size)
{
	FILE *f = fopen("/proc/cpuinfo", "r");
	char line[512], *colon;

	snprintf(model, size, "unknown");
	while (f && fgets(line, sizeof(line), f)) {
		colon = strchr(line, ':');
		if (strncmp(line, "model name", 10) || !colon)
			continue;
		colon[strcspn(colon, "\n")] = '\0';
		snprintf(model, size, "%s", colon + 2);
		break;
	}
	if (f)
		fclose(f);
}

/* What the kernel says of the cache of this level; 0 if nothing */
static long cache_kb(int level)
{
	char path[64];
	FILE *f;
	long kb = 0;

	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu0/cache/index%d/size", level);
	f = fopen(path, "r");
	if (!f)
		return 0;
	if (fscanf(f, "%ldK", &kb) != 1)
		kb = 0;
	fclose(f);
	return kb;
}

static void report_machine(struct json *j)
{
	char text[512];

	json_object(j, "machine");
	cpu_model(text, sizeof(text));
	json_string(j, "cpu", text);
	json_integer(j, "cores", sysconf(_SC_NPROCESSORS_ONLN));
	json_integer(j, "l2_kb", cache_kb(2));
	json_integer(j, "l3_kb", cache_kb(3));
	json_string(j, "compiler", BENCH_COMPILER);
	json_string(j, "flags", BENCH_FLAGS);
	json_string(j, "library", tq_version());
	json_string(j, "baseline_isa", baseline_isa());
	json_object_end(j);
}

static void report_start(struct bench *b)
{
	char date[32];
	time_t now = time(NULL);

	json_begin(&b->json, b->file);
	json_object(&b->json, NULL);
	json_string(&b->json, "schema", "tq-bench/1");
	json_string(&b->json, "program", b->program);
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%SZ", gmtime(&now));
	json_string(&b->json, "date", date);
	json_boolean(&b->json, "quick", b->quick);
	json_unsigned(&b->json, "repeats", b->repeats);
	json_unsigned(&b->json, "memory_bytes", b->memory);
	report_machine(&b->json);
	json_array(&b->json, "results");
}

void bench_open(struct bench *b, const char *program, int argc, char **argv)
{
	const char *json = NULL, *repeats = NULL;
	int i;

	memset(b, 0, sizeof(*b));
	b->program = program;
	for (i = 1; i < argc; i++) {
		const char **value = !strcmp(argv[i], "--json")	     ? &json
				     : !strcmp(argv[i], "--only")    ? &b->only
				     : !strcmp(argv[i], "--driver")  ? &b->driver
				     : !strcmp(argv[i], "--repeats") ? &repeats
								     : NULL;

		if (!strcmp(argv[i], "--quick"))
			b->quick = true;
		else if (!value || ++i == argc)
			usage(program);
		else
			*value = argv[i];
	}
	b->repeats = repeats ? (unsigned)atoi(repeats) : b->quick ? 5 : 7;
	if (b->repeats < 1 || b->repeats > BENCH_MAX_REPEATS)
		usage(program);
	b->memory = (size_t)(b->quick ? 128 : 256) << 20;
	if (json) {
		b->file = fopen(json, "w");
		if (!b->file)
			bench_die("%s: cannot be written", json);
		report_start(b);
	}
}

int bench_close(struct bench *b)
{
	int bad = 0;

	bench_release();
	if (b->file) {
		json_array_end(&b->json);
		json_object_end(&b->json);
		fputc('\n', b->file);
		bad = ferror(b->file);
		bad |= fclose(b->file);
	}
	if (bad)
		fprintf(stderr, "bench-%s: writing the JSON failed\n", b->program);
	return bad ? 1 : 0;
}

bool bench_wants(const struct bench *b, const char *part)
{
	return !b->only || !strcmp(b->only, part);
}

void bench_result_init(struct bench_result *r, const char *name)
{
	memset(r, 0, sizeof(*r));
	r->name = name;
	r->driver = r->stage_driver = r->spec = r->place = r->dtype = "";
	r->queries = r->threads = 1;
	r->ns = r->best = BENCH_NONE;
	r->stream = r->copy = r->fp16 = r->fp32 = r->scalar = BENCH_NONE;
}

static void cell(double v, const char *unit)
{
	if (isnan(v))
		printf(" %9s", "-");
	else
		printf(" %8.2f%s", v, unit);
}

static void print_row(struct bench *b, const struct bench_result *r)
{
	if (!b->headed) {
		b->headed = true;
		printf("%-12s %-8s %-7s %4s %5s %4s %3s %3s %9s %10s %9s %9s %9s %9s %9s\n",
		       r->name, "driver", "place", "bits", "dim", "type", "nq", "thr", "rows", "ns",
		       "GB/s", "vs read", "vs fp16", "vs copy", "vs scalar");
	}
	printf("%-12s %-8s %-7s %4u %5u %4s %3u %3u %9zu %10.3f", r->name, r->driver, r->place,
	       r->bits, r->dim, r->dtype, r->queries, r->threads, r->rows, r->ns);
	cell((double)r->row_bytes / r->ns / r->queries, "");
	cell(r->stream / r->ns / r->queries, "x");
	cell(r->fp16 / r->ns, "x");
	cell(r->copy / r->ns, "x");
	cell(r->scalar / r->ns, "x");
	printf("\n");
	fflush(stdout);
}

void bench_report(struct bench *b, const struct bench_result *r)
{
	struct json *j = &b->json;

	print_row(b, r);
	if (!b->file)
		return;
	json_object(j, NULL);
	json_string(j, "name", r->name);
	json_string(j, "driver", r->driver);
	json_string(j, "stage_driver", r->stage_driver);
	json_string(j, "spec", r->spec);
	json_string(j, "place", r->place);
	json_string(j, "dtype", r->dtype);
	json_unsigned(j, "bits", r->bits);
	json_unsigned(j, "dim", r->dim);
	json_unsigned(j, "queries", r->queries);
	json_unsigned(j, "threads", r->threads);
	json_unsigned(j, "rows", r->rows);
	json_unsigned(j, "row_bytes", r->row_bytes);
	json_number(j, "ns", r->ns);
	json_number(j, "best_ns", r->best);
	json_number(j, "stream_ns", r->stream);
	json_number(j, "copy_ns", r->copy);
	json_number(j, "fp16_ns", r->fp16);
	json_number(j, "fp32_ns", r->fp32);
	json_number(j, "scalar_ns", r->scalar);
	json_object_end(j);
}
