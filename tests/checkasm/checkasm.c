/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Every operation of every driver against scalar, bit for bit, in the manner of dav1d's checkasm:
 * random plans and sizes from a seed, odd strides, rows at every alignment, buffers that end at
 * pages that may not be touched, canaries, and a crash caught and named instead of the end of the
 * run.
 *
 *	checkasm [--seed N] [--samples N] [--driver NAME] [--op NAME] [--bench] [PLUGIN.so | DIR]...
 *
 * Without plugins on the command line those of TQ_PLUGIN_PATH are checked. TQ_TEST_SCALE is the
 *part of the default number of samples to draw, for emulators. The last line is "N passed, N
 *failed"; one check is one operation of one driver. Exit status 77, skipped, where there was none.
 */

#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "checkasm.h"
#include "cpu.h"

const char *const check_op_name[OP_COUNT] = {
	"rotate", "unrotate", "quantize",  "dequantize", "score",  "score_list", "score_blocks",
	"score_pairs",
	"logits", "weigh",  "mix",      "raw_score", "raw_mix",    "encode", "decode"};

static struct {
	uint64_t seed;
	unsigned samples;
	const char *driver;
	int op;
	int bench;
	unsigned plugins, drivers, passed, failed;
} run = {.seed = 1, .samples = 120, .op = -1};

#define SKIPPED 77
/* Seconds of one trial: milliseconds of work, but emulators are slow and machines busy */
#define TRIAL_SECONDS 600

static sigjmp_buf crash_return;
static volatile sig_atomic_t crash_armed;

static void on_crash(int sig)
{
	if (!crash_armed)
		_exit(128 + sig);
	crash_armed = 0;
	siglongjmp(crash_return, sig);
}

static void catch_crashes(void)
{
	static const int sigs[] = {SIGSEGV, SIGILL, SIGBUS, SIGFPE, SIGABRT, SIGALRM};
	struct sigaction act = {.sa_handler = on_crash, .sa_flags = SA_NODEFER | SA_ONSTACK};
	static uint8_t stack[65536];
	stack_t ss = {.ss_sp = stack, .ss_size = sizeof(stack)};
	size_t i;

	sigaltstack(&ss, NULL);
	for (i = 0; i < sizeof(sigs) / sizeof(sigs[0]); i++)
		sigaction(sigs[i], &act, NULL);
}

static uint64_t mix(uint64_t h, const char *s)
{
	while (*s)
		h = (h ^ (uint8_t)*s++) * 0x100000001b3u;
	return h;
}

/* One trial; 0 if both sides agree. A plan that cannot be drawn is no failure but is counted. */
static int run_trial(struct trial *t, unsigned *drawn)
{
	int sig;

	sig = sigsetjmp(crash_return, 1);
	if (sig) {
		snprintf(t->why, sizeof(t->why), "%s", strsignal(sig));
		return 1;
	}
	crash_armed = 1;
	alarm(TRIAL_SECONDS);
	if (trial_draw(t)) {
		++*drawn;
		if (t->op == OP_ROTATE || t->op == OP_UNROTATE)
			check_rotation(t);
		else if (t->op == OP_QUANTIZE || t->op == OP_DEQUANTIZE)
			check_quantizer(t);
		else if (t->op == OP_ENCODE || t->op == OP_DECODE)
			check_fused(t);
		else if (t->op >= OP_LOGITS && t->op <= OP_RAW_MIX)
			check_attend(t);
		else
			check_score(t);
	}
	alarm(0);
	crash_armed = 0;
	return t->why[0] != 0;
}

static void check_op(struct tq_context *ctx, const struct tq_driver *drv, int op)
{
	uint64_t first =
		mix(mix(run.seed * 0x9e3779b97f4a7c15u, drv->driver_name), check_op_name[op]);
	struct trial t;
	unsigned i, drawn = 0;
	char text[TQ_SPEC_STRING_MAX] = "no plan";

	for (i = 0; i < run.samples; i++) {
		memset(&t, 0, sizeof(t));
		t.ctx = ctx;
		t.drv = drv;
		t.op = op;
		t.rng = first + i * 0x632be59bd9b4e019u;
		if (run_trial(&t, &drawn))
			break;
		if (t.plan)
			trial_free(&t);
	}
	if (i == run.samples && drawn) {
		printf(" - %-12s [OK] %u plans\n", check_op_name[op], drawn);
		run.passed++;
		return;
	}
	if (t.plan)
		tq_spec_print(&t.spec, text, sizeof(text));
	printf(" - %-12s [FAILED] %s: trial %u of seed %llu: dim=%u %s: %s\n", check_op_name[op],
	       drv->driver_name, i, (unsigned long long)run.seed, t.plan ? t.plan->dim : 0, text,
	       drawn || t.why[0] ? t.why : "no plan could be drawn");
	run.failed++;
}

static void check_driver(struct tq_context *ctx, const struct tq_plugin *p,
			 const struct tq_driver *drv)
{
	char why[160];
	int op;

	if (run.driver && strcmp(run.driver, drv->driver_name) && strcmp(run.driver, p->name))
		return;
	if (drv->memory != TQ_MEM_HOST) {
		printf("%s %s: skipped, works on device memory\n", p->name, drv->driver_name);
		return;
	}
	if (!tq_cpu_missing(&drv->need, check_host()->cpu, why, sizeof(why))) {
		printf("%s %s: skipped, %s\n", p->name, drv->driver_name, why);
		return;
	}
	printf("%s %s:\n", p->name, drv->driver_name);
	run.drivers++;
	if (run.bench) {
		bench_driver(ctx, p->name, drv, run.op);
		return;
	}
	for (op = 0; op < OP_COUNT; op++) {
		if ((run.op >= 0 && run.op != op) || !check_has_op(drv, op))
			continue;
		if (op < OP_ENCODE && !check_reference(drv->name, op))
			printf(" - %-12s skipped, scalar has no %s\n", check_op_name[op],
			       drv->name);
		else
			check_op(ctx, drv, op);
	}
	fflush(stdout);
}

static void check_plugin(struct tq_context *ctx, const char *path)
{
	struct check_plugin p;
	const char *why = check_plugin_open(path, &p);
	uint32_t i;

	run.plugins++;
	if (why) {
		printf("%s: [FAILED] %s\n", path, why);
		run.failed++;
		return;
	}
	if (p.plugin->init && p.plugin->init(check_host())) {
		printf("%s: skipped, init refused\n", p.plugin->name);
		return;
	}
	for (i = 0; i < p.plugin->ndrivers; i++)
		check_driver(ctx, p.plugin, &p.plugin->drivers[i]);
}

static int is_plugin_file(const struct dirent *e)
{
	size_t n = strlen(e->d_name);

	return n > 6 && !strncmp(e->d_name, "tq-", 3) && !strcmp(e->d_name + n - 3, ".so");
}

static void check_path(struct tq_context *ctx, const char *path)
{
	struct dirent **names;
	int n = scandir(path, &names, is_plugin_file, alphasort), i;
	char file[4096];

	if (n < 0) {
		check_plugin(ctx, path);
		return;
	}
	for (i = 0; i < n; i++) {
		snprintf(file, sizeof(file), "%s/%s", path, names[i]->d_name);
		check_plugin(ctx, file);
		free(names[i]);
	}
	free(names);
}

static int op_number(const char *name)
{
	int op;

	for (op = 0; op < OP_COUNT; op++)
		if (!strcmp(name, check_op_name[op]))
			return op;
	fprintf(stderr, "checkasm: no operation is called %s\n", name);
	exit(2);
}

static int parse(int argc, char **argv)
{
	const char *scale = getenv("TQ_TEST_SCALE");
	int i;

	if (scale && atof(scale) > 0)
		run.samples = (unsigned)(atof(scale) * run.samples) + 1;
	for (i = 1; i < argc && !strncmp(argv[i], "--", 2); i++) {
		if (!strcmp(argv[i], "--bench"))
			run.bench = 1;
		else if (!strcmp(argv[i], "--seed") && i + 1 < argc)
			run.seed = strtoull(argv[++i], NULL, 0);
		else if (!strcmp(argv[i], "--samples") && i + 1 < argc)
			run.samples = (unsigned)strtoul(argv[++i], NULL, 0);
		else if (!strcmp(argv[i], "--driver") && i + 1 < argc)
			run.driver = argv[++i];
		else if (!strcmp(argv[i], "--op") && i + 1 < argc)
			run.op = op_number(argv[++i]);
		else {
			fprintf(stderr, "checkasm: unknown argument %s\n", argv[i]);
			exit(2);
		}
	}
	return i;
}

/* The last line, and the exit status */
static int report(void)
{
	if (run.driver && !run.drivers) {
		printf("%s: [FAILED] no driver or plugin here is called so and runs on this CPU\n",
		       run.driver);
		run.failed++;
	}
	if (!run.drivers && !run.failed) {
		printf("0 drivers of %u plugins to check: 0 passed, 0 failed\n", run.plugins);
		return SKIPPED;
	}
	printf("%u passed, %u failed\n", run.passed, run.failed);
	return run.failed != 0;
}

int main(int argc, char **argv)
{
	struct tq_options options = {.struct_size = sizeof(options),
				     .flags = TQ_NO_ENV | TQ_NO_CONFIG | TQ_NO_PLUGINS};
	int i = parse(argc, argv);
	struct tq_context *ctx;
	char *paths, *path, *save = NULL;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (tq_context_create(&options, &ctx)) {
		fprintf(stderr, "checkasm: %s\n", tq_error_text());
		return 2;
	}
	catch_crashes();
	if (i == argc && getenv("TQ_PLUGIN_PATH")) {
		paths = strdup(getenv("TQ_PLUGIN_PATH"));
		for (path = strtok_r(paths, ":", &save); path; path = strtok_r(NULL, ":", &save))
			check_path(ctx, path);
		free(paths);
	}
	for (; i < argc; i++)
		check_path(ctx, argv[i]);
	tq_context_destroy(ctx);
	return report();
}
