/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rotations of rows of floats in global memory, FORMAT.md section 2. A kernel is one step over all rows,
 * so no dimension is too large and no barrier is needed; the host puts the steps together.
 */

/*
 * Butterflies h, 2h, ... of a window of 2^log_w coordinates from @first on, 2^@stages elements per
 * work-item. The signs at @signs multiply before or after, if asked for.
 */
#define BUTTERFLIES(stages)                                                                        \
	{                                                                                          \
		float v[1 << stages];                                                              \
		int i, s;                                                                          \
                                                                                                   \
		for (i = 0; i < 1 << stages; i++) {                                                \
			v[i] = y[i << log_h];                                                      \
			if (before)                                                                \
				v[i] = v[i] * sign[i << log_h];                                    \
		}                                                                                  \
		for (s = 1; s < 1 << stages; s <<= 1)                                              \
			for (i = 0; i < 1 << stages; i++)                                          \
				if (!(i & s)) {                                                    \
					float a = v[i], b = v[i + s];                              \
                                                                                                   \
					v[i] = a + b;                                              \
					v[i + s] = a - b;                                          \
				}                                                                  \
		for (i = 0; i < 1 << stages; i++)                                                  \
			y[i << log_h] = after ? v[i] * sign[i << log_h] : v[i];                    \
	}

KERNEL void tqo_butterfly(__global float *y, uint n, uint dim, uint first, uint log_w, uint log_h,
			  uint stages, __global const uchar *tables, uint signs, int before, int after)
{
	uint id = get_global_id(0), log_per = log_w - stages;
	uint row = id >> log_per, t = id & ((1u << log_per) - 1u), base;
	__global const float *sign;

	if (row >= n)
		return;
	base = (t >> log_h << (log_h + stages)) + (t & ((1u << log_h) - 1u));
	y += row * dim + first + base;
	sign = TABLE(float, tables, signs) + base;
	if (stages == 4)
		BUTTERFLIES(4)
	else if (stages == 3)
		BUTTERFLIES(3)
	else if (stages == 2)
		BUTTERFLIES(2)
	else if (stages == 1)
		BUTTERFLIES(1)
	else
		BUTTERFLIES(0)
}

/* to[(i + by) mod dim] = from[i] */
KERNEL void tqo_roll(__global const float *from, __global float *to, uint n, uint dim, uint by)
{
	uint id = get_global_id(0), row = id / dim, i = id % dim;

	if (row < n)
		to[row * dim + (i + by < dim ? i + by : i + by - dim)] = from[id];
}

/* to_i = sum over j, in order, of m[j * dim + i] * from_j */
KERNEL void tqo_dense(__global const float *from, __global float *to, uint n, uint dim,
		      __global const uchar *tables, uint at)
{
	uint id = get_global_id(0), row = id / dim, i = id % dim, j;
	__global const float *m = TABLE(float, tables, at) + i;
	float a = 0.0f;

	if (row >= n)
		return;
	from += row * dim;
	for (j = 0; j < dim; j++)
		a = a + m[(size_t)j * dim] * from[j];
	to[id] = a;
}

/* One layer of plane rotations, or of their transposes */
KERNEL void tqo_givens(__global float *y, uint n, uint dim, __global const uchar *tables, uint order,
		       uint cosines, uint sines, int transpose)
{
	uint id = get_global_id(0), half_dim = dim / 2, row = id / half_dim, t = id % half_dim;
	float c, s, u, v;
	uint a, b;

	if (row >= n)
		return;
	a = row * dim + TABLE(uint, tables, order)[2 * t];
	b = row * dim + TABLE(uint, tables, order)[2 * t + 1];
	c = TABLE(float, tables, cosines)[t];
	s = TABLE(float, tables, sines)[t];
	u = y[a];
	v = y[b];
	y[a] = transpose ? c * u + s * v : c * u - s * v;
	y[b] = transpose ? c * v - s * u : s * u + c * v;
}
