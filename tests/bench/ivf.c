/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Partitions against a full scan, in one process and one thread, one query at a time:
 *
 *	bench-ivf [-e EXACTNESS] [-r RERANK] [-t TRUTH.npy] BASE QUERIES FLAT.tq PARTITIONS.tq NPROBE...
 *
 * BASE and QUERIES are vectors, the indices `tq index build` made of BASE with consecutive ids. The full scan
 * and each NPROBE go over the queries in turn, GROUP of them at a time, so that another process that comes between
 * hits all alike, ROUNDS times, by the thread's CPU clock. Printed are the means of each group's median and least,
 * and recall against the true ten by inner products in f64 of rows and queries as they are (cos: of
 * rows scaled to norm 1, queries need no scale), which TRUTH.npy keeps for other runs. The full scan takes the
 * same RERANK (second codes). With an EXACTNESS below 1 partitions are scanned in two stages, and so is all, in
 * another run, while the first is the plain scan still.
 */

#include <math.h>
#include <stdlib.h>
#include <unistd.h>
#include "bench.h"
#include "cli.h"
#include "ids.h"
#include "tq/index.h"
#include "vectors.h"

#define K 10
#define RUNS_MAX 32
#define NQ 400
#define GROUP 10
#define ROUNDS 9

struct run {
	const struct tq_index *ix;
	const struct run_data *data;
	struct tq_index_search_options o;
	double recall, median, least;
};

struct run_data {
	float *base, *queries;
	size_t n, nq, dim;
	uint32_t metric;
	int64_t *truth, *found;
};

static float *read_all(const char *path, const char *dataset, size_t most, struct vectors *v)
{
	float *x;

	if (vectors_open(v, path, 0, dataset))
		exit(1);
	if (v->count > most)
		v->count = most;
	x = malloc(v->count * vectors_room_f32(v));
	if (!x || vectors_read_f32(v, 0, v->count, x))
		bench_die("%s: not read", path);
	vectors_close(v);
	return x;
}

static double inner(const float *a, const float *b, size_t dim)
{
	double lane[8] = {0};
	size_t i, j;

	for (i = 0; i + 8 <= dim; i += 8)
		for (j = 0; j < 8; j++)
			lane[j] += (double)a[i + j] * b[i + j];
	for (; i < dim; i++)
		lane[i % 8] += (double)a[i] * b[i];
	return ((lane[0] + lane[1]) + (lane[2] + lane[3])) + ((lane[4] + lane[5]) + (lane[6] + lane[7]));
}

/* The ten of the highest score, in no order that matters */
static void find_truth(struct run_data *d)
{
	double best[K], s, *norm = malloc(d->n * sizeof(*norm));
	size_t i, j, at;
	int64_t *ids;

	d->truth = malloc(d->nq * K * sizeof(*d->truth));
	if (!norm || !d->truth)
		bench_die("out of memory");
	for (j = 0; j < d->n; j++)
		norm[j] = inner(d->base + j * d->dim, d->base + j * d->dim, d->dim);
	for (i = 0; i < d->nq; i++) {
		ids = d->truth + i * K;
		for (at = 0; at < K; at++)
			best[at] = -INFINITY;
		for (j = 0; j < d->n; j++) {
			s = inner(d->queries + i * d->dim, d->base + j * d->dim, d->dim);
			if (d->metric == TQ_METRIC_COS)
				s = norm[j] > 0 ? s / sqrt(norm[j]) : 0;
			else if (d->metric == TQ_METRIC_L2)
				s -= norm[j] / 2;
			if (!(s > best[K - 1]))
				continue;
			for (at = K - 1; at && s > best[at - 1]; at--) {
				best[at] = best[at - 1];
				ids[at] = ids[at - 1];
			}
			best[at] = s;
			ids[at] = (int64_t)j;
		}
	}
	free(norm);
}

static void search(const struct run *r, size_t first, size_t n)
{
	const struct run_data *d = r->data;
	size_t i;

	for (i = first; i < first + n; i++)
		if (tq_index_search(r->ix, d->queries + i * d->dim, d->dim, 1, K, &r->o, d->found + i * K, NULL))
			bench_die("search: %s", tq_error_text());
}

/*
 * Microseconds per query. At each step every run has another group of queries: what one leaves in the caches is not
 * what the next will read. A query that is not timed goes before, so that neither pays for what the other has put
 * there.
 */
static void measure(struct run *runs, size_t nruns, size_t nq)
{
	static double t[RUNS_MAX][NQ / GROUP][ROUNDS];
	size_t groups = nq / GROUP, step, i, j, g;
	double begin;

	for (j = 0; j < ROUNDS; j++)
		for (step = 0; step < groups; step++)
			for (i = 0; i < nruns; i++) {
				g = (step + i * (groups / nruns + 1)) % groups;
				search(&runs[i], (g + groups / 2) % groups * GROUP, 1);
				begin = bench_clock_ns(false);
				search(&runs[i], g * GROUP, GROUP);
				t[i][g][j] = 1e-3 * (bench_clock_ns(false) - begin);
			}
	for (i = 0; i < nruns; i++)
		for (g = 0; g < groups; g++) {
			runs[i].median += bench_median(t[i][g], ROUNDS) / (double)(groups * GROUP);
			runs[i].least += t[i][g][0] / (double)(groups * GROUP);
		}
}

static void find_recall(struct run *r)
{
	const struct run_data *d = r->data;
	size_t i, j, l, hits = 0;

	search(r, 0, d->nq);
	for (i = 0; i < d->nq; i++)
		for (j = 0; j < K; j++)
			for (l = 0; l < K; l++)
				hits += d->found[i * K + j] == d->truth[i * K + l];
	r->recall = (double)hits / (double)(d->nq * K);
}

static struct tq_index *open_index(struct tq_context *ctx, const char *path, float exactness, size_t n,
				   uint32_t *metric)
{
	struct tq_index_info info = {.struct_size = sizeof(info)};
	struct tq_index *ix;

	uint32_t flags = exactness < 1.0f ? TQ_INDEX_STAGED : 0;

	if (tq_index_open(ctx, path, flags, NULL, &ix) || tq_index_describe(ix, &info))
		bench_die("%s: %s", path, tq_error_text());
	if (info.count != n)
		bench_die("%s: has %llu rows of %zu", path, (unsigned long long)info.count, n);
	printf("%s: %u partitions, %llu bytes per row and id\n", path, info.nlist,
	       (unsigned long long)info.row_bytes);
	*metric = info.metric;
	return ix;
}

static void take_truth(struct run_data *d, const char *path)
{
	struct ids kept = {.columns = K};

	if (!path || access(path, R_OK)) {
		find_truth(d);
		kept.ids = d->truth;
		kept.rows = d->nq;
		if (path && ids_write(path, &kept, NULL))
			exit(1);
		return;
	}
	if (ids_read(path, IDS_NEIGHBORS, &kept))
		exit(1);
	if (kept.rows != d->nq || kept.columns != K)
		bench_die("%s: is not of %zu queries, %d each", path, d->nq, K);
	d->truth = kept.ids;
}

static void make_run(struct run *r, const struct tq_index *ix, const struct run_data *d,
		     const struct tq_index_search_options *o)
{
	*r = (struct run){.ix = ix, .data = d, .o = *o};
	find_recall(r);
}

/* The command line: runs of the full scan, plain and as @o asks for, and of each NPROBE */
static size_t make_runs(char **probes, const struct tq_index *flat, const struct tq_index *ivf, const struct run_data *d,
			const struct tq_index_search_options *o, struct run *runs)
{
	struct tq_index_search_options plain = *o, some = *o;
	size_t n = 0;

	plain.exactness = 1.0f;
	make_run(&runs[n++], flat, d, &plain);
	if (o->exactness < 1.0f)
		make_run(&runs[n++], flat, d, o);
	for (; *probes; probes++) {
		some.nprobe = (uint32_t)atoi(*probes);
		make_run(&runs[n++], ivf, d, &some);
	}
	return n;
}

int main(int argc, char **argv)
{
	struct tq_options co = {.struct_size = sizeof(co), .threads = 1};
	static struct run runs[RUNS_MAX];
	const char *truth = NULL;
	struct run_data d = {0};
	struct tq_index *flat, *ivf;
	struct tq_context *ctx;
	struct tq_index_search_options o = {.struct_size = sizeof(o), .exactness = 1.0f};
	size_t n, i;
	struct vectors v;
	int c;

	while ((c = getopt(argc, argv, "e:r:t:")) != -1) {
		if (c == 'r')
			o.rerank = (size_t)atoi(optarg);
		if (c == 'e')
			o.exactness = strtof(optarg, NULL);
		if (c == 't')
			truth = optarg;
	}
	argv += optind;
	argc -= optind;
	if (argc < 5 || argc - 3 >= RUNS_MAX)
		bench_die("usage: bench-ivf [-e EXACTNESS] [-r RERANK] [-t TRUTH.npy] BASE QUERIES FLAT.tq "
			  "PARTITIONS.tq NPROBE...");
	d.base = read_all(argv[0], VECTORS_TRAIN, SIZE_MAX, &v);
	d.n = v.count;
	d.queries = read_all(argv[1], VECTORS_TEST, NQ, &v);
	d.nq = v.count;
	d.dim = v.dim;
	if (d.nq < GROUP)
		bench_die("%s: has fewer than %d queries", argv[1], GROUP);
	d.found = malloc(d.nq * K * sizeof(*d.found));
	if (!d.found || tq_context_create(&co, &ctx))
		bench_die("no context");
	flat = open_index(ctx, argv[2], o.exactness, d.n, &d.metric);
	ivf = open_index(ctx, argv[3], o.exactness, d.n, &d.metric);
	take_truth(&d, truth);
	n = make_runs(argv + 4, flat, ivf, &d, &o, runs);
	measure(runs, n, d.nq);
	for (i = 0; i < n; i++)
		printf("%-13s %6u  recall %.4f  %8.1f us (least %8.1f)  %.3f (least %.3f)\n",
		       runs[i].o.nprobe ? "partitions" : i ? "in two stages" : "full scan", (unsigned)runs[i].o.nprobe, runs[i].recall, runs[i].median,
		       runs[i].least, runs[i].median / runs[0].median, runs[i].least / runs[0].least);
	free(d.truth);
	free(d.found);
	free(d.queries);
	free(d.base);
	tq_index_destroy(flat);
	tq_index_destroy(ivf);
	tq_context_destroy(ctx);
	return 0;
}
