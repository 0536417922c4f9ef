/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plugin files: where they are looked for, which are trusted, how they are opened.
 *
 * Whoever can write a plugin file can run code in this process. So only absolute paths are followed,
 * and a file counts only if it and its directory belong to root or to the user and nobody else may
 * write them. Finding checks that and opens nothing; opening checks it once more on the file
 * descriptor, looks at the ELF tables, and calls dlopen() last. dlclose() is never called: a thread
 * may still be inside, and device drivers do not survive it.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "conf.h"
#include "elf_check.h"
#include "loader.h"

#define PREFIX "tq-"
#define SUFFIX ".so"

const char *tq_loader_denied(struct tq_context *ctx, const char *name)
{
	const struct tq_config *c = ctx->config;

	if (tq_names_have(c->deny, name))
		return "on the configuration's deny list";
	if (c->allow[0] && !tq_names_have(c->allow, name))
		return "not on the configuration's allow list";
	return NULL;
}

/* ---- trust ---- */

static int is_trusted(const struct stat *st, const char *what, char *why, size_t size)
{
	if (st->st_uid != 0 && st->st_uid != geteuid())
		snprintf(why, size, "%s belongs to user %u, not to root or the caller", what,
			 (unsigned)st->st_uid);
	else if (st->st_mode & (S_IWGRP | S_IWOTH))
		snprintf(why, size, "%s is writable by %s (mode %04o)", what,
			 st->st_mode & S_IWOTH ? "everyone" : "its group",
			 (unsigned)st->st_mode & 07777u);
	else
		return 1;
	return 0;
}

static int directory_open(const char *path, char *why, size_t size)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0) {
		snprintf(why, size, "the directory cannot be opened: %s",
			 errno == ELOOP || errno == ENOTDIR ?
				 "it is a symbolic link or no directory" :
				 strerrordesc_np(errno));
		return -1;
	}
	if (fstat(fd, &st) == 0 && is_trusted(&st, "the directory", why, size))
		return fd;
	close(fd);
	return -1;
}

/* The file @name of a trusted directory, or -1 with the reason */
static int file_open(int dir, const char *name, struct stat *st, char *why, size_t size)
{
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0) {
		snprintf(why, size, "%s",
			 errno == ELOOP ? "the file is a symbolic link" : strerrordesc_np(errno));
		return -1;
	}
	if (fstat(fd, st))
		snprintf(why, size, "%s", strerrordesc_np(errno));
	else if (!S_ISREG(st->st_mode))
		snprintf(why, size, "not a regular file");
	else if (is_trusted(st, "the file", why, size))
		return fd;
	close(fd);
	return -1;
}

static int path_open(const char *path, struct stat *st, char *why, size_t size)
{
	const char *name = strrchr(path, '/');
	char folder[PATH_MAX];
	int dir, fd;

	snprintf(folder, sizeof(folder), "%.*s", (int)(name - path) + (name == path), path);
	dir = directory_open(folder, why, size);
	if (dir < 0)
		return -1;
	fd = file_open(dir, name + 1, st, why, size);
	close(dir);
	return fd;
}

/* ---- finding ---- */

/* "tq-NAME.so" to NAME; 0 if the file is not called so */
static int plugin_name(const char *file, char *name, size_t size)
{
	size_t n = strlen(file), head = strlen(PREFIX), tail = strlen(SUFFIX);

	if (n <= head + tail || strncmp(file, PREFIX, head) || strcmp(file + n - tail, SUFFIX))
		return 0;
	snprintf(name, size, "%.*s", (int)(n - head - tail), file + head);
	return 1;
}

static int is_known(const struct tq_context *ctx, const char *path)
{
	const struct tq_module *m;

	for (m = ctx->registry->first; m; m = m->next)
		if (!strcmp(m->path, path))
			return 1;
	return 0;
}

static int add_refused(struct tq_context *ctx, const char *path, const char *why)
{
	const char *name = strrchr(path, '/');
	struct tq_module *m;

	m = tq_registry_add(ctx, name && name[1] ? name + 1 : path, path);
	if (!m)
		return TQ_ERR_NOMEM;
	tq_module_move(m, TQ_STATE_REJECTED, tq_registry_note(ctx, "%s", why));
	return TQ_OK;
}

static int add_file(struct tq_context *ctx, const char *path)
{
	const char *file = strrchr(path, '/') + 1, *denied;
	char name[NAME_MAX + 1], why[TQ_REASON_MAX];
	struct tq_module *m;
	struct stat st;
	int fd;

	if (is_known(ctx, path))
		return TQ_OK;
	if (!plugin_name(file, name, sizeof(name)))
		return add_refused(ctx, path, "plugin files are called " PREFIX "NAME" SUFFIX);
	m = tq_registry_add(ctx, name, path);
	if (!m)
		return TQ_ERR_NOMEM;
	denied = tq_loader_denied(ctx, name);
	if (denied) {
		tq_module_move(m, TQ_STATE_DENIED, denied);
		return TQ_OK;
	}
	fd = path_open(path, &st, why, sizeof(why));
	if (fd < 0) {
		tq_module_move(m, TQ_STATE_REJECTED, tq_registry_note(ctx, "%s", why));
		return TQ_OK;
	}
	close(fd);
	tq_module_move(m, TQ_STATE_FILE_OK, "");
	return TQ_OK;
}

static int is_plugin_file(const struct dirent *entry)
{
	char name[NAME_MAX + 1];

	return plugin_name(entry->d_name, name, sizeof(name));
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int add_directory(struct tq_context *ctx, const char *path)
{
	char file[PATH_MAX], why[TQ_REASON_MAX];
	struct dirent **list;
	int dir, i, n, err = TQ_OK;

	dir = directory_open(path, why, sizeof(why));
	if (dir < 0)
		return add_refused(ctx, path, why);
	n = scandirat(dir, ".", &list, is_plugin_file, by_bytes);
	close(dir);
	if (n < 0)
		return add_refused(ctx, path, "the directory cannot be read");
	tq_log(ctx, TQ_LOG_DEBUG, "plugin directory %s: %d files", path, n);
	for (i = 0; i < n; i++) {
		if (!err && snprintf(file, sizeof(file), "%s/%s", path, list[i]->d_name) <
				    (int)sizeof(file))
			err = add_file(ctx, file);
		free(list[i]);
	}
	free(list);
	return err;
}

/* The path without slashes at its end */
static int add_place(struct tq_context *ctx, const char *place)
{
	size_t n = strlen(place);
	char path[PATH_MAX];
	struct stat st;

	if (place[0] != '/')
		return add_refused(ctx, place, "not an absolute path");
	if (n >= sizeof(path))
		return add_refused(ctx, place, "the path is too long");
	while (n > 1 && place[n - 1] == '/')
		n--;
	snprintf(path, sizeof(path), "%.*s", (int)n, place);
	if (lstat(path, &st) == 0)
		return S_ISREG(st.st_mode) || (!S_ISDIR(st.st_mode) && strstr(path, SUFFIX)) ?
			       add_file(ctx, path) :
			       add_directory(ctx, path);
	if (errno == ENOENT && !strcmp(place, TQ_PLUGIN_DIR)) {
		tq_log(ctx, TQ_LOG_DEBUG, "plugin directory %s: not there", place);
		return TQ_OK;
	}
	return add_refused(ctx, path, strerrordesc_np(errno));
}

int tq_loader_find(struct tq_context *ctx)
{
	const char **place;
	int err = TQ_OK;

	for (place = ctx->config->plugin_path; *place && !err; place++)
		err = add_place(ctx, *place);
	return err;
}

/* ---- opening ---- */

static int reject(struct tq_module *m, const char *why)
{
	tq_module_move(m, TQ_STATE_REJECTED, tq_registry_note(m->ctx, "%s", why));
	return TQ_OK;
}

/* The symbol itself, of this very file, and as large as it says */
static const struct tq_plugin *symbol_of(void *handle, char *why, size_t size)
{
	const struct tq_plugin *plugin = dlsym(handle, TQ_PLUGIN_SYMBOL);
	const ElfW(Sym) *symbol = NULL;
	struct link_map *map = NULL;
	Dl_info info;

	if (!plugin)
		snprintf(why, size, "no symbol " TQ_PLUGIN_SYMBOL);
	else if (dlinfo(handle, RTLD_DI_LINKMAP, &map) ||
		 !dladdr1(plugin, &info, (void **)&symbol, RTLD_DL_SYMENT) || !symbol ||
		 (ElfW(Addr))info.dli_fbase != map->l_addr)
		snprintf(why, size, "the symbol " TQ_PLUGIN_SYMBOL " belongs to another file");
	else if (symbol->st_size < offsetof(struct tq_plugin, name) ||
		 (plugin->magic == TQ_PLUGIN_MAGIC && symbol->st_size < plugin->struct_size))
		snprintf(why, size, "the symbol " TQ_PLUGIN_SYMBOL " has only %zu bytes",
			 (size_t)symbol->st_size);
	else
		return plugin;
	return NULL;
}

int tq_loader_open(struct tq_module *m)
{
	const struct tq_plugin *plugin;
	char why[TQ_REASON_MAX];
	struct stat st;
	void *handle;
	int fd, ok;

	fd = path_open(m->path, &st, why, sizeof(why));
	if (fd < 0)
		return reject(m, why);
	ok = tq_elf_check(fd, (size_t)st.st_size, why, sizeof(why));
	close(fd);
	if (!ok)
		return reject(m, why);
	handle = dlopen(m->path, RTLD_NOW | RTLD_LOCAL);
	if (!handle) {
		snprintf(why, sizeof(why), "cannot be opened: %.200s", dlerror());
		return reject(m, why);
	}
	plugin = symbol_of(handle, why, sizeof(why));
	if (!plugin)
		return reject(m, why);
	tq_module_move(m, TQ_STATE_OPENED, "");
	return tq_module_register(m, plugin);
}
