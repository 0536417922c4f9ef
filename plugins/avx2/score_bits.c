/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Scores of single bits in blocks (tq/block.h). A bit is one of two levels, so all that counts is the sum S of
 * the query where bits are set; struct bit_sums has it for every choice of four coordinates, as a byte above the
 * least that could be, and what a byte does not hold for one more look-up.
 *
 * A look-up has one table per 128 bits. So dwords of 32 rows, two blocks, are moved until a register is the same
 * byte of all of them: once for all queries of a call.
 *
 * Eight bytes are found in a dword of a row. Words for their sum would take three instructions a byte: instead
 * bytes are added modulo 256, and their mean m by seven roundings upwards of halves, which is 8 m = sum + e with
 * 0 <= e <= 12. Only means are added up as words. So S = 8 M - e is known by its last byte as long as e < 256 in
 * all, which is 21 dwords.
 *
 * Rows come out in their order:
 *
 *	bytes of lane L		rows 4 L .. 4 L + 3 and 8 + 4 L .. of the first block, then of the second
 */

#include "block.h"

/** Most queries of a job */
#define BITS_QUERIES 8
#define PAIR (2 * TQ_BLOCK_ROWS)
/* Dwords whose means know the sum, and looked-up halves of their bytes */
#define DWORDS 21
#define HALVES 8

/**
 * struct found - bytes found for 32 rows
 * @last: of their sums
 * @both, @odd: sums of means, as words: of the rows at odd bytes, and of both modulo 2^16 with those 256 times
 */
struct found {
	__m256i last, both, odd;
};

/* Byte b of the dwords of 16 rows at @a and of 16 at @b, for every b */
AVX2_INLINE void move_bytes(const uint8_t *a, const uint8_t *b, __m256i *byte)
{
	const __m256i group = _mm256_broadcastsi128_si256(
		_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
	__m256i a0 = _mm256_shuffle_epi8(_mm256_load_si256((const __m256i *)a), group);
	__m256i a1 = _mm256_shuffle_epi8(_mm256_load_si256((const __m256i *)a + 1), group);
	__m256i b0 = _mm256_shuffle_epi8(_mm256_load_si256((const __m256i *)b), group);
	__m256i b1 = _mm256_shuffle_epi8(_mm256_load_si256((const __m256i *)b + 1), group);
	__m256i a01 = _mm256_unpacklo_epi32(a0, a1), a23 = _mm256_unpackhi_epi32(a0, a1);
	__m256i b01 = _mm256_unpacklo_epi32(b0, b1), b23 = _mm256_unpackhi_epi32(b0, b1);

	byte[0] = _mm256_unpacklo_epi64(a01, b01);
	byte[1] = _mm256_unpackhi_epi64(a01, b01);
	byte[2] = _mm256_unpacklo_epi64(a23, b23);
	byte[3] = _mm256_unpackhi_epi64(a23, b23);
}

/* The low and the high halves of bytes of 32 rows, byte after byte of a dword */
AVX2_INLINE void take_halves(const uint8_t *a, const uint8_t *b, __m256i *half)
{
	const __m256i mask = _mm256_set1_epi8(15);
	__m256i byte[4];
	int j;

	move_bytes(a, b, byte);
#pragma GCC unroll 4
	for (j = 0; j < 4; j++) {
		half[2 * j] = _mm256_and_si256(byte[j], mask);
		half[2 * j + 1] = _mm256_and_si256(_mm256_srli_epi16(byte[j], 4), mask);
	}
}

/* What is found for two halves: the sum modulo 256, and the mean */
AVX2_INLINE void find_two(const struct block_sums *t, const __m256i *half, int j, __m256i *last, __m256i *mean)
{
	__m256i low = _mm256_shuffle_epi8(both_lanes(t->sum[0] + 16 * j), half[2 * j]);
	__m256i high = _mm256_shuffle_epi8(both_lanes(t->sum[1] + 16 * j), half[2 * j + 1]);

	*last = _mm256_add_epi8(low, high);
	*mean = _mm256_avg_epu8(low, high);
}

AVX2_INLINE void add_dword(struct found *f, const __m256i *half, const struct block_sums *t)
{
	__m256i last[4], mean[4];
	int j;

#pragma GCC unroll 4
	for (j = 0; j < 4; j++)
		find_two(t, half, j, last + j, mean + j);
	last[0] = _mm256_add_epi8(_mm256_add_epi8(last[0], last[1]), _mm256_add_epi8(last[2], last[3]));
	mean[0] = _mm256_avg_epu8(_mm256_avg_epu8(mean[0], mean[1]), _mm256_avg_epu8(mean[2], mean[3]));
	f->last = _mm256_add_epi8(f->last, last[0]);
	f->both = _mm256_add_epi16(f->both, mean[0]);
	f->odd = _mm256_add_epi16(f->odd, _mm256_srli_epi16(mean[0], 8));
}

/* The sums, as words, from those of means and what the last bytes are */
AVX2_INLINE __m256i sums_of(__m256i mean, __m256i last)
{
	__m256i x = _mm256_slli_epi16(mean, 3);

	return _mm256_sub_epi16(x, _mm256_and_si256(_mm256_sub_epi16(x, last), _mm256_set1_epi16(255)));
}

/* What was found to the sums of 32 rows */
AVX2_INLINE void add_words(__m256i *sum, const struct found *f)
{
	__m256i even = sums_of(_mm256_sub_epi16(f->both, _mm256_slli_epi16(f->odd, 8)), f->last);
	__m256i odd = sums_of(f->odd, _mm256_srli_epi16(f->last, 8)), zero = _mm256_setzero_si256();
	__m256i a = _mm256_unpacklo_epi16(even, odd), b = _mm256_unpackhi_epi16(even, odd);

	sum[0] = _mm256_add_epi32(sum[0], _mm256_unpacklo_epi16(a, zero));
	sum[1] = _mm256_add_epi32(sum[1], _mm256_unpackhi_epi16(a, zero));
	sum[2] = _mm256_add_epi32(sum[2], _mm256_unpacklo_epi16(b, zero));
	sum[3] = _mm256_add_epi32(sum[3], _mm256_unpackhi_epi16(b, zero));
}

/* To the sums what few halves have beyond a byte; @a, @b: the blocks' dwords */
static void add_rests(const uint8_t *a, const uint8_t *b, size_t dwords, const struct bit_sums *lut, __m256i *sum)
{
	const uint16_t *rest = query_rests(lut, 32 * dwords);
	__m256i table, x;
	const uint8_t *at;
	uint32_t i, k, h;
	__m128i shift;

	for (i = 0; i < lut->nrest; i++) {
		k = rest[i] / HALVES;
		table = both_lanes(lut->dword[k].rest[rest[i] % 2] + rest[i] % HALVES / 2 * 16);
		shift = _mm_cvtsi32_si128(rest[i] % HALVES * 4);
#pragma GCC unroll 4
		for (h = 0; h < 4; h++) {
			at = (h < 2 ? a : b) + 64 * k + 32 * (h % 2);
			x = _mm256_srl_epi32(_mm256_load_si256((const __m256i *)at), shift);
			x = _mm256_shuffle_epi8(table, _mm256_and_si256(x, _mm256_set1_epi8(15)));
			sum[h] = _mm256_add_epi32(sum[h], _mm256_and_si256(x, _mm256_set1_epi32(255)));
		}
	}
}

/* S of the rows of two blocks: query i's of half h of the second at @sum[i][2 + h] */
AVX2_INLINE void sum_bits(const uint8_t *a, const uint8_t *b, size_t dwords, const struct bit_sums *const *lut,
			  uint32_t nq, __m256i (*sum)[4])
{
	__m256i half[DWORDS][HALVES];
	size_t first, n, k;
	struct found f;
	uint32_t i, j;

	for (i = 0; i < nq; i++)
		for (j = 0; j < 4; j++)
			sum[i][j] = _mm256_set1_epi32(lut[i]->base);
	for (first = 0; first < dwords; first += n) {
		n = dwords - first < DWORDS ? dwords - first : DWORDS;
		for (k = 0; nq > 1 && k < n; k++)
			take_halves(a + 64 * (first + k), b + 64 * (first + k), half[k]);
		for (i = 0; i < nq; i++) {
			f.last = f.both = f.odd = _mm256_setzero_si256();
			for (k = 0; k < n; k++) {
				if (nq == 1)
					take_halves(a + 64 * (first + k), b + 64 * (first + k), half[0]);
				add_dword(&f, half[nq == 1 ? 0 : k], &lut[i]->dword[first + k]);
			}
			add_words(sum[i], &f);
		}
	}
	for (i = 0; i < nq; i++)
		if (lut[i]->nrest)
			add_rests(a, b, dwords, lut[i], sum[i]);
}

/* The scores of eight rows of a block, of which there are @n */
AVX2_INLINE void store_scores(const struct block_job *job, const uint8_t *block, uint32_t h,
			      const struct block_end *end, uint32_t nq, __m256i (*sum)[4], float *to, size_t n)
{
	const uint32_t center = job->plan->center;
	const float *cross = (const float *)(const void *)(block + 64) + HALF * (h % 2);
	__m256 scale = block_scales(job->plan->scale, block, h % 2);
	uint32_t i;

#pragma GCC unroll 4
	for (i = 0; i < nq; i++)
		store_elements8(to + i * job->ld, end_scores(end + i, sum[i][h], scale, center, cross), n);
}

/* All rows of a job with @nq queries */
AVX2_INLINE void score_bits(const struct block_job *job, uint32_t nq)
{
	const struct tq_plan *plan = job->plan;
	const size_t field = tq_block_field_at(plan, 0), bytes = tq_block_bytes(plan), size = query_bytes(plan);
	const size_t dwords = (plan->layout.section[0].bytes + 3) / 4;
	const int32_t odd = plan->codebook.odd[1];
	const uint8_t *block = job->blocks, *second;
	const struct bit_sums *lut[BITS_QUERIES];
	struct block_end end[BITS_QUERIES];
	__m256i sum[BITS_QUERIES][4];
	size_t j, left;
	uint32_t i;

	for (i = 0; i < nq; i++) {
		lut[i] = query_bit_sums(plan, query_part(plan, job->packed + i * size, 0));
		end[i] = block_end(job->packed + i * size, 2 * odd, odd);
	}
	for (j = 0; j < job->n; j += PAIR, block += 2 * bytes) {
		left = job->n - j;
		second = left > TQ_BLOCK_ROWS ? block + bytes : block;
		sum_bits(block + field, second + field, dwords, lut, nq, sum);
#pragma GCC unroll 4
		for (i = 0; i < 4; i++)
			if (i * HALF < left)
				store_scores(job, i < 2 ? block : second, i, end, nq, sum, job->scores + j + i * HALF,
					     left - i * HALF);
	}
}

void avx2_block_bits_1(const struct block_job *job)
{
	score_bits(job, 1);
}

void avx2_block_bits_2(const struct block_job *job)
{
	score_bits(job, 2);
}

void avx2_block_bits_4(const struct block_job *job)
{
	score_bits(job, 4);
}

void avx2_block_bits_8(const struct block_job *job)
{
	score_bits(job, 8);
}

void avx2_bit_sums(const int8_t *q, size_t dim, struct bit_sums *lut)
{
	const __m256i number = _mm256_setr_epi16(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
	const __m256i most = _mm256_set1_epi16(255);
	uint16_t *rest = (uint16_t *)(uintptr_t)query_rests(lut, dim);
	__m256i chosen[4], sum, byte, both;
	struct block_sums *to;
	size_t i, half, at, c;
	int32_t least;

	for (c = 0; c < 4; c++) {
		both = _mm256_set1_epi16((int16_t)(1 << c));
		chosen[c] = _mm256_cmpeq_epi16(_mm256_and_si256(number, both), both);
	}
	for (i = 0; i < dim; i += 4) {
		half = i / 4 % 2;
		at = i / 8 % 4 * 16;
		to = &lut->dword[i / 32];
		sum = _mm256_setzero_si256();
		least = 0;
		for (c = 0; c < 4 && i + c < dim; c++) {
			sum = _mm256_add_epi16(sum, _mm256_and_si256(chosen[c], _mm256_set1_epi16(q[i + c])));
			least += q[i + c] < 0 ? q[i + c] : 0;
		}
		lut->base += least;
		sum = _mm256_sub_epi16(sum, _mm256_set1_epi16((int16_t)least));
		byte = _mm256_min_epi16(sum, most);
		sum = _mm256_sub_epi16(sum, byte);
		both = _mm256_permute4x64_epi64(_mm256_packus_epi16(byte, sum), 0xd8);
		_mm_store_si128((__m128i *)(to->sum[half] + at), _mm256_castsi256_si128(both));
		_mm_store_si128((__m128i *)(to->rest[half] + at), _mm256_extracti128_si256(both, 1));
		if (!_mm256_testz_si256(sum, sum))
			rest[lut->nrest++] = (uint16_t)(i / 4);
	}
}
