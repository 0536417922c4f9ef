/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signs of the levels of rows, for scans in two stages: index_stage.h says what they are for.
 */

#include <math.h>
#include "given.h"
#include "index_stage.h"

#define CHUNK 512
/* Rows shorter than that are not staged */
#define ROW_BYTES_MIN 128

int tq_index_make_signer(const struct tq_index *ix, size_t row_bytes, const float *centre, struct tq_quantizer **q)
{
	struct tq_quantizer_options o = {.struct_size = sizeof(o), .driver = ix->driver};
	struct tq_spec spec = ix->spec;
	int ret;

	*q = NULL;
	/* codes too short for two stages lie in blocks: full scans are faster so; bounds are of queries without scales */
	if (!ix->staged || spec.bits < 2 || spec.code > TQ_CODE_SIGN ||
	    row_bytes < ROW_BYTES_MIN || spec.correction >= TQ_CORR_QJL_GAUSS || tq_given_scales(ix->ctx, &spec))
		return TQ_OK;
	spec.bits = 1;
	spec.code = TQ_CODE_LM;
	spec.correction = TQ_CORR_NONE;
	spec.effort = 0;
	spec.scale = TQ_F32;
	spec.query = TQ_QUERY_S8;
	if (spec.center == TQ_CENTER_BOTH)
		o.centre = centre;
	ret = tq_quantizer_create(ix->ctx, &spec, ix->dim, &o, q);
	if (ret == TQ_OK && !(*q)->pipe.block_bytes) {
		tq_quantizer_destroy(*q);
		*q = NULL;
	}
	return ret;
}

/* The signs of @code to the bits of @row; sums of the levels' magnitudes and squares */
static void take_signs(const struct tq_plan *plan, const uint8_t *code, uint8_t *bits, double *sum,
		       double *square)
{
	const struct tq_codebook *book = &plan->codebook;
	uint8_t index[CHUNK];
	int64_t s = 0, s2 = 0;
	size_t at, n, i;
	int32_t odd;

	for (at = 0; at < plan->dim; at += n) {
		n = plan->dim - at < CHUNK ? plan->dim - at : CHUNK;
		tq_unpack_indices(plan, code, at, n, index);
		for (i = 0; i < n; i++) {
			odd = book->odd[index[i]];
			s += odd < 0 ? -odd : odd;
			s2 += odd * odd;
			bits[(at + i) / 8] |= (uint8_t)((odd > 0) << (at + i) % 8);
		}
	}
	*sum = (double)s;
	*square = (double)s2;
}

void tq_index_sign_rows(const struct tq_index *ix, const uint8_t *codes, size_t n, uint8_t *rows,
			float *error)
{
	const struct tq_plan *plan = ix->q->plan, *sign = ix->sign->plan;
	double one = (double)sign->codebook.odd[1] * (double)sign->codebook.half_step;
	double sum, square, length, d = plan->dim;
	size_t i;

	for (i = 0; i < n; i++, codes += plan->layout.row_bytes, rows += sign->layout.row_bytes) {
		memset(rows, 0, sign->layout.row_bytes);
		take_signs(plan, codes, rows + sign->layout.section[0].at, &sum, &square);
		length = (double)tq_load_scale(plan, codes) * (double)plan->codebook.half_step;
		tq_store_scale(sign, rows, (float)(length * square / sum / one));
		error[i] = (float)(length * sqrt(square * fabs(square * d / (sum * sum) - 1.0) / d));
		if (sign->layout.cross_at != TQ_NO_FIELD)
			memcpy(rows + sign->layout.cross_at, codes + plan->layout.cross_at, sizeof(float));
	}
}

void tq_index_put_sign(const struct tq_index *ix, struct tq_index_segment *s, uint32_t row,
		       const uint8_t *sign, float error)
{
	tq_block_put(ix->sign->plan, s->signs + row / TQ_BLOCK_ROWS * ix->sign->pipe.block_bytes,
		     row % TQ_BLOCK_ROWS, sign);
	s->error[row] = error;
}
