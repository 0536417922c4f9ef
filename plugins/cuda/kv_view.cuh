/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernels of an attention call share: which rows and tokens a block works on, logits and weights. */
#pragma once
#include "kv_list.h"
#include "kv_plan.h"

#define TQC_NOTHING (-1e30f)

/*
 * A kernel that was launched early (tqc_launch_early) begins while the one before it on the stream is at
 * work, if that lets it; what it reads of that one's results has to wait. Nothing to do where it was not.
 */
static __device__ __forceinline__ void wait_for_previous(void)
{
#if __CUDA_ARCH__ >= 900
	asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

static __device__ __forceinline__ void let_next_begin(void)
{
#if __CUDA_ARCH__ >= 900
	asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

static __device__ __forceinline__ float exp2_fast(float x)
{
	float y;

	asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
	return y;
}

/* cap * tanh(z / cap), to 1e-6 of the cap */
static __device__ __forceinline__ float cap_logit(float z, float cap)
{
	return cap - __fdividef(2.0f * cap, 1.0f + exp2_fast(__fdividef(2.885390081777927f * z, cap)));
}

/* Sequence, KV head, first row and token of a unit */
struct unit_place {
	unsigned sequence, head, row;

	__device__ __forceinline__ unit_place(const tqc_attend &a, unsigned unit)
	{
		row = 4 * (unit % a.passes);
		head = unit / a.passes % a.kv_heads;
		sequence = unit / a.passes / a.kv_heads;
	}
};

/*
 * What the rows of a sequence's unit see. Coded are the tokens from sinks to length - recent - 1, all others are in
 * 16 bits. Ends rise with the row.
 */
struct kv_view {
	const tqc_attend &a;
	unsigned length, coded;

	__device__ __forceinline__ kv_view(const tqc_attend &call, unsigned sequence) : a(call), length(a.lengths[sequence])
	{
		coded = length > a.raw.recent ? length - a.raw.recent : 0;
	}

	/* a row sees tokens start .. end - 1, and with keep_sinks the sinks */
	__device__ __forceinline__ unsigned end(unsigned row) const
	{
		unsigned behind = a.tokens - 1 - min(row / a.group, a.tokens - 1);

		return length > behind ? length - behind : 0;
	}

	__device__ __forceinline__ unsigned start(unsigned row) const
	{
		unsigned to = end(row);

		return a.window && to > a.window ? to - a.window : 0;
	}

	/* of these, coded: from .. to - 1 */
	__device__ __forceinline__ unsigned from(unsigned row) const
	{
		return max(start(row), a.raw.sinks);
	}

	__device__ __forceinline__ unsigned to(unsigned row) const
	{
		return min(end(row), coded);
	}

	/* tiles of the four rows from @row on */
	__device__ __forceinline__ unsigned tile_from(unsigned row) const
	{
		return from(row) / TQC_TILE_TOKENS;
	}

	__device__ __forceinline__ unsigned tile_to(unsigned row) const
	{
		return (to(row + 3) + TQC_TILE_TOKENS - 1) / TQC_TILE_TOKENS;
	}

	/* number @i of the tokens in 16 bits: its position, not below length if there is none */
	__device__ __forceinline__ unsigned raw_position(unsigned i) const
	{
		return i < a.raw.sinks ? i : max(coded, a.raw.sinks) + (i - a.raw.sinks);
	}

	__device__ __forceinline__ bool sees_raw(unsigned row, unsigned position) const
	{
		return position < end(row) && (position >= start(row) || (a.keep_sinks && position < a.raw.sinks));
	}
};
