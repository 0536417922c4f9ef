/* SPDX-License-Identifier: Apache-2.0 */
#include "cache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "core.h"

#define MAGIC "TQOCLBIN"
#define FORMAT 1
#define MAX_BYTES ((size_t)64 << 20)

struct header {
	char magic[8];
	uint32_t format, key_bytes;
	uint64_t binary_bytes;
	uint32_t crc, header_crc;
};

int tqo_cache_dir(const char *setting, char *dir, size_t size)
{
	const char *base, *below = "";
	int n;

	if (setting && !strcmp(setting, "off"))
		return -1;
	if (setting && strcmp(setting, "auto")) {
		n = snprintf(dir, size, "%s", setting);
	} else {
		base = secure_getenv("XDG_CACHE_HOME");
		if (!base || base[0] != '/') {
			base = secure_getenv("HOME");
			below = "/.cache";
		}
		n = base ? snprintf(dir, size, "%s%s/tq/opencl", base, below) : -1;
	}
	return n > 0 && (size_t)n < size && dir[0] == '/' ? 0 : -1;
}

/* Ours alone to write? */
static int is_own(const struct stat *st)
{
	return st->st_uid == geteuid() && !(st->st_mode & (S_IWGRP | S_IWOTH));
}

static int is_own_dir(const char *dir)
{
	struct stat st;

	return !lstat(dir, &st) && S_ISDIR(st.st_mode) && is_own(&st);
}

static int make_dirs(const char *dir)
{
	char path[4096];
	char *at;

	if ((size_t)snprintf(path, sizeof(path), "%s/", dir) >= sizeof(path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	for (at = strchr(path + 1, '/'); at; at = strchr(at + 1, '/')) {
		*at = '\0';
		if (mkdir(path, 0700) && errno != EEXIST)
			return -1;
		*at = '/';
	}
	if (is_own_dir(dir))
		return 0;
	errno = EPERM;
	return -1;
}

static int file_name(const char *dir, const char *key, const char *tail, char *path, size_t size)
{
	size_t n = strlen(key);

	return (size_t)snprintf(path, size, "%s/%08x-%zu.bin%s", dir, tq_crc32c(0, key, n), n, tail) < size ? 0
													   : -1;
}

static struct header make_header(const char *key, const void *binary, size_t size)
{
	struct header h = {.magic = MAGIC, .format = FORMAT, .key_bytes = (uint32_t)strlen(key)};

	h.binary_bytes = size;
	h.crc = tq_crc32c(tq_crc32c(0, key, h.key_bytes), binary, size);
	h.header_crc = tq_crc32c(0, &h, offsetof(struct header, header_crc));
	return h;
}

/* All of a file that is ours, or NULL */
static uint8_t *read_own(const char *path, size_t *size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	uint8_t *bytes = NULL;
	struct stat st;
	ssize_t n = 0;

	if (fd < 0)
		return NULL;
	if (!fstat(fd, &st) && S_ISREG(st.st_mode) && is_own(&st) && (size_t)st.st_size <= MAX_BYTES)
		bytes = malloc((size_t)st.st_size + 1);
	for (*size = 0; bytes && *size < (size_t)st.st_size; *size += (size_t)n) {
		n = read(fd, bytes + *size, (size_t)st.st_size - *size);
		if (n <= 0)
			break;
	}
	close(fd);
	return bytes;
}

void *tqo_cache_load(const char *dir, const char *key, size_t *size)
{
	size_t key_bytes = strlen(key), n;
	struct header h, want;
	uint8_t *bytes;
	char path[4096];

	if (!is_own_dir(dir) || file_name(dir, key, "", path, sizeof(path)))
		return NULL;
	bytes = read_own(path, &n);
	if (!bytes)
		return NULL;
	if (n <= sizeof(h) + key_bytes)
		goto refuse;
	n -= sizeof(h) + key_bytes;
	memcpy(&h, bytes, sizeof(h));
	want = make_header(key, bytes + sizeof(h) + key_bytes, n);
	if (memcmp(&h, &want, sizeof(h)) || memcmp(bytes + sizeof(h), key, key_bytes))
		goto refuse;
	memmove(bytes, bytes + sizeof(h) + key_bytes, n);
	*size = n;
	return bytes;
refuse:
	free(bytes);
	return NULL;
}

static int write_all(int fd, const void *from, size_t size)
{
	const uint8_t *at = from;
	ssize_t n;

	for (; size > 0; at += n, size -= (size_t)n) {
		n = write(fd, at, size);
		if (n < 0 && errno == EINTR)
			n = 0;
		if (n < 0)
			return -1;
	}
	return 0;
}

int tqo_cache_store(const char *dir, const char *key, const void *binary, size_t size)
{
	struct header h = make_header(key, binary, size);
	char path[4096], temporary[4096];
	int fd, bad, err;

	if (make_dirs(dir) || file_name(dir, key, "", path, sizeof(path)) ||
	    file_name(dir, key, ".XXXXXX", temporary, sizeof(temporary)))
		return -1;
	fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0)
		return -1;
	bad = write_all(fd, &h, sizeof(h)) || write_all(fd, key, h.key_bytes) || write_all(fd, binary, size);
	bad |= close(fd);
	if (!bad && !rename(temporary, path))
		return 0;
	err = errno;
	unlink(temporary);
	errno = err;
	return -1;
}
