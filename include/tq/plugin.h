/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_PLUGIN_H
#define TQ_PLUGIN_H

/*
 * The plugin ABI, alone: a plugin includes this header and nothing else of libtq, and does not link it.
 *
 * A plugin is one shared object that exports one const symbol, tq_plugin_v1. The core reads magic, ABI
 * numbers and CPU needs before any code of the plugin runs; a plugin must have no constructors.
 * Drivers are data: a generic name (what), a driver name (who), a priority and a table of operations.
 * Tables and random numbers always come from the core. docs/FORMAT.md defines every result bit by bit;
 * tq/rules.h, included below, holds the scalar arithmetic that all drivers share.
 *
 * Generic names, and the operations that a driver of that name may fill:
 *
 *	rotate(rht) rotate(dense) rotate(givens) rotate(none) rotate(NAME)	struct tq_rotation_ops
 *	quantize(grid)		quantize, dequantize
 *	score(grid)		query_size, query_pack, score, score_list, score_blocks, score_pairs
 *	encode(ROTATION,grid)	encode: all stages in one pass
 *	decode(ROTATION,grid)	decode
 *	attend(grid)		logits, weigh, mix, raw_score, raw_mix: over coded and 16-bit rows
 *	device(cuda)		struct tq_device_ops: the same work on data in a device's memory
 *
 * A trellis code (code=tcq) has "tcq" in the place of "grid": quantize(tcq), encode(rht,tcq) and so on; a polar
 * code (code=polar) has "polar", one of a fraction of a bit (code=lm:3.5) "radix".
 *
 * For each operation the core picks the selectable driver of highest priority that supports the plan
 * and composes the stages; an encode or decode driver replaces the composition. Sketches of qjl:* are
 * rotations too (gauss and ortho: dense; rht: rht). Operations are called from many threads at once.
 */

#include <stddef.h>
#include <stdint.h>
#include "tq/device_kv.h"
#include "tq/spec.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TQ_PLUGIN_MAGIC 0x4e4c5051u
#define TQ_ABI_MAJOR 1
#define TQ_ABI_MINOR 3 /* 1: trellis codes, 2: polar codes, 3: codes of a fraction of a bit */
#define TQ_PLUGIN_SYMBOL "tq_plugin_v1"

/* ---- what a driver may need of the CPU ---- */

enum tq_arch {
	TQ_ARCH_ANY = 0,
	TQ_ARCH_X86_64,
	TQ_ARCH_AARCH64,
};

/* x86: groups, usable only if the operating system saves the registers (XCR0) */
#define TQ_CPU_X86_64_V2 (1ull << 0)	 /* SSE3 SSSE3 SSE4.1 SSE4.2 POPCNT CX16 LAHF */
#define TQ_CPU_X86_64_V3 (1ull << 1)	 /* AVX AVX2 BMI1 BMI2 F16C FMA LZCNT MOVBE: the whole set */
#define TQ_CPU_AVX_VNNI (1ull << 2)
#define TQ_CPU_AVX512 (1ull << 3)	 /* F CD BW DQ VL: x86-64-v4 */
#define TQ_CPU_AVX512_VNNI (1ull << 4)
#define TQ_CPU_AVX512_VBMI (1ull << 5)	 /* VBMI and VBMI2 */
#define TQ_CPU_AVX512_BITALG (1ull << 6) /* BITALG and VPOPCNTDQ */
#define TQ_CPU_AMX_INT8 (1ull << 7)	 /* AMX-TILE and AMX-INT8; a process asks for leave first */
/* AArch64 */
#define TQ_CPU_NEON (1ull << 32)
#define TQ_CPU_DOTPROD (1ull << 33)
#define TQ_CPU_I8MM (1ull << 34)
#define TQ_CPU_SVE (1ull << 35)

struct tq_cpu_need {
	uint32_t arch; /* enum tq_arch */
	uint32_t reserved;
	uint64_t cpu; /* every bit must be there */
};

/* ---- what the core hands to a driver ---- */

enum tq_rotation_kind {
	TQ_ROT_NONE = 0,
	TQ_ROT_RHT,
	TQ_ROT_DENSE,
	TQ_ROT_GIVENS,
	TQ_ROT_PLUGIN,
};

/** Which independent random stream: part of the generator's counter. Never shared between uses. */
enum tq_role {
	TQ_ROLE_RHT = 1,
	TQ_ROLE_HAAR = 2,
	TQ_ROLE_GIVENS_ORDER = 3,
	TQ_ROLE_GIVENS_ANGLE = 4,
	TQ_ROLE_QJL_GAUSS = 5,
	TQ_ROLE_QJL_HAAR = 6,
	TQ_ROLE_QJL_RHT = 7,
	TQ_ROLE_KMEANS = 8,
	TQ_ROLE_PLUGIN = 0x100, /* plugins count from here */
};

/**
 * struct tq_rotation - one linear map of dim coordinates, tables made by the core
 * @kind:    enum tq_rotation_kind
 * @name:    the spec's word ("rht", "haar", a plugin's rotation)
 * @arg:     the spec's argument, 0 if none
 * @seed:    the spec's seed
 * @window:  rht: 2^k, the largest power of two <= dim
 * @rounds:  rht: rounds; givens: layers
 * @roll:    rht: floor(dim / 3) where window < dim, else 0
 * @signs:   rht: for each round, window floats of +-a for the head (a differs between rounds where k is
 *           odd and window = dim: FORMAT.md section 2), then (if window < dim)
 *           window floats for the tail; 64-byte aligned
 * @rows:    dense: R[i * dim + j]; y_i = sum over j in order
 * @columns: dense: the transpose, R[i][j] at columns[j * dim + i]
 * @order:   givens: for each layer a permutation of 0..dim-1; pairs are (0,1), (2,3), ... of it
 * @cosines: givens: for each layer, dim / 2 floats
 * @sines:   givens: likewise
 */
struct tq_rotation {
	uint32_t struct_size;
	uint32_t kind;
	uint32_t dim;
	uint32_t arg;
	const char *name;
	uint64_t seed;
	uint32_t window;
	uint32_t rounds;
	uint32_t roll;
	uint32_t reserved;
	const float *signs;
	const float *rows;
	const float *columns;
	const uint32_t *order;
	const float *cosines;
	const float *sines;
};

/**
 * struct tq_codebook - the integer levels
 * @count:     levels, 2^index_bits; 0 for pure QJL
 * @planes:    1: grid 0..127; 2: grid 0..16383 = 128 * hi + lo
 * @half_step: the level of index k is odd[k] * half_step, in units of sigma = 1
 * @kappa:     1 / E|u| of the sphere density: the constant of an orthogonal sketch
 * @odd:       odd[k] = 2 * grid - 127 (or - 16383), ascending, odd[k] = -odd[count - 1 - k]
 * @bounds:    count - 1 thresholds between levels, ascending, in units of sigma = 1
 */
struct tq_codebook {
	uint32_t struct_size;
	uint32_t count;
	uint32_t planes;
	float half_step;
	float kappa;
	uint32_t reserved;
	int16_t odd[256];
	float bounds[256];
};

/** One field of the index: the top bits come first, @width bits per coordinate, low bits first. */
struct tq_section {
	uint32_t width; /* 1, 2, 4 or 8; of a trellis code its bits, 3 too; of a polar code bits per 16 coordinates, of a radix code of its words */
	uint32_t shift; /* the field is (index >> shift) & ((1 << width) - 1) */
	uint32_t at;	/* byte offset in the row */
	uint32_t bytes; /* ceil(dim * width / 8); unused high bits of the last byte are zero */
};

#define TQ_NO_FIELD UINT32_MAX

/**
 * struct tq_layout - where things are in a row
 * @row_bytes: size of a row
 * @scale_at:  always 0: the scale, of type plan->scale
 * @cross_at:  float <x, centre>, if center=both
 * @rnorm_at:  norm of the residual, of type plan->scale, if qjl:*
 * @nsections: fields of the level index: bits split into 1, 2 and 4 in this order (8 bits: one byte)
 * @sketch_at: one bit per coordinate, low bits first, set for >= 0; if qjl:*
 */
struct tq_layout {
	uint32_t row_bytes;
	uint32_t scale_at;
	uint32_t cross_at;
	uint32_t rnorm_at;
	uint32_t nsections;
	struct tq_section section[3];
	uint32_t sketch_at;
	uint32_t sketch_bytes;
};

/**
 * struct tq_plan - a spec with its tables; read-only, outlives every state made for it
 * @dim:        coordinates
 * @index_bits: bits of the level index, 0..8: spec bits, less one for qjl:*
 * @code:       enum tq_code
 * @correction: enum tq_correction
 * @effort:     0..2
 * @center:     enum tq_center
 * @scale:      enum tq_dtype of the stored scale
 * @query:      enum tq_query_kind, never AUTO
 * @rotation:   the rotation
 * @sketch:     the sketch, kind TQ_ROT_NONE if none
 * @codebook:   levels
 * @layout:     the row
 * @centre:     dim floats, or NULL
 * @centre_norm2: <centre, centre>, 16-lane sum
 * @window:     bits that a coordinate's level is looked up by, 8 or 9; 0 if the code is no trellis
 * @trellis:    2^window level numbers, else NULL: the level of state s is trellis[s] * half_step, and
 *              codebook.count is 0; odd, -127..127, trellis[2^window - 1 - s] = -trellis[s];
 *              tq/trellis.h has the rules
 * @polar:      tables of a polar code, else NULL; level numbers are below 2^14, codebook.count is 0;
 *              tq/polar.h has the rules
 * @radix:      tables of a code of a fraction of a bit, else NULL; codebook.count is the sum over its books;
 *              tq/radix.h has the rules
 */
struct tq_polar;
struct tq_radix;
struct tq_plan {
	uint32_t struct_size;
	uint32_t dim;
	uint32_t index_bits;
	uint32_t code;
	uint32_t correction;
	uint32_t effort;
	uint32_t center;
	uint32_t scale;
	uint32_t query;
	float centre_norm2;
	const float *centre;
	struct tq_rotation rotation;
	struct tq_rotation sketch;
	struct tq_codebook codebook;
	struct tq_layout layout;
	uint32_t window;
	uint32_t reserved;
	const int8_t *trellis;
	const struct tq_polar *polar;
	const struct tq_radix *radix;
};

/**
 * struct tq_row_stat - what loading a row leaves for the later stages
 * @norm2:    16-lane sum of squares of the scaled row
 * @exponent: the row was multiplied by 2^-exponent
 * @cross:    <x, centre> if center=both, else 0
 */
struct tq_row_stat {
	float norm2;
	int32_t exponent;
	float cross;
};

/**
 * struct tq_query - a query, rotated and quantized by the core
 * @planes:       1 or 2 integer planes; 0: float query
 * @scale:        score = ((float)A * scale) * row_scale, A = sum odd * q
 * @sketch_scale: sketch part = ((float)B * sketch_scale) * rnorm, B = sum of +-z
 * @add:          what the centre adds
 * @sum:          sum of q over the dimensions
 * @sketch_sum:   sum of z
 * @hi:           dim s8, zero-padded to a multiple of 64; q = hi, or 128 * hi + lo
 * @lo:           likewise, planes == 2
 * @y:            float query, planes == 0, zero-padded to a multiple of 16
 * @sketch_hi:    the sketched query z, likewise, if plan->sketch
 * @sketch_lo:
 * @sketch_y:
 */
struct tq_query {
	uint32_t struct_size;
	uint32_t planes;
	float scale;
	float sketch_scale;
	float add;
	uint32_t reserved;
	int64_t sum;
	int64_t sketch_sum;
	const int8_t *hi;
	const int8_t *lo;
	const float *y;
	const int8_t *sketch_hi;
	const int8_t *sketch_lo;
	const float *sketch_y;
};

/* ---- what a driver does ---- */

struct tq_host;

/**
 * struct tq_rotation_ops - rotate and its transpose
 * @create:   make what the maps need beyond the core's tables; may be NULL. TQ_ERR_SPEC: a rotation of the
 *            plugin's own does not serve this argument, or with this configuration; logs why at level 0
 * @destroy:  release it; may be NULL
 * @rotate:   y = R x for @n rows of dim floats, packed; x and y do not overlap;
 *            @scratch has room for dim floats. Rows are 64-byte aligned only if dim allows.
 * @unrotate: y = R^T x, likewise
 * @failed:   0, or the TQ_ERR_* of an earlier call on this state that could not be done (its reason was
 *            logged then, its output is undefined): a device may fail, and those above return nothing.
 *            NULL where that cannot be
 */
struct tq_rotation_ops {
	uint32_t struct_size;
	int (*create)(const struct tq_host *host, const struct tq_rotation *rot, void **state);
	void (*destroy)(const struct tq_host *host, void *state);
	void (*rotate)(const struct tq_rotation *rot, const void *state, const float *x, float *y,
		       size_t n, float *scratch);
	void (*unrotate)(const struct tq_rotation *rot, const void *state, const float *x, float *y,
			 size_t n, float *scratch);
	int (*failed)(const void *state);
};

/**
 * struct tq_quantizer_ops - everything after the rotation, and the fused paths
 * @create:      make a driver's own form of the tables; may be NULL
 * @destroy:     release it; may be NULL
 * @quantize:    rows @y (rotated, packed) and their @stat to codes: scale, cross, level fields; the
 *               fields rnorm and sketch of qjl:* are left to the core
 * @dequantize:  codes to rotated rows, without the row's power of two: y_i = odd_i * (m * half_step),
 *               scale = m * 2^e with m in [1, 2); @exponent receives e, one per row
 * @query_size:  bytes of a packed query
 * @query_pack:  @q in the order that @score wants; @packed is aligned to 64
 * @score:       @nq packed queries, each query_size bytes apart, against @n rows
 * @score_list:  one packed query against rows @ids of @codes
 * @score_blocks: as @score, the rows in blocks (tq/block.h), whatever follows row @n in the last. May be
 *               NULL where the four above are filled: rows stay rows then. Asked for only where
 *               tq_block_bytes() is not 0
 * @score_pairs: rows against rows
 * @encode:      fused; input was checked: every value finite. Returns 0 or a TQ_ERR_*
 * @decode:      fused
 *
 * @logits:      x[t] = (x[t] + bias) * factor; returns the largest, -infinity for none
 * @weigh:       weights[t] = tq_exp(logits[t] - max), 0 for a logit of -infinity; returns their sum in
 *               16 lanes. @weights may be @logits
 * @mix:         sums[w * ld + i] += what @n rows, at most TQ_MIX_ROWS, weigh in rotated coordinate i;
 *               weights[w * ldw + t], FORMAT.md section 8
 * @raw_score:   scores[g * ld + t] = dot16 of float query g and 16-bit row t, @d elements of type
 *               @dtype, rows @stride elements apart
 * @raw_mix:     sums[w * ld + i] += weights[w * ldw + t] * row_t,i, in the order of t
 *
 * @failed:      as in struct tq_rotation_ops
 *
 * A slot may be NULL: the next driver fills it. query_size, query_pack, score and score_list are
 * taken together or not at all; so are logits, weigh, mix, raw_score and raw_mix.
 */
struct tq_quantizer_ops {
	uint32_t struct_size;
	int (*create)(const struct tq_host *host, const struct tq_plan *plan, void **state);
	void (*destroy)(const struct tq_host *host, void *state);
	void (*quantize)(const struct tq_plan *plan, const void *state, const float *y,
			 const struct tq_row_stat *stat, size_t n, uint8_t *codes);
	void (*dequantize)(const struct tq_plan *plan, const void *state, const uint8_t *codes,
			   size_t n, float *y, int32_t *exponent);
	size_t (*query_size)(const struct tq_plan *plan, const void *state);
	void (*query_pack)(const struct tq_plan *plan, const void *state, const struct tq_query *q,
			   void *packed);
	void (*score)(const struct tq_plan *plan, const void *state, const void *packed, size_t nq,
		      const uint8_t *codes, size_t n, float *scores, size_t ld);
	void (*score_list)(const struct tq_plan *plan, const void *state, const void *packed,
			   const uint8_t *codes, const uint32_t *ids, size_t n, float *scores);
	void (*score_blocks)(const struct tq_plan *plan, const void *state, const void *packed,
			     size_t nq, const uint8_t *blocks, size_t n, float *scores, size_t ld);
	void (*score_pairs)(const struct tq_plan *plan, const void *state, const uint8_t *a,
			    size_t na, const uint8_t *b, size_t nb, float *scores, size_t ld);
	int (*encode)(const struct tq_plan *plan, const void *state, const void *x, int dtype,
		      size_t stride, size_t n, uint8_t *codes);
	int (*decode)(const struct tq_plan *plan, const void *state, const uint8_t *codes, size_t n,
		      void *x, int dtype, size_t stride);
	float (*logits)(float *x, size_t n, float bias, float factor);
	float (*weigh)(const float *logits, size_t n, float max, float *weights);
	void (*mix)(const struct tq_plan *plan, const void *state, const float *weights, size_t ldw,
		    size_t nw, const uint8_t *codes, size_t n, float *sums, size_t ld);
	void (*raw_score)(int dtype, const float *queries, size_t ldq, size_t nq,
			  const uint16_t *rows, size_t stride, size_t n, size_t d, float *scores,
			  size_t ld);
	void (*raw_mix)(int dtype, const float *weights, size_t ldw, size_t nw,
			const uint16_t *rows, size_t stride, size_t n, size_t d, float *sums,
			size_t ld);
	int (*failed)(const void *state);
};

/**
 * struct tq_device_queue - the embedder's place in a device's order of work
 * @device: the driver's number of the device
 * @stream: CUDA: a CUstream; NULL for the default stream
 */
struct tq_device_queue {
	uint32_t struct_size;
	int32_t device;
	void *stream;
};

/**
 * struct tq_device_ops - operations on device memory, ordered by a queue
 * @open:       is the device of this number there and usable: 0, or TQ_ERR_* with the reason logged
 * @attach:     upload a plan's tables to the queue's device
 * @detach:     release them; nothing of this plan may be under way
 * @query_size: bytes of a prepared query in device memory, a multiple of 64
 * @encode:     device pointers; starts work and returns. No allocation, no waiting: may be recorded
 *              into a graph. Input is not checked: see @check
 * @decode:     likewise
 * @query:      prepare @nq queries of f32; @adds: device memory, what is added to each one's scores in the
 *              place of the centre's part, with center=both; NULL: that part
 * @score:      @batch independent problems of equal shape, their arrays the given strides apart
 *              (bytes, bytes, floats)
 * @topk_scratch: bytes of device memory that @topk needs, aligned to 256
 * @topk:       the @k best rows per query, best first, equal scores by lower row; ids -1 where n < k
 * @check:      atomic minimum of *@first with the number of the first row that is not finite
 * @memory_alloc: device memory for the core's test
 * @memory_free:  release it; NULL is allowed
 * @copy_in:    copy to the device after the queue's work, and wait for it
 * @copy_out:   likewise, from the device
 * @kv_page:    bytes of a page for the plans of two states, a multiple of 128; 0 with the reason logged where
 *              these plans are not served
 * @kv_append:  tq/device_kv.h; @keys and @values are states of @attach; in all four @values is NULL where keys are the
 *              values too
 * @kv_scratch: bytes of device memory that @kv_attend needs for a call, aligned to 256
 * @kv_attend:  the scale and the members that may be 0 are as the caller gave them
 *
 * The four kv slots go together and may be NULL. All others are filled. All return 0 or TQ_ERR_*; the reason goes to the host's log at level 0 in the same call.
 */
struct tq_host;
struct tq_plan;
struct tq_device_ops {
	uint32_t struct_size;
	int (*open)(const struct tq_host *host, int32_t device);
	int (*attach)(const struct tq_host *host, const struct tq_plan *plan,
		      const struct tq_device_queue *queue, void **state);
	void (*detach)(const struct tq_host *host, void *state);
	size_t (*query_size)(const void *state);
	int (*encode)(const void *state, const struct tq_device_queue *queue, const void *x,
		      int dtype, size_t stride, size_t n, void *codes);
	int (*decode)(const void *state, const struct tq_device_queue *queue, const void *codes,
		      size_t n, void *x, int dtype, size_t stride);
	int (*query)(const void *state, const struct tq_device_queue *queue, const float *x,
		     size_t stride, size_t nq, const float *adds, void *prepared);
	int (*score)(const void *state, const struct tq_device_queue *queue, const void *prepared,
		     size_t nq, const void *codes, size_t n, float *scores, size_t ld, size_t batch,
		     size_t query_stride, size_t code_stride, size_t score_stride);
	size_t (*topk_scratch)(const void *state, size_t nq, size_t n, size_t k);
	int (*topk)(const void *state, const struct tq_device_queue *queue, const void *prepared,
		    size_t nq, const void *codes, size_t n, size_t k, int64_t *ids, float *scores,
		    void *scratch);
	int (*check)(const void *state, const struct tq_device_queue *queue, const void *x,
		     int dtype, size_t stride, size_t n, uint64_t *first);
	int (*memory_alloc)(const void *state, size_t size, void **ptr);
	void (*memory_free)(const void *state, void *ptr);
	int (*copy_in)(const void *state, const struct tq_device_queue *queue, void *to,
		       const void *from, size_t size);
	int (*copy_out)(const void *state, const struct tq_device_queue *queue, void *to,
			const void *from, size_t size);
	size_t (*kv_page)(const void *keys, const void *values,
			  const struct tq_device_kv_options *options);
	int (*kv_append)(const void *keys, const void *values, const struct tq_device_queue *queue,
			 const struct tq_device_kv_options *options,
			 const struct tq_device_kv_rows *rows);
	size_t (*kv_scratch)(const void *keys, const void *values,
			     const struct tq_device_kv_options *options,
			     const struct tq_device_kv_call *call);
	int (*kv_attend)(const void *keys, const void *values, const struct tq_device_queue *queue,
			 const struct tq_device_kv_options *options,
			 const struct tq_device_kv_call *call);
};

enum tq_memory {
	TQ_MEM_HOST = 0,
	TQ_MEM_CUDA,
	TQ_MEM_OPENCL,
};

#define TQ_DRV_BITEXACT (1u << 0)   /* same bytes and scores as scalar; the gate holds it to that */
#define TQ_DRV_CONCURRENT (1u << 1) /* operations may run in many threads at once */

/**
 * struct tq_driver - one entry of a plugin's table
 * @name:        generic name, see the head of this file
 * @driver_name: unique in the process
 * @priority:    scalar has 100; instruction sets count up in hundreds
 * @memory:      enum tq_memory
 * @flags:       TQ_DRV_*
 * @need:        checked by the core before any code runs
 * @dim_min:     smallest and largest dimension served; 0 for no limit
 * @bits:        mask of index_bits served (bit b), 0 for all
 * @corrections: mask of corrections served, 0 for all
 * @effort_max:  highest effort served
 * @supports:    last word on a plan: 1 yes, 0 no with the reason in @why; NULL for yes.
 *               Not called for rotate(*).
 * @rotation_ops: for rotate(*), else NULL
 * @ops:         for the others, else NULL
 * @device_ops:  for device(*), else NULL
 */
struct tq_driver {
	uint32_t struct_size;
	int32_t priority;
	const char *name;
	const char *driver_name;
	uint32_t memory;
	uint32_t flags;
	struct tq_cpu_need need;
	uint32_t dim_min;
	uint32_t dim_max;
	uint32_t bits;
	uint32_t corrections;
	uint32_t effort_max;
	uint32_t reserved;
	int (*supports)(const struct tq_plan *plan, char *why, size_t why_size);
	const struct tq_rotation_ops *rotation_ops;
	const struct tq_quantizer_ops *ops;
	const struct tq_device_ops *device_ops;
};

/**
 * struct tq_host - services of the core; append-only, read struct_size before using a late member
 * @ctx:     pass it back
 * @cpu:     TQ_CPU_* bits of this machine
 * @alloc:   @size bytes aligned to 64, or NULL
 * @free:    NULL is allowed
 * @log:     enum tq_log_level and a line
 * @words:   @n 32-bit words of the stream (seed, role, sub), from word number @first
 * @normals: @n standard normals of that stream, from number @first
 * @config:  value of @key in the plugin's own configuration section, or NULL
 */
struct tq_host {
	uint32_t struct_size;
	uint32_t reserved;
	void *ctx;
	uint64_t cpu;
	void *(*alloc)(const struct tq_host *host, size_t size);
	void (*free)(const struct tq_host *host, void *ptr);
	void (*log)(const struct tq_host *host, int level, const char *line);
	void (*words)(uint64_t seed, uint32_t role, uint32_t sub, uint64_t first, size_t n,
		      uint32_t *out);
	void (*normals)(uint64_t seed, uint32_t role, uint32_t sub, uint64_t first, size_t n,
			double *out);
	const char *(*config)(const struct tq_host *host, const char *key);
};

/**
 * struct tq_plugin - the exported symbol
 * @magic:       TQ_PLUGIN_MAGIC
 * @abi_major:   must equal the core's
 * @abi_minor:   must not be above the core's
 * @struct_size: sizeof(struct tq_plugin)
 * @driver_size: sizeof(struct tq_driver)
 * @name:        short, unique: "avx2"
 * @version:     of the plugin
 * @licence:     SPDX expression
 * @init:        called once after the CPU check of the first capable driver; NULL for none. 0 or TQ_ERR_*
 * @fini:        called once when the context goes; NULL for none
 * @probe:       is the device there: 0, or TQ_ERR_NOT_PRESENT with the reason in @why; NULL for yes.
 *               @device receives the device's name
 * @drivers:     the table
 * @ndrivers:    its length
 */
struct tq_plugin {
	uint32_t magic;
	uint16_t abi_major;
	uint16_t abi_minor;
	uint32_t struct_size;
	uint32_t driver_size;
	const char *name;
	const char *version;
	const char *licence;
	int (*init)(const struct tq_host *host);
	void (*fini)(const struct tq_host *host);
	int (*probe)(const struct tq_host *host, char *device, size_t device_size, char *why,
		     size_t why_size);
	const struct tq_driver *drivers;
	uint32_t ndrivers;
	uint32_t reserved;
};

#if defined(TQ_BUILTIN_PLUGIN)
#define TQ_PLUGIN_DEFINE(id) const struct tq_plugin tq_plugin_##id
#elif defined(__GNUC__)
#define TQ_PLUGIN_DEFINE(id)                                                                       \
	extern __attribute__((visibility("default"))) const struct tq_plugin tq_plugin_v1;         \
	const struct tq_plugin tq_plugin_v1
#endif

#ifdef __cplusplus
}
#endif

#include "tq/rules.h"
#include "tq/block.h"

#endif
