/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_CORE_REACH_H
#define TQ_CORE_REACH_H

/*
 * Scores against the worst result so far, 64 at a time. Each kind of CPU has its way; who uses them has a
 * function for each kind and chooses among these once per tile.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define TQ_REACH_INLINE __attribute__((always_inline))
#define TQ_REACH 64

/* Which of 64 scores may be results: bit i for score i. Equal ones may be, or may not (@beyond). */
static inline TQ_REACH_INLINE uint64_t tq_reach_base(const float *s, float worst, bool beyond)
{
	uint64_t mask = 0;
	int any = 0, i;

	for (i = 0; i < TQ_REACH; i++)
		any |= s[i] >= worst;
	for (i = 0; any && i < TQ_REACH; i++)
		mask |= (uint64_t)(beyond ? s[i] > worst : s[i] >= worst) << i;
	return mask;
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static inline uint64_t tq_reach_avx2(const float *s, float worst,
								  bool beyond)
{
	__m256 w = _mm256_set1_ps(worst), any = _mm256_setzero_ps(), hit[TQ_REACH / 8];
	uint64_t mask = 0;
	int i;

	for (i = 0; i < TQ_REACH / 8; i++) {
		hit[i] = beyond ? _mm256_cmp_ps(_mm256_loadu_ps(s + 8 * i), w, _CMP_GT_OQ)
				: _mm256_cmp_ps(_mm256_loadu_ps(s + 8 * i), w, _CMP_GE_OQ);
		any = _mm256_or_ps(any, hit[i]);
	}
	if (_mm256_testz_ps(any, any))
		return 0;
	for (i = 0; i < TQ_REACH / 8; i++)
		mask |= (uint64_t)(uint32_t)_mm256_movemask_ps(hit[i]) << 8 * i;
	return mask;
}

__attribute__((target("avx512f"))) static inline uint64_t tq_reach_avx512(const float *s, float worst,
								       bool beyond)
{
	__m512 w = _mm512_set1_ps(worst);
	uint64_t mask = 0;
	int i;

	for (i = 0; i < TQ_REACH / 16; i++)
		mask |= (uint64_t)(beyond ? _mm512_cmp_ps_mask(_mm512_loadu_ps(s + 16 * i), w,
							       _CMP_GT_OQ)
					  : _mm512_cmp_ps_mask(_mm512_loadu_ps(s + 16 * i), w,
							       _CMP_GE_OQ))
			<< 16 * i;
	return mask;
}
#endif

#endif
