/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Weighted sums of coded rows, FORMAT.md section 8. Compiled twice, as score.c is.
 *
 * A weight is 128 hi + lo, both s8; levels are bytes. The level bytes of four rows are interleaved, so that
 * a 32-bit lane holds one coordinate of four rows, and one dot product adds the four. A tile of rows is
 * interleaved once for all weights; two registers of it and two weights are in work at a time. Sums over a
 * call stay in int32: with 1024 rows at most, |sum of hi * level| < 1024 * 127 * 127, and with one plane of
 * levels the whole sum A fits too and is put together modulo 2^32. With two planes it is put together in
 * double, which is exact.
 */

#include "attend.h"
#include "levels.h"
#include "query.h"

/* Groups of four rows in a tile, and registers that a group becomes per plane of levels */
#define TILE_GROUPS 32
#define REGISTERS 8
#define MOST_WEIGHTS 16

/* The integer weights of a call: hi and lo planes, a byte per row, and their sums */
struct weights {
	_Alignas(32) int8_t plane[MOST_WEIGHTS][2][TQ_MIX_ROWS + 32];
	int64_t sum[MOST_WEIGHTS];
	float unit[MOST_WEIGHTS];
};

/* Sums of one chunk: [plane of levels][weight][plane of weights][register] */
struct chunk_sums {
	__m256i at[2][MOST_WEIGHTS][2][REGISTERS];
};

/* The rows of a call, chunk by chunk of 64 coordinates */
struct source {
	const struct tq_plan *plan;
	const uint8_t *codes;
	size_t n;
	size_t chunk;
	struct level_tables tables;
};

AVX2_INLINE uint32_t planes_of(uint32_t bits)
{
	return bits > 4 ? 2 : 1;
}

/* 32 of a_t to integers, and those to planes; returns sums of them */
AVX2_INLINE __m256i split_32(const __m256 *a, float inv, int8_t *hi, int8_t *lo)
{
	/* packing leaves dword k of 128 bits L at 4 L + k: it belongs at 2 k + L */
	const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
	__m256i q[4], x[2], h[2], l[2];
	int i;

	for (i = 0; i < 4; i++)
		q[i] = _mm256_cvtps_epi32(_mm256_mul_ps(a[i], _mm256_set1_ps(inv)));
	for (i = 0; i < 2; i++) {
		x[i] = _mm256_packs_epi32(q[2 * i], q[2 * i + 1]);
		h[i] = _mm256_srai_epi16(_mm256_add_epi16(x[i], _mm256_set1_epi16(64)), 7);
		l[i] = _mm256_sub_epi16(x[i], _mm256_slli_epi16(h[i], 7));
	}
	_mm256_store_si256((__m256i *)hi, _mm256_permutevar8x32_epi32(_mm256_packs_epi16(h[0], h[1]), order));
	_mm256_store_si256((__m256i *)lo, _mm256_permutevar8x32_epi32(_mm256_packs_epi16(l[0], l[1]), order));
	return _mm256_add_epi32(_mm256_add_epi32(q[0], q[1]), _mm256_add_epi32(q[2], q[3]));
}

/* One weight: a_t = weight_t * scale_t to integers, as scalar does it; returns what one unit is worth */
static float quantize(const float *weights, const float *scale, size_t n,
		      struct weights *to, int w)
{
	const __m256 sign = _mm256_set1_ps(-0.0f);
	__m256i sum = _mm256_setzero_si256();
	float lane[8], most = 0.0f, inv;
	__m256 top = _mm256_setzero_ps(), a[TQ_MIX_ROWS / 8];
	size_t t;

	for (t = 0; t < n; t += 8) {
		a[t / 8] = _mm256_mul_ps(part8f(weights + t, (ptrdiff_t)(n - t)),
					 part8f(scale + t, (ptrdiff_t)(n - t)));
		top = _mm256_max_ps(top, _mm256_andnot_ps(sign, a[t / 8]));
	}
	_mm256_storeu_ps(lane, top);
	for (t = 0; t < 8; t++)
		most = lane[t] > most ? lane[t] : most;
	if (!(most >= TQ_MIX_TINY))
		most = 0.0f;
	inv = most > 0.0f ? (float)TQ_MIX_TOP / most : 0.0f;
	for (t = (n + 7) / 8 * 8; t % 32; t += 8)
		a[t / 8] = _mm256_setzero_ps();
	for (t = 0; t < n; t += 32)
		sum = _mm256_add_epi32(sum, split_32(a + t / 8, inv, to->plane[w][0] + t, to->plane[w][1] + t));
	to->sum[w] = sum_i64(_mm256_add_epi64(_mm256_cvtepi32_epi64(_mm256_castsi256_si128(sum)),
					      _mm256_cvtepi32_epi64(_mm256_extracti128_si256(sum, 1))));
	return most / (float)TQ_MIX_TOP;
}

/* The bytes of a row's chunk in each field; of the last one only those that the row has */
AVX2_INLINE void chunk_of(const struct source *s, size_t t, size_t rest, uint32_t bits, const uint8_t **p,
			  uint8_t (*staged)[64])
{
	const struct tq_section *section = s->plan->layout.section;
	const uint8_t *row = s->codes + t * s->plan->layout.row_bytes;
	uint32_t n = bits == 7 ? 3 : bits == 3 || bits == 5 || bits == 6 ? 2 : 1, k;
	size_t bytes;

	for (k = 0; k < n; k++) {
		p[k] = row + section[k].at + s->chunk * 8 * section[k].width;
		if (!rest)
			continue;
		bytes = (rest * section[k].width + 7) / 8;
		_mm256_store_si256((__m256i *)staged[k], part32(p[k], bytes < 32 ? bytes : 32));
		if (bits == 8)
			_mm256_store_si256((__m256i *)(staged[k] + 32),
					   part32(p[k] + 32, bytes > 32 ? bytes - 32 : 0));
		p[k] = staged[k];
	}
}

/* Bytes of four registers side by side: dword 4 L + k of the m-th result is byte 16 L + 4 m + k of each */
AVX2_INLINE void interleave(const __m256i *row, __m256i *to)
{
	__m256i ab0 = _mm256_unpacklo_epi8(row[0], row[1]), ab1 = _mm256_unpackhi_epi8(row[0], row[1]);
	__m256i cd0 = _mm256_unpacklo_epi8(row[2], row[3]), cd1 = _mm256_unpackhi_epi8(row[2], row[3]);

	_mm256_store_si256(to, _mm256_unpacklo_epi16(ab0, cd0));
	_mm256_store_si256(to + 1, _mm256_unpackhi_epi16(ab0, cd0));
	_mm256_store_si256(to + 2, _mm256_unpacklo_epi16(ab1, cd1));
	_mm256_store_si256(to + 3, _mm256_unpackhi_epi16(ab1, cd1));
}

/* Rows @t .. of what lies behind those of the call: wanted next if it is another head's keys */
AVX2_INLINE void fetch_behind(const struct source *s, size_t t)
{
	size_t row = s->plan->layout.row_bytes;
	const char *at = (const char *)s->codes + (s->n + t) * row, *end = at + 4 * row;

	for (; at < end; at += 64)
		_mm_prefetch(at, _MM_HINT_T1);
}

/* 4 bits: four registers of interleaved codes to eight of levels */
AVX2_INLINE void decode_nibbles(const struct level_tables *t, const __m256i *code, __m256i *to)
{
	const __m256i mask = _mm256_set1_epi8(15);
	__m256i low, high;
	int i;

#pragma GCC unroll 4
	for (i = 0; i < 4; i++) {
		low = _mm256_and_si256(code[i], mask);
		high = _mm256_and_si256(_mm256_srli_epi16(code[i], 4), mask);
		_mm256_store_si256(to + i, _mm256_shuffle_epi8(t->grid, low));
		_mm256_store_si256(to + 4 + i, _mm256_shuffle_epi8(t->grid, high));
	}
}

/* Rows @first .. of a chunk, four at a time, to the tile; rows past the end repeat the last */
AVX2_INLINE void fill_tile(const struct source *s, size_t first, size_t groups, size_t rest, uint32_t bits,
			   __m256i (*tile)[2 * REGISTERS])
{
	uint8_t staged[3][64] __attribute__((aligned(32)));
	const uint8_t *p[3] = {NULL};
	struct levels lev[4];
	__m256i rows[4], code[4];
	size_t g, t;
	int r, v;

	for (g = 0; g < groups; g++, tile++) {
		if (!s->chunk)
			fetch_behind(s, first + 4 * g);
#pragma GCC unroll 4
		for (r = 0; r < 4; r++) {
			t = first + 4 * g + (size_t)r < s->n ? first + 4 * g + (size_t)r : s->n - 1;
			chunk_of(s, t, rest, bits, p, staged);
			if (bits == 4)
				rows[r] = _mm256_loadu_si256((const __m256i *)p[0]);
			else
				levels_decode(&s->tables, p, bits, &lev[r]);
		}
		if (bits == 4) {
			interleave(rows, code);
			decode_nibbles(&s->tables, code, *tile);
			continue;
		}
		for (v = 0; v < 2; v++) {
			for (r = 0; r < 4; r++)
				rows[r] = lev[r].hi[v];
			interleave(rows, *tile + 4 * v);
			for (r = 0; bits > 4 && r < 4; r++)
				rows[r] = lev[r].lo[v];
			if (bits > 4)
				interleave(rows, *tile + REGISTERS + 4 * v);
		}
	}
}

/* Registers @j and @j + 1 of a tile times @nw weights of two planes */
AVX2_INLINE void add_products(__m256i (*tile)[2 * REGISTERS], size_t j, size_t groups,
			      const struct weights *w, int first, int nw, size_t at, __m256i (*sums)[REGISTERS])
{
	const int8_t *weight = w->plane[first][0] + at;
	__m256i a[4], b[4], x, y, q;
	int32_t four;
	size_t g;
	int i;

	for (i = 0; i < 2 * nw; i++) {
		a[i] = sums[i][j % REGISTERS];
		b[i] = sums[i][j % REGISTERS + 1];
	}
	for (g = 0; g < groups; g++, weight += 4) {
		x = _mm256_load_si256(tile[g] + j);
		y = _mm256_load_si256(tile[g] + j + 1);
		for (i = 0; i < 2 * nw; i++) {
			memcpy(&four, weight + (size_t)i * sizeof(w->plane[0][0]), sizeof(four));
			q = _mm256_set1_epi32(four);
			a[i] = dot_add(a[i], x, q);
			b[i] = dot_add(b[i], y, q);
		}
	}
	for (i = 0; i < 2 * nw; i++) {
		sums[i][j % REGISTERS] = a[i];
		sums[i][j % REGISTERS + 1] = b[i];
	}
}

AVX2_INLINE void sum_chunk(const struct source *s, const struct weights *w, int nw, uint32_t bits,
			   struct chunk_sums *sums)
{
	size_t left = s->plan->dim - s->chunk * QUERY_CHUNK, rest = left < QUERY_CHUNK ? left : 0, first, groups, j;
	__m256i tile[TILE_GROUPS][2 * REGISTERS];
	uint32_t p;
	int i;

	for (p = 0; p < planes_of(bits); p++)
		memset(sums->at[p], 0, (size_t)nw * sizeof(sums->at[p][0]));
	for (first = 0; first < s->n; first += 4 * TILE_GROUPS) {
		groups = (s->n - first + 3) / 4 < TILE_GROUPS ? (s->n - first + 3) / 4 : TILE_GROUPS;
		if (rest)
			fill_tile(s, first, groups, rest, bits, tile);
		else
			fill_tile(s, first, groups, 0, bits, tile);
		for (j = 0; j < REGISTERS * planes_of(bits); j += 2) {
			for (i = 0; i + 2 <= nw; i += 2)
				add_products(tile, j, groups, w, i, 2, first, sums->at[j / REGISTERS][i]);
			if (i < nw)
				add_products(tile, j, groups, w, i, 1, first, sums->at[j / REGISTERS][i]);
		}
	}
}

/* Four lanes of the sums of two planes, in double */
AVX2_INLINE __m128 combine_wide(const struct chunk_sums *s, int w, int j, int upper, int64_t sum)
{
#define PART(p, q)                                                                                 \
	_mm256_cvtepi32_pd(upper ? _mm256_extracti128_si256(s->at[p][w][q][j], 1)                   \
				 : _mm256_castsi256_si128(s->at[p][w][q][j]))
	__m256d v = _mm256_mul_pd(PART(0, 0), _mm256_set1_pd(16384.0));

	v = _mm256_add_pd(v, _mm256_mul_pd(_mm256_add_pd(PART(0, 1), PART(1, 0)), _mm256_set1_pd(128.0)));
	v = _mm256_add_pd(v, PART(1, 1));
#undef PART
	return _mm256_cvtpd_ps(_mm256_sub_pd(_mm256_add_pd(v, v), _mm256_set1_pd(16383.0 * (double)sum)));
}

/* f32(A) of the coordinates of register @j */
AVX2_INLINE __m256 combine(const struct source *s, const struct chunk_sums *sums, int w, int j, int64_t sum,
			   uint32_t bits)
{
	int32_t odd = bits == 1 ? s->plan->codebook.odd[1] : 1, beta = bits == 1 ? odd : 127;
	__m256i a;

	if (bits > 4)
		return _mm256_insertf128_ps(_mm256_castps128_ps256(combine_wide(sums, w, j, 0, sum)),
					    combine_wide(sums, w, j, 1, sum), 1);
	a = _mm256_add_epi32(_mm256_slli_epi32(sums->at[0][w][0][j], 7), sums->at[0][w][1][j]);
	if (bits == 1)
		a = _mm256_mullo_epi32(a, _mm256_set1_epi32(odd));
	a = _mm256_sub_epi32(_mm256_add_epi32(a, a), _mm256_set1_epi32((int32_t)(beta * sum)));
	return _mm256_cvtepi32_ps(a);
}

/* Byte order to the order of coordinates, 4 to 7 bits: even and odd coordinates side by side */
AVX2_INLINE void zip(const float *even, const float *odd, float *to)
{
	__m256 a, b, low, high;
	int i;

	for (i = 0; i < 32; i += 8) {
		a = _mm256_load_ps(even + i);
		b = _mm256_load_ps(odd + i);
		low = _mm256_unpacklo_ps(a, b);
		high = _mm256_unpackhi_ps(a, b);
		_mm256_store_ps(to + 2 * i, _mm256_permute2f128_ps(low, high, 0x20));
		_mm256_store_ps(to + 2 * i + 8, _mm256_permute2f128_ps(low, high, 0x31));
	}
}

AVX2_INLINE void add_chunk_sums(const struct source *s, const struct weights *w, int i, uint32_t bits,
				const struct chunk_sums *sums, float *out)
{
	_Alignas(32) float byte[2][32], ordered[64];
	size_t left = s->plan->dim - s->chunk * QUERY_CHUNK, c, k;
	float step = w->unit[i] * s->plan->codebook.half_step;
	int j;

	for (j = 0; j < REGISTERS; j++) {
		__m256 a = combine(s, sums, i, j, w->sum[i], bits);

		_mm_store_ps(byte[j / 4] + j % 4 * 4, _mm256_castps256_ps128(a));
		_mm_store_ps(byte[j / 4] + 16 + j % 4 * 4, _mm256_extractf128_ps(a, 1));
	}
	if (bits >= 4 && bits <= 7)
		zip(byte[0], byte[1], ordered);
	for (k = 0; (bits < 4 || bits > 7) && k < 64; k++)
		ordered[coordinate(bits, k / 32, k % 32)] = byte[k / 32][k % 32];
	for (c = 0; c < QUERY_CHUNK && c < left; c++)
		out[c] = out[c] + ordered[c] * step;
}

AVX2_INLINE void source_open(struct source *s, const void *state, uint32_t bits)
{
	level_tables_load(&s->tables, state, bits);
}

AVX2_INLINE size_t chunk_dim(uint32_t bits)
{
	return QUERY_CHUNK;
}

#include "../simd/mix.h"

const struct tq_quantizer_ops ATTEND_OPS = {
	.struct_size = sizeof(struct tq_quantizer_ops),
	.create = avx2_tables_create,
	.destroy = avx2_tables_destroy,
	.mix = mix,
	.logits = avx2_logits,
	.weigh = avx2_weigh,
	.raw_score = avx2_raw_score,
	.raw_mix = avx2_raw_mix,
};
