/* SPDX-License-Identifier: Apache-2.0 */
/* Codes to rows around the rotation, FORMAT.md section 5: a work-item per coordinate. */

/* The sketch's bits as +-1 */
KERNEL void tqo_unsign(__global const uchar *tables, __global const uchar *codes, uint n, __global float *u)
{
	__global const struct tqo_plan *p = PLAN(tables);
	uint d = p->dim, id = get_global_id(0), row = id / d, i = id % d;

	if (row < n)
		u[id] = codes[row * p->row_bytes + p->sketch_at + i / 8] >> i % 8 & 1 ? 1.0f : -1.0f;
}

/* Levels without the row's power of two, and what the sketch, already unrotated in @u, says of the rest */
KERNEL void tqo_levels(__global const uchar *tables, __global const uchar *codes, uint n,
		       __global const float *u, __global float *y)
{
	__global const struct tqo_plan *p = PLAN(tables);
	__global const short *odd = TABLE(short, tables, p->odd_at);
	uint d = p->dim, id = get_global_id(0), row = id / d, i = id % d;
	float t, v, g;
	int e;

	if (row >= n)
		return;
	codes += row * p->row_bytes;
	t = split_scale(load_scale(p, codes), &e) * p->half_step;
	v = p->index_bits ? (float)odd[row_index(p, codes, i)] * t : 0.0f;
	if (p->has_sketch) {
		g = p->coef * scale_up(load_scale(p, codes + p->rnorm_at), -e);
		v = v + g * u[id];
	}
	y[id] = v;
}

/* The unrotated row times its power of two, plus the centre, in the caller's type */
KERNEL void tqo_store(__global const uchar *tables, __global const uchar *codes, uint n,
		      __global const float *y, __global void *x, int dtype)
{
	__global const struct tqo_plan *p = PLAN(tables);
	uint d = p->dim, id = get_global_id(0), row = id / d, i = id % d;
	float v;
	int e;

	if (row >= n)
		return;
	split_scale(load_scale(p, codes + row * p->row_bytes), &e);
	v = y[id] * pow2(e);
	if (p->center != CENTER_OFF)
		v = v + TABLE(float, tables, p->centre_at)[i];
	store_element(x, dtype, id, v);
}
