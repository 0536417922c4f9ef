/* SPDX-License-Identifier: Apache-2.0 */

/* The codebook, arranged for permutations and gathers; search.h says how they are used. */

#include "common.h"
#include "../simd/cells.h"

/* Cells around whole numbers: 31 reach from -15.5 to 15.5 of the largest threshold's 15.5 */
static void small_cells(const struct tq_codebook *book, struct avx512_tables *t)
{
	uint32_t c;

	t->in_cells = cells_create(book, AVX512_CELLS, AVX512_CELLS / 2 + 0.5, t->level,
				   &t->to_cell) <= 1;
	t->limit = 15.49f / t->to_cell;
	for (c = 0; c < AVX512_CELLS; c++)
		t->at_cell[c] = t->bounds[t->level[c]];
}

static void field_tables(const struct tq_codebook *book, uint32_t bits, struct avx512_tables *t)
{
	uint32_t last = bits & ~1u ? 1u << (bits & ~1u) : 1, k;

	for (k = 0; k < 16; k++) {
		t->low[k] = (float)book->odd[k % last];
		t->high[k] = (float)book->odd[bits & 1 ? last + k % last : k % last];
	}
}

void avx512_tables_fill(const struct tq_codebook *book, uint32_t bits, struct avx512_tables *t)
{
	uint32_t k;

	memset(t, 0, sizeof(*t));
	for (k = 0; k < 256; k++) {
		t->odd[k] = k < book->count ? (float)book->odd[k] : 0.0f;
		t->bounds[k] = k + 1 < book->count ? book->bounds[k] : INFINITY;
	}
	if (bits >= 1 && bits <= 5)
		field_tables(book, bits, t);
	if (bits == 3 || bits == 4)
		small_cells(book, t);
	else if (bits > 5)
		t->steps = cells_create(book, AVX512_WIDE_CELLS, AVX512_WIDE_CELLS / 2, t->first,
					&t->to_cell);
}

int avx512_tables_create(const struct tq_host *host, const struct tq_plan *plan, void **state)
{
	struct avx512_tables *t = host->alloc(host, sizeof(*t));

	if (!t)
		return TQ_ERR_NOMEM;
	avx512_tables_fill(&plan->codebook, plan->index_bits, t);
	*state = t;
	return TQ_OK;
}

void avx512_tables_destroy(const struct tq_host *host, void *state)
{
	host->free(host, state);
}
