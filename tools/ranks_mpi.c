/* SPDX-License-Identifier: Apache-2.0 */

/* One of several processes, by MPI. */

#include <mpi.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include "cli.h"
#include "ranks.h"
#include "tq/index.h"

/** A result as ranks exchange it; the two metrics of which more is better have their scores' signs changed. */
struct hit {
	int64_t id;
	float distance;
	uint32_t zero;
};

_Static_assert(sizeof(struct hit) == 16, "no byte of it is undefined");

static int size = 1, rank;

/* of one list; MPI gives an operation no argument of its own */
static struct hit *merged;

int ranks_begin(int *argc, char ***argv)
{
	if (MPI_Init(argc, argv))
		return cli_fail(CLI_UNMET, "MPI cannot be started");
	MPI_Comm_size(MPI_COMM_WORLD, &size);
	MPI_Comm_rank(MPI_COMM_WORLD, &rank);
	return 0;
}

void ranks_end(void)
{
	MPI_Finalize();
}

uint32_t ranks_size(void)
{
	return (uint32_t)size;
}

uint32_t ranks_rank(void)
{
	return (uint32_t)rank;
}

int ranks_agree(int ret)
{
	int all = ret;

	MPI_Allreduce(&ret, &all, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
	return all;
}

static bool before(const struct hit *a, const struct hit *b)
{
	if (a->id < 0 || b->id < 0)
		return a->id >= 0;
	return a->distance < b->distance || (a->distance == b->distance && a->id < b->id);
}

/** merge_lists - MPI_User_function: the best of two lists, list by list; elements of @type are lists */
static void merge_lists(void *in, void *inout, int *n, MPI_Datatype *type)
{
	struct hit *a = in, *b = inout;
	int bytes, k;

	MPI_Type_size(*type, &bytes);
	k = bytes / (int)sizeof(*a);
	for (int i = 0; i < *n; i++, a += k, b += k) {
		const struct hit *x = a, *y = b;

		for (int j = 0; j < k; j++)
			merged[j] = before(x, y) ? *x++ : *y++;
		memcpy(b, merged, (size_t)bytes);
	}
}

static void reduce(struct hit *own, struct hit *all, size_t n, size_t k)
{
	MPI_Datatype list;
	MPI_Op op;

	MPI_Type_contiguous((int)(k * sizeof(*own)), MPI_BYTE, &list);
	MPI_Type_commit(&list);
	MPI_Op_create(merge_lists, 1, &op);
	MPI_Reduce(own, all, (int)n, list, op, 0, MPI_COMM_WORLD);
	MPI_Op_free(&op);
	MPI_Type_free(&list);
}

int ranks_merge(uint32_t metric, size_t n, size_t k, int64_t *ids, float *scores)
{
	float sign = metric == TQ_METRIC_L2 ? 1.0f : -1.0f;
	struct hit *own = calloc(n * k + 1, sizeof(*own)), *all = calloc(n * k + 1, sizeof(*all));
	int ret;

	merged = calloc(k, sizeof(*merged));
	ret = ranks_agree(own && all && merged ? 0 : cli_fail(CLI_UNMET, "out of memory"));
	for (size_t i = 0; !ret && i < n * k; i++)
		own[i] = (struct hit){.id = ids[i], .distance = sign * scores[i]};
	if (!ret)
		reduce(own, all, n, k);
	for (size_t i = 0; !ret && rank == 0 && i < n * k; i++) {
		ids[i] = all[i].id;
		scores[i] = sign * all[i].distance;
	}
	free(merged);
	free(all);
	free(own);
	return ret;
}
