/* SPDX-License-Identifier: Apache-2.0 */

/* tq index: which of its commands, their options, and rows from a file into an index. */

#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "cli.h"
#include "ids.h"
#include "index_tool.h"
#include "ranks.h"

#define BATCH_BYTES (16u << 20)
#define SAMPLE_ROWS 65536
#define ROWS_PER_LIST 128

int command_index(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(int argc, char **argv);
	} commands[] = {{"build", index_build}, {"add", index_add}, {"search", index_search},
			{"info", index_show}, {"eval", index_eval}};

	if (argc > 1 && ranks_size() > 1 && strcmp(argv[1], "build") && strcmp(argv[1], "search"))
		return cli_fail(CLI_USAGE, "tq index %s does not run on several ranks; build and search do", argv[1]);
	for (size_t i = 0; argc > 1 && i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(argv[1], commands[i].name)) {
			argv[1] = argv[0];
			return commands[i].run(argc - 1, argv + 1);
		}
	return cli_fail(CLI_USAGE, "usage: tq index build | add | search | info | eval [OPTIONS]");
}

/* ---- options ---- */

static const struct option long_options[] = {
	{"spec", required_argument, NULL, 's'},	  {"metric", required_argument, NULL, 'm'},
	{"ivf", required_argument, NULL, 'i'},	  {"ids", required_argument, NULL, 'n'},
	{"log", no_argument, NULL, 'l'},	  {"nprobe", required_argument, NULL, 'p'},
	{"out", required_argument, NULL, 'o'},	  {"scores", required_argument, NULL, 'c'},
	{"gt", required_argument, NULL, 'g'},	  {"rows", required_argument, NULL, 'r'},
	{"nq", required_argument, NULL, 'q'},	  {"svg", required_argument, NULL, 'v'},
	{"refine", required_argument, NULL, 'f'}, {"rerank", required_argument, NULL, 'a'},
	{"exactness", required_argument, NULL, 'x'}, {"device", required_argument, NULL, 'd'}, SETTINGS_OPTIONS, {0},
};

static int take_metric(struct index_options *o, const char *text)
{
	for (o->metric = 0; o->metric <= TQ_METRIC_L2; o->metric++)
		if (!strcmp(text, tq_metric_name(o->metric)))
			return 0;
	return cli_fail(CLI_USAGE, "--metric: '%s' is none of ip, cos and l2", text);
}

static int take_number(const char *option, uint64_t max, uint64_t *value)
{
	return cli_number(option, optarg, 1, max, value);
}

static int take_exactness(struct index_options *o)
{
	char *end;

	o->exactness = strtof(optarg, &end);
	if (end != optarg && !*end && o->exactness > 0.0f && o->exactness <= 1.0f)
		return 0;
	return cli_fail(CLI_USAGE, "--exactness: '%s' is not above 0 and at most 1", optarg);
}

static int take_list(const char *option, size_t n, size_t most)
{
	return n < most ? 0 : cli_fail(CLI_USAGE, "%s: more than %zu", option, most);
}

static int take_option(struct index_options *o, int letter)
{
	uint64_t value = 0;
	int ret = 0;

	switch (letter) {
	case 's':
		ret = take_list("--spec", o->nspecs, INDEX_SPECS_MAX);
		if (!ret)
			o->specs[o->nspecs++] = optarg;
		return ret;
	case 'p':
		ret = take_list("--nprobe", o->nnprobes, INDEX_PROBES_MAX);
		if (!ret)
			ret = take_number("--nprobe", TQ_INDEX_MAX_LISTS, &value);
		if (!ret)
			o->nprobes[o->nnprobes++] = (uint32_t)value;
		return ret;
	case 'i':
		ret = take_number("--ivf", TQ_INDEX_MAX_LISTS, &value);
		o->nlist = (uint32_t)value;
		return ret;
	case 'm':
		return take_metric(o, optarg);
	case 'k':
		return take_number("-k", TQ_TOP_K_MAX, &o->k);
	case 'r':
		return take_number("--rows", UINT32_MAX, &o->rows);
	case 'q':
		return take_number("--nq", UINT32_MAX, &o->nq);
	case 'a':
		return take_number("--rerank", TQ_TOP_K_MAX, &o->rerank);
	case 'x':
		return take_exactness(o);
	case 'd':
		o->on_device = true;
		return cli_number("--device", optarg, 0, INT32_MAX, &o->device);
	case 'f':
		o->refine = optarg;
		return 0;
	case 'n':
		o->ids = optarg;
		return 0;
	case 'o':
		o->out = optarg;
		return 0;
	case 'c':
		o->scores = optarg;
		return 0;
	case 'g':
		o->gt = optarg;
		return 0;
	case 'v':
		o->svg = optarg;
		return 0;
	case 'l':
		o->log = true;
		return 0;
	default:
		return settings_take(&o->common, letter, optarg);
	}
}

int index_parse(int argc, char **argv, struct index_options *o, const char *allowed, int operands,
		const char *usage)
{
	int letter, ret = 0;

	*o = (struct index_options){.k = 10};
	while (!ret && (letter = getopt_long(argc, argv, "k:", long_options, NULL)) != -1) {
		/* what every command takes has capitals */
		if (letter >= 'a' && letter <= 'z' && !strchr(allowed, letter))
			return cli_fail(CLI_USAGE, "'%s' is no option of this command; usage: %s",
					argv[optind - 1], usage);
		ret = take_option(o, letter);
	}
	return ret ? ret : settings_operands(argc - optind, argv + optind, operands, usage);
}

/* ---- rows ---- */

/** take_sample - @n rows spread evenly over the file */
static int take_sample(const struct vectors *in, uint64_t n, float **rows)
{
	int ret = 0;

	*rows = malloc(n * in->dim * sizeof(float) + vectors_room_f32(in));
	if (!*rows)
		return cli_fail(CLI_UNMET, "out of memory");
	for (uint64_t i = 0; i < n && !ret; i++) {
		if (i % 1024 == 0)
			progress("sample", i, n);
		ret = vectors_read_f32(in, i * in->count / n, 1, *rows + i * in->dim);
	}
	if (!ret)
		progress("sample", n, n);
	else
		free(*rows);
	return ret;
}

static int train(struct tq_index *ix, uint32_t nlist, const struct vectors *in)
{
	uint64_t want = (uint64_t)nlist * ROWS_PER_LIST, n;
	float *rows;
	int status, ret;

	want = want > SAMPLE_ROWS ? want : SAMPLE_ROWS;
	n = in->count < want ? in->count : want;
	if (!n)
		return nlist > 1 ? cli_fail(CLI_USAGE, "%s: has no rows", in->path) : 0;
	ret = take_sample(in, n, &rows);
	if (ret)
		return ret;
	status = tq_index_train(ix, rows, in->dim, n);
	if (status == TQ_ERR_NONFINITE && tq_error_row() != TQ_NO_ROW)
		ret = vectors_nonfinite(in->path, tq_error_row() * in->count / n);
	else if (status)
		ret = cli_fail_status(status, in->path);
	free(rows);
	return ret;
}

int index_make(const struct index_options *o, struct tq_context *ctx, const char *spec,
	       const struct vectors *in, struct tq_index **ix)
{
	struct tq_index_options options = {.struct_size = sizeof(options), .metric = o->metric,
					   .nlist = o->nlist, .driver = o->common.driver,
					   .flags = staged_of(o)};
	struct tq_spec parsed, refine;
	const char *where = spec ? "--spec" : NULL;
	int status, ret;

	tq_spec_init(&parsed);
	tq_spec_init(&refine);
	status = tq_spec_parse(&parsed, "preset=search");
	if (!status && spec)
		status = settings_parse(&parsed, spec);
	if (!status && o->refine) {
		where = "--refine";
		status = settings_parse(&refine, o->refine);
		options.refine = &refine;
	}
	if (!status)
		status = tq_index_create(ctx, &parsed, in->dim, &options, ix);
	if (status)
		return cli_fail_status(status, where);
	ret = train(*ix, o->nlist, in);
	if (ret)
		tq_index_destroy(*ix);
	return ret;
}

/** add_rows - rows @from .. @to - 1 of the file */
static int add_rows(struct tq_index *ix, const struct vectors *in, uint64_t from, uint64_t to,
		    const int64_t *ids, float *rows, uint64_t batch)
{
	uint64_t n;
	int status, ret = 0;

	for (uint64_t first = from; first < to && !ret; first += n) {
		n = to - first < batch ? to - first : batch;
		progress("add", first - from, to - from);
		ret = interrupted();
		if (!ret)
			ret = vectors_read_f32(in, first, n, rows);
		if (ret)
			break;
		status = tq_index_add(ix, rows, in->dim, n, ids ? ids + first : NULL);
		if (status && tq_error_row() != TQ_NO_ROW)
			ret = cli_fail(cli_exit_of(status), "%s: row %" PRIu64 ": %s", in->path,
				       first + tq_error_row(),
				       status == TQ_ERR_ARG ? "its id is there already, or is none" :
							      tq_status_text(status));
		else if (status)
			ret = cli_fail_status(status, in->path);
	}
	if (!ret)
		progress("add", to - from, to - from);
	return ret;
}

static int number_rows(uint64_t n, struct ids *ids)
{
	ids->ids = malloc(n * sizeof(*ids->ids) + 1);
	for (uint64_t i = 0; ids->ids && i < n; i++)
		ids->ids[i] = (int64_t)i;
	return ids->ids ? 0 : cli_fail(CLI_UNMET, "out of memory");
}

int index_part(const char *path, char **part)
{
	int n = (int)strlen(path) - 3, ret;

	if (n < 1 || strcmp(path + n, ".tq"))
		return cli_fail(CLI_USAGE, "%s: name does not end in .tq", path);
	ret = ranks_size() == 1 ? asprintf(part, "%s", path) :
				  asprintf(part, "%.*s-%u-of-%u.tq", n, path, ranks_rank(), ranks_size());
	return ret < 0 ? cli_fail(CLI_UNMET, "out of memory") : 0;
}

int index_fill(struct tq_index *ix, const struct vectors *in, const char *path)
{
	uint64_t each = vectors_room_f32(in), batch = BATCH_BYTES / each + 1;
	uint64_t from = in->count * ranks_rank() / ranks_size(), to = in->count * (ranks_rank() + 1) / ranks_size();
	struct ids ids = {0};
	float *rows = malloc(batch * each);
	int ret = rows ? 0 : cli_fail(CLI_UNMET, "out of memory");

	if (!ret && path)
		ret = ids_read(path, "ids", &ids);
	if (!ret && path && ids.rows * ids.columns != in->count)
		ret = cli_fail(CLI_USAGE, "%s: has %" PRIu64 " ids for %" PRIu64 " rows", path,
			       ids.rows * ids.columns, in->count);
	/* rows that are not the first are numbered as in the whole */
	if (!ret && !path && ranks_size() > 1)
		ret = number_rows(in->count, &ids);
	if (!ret && tq_index_reserve(ix, to - from))
		ret = cli_fail(CLI_UNMET, "%s", tq_error_text());
	if (!ret)
		ret = add_rows(ix, in, from, to, ids.ids, rows, batch);
	free(ids.ids);
	free(rows);
	return ret;
}

int index_queries(const struct vectors *v, uint64_t most, float **rows)
{
	uint64_t n = most && v->count > most ? most : v->count;
	int ret;

	*rows = malloc(n * vectors_room_f32(v) + 1);
	if (!*rows)
		return cli_fail(CLI_UNMET, "out of memory");
	ret = vectors_read_f32(v, 0, n, *rows);
	if (ret)
		free(*rows);
	return ret;
}
