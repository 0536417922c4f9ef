/* SPDX-License-Identifier: Apache-2.0 */

/* tq index eval: recall against the true neighbours, queries per second, bytes, for specs and nprobes. */

#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "cli.h"
#include "ids.h"
#include "index_eval.h"
#include "index_tool.h"
#include "json.h"

#define NQ 256
#define RUNS 3

/**
 * struct evaluation - the vectors and what is true of them
 * @truth: rows of the k nearest of each query, the nearest first
 */
struct evaluation {
	const struct index_options *o;
	struct vectors base, queries;
	uint64_t n, nq, k;
	float *rows, *x;
	int64_t *truth;
};

/* ---- truth ---- */

static double dot(const float *a, const float *b, uint32_t dim)
{
	double lane[8] = {0}, sum = 0;
	uint32_t i = 0;

	for (; i + 8 <= dim; i += 8)
		for (uint32_t l = 0; l < 8; l++)
			lane[l] += (double)a[i + l] * (double)b[i + l];
	for (; i < dim; i++)
		sum += (double)a[i] * (double)b[i];
	for (uint32_t l = 0; l < 8; l++)
		sum += lane[l];
	return sum;
}

/** nearest - the @k of highest score in f64, lower numbers first among equals */
static void nearest(const struct evaluation *e, const double *norms, const float *q, double *score,
		    int64_t *best)
{
	uint64_t have = 0, at;

	for (uint64_t j = 0; j < e->n; j++) {
		double s = dot(q, e->rows + j * e->base.dim, e->base.dim);

		if (e->o->metric == TQ_METRIC_COS && norms[j] > 0)
			s /= sqrt(norms[j]);
		else if (e->o->metric == TQ_METRIC_L2)
			s -= norms[j] / 2;
		if (have == e->k && !(s > score[e->k - 1]))
			continue;
		have += have < e->k;
		for (at = have - 1; at && s > score[at - 1]; at--) {
			score[at] = score[at - 1];
			best[at] = best[at - 1];
		}
		score[at] = s;
		best[at] = (int64_t)j;
	}
}

static int compute_truth(struct evaluation *e)
{
	double *norms = malloc(e->n * sizeof(*norms)), *score = malloc(e->k * sizeof(*score));
	int ret = norms && score ? 0 : cli_fail(CLI_UNMET, "out of memory");

	for (uint64_t j = 0; j < e->n && !ret; j++)
		norms[j] = dot(e->rows + j * e->base.dim, e->rows + j * e->base.dim, e->base.dim);
	for (uint64_t i = 0; i < e->nq && !ret; i++) {
		nearest(e, norms, e->x + i * e->base.dim, score, e->truth + i * e->k);
		progress("true neighbours", i + 1, e->nq);
		ret = interrupted();
	}
	free(norms);
	free(score);
	return ret;
}

static int read_truth(struct evaluation *e)
{
	struct ids gt;
	int ret = ids_read(e->o->gt, IDS_NEIGHBORS, &gt);

	if (ret)
		return ret;
	if (gt.rows < e->nq || gt.columns < e->k)
		ret = cli_fail(CLI_USAGE, "%s: has %" PRIu64 " rows of %" PRIu64 "; %" PRIu64 " of %" PRIu64
			       " are needed", e->o->gt, gt.rows, gt.columns, e->nq, e->k);
	else if (e->n < e->base.count)
		ret = cli_fail(CLI_USAGE, "--gt: speaks of all rows; --rows leaves some out");
	for (uint64_t i = 0; i < e->nq && !ret; i++)
		memcpy(e->truth + i * e->k, gt.ids + i * gt.columns, e->k * sizeof(*gt.ids));
	free(gt.ids);
	return ret;
}

static int load(struct evaluation *e, const char *base, const char *queries)
{
	int ret = vectors_open(&e->base, base, e->o->common.dim, VECTORS_TRAIN);

	if (ret)
		return ret;
	ret = vectors_open(&e->queries, queries, e->base.dim, VECTORS_TEST);
	if (ret)
		goto err_close;
	e->n = e->o->rows && e->o->rows < e->base.count ? e->o->rows : e->base.count;
	e->nq = e->o->nq ? e->o->nq : NQ;
	e->nq = e->nq < e->queries.count ? e->nq : e->queries.count;
	e->k = e->o->k < e->n ? e->o->k : e->n;
	if (!e->n || !e->nq) {
		ret = cli_fail(CLI_USAGE, "%s: has no rows", e->n ? queries : base);
	} else {
		ret = index_queries(&e->base, e->n, &e->rows);
		if (!ret)
			ret = index_queries(&e->queries, e->nq, &e->x);
	}
	if (!ret) {
		e->truth = malloc(e->nq * e->k * sizeof(*e->truth));
		ret = !e->truth ? cli_fail(CLI_UNMET, "out of memory") :
		      e->o->gt ? read_truth(e) : compute_truth(e);
	}
	vectors_close(&e->queries);
err_close:
	vectors_close(&e->base);
	return ret;
}

/* ---- measuring ---- */

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int give_rows(void *arg, const int64_t *ids, size_t n, float *rows)
{
	const struct evaluation *e = arg;

	for (size_t i = 0; i < n; i++)
		memcpy(rows + i * e->base.dim, e->rows + (uint64_t)ids[i] * e->base.dim,
		       e->base.dim * sizeof(*rows));
	return 0;
}

/** search_once - seconds for all queries, @batch of them at a time */
static int search_once(const struct evaluation *e, const struct tq_index *ix, uint32_t nprobe,
		       uint64_t batch, int64_t *ids, double *seconds)
{
	struct tq_index_search_options o = {.struct_size = sizeof(o), .nprobe = nprobe,
					    .rerank = rerank_of(e->o, e->k),
					    .exactness = e->o->exactness};
	double begin = now();
	uint64_t n;
	int status;

	if (o.rerank && !e->o->refine) {
		o.fetch = give_rows;
		o.fetch_arg = (void *)(uintptr_t)e;
	}
	for (uint64_t i = 0; i < e->nq; i += n) {
		n = e->nq - i < batch ? e->nq - i : batch;
		status = tq_index_search(ix, e->x + i * e->base.dim, e->base.dim, n, e->k, &o,
					 ids + i * e->k, NULL);
		if (status)
			return cli_fail_status(status, e->queries.path);
	}
	*seconds = now() - begin + 1e-9;
	return 0;
}

static int fastest(const struct evaluation *e, const struct tq_index *ix, uint32_t nprobe, uint64_t batch,
		   int64_t *ids, double *qps)
{
	double seconds = 1;
	int ret = 0;

	*qps = 0;
	for (int run = 0; run < RUNS && !ret; run++) {
		ret = search_once(e, ix, nprobe, batch, ids, &seconds);
		*qps = fmax(*qps, (double)e->nq / seconds);
	}
	return ret;
}

static void count_hits(const struct evaluation *e, const int64_t *ids, struct index_result *r)
{
	uint64_t all = 0, first = 0;

	for (uint64_t i = 0; i < e->nq; i++)
		for (uint64_t t = 0; t < e->k; t++)
			for (uint64_t f = 0; f < e->k; f++)
				if (ids[i * e->k + f] == e->truth[i * e->k + t]) {
					all++;
					first += t == 0;
					break;
				}
	r->recall_k = (double)all / (double)(e->nq * e->k);
	r->recall_1 = (double)first / (double)e->nq;
}

static int measure(const struct evaluation *e, const struct tq_index *ix, struct index_result *r)
{
	struct tq_index_info info = {.struct_size = sizeof(info)};
	int64_t *ids = malloc(e->nq * e->k * sizeof(*ids));
	int ret = ids ? 0 : cli_fail(CLI_UNMET, "out of memory");

	tq_index_describe(ix, &info);
	r->bytes = info.row_bytes;
	if (!ret)
		ret = fastest(e, ix, r->nprobe, e->nq, ids, &r->qps_batch);
	if (!ret)
		ret = fastest(e, ix, r->nprobe, 1, ids, &r->qps);
	if (!ret)
		count_hits(e, ids, r);
	free(ids);
	return ret;
}

/** measure_spec - build, then each nprobe; @n receives how many results there are */
static int measure_spec(const struct evaluation *e, struct tq_context *ctx, const char *spec,
			struct index_result *r, size_t *n)
{
	struct index_options o = *e->o;
	struct vectors in = e->base;
	struct tq_index *ix;
	double begin;
	int ret;

	ret = vectors_open(&in, e->base.path, e->o->common.dim, VECTORS_TRAIN);
	if (ret)
		return ret;
	in.count = e->n;
	ret = index_make(&o, ctx, spec, &in, &ix);
	vectors_close(&in);
	if (ret)
		return ret;
	begin = now();
	if (tq_index_add(ix, e->rows, e->base.dim, e->n, NULL))
		ret = cli_fail_status(TQ_ERR_ARG, e->base.path);
	begin = now() - begin + 1e-9;
	for (*n = 0; !ret && *n < (o.nnprobes ? o.nnprobes : 1); (*n)++) {
		r[*n] = (struct index_result){.given = spec ? spec : "preset=search",
					      .build = (double)e->n / begin,
					      .nprobe = o.nlist > 1 && o.nnprobes ? o.nprobes[*n] : 0};
		ret = measure(e, ix, &r[*n]);
	}
	tq_index_destroy(ix);
	return ret;
}

/* ---- reporting ---- */

static void print_results(const struct evaluation *e, const struct index_result *r, size_t n)
{
	char k[24];
	struct json j;

	if (!e->o->common.json) {
		snprintf(k, sizeof(k), "%" PRIu64, e->k);
		if (staged_of(e->o))
			printf("exactness %g where one query is searched in two stages\n", (double)e->o->exactness);
		printf("%-28s nprobe bytes | %2s@%-4s 1@%-4s |  queries/s   in batch | build rows/s\n", "spec",
		       k, k, k);
		for (size_t i = 0; i < n; i++)
			printf("%-28s %6u %5" PRIu64 " | %.4f  %.4f | %10.0f %10.0f | %12.0f\n", r[i].given,
			       r[i].nprobe, r[i].bytes, r[i].recall_k, r[i].recall_1, r[i].qps,
			       r[i].qps_batch, r[i].build);
		return;
	}
	json_begin(&j, stdout);
	json_object(&j, NULL);
	json_string(&j, "input", e->base.path);
	json_string(&j, "queries", e->queries.path);
	json_string(&j, "metric", tq_metric_name(e->o->metric));
	json_unsigned(&j, "rows", e->n);
	json_unsigned(&j, "query_rows", e->nq);
	json_unsigned(&j, "k", e->k);
	json_unsigned(&j, "partitions", e->o->nlist > 1 ? e->o->nlist : 0);
	json_number(&j, "exactness", e->o->exactness > 0.0f ? (double)e->o->exactness : 1.0);
	json_array(&j, "results");
	for (size_t i = 0; i < n; i++) {
		json_object(&j, NULL);
		json_string(&j, "given", r[i].given);
		json_unsigned(&j, "nprobe", r[i].nprobe);
		json_unsigned(&j, "bytes_per_row", r[i].bytes);
		json_number(&j, "recall_k_at_k", r[i].recall_k);
		json_number(&j, "recall_1_at_k", r[i].recall_1);
		json_number(&j, "queries_per_second", r[i].qps);
		json_number(&j, "queries_per_second_batch", r[i].qps_batch);
		json_number(&j, "build_rows_per_second", r[i].build);
		json_object_end(&j);
	}
	json_array_end(&j);
	json_object_end(&j);
}

int index_eval(int argc, char **argv)
{
	static struct index_result results[INDEX_SPECS_MAX * INDEX_PROBES_MAX];
	struct evaluation e = {0};
	struct index_options o;
	struct tq_context *ctx;
	size_t n = 0, got = 0;
	int ret = index_parse(argc, argv, &o, "smikpgrqvfax", 2, "tq index eval BASE QUERIES [--spec S]...");

	if (ret)
		return ret;
	catch_interrupt();
	e.o = &o;
	ret = settings_context(&o.common, &ctx);
	if (ret)
		return ret;
	ret = load(&e, argv[optind], argv[optind + 1]);
	for (size_t i = 0; !ret && i < (o.nspecs ? o.nspecs : 1); i++, n += got)
		ret = measure_spec(&e, ctx, o.specs[i], results + n, &got);
	if (!ret && o.svg)
		ret = index_draw(o.svg, argv[optind], results, n);
	if (!ret) {
		print_results(&e, results, n);
		ret = cli_flush();
	}
	free(e.truth);
	free(e.x);
	free(e.rows);
	tq_context_destroy(ctx);
	return ret;
}
