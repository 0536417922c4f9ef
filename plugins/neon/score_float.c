/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Scores of float queries: dot16 of the levels (as integers in float) and the query, and of the
 * sketch's signs and the sketched query. Coordinates go in their own order, because the order of
 * additions is part of the result; up to four queries share the levels of a row. Behind the end the
 * query is zero, which adds +-0 to a lane and so changes nothing.
 */

#include "odd.h"
#include "pack.h"
#include "score.h"

#define SHARED 4

/* Levels of a row with @nq queries @size bytes apart */
NEON_INLINE void dot_levels(const struct tq_plan *plan, const struct odd_tables *t,
			    const uint8_t *row, const char *packed, size_t size, int nq,
			    uint32_t bits, float *a)
{
	float32x4_t sum[SHARED][4] = {0}, f[4], v[4];
	size_t d = plan->dim, at, half;
	const float *y;
	uint8x16_t idx[2];
	int16x8_t odd[2];
	int i, k;

	for (at = 0; at < d; at += 32) {
		unpack_block(&plan->layout, row, at, d - at < 32 ? d - at : 32, idx);
		for (half = 0; half < 2; half++) {
			odd_values(t, idx[half], bits, odd);
			odd_floats(odd, f);
			for (i = 0; i < nq; i++) {
				y = query_part(plan, packed + (size_t)i * size, 0);
				for (k = 0; k < 4; k++)
					v[k] = vld1q_f32(y + at + 16 * half + 4 * (size_t)k);
				add_products(sum[i], f, v);
			}
		}
	}
	for (i = 0; i < nq; i++)
		a[i] = sum_tree(sum[i]);
}

/* Sum of +-z: a clear bit flips the sign, which is the product with -1 */
static float dot_signs(const struct tq_plan *plan, const uint8_t *row, const float *z)
{
	const uint32x4_t low = {1, 2, 4, 8}, high = {16, 32, 64, 128};
	const uint8_t *bits = row + plan->layout.sketch_at;
	size_t i, bytes = plan->layout.sketch_bytes;
	float32x4_t sum[4] = {0}, v;
	uint32x4_t clear;
	int k;

	for (i = 0; i < bytes; i++, z += 8) {
		for (k = 0; k < 2; k++) {
			clear = vtstq_u32(vdupq_n_u32(bits[i]), k ? high : low);
			clear = vshlq_n_u32(vmvnq_u32(clear), 31);
			v = vreinterpretq_f32_u32(
				veorq_u32(vreinterpretq_u32_f32(vld1q_f32(z + 4 * k)), clear));
			sum[2 * (i & 1) + k] = vaddq_f32(sum[2 * (i & 1) + k], v);
		}
	}
	return sum_tree(sum);
}

NEON_INLINE void dot_up_to(const struct tq_plan *plan, const struct odd_tables *t,
			   const uint8_t *row, const char *packed, size_t size, size_t nq,
			   uint32_t bits, float *a)
{
	if (nq == SHARED) {
		dot_levels(plan, t, row, packed, size, SHARED, bits, a);
		return;
	}
	for (; nq > 0; nq--, packed += size)
		dot_levels(plan, t, row, packed, size, 1, bits, a++);
}

NEON_INLINE void float_job(const struct score_job *job, uint32_t bits)
{
	const struct tq_plan *plan = job->plan;
	size_t size = neon_query_size(plan, job->tab), i, j, k, nq;
	const struct query_head *head;
	struct tq_query query = {0};
	float a[SHARED] = {0}, b = 0.0f;
	struct odd_tables t;
	const uint8_t *row;
	const char *q;

	if (bits)
		odd_tables_load(&t, job->tab, bits);
	for (j = 0; j < job->n; j++) {
		row = job->codes + (job->ids ? (size_t)job->ids[j] : j) * plan->layout.row_bytes;
		for (i = 0; i < job->nq; i += nq) {
			nq = job->nq - i < SHARED ? job->nq - i : SHARED;
			q = job->packed + i * size;
			if (bits)
				dot_up_to(plan, &t, row, q, size, nq, bits, a);
			for (k = 0; k < nq; k++, q += size) {
				head = (const void *)q;
				if (has_sketch(plan))
					b = dot_signs(plan, row, query_part(plan, q, 1));
				query.scale = head->scale;
				query.sketch_scale = head->sketch_scale;
				query.add = head->add;
				job->scores[(i + k) * job->ld + j] =
					tq_score_finish(plan, &query, row, a[k], b);
			}
		}
	}
}

void neon_score_float(const struct score_job *job)
{
	if (!job->plan->index_bits)
		float_job(job, 0);
	else if (job->plan->index_bits <= 4)
		float_job(job, 4);
	else if (job->plan->index_bits <= 6)
		float_job(job, 6);
	else
		float_job(job, 8);
}
