/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_SPEC_H
#define TQ_SPEC_H

/*
 * A spec names one point in the space rotation x code x bits x correction x effort. It is a string of
 * key=value words and a struct with the same fields; the two convert into each other without loss.
 *
 *	rotation=rht:2 code=lm bits=4 correction=ls effort=0 seed=1 center=off scale=f32 query=auto
 *
 * bits=1.6, 2.33, 2.5, 3.5 or 4.5 is short for the code of that name.
 *
 * Keys left out keep their defaults (the line above; rotation=rht:3 and effort=0 beside code=tcq). preset=NAME, first, sets the defaults of a
 * published method: see tq_preset_name().
 */

#include <stddef.h>
#include <stdint.h>
#include "tq/status.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TQ_MAX_DIM 65536
/** Largest dimension of the rotations and sketches that are stored as a dense matrix. */
#define TQ_MAX_DENSE_DIM 8192
#define TQ_ROTATION_NAME_MAX 32
/** Room that holds any printed spec, terminating zero included. */
#define TQ_SPEC_STRING_MAX 256

enum tq_code {
	TQ_CODE_LM = 0,	 /* Lloyd-Max levels for the sphere density of the dimension */
	TQ_CODE_UNIFORM, /* equally spaced levels, spacing of least error for that density */
	TQ_CODE_SIGN,	 /* one bit: the sign; bits must be 1 */
	TQ_CODE_TCQ8,	 /* trellis of 2^8 states, bits 1..4: "tcq:8" */
	TQ_CODE_TCQ9,	 /* trellis of 2^9 states, bits 1..4: "tcq:9", or "tcq" */
	TQ_CODE_POLAR,	 /* recursive polar angles, a float16 radius per 16 coordinates; bits must be 4 */
	TQ_CODE_POLAR4,	 /* the same with a radius of 4 bits: "polar:4" */
	TQ_CODE_POLAR5,
	TQ_CODE_POLAR6,
	TQ_CODE_LM1_6,	 /* Lloyd-Max levels, 3 of them, 5 coordinates in 8 bits: "lm:1.6", or bits=1.6; bits is 2 */
	TQ_CODE_LM2_33,	 /* 5 levels, 3 coordinates in 7 bits: "lm:2.33"; bits is 3 */
	TQ_CODE_LM2_5,	 /* 6 and 5 levels, 2 coordinates in 5 bits; bits is 3 */
	TQ_CODE_LM3_5,	 /* 11 levels, 2 coordinates in 7 bits; bits is 4 */
	TQ_CODE_LM4_5,	 /* 23 and 22 levels, 2 coordinates in 9 bits; bits is 5 */
};

enum tq_correction {
	TQ_CORR_NONE = 0,  /* scale = ||x|| / sqrt(d): TurboQuant_mse */
	TQ_CORR_NORM,	   /* the decoded vector has the norm of the input */
	TQ_CORR_LS,	   /* least squares: EDEN biased */
	TQ_CORR_UNBIASED,  /* EDEN unbiased, DRIVE, RaBitQ */
	TQ_CORR_QJL_GAUSS, /* bits-1 levels + sign of a Gaussian sketch of the residual: TurboQuant_prod */
	TQ_CORR_QJL_ORTHO, /* the same with a Haar orthogonal sketch */
	TQ_CORR_QJL_RHT,   /* the same with a randomized Hadamard sketch */
};

enum tq_center {
	TQ_CENTER_OFF = 0,
	TQ_CENTER_DATA, /* subtract the centre from data; scores add <centre, query> */
	TQ_CENTER_BOTH, /* subtract it from data and query; one more float per row */
};

enum tq_dtype {
	TQ_F32 = 0,
	TQ_F16 = 1,
	TQ_BF16 = 2,
};

enum tq_query_kind {
	TQ_QUERY_AUTO = 0, /* S8 up to 4 bits of level index, S16 above */
	TQ_QUERY_S8,	   /* 8-bit integer query */
	TQ_QUERY_S16,	   /* two planes: 15 bits */
	TQ_QUERY_F32,	   /* float query, fixed order of additions */
};

/**
 * struct tq_spec - the parsed spec
 * @struct_size:  sizeof(struct tq_spec); tq_spec_init() sets it
 * @rotation:     "rht", "haar", "givens", "given", "none", or the name of a plugin's rotation
 * @rotation_arg: rounds of rht (1..3), layers of givens (1..64), checksum of given (tq/given.h); 0 where the rotation has no argument
 * @code:         enum tq_code
 * @bits:         stored bits per coordinate, 1..8, the sketch bit of qjl:* included; of a fraction rounded up
 * @correction:   enum tq_correction
 * @effort:       0, 1 or 2
 * @center:       enum tq_center
 * @scale:        enum tq_dtype of the stored scale
 * @query:        enum tq_query_kind
 * @seed:         key of every random stream
 */
struct tq_spec {
	uint32_t struct_size;
	char rotation[TQ_ROTATION_NAME_MAX];
	uint32_t rotation_arg;
	uint32_t code;
	uint32_t bits;
	uint32_t correction;
	uint32_t effort;
	uint32_t center;
	uint32_t scale;
	uint32_t query;
	uint64_t seed;
};

/**
 * tq_spec_init - fill in the defaults
 * @spec: written whole
 */
TQ_API void tq_spec_init(struct tq_spec *spec);

/**
 * tq_spec_parse - read a spec string over the values that @spec already holds
 * @spec: initialised spec; unchanged on failure
 * @text: key=value words separated by blanks or commas; may be empty
 *
 * Return: TQ_OK; TQ_ERR_SPEC with a text that names the word, and the nearest known one if close;
 * TQ_ERR_ARG for NULL.
 */
TQ_API int tq_spec_parse(struct tq_spec *spec, const char *text);

/**
 * tq_spec_print - write every key in the canonical order
 * @spec: a valid spec
 * @buf:  room for @size bytes
 * @size: TQ_SPEC_STRING_MAX is always enough
 *
 * Return: TQ_OK; TQ_ERR_SPEC if @spec is not valid; TQ_ERR_RANGE if @size is too small.
 */
TQ_API int tq_spec_print(const struct tq_spec *spec, char *buf, size_t size);

/**
 * tq_spec_check - is the spec meaningful for vectors of @dim coordinates
 * @spec: the spec
 * @dim:  1..TQ_MAX_DIM, or 0 to check what does not depend on it
 *
 * Return: TQ_OK; TQ_ERR_SPEC or TQ_ERR_UNSUPPORTED with a text that names the key.
 */
TQ_API int tq_spec_check(const struct tq_spec *spec, uint32_t dim);

/**
 * tq_preset_name - the names of the presets
 * @index: 0, 1, ...
 *
 * Return: the name, or NULL past the last one.
 */
TQ_API const char *tq_preset_name(unsigned index);

/**
 * tq_preset_text - the spec string that a preset stands for, and where it comes from
 * @name:   a preset's name
 * @source: if not NULL, receives the paper it reproduces
 *
 * Return: the spec string, or NULL if there is no such preset.
 */
TQ_API const char *tq_preset_text(const char *name, const char **source);

#ifdef __cplusplus
}
#endif
#endif
