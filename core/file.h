/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_CORE_FILE_H
#define TQ_CORE_FILE_H

/*
 * The frame of a .tq file, FORMAT.md section 7: a header, sections at multiples of 64 bytes, the
 * table of the sections. file_write.c makes it, file_check.c checks it, file_read.c gives access to
 * it; they see it through these structs, which are the bytes themselves on little-endian machines.
 */

#include <stdbool.h>
#include <stdint.h>
#include "tq/file.h"

#define TQ_FILE_MAGIC "\x89TQF\r\n\x1a\n"
#define TQ_FILE_VERSION 1
#define TQ_FILE_ALIGN 64

struct tq_file_header {
	uint8_t magic[8];
	uint32_t version;
	uint32_t header_bytes;
	uint64_t file_bytes;
	uint64_t count;
	uint64_t seed;
	uint32_t dim;
	uint32_t row_bytes;
	uint32_t codebook_hash;
	uint32_t nsections;
	uint32_t table_crc;
	uint32_t header_crc;
};

struct tq_file_entry {
	uint32_t type;
	uint32_t flags;
	uint64_t at;
	uint64_t bytes;
	uint32_t crc;
	uint32_t zero;
};

_Static_assert(sizeof(struct tq_file_header) == 64, "the header is 64 bytes");
_Static_assert(sizeof(struct tq_file_entry) == 32, "a table entry is 32 bytes");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "files are mapped as they are");

/** Section split: the first group's channels, ascending; behind them the second's spec, to the end. */
struct tq_file_split {
	uint32_t n;
	uint32_t codebook_hash;
	uint32_t channels[];
};

/** An open file: @rest is the second group's spec where there is a @split. The pointers go into the mapping, or memory that is @borrowed; codes and centre are set when
 * checked. */
struct tq_file {
	struct tq_context *ctx;
	char *path;
	const unsigned char *map;
	size_t bytes;
	bool borrowed;
	const struct tq_file_header *header;
	const struct tq_file_entry *table;
	const struct tq_file_entry *codes;
	const struct tq_file_entry *centre;
	const struct tq_file_split *split;
	struct tq_spec spec;
	struct tq_spec rest;
};

/** What precedes the rows: tq_file_begin(). @split: @split_bytes of that section, or NULL */
struct tq_file_prologue {
	const struct tq_spec *spec;
	const float *centre;
	uint32_t dim;
	uint32_t row_bytes;
	uint32_t codebook_hash;
	const struct tq_file_split *split;
	size_t split_bytes;
};

/** tq_file_begin - tq_file_create() of any rows */
int tq_file_begin(struct tq_context *ctx, const char *path, const struct tq_file_prologue *prologue,
		  struct tq_file_writer **writer);

/** tq_file_fail - tq_fail() with the file's name in front */
int tq_file_fail(const struct tq_file *f, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/** tq_file_open_memory - tq_file_open() of bytes in memory, aligned to 64, which outlive the file */
int tq_file_open_memory(struct tq_context *ctx, const void *data, size_t bytes, uint32_t flags,
			struct tq_file **file);

/** tq_file_check - everything that tq_file_open() promises, on a mapped file */
int tq_file_check(struct tq_file *f, uint32_t flags);

/** tq_file_check_crc - one section against its checksum */
int tq_file_check_crc(const struct tq_file *f, const struct tq_file_entry *e);

/** tq_file_is_deferred - is the section one that TQ_FILE_DEFER leaves out: as long as there are rows */
static inline bool tq_file_is_deferred(uint32_t type)
{
	return type == TQ_SECTION_CODES || type == TQ_SECTION_IDS || type == TQ_SECTION_REFINE;
}

/** tq_file_type_known - is the type one of enum tq_section_type, or the application's own */
static inline bool tq_file_type_known(uint32_t type)
{
	return (type >= TQ_SECTION_SPEC && type <= TQ_SECTION_SPLIT) || type >= TQ_SECTION_PRIVATE;
}

/** tq_file_pad - zero bytes from @at to the next multiple of 64 */
static inline uint32_t tq_file_pad(uint64_t at)
{
	return (uint32_t)(-at % TQ_FILE_ALIGN);
}

#endif
