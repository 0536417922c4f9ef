/* SPDX-License-Identifier: Apache-2.0 */

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cli.h"
#include "commands.h"
#include "given.h"
#include "vectors.h"

static volatile sig_atomic_t got_signal;
/* of --given, for the specs that follow; 0: there is none */
static uint32_t given_sum;

int settings_take(struct settings *s, int letter, const char *argument)
{
	uint64_t value = 0;
	int ret = 0;

	switch (letter) {
	case SETTINGS_JSON:
		s->json = true;
		break;
	case SETTINGS_DRIVER:
		s->driver = argument;
		break;
	case SETTINGS_THREADS:
		if (!strcmp(argument, "auto"))
			value = TQ_THREADS_AUTO;
		else
			ret = cli_number("--threads", argument, 1, 4096, &value);
		s->threads = (uint32_t)value;
		break;
	case SETTINGS_GIVEN:
		s->given = argument;
		break;
	case SETTINGS_DIM:
		ret = cli_number("--dim", argument, 1, TQ_MAX_DIM, &value);
		s->dim = (uint32_t)value;
		break;
	default: /* getopt_long() has printed the line */
		ret = CLI_USAGE;
	}
	return ret;
}

int settings_operands(int argc, char **argv, int n, const char *usage)
{
	if (argc < n)
		return cli_fail(CLI_USAGE, "too few arguments; usage: %s", usage);
	if (argc > n)
		return cli_fail(CLI_USAGE, "'%s' is one argument too many; usage: %s", argv[n],
				usage);
	return 0;
}

static void log_line(void *arg, int level, const char *line)
{
	fprintf(stderr, "%s: %s\n", cli_program, line);
}

int settings_context(const struct settings *s, struct tq_context **ctx)
{
	struct tq_options options = {
		.struct_size = sizeof(options),
		.log = log_line,
		.log_level = TQ_LOG_WARN,
		.driver = s->driver,
		.threads = s->threads,
	};
	int ret = tq_context_create(&options, ctx);

	if (ret != TQ_OK)
		return cli_fail_status(ret, NULL);
	ret = s->given ? given_load(*ctx, s->given, s->dim, &given_sum) : 0;
	if (ret)
		tq_context_destroy(*ctx);
	return ret;
}

int settings_parse(struct tq_spec *spec, const char *text)
{
	char *own = given_sum ? given_text(text, given_sum) : NULL;
	int status = tq_spec_parse(spec, own ? own : text);

	free(own);
	return status;
}

int settings_spec(struct tq_context *ctx, const char *text, struct tq_spec *spec)
{
	int status;

	tq_spec_init(spec);
	if (!text && tq_context_profile(ctx, NULL, &text) != TQ_OK)
		return 0;
	status = settings_parse(spec, text);
	return status == TQ_OK ? 0 : cli_fail_status(status, "--spec");
}

void driver_names(const struct tq_quantizer *q, char *buf, size_t size)
{
	size_t used = 0;

	*buf = 0;
	for (int stage = 0; stage < TQ_STAGE_COUNT; stage++) {
		const char *name = tq_quantizer_driver(q, stage);
		bool known = !*name;

		for (int before = 0; before < stage && !known; before++)
			known = !strcmp(name, tq_quantizer_driver(q, before));
		if (!known && used + strlen(name) + 2 < size)
			used += (size_t)sprintf(buf + used, "%s%s", used ? " " : "", name);
	}
}

double bits_per_coordinate(size_t row_bytes, uint32_t dim)
{
	return 8.0 * (double)row_bytes / dim;
}

static void note_signal(int number)
{
	got_signal = number;
}

void catch_interrupt(void)
{
	struct sigaction act = {.sa_handler = note_signal, .sa_flags = (int)SA_RESETHAND};

	sigaction(SIGINT, &act, NULL);
	sigaction(SIGTERM, &act, NULL);
	sigaction(SIGHUP, &act, NULL);
	signal(SIGXFSZ, SIG_IGN);
}

int interrupted(void)
{
	return got_signal ? cli_fail(CLI_UNMET, "interrupted by signal %d", (int)got_signal) : 0;
}

void progress(const char *what, uint64_t done, uint64_t total)
{
	static int last = -1;
	int percent = total ? (int)(done * 100 / total) : 100;

	if (!isatty(STDERR_FILENO) || percent == last)
		return;
	last = done == total ? -1 : percent;
	fprintf(stderr, "\r%s %3d %% [%-25.*s]%s", what, percent, percent / 4,
		"#########################", done == total ? "\n" : "");
}

int load_centre(uint32_t center, const char *file, const struct vectors *in, float **centre)
{
	struct vectors v;
	int ret;

	*centre = NULL;
	if (center == TQ_CENTER_OFF && file)
		return cli_fail(CLI_USAGE, "%s: the spec has center=off, which takes no centre",
				file);
	if (center == TQ_CENTER_OFF)
		return 0;
	*centre = malloc(((size_t)in->dim + 1) * sizeof(**centre));
	if (!*centre)
		return cli_fail(CLI_UNMET, "out of memory");
	if (!file) {
		ret = vectors_mean(in, *centre);
	} else {
		ret = vectors_open(&v, file, in->dim, "centre");
		if (!ret && v.count != 1)
			ret = cli_fail(CLI_USAGE, "%s: has %" PRIu64 " rows; a centre is one", file,
				       v.count);
		if (!ret)
			ret = vectors_read_f32(&v, 0, 1, *centre);
		vectors_close(&v);
	}
	if (ret) {
		free(*centre);
		*centre = NULL;
	}
	return ret;
}
