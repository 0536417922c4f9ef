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
#include "../simd/radix_rows.h"

/* Coordinates of a row whose indices are on the stack, and a register more */
#define ROW_INDICES (65536 + RADIX_UNIT)

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
