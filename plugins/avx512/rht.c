/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The randomized Hadamard rotation in memory, any dimension: the registers for ../simd/window.h.
 */

#include "butterfly.h"

typedef __m512 vec;

#define VEC_FLOATS 16
#define VEC_NEXT 16
#define vec_load(p) _mm512_loadu_ps(p)
#define vec_store(p, v) _mm512_storeu_ps(p, v)
#define vec_add(a, b) _mm512_add_ps(a, b)
#define vec_sub(a, b) _mm512_sub_ps(a, b)
#define vec_mul(a, b) _mm512_mul_ps(a, b)
#define vec_stages(x) stages_lanes(x)

#include "../simd/rounds.h"

void avx512_rht_forward(const struct tq_rotation *rot, float *buf)
{
	rounds_forward(rot, buf, 0, 1);
}

void avx512_rht_backward(const struct tq_rotation *rot, float *buf)
{
	rounds_backward(rot, buf);
}

const struct tq_rotation_ops avx512_rht_ops = {
	.struct_size = sizeof(struct tq_rotation_ops),
	.rotate = rounds_rotate,
	.unrotate = rounds_unrotate,
};
