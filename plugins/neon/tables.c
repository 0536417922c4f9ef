/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The codebook, arranged for byte look-ups. Up to 4 bits the table of cells is one look-up too.
 */

#include "common.h"
#include "../simd/cells.h"

static void few_cells(const struct tq_codebook *book, struct neon_tables *t)
{
	int32_t first[NEON_FEW_CELLS];
	int k;

	t->steps = cells_create(book, NEON_FEW_CELLS, NEON_FEW_CELLS / 2, first, &t->to_cell);
	for (k = 0; k < NEON_FEW_CELLS; k++)
		t->few[k] = (uint8_t)first[k];
}

int neon_tables_create(const struct tq_host *host, const struct tq_plan *plan, void **state)
{
	const struct tq_codebook *book = &plan->codebook;
	struct neon_tables *t = host->alloc(host, sizeof(*t));
	int odd, sign;
	uint32_t k;

	if (!t)
		return TQ_ERR_NOMEM;
	memset(t, 0, sizeof(*t));
	for (k = 0; k < book->count; k++) {
		sign = book->odd[k] < 0 ? -1 : 1;
		odd = sign * book->odd[k];
		t->hi[k] = (int8_t)(sign * (odd >> 7));
		t->lo[k] = (int8_t)(sign * (odd & 127));
	}
	for (k = 0; k < 256; k++)
		t->bounds[k] = k + 1 < book->count ? book->bounds[k] : INFINITY;
	if (plan->index_bits > 4)
		t->steps = cells_create(book, NEON_CELLS, NEON_CELLS / 2, t->first, &t->to_cell);
	else if (book->count)
		few_cells(book, t);
	*state = t;
	return TQ_OK;
}

void neon_tables_destroy(const struct tq_host *host, void *state)
{
	host->free(host, state);
}
