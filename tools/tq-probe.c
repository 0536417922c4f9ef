/* SPDX-License-Identifier: Apache-2.0 */

/* tq-probe: which drivers there are, which of them may be used, and why the others may not. */

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "cli.h"
#include "json.h"
#include "tq/tq.h"

static const char usage[] =
	"usage: tq-probe [-v] [--json] [--selftest]      list drivers\n"
	"       tq-probe --explain 'SPEC' --dim D       which driver serves each stage, and why\n"
	"       tq-probe --conform ./tq-mine.so [--isolate]\n"
	"                                               test one plugin file against scalar\n"
	"       tq-probe --calibrate [--output FILE]    time all drivers, write the profile that decides\n"
	"                                               between them where no setting does\n"
	"       tq-probe --machine                      CPU groups and topology\n"
	"       tq-probe --dump-config | --show-config  default file | settings in force\n"
	"\n"
	"  --driver NAME   pin a driver or plugin (with --explain)\n"
	"  --config FILE   read this configuration file\n"
	"  -v, --verbose   versions, licences, CPU needs and paths too\n"
	"  --json          print JSON\n"
	"  --help, --version\n"
	"\n"
	"Exit codes: 0 fine; 1 the request could not be met as configured; 2 usage or input error.\n";

enum mode {
	LIST,
	EXPLAIN,
	CONFORM,
	MACHINE,
	DUMP,
	SHOW,
	CALIBRATE,
};

struct request {
	enum mode mode;
	unsigned modes; /* how many were asked for */
	bool verbose, json, selftest, isolate;
	const char *spec, *driver, *config, *plugin, *output;
	uint64_t dim;
};

/* ---- the list ---- */

static void row_json(struct json *j, const struct tq_driver_info *d)
{
	json_object(j, NULL);
	json_string(j, "name", d->name);
	json_string(j, "driver", d->driver_name);
	json_string(j, "plugin", d->plugin);
	json_string(j, "path", d->path);
	json_string(j, "version", d->version);
	json_string(j, "licence", d->licence);
	json_string(j, "memory", d->memory);
	json_string(j, "device", d->device);
	json_integer(j, "priority", d->priority);
	json_string(j, "needs", d->needs);
	json_string(j, "state", tq_driver_state_name(d->state));
	json_string(j, "selftest", d->selftest);
	json_string(j, "reason", d->reason);
	json_object_end(j);
}

static void row_text(const struct request *r, const struct tq_driver_info *d)
{
	printf("%-18s %-20s %-6s %4d  %-12s %-8s %-8s %s\n", *d->name ? d->name : "-",
	       *d->driver_name ? d->driver_name : d->plugin, d->memory, d->priority,
	       tq_driver_state_name(d->state), d->selftest, *d->device ? d->device : "-", d->reason);
	if (r->verbose)
		printf("    plugin %s %s, %s, needs %s, %s\n", d->plugin, d->version, d->licence,
		       *d->needs ? d->needs : "nothing", d->path);
}

static int list(const struct request *r, struct tq_context *ctx)
{
	struct tq_driver_info d = { .struct_size = sizeof(d) };
	unsigned failed = 0;
	struct json j;
	size_t i;
	int status;

	if (r->selftest) {
		status = tq_context_selftest(ctx, &failed);
		if (status != TQ_OK)
			return cli_fail_status(status, NULL);
	}
	if (r->json) {
		json_begin(&j, stdout);
		json_object(&j, NULL);
		json_string(&j, "version", tq_version());
		json_array(&j, "drivers");
	} else {
		printf("%-18s %-20s %-6s %4s  %-12s %-8s %-8s %s\n", "NAME", "DRIVER", "MEMORY", "PRIO",
		       "STATE", "SELFTEST", "DEVICE", "REASON");
	}
	for (i = 0; tq_context_driver(ctx, i, &d) == TQ_OK; i++) {
		if (r->json)
			row_json(&j, &d);
		else
			row_text(r, &d);
	}
	if (r->json) {
		json_array_end(&j);
		json_unsigned(&j, "failed", failed);
		json_object_end(&j);
	} else {
		putchar('\n');
		tq_context_machine(ctx, stdout, false);
	}
	if (failed)
		return cli_fail(CLI_UNMET, "%u driver(s) failed the self-test", failed);
	return 0;
}

/* ---- one spec ---- */

static const char *const stages[TQ_STAGE_COUNT] = { "rotate", "sketch", "quantize",
						    "score",  "encode", "decode" };

static int explain_json(const struct tq_quantizer *q, const char *spec)
{
	char *text = NULL, *line, *rest;
	size_t size;
	FILE *lines = open_memstream(&text, &size);
	struct json j;
	int s;

	if (!lines)
		return cli_fail(CLI_UNMET, "out of memory");
	tq_quantizer_explain(q, lines);
	if (fclose(lines)) {
		free(text);
		return cli_fail(CLI_UNMET, "out of memory");
	}
	json_begin(&j, stdout);
	json_object(&j, NULL);
	json_string(&j, "spec", spec);
	json_unsigned(&j, "dim", tq_dim(q));
	json_unsigned(&j, "bytes_per_row", tq_code_size(q));
	json_object(&j, "drivers");
	for (s = 0; s < TQ_STAGE_COUNT; s++)
		json_string(&j, stages[s], tq_quantizer_driver(q, s));
	json_object_end(&j);
	json_array(&j, "reasons");
	for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
		json_string(&j, NULL, line);
	json_array_end(&j);
	json_object_end(&j);
	free(text);
	return 0;
}

static int explain(const struct request *r, struct tq_context *ctx)
{
	struct tq_quantizer_options options = { .struct_size = sizeof(options), .driver = r->driver };
	char text[TQ_SPEC_STRING_MAX];
	struct tq_quantizer *q;
	struct tq_spec spec;
	float *centre = NULL;
	int status, s, ret = 0;

	tq_spec_init(&spec);
	status = tq_spec_parse(&spec, r->spec);
	if (status == TQ_OK)
		status = tq_spec_check(&spec, (uint32_t)r->dim);
	if (status != TQ_OK)
		return cli_fail_status(status, NULL);
	if (spec.center != TQ_CENTER_OFF) {
		centre = calloc(r->dim, sizeof(*centre));
		options.centre = centre;
	}
	status = tq_quantizer_create(ctx, &spec, (uint32_t)r->dim, &options, &q);
	free(centre);
	if (status != TQ_OK)
		return cli_fail_status(status, NULL);
	tq_spec_print(&spec, text, sizeof(text));
	if (r->json) {
		ret = explain_json(q, text);
		goto out;
	}
	printf("spec: %s\ndim: %u\nbytes per row: %zu\n", text, tq_dim(q), tq_code_size(q));
	for (s = 0; s < TQ_STAGE_COUNT; s++)
		printf("%-9s %s\n", stages[s],
		       *tq_quantizer_driver(q, s) ? tq_quantizer_driver(q, s) : "-");
	putchar('\n');
	tq_quantizer_explain(q, stdout);
out:
	tq_quantizer_destroy(q);
	return ret;
}

/* ---- one plugin file ---- */

static int conform_here(const struct request *r)
{
	struct tq_options options = { .struct_size = sizeof(options),
				      .flags = TQ_NO_ENV | TQ_NO_CONFIG | TQ_NO_PLUGIN_SEARCH };
	struct tq_driver_info d = { .struct_size = sizeof(d) };
	struct tq_context *ctx;
	size_t i, bad = 0, seen = 0;
	unsigned failed;
	struct json j;
	char *path;
	int status;

	path = realpath(r->plugin, NULL);
	if (!path)
		return cli_fail(CLI_USAGE, "%s: no such file", r->plugin);
	options.plugin_path = path;
	status = tq_context_create(&options, &ctx);
	free(path);
	if (status != TQ_OK)
		return cli_fail_status(status, r->plugin);
	status = tq_context_selftest(ctx, &failed);
	if (status != TQ_OK) {
		tq_context_destroy(ctx);
		return cli_fail_status(status, r->plugin);
	}
	if (r->json) {
		json_begin(&j, stdout);
		json_object(&j, NULL);
		json_string(&j, "file", r->plugin);
		json_array(&j, "drivers");
	}
	for (i = 0; tq_context_driver(ctx, i, &d) == TQ_OK; i++) {
		if (!strcmp(d.path, "(built in)"))
			continue;
		seen++;
		bad += d.state != TQ_STATE_SELECTABLE;
		if (r->json)
			row_json(&j, &d);
		else
			row_text(r, &d);
	}
	if (r->json) {
		json_array_end(&j);
		json_unsigned(&j, "failed", bad);
		json_object_end(&j);
	}
	tq_context_destroy(ctx);
	if (!seen)
		return cli_fail(CLI_UNMET, "%s: no driver in it", r->plugin);
	return bad ? cli_fail(CLI_UNMET, "%s: %zu of %zu drivers do not conform", r->plugin, bad, seen) : 0;
}

/* What the child did not get to say. */
static void crash_json(const struct request *r)
{
	struct json j;

	json_begin(&j, stdout);
	json_object(&j, NULL);
	json_string(&j, "file", r->plugin);
	json_array(&j, "drivers");
	json_array_end(&j);
	json_unsigned(&j, "failed", 1);
	json_object_end(&j);
	cli_flush();
}

/* In a child, so that a plugin that crashes is a result and not the end of the program. */
static int conform(const struct request *r)
{
	int state, ret;
	pid_t child;

	if (!r->isolate)
		return conform_here(r);
	fflush(NULL);
	child = fork();
	if (child < 0)
		return cli_fail(CLI_UNMET, "cannot fork");
	if (!child) {
		ret = conform_here(r);
		fflush(NULL);
		_exit(ret);
	}
	if (waitpid(child, &state, 0) < 0)
		return cli_fail(CLI_UNMET, "cannot wait for the test");
	if (WIFSIGNALED(state) && r->json)
		crash_json(r);
	if (WIFSIGNALED(state))
		return cli_fail(CLI_UNMET, "%s: crashed with signal %d (%s)", r->plugin, WTERMSIG(state),
				strsignal(WTERMSIG(state)));
	return WEXITSTATUS(state);
}

/* ---- the command line ---- */

static void set_mode(struct request *r, enum mode mode)
{
	r->mode = mode;
	r->modes++;
}

/* Options that the mode would ignore are mistakes. */
static int check_request(const struct request *r)
{
	bool lists = r->mode == LIST;
	const struct {
		bool wrong;
		const char *text;
	} rules[] = {
		{ r->modes > 1, "one of --explain, --conform, --calibrate, --machine, --dump-config and "
				"--show-config at a time" },
		{ r->json && (r->mode == DUMP || r->mode == SHOW || r->mode == CALIBRATE),
		  "--json: a configuration is shown in its own syntax" },
		{ r->isolate && r->mode != CONFORM, "--isolate belongs to --conform" },
		{ r->selftest && !lists, "--selftest belongs to the list of drivers" },
		{ r->mode == EXPLAIN && !r->dim, "--explain needs --dim" },
		{ r->dim && r->mode != EXPLAIN, "--dim belongs to --explain" },
		{ r->driver && r->mode != EXPLAIN, "--driver belongs to --explain" },
		{ r->output && r->mode != CALIBRATE, "--output belongs to --calibrate" },
		{ r->config && (r->mode == CONFORM || r->mode == DUMP),
		  "--config: no configuration is read here" },
		{ r->verbose && !lists && r->mode != CONFORM, "--verbose belongs to the list and to --conform" },
	};

	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		if (rules[i].wrong)
			return cli_fail(CLI_USAGE, "%s", rules[i].text);
	return 0;
}

static int parse(struct request *r, int argc, char **argv)
{
	static const struct option options[] = {
		{ "verbose", no_argument, NULL, 'v' },	       { "json", no_argument, NULL, 'j' },
		{ "selftest", no_argument, NULL, 's' },	       { "explain", required_argument, NULL, 'e' },
		{ "dim", required_argument, NULL, 'd' },       { "driver", required_argument, NULL, 'D' },
		{ "conform", required_argument, NULL, 'c' },   { "isolate", no_argument, NULL, 'i' },
		{ "machine", no_argument, NULL, 'm' },	       { "dump-config", no_argument, NULL, 'p' },
		{ "show-config", no_argument, NULL, 'w' },     { "config", required_argument, NULL, 'C' },
		{ "help", no_argument, NULL, 'h' },	       { "version", no_argument, NULL, 'V' },
		{ "calibrate", no_argument, NULL, 'b' },       { "output", required_argument, NULL, 'o' },
		{ 0 },
	};
	int letter, ret;

	while ((letter = getopt_long(argc, argv, "vh", options, NULL)) != -1) {
		switch (letter) {
		case 'v':
			r->verbose = true;
			break;
		case 'j':
			r->json = true;
			break;
		case 's':
			r->selftest = true;
			break;
		case 'i':
			r->isolate = true;
			break;
		case 'e':
			set_mode(r, EXPLAIN);
			r->spec = optarg;
			break;
		case 'd':
			ret = cli_number("--dim", optarg, 1, TQ_MAX_DIM, &r->dim);
			if (ret)
				return ret;
			break;
		case 'D':
			r->driver = optarg;
			break;
		case 'C':
			r->config = optarg;
			break;
		case 'c':
			set_mode(r, CONFORM);
			r->plugin = optarg;
			break;
		case 'm':
			set_mode(r, MACHINE);
			break;
		case 'b':
			set_mode(r, CALIBRATE);
			break;
		case 'o':
			r->output = optarg;
			break;
		case 'p':
			set_mode(r, DUMP);
			break;
		case 'w':
			set_mode(r, SHOW);
			break;
		case 'h':
			fputs(usage, stdout);
			exit(cli_flush());
		case 'V':
			printf("tq-probe %s\n", tq_version());
			exit(cli_flush());
		default:
			exit(CLI_USAGE);
		}
	}
	if (optind < argc)
		return cli_fail(CLI_USAGE, "'%s' is not an option; see tq-probe --help", argv[optind]);
	return check_request(r);
}

int main(int argc, char **argv)
{
	struct tq_options options = { .struct_size = sizeof(options) };
	struct request r = { 0 };
	struct tq_context *ctx;
	int ret, status;

	cli_program = "tq-probe";
	ret = parse(&r, argc, argv);
	if (ret)
		return ret;
	if (r.mode == DUMP) {
		tq_config_dump(stdout);
		return cli_flush();
	}
	if (r.mode == CONFORM) {
		ret = conform(&r);
		return ret ? ret : cli_flush();
	}
	options.config_file = r.config;
	status = tq_context_create(&options, &ctx);
	if (status != TQ_OK)
		return cli_fail_status(status, NULL);
	switch (r.mode) {
	case CALIBRATE:
		status = tq_context_calibrate(ctx, r.output, stdout);
		ret = status == TQ_OK ? 0 : cli_fail_status(status, NULL);
		break;
	case EXPLAIN:
		ret = explain(&r, ctx);
		break;
	case MACHINE:
		tq_context_machine(ctx, stdout, r.json);
		break;
	case SHOW:
		tq_context_config(ctx, stdout);
		break;
	default:
		ret = list(&r, ctx);
	}
	tq_context_destroy(ctx);
	return ret ? ret : cli_flush();
}
