/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows to codes around the rotation, FORMAT.md section 4: TQO_LANES work-items share a row and add in the
 * lanes of dot16; the last word of each sum goes through local memory.
 */

/* Multipliers that effort 1 tries; the sums of the chosen one come after those of the trials. */
#define TRIALS 17

/* Steps 1 to 4: cross, centre, power of two, norm2 */
KERNEL void tqo_load(__global const uchar *tables, __global const void *x, int dtype, uint n,
		     __global float *y, __global struct tqo_stat *stat)
{
	__global const struct tqo_plan *p = PLAN(tables);
	__global const float *centre = TABLE(float, tables, p->centre_at);
	__local float sum[TQO_GROUP], square[TQO_GROUP];
	__local uint tops[TQO_GROUP];
	uint lid = get_local_id(0), lane = lid % TQO_LANES, first = lid - lane, d = p->dim, i, top = 0;
	uint row = get_group_id(0) * GROUP_ROWS + lid / TQO_LANES;
	float a = 0.0f, v;
	int e = 0;

	y += row * d;
	if (row < n)
		for (i = lane; i < d; i += TQO_LANES) {
			v = load_element(x, dtype, row * d + i);
			if (p->center == CENTER_BOTH)
				a = a + v * centre[i];
			if (p->center != CENTER_OFF)
				v = v - centre[i];
			y[i] = v;
			top = max(top, as_uint(v) & 0x7fffffffu);
		}
	sum[lid] = a;
	tops[lid] = top;
	barrier(CLK_LOCAL_MEM_FENCE);
	for (i = 0; i < TQO_LANES; i++)
		top = max(top, tops[first + i]);
	if (top >= 0x00800000u)
		e = (int)(top >> 23) - 127;
	else if (top)
		e = -118 - (int)clz(top);
	a = 0.0f;
	if (row < n)
		for (i = lane; i < d; i += TQO_LANES) {
			v = scale_down(y[i], e);
			y[i] = v;
			a = a + v * v;
		}
	square[lid] = a;
	barrier(CLK_LOCAL_MEM_FENCE);
	if (row < n && lane == 0) {
		stat[row].exponent = e;
		stat[row].norm2 = sum16(square + first);
		stat[row].cross = p->center == CENTER_BOTH ? sum16(sum + first) : 0.0f;
	}
}

/* How many of the thresholds bounds * r are <= y; they ascend, and the count of levels is a power of two */
inline uint level_of(__global const float *bounds, uint count, float r, float y)
{
	uint k = 0, step;

	for (step = count >> 1; step; step >>= 1)
		if (y >= bounds[k + step - 1] * r)
			k += step;
	return k;
}

/* The same of any count */
inline uint level_among(__global const float *bounds, uint count, float r, float y)
{
	uint k = 0, left = count - 1, part;

	while (left) {
		part = left / 2;
		if (y >= bounds[k + part] * r) {
			k += part + 1;
			left -= part + 1;
		} else {
			left = part;
		}
	}
	return k;
}

/* The index of coordinate i */
inline uint index_of(__global const struct tqo_plan *p, __global const float *bounds, float r, float y, uint i)
{
	__global const struct tqo_radix *x = &p->radix;
	uint j;

	if (!x->digits)
		return level_of(bounds, p->count, r, y);
	j = i / x->words;
	return x->base[j] + level_among(bounds + x->base[j], x->count[j], r, y);
}

inline long sum_long(__local const long *lane)
{
	long s = 0;
	int i;

	for (i = 0; i < TQO_LANES; i++)
		s += lane[i];
	return s;
}

/* The multiplier of effort 1 whose levels point best along the row */
inline float best_multiplier(__local const float *yc, __local const long *cc)
{
	float best = -1.0f, best_mu = 0.75f, a, q;
	int j;

	for (j = 0; j < TRIALS; j++) {
		a = sum16(yc + j * TQO_GROUP);
		q = a > 0.0f ? (a * a) / (float)sum_long(cc + j * TQO_GROUP) : 0.0f;
		if (q > best) {
			best = q;
			best_mu = 0.75f + (float)j / 32.0f;
		}
	}
	return best_mu;
}

inline float row_scale(__global const struct tqo_plan *p, float norm2, float yc, long cc)
{
	float h = p->half_step;

	if (!(norm2 > 0.0f))
		return 0.0f;
	if (p->correction == CORR_NORM)
		return cc ? sqrt(norm2 / (float)cc) / h : 0.0f;
	if (p->correction == CORR_LS)
		return yc > 0.0f ? (yc / (float)cc) / h : 0.0f;
	if (p->correction == CORR_UNBIASED)
		return yc > 0.0f ? (norm2 / yc) / h : 0.0f;
	return sqrt(norm2 / (float)p->dim);
}

/*
 * Steps 6 to 9: the index of every coordinate into @index, scale and cross into the row of codes; with a
 * sketch the norm of the residual too, which takes the place of @y.
 */
KERNEL void tqo_quantize(__global const uchar *tables, __global float *y,
			 __global const struct tqo_stat *stat, uint n, __global uchar *index,
			 __global uchar *codes)
{
	__global const struct tqo_plan *p = PLAN(tables);
	__global const short *odd = TABLE(short, tables, p->odd_at);
	__global const float *bounds = TABLE(float, tables, p->bounds_at);
	__local float yc[(TRIALS + 1) * TQO_GROUP], square[TQO_GROUP];
	__local long cc[(TRIALS + 1) * TQO_GROUP];
	uint lid = get_local_id(0), lane = lid % TQO_LANES, first = lid - lane, d = p->dim, i, j, k;
	uint row = get_group_id(0) * GROUP_ROWS + lid / TQO_LANES, count = p->count;
	uint trials = p->effort && count > 2 ? TRIALS : 0;
	uint at = min(row, n - 1);
	float norm2 = stat[at].norm2, r = sqrt(norm2 / (float)d), t, rr, a;
	int exponent = stat[at].exponent;
	long c;

	y += at * d;
	index += at * d;
	codes += at * p->row_bytes;
	for (j = 0; j < trials; j++) {
		rr = r * (0.75f + (float)j / 32.0f);
		a = 0.0f;
		c = 0;
		for (i = lane; i < d; i += TQO_LANES) {
			int o = odd[index_of(p, bounds, rr, y[i], i)];

			a = a + y[i] * (float)o;
			c += o * o;
		}
		yc[j * TQO_GROUP + lid] = a;
		cc[j * TQO_GROUP + lid] = c;
	}
	barrier(CLK_LOCAL_MEM_FENCE);
	rr = trials ? r * best_multiplier(yc + first, cc + first) : r;
	a = 0.0f;
	c = 0;
	if (count && row < n)
		for (i = lane; i < d; i += TQO_LANES) {
			int o;

			k = index_of(p, bounds, rr, y[i], i);
			o = odd[k];
			index[i] = (uchar)k;
			a = a + y[i] * (float)o;
			c += o * o;
		}
	yc[TRIALS * TQO_GROUP + lid] = a;
	cc[TRIALS * TQO_GROUP + lid] = c;
	t = r * p->half_step;
	a = 0.0f;
	if (p->has_sketch && row < n)
		for (i = lane; i < d; i += TQO_LANES) {
			float e = count ? y[i] - (float)odd[index[i]] * t : y[i];

			y[i] = e;
			a = a + e * e;
		}
	square[lid] = a;
	barrier(CLK_LOCAL_MEM_FENCE);
	if (row >= n || lane != 0)
		return;
	a = row_scale(p, norm2, sum16(yc + TRIALS * TQO_GROUP + first),
		      sum_long(cc + TRIALS * TQO_GROUP + first));
	store_scale(p, codes, scale_up(a, exponent));
	if (p->center == CENTER_BOTH)
		store_bytes(codes + p->cross_at, as_uint(stat[row].cross), 4);
	if (p->has_sketch)
		store_scale(p, codes + p->rnorm_at, scale_up(sqrt(sum16(square + first)), exponent));
}

/* What field number i of a row holds: an index or, of a fraction of a bit, a word of digits */
inline uint word_of(__global const struct tqo_plan *p, __global const uchar *index, uint i)
{
	__global const struct tqo_radix *x = &p->radix;
	uint j, word = 0, at;

	if (!x->digits)
		return index[i];
	for (j = 0, at = i; j < x->digits && at < p->dim; j++, at += x->words)
		word += (index[at] - x->base[j]) * x->place[j];
	return word;
}

/* One field of the indices, a work-item per byte of it */
KERNEL void tqo_pack(__global const uchar *tables, __global const uchar *index, uint n, uint section,
		     __global uchar *codes)
{
	__global const struct tqo_plan *p = PLAN(tables);
	uint width = p->section[section].width, shift = p->section[section].shift;
	uint d = p->dim, fields = p->radix.digits ? p->radix.words : d;
	uint per = 8 / width, bytes = p->section[section].bytes, id = get_global_id(0), k, v = 0;
	uint row = id / bytes, b = id % bytes;

	if (row >= n)
		return;
	index += row * d;
	for (k = 0; k < per && b * per + k < fields; k++)
		v |= ((word_of(p, index, b * per + k) >> shift) & ((1u << width) - 1u)) << (k * width);
	codes[row * p->row_bytes + p->section[section].at + b] = (uchar)v;
}

/* The sketch's bits: which of the rotated residual's coordinates are >= 0 */
KERNEL void tqo_signs(__global const uchar *tables, __global const float *z, uint n, __global uchar *codes)
{
	__global const struct tqo_plan *p = PLAN(tables);
	uint d = p->dim, id = get_global_id(0), row = id / p->sketch_bytes, b = id % p->sketch_bytes, k, v = 0;

	if (row >= n)
		return;
	z += row * d;
	for (k = 0; k < 8 && b * 8 + k < d; k++)
		v |= (z[b * 8 + k] >= 0.0f ? 1u : 0u) << k;
	codes[row * p->row_bytes + p->sketch_at + b] = (uchar)v;
}
