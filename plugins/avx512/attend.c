/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Weighted sums of coded rows, FORMAT.md section 8.
 *
 * A weight is 128 hi + lo, both s8, as a query of two planes is; levels are bytes. Four rows go
 * together: their level bytes are interleaved, so that a 32-bit lane holds one coordinate of four
 * rows, and vpdpbusd adds the four products:
 *
 *	row t	 a0 a1 a2 a3 ...		lane 0: a0 b0 c0 d0
 *	row t+1	 b0 b1 b2 b3 ...	->	lane 1: a1 b1 c1 d1
 *	...
 *
 * A tile of rows is interleaved once for all weights. Sums over a call stay in int32: with 1024
 * rows at most, |sum of hi * level| < 1024 * 127 * 127. With one plane of levels the whole sum A fits
 * too, and is put together modulo 2^32; with two it is put together in double, which is exact.
 */

#include "attend.h"
#include "lanes.h"
#include "query.h"

#define TILE_BYTES 16384
#define MOST_WEIGHTS 16
/* Registers of a chunk after interleaving, per plane of levels */
#define MOST_LANES (4 * LEVEL_VECTORS)

/* The integer weights of a call: hi and lo planes, a byte per row, and their sums */
struct weights {
	_Alignas(64) int8_t plane[2][MOST_WEIGHTS][TQ_MIX_ROWS + 64];
	int64_t sum[MOST_WEIGHTS];
	float unit[MOST_WEIGHTS];
};

/* Sums of one chunk: [plane of levels][weight][plane of weights][interleaved register] */
struct chunk_sums {
	__m512i at[2][MOST_WEIGHTS][2][MOST_LANES];
};

static void load_scales(const struct tq_plan *plan, const uint8_t *codes, size_t n, float *scale)
{
	const __m512i ramp = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
	size_t row = plan->layout.row_bytes, t = 0;
	__m512i at = _mm512_mullo_epi32(ramp, _mm512_set1_epi32((int)row));

	for (; plan->scale == TQ_F32 && t + 16 <= n; t += 16)
		_mm512_storeu_ps(scale + t, _mm512_i32gather_ps(at, codes + t * row, 1));
	for (; t < n; t++)
		scale[t] = tq_load_scale(plan, codes + t * row);
}

/* One weight: a_t = weight_t * scale_t to integers, as scalar does it */
static void quantize(const float *weights, const float *scale, size_t n, struct weights *to, int w)
{
	__m512 top = _mm512_setzero_ps(), a[TQ_MIX_ROWS / 16];
	__m512i sum = _mm512_setzero_si512(), q, hi;
	size_t t, k;
	float most, inv;

	for (t = 0, k = 0; t < n; t += 16, k++) {
		a[k] = _mm512_mul_ps(_mm512_maskz_loadu_ps(lanes(n - t), weights + t),
				     _mm512_maskz_loadu_ps(lanes(n - t), scale + t));
		top = _mm512_max_ps(top, _mm512_abs_ps(a[k]));
	}
	most = _mm512_reduce_max_ps(top);
	to->unit[w] = most >= TQ_MIX_TINY ? most / (float)TQ_MIX_TOP : 0.0f;
	inv = most >= TQ_MIX_TINY ? (float)TQ_MIX_TOP / most : 0.0f;
	for (t = 0, k = 0; t < n; t += 16, k++) {
		q = _mm512_cvtps_epi32(_mm512_mul_ps(a[k], _mm512_set1_ps(inv)));
		sum = _mm512_add_epi32(sum, q);
		hi = _mm512_srai_epi32(_mm512_add_epi32(q, _mm512_set1_epi32(64)), 7);
		_mm_store_si128((__m128i *)(to->plane[0][w] + t), _mm512_cvtepi32_epi8(hi));
		_mm_store_si128((__m128i *)(to->plane[1][w] + t),
				_mm512_cvtepi32_epi8(_mm512_sub_epi32(q, _mm512_slli_epi32(hi, 7))));
	}
	to->sum[w] = _mm512_reduce_add_epi32(sum);
}

/* The rows of a call, chunk by chunk */
struct source {
	const struct tq_plan *plan;
	const struct shape *shape;
	const uint8_t *codes;
	size_t n;
	size_t chunk;
	struct level_tables tables;
};

LEVELS_INLINE void interleave(const __m512i *row, __m512i *to)
{
	__m512i ab0 = _mm512_unpacklo_epi8(row[0], row[1]), ab1 = _mm512_unpackhi_epi8(row[0], row[1]);
	__m512i cd0 = _mm512_unpacklo_epi8(row[2], row[3]), cd1 = _mm512_unpackhi_epi8(row[2], row[3]);

	_mm512_store_si512(to, _mm512_unpacklo_epi16(ab0, cd0));
	_mm512_store_si512(to + 1, _mm512_unpackhi_epi16(ab0, cd0));
	_mm512_store_si512(to + 2, _mm512_unpacklo_epi16(ab1, cd1));
	_mm512_store_si512(to + 3, _mm512_unpackhi_epi16(ab1, cd1));
}

/* Rows @first .. of a chunk, four at a time, to the tile; rows past the end repeat the last */
LEVELS_INLINE void fill_tile(const struct source *s, size_t first, size_t groups, uint32_t bits,
			     __m512i *tile)
{
	const uint64_t *tail = s->chunk < s->shape->chunks ? NULL : s->shape->tail;
	uint32_t n = levels_fields(bits), vectors = levels_vectors(bits), k, v;
	__m512i hi[4][LEVEL_VECTORS], lo[4][LEVEL_VECTORS], rows[4];
	const uint8_t *p[3] = {NULL};
	size_t g, t;
	int r;

	for (g = 0; g < groups; g++) {
		for (r = 0; r < 4; r++) {
			t = first + 4 * g + (size_t)r < s->n ? first + 4 * g + (size_t)r : s->n - 1;
			for (k = 0; k < n; k++)
				p[k] = s->codes + t * s->plan->layout.row_bytes + s->shape->at[k] +
				       s->chunk * levels_step(bits, k);
			levels_decode(&s->tables, p, tail, bits, hi[r], lo[r]);
		}
		for (v = 0; v < vectors; v++, tile += 4) {
			for (r = 0; r < 4; r++)
				rows[r] = hi[r][v];
			interleave(rows, tile);
		}
		for (v = 0; bits > 4 && v < vectors; v++, tile += 4) {
			for (r = 0; r < 4; r++)
				rows[r] = lo[r][v];
			interleave(rows, tile);
		}
	}
}

/* Two registers of the tile times up to four weights, both planes */
LEVELS_INLINE void add_products(const __m512i *tile, size_t step, size_t groups,
				const struct weights *w, int first, int nw, size_t at, __m512i *acc0,
				__m512i *acc1, size_t stride)
{
	const int32_t *weight[8];
	__m512i a[8], b[8], x, y, q;
	size_t g;
	int i;

	for (i = 0; i < 2 * nw; i++) {
		weight[i] = (const int32_t *)(const void *)(w->plane[i & 1][first + i / 2] + at);
		a[i] = acc0[i * stride];
		b[i] = acc1[i * stride];
	}
	for (g = 0; g < groups; g++, tile += step) {
		x = tile[0];
		y = tile[1];
		for (i = 0; i < 2 * nw; i++) {
			q = _mm512_set1_epi32(weight[i][g]);
			a[i] = _mm512_dpbusd_epi32(a[i], x, q);
			b[i] = _mm512_dpbusd_epi32(b[i], y, q);
		}
	}
	for (i = 0; i < 2 * nw; i++) {
		acc0[i * stride] = a[i];
		acc1[i * stride] = b[i];
	}
}

LEVELS_INLINE void sum_chunk(const struct source *s, const struct weights *w, int nw, uint32_t bits,
			     struct chunk_sums *sums)
{
	uint32_t registers = 4 * levels_vectors(bits), planes = levels_planes(bits), p, j;
	size_t step = (size_t)registers * planes, most = TILE_BYTES / (64 * step), first, groups;
	__m512i tile[TILE_BYTES / 64];
	int i, k;

	for (p = 0; p < planes; p++)
		for (i = 0; i < nw; i++)
			for (j = 0; j < registers; j++)
				sums->at[p][i][0][j] = sums->at[p][i][1][j] = _mm512_setzero_si512();
	for (first = 0; first < s->n; first += 4 * most) {
		groups = (s->n - first + 3) / 4 < most ? (s->n - first + 3) / 4 : most;
		fill_tile(s, first, groups, bits, tile);
		for (p = 0; p < planes; p++) {
			for (j = 0; j < registers; j += 2) {
				for (i = 0; i < nw; i += k) {
					k = nw - i < 4 ? 1 : 4;
					if (k == 4)
						add_products(tile + p * registers + j, step, groups, w,
							     i, 4, first, &sums->at[p][i][0][j],
							     &sums->at[p][i][0][j + 1], MOST_LANES);
					else
						add_products(tile + p * registers + j, step, groups, w,
							     i, 1, first, &sums->at[p][i][0][j],
							     &sums->at[p][i][0][j + 1], MOST_LANES);
				}
			}
		}
	}
}

/* f32(A) of the sixteen coordinates whose sums lie in register @j, from 5 bits */
LEVELS_INLINE __m512 combine_wide(const struct chunk_sums *s, int w, uint32_t j, int64_t sum)
{
	__m256 half[2];
	__m512d v;
	int h;

	for (h = 0; h < 2; h++) {
#define PART(p, q)                                                                                 \
	_mm512_cvtepi32_pd(h ? _mm512_extracti64x4_epi64(s->at[p][w][q][j], 1)                      \
			     : _mm512_castsi512_si256(s->at[p][w][q][j]))
		v = _mm512_mul_pd(PART(0, 0), _mm512_set1_pd(16384.0));
		v = _mm512_add_pd(v, _mm512_mul_pd(_mm512_add_pd(PART(0, 1), PART(1, 0)),
						   _mm512_set1_pd(128.0)));
		v = _mm512_add_pd(v, PART(1, 1));
#undef PART
		v = _mm512_sub_pd(_mm512_add_pd(v, v), _mm512_set1_pd(16383.0 * (double)sum));
		half[h] = _mm512_cvtpd_ps(v);
	}
	return _mm512_insertf32x8(_mm512_castps256_ps512(half[0]), half[1], 1);
}

LEVELS_INLINE __m512 combine(const struct chunk_sums *s, int w, uint32_t j, int64_t sum,
			     uint32_t bits)
{
	__m512i a;

	if (bits > 4)
		return combine_wide(s, w, j, sum);
	a = _mm512_add_epi32(_mm512_slli_epi32(s->at[0][w][0][j], 7), s->at[0][w][1][j]);
	a = _mm512_sub_epi32(_mm512_add_epi32(a, a), _mm512_set1_epi32((int32_t)(127 * sum)));
	return _mm512_cvtepi32_ps(a);
}

/*
 * Where coordinate c of a chunk lies among the interleaved lanes: byte i = c / V of register v = c % V
 * became lane 4 (i / 16) + i % 4 of register 4 v + i / 4 % 4.
 */
LEVELS_INLINE __m512i places(size_t c, uint32_t vectors)
{
	const __m512i ramp = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
	int shift = vectors == 8 ? 3 : vectors == 4 ? 2 : vectors == 2 ? 1 : 0;
	__m512i at = _mm512_add_epi32(_mm512_set1_epi32((int)c), ramp);
	__m512i v = _mm512_and_si512(at, _mm512_set1_epi32((int)vectors - 1));
	__m512i i = _mm512_srli_epi32(at, (unsigned)shift);
	__m512i reg = _mm512_and_si512(_mm512_srli_epi32(i, 2), _mm512_set1_epi32(3));
	__m512i lane = _mm512_slli_epi32(_mm512_srli_epi32(i, 4), 2);

	reg = _mm512_add_epi32(_mm512_slli_epi32(v, 2), reg);
	lane = _mm512_add_epi32(lane, _mm512_and_si512(i, _mm512_set1_epi32(3)));
	return _mm512_add_epi32(_mm512_slli_epi32(reg, 4), lane);
}

LEVELS_INLINE void add_chunk_sums(const struct source *s, const struct weights *w, int i,
				  uint32_t bits, const struct chunk_sums *sums, float *out)
{
	size_t chunk = levels_chunk(bits), left = s->plan->dim - s->chunk * chunk, c;
	__m512 step = _mm512_set1_ps(w->unit[i] * s->plan->codebook.half_step), a, old;
	_Alignas(64) float by_lane[16 * MOST_LANES];
	__mmask16 m;
	uint32_t j;

	for (j = 0; j < 4 * levels_vectors(bits); j++)
		_mm512_store_ps(by_lane + 16 * j, combine(sums, i, j, w->sum[i], bits));
	for (c = 0; c < chunk && c < left; c += 16) {
		m = lanes(left - c);
		a = _mm512_i32gather_ps(places(c, levels_vectors(bits)), by_lane, 4);
		old = _mm512_maskz_loadu_ps(m, out + c);
		_mm512_mask_storeu_ps(out + c, m, _mm512_add_ps(old, _mm512_mul_ps(a, step)));
	}
}

LEVELS_INLINE void mix_bits(struct source *s, const struct weights *w, int nw, float *sums,
			    size_t ld, uint32_t bits)
{
	size_t chunk = levels_chunk(bits);
	struct chunk_sums part;
	int i;

	level_tables_load(&s->tables, &s->shape->hi, &s->shape->lo, bits);
	for (s->chunk = 0; s->chunk * chunk < s->plan->dim; s->chunk++) {
		sum_chunk(s, w, nw, bits, &part);
		for (i = 0; i < nw; i++)
			if (w->unit[i] > 0.0f)
				add_chunk_sums(s, w, i, bits, &part,
					       sums + (size_t)i * ld + s->chunk * chunk);
	}
}

#define MIX_BITS(bits)                                                                             \
	static void mix_##bits(struct source *s, const struct weights *w, int nw, float *sums,      \
			       size_t ld)                                                          \
	{                                                                                          \
		mix_bits(s, w, nw, sums, ld, bits);                                                \
	}

MIX_BITS(1)
MIX_BITS(2)
MIX_BITS(3)
MIX_BITS(4)
MIX_BITS(5)
MIX_BITS(6)
MIX_BITS(7)
MIX_BITS(8)

static void mix(const struct tq_plan *plan, const void *state, const float *weights, size_t ldw,
		size_t nw, const uint8_t *codes, size_t n, float *sums, size_t ld)
{
	static void (*const by_bits[9])(struct source *s, const struct weights *w, int nw,
					float *sums, size_t ld) = {
		NULL, mix_1, mix_2, mix_3, mix_4, mix_5, mix_6, mix_7, mix_8};
	const struct score_tables *tab = state;
	struct source s = {.plan = plan, .shape = &tab->level, .codes = codes, .n = n};
	float scale[TQ_MIX_ROWS];
	struct weights w;
	size_t i, m;

	if (!plan->index_bits || !n)
		return;
	load_scales(plan, codes, n, scale);
	for (; nw; nw -= m, weights += m * ldw, sums += m * ld) {
		m = nw < MOST_WEIGHTS ? nw : MOST_WEIGHTS;
		for (i = 0; i < m; i++)
			quantize(weights + i * ldw, scale, n, &w, (int)i);
		by_bits[plan->index_bits](&s, &w, (int)m, sums, ld);
	}
}

const struct tq_quantizer_ops avx512_attend_ops = {
	.struct_size = sizeof(struct tq_quantizer_ops),
	.create = avx512_score_create,
	.destroy = avx512_score_destroy,
	.mix = mix,
	.weigh = avx512_weigh,
	.raw_score = avx512_raw_score,
	.raw_mix = avx512_raw_mix,
};
