/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_TQ_H
#define TQ_TQ_H

/*
 * libtq: vector quantization of the TurboQuant family.
 *
 *	struct tq_context *ctx;
 *	struct tq_quantizer *q;
 *	struct tq_spec spec;
 *
 *	tq_context_create(NULL, &ctx);
 *	tq_spec_init(&spec);
 *	tq_spec_parse(&spec, "bits=4 correction=ls");
 *	tq_quantizer_create(ctx, &spec, 128, NULL, &q);
 *	tq_encode(q, x, 128, n, codes);
 */

#include "tq/status.h"
#include "tq/spec.h"
#include "tq/context.h"
#include "tq/given.h"
#include "tq/quantizer.h"
#include "tq/device.h"
#include "tq/device_kv.h"
#include "tq/top_k.h"
#include "tq/file.h"
#include "tq/split.h"
#include "tq/kv.h"
#include "tq/index.h"

#endif
