/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scores, FORMAT.md section 6. Levels and queries are planes of signed bytes, padded with zeros to whole
 * words, so every integer sum is made of dot products of four bytes with four. A level of two planes is
 * 256 * hi + lo, a query 128 * hi + lo. An int holds the sum of one pair of planes: 128 * 128 * 65536 at most.
 */
#define LEVEL_HIGH 256
#define QUERY_HIGH 128

/* What a compiler offers is used if the host asks for it: it does not where building with it failed. */
#if defined(TQO_EXTENSIONS) && (defined(cl_khr_subgroups) || defined(cl_intel_subgroups))
#define TQO_SUB_GROUPS
#endif

#if defined(TQO_EXTENSIONS) && defined(__opencl_c_integer_dot_product_input_4x8bit_packed)
#define DOT4(a, b) dot_4x8packed_ss_int(a, b)
#else
inline int dot4(uint a, uint b)
{
	int4 v = convert_int4(as_char4(a)) * convert_int4(as_char4(b));

	return (v.x + v.y) + (v.z + v.w);
}
#define DOT4(a, b) dot4(a, b)
#endif

/* Rows of codes to planes: those of the levels, high bytes first, then the signs of the sketch */
KERNEL void tqo_expand(__global const uchar *tables, __global const uchar *codes, uint n,
		       __global char *planes)
{
	__global const struct tqo_plan *p = PLAN(tables);
	uint padded = p->padded, id = get_global_id(0), row = id / padded, i = id % padded;
	uint levels = p->index_bits ? p->planes : 0;
	int o = 0, hi, sign = 0;

	if (row >= n)
		return;
	codes += row * p->row_bytes;
	planes += row * (levels + p->has_sketch) * padded + i;
	if (i < p->dim) {
		if (levels)
			o = TABLE(short, tables, p->odd_at)[row_index(p, codes, i)];
		if (p->has_sketch)
			sign = codes[p->sketch_at + i / 8] >> i % 8 & 1 ? 1 : -1;
	}
	if (levels == 1)
		planes[0] = (char)o;
	if (levels == 2) {
		hi = (o + LEVEL_HIGH / 2) >> 8;
		planes[0] = (char)hi;
		planes[padded] = (char)(o - LEVEL_HIGH * hi);
	}
	if (p->has_sketch)
		planes[levels * padded] = (char)sign;
}

inline float finish(__global const struct tqo_plan *p, __global const struct tqo_head *q,
		    __global const uchar *row, float a, float b)
{
	float s = 0.0f;

	if (p->index_bits)
		s = (a * q->scale) * load_scale(p, row);
	if (p->has_sketch)
		s = s + (b * q->sketch_scale) * load_scale(p, row + p->rnorm_at);
	if (p->center != CENTER_OFF)
		s = s + q->add;
	if (p->center == CENTER_BOTH)
		s = s + load_f32(row + p->cross_at);
	return s;
}

/* Row against row: the head has the other's scale and cross */
inline float finish_pair(__global const struct tqo_plan *p, __global const struct tqo_head *q,
			 __global const uchar *row, float a)
{
	float h = p->half_step, s = (a * (h * h)) * (load_scale(p, row) * q->scale);

	if (p->center == CENTER_BOTH)
		s = s + ((load_f32(row + p->cross_at) + q->add) - p->centre_norm2);
	return s;
}

/* One query's share of a lane: @rows and @query have the planes, words @lane, @lane + @lanes, ... are ours */
inline long planes_dot(__global const uint *rows, uint row_planes, __global const uint *query,
		       uint query_planes, int query_high, uint words, uint lane, uint lanes)
{
	uint i, j, w;
	long sum = 0;

	for (i = 0; i < row_planes; i++)
		for (j = 0; j < query_planes; j++) {
			__global const uint *a = rows + i * words, *b = query + j * words;
			int s = 0;

			for (w = lane; w < words; w += lanes)
				s += DOT4(a[w], b[w]);
			sum += (long)s * ((i + 1 < row_planes ? LEVEL_HIGH : 1) *
				  (j + 1 < query_planes ? query_high : 1));
		}
	return sum;
}

/*
 * @nq queries, TQO_QUERIES of them in each slice of the second dimension, against @n rows: a sub-group per
 * row where there are such, else TQO_LANES work-items. @pairs: the queries are rows.
 */
KERNEL void tqo_score(__global const uchar *tables, __global const uchar *queries, uint nq, uint query_bytes,
		      uint query_planes, int pairs, __global const uchar *codes, __global const uint *planes,
		      uint n, __global float *scores)
{
	__global const struct tqo_plan *p = PLAN(tables);
	uint words = p->padded / 4, levels = p->index_bits ? p->planes : 0, sketch = p->has_sketch;
	uint first_query = get_global_id(1) * TQO_QUERIES, base, row, at, k;
#ifdef TQO_SUB_GROUPS
	uint lane = get_sub_group_local_id(), lanes = get_max_sub_group_size();
	uint own = get_sub_group_id(), own_rows = get_num_sub_groups();
#else
	__local long sums[2 * TQO_QUERIES * TQO_GROUP];
	uint lid = get_local_id(0), lane = lid % TQO_LANES, lanes = TQO_LANES, j;
	uint own = lid / TQO_LANES, own_rows = GROUP_ROWS;
#endif
	int query_high = pairs ? LEVEL_HIGH : QUERY_HIGH;
	long a, b;

	for (base = get_group_id(0) * own_rows; base < n; base += get_num_groups(0) * own_rows) {
		row = base + own;
		at = min(row, n - 1);
		for (k = 0; k < TQO_QUERIES; k++) {
			__global const uchar *q = queries + min(first_query + k, nq - 1) * query_bytes;
			__global const uint *query = (__global const uint *)(q + TQO_HEAD_BYTES);
			__global const uint *levels_at = planes + at * (levels + sketch) * words;

			a = planes_dot(levels_at, levels, query, query_planes, query_high, words, lane, lanes);
			b = pairs ? 0 : planes_dot(levels_at + levels * words, sketch,
						   query + query_planes * words, query_planes, query_high,
						   words, lane, lanes);
#ifdef TQO_SUB_GROUPS
			a = sub_group_reduce_add(a);
			b = sub_group_reduce_add(b);
			if (lane == 0 && row < n && first_query + k < nq) {
				__global const struct tqo_head *head = (__global const struct tqo_head *)q;
				__global const uchar *code = codes + row * p->row_bytes;

				scores[(first_query + k) * n + row] =
					pairs ? finish_pair(p, head, code, (float)a)
					      : finish(p, head, code, (float)a, (float)b);
			}
		}
#else
			sums[k * TQO_GROUP + lid] = a;
			sums[(TQO_QUERIES + k) * TQO_GROUP + lid] = b;
		}
		barrier(CLK_LOCAL_MEM_FENCE);
		if (lane < TQO_QUERIES && row < n && first_query + lane < nq) {
			__global const struct tqo_head *head =
				(__global const struct tqo_head *)(queries + (first_query + lane) * query_bytes);
			__global const uchar *code = codes + row * p->row_bytes;

			a = b = 0;
			for (j = 0; j < TQO_LANES; j++) {
				a += sums[lane * TQO_GROUP + own * TQO_LANES + j];
				b += sums[(TQO_QUERIES + lane) * TQO_GROUP + own * TQO_LANES + j];
			}
			scores[(first_query + lane) * n + row] =
				pairs ? finish_pair(p, head, code, (float)a)
				      : finish(p, head, code, (float)a, (float)b);
		}
		barrier(CLK_LOCAL_MEM_FENCE);
#endif
	}
}

/* One lane of dot16 of a float query with the level numbers of a row, or with the signs of its sketch */
inline float float_dot(__global const char *rows, uint row_planes, uint padded, __global const float *query,
		       uint d, uint lane)
{
	float a = 0.0f;
	uint i;
	int o;

	for (i = lane; i < d; i += TQO_LANES) {
		o = row_planes == 2 ? LEVEL_HIGH * rows[i] + rows[padded + i] : rows[i];
		a = a + (float)o * query[i];
	}
	return a;
}

/* Float queries: one per slice of the second dimension */
KERNEL void tqo_score_float(__global const uchar *tables, __global const uchar *queries, uint query_bytes,
			    __global const uchar *codes, __global const char *planes, uint n,
			    __global float *scores)
{
	__global const struct tqo_plan *p = PLAN(tables);
	__local float sums[2 * TQO_GROUP];
	uint padded = p->padded, levels = p->index_bits ? p->planes : 0, k = get_global_id(1);
	uint lid = get_local_id(0), lane = lid % TQO_LANES, first = lid - lane;
	uint row = get_group_id(0) * GROUP_ROWS + lid / TQO_LANES;
	__global const struct tqo_head *head = (__global const struct tqo_head *)(queries + k * query_bytes);
	__global const float *query = (__global const float *)(queries + k * query_bytes + TQO_HEAD_BYTES);

	planes += min(row, n - 1) * (levels + p->has_sketch) * padded;
	sums[lid] = levels ? float_dot(planes, levels, padded, query, p->dim, lane) : 0.0f;
	sums[TQO_GROUP + lid] = p->has_sketch ? float_dot(planes + levels * padded, 1, padded, query + padded,
							  p->dim, lane)
					      : 0.0f;
	barrier(CLK_LOCAL_MEM_FENCE);
	if (lane == 0 && row < n)
		scores[k * n + row] = finish(p, head, codes + row * p->row_bytes, sum16(sums + first),
					     sum16(sums + TQO_GROUP + first));
}
