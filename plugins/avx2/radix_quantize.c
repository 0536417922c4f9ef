/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rotated rows to codes of a fraction of a bit: simd/radix_rows.h. A level is as many thresholds as are reached, 22
 * at most; words are made of 32 at a time as avx512 makes them of 64.
 */

#include "radix.h"
#include "../simd/radix_rows.h"

/* A book in work: its thresholds for a row, and level numbers as float by index; from 16 on of 4.5 bits alone */
struct scaled {
	float threshold[24];
	__m256 odd[3];
};

/* What lies behind the levels of a book is looked up by none */
AVX2_INLINE void scale_book(const struct tq_codebook *book, float r, int wide, struct scaled *s)
{
	__m256i odd;
	int k;

	for (k = 0; k < (wide ? 3 : 2); k++) {
		odd = _mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i *)(const void *)(book->odd + 8 * k)));
		s->odd[k] = _mm256_cvtepi32_ps(odd);
		_mm256_storeu_ps(s->threshold + 8 * k, _mm256_mul_ps(_mm256_loadu_ps(book->bounds + 8 * k), _mm256_set1_ps(r)));
	}
}

AVX2_INLINE __m256 odd_of(const struct scaled *s, __m256i level, int wide)
{
	__m256 odd = _mm256_blendv_ps(_mm256_permutevar8x32_ps(s->odd[0], level), _mm256_permutevar8x32_ps(s->odd[1], level),
				      _mm256_castsi256_ps(_mm256_slli_epi32(level, 28)));

	if (!wide)
		return odd;
	return _mm256_blendv_ps(odd, _mm256_permutevar8x32_ps(s->odd[2], level),
				_mm256_castsi256_ps(_mm256_slli_epi32(level, 27)));
}

/* Levels of eight coordinates, of which those from @first to @end - 1 count, to bytes */
AVX2_INLINE void store_levels(__m256i level, size_t first, size_t end, uint8_t *index)
{
	__m128i x = _mm_packs_epi32(_mm256_castsi256_si128(level), _mm256_extracti128_si256(level, 1));
	uint8_t all[8];

	x = _mm_packus_epi16(x, x);
	if (first == 0 && end >= 8) {
		_mm_storel_epi64((__m128i *)(void *)index, x);
		return;
	}
	_mm_storel_epi64((__m128i *)(void *)all, x);
	memcpy(index + first, all + first, (end < 8 ? end : 8) - first);
}

/* What a row's coordinates add up to: y * odd by lane, odd * odd */
struct sums {
	__m256 yc[2];
	__m256i cc;
};

/* Coordinates @first to @end - 1, which are those of @book; @wide: of 4.5 bits */
AVX2_INLINE void fit_book(const struct tq_codebook *book, const float *y, size_t d, size_t first, size_t end, float r,
			  int wide, struct sums *sums, uint8_t *index)
{
	const __m256i ramp = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
	__m256 v, odd, yc[2] = { sums->yc[0], sums->yc[1] };
	__m256i level, whole, there, cc = sums->cc;
	const uint32_t last = book->count - 1;
	size_t at, from;
	struct scaled s;
	uint32_t k;

	scale_book(book, r, wide, &s);
	for (at = first & ~(size_t)7; at < end; at += 8) {
		v = at + 8 <= d ? _mm256_loadu_ps(y + at) : part8f(y + at, (ptrdiff_t)(d - at));
		level = _mm256_setzero_si256();
		for (k = 0; k < (wide ? 22 : 10); k++) {
			if (k == last)
				break;
			level = _mm256_sub_epi32(level, _mm256_castps_si256(_mm256_cmp_ps(
				v, _mm256_set1_ps(s.threshold[k]), _CMP_GE_OQ)));
		}
		odd = odd_of(&s, level, wide);
		from = at < first ? first - at : 0;
		if (from || at + 8 > end) {
			there = _mm256_cmpgt_epi32(_mm256_set1_epi32((int)(end - at)), ramp);
			there = _mm256_andnot_si256(_mm256_cmpgt_epi32(_mm256_set1_epi32((int)from), ramp), there);
			odd = _mm256_and_ps(odd, _mm256_castsi256_ps(there));
		}
		yc[at / 8 % 2] = _mm256_add_ps(yc[at / 8 % 2], _mm256_mul_ps(v, odd));
		whole = _mm256_cvtps_epi32(odd);
		whole = _mm256_mullo_epi32(whole, whole);
		cc = wide ? add_widened(cc, whole) : _mm256_add_epi32(cc, whole);
		if (index)
			store_levels(level, from, end - at, index + at);
	}
	*sums = (struct sums){ { yc[0], yc[1] }, cc };
}

static struct fit fit_nearest(const struct tq_plan *plan, const struct radix_tables *t, const float *y, float r,
			      uint8_t *index)
{
	struct sums sums = { { _mm256_setzero_ps(), _mm256_setzero_ps() }, _mm256_setzero_si256() };
	size_t first = 0, end;
	uint32_t b;

	for (b = 0; b < t->books; b++, first = end) {
		end = book_end(plan, t, b);
		if (t->planes == 2)
			fit_book(&t->book[b].levels, y, plan->dim, first, end, r, 1, &sums, index);
		else
			fit_book(&t->book[b].levels, y, plan->dim, first, end, r, 0, &sums, index);
	}
	if (t->planes == 1)
		sums.cc = add_widened(_mm256_setzero_si256(), sums.cc);
	return (struct fit){ sum_tree(sums.yc[0], sums.yc[1]), sum_i64(sums.cc) };
}

/* Words @k and up, of which @n exist, as bytes; zeros beyond */
AVX2_INLINE __m256i words_of(const struct tq_plan *plan, const uint8_t *index, size_t k, size_t n)
{
	const struct tq_radix *x = plan->radix;
	__m256i word = _mm256_setzero_si256(), digit;
	size_t j, at, m;

	for (j = x->digits; j-- > 0;) {
		at = j * x->words + k;
		m = at >= plan->dim ? 0 : plan->dim - at < n ? plan->dim - at : n;
		word = _mm256_mullo_epi16(word, _mm256_set1_epi16((short)x->count[j]));
		if (!m)
			continue;
		digit = _mm256_loadu_si256((const __m256i *)(const void *)(index + at));
		word = _mm256_add_epi16(word, _mm256_and_si256(digit, byte_mask(m)));
	}
	return word;
}

/* @n words @k and up of nine bits: the low eight of each, zeros beyond, and the last bits */
AVX2_INLINE __m256i wide_words_of(const struct tq_plan *plan, const uint8_t *index, size_t k, size_t n, uint32_t *top)
{
	const __m256i count = _mm256_set1_epi16((short)plan->radix->count[0]), zero = _mm256_setzero_si256();
	size_t at = plan->radix->words + k, m = at >= plan->dim ? 0 : plan->dim - at < n ? plan->dim - at : n;
	__m256i first, second = zero, word[2], low = _mm256_set1_epi16(255);

	first = _mm256_and_si256(_mm256_loadu_si256((const __m256i *)(const void *)(index + k)), byte_mask(n));
	if (m)
		second = _mm256_and_si256(_mm256_loadu_si256((const __m256i *)(const void *)(index + at)), byte_mask(m));
	word[0] = _mm256_add_epi16(_mm256_unpacklo_epi8(first, zero),
				   _mm256_mullo_epi16(_mm256_unpacklo_epi8(second, zero), count));
	word[1] = _mm256_add_epi16(_mm256_unpackhi_epi8(first, zero),
				   _mm256_mullo_epi16(_mm256_unpackhi_epi8(second, zero), count));
	*top = (uint32_t)_mm256_movemask_epi8(
		_mm256_packs_epi16(_mm256_cmpgt_epi16(word[0], low), _mm256_cmpgt_epi16(word[1], low)));
	return _mm256_packus_epi16(_mm256_and_si256(word[0], low), _mm256_and_si256(word[1], low));
}

/* Fields of 4 and 2 bits of bytes that have no others */
AVX2_INLINE __m128i bytes_of_nibbles(__m256i x)
{
	x = _mm256_maddubs_epi16(x, _mm256_set1_epi16(0x1001));
	return _mm_packus_epi16(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
}

AVX2_INLINE __m128i bytes_of_crumbs(__m256i x)
{
	__m128i half;

	x = _mm256_maddubs_epi16(x, _mm256_set1_epi16(0x0401));
	x = _mm256_madd_epi16(x, _mm256_set1_epi32(0x00100001));
	half = _mm_packs_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
	return _mm_packus_epi16(half, half);
}

static void pack_words(const struct tq_plan *plan, const uint8_t *index, uint8_t *row)
{
	const struct tq_section *s = plan->layout.section;
	uint32_t width = plan->radix->width, bits;
	size_t words = plan->radix->words, k, n;
	uint8_t room[32];
	__m256i word;

	for (k = 0; k < words; k += RADIX_WORDS) {
		n = words - k < RADIX_WORDS ? words - k : RADIX_WORDS;
		word = width == 9 ? wide_words_of(plan, index, k, n, &bits) : words_of(plan, index, k, n);
		if (width >= 8) {
			_mm256_storeu_si256((__m256i *)(void *)room, word);
			memcpy(row + s[width - 8].at + k, room, n);
			if (width == 9)
				memcpy(row + s[0].at + k / 8, &bits, (n + 7) / 8);
			continue;
		}
		bits = (uint32_t)_mm256_movemask_epi8(width == 7 ? _mm256_slli_epi16(word, 1) : _mm256_slli_epi16(word, 3));
		memcpy(row + s[0].at + k / 8, &bits, (n + 7) / 8);
		_mm_storeu_si128((__m128i *)(void *)room,
				 bytes_of_nibbles(_mm256_and_si256(word, _mm256_set1_epi8(15))));
		memcpy(row + s[width == 7 ? 2 : 1].at + k / 2, room, (n + 1) / 2);
		if (width == 5)
			continue;
		word = _mm256_and_si256(_mm256_srli_epi16(word, 4), _mm256_set1_epi8(3));
		_mm_storeu_si128((__m128i *)(void *)room, bytes_of_crumbs(word));
		memcpy(row + s[1].at + k / 4, room, (n + 3) / 4);
	}
}

void avx2_radix_quantize(const struct tq_plan *plan, const void *state, const float *y, const struct tq_row_stat *stat,
			 size_t n, uint8_t *codes)
{
	uint8_t index[RADIX_ROOM];

	for (; n; n--, y += plan->dim, stat++, codes += plan->layout.row_bytes)
		quantize_row(plan, state, y, stat, index, codes);
}
