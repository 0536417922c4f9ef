/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_OPENCL_CACHE_H
#define TQ_OPENCL_CACHE_H

#include <stddef.h>

/*
 * Compiled programs on disk, one file per key. A file is 32 bytes of header, the key and the binary:
 * magic "TQOCLBIN", then u32 format 1, u32 bytes of the key, u64 bytes of the binary, u32 CRC32C of key and
 * binary, u32 CRC32C of the header before it; of this machine's byte order, since it is read where it was
 * written. What is not exactly that, or is another's, is as good as absent. Writers write a temporary file
 * and rename it: readers see a whole file or none, and the last writer wins.
 */

/**
 * tqo_cache_dir - where: @setting, an absolute path, or $XDG_CACHE_HOME/tq/opencl, else ~/.cache/tq/opencl
 *
 * @setting: NULL or "auto" for these; "off" for none
 *
 * Return: 0, with the path in @dir; -1 where there is none.
 */
int tqo_cache_dir(const char *setting, char *dir, size_t size);

/**
 * tqo_cache_load - the binary of a key, or NULL
 * @size: receives its bytes; free() it
 *
 * Refuses a file or directory that belongs to another or that others may write: it is code.
 */
void *tqo_cache_load(const char *dir, const char *key, size_t *size);

/** tqo_cache_store - keep a binary: 0, or -1 with errno; makes the directory if need be */
int tqo_cache_store(const char *dir, const char *key, const void *binary, size_t size);

#endif
