/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tiles of a KV cache in device memory: 32 tokens of one head, keys and values in the order in which the
 * fragments of mma.m16n8k32 want them. tq/device_kv.h has the order of tiles in a page.
 *
 *	key codes	4 * dim * bits bytes, dim rounded up to a multiple of 32, here as below
 *	value codes	likewise
 *	key scales	32 of the codec's type: token k at place 4 * (k % 8) + k / 8
 *	value scales	likewise
 *
 * Codes are nibble words of eight codes, four words r = 0..3 per lane and step, dim / 32 steps. With lane
 * l = 4 g + t:
 *
 *	keys	word r: token g + 8 r; nibble j: coordinate t * dim / 4 + 8 * step + j
 *	values	word r: coordinate 32 * step + 8 * r + g; nibble j: token t + 4 * (j / 4) + 8 * (j % 4)
 *
 * 4 bits: the words as they are, [step][lane][r]. Less: the two low bits of each nibble, words r and r + 1 in
 * one, [step][lane][r / 2]; 3 bits: then the third bit of nibble j of word r at bit 4 j + r, [step][lane]; 1 bit:
 * that alone. 5 to 7 bits: the low four as of 4 bits, then the others as of 1 to 3. 8 bits: words of four bytes,
 * nibbles j = 0, 2, 4, 6 widened, [step][lane][r], then likewise those of j = 1, 3, 5, 7.
 */
#pragma once
#include "kv_list.h"
#include "kv_plan.h"
#include "lanes.cuh"
#include "row.cuh"

/* where a code is: the lane's words of a step, which of them, which nibble */
struct code_place {
	unsigned step, lane, r, j;
};

static __device__ __forceinline__ code_place key_place(unsigned dim, unsigned token, unsigned i)
{
	unsigned t = i / (dim / 4), rest = i % (dim / 4);

	return code_place{ rest / 8, 4 * (token & 7) + t, token >> 3, rest & 7 };
}

static __device__ __forceinline__ code_place value_place(unsigned token, unsigned i)
{
	return code_place{ i / 32, 4 * (i & 7) + (token & 3), i / 8 & 3, 4 * (token >> 2 & 1) + (token >> 3) };
}

/*
 * Put a field of a word to @value. Others may write the word's other fields at the same time, nobody else
 * this one: so what it holds does not change between the load and the exchange.
 */
static __device__ __forceinline__ void put_field(uint32_t *word, unsigned at, uint32_t mask, uint32_t value)
{
	uint32_t old = *(volatile uint32_t *)word >> at & mask;

	if (old != value)
		atomicXor(word, (old ^ value) << at);
}

static __device__ __forceinline__ void put_code(uint8_t *codes, unsigned dim, unsigned bits, const code_place &c,
						unsigned code)
{
	uint32_t *words = (uint32_t *)codes, at = 32 * c.step + c.lane;

	if (bits == 8) {
		codes[16 * (dim * (c.j & 1) + at) + 4 * c.r + c.j / 2] = (uint8_t)code;
		return;
	}
	if (bits >= 4) {
		put_field(words + 4 * at + c.r, 4 * c.j, 15, code & 15);
		words += 4 * dim;
		bits -= 4;
		code >>= 4;
	}
	if (bits == 1)
		put_field(words + at, 4 * c.j + c.r, 1, code);
	if (bits < 2)
		return;
	put_field(words + 2 * at + c.r / 2, 4 * c.j + 2 * (c.r & 1), 3, code & 3);
	if (bits == 3)
		put_field(words + 2 * dim + at, 4 * c.j + c.r, 1, code >> 2);
}

/* the nibble words of 1 to 3 bits of lane and step @at */
static __device__ __forceinline__ void load_few(const uint8_t *codes, unsigned dim, unsigned bits, unsigned at, uint32_t (&n)[4])
{
	n[0] = n[1] = n[2] = n[3] = 0;
	if (bits >= 2) {
		uint2 v = ((const uint2 *)codes)[at];

		n[0] = v.x & 0x33333333u;
		n[1] = v.x >> 2 & 0x33333333u;
		n[2] = v.y & 0x33333333u;
		n[3] = v.y >> 2 & 0x33333333u;
	}
	if (bits & 1) {
		uint32_t last = ((const uint32_t *)codes)[(bits == 3 ? 2 * dim : 0) + at], mask = bits == 3 ? 0x44444444u : 0x11111111u;

#pragma unroll
		for (int r = 0; r < 4; r++)
			n[r] |= (bits == 3 && r < 2 ? last << (2 - r) : last >> (bits == 3 ? r - 2 : r)) & mask;
	}
}

/* the four nibble words of a lane and step */
template <int D, int BITS>
static __device__ __forceinline__ void load_words(const uint8_t *codes, unsigned step, unsigned lane, uint32_t (&n)[4])
{
	if (BITS == 4) {
		uint4 v = ((const uint4 *)codes)[32 * step + lane];

		n[0] = v.x;
		n[1] = v.y;
		n[2] = v.z;
		n[3] = v.w;
		return;
	}
	load_few(codes, D, BITS, 32 * step + lane, n);
}

/* eight grid values: see score_mma.cuh */
template <int BITS>
static __device__ __forceinline__ void word_levels(uint32_t n, const uint32_t (&l)[4], uint32_t &low, uint32_t &high)
{
	if (BITS == 4) {
		uint32_t m = n ^ 0x88888888u;

		low = prmt(l[0], l[1], n) | prmt(l[2], l[3], m);
		high = prmt(l[0], l[1], n >> 16) | prmt(l[2], l[3], m >> 16);
	} else {
		low = prmt(l[0], l[1], n);
		high = prmt(l[0], l[1], n >> 16);
	}
}

/* scales of tokens g, g + 8, g + 16, g + 24 */
static __device__ __forceinline__ void load_scales(const uint8_t *scales, int type, unsigned g, float (&s)[4])
{
	if (type == F32) {
		float4 v = ((const float4 *)scales)[g];

		s[0] = v.x;
		s[1] = v.y;
		s[2] = v.z;
		s[3] = v.w;
		return;
	}
	uint2 v = ((const uint2 *)scales)[g];

	if (type == BF16) {
		s[0] = __uint_as_float(v.x << 16);
		s[1] = __uint_as_float(v.x & 0xffff0000u);
		s[2] = __uint_as_float(v.y << 16);
		s[3] = __uint_as_float(v.y & 0xffff0000u);
	} else {
		s[0] = __half2float(__ushort_as_half((unsigned short)v.x));
		s[1] = __half2float(__ushort_as_half((unsigned short)(v.x >> 16)));
		s[2] = __half2float(__ushort_as_half((unsigned short)v.y));
		s[3] = __half2float(__ushort_as_half((unsigned short)(v.y >> 16)));
	}
}
