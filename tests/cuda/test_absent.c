/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device plugin where there is no driver, or one that is too old: the reason is told, nothing is
 * printed, and it costs little. EXPECT is the reason; PRELOAD a library to have loaded as the driver's;
 * NEEDS one without which this is skipped. PIN asks for the plugin's host path instead of its queues.
 * Prints the cost; only a gross one fails.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "tq/tq.h"

#ifndef PLUGIN
#define PLUGIN "cuda"
#endif

static double cpu_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

/* The codec on host memory with a driver pinned; TQ_ERR_NO_DRIVER comes with the same reason as the other call. */
static int pinned(struct tq_context *ctx, const char *driver, struct tq_quantizer **q)
{
	struct tq_quantizer_options o = {.struct_size = sizeof(o), .driver = driver};
	struct tq_spec spec;
	int ret;

	tq_spec_init(&spec);
	ret = tq_quantizer_create(ctx, &spec, 64, &o, q);
	return ret == TQ_ERR_NO_DRIVER ? TQ_ERR_NOT_PRESENT : ret;
}

/* The first use of the plugin; *start is the time before it. */
static int ask(struct tq_context *ctx, double *start)
{
#ifdef PIN
	struct tq_quantizer *first, *second;
	int ret;

	/* The tables are made before the clock starts, and kept. */
	if (pinned(ctx, "scalar", &first))
		return TQ_OK;
	*start = cpu_ms();
	ret = pinned(ctx, PLUGIN, &second);
	tq_quantizer_destroy(first);
	return ret;
#else
	struct tq_queue *queue;

	*start = cpu_ms();
	return tq_queue_wrap_cuda(ctx, 0, NULL, &queue);
#endif
}

/* In a process of its own, with its output into @log: the cost, or negative */
static double one_life(const char *plugin, int log)
{
	struct tq_options o = {.struct_size = sizeof(o), .flags = TQ_NO_ENV};
	struct tq_quantizer *q;
	struct tq_context *ctx;
	double start = 0.0, cost = -1.0;
	int result[2], ret;

	if (pipe(result))
		return -1.0;
	if (fork() == 0) {
		dup2(log, STDOUT_FILENO);
		dup2(log, STDERR_FILENO);
		o.plugin_path = plugin;
		if (tq_context_create(&o, &ctx))
			_exit(1);
		ret = ask(ctx, &start);
		cost = cpu_ms() - start;
		if (ret == TQ_ERR_NOT_PRESENT && strstr(tq_error_text(), EXPECT))
			ret = pinned(ctx, PLUGIN, &q);
		if (ret != TQ_ERR_NOT_PRESENT || !strstr(tq_error_text(), EXPECT)) {
			printf("%d %s\n", ret, tq_error_text());
			fflush(stdout);
			cost = -2.0;
		}
		tq_context_destroy(ctx);
		if (write(result[1], &cost, sizeof(cost)) != sizeof(cost))
			_exit(1);
		_exit(0);
	}
	close(result[1]);
	if (read(result[0], &cost, sizeof(cost)) != sizeof(cost))
		cost = -1.0;
	close(result[0]);
	wait(NULL);
	return cost;
}

int main(void)
{
	char path[512], name[] = "/tmp/tq-absent-XXXXXX", text[1024];
	double cost, least = 1e9;
	int log, i, n;

#ifdef PRELOAD
	if (!dlopen(PRELOAD, RTLD_NOW | RTLD_GLOBAL)) {
		printf("%s\n", dlerror());
		return 1;
	}
#elif defined(NEEDS)
	if (!dlopen(NEEDS, RTLD_LAZY)) {
		puts("skipped: no " NEEDS);
		return 77;
	}
#elif !defined(PIN)
	if (dlopen("libcuda.so.1", RTLD_LAZY)) {
		puts("skipped: this machine has a CUDA driver");
		return 77;
	}
#endif
	log = mkstemp(name);
	unlink(name);
	snprintf(path, sizeof(path), "%s/plugins/" PLUGIN "/tq-" PLUGIN ".so",
		 getenv("TQ_TEST_BUILD_ROOT"));
	for (i = 0; i < 9; i++) {
		cost = one_life(path, log);
		if (cost < 0.0)
			least = -1.0;
		else if (cost < least)
			least = cost;
	}
	lseek(log, 0, SEEK_SET);
	n = (int)read(log, text, sizeof(text) - 1);
	if (n > 0) {
		text[n] = '\0';
		printf("it printed: %s\n", text);
	}
	printf("opening and probing the plugin: %.2f ms of CPU\n", least);
	i = n != 0 || least < 0.0 || least > 100.0;
	printf("%d passed, %d failed\n", !i, i);
	return i;
}
