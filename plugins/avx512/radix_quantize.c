/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rotated rows to codes of a fraction of a bit, FORMAT.md section 4 steps 6-8. Indices are found in the order of
 * coordinates, sixteen at a time, in the table of their digit, and kept as bytes; words are then made of 64 at a
 * time, a digit of all after the other:
 *
 *	word = (index_4 * n_3 + index_3) * n_2 + ...
 *
 * A word of up to 8 bits stays below 256 at each step, so a product of 16-bit lanes is one of bytes.
 */

#include "quantize.h"
#include "radix.h"

#define MULTIPLIERS 17
#define SWEEPS 4

/* Coordinates of a row whose indices are on the stack, and a register more */
#define ROW_INDICES (65536 + RADIX_UNIT)

/* How well a choice of indices points along y */
struct fit {
	float yc;
	int64_t cc;
};

static float quality(struct fit fit)
{
	return fit.yc > 0.0f ? (fit.yc * fit.yc) / (float)fit.cc : 0.0f;
}

/* Where the coordinates of a book end: it begins where the one before ends */
static size_t book_end(const struct tq_plan *plan, const struct radix_tables *t, uint32_t book)
{
	return book + 1 < t->books ? plan->radix->words : plan->dim;
}

/* The levels of the coordinates @first to @end - 1 under bounds * r; @index NULL: only the sums */
AVX512_INLINE void fit_book(const struct avx512_tables *tab, enum search how, int bits, const float *y, float r,
			    size_t first, size_t end, uint8_t *index, struct fit_sums *sums)
{
	struct thresholds th;
	__m512i level;
	__mmask16 mask;
	__m512 v, odd;
	size_t at;

	scale_thresholds(tab, r, tab->to_cell / r, how, &th);
	for (at = first & ~(size_t)15; at < end; at += 16) {
		mask = lanes(end - at);
		if (at < first)
			mask &= (__mmask16)~lanes(first - at);
		v = load_floats(y + at, mask);
		level = search_level(tab, &th, how, v);
		odd = _mm512_maskz_mov_ps(mask, odd_of(tab, level, bits));
		fit_add(sums, v, odd, bits);
		if (index)
			_mm_mask_storeu_epi8(index + at, mask, _mm512_cvtepi32_epi8(level));
		if (bits <= 4 && at % CC_FLOAT_SPAN == CC_FLOAT_SPAN - 16)
			fit_flush(sums);
	}
}

static void fit_cells(const struct avx512_tables *tab, const float *y, float r, size_t first, size_t end,
		      uint8_t *index, struct fit_sums *sums)
{
	fit_book(tab, SEARCH_CELLS, 4, y, r, first, end, index, sums);
}

static void fit_split(const struct avx512_tables *tab, const float *y, float r, size_t first, size_t end,
		      uint8_t *index, struct fit_sums *sums)
{
	fit_book(tab, SEARCH_SPLIT, 4, y, r, first, end, index, sums);
}

static void fit_wide(const struct avx512_tables *tab, const float *y, float r, size_t first, size_t end,
		     uint8_t *index, struct fit_sums *sums)
{
	fit_book(tab, SEARCH_SPLIT, 5, y, r, first, end, index, sums);
}

/* Under thresholds bounds * @r, above 0 */
static struct fit fit_nearest(const struct tq_plan *plan, const struct radix_tables *t, const float *y, float r,
			      uint8_t *index)
{
	struct fit_sums sums = { _mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_si512() };
	size_t first = 0, end;
	uint32_t book;

	for (book = 0; book < t->books; book++, first = end) {
		end = book_end(plan, t, book);
		if (plan->codebook.planes > 1)
			fit_wide(&t->book[book].tables, y, r, first, end, index, &sums);
		else if (t->book[book].tables.in_cells)
			fit_cells(&t->book[book].tables, y, r, first, end, index, &sums);
		else
			fit_split(&t->book[book].tables, y, r, first, end, index, &sums);
	}
	fit_flush(&sums);
	return (struct fit){ sum_tree(sums.yc), _mm512_reduce_add_epi64(sums.cc_wide) };
}

/* Effort 1: the multiplier of the thresholds whose levels point best along y, the first of the best */
static float best_multiplier(const struct tq_plan *plan, const struct radix_tables *t, const float *y, float r)
{
	float mu, best_mu = 0.75f, best = -1.0f, q;
	int j;

	for (j = 0; j < MULTIPLIERS; j++) {
		mu = 0.75f + (float)j / 32.0f;
		q = quality(fit_nearest(plan, t, y, r * mu, NULL));
		if (q > best) {
			best = q;
			best_mu = mu;
		}
	}
	return best_mu;
}

/* Move one index to a neighbour of its book if that is strictly better */
static int try_move(const struct tq_codebook *book, float y, int step, uint8_t *index, struct fit *fit)
{
	int to = *index + step;
	struct fit next;

	if (to < 0 || to >= (int)book->count)
		return 0;
	next.yc = fit->yc + y * (float)(book->odd[to] - book->odd[*index]);
	next.cc = fit->cc + book->odd[to] * book->odd[to] - book->odd[*index] * book->odd[*index];
	if (!(next.yc > 0.0f) || !(quality(next) > quality(*fit)))
		return 0;
	*fit = next;
	*index = (uint8_t)to;
	return 1;
}

/* Effort 2: sweeps over all indices until none moves */
static struct fit descend(const struct tq_plan *plan, const struct radix_tables *t, const float *y, struct fit fit,
			  uint8_t *index)
{
	const struct radix_book *b;
	float lane[16] = { 0 };
	int sweep, moved = 1;
	size_t i;

	for (sweep = 0; sweep < SWEEPS && moved; sweep++)
		for (moved = 0, i = 0; i < plan->dim; i++) {
			b = &t->book[t->books > 1 && i >= plan->radix->words];
			moved |= try_move(&b->levels, y[i], -1, &index[i], &fit) ||
				 try_move(&b->levels, y[i], 1, &index[i], &fit);
		}
	for (i = 0; i < plan->dim; i++) {
		b = &t->book[t->books > 1 && i >= plan->radix->words];
		lane[i & 15] = lane[i & 15] + y[i] * (float)b->levels.odd[index[i]];
	}
	fit.yc = tq_sum16(lane);
	return fit;
}

/* A row of zeros: every threshold is 0 and every coordinate reaches it */
static void zero_indices(const struct tq_plan *plan, const struct radix_tables *t, uint8_t *index)
{
	size_t first = 0, end;
	uint32_t book;

	for (book = 0; book < t->books; book++, first = end) {
		end = book_end(plan, t, book);
		memset(index + first, (int)t->book[book].levels.count - 1, end - first);
	}
}

/* 64 words from @k on, of 8 bits at most */
AVX512_INLINE __m512i words_of(const struct tq_plan *plan, const uint8_t *index, size_t c)
{
	const struct tq_radix *x = plan->radix;
	__m512i word = _mm512_setzero_si512();
	size_t j, m, first;

	for (j = x->digits; j-- > 0;) {
		m = radix_unit(plan, j, c, &first);
		word = _mm512_mullo_epi16(word, _mm512_set1_epi16((short)x->count[j]));
		word = _mm512_add_epi16(word, _mm512_maskz_loadu_epi8(bytes(m), index + first));
	}
	return word;
}

/* 32 words of two digits, of 16 bits each */
AVX512_INLINE __m512i words_of_two(const struct tq_plan *plan, __m256i first, __m256i second)
{
	__m512i word = _mm512_mullo_epi16(_mm512_cvtepu8_epi16(second),
					  _mm512_set1_epi16((short)plan->radix->count[0]));

	return _mm512_add_epi16(word, _mm512_cvtepu8_epi16(first));
}

/* Words of 9 bits: the fields of 64 of them */
AVX512_INLINE void pack_wide(const struct tq_plan *plan, const uint8_t *index, size_t c, size_t n, uint8_t *row)
{
	const struct tq_section *s = plan->layout.section;
	__m512i digit[2], low, word[2];
	size_t j, m, first;
	uint64_t top;

	for (j = 0; j < 2; j++) {
		m = radix_unit(plan, j, c, &first);
		digit[j] = _mm512_maskz_loadu_epi8(bytes(m), index + first);
	}
	word[0] = words_of_two(plan, _mm512_castsi512_si256(digit[0]), _mm512_castsi512_si256(digit[1]));
	word[1] = words_of_two(plan, _mm512_extracti64x4_epi64(digit[0], 1), _mm512_extracti64x4_epi64(digit[1], 1));
	low = _mm512_inserti64x4(_mm512_castsi256_si512(_mm512_cvtepi16_epi8(word[0])), _mm512_cvtepi16_epi8(word[1]), 1);
	top = _mm512_test_epi16_mask(word[1], _mm512_set1_epi16(0x100));
	top = top << 32 | _mm512_test_epi16_mask(word[0], _mm512_set1_epi16(0x100));
	pack_field(row + s[0].at + RADIX_UNIT / 8 * c, _mm512_movm_epi8(top), 1, 0, n);
	pack_field(row + s[1].at + RADIX_UNIT * c, low, 8, 0, n);
}

static void pack_words(const struct tq_plan *plan, const uint8_t *index, uint8_t *row)
{
	size_t words = plan->radix->words, c, n;

	for (c = 0; c < radix_chunks(plan); c++) {
		n = words - RADIX_UNIT * c < RADIX_UNIT ? words - RADIX_UNIT * c : RADIX_UNIT;
		if (plan->radix->width == 9)
			pack_wide(plan, index, c, n, row);
		else if (plan->radix->width == 8)
			pack_chunk(&plan->layout, 8, words_of(plan, index, c), RADIX_UNIT * c, n, row);
		else if (plan->radix->width == 7)
			pack_chunk(&plan->layout, 7, words_of(plan, index, c), RADIX_UNIT * c, n, row);
		else
			pack_chunk(&plan->layout, 5, words_of(plan, index, c), RADIX_UNIT * c, n, row);
	}
}

static void quantize_row(const struct tq_plan *plan, const struct radix_tables *t, const float *y,
			 const struct tq_row_stat *stat, uint8_t *index, uint8_t *row)
{
	float r = sqrtf(stat->norm2 / (float)plan->dim), scale;
	struct fit fit = { 0 };

	if (!(r > 0.0f)) {
		zero_indices(plan, t, index);
	} else {
		if (plan->effort)
			r = r * best_multiplier(plan, t, y, r);
		fit = fit_nearest(plan, t, y, r, index);
		if (plan->effort == 2)
			fit = descend(plan, t, y, fit, index);
	}
	pack_words(plan, index, row);
	scale = tq_row_scale(plan, stat->norm2, fit.yc, fit.cc);
	tq_store_scale(plan, row + plan->layout.scale_at, tq_scale_up(scale, stat->exponent));
	if (plan->layout.cross_at != TQ_NO_FIELD)
		memcpy(row + plan->layout.cross_at, &stat->cross, sizeof(stat->cross));
}

void avx512_radix_quantize_rows(const struct tq_plan *plan, const void *state, const float *y, size_t stride,
				const struct tq_row_stat *stat, size_t n, const struct avx512_ahead *ahead,
				uint8_t *codes)
{
	size_t bytes = plan->dim * ahead->element, i, at;
	uint8_t index[ROW_INDICES];

	for (i = 0; i < n; i++) {
		for (at = 0; at < bytes; at += 64)
			_mm_prefetch(ahead->x + i * ahead->step + at, _MM_HINT_T0);
		quantize_row(plan, state, y + i * stride, &stat[i], index, codes + i * plan->layout.row_bytes);
	}
}

void avx512_radix_quantize(const struct tq_plan *plan, const void *state, const float *y,
			   const struct tq_row_stat *stat, size_t n, uint8_t *codes)
{
	const size_t step = plan->dim * sizeof(*y);
	const struct avx512_ahead ahead = { (const char *)y + 16 * step, step, sizeof(*y) };

	avx512_radix_quantize_rows(plan, state, y, plan->dim, stat, n, &ahead, codes);
}
