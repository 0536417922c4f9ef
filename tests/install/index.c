// SPDX-License-Identifier: Apache-2.0
/*
 * A vector index in a program, against the installed library alone: train, add, search, filter, re-rank, save,
 * a log of changes. docs/INTEGRATION.md shows this file. Exit status 0 if the answers are as they must be.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tq/tq.h>

enum { ROWS = 5000, DIM = 64, K = 10 };

static float rows[ROWS][DIM];

static void check(int status, const char *what)
{
	if (!status)
		return;
	fprintf(stderr, "%s: %s\n", what, tq_error_text());
	exit(1);
}

/* The program's own storage, for exact scores */
static int fetch(void *arg, const int64_t *ids, size_t n, float *out)
{
	(void)arg;
	for (size_t i = 0; i < n; i++)
		memcpy(out + i * DIM, rows[ids[i] - 1000], sizeof(rows[0]));
	return 0;
}

static int is_even(void *arg, int64_t id)
{
	(void)arg;
	return id % 2 == 0;
}

int main(void)
{
	struct tq_index_options o = {.struct_size = sizeof(o), .metric = TQ_METRIC_L2, .nlist = 32};
	struct tq_index_search_options so = {.struct_size = sizeof(so), .nprobe = 8};
	struct tq_index_info info = {.struct_size = sizeof(info)};
	int64_t ids[ROWS], found[K], again[K];
	float scores[K], exact[K];
	struct tq_context *ctx;
	struct tq_index *index;
	struct tq_spec spec;
	uint32_t lcg = 1;

	for (int i = 0; i < ROWS; i++) {
		ids[i] = 1000 + i;
		for (int j = 0; j < DIM; j++) {
			lcg = lcg * 1664525u + 1013904223u;
			rows[i][j] = (float)(int32_t)lcg * 0x1p-31f + (float)(i % 50 == j);
		}
	}

	check(tq_context_create(NULL, &ctx), "context");
	tq_spec_init(&spec);
	check(tq_spec_parse(&spec, "preset=search bits=4"), "spec");
	check(tq_index_create(ctx, &spec, DIM, &o, &index), "index");
	check(tq_index_train(index, &rows[0][0], DIM, ROWS), "train");
	check(tq_index_add(index, &rows[0][0], DIM, ROWS, ids), "add");
	check(tq_index_save(index, "rows.tq"), "save");
	tq_index_destroy(index);

	/* another process: nothing is read but what a search touches; changes survive a crash */
	check(tq_index_open(ctx, "rows.tq", TQ_INDEX_MAP | TQ_INDEX_LOG, NULL, &index), "open");
	check(tq_index_search(index, rows[77], DIM, 1, K, &so, found, scores), "search");
	if (found[0] != 1077)
		return fprintf(stderr, "row 1077 is not nearest to itself\n"), 1;
	so.rerank = 50;
	so.fetch = fetch;
	check(tq_index_search(index, rows[77], DIM, 1, K, &so, again, exact), "re-rank");
	if (again[0] != 1077 || exact[0] != 0.0f)
		return fprintf(stderr, "its exact distance is %g\n", exact[0]), 1;
	so.rerank = 0;
	so.allow = is_even;
	check(tq_index_search(index, rows[77], DIM, 1, K, &so, again, exact), "filter");
	check(tq_index_remove(index, ids + 77, 1), "remove");
	check(tq_index_add(index, rows[0], DIM, 1, NULL), "add one");
	tq_index_destroy(index);
	for (int i = 0; i < K; i++)
		if (again[i] % 2)
			return fprintf(stderr, "%lld is not even\n", (long long)again[i]), 1;

	check(tq_index_open(ctx, "rows.tq", 0, NULL, &index), "open again");
	check(tq_index_describe(index, &info), "describe");
	if (info.count != ROWS || info.next_id != 1000 + ROWS + 1)
		return fprintf(stderr, "%llu rows\n", (unsigned long long)info.count), 1;
	printf("%llu rows of %llu bytes; nearest to row 77: %lld, then %lld at %.3f\n",
	       (unsigned long long)info.count, (unsigned long long)info.row_bytes, (long long)found[0],
	       (long long)found[1], scores[1]);
	tq_index_destroy(index);
	tq_context_destroy(ctx);
	return 0;
}
