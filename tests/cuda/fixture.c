/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "fake_cuda.h"
#include "gate.h"
#include "scalar_kernels.h"

static struct tq_pipeline pipeline, value_pipeline;

int open_context(struct tq_context **ctx)
{
	return open_context_with(NULL, ctx);
}

int open_context_with(const struct tq_allocator *allocator, struct tq_context **ctx)
{
	struct tq_options o = {.struct_size = sizeof(o), .flags = TQ_NO_ENV, .allocator = allocator};
	char path[512];

	snprintf(path, sizeof(path), "%s/plugins/cuda/tq-cuda.so", getenv("TQ_TEST_BUILD_ROOT"));
	o.plugin_path = path;
	return tq_context_create(&o, ctx);
}

/* Let launches do the work of this plan */
void use_plan(struct tq_context *ctx, const struct tq_plan *plan)
{
	uint32_t padded = (plan->dim + 63) & ~63u, plane = padded;

	if (pipeline.ctx)
		tq_pipeline_destroy(&pipeline);
	ck_assert(tq_gate_pipeline(ctx, NULL, plan, &pipeline) == TQ_OK);
	if (plan->query == TQ_QUERY_S16)
		plane = 2 * padded;
	if (plan->query == TQ_QUERY_F32)
		plane = 4 * padded;
	scalar_kernels.pipe = scalar_kernels.values = &pipeline;
	scalar_kernels.query_bytes = 64 + plane * (plan->sketch.kind == TQ_ROT_NONE ? 1 : 2);
	fake_kernel = scalar_kernel;
}

void use_value_plan(struct tq_context *ctx, const struct tq_plan *plan)
{
	ck_assert(tq_gate_pipeline(ctx, NULL, plan, &value_pipeline) == TQ_OK);
	scalar_kernels.values = &value_pipeline;
}

void forget_plan(void)
{
	tq_pipeline_destroy(&pipeline);
	pipeline.ctx = NULL;
	if (value_pipeline.ctx)
		tq_pipeline_destroy(&value_pipeline);
	value_pipeline.ctx = NULL;
}

void *device(size_t size)
{
	return aligned_alloc(256, (size + 255) & ~(size_t)255);
}

float noise(void)
{
	return (float)(rand() % 2001 - 1000) * 0.001f + (float)(rand() % 2001 - 1000) * 0.0007f;
}

int run_suite(Suite *suite)
{
	SRunner *runner = srunner_create(suite);
	int failed;

	srunner_set_fork_status(runner, CK_FORK);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
