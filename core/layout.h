/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_LAYOUT_H
#define TQ_LAYOUT_H

#include "core.h"

/**
 * tq_layout_make - where things are in a row; FORMAT.md section 4, "Bytes"
 * @spec:   checked
 * @dim:    coordinates
 * @layout: written whole
 */
void tq_layout_make(const struct tq_spec *spec, uint32_t dim, struct tq_layout *layout);

/** tq_spec_index_bits - bits of the level index: the spec's, less the sketch bit */
uint32_t tq_spec_index_bits(const struct tq_spec *spec);

#endif
