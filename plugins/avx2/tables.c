/* SPDX-License-Identifier: Apache-2.0 */

/* The codebook, arranged for shuffles and gathers; search.h and levels.h say how it is used. */

#include "common.h"
#include "../simd/cells.h"

static void split_tables(const struct tq_codebook *book, uint32_t bits, struct avx2_tables *t)
{
	uint32_t s, p;

	t->middle = book->bounds[(book->count >> 1) - 1];
	for (s = 2; s <= bits; s++)
		for (p = 0; p < 1u << (s - 1); p++)
			t->split[s - 2][(0u - p) & 7] =
				book->bounds[((2 * p + 1) << (bits - s)) - 1];
	for (p = 0; p < book->count && p < 16; p++) {
		if (p < 8)
			t->odd_low[(0u - p) & 7] = (float)book->odd[p];
		else
			t->odd_high[(0u - p) & 7] = (float)book->odd[p];
		t->odd_bytes[p] = (int8_t)book->odd[p];
		t->grid[p] = (uint8_t)((book->odd[p] + 127) / 2);
	}
}

/* SEARCH_FOLD: do its cells hold one threshold each? Their edges are these times the first one's.
 */
static void fold_tables(const struct tq_codebook *book, struct avx2_tables *t)
{
	static const float edge[6] = {1, 2, 3, 4, 6, 8};
	const float *bounds = book->bounds + 8;
	float low = 0.0f, high = INFINITY;
	uint32_t k;

	for (k = 0; k < 8; k++)
		if (book->odd[7 - k] != -book->odd[8 + k] ||
		    (k < 7 && book->bounds[6 - k] != -bounds[k]))
			return;
	for (k = 0; k < 6; k++) {
		low = bounds[k] / edge[k] > low ? bounds[k] / edge[k] : low;
		high = bounds[k + 1] / edge[k] < high ? bounds[k + 1] / edge[k] : high;
	}
	if (book->bounds[7] != 0.0f || !(low * 1.0009765625f < high))
		return;
	for (k = 0; k < 7; k++)
		t->magnitude[k] = bounds[k];
	t->magnitude[7] = INFINITY;
	t->to_cell = 0.25f / (low + high);
	t->folds = 1;
}

int avx2_tables_create(const struct tq_host *host, const struct tq_plan *plan, void **state)
{
	const struct tq_codebook *book = &plan->codebook;
	struct avx2_tables *t = host->alloc(host, sizeof(*t));
	uint32_t k, place;

	if (!t)
		return TQ_ERR_NOMEM;
	memset(t, 0, sizeof(*t));
	for (k = 0; k < book->count; k++) {
		t->odd[k] = (float)book->odd[k];
		t->odd_padded[k + 1] = t->odd[k];
		t->bounds[k] = k + 1 < book->count ? book->bounds[k] : INFINITY;
	}
	if (plan->index_bits >= 1 && plan->index_bits <= 4)
		split_tables(book, plan->index_bits, t);
	if (plan->index_bits == 4)
		fold_tables(book, t);
	if (plan->index_bits > 4) {
		t->steps = cells_create(book, AVX2_CELLS, AVX2_CELLS / 2, t->first, &t->to_cell);
		for (k = 0; k < book->count / 2; k++) {
			place = (uint32_t)(book->odd[book->count / 2 + k] + 16383) / 2;
			t->grid_hi[k] = (uint8_t)(place >> 7);
			t->grid_lo[k] = (uint8_t)(place & 127);
		}
	}
	t->odd_padded[0] = t->odd_padded[book->count + 1] = NAN;
	*state = t;
	return TQ_OK;
}

void avx2_tables_destroy(const struct tq_host *host, void *state)
{
	host->free(host, state);
}
