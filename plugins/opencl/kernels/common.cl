/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernels share: tq/rules.h in OpenCL C. Every operation is the one that docs/FORMAT.md writes, in
 * its order; contraction to fma is off, division and square root are built correctly rounded.
 */
#pragma OPENCL FP_CONTRACT OFF

enum { F32 = 0, F16 = 1, BF16 = 2 };
enum { CORR_NONE, CORR_NORM, CORR_LS, CORR_UNBIASED, CORR_QJL };
enum { CENTER_OFF, CENTER_DATA, CENTER_BOTH };

#define KERNEL __kernel __attribute__((reqd_work_group_size(TQO_GROUP, 1, 1)))
#define PLAN(tables) ((__global const struct tqo_plan *)(tables))
#define TABLE(type, tables, at) ((__global const type *)((tables) + (at)))

/* A group of the row kernels: GROUP_ROWS rows, LANES work-items each */
#define GROUP_ROWS (TQO_GROUP / TQO_LANES)

inline float pow2(int e)
{
	return as_float((uint)(e + 127) << 23);
}

inline float f16_to_f32(uint h)
{
	uint sign = (h & 0x8000u) << 16, e = (h >> 10) & 31u, m = h & 0x3ffu;

	if (e == 31)
		return as_float(sign | 0x7f800000u | m << 13);
	if (e)
		return as_float(sign | (e + 112) << 23 | m << 13);
	return as_float(sign | as_uint((float)m * 5.9604644775390625e-8f));
}

/* Nearest, ties to even; overflow is infinity */
inline ushort f32_to_f16(float x)
{
	uint b = as_uint(x), sign = (b >> 16) & 0x8000u, a = b & 0x7fffffffu, m, shift, half_, rest;

	if (a > 0x7f800000u)
		return (ushort)(sign | 0x7e00u);
	if (a >= 0x477ff000u)
		return (ushort)(sign | 0x7c00u);
	if (a >= 0x38800000u)
		return (ushort)(sign | ((a - 0x38000000u + 0xfffu + ((a >> 13) & 1u)) >> 13));
	if (a < 0x33000000u)
		return (ushort)sign;
	m = (a & 0x7fffffu) | 0x800000u;
	shift = 126u - (a >> 23);
	half_ = m >> shift;
	rest = m & ((1u << shift) - 1u);
	if (rest > 1u << (shift - 1) || (rest == 1u << (shift - 1) && (half_ & 1u)))
		half_++;
	return (ushort)(sign | half_);
}

/* Nearest, ties to even */
inline ushort f32_to_bf16(float x)
{
	uint b = as_uint(x);

	if ((b & 0x7fffffffu) > 0x7f800000u)
		return (ushort)(b >> 16 | 0x40u);
	return (ushort)((b + 0x7fffu + ((b >> 16) & 1u)) >> 16);
}

inline float load_element(__global const void *x, int dtype, uint i)
{
	uint h;

	if (dtype == F32)
		return ((__global const float *)x)[i];
	h = ((__global const ushort *)x)[i];
	return dtype == F16 ? f16_to_f32(h) : as_float(h << 16);
}

inline void store_element(__global void *x, int dtype, uint i, float v)
{
	if (dtype == F32)
		((__global float *)x)[i] = v;
	else
		((__global ushort *)x)[i] = dtype == F16 ? f32_to_f16(v) : f32_to_bf16(v);
}

/* x * 2^-e, exact; +0 below 2^-40 */
inline float scale_down(float x, int e)
{
	uint b = as_uint(x), m = b & 0x7fffffu;
	int ex = (b >> 23) & 255, k;
	float v;

	if (ex)
		m |= 0x800000u;
	else
		ex = 1;
	k = ex - 150 - e;
	if (k < -100 || m == 0)
		return 0.0f;
	v = (float)m * pow2(k);
	if (v < 9.094947017729282e-13f)
		return 0.0f;
	return b >> 31 ? -v : v;
}

/* v * 2^e for v >= 0 in the exponent: 0 below 2^-126, FLT_MAX above */
inline float scale_up(float v, int e)
{
	uint b = as_uint(v);
	int ex = (int)(b >> 23) + e;

	if (b < 0x00800000u || ex <= 0)
		return 0.0f;
	if (ex >= 255)
		return as_float(0x7f7fffffu);
	return as_float((b & 0x7fffffu) | (uint)ex << 23);
}

/* s = m * 2^e, m in [1, 2); 0 and 0 for a zero or denormal scale */
inline float split_scale(float s, int *e)
{
	uint b = as_uint(s);

	*e = b < 0x00800000u ? 0 : (int)(b >> 23) - 127;
	return b < 0x00800000u ? 0.0f : as_float((b & 0x7fffffu) | 0x3f800000u);
}

/* Rows of codes are not aligned: bytes. */
inline float load_f32(__global const uchar *at)
{
	return as_float((uint)at[0] | (uint)at[1] << 8 | (uint)at[2] << 16 | (uint)at[3] << 24);
}

inline void store_bytes(__global uchar *at, uint b, uint n)
{
	uint i;

	for (i = 0; i < n; i++)
		at[i] = (uchar)(b >> 8 * i);
}

inline float load_scale(__global const struct tqo_plan *p, __global const uchar *at)
{
	uint h;

	if (p->scale == F32)
		return load_f32(at);
	h = (uint)at[0] | (uint)at[1] << 8;
	return p->scale == F16 ? f16_to_f32(h) : as_float(h << 16);
}

inline void store_scale(__global const struct tqo_plan *p, __global uchar *at, float s)
{
	if (p->scale == F32)
		store_bytes(at, as_uint(s), 4);
	else if (p->scale == F16)
		store_bytes(at, f32_to_f16(s > 65504.0f ? 65504.0f : s), 2);
	else
		store_bytes(at, f32_to_bf16(s > 3.3895313892515355e38f ? 3.3895313892515355e38f : s), 2);
}

/* The sum of the lanes of a row, which lie side by side: the tree 8, 4, 2, 1 */
inline float sum16(__local const float *lane)
{
	float s[8];
	int i;

	for (i = 0; i < 8; i++)
		s[i] = lane[i] + lane[i + 8];
	for (i = 0; i < 4; i++)
		s[i] = s[i] + s[i + 4];
	s[0] = s[0] + s[2];
	s[1] = s[1] + s[3];
	return s[0] + s[1];
}

/* Field by field, number i of those that a row of codes holds */
inline uint row_field(__global const struct tqo_plan *p, __global const uchar *row, uint i)
{
	uint k = 0, f, w, bit;

	for (f = 0; f < p->nsections; f++) {
		w = p->section[f].width;
		bit = i * w;
		k |= (((uint)row[p->section[f].at + (bit >> 3)] >> (bit & 7)) & ((1u << w) - 1u))
		     << p->section[f].shift;
	}
	return k;
}

/* The index of coordinate i in a row of codes; of a fraction of a bit, among the levels of all its digits */
inline uint row_index(__global const struct tqo_plan *p, __global const uchar *row, uint i)
{
	__global const struct tqo_radix *x = &p->radix;
	uint j;

	if (!x->digits)
		return row_field(p, row, i);
	j = i / x->words;
	return x->base[j] + row_field(p, row, i - j * x->words) / x->place[j] % x->count[j];
}
