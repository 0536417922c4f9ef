/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_FILE_H
#define TQ_FILE_H

/*
 * Files of codes. A .tq file holds a spec, a centre if there is one, rows of codes, and any further
 * sections that its writer adds (ids, an index, a cache). It is written to a temporary name and
 * appears under its own name only when complete; it is read by mapping it, after everything in it
 * was checked.
 *
 * Writing:
 *
 *	tq_file_create(ctx, "x.tq", q, &writer);
 *	tq_file_append(writer, codes, n);		as often as needed
 *	tq_file_commit(writer);				or tq_file_abort(writer)
 *
 * Reading:
 *
 *	tq_file_open(ctx, "x.tq", 0, &file);
 *	tq_file_quantizer(file, NULL, &q);
 *	tq_decode(q, tq_file_codes(file), tq_file_count(file), x, tq_file_dim(file));
 *
 * docs/FORMAT.md section 7 gives every byte.
 */

#include <stddef.h>
#include <stdint.h>
#include "tq/quantizer.h"

#ifdef __cplusplus
extern "C" {
#endif

struct tq_file;
struct tq_file_writer;

/** What a section holds. From TQ_SECTION_PRIVATE on, the number is the application's own. */
enum tq_section_type {
	TQ_SECTION_SPEC = 1,   /* the spec string, every key, without a terminating zero */
	TQ_SECTION_CENTRE = 2, /* dim floats */
	TQ_SECTION_CODES = 3,  /* count rows */
	TQ_SECTION_IDS = 4,    /* count 64-bit numbers */
	TQ_SECTION_INDEX = 5,
	TQ_SECTION_KV = 6,
	TQ_SECTION_REFINE = 7, /* second codes of an index, one per row */
	TQ_SECTION_SPLIT = 8,  /* two groups of channels (tq/split.h): which, and the second's spec */
};
#define TQ_SECTION_PRIVATE 0x80000000u

/** A reader that does not know the section's type may still use the file. */
#define TQ_SECTION_IGNORABLE (1u << 0)

/* ---- writing ---- */

/**
 * tq_file_create - start a file of codes
 * @ctx:    memory; must outlive the writer
 * @path:   the name the file will have; an existing regular file is replaced at commit, not before
 * @q:      whose codes will be appended; not needed after the call
 * @writer: receives the writer, NULL on failure; ends with tq_file_commit() or tq_file_abort()
 *
 * A writer belongs to one thread at a time.
 *
 * Return: TQ_OK; TQ_ERR_ARG; TQ_ERR_IO naming the file (also where @path is a directory or a
 * device); TQ_ERR_NOMEM.
 */
TQ_API int tq_file_create(struct tq_context *ctx, const char *path, const struct tq_quantizer *q,
			  struct tq_file_writer **writer);

/**
 * tq_file_append - add rows
 * @writer: a writer with no other section begun
 * @codes:  @n packed rows of the writer's quantizer
 * @n:      number of rows; 0 is allowed
 *
 * Return: TQ_OK; TQ_ERR_ARG; TQ_ERR_IO: nothing but abort is possible then.
 */
TQ_API int tq_file_append(struct tq_file_writer *writer, const void *codes, size_t n);

/**
 * tq_file_section_begin - end the section under way and begin another
 * @writer: the writer; no rows can be appended from here on
 * @type:   enum tq_section_type from TQ_SECTION_IDS to TQ_SECTION_REFINE, or the application's own; a number
 *          that is none of ours only with TQ_SECTION_IGNORABLE, since readers refuse it without
 * @flags:  TQ_SECTION_IGNORABLE or 0
 *
 * Sections start at multiples of 64 bytes. A type may occur more than once.
 *
 * Return: TQ_OK; TQ_ERR_ARG; TQ_ERR_FULL past TQ_FILE_MAX_SECTIONS; TQ_ERR_IO.
 */
TQ_API int tq_file_section_begin(struct tq_file_writer *writer, uint32_t type, uint32_t flags);
#define TQ_FILE_MAX_SECTIONS 1024

/**
 * tq_file_section_write - add bytes to the section under way
 * @writer: a writer whose own section was begun
 * @data:   @bytes bytes; may be NULL if there are none
 * @bytes:  how many
 *
 * Return: TQ_OK; TQ_ERR_ARG; TQ_ERR_IO.
 */
TQ_API int tq_file_section_write(struct tq_file_writer *writer, const void *data, size_t bytes);

/**
 * tq_file_commit - make the file appear under its name
 * @writer: released, whatever the result
 *
 * The data is on the disk before the name changes, and the name before the call returns (fsync of
 * file and directory). A failure leaves what was there before, and no temporary file; only where
 * the directory itself cannot be synced is the new file there already.
 *
 * Return: TQ_OK; TQ_ERR_ARG where a section of ids does not have one for each row; TQ_ERR_IO, also
 * where an earlier call failed.
 */
TQ_API int tq_file_commit(struct tq_file_writer *writer);

/** tq_file_abort - give up; nothing remains. NULL is allowed */
TQ_API void tq_file_abort(struct tq_file_writer *writer);

/* ---- reading ---- */

/** Do not read rows, ids and second codes now; tq_file_verify() does it later. All else is checked. */
#define TQ_FILE_DEFER (1u << 0)

/**
 * tq_file_open - map a file and check it
 * @ctx:   must outlive the file
 * @path:  a .tq file, not trusted
 * @flags: TQ_FILE_DEFER or 0
 * @file:  receives the file, NULL on failure; release with tq_file_close()
 *
 * Checks lengths, checksums, padding, the spec, and the level table: it is computed again and must
 * have the hash that the file gives. The mapping is private and read-only. Whoever may cut the file
 * short while it is open can make reads of the mapping fail with SIGBUS: map only files that are
 * replaced, as tq_file_commit() does, never changed in place.
 *
 * Return: TQ_OK; TQ_ERR_ARG; TQ_ERR_IO; TQ_ERR_FORMAT; TQ_ERR_CHECKSUM; TQ_ERR_VERSION for a later
 * format; TQ_ERR_UNSUPPORTED for a needed section of unknown type; TQ_ERR_SPEC; TQ_ERR_NOMEM. The
 * text names the file and the place.
 */
TQ_API int tq_file_open(struct tq_context *ctx, const char *path, uint32_t flags,
			struct tq_file **file);

/** tq_file_close - unmap; pointers into the file end here. NULL is allowed */
TQ_API void tq_file_close(struct tq_file *file);

/**
 * tq_file_verify - check what TQ_FILE_DEFER left out
 *
 * Thread-safe.
 *
 * Return: TQ_OK; TQ_ERR_CHECKSUM naming the file.
 */
TQ_API int tq_file_verify(const struct tq_file *file);

/**
 * tq_file_quantizer - create the quantizer whose codes the file holds
 * @file:    may be closed while the quantizer lives
 * @options: a driver to pin; its centre must be NULL. NULL for none
 * @out:     receives the quantizer; release with tq_quantizer_destroy()
 *
 * Return: as tq_quantizer_create(); TQ_ERR_UNSUPPORTED where the rows are split (tq_file_split()).
 */
TQ_API int tq_file_quantizer(const struct tq_file *file, const struct tq_quantizer_options *options,
			     struct tq_quantizer **out);

/** tq_file_codes - the rows, aligned to 64; live until tq_file_close() */
TQ_API const void *tq_file_codes(const struct tq_file *file);

/** tq_file_count - how many rows */
TQ_API uint64_t tq_file_count(const struct tq_file *file);

/** tq_file_dim - coordinates per row */
TQ_API uint32_t tq_file_dim(const struct tq_file *file);

/** tq_file_code_size - bytes per row */
TQ_API size_t tq_file_code_size(const struct tq_file *file);

/** tq_file_spec - the spec, of a split (tq/split.h) the first group's; lives until tq_file_close() */
TQ_API const struct tq_spec *tq_file_spec(const struct tq_file *file);

/** tq_file_centre - dim floats, or NULL; live until tq_file_close() */
TQ_API const float *tq_file_centre(const struct tq_file *file);

/**
 * struct tq_file_section - one entry of the section table
 * @struct_size: set by the caller to sizeof(struct tq_file_section)
 * @type:        enum tq_section_type, or the application's own
 * @flags:       TQ_SECTION_IGNORABLE or 0
 * @crc:         CRC32C of the bytes
 * @at:          offset in the file, a multiple of 64
 * @bytes:       length
 * @data:        the bytes; live until tq_file_close()
 */
struct tq_file_section {
	uint32_t struct_size;
	uint32_t type;
	uint32_t flags;
	uint32_t crc;
	uint64_t at;
	uint64_t bytes;
	const void *data;
};

/**
 * tq_file_section_at - describe the @index-th section
 * @file:    the file
 * @index:   0, 1, ... in the order of the file
 * @section: written
 *
 * Return: TQ_OK; TQ_ERR_ARG; TQ_ERR_RANGE past the last.
 */
TQ_API int tq_file_section_at(const struct tq_file *file, size_t index,
			      struct tq_file_section *section);

/** tq_file_codebook_hash - the hash of the level table of tq_file_spec(), as tq_codebook_hash() */
TQ_API uint32_t tq_file_codebook_hash(const struct tq_file *file);

/** tq_section_type_name - "codes", "ids", ...; "private" or "unknown" for the others */
TQ_API const char *tq_section_type_name(uint32_t type);

#ifdef __cplusplus
}
#endif
#endif
