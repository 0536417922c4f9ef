/* SPDX-License-Identifier: Apache-2.0 */

/* tq index build, add, search, info. */

#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "cli.h"
#include "ids.h"
#include "index_tool.h"
#include "json.h"
#include "ranks.h"
#include "tq/device_index.h"

/** report - what an index holds, after @seconds of work on it */
static int report(const struct index_options *o, const char *path, const struct tq_index *ix)
{
	const struct tq_quantizer *q = tq_index_quantizer(ix);
	struct tq_index_info info = {.struct_size = sizeof(info)};
	char spec[TQ_SPEC_STRING_MAX] = "", refine[TQ_SPEC_STRING_MAX] = "", drivers[256];
	struct json j;

	if (tq_index_refiner(ix))
		tq_spec_print(tq_quantizer_spec(tq_index_refiner(ix)), refine, sizeof(refine));
	tq_index_describe(ix, &info);
	tq_spec_print(tq_quantizer_spec(q), spec, sizeof(spec));
	driver_names(q, drivers, sizeof(drivers));
	if (!o->common.json) {
		printf("%s: %" PRIu64 " rows of %u, %" PRIu64 " bytes each with the id; metric %s",
		       path, info.count, info.dim, info.row_bytes, tq_metric_name(info.metric));
		if (info.nlist)
			printf("; %u partitions", info.nlist);
		if (*refine)
			printf("\nrefine %s, %" PRIu64 " of the bytes", refine, info.refine_bytes);
		printf("\nspec %s\nnext id %" PRId64 "\ndrivers %s\n", spec, info.next_id, drivers);
		return cli_flush();
	}
	json_begin(&j, stdout);
	json_object(&j, NULL);
	json_string(&j, "index", path);
	json_unsigned(&j, "rows", info.count);
	json_unsigned(&j, "dim", info.dim);
	json_unsigned(&j, "bytes_per_row", info.row_bytes);
	json_string(&j, "metric", tq_metric_name(info.metric));
	json_unsigned(&j, "partitions", info.nlist);
	json_integer(&j, "next_id", info.next_id);
	json_string(&j, "spec", spec);
	json_string(&j, "refine", refine);
	json_unsigned(&j, "refine_bytes", info.refine_bytes);
	json_string(&j, "drivers", drivers);
	json_object_end(&j);
	return cli_flush();
}

/** build - this rank's part of an index into @path */
static int build(const struct index_options *o, const char *base, const char *path)
{
	struct tq_context *ctx;
	struct tq_index *ix;
	struct vectors in;
	int ret = vectors_open(&in, base, o->common.dim, VECTORS_TRAIN);

	if (ret)
		return ret;
	ret = settings_context(&o->common, &ctx);
	if (ret)
		goto out_close;
	/* trained on all rows: every rank gets the same */
	ret = index_make(o, ctx, o->specs[0], &in, &ix);
	if (ret)
		goto out_destroy;
	ret = index_fill(ix, &in, o->ids);
	if (!ret && tq_index_save(ix, path))
		ret = cli_fail(CLI_UNMET, "%s", tq_error_text());
	if (!ret && ranks_rank() == 0)
		ret = report(o, path, ix);
	tq_index_destroy(ix);
out_destroy:
	tq_context_destroy(ctx);
out_close:
	vectors_close(&in);
	return ret;
}

int index_build(int argc, char **argv)
{
	struct index_options o;
	char *path = NULL;
	int ret = index_parse(argc, argv, &o, "sminf", 2, "tq index build BASE OUT.tq [--spec S]");

	if (!ret && o.nspecs > 1)
		ret = cli_fail(CLI_USAGE, "--spec: an index has one");
	if (!ret)
		ret = index_part(argv[optind + 1], &path);
	if (ret)
		return ret;
	catch_interrupt();
	ret = ranks_agree(build(&o, argv[optind], path));
	free(path);
	return ret;
}

/** open_index - with the context that it needs */
static int open_index(const struct index_options *o, const char *path, uint32_t flags,
		      struct tq_context **ctx, struct tq_index **ix)
{
	int status, ret = settings_context(&o->common, ctx);

	if (ret)
		return ret;
	status = tq_index_open(*ctx, path, flags, o->common.driver, ix);
	if (!status)
		return 0;
	ret = cli_fail_status(status, path);
	tq_context_destroy(*ctx);
	return ret;
}

int index_add(int argc, char **argv)
{
	struct index_options o;
	struct tq_context *ctx;
	struct tq_index *ix;
	struct vectors in;
	int ret = index_parse(argc, argv, &o, "nl", 2, "tq index add INDEX.tq IN [--ids F] [--log]");

	if (ret)
		return ret;
	catch_interrupt();
	ret = open_index(&o, argv[optind], o.log ? TQ_INDEX_LOG | TQ_INDEX_MAP : 0, &ctx, &ix);
	if (ret)
		return ret;
	ret = vectors_open(&in, argv[optind + 1], tq_dim(tq_index_quantizer(ix)), VECTORS_TRAIN);
	if (ret)
		goto out_destroy;
	ret = index_fill(ix, &in, o.ids);
	if (!ret && !o.log && tq_index_save(ix, argv[optind]))
		ret = cli_fail(CLI_UNMET, "%s", tq_error_text());
	if (!ret)
		ret = report(&o, argv[optind], ix);
	vectors_close(&in);
out_destroy:
	tq_index_destroy(ix);
	tq_context_destroy(ctx);
	return ret;
}

int index_show(int argc, char **argv)
{
	struct index_options o;
	struct tq_context *ctx;
	struct tq_index *ix;
	int ret = index_parse(argc, argv, &o, "", 1, "tq index info INDEX.tq");

	if (!ret)
		ret = open_index(&o, argv[optind], 0, &ctx, &ix);
	if (ret)
		return ret;
	ret = report(&o, argv[optind], ix);
	tq_index_destroy(ix);
	tq_context_destroy(ctx);
	return ret;
}

/* ---- search ---- */

/** distance - of a score, as ann-benchmarks has them: less is nearer whatever the metric */
static float distance(uint32_t metric, float score)
{
	return metric == TQ_METRIC_IP ? -score : metric == TQ_METRIC_COS ? 1.0f - score : sqrtf(fmaxf(score, 0.0f));
}

static int write_ids(const char *path, const struct ids *found, const float *scores, uint32_t metric)
{
	uint64_t n = found->rows * found->columns;
	float *distances = malloc(n * sizeof(*distances) + 1);
	int ret;

	if (!distances)
		return cli_fail(CLI_UNMET, "out of memory");
	for (uint64_t i = 0; i < n; i++)
		distances[i] = distance(metric, scores[i]);
	ret = ids_write(path, found, distances);
	free(distances);
	return ret;
}

static int write_found(const struct index_options *o, const struct ids *found, const float *scores,
		       uint32_t metric)
{
	struct output out = {0};
	int ret = o->out ? write_ids(o->out, found, scores, metric) : 0;

	if (ret || !o->scores)
		return ret;
	ret = vectors_create(&out, o->scores, TQ_F32, (uint32_t)found->columns, found->rows,
			     "scores");
	if (!ret)
		ret = vectors_write(&out, TQ_F32, (uint32_t)found->columns, scores, found->rows);
	if (!ret)
		ret = output_commit(&out);
	output_abort(&out);
	return ret;
}

static void print_found(const struct index_options *o, const char *index, const char *queries,
			const struct ids *found, const float *scores, double seconds)
{
	struct json j;

	if (o->common.json) {
		json_begin(&j, stdout);
		json_object(&j, NULL);
		json_string(&j, "index", index);
		json_string(&j, "queries", queries);
		json_unsigned(&j, "query_rows", found->rows);
		json_unsigned(&j, "k", found->columns);
		json_number(&j, "queries_per_second", (double)found->rows / seconds);
		json_object_end(&j);
		return;
	}
	for (uint64_t i = 0; !o->out && i < found->rows; i++)
		for (uint64_t k = 0; k < found->columns && found->ids[i * found->columns + k] >= 0; k++)
			printf("%" PRIu64 " %" PRId64 " %.9g\n", i, found->ids[i * found->columns + k],
			       (double)scores[i * found->columns + k]);
	if (o->out)
		printf("%" PRIu64 " queries, %.0f per second\n", found->rows,
		       (double)found->rows / seconds);
}

/**
 * search - this rank's part of the index for all queries; free() what @found and @scores receive
 * @gpu: the same rows in a GPU's memory, or NULL
 */
static int search(const struct index_options *o, const struct tq_index *ix, struct tq_device_index *gpu,
		  const struct vectors *in, struct ids *found, float **scores, double *seconds)
{
	struct tq_index_search_options so = {.struct_size = sizeof(so), .rerank = rerank_of(o, o->k)};
	struct timespec begin, end;
	float *rows;
	int status, ret;

	so.exactness = o->exactness;
	so.nprobe = o->nnprobes ? o->nprobes[0] : 0;
	found->rows = in->count;
	found->columns = o->k;
	*scores = malloc(in->count * o->k * sizeof(**scores) + 1);
	found->ids = malloc(in->count * o->k * sizeof(*found->ids) + 1);
	ret = *scores && found->ids ? index_queries(in, 0, &rows) : cli_fail(CLI_UNMET, "out of memory");
	if (ret)
		return ret;
	clock_gettime(CLOCK_MONOTONIC, &begin);
	status = gpu ? tq_device_index_search(gpu, rows, in->dim, in->count, o->k, found->ids, *scores) :
		       tq_index_search(ix, rows, in->dim, in->count, o->k, &so, found->ids, *scores);
	clock_gettime(CLOCK_MONOTONIC, &end);
	*seconds = (double)(end.tv_sec - begin.tv_sec) + 1e-9 * (double)(end.tv_nsec - begin.tv_nsec) + 1e-9;
	free(rows);
	if (status == TQ_ERR_NONFINITE && tq_error_row() != TQ_NO_ROW)
		return vectors_nonfinite(in->path, tq_error_row());
	return status ? cli_fail_status(status, in->path) : 0;
}

/** copy_rows - to the GPU that --device names, if it was given */
static int copy_rows(const struct index_options *o, struct tq_context *ctx, const struct tq_index *ix,
		     struct tq_queue **queue, struct tq_device_index **gpu)
{
	int status;

	if (!o->on_device)
		return 0;
	status = tq_queue_wrap_cuda(ctx, (int)o->device, NULL, queue);
	if (!status)
		status = tq_device_index_create(ix, *queue, gpu);
	return status ? cli_fail_status(status, "--device") : 0;
}

static int open_and_search(const struct index_options *o, const char *index, const char *queries, uint32_t *metric,
			   struct ids *found, float **scores, double *seconds)
{
	struct tq_index_info info = {.struct_size = sizeof(info)};
	struct tq_device_index *gpu = NULL;
	struct tq_queue *queue = NULL;
	struct tq_context *ctx;
	struct tq_index *ix;
	struct vectors in;
	/* the signs are made when a file is read */
	int ret = open_index(o, index, staged_of(o) ? TQ_INDEX_STAGED : TQ_INDEX_MAP, &ctx, &ix);

	if (ret)
		return ret;
	tq_index_describe(ix, &info);
	*metric = info.metric;
	ret = vectors_open(&in, queries, info.dim, VECTORS_TEST);
	if (!ret) {
		ret = copy_rows(o, ctx, ix, &queue, &gpu);
		if (!ret)
			ret = search(o, ix, gpu, &in, found, scores, seconds);
		vectors_close(&in);
	}
	tq_device_index_destroy(gpu);
	tq_queue_destroy(queue);
	tq_index_destroy(ix);
	tq_context_destroy(ctx);
	return ret;
}

int index_search(int argc, char **argv)
{
	struct ids found = {0};
	struct index_options o;
	float *scores = NULL;
	double seconds = 1;
	uint32_t metric = 0;
	char *path = NULL;
	int ret = index_parse(argc, argv, &o, "kpocaxd", 2, "tq index search INDEX.tq QUERIES [-k K] --out IDS.npy");

	if (!ret && o.nnprobes > 1)
		ret = cli_fail(CLI_USAGE, "--nprobe: a search has one");
	if (!ret && o.on_device && (o.nnprobes || o.rerank || o.exactness > 0.0f))
		ret = cli_fail(CLI_USAGE, "--device: a GPU scans all rows; --nprobe, --rerank and --exactness are not for it");
	if (!ret && o.out && o.scores && !strcmp(o.out, o.scores))
		ret = cli_fail(CLI_USAGE, "--scores: %s is where the ids go", o.scores);
	/* each rank would look again at the best of its own, one process at the best of all */
	if (!ret && o.rerank && ranks_size() > 1)
		ret = cli_fail(CLI_USAGE, "--rerank: not on several ranks");
	if (!ret)
		ret = index_part(argv[optind], &path);
	if (ret)
		return ret;
	catch_interrupt();
	ret = ranks_agree(open_and_search(&o, path, argv[optind + 1], &metric, &found, &scores, &seconds));
	if (!ret)
		ret = ranks_merge(metric, found.rows, found.columns, found.ids, scores);
	if (!ret && ranks_rank() == 0) {
		ret = write_found(&o, &found, scores, metric);
		if (!ret)
			print_found(&o, argv[optind], argv[optind + 1], &found, scores, seconds);
	}
	free(found.ids);
	free(scores);
	free(path);
	return ret ? ret : cli_flush();
}
