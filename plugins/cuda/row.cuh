/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One block works on one row held in shared memory. Every function here is the definition of
 * docs/FORMAT.md section 4 in its written order; compiled with -fmad=false.
 */
#pragma once
#include <cuda_fp16.h>
#include "device_plan.h"

enum { F32 = 0, F16 = 1, BF16 = 2 };
enum { CORR_NONE, CORR_NORM, CORR_LS, CORR_UNBIASED, CORR_QJL };
enum { CENTER_OFF, CENTER_DATA, CENTER_BOTH };
enum { QUERY_S8 = 1, QUERY_S16, QUERY_F32 };

static __device__ __forceinline__ float load_element(const void *x, int dtype, size_t i)
{
	if (dtype == F32)
		return ((const float *)x)[i];
	unsigned short h = ((const unsigned short *)x)[i];
	return dtype == F16 ? __half2float(__ushort_as_half(h)) : __uint_as_float((unsigned)h << 16);
}

/*
 * Nearest, ties to even, in integers. The conversion instruction would do, but nvcc 13.0 for sm_90 loses
 * the low byte of F2F when the result is stored bytewise: seen on an H200, 3f99 stored as 3f01.
 */
static __device__ __forceinline__ unsigned short bf16_bits(float v)
{
	unsigned b = __float_as_uint(v);

	if ((b & 0x7fffffffu) > 0x7f800000u)
		return (unsigned short)(b >> 16 | 0x40u);
	return (unsigned short)((b + 0x7fffu + ((b >> 16) & 1u)) >> 16);
}

/* Likewise for f16: the bits of v in [0, 65504] */
static __device__ __forceinline__ unsigned short f16_bits(float v)
{
	unsigned b = __float_as_uint(v), m = (b & 0x7fffffu) | 0x800000u, shift = 126u - (b >> 23), half, rest;

	if (b >= 0x38800000u)
		return (unsigned short)((b - 0x38000000u + 0xfffu + ((b >> 13) & 1u)) >> 13);
	if (b < 0x33000000u)
		return 0;
	half = m >> shift;
	rest = m & ((1u << shift) - 1u);
	return (unsigned short)(half + (rest > 1u << (shift - 1) || (rest == 1u << (shift - 1) && (half & 1u))));
}

static __device__ __forceinline__ void store_element(void *x, int dtype, size_t i, float v)
{
	if (dtype == F32)
		((float *)x)[i] = v;
	else if (dtype == F16)
		((unsigned short *)x)[i] = __half_as_ushort(__float2half_rn(v));
	else
		((unsigned short *)x)[i] = bf16_bits(v);
}

static __device__ __forceinline__ float pow2(int e)
{
	return __uint_as_float((unsigned)(e + 127) << 23);
}

/* x * 2^-e, exact; +0 below 2^-40 */
static __device__ __forceinline__ float scale_down(float x, int e)
{
	unsigned b = __float_as_uint(x), m = b & 0x7fffffu;
	int ex = (b >> 23) & 255, k;

	if (ex)
		m |= 0x800000u;
	else
		ex = 1;
	k = ex - 150 - e;
	if (k < -100 || m == 0)
		return 0.0f;
	float v = (float)m * pow2(k);
	if (v < 9.094947017729282e-13f)
		return 0.0f;
	return b >> 31 ? -v : v;
}

/* v * 2^e for v >= 0 in the exponent: 0 below 2^-126, FLT_MAX above */
static __device__ __forceinline__ float scale_up(float v, int e)
{
	unsigned b = __float_as_uint(v);
	int ex = (int)(b >> 23) + e;

	if (b < 0x00800000u || ex <= 0)
		return 0.0f;
	if (ex >= 255)
		return __uint_as_float(0x7f7fffffu);
	return __uint_as_float((b & 0x7fffffu) | (unsigned)ex << 23);
}

static __device__ __forceinline__ float split_scale(float s, int *e)
{
	unsigned b = __float_as_uint(s);

	*e = 0;
	if (b < 0x00800000u)
		return 0.0f;
	*e = (int)(b >> 23) - 127;
	return __uint_as_float((b & 0x7fffffu) | 0x3f800000u);
}

/* the stored scale: rows are not aligned, so bytes */
static __device__ __forceinline__ float load_scale(const tqc_plan &p, const uint8_t *at)
{
	unsigned b = at[0] | at[1] << 8;

	if (p.scale == F32)
		return __uint_as_float(b | at[2] << 16 | (unsigned)at[3] << 24);
	return p.scale == F16 ? __half2float(__ushort_as_half((unsigned short)b)) : __uint_as_float(b << 16);
}

static __device__ __forceinline__ float load_f32(const uint8_t *at)
{
	return __uint_as_float(at[0] | at[1] << 8 | at[2] << 16 | (unsigned)at[3] << 24);
}

static __device__ __forceinline__ void store_bytes(uint8_t *at, unsigned b, int n)
{
	for (int i = 0; i < n; i++)
		at[i] = (uint8_t)(b >> 8 * i);
}

static __device__ __forceinline__ void store_scale(const tqc_plan &p, uint8_t *at, float s)
{
	if (p.scale == F32)
		store_bytes(at, __float_as_uint(s), 4);
	else if (p.scale == F16)
		store_bytes(at, f16_bits(s > 65504.0f ? 65504.0f : s), 2);
	else
		store_bytes(at, bf16_bits(s > 3.3895313892515355e38f ? 3.3895313892515355e38f : s), 2);
}

/*
 * The scale of a row of correction norm, ls or unbiased, before the power of two: @yc, the sum of y * odd, and
 * @cc, that of odd^2, over the levels chosen; @h: half the grid's step
 */
static __device__ __forceinline__ float fitted_scale(unsigned correction, float norm2, float yc, float cc, float h)
{
	if (correction == CORR_NORM)
		return sqrtf(norm2 / cc) / h;
	if (!(yc > 0.0f))
		return 0.0f;
	return (correction == CORR_LS ? yc / cc : norm2 / yc) / h;
}

/* the tree 8, 4, 2, 1 over the 16 lanes of a half warp; every thread of the half gets the sum */
static __device__ __forceinline__ float sum16(float v)
{
	for (int h = 8; h; h >>= 1)
		v = v + __shfl_xor_sync(~0u, v, h, 16);
	return v;
}

/*
 * dot16 over a row: half warp 0 of the block works, the result goes to every thread through @box.
 * f(i) and g(i) are the factors of coordinate i.
 */
template <class F, class G>
static __device__ __forceinline__ float block_dot16(unsigned d, F f, G g, float *box)
{
	__syncthreads();
	if (threadIdx.x < 32) {
		float lane = 0.0f;

		for (unsigned i = threadIdx.x & 15; i < d; i += 16)
			lane = lane + f(i) * g(i);
		lane = sum16(lane);
		if (threadIdx.x == 0)
			*box = lane;
	}
	__syncthreads();
	return *box;
}

static __device__ __forceinline__ unsigned block_max(unsigned v, unsigned *box)
{
	v = __reduce_max_sync(~0u, v);
	__syncthreads();
	if (threadIdx.x == 0)
		*box = 0;
	__syncthreads();
	if ((threadIdx.x & 31) == 0)
		atomicMax(box, v);
	__syncthreads();
	return *box;
}

static __device__ __forceinline__ long long block_add(long long v, long long *box)
{
	for (int h = 16; h; h >>= 1)
		v += __shfl_xor_sync(~0u, v, h);
	__syncthreads();
	if (threadIdx.x == 0)
		*box = 0;
	__syncthreads();
	if ((threadIdx.x & 31) == 0)
		atomicAdd((unsigned long long *)box, (unsigned long long)v);
	__syncthreads();
	return *box;
}

/* floor(log2 max|y_i|) of a row in shared memory; 0 for zeros */
static __device__ __forceinline__ int block_exponent(const float *y, unsigned d, unsigned *box)
{
	unsigned top = 0;

	for (unsigned i = threadIdx.x; i < d; i += blockDim.x)
		top = max(top, __float_as_uint(y[i]) & 0x7fffffffu);
	top = block_max(top, box);
	if (top == 0)
		return 0;
	if (top >= 0x00800000u)
		return (int)(top >> 23) - 127;
	return -118 - __clz(top);
}
