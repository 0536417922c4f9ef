/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_PLAN_H
#define TQ_PLAN_H

#include "core.h"

/**
 * tq_plan_create - compute every table of a spec for one dimension
 * @ctx:    memory
 * @spec:   checked by the caller with tq_spec_check()
 * @dim:    1..TQ_MAX_DIM
 * @centre: copied; NULL if center=off
 * @plan:   receives the plan; release with tq_plan_destroy()
 *
 * A rotation that the library does not know gets kind TQ_ROT_PLUGIN and no tables.
 */
int tq_plan_create(struct tq_context *ctx, const struct tq_spec *spec, uint32_t dim,
		   const float *centre, struct tq_plan **plan);
void tq_plan_destroy(struct tq_context *ctx, struct tq_plan *plan);

/** tq_codebook_build - levels of FORMAT.md section 3; @bits is the index width */
int tq_codebook_build(struct tq_context *ctx, uint32_t code, uint32_t bits, uint32_t dim,
		      struct tq_codebook *book);

/** tq_codebook_crc - the codebook hash of FORMAT.md section 3; code and bits as for the book */
uint32_t tq_codebook_crc(uint32_t code, uint32_t bits, const struct tq_codebook *book);

/**
 * struct tq_trellis - a level table: the level of state s is odd[s] * half_step
 * @window: bits of a state
 */
struct tq_trellis {
	uint32_t window;
	float half_step;
	const int8_t *odd;
};

/** tq_trellis_of - the table of a trellis code, NULL for any other */
const struct tq_trellis *tq_trellis_of(uint32_t code, uint32_t bits);
uint32_t tq_trellis_crc(const struct tq_trellis *t);

/** tq_polar_radius_bits - bits of a radius of a polar code, 16 for float16; 0 for any other code */
uint32_t tq_polar_radius_bits(uint32_t code);
/** tq_polar_fill - the tables of a polar code */
void tq_polar_fill(uint32_t code, struct tq_polar *polar);
float tq_polar_half_step(void);
uint32_t tq_polar_crc(uint32_t code);

struct tq_radix;

/** tq_radix_width - bits of a word of a code of a fraction of a bit (tq/radix.h); 0 for any other code */
uint32_t tq_radix_width(uint32_t code);
/** tq_radix_words - words in a row of @dim coordinates */
uint32_t tq_radix_words(uint32_t code, uint32_t dim);
/** tq_radix_count - levels of the first digit, and with @book = 1 of the others if those have a book of their own, else 0 */
uint32_t tq_radix_count(uint32_t code, uint32_t book);
/** tq_radix_fill - the tables of such a code */
void tq_radix_fill(uint32_t code, uint32_t dim, const struct tq_codebook *book, struct tq_radix *x);

/** tq_spec_index_bits - bits of the level index: the spec's, less the sketch bit of qjl:* */
uint32_t tq_spec_index_bits(const struct tq_spec *spec);

/** tq_section_bits - bits of section @k in use: the others of its last byte are zero */
size_t tq_section_bits(const struct tq_plan *plan, uint32_t k);

/** tq_layout_build - where things are in a row; FORMAT.md section 4. @spec was checked */
void tq_layout_build(const struct tq_spec *spec, uint32_t dim, struct tq_layout *layout);

#endif
