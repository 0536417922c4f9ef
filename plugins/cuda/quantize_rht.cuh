/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread's rotated coordinates to indices, levels and packed fields, for encode_rht.cuh. Indices are summed as
 * floats, a sum under a predicate being cheaper than a selection; of 3 and 4 bits, a look-up leaves one comparison of
 * those with all thresholds.
 */
#pragma once
#include "device_plan.h"
#include "lanes.cuh"

/* What a row's coordinates are compared with: r, and for 3 and 4 bits the unit of buckets; for 2 the threshold */
struct row_thresholds {
	float r, unit, t;
	const uint8_t *buckets;
};

/* 2^23 and the indices of 4 coordinates of 3 or 4 bits, each @S after the other: nibbles as a float */
template <int S> static __device__ __forceinline__ float quantize4(const float *y, const row_thresholds &t)
{
	float sum = 8388608.0f;

#pragma unroll
	for (int j = 0; j < 4; j++) {
		float one = (float)(1u << 4 * j);
		float place = __fmaf_rn(y[S * j], t.unit, 12582912.0f + 4 * TQC_BUCKETS + 4);
		float2 e = *(const float2 *)(t.buckets + (__float_as_uint(place) & (8 * TQC_BUCKETS - 8)));

		sum = j ? __fmaf_rn(e.y, one, sum) : sum + e.y;
		asm("{.reg .pred p;\n"
		    "setp.ge.f32 p, %1, %2;\n"
		    "@p add.rn.f32 %0, %0, %3;}"
		    : "+f"(sum)
		    : "f"(y[S * j]), "f"(e.x * t.r), "f"(one));
	}
	return sum;
}

/*
 * The indices of 8 coordinates of 2 bits: twice the sign's bit, changed below where the coordinate lies between the
 * outer thresholds. @level: those chosen, of @odd0 (between) and @odd1; @inner: how many are between, added.
 */
static __device__ __forceinline__ uint32_t quantize2(const float *y, const row_thresholds &t, float odd0, float odd1,
						     float *level, unsigned &inner)
{
	float sign = 8388608.0f, between = 8388608.0f;

#pragma unroll
	for (int j = 0; j < 8; j++) {
		float one = (float)(1u << 2 * j);

		asm("{.reg .pred p, q, r;\n"
		    "setp.ge.f32 p, %3, %4;\n"
		    "setp.ge.and.f32 q, %3, %5, !p;\n"
		    "setp.ge.f32 r, %3, 0f00000000;\n"
		    "@q add.rn.f32 %1, %1, %6;\n"
		    "@r add.rn.f32 %0, %0, %7;\n"
		    "selp.f32 %2, %8, %9, q;}"
		    : "+f"(sign), "+f"(between), "=f"(level[j])
		    : "f"(y[j]), "f"(t.t), "f"(-t.t), "f"(one), "f"(3.0f * one), "f"(odd0), "f"(odd1));
	}
	inner += __popc(__float_as_uint(between)) - 4; /* 2^23 has four */
	return (__float_as_uint(sign) ^ __float_as_uint(between)) & 0xffffu;
}

/* The signs of 8 coordinates, a byte */
static __device__ __forceinline__ uint32_t quantize1(const float *y)
{
	float sum = 8388608.0f;

#pragma unroll
	for (int j = 0; j < 8; j++)
		asm("{.reg .pred p;\n"
		    "setp.ge.f32 p, %1, 0f00000000;\n"
		    "@p add.rn.f32 %0, %0, %2;}"
		    : "+f"(sum)
		    : "f"(y[j]), "f"((float)(1u << j)));
	return __float_as_uint(sum) & 0xffu;
}

/* 8 magnitudes of levels of at most 127: as bytes, and the upper two bytes of them as floats */
struct level_bytes {
	uint32_t odd[2], upper[2], lower[2];

	__device__ __forceinline__ void put(unsigned m, unsigned value)
	{
		uint32_t f = __float_as_uint((float)value);

		odd[m / 4] |= value << 8 * (m & 3);
		upper[m / 4] |= (f >> 24) << 8 * (m & 3);
		lower[m / 4] |= (f >> 16 & 255) << 8 * (m & 3);
	}
};

/*
 * The magnitudes of 8 levels, and their squares into @cc: of 3 bits by the index, of 4 by its distance from the
 * middle. prmt's sign mode makes zeros of a float's positive sign.
 */
template <int BITS>
static __device__ __forceinline__ void levels8(uint32_t w, const level_bytes &l, float *level, unsigned &cc)
{
	uint32_t top = w & 0x88888888u, magnitude = BITS == 3 ? w : ~(w ^ (top - (top >> 3))) & 0x77777777u;

#pragma unroll
	for (int h = 0; h < 2; h++) {
		uint32_t m = magnitude >> 16 * h, four = prmt(l.odd[0], l.odd[1], m);
		uint32_t upper = prmt(l.upper[0], l.upper[1], m), lower = prmt(l.lower[0], l.lower[1], m);

		cc = __dp4a(four, four, cc);
#pragma unroll
		for (int j = 0; j < 4; j++)
			level[4 * h + j] = __uint_as_float(prmt(lower, upper, 0x40cc + 0x1111 * j));
	}
}

/* @a where @mask has ones, else @b */
static __device__ __forceinline__ uint32_t choose(uint32_t a, uint32_t b, uint32_t mask)
{
	return (a & mask) | (b & ~mask);
}

static __device__ __forceinline__ void put16(uint8_t *at, uint32_t v)
{
	*(uint16_t *)at = (uint16_t)v;
}

/* The fields of coordinates i .. i + 7, but for 3 bits */
template <int BITS> static __device__ __forceinline__ void put8(uint8_t *first, int i, uint32_t w)
{
	if (BITS == 4) {
		put16(first + i / 2, w);
		put16(first + i / 2 + 2, w >> 16);
	} else if (BITS == 2) {
		put16(first + i / 4, w);
	} else {
		first[i / 8] = (uint8_t)w;
	}
}

/*
 * The fields of 32 indices of 3 bits; nibble k of w[q] has that of 4k + q, so that fields come together by a shift
 * and a choice between two words. @P times 8 coordinates lie between those of two groups of 8.
 */
template <int P> static __device__ __forceinline__ void put32(uint8_t *first, uint8_t *second, const uint32_t (&w)[4])
{
	uint32_t top = choose(choose(w[0] >> 2, w[1] >> 1, 0x11111111u), choose(w[2], w[3] << 1, 0x44444444u), 0x33333333u);
	uint32_t a = choose(w[0], w[1] << 2, 0x33333333u), b = choose(w[2], w[3] << 2, 0x33333333u);
	uint32_t even = choose(a, b << 4, 0x0f0f0f0fu), odd = choose(a >> 4, b, 0x0f0f0f0fu);

#pragma unroll
	for (int h = 0; h < 2; h++) {
		uint32_t low = prmt(even, odd, h ? 0x7362 : 0x5140);

		first[2 * h * P] = (uint8_t)(top >> 16 * h);
		first[(2 * h + 1) * P] = (uint8_t)(top >> (16 * h + 8));
		put16(second + 4 * h * P, low);
		put16(second + (4 * h + 2) * P, low >> 16);
	}
}
