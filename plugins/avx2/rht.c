/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The randomized Hadamard rotation, FORMAT.md section 2: the registers for ../simd/window.h.
 *
 * Stages h = 1, 2, 4 stay inside a register: with p = x permuted so that partners change places,
 * p + x * (1, -1, ...) is u + v in the upper place of each pair and u - v in the lower: one
 * permutation and one fma whose product is exact.
 */

#include "lanes.h"

typedef __m256 vec;

#define VEC_FLOATS 8
#define VEC_NEXT 8
#define vec_load(p) _mm256_loadu_ps(p)
#define vec_store(p, v) _mm256_storeu_ps(p, v)
#define vec_add(a, b) _mm256_add_ps(a, b)
#define vec_sub(a, b) _mm256_sub_ps(a, b)
#define vec_mul(a, b) _mm256_mul_ps(a, b)

AVX2_INLINE __m256 vec_stages(__m256 x)
{
	const __m256 s1 = _mm256_setr_ps(1, -1, 1, -1, 1, -1, 1, -1);
	const __m256 s2 = _mm256_setr_ps(1, 1, -1, -1, 1, 1, -1, -1);
	const __m256 s4 = _mm256_setr_ps(1, 1, 1, 1, -1, -1, -1, -1);

	x = _mm256_fmadd_ps(x, s1, _mm256_permute_ps(x, 0xb1));
	x = _mm256_fmadd_ps(x, s2, _mm256_permute_ps(x, 0x4e));
	return _mm256_fmadd_ps(x, s4, _mm256_permute2f128_ps(x, x, 0x01));
}

#include "../simd/rounds.h"

void avx2_rht_forward(const struct tq_rotation *rot, float *buf, size_t stride, size_t n)
{
	rounds_forward(rot, buf, stride, n);
}

void avx2_rht_backward(const struct tq_rotation *rot, float *buf)
{
	rounds_backward(rot, buf);
}

const struct tq_rotation_ops avx2_rht_ops = {
	.struct_size = sizeof(struct tq_rotation_ops),
	.rotate = rounds_rotate,
	.unrotate = rounds_unrotate,
};
