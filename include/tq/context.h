/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_CONTEXT_H
#define TQ_CONTEXT_H

/*
 * A context owns the plugins, the configuration, the allocator and the log hook. Two contexts in one
 * process may differ in all of them; there is no global state.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include "tq/status.h"

#ifdef __cplusplus
extern "C" {
#endif

struct tq_context;

enum tq_log_level {
	TQ_LOG_ERROR = 0,
	TQ_LOG_WARN,
	TQ_LOG_INFO,
	TQ_LOG_DEBUG,
};

/**
 * struct tq_allocator - where the library's memory comes from
 * @alloc: at least @size bytes aligned to @align (a power of two), or NULL
 * @free:  takes back what @alloc gave; NULL is allowed
 * @arg:   passed through
 *
 * Both may be called from any thread that calls the library.
 */
struct tq_allocator {
	void *(*alloc)(void *arg, size_t size, size_t align);
	void (*free)(void *arg, void *ptr);
	void *arg;
};

typedef void (*tq_log_fn)(void *arg, int level, const char *line);

/** The library reads no environment variable. */
#define TQ_NO_ENV (1u << 0)
/** The library reads no configuration file but @config_file. */
#define TQ_NO_CONFIG (1u << 1)
/** The library opens no plugin file; linked-in plugins remain. */
#define TQ_NO_PLUGINS (1u << 2)
/** The library opens no plugin file but those of @plugin_path; linked-in plugins remain. */
#define TQ_NO_PLUGIN_SEARCH (1u << 3)

/** @threads of struct tq_options: one thread per core that the process may run on. */
#define TQ_THREADS_AUTO UINT32_MAX

/** tq_task_fn - one of the tasks that a tq_parallel_for_fn is given */
typedef void (*tq_task_fn)(void *arg, size_t task);

/**
 * tq_parallel_for_fn - the embedder's own threads in place of the library's
 * @pool: the parallel_arg of struct tq_options
 * @n:    tasks, at most the context's number of threads
 * @task: to be called as task(@arg, i) once for each i < @n, in any order and on any threads
 * @arg:  passed through
 *
 * Returns when all calls have returned. One thread may do them all: the first task to run takes as
 * much of the work as it can get. May be entered from several threads at once, and never by a task
 * of its own. Tasks do not block, take no lock and must not be left by longjmp.
 */
typedef void (*tq_parallel_for_fn)(void *pool, size_t n, tq_task_fn task, void *arg);

/**
 * struct tq_options - all optional; zero is the default everywhere
 * @struct_size: sizeof(struct tq_options) as the caller was compiled. Members are only ever appended;
 *               a smaller size of an older header is taken, with zero for what it lacks
 * @flags:       TQ_NO_*
 * @allocator:   NULL for aligned_alloc/free; copied
 * @log:         NULL for silence
 * @log_arg:     passed to @log
 * @log_level:   lines above this level are not made (enum tq_log_level)
 * @plugin_path: ':'-separated absolute directories or files, before every other place; NULL for none
 * @config_file: read instead of the user's and the system's file; NULL for the usual ones
 * @driver:      pin: a driver name ("rht-avx2") or a plugin name ("avx2"); NULL for none
 * @threads:     0: the setting "threads", 1 unless somebody set it; 1: the caller's thread alone;
 *               n: a pool of n, the caller's among them; TQ_THREADS_AUTO: one per core
 * @parallel_for: NULL, or the embedder's threads, which are then used for everything that a pool
 *               would be used for. @threads says how many there are; where nobody set it, one per core
 * @parallel_arg: passed to @parallel_for
 * @calibration: profile of tq_context_calibrate() to read: an absolute path; "auto": the user's cache
 *               directory; "off": none; NULL: the setting "calibration"
 *
 * Threads. The library starts none unless it is told to. A pool belongs to its context and is started
 * by the first call that is large enough to be split; its threads block all signals, and where hwloc
 * knows the machine each is pinned to a core of its own, spread over the memory nodes, before it
 * touches its stack, on which the working rows lie. The caller's own thread is never pinned. Encoding,
 * decoding, preparing queries, scores and top-k are split by rows into tiles whose size depends on the
 * arguments alone; a row's result depends on no other row, so bytes and scores are the same for any
 * number of threads. Calls that overlap do not wait for each other: one has the pool, the others run
 * in their callers' threads. No lock is held while a hook runs; the allocator is called by pool
 * threads too and must not longjmp out of them. Work of drivers on devices, and of drivers that are
 * not bit-exact, is never split.
 *
 * After fork() the child has none of the pool's threads: its calls run in their own thread, with the
 * same results, and destroying the context there joins nobody. The fork must not happen while another
 * thread is inside a call.
 */
struct tq_options {
	uint32_t struct_size;
	uint32_t flags;
	const struct tq_allocator *allocator;
	tq_log_fn log;
	void *log_arg;
	int log_level;
	const char *plugin_path;
	const char *config_file;
	const char *driver;
	uint32_t threads;
	tq_parallel_for_fn parallel_for;
	void *parallel_arg;
	const char *calibration;
};

/**
 * tq_context_create - read the configuration, find the plugins
 * @options: NULL for defaults
 * @ctx:     receives the context; release with tq_context_destroy()
 *
 * No plugin that is not needed is opened; none is tested here. A bad plugin never makes this fail:
 * it is refused with a reason that tq_context_drivers() shows. A bad configuration does.
 *
 * Return: TQ_OK; TQ_ERR_ARG; TQ_ERR_NOMEM; TQ_ERR_CONFIG with path:line in the text; TQ_ERR_IO where a
 * configuration file cannot be read; TQ_ERR_UNSUPPORTED where one is named and the library was built
 * without them.
 */
TQ_API int tq_context_create(const struct tq_options *options, struct tq_context **ctx);

/**
 * tq_context_destroy - release a context
 * @ctx: NULL is allowed; every object made from it must be gone
 *
 * Joins the threads of the pool, if there is one.
 */
TQ_API void tq_context_destroy(struct tq_context *ctx);

/**
 * tq_context_threads - over how many threads a large call is split
 * @ctx: the context
 *
 * Return: 1 where only the caller's thread works; 0 if @ctx is NULL.
 */
TQ_API uint32_t tq_context_threads(const struct tq_context *ctx);

/**
 * tq_version - the library's version, "major.minor.patch"
 *
 * Return: a static string.
 */
TQ_API const char *tq_version(void);

/** How far a driver got, and how it left if it was refused. */
enum tq_driver_state {
	TQ_STATE_FOUND = 0,  /* a file with the right name */
	TQ_STATE_FILE_OK,    /* owner, mode and type allow it */
	TQ_STATE_OPENED,     /* dlopen worked, the symbol is there */
	TQ_STATE_ABI_OK,     /* magic, ABI and sizes fit */
	TQ_STATE_CAPABLE,    /* this CPU has what it needs */
	TQ_STATE_PROBED,     /* init and probe said yes */
	TQ_STATE_TESTED,     /* the gate is under way or done */
	TQ_STATE_SELECTABLE, /* the gate passed */
	TQ_STATE_DENIED,     /* the configuration or the allow-list forbids it */
	TQ_STATE_NOT_PRESENT,/* a device, library or CPU feature is missing */
	TQ_STATE_DEFERRED,   /* not probed until first use */
	TQ_STATE_REJECTED,   /* malformed: file, symbol, ABI, sizes, duplicate name */
	TQ_STATE_FAILED_TEST,/* wrong results */
};

/**
 * struct tq_driver_info - one line of tq-probe
 * @struct_size: set by the caller to sizeof(struct tq_driver_info)
 * @plugin:      the plugin's name; the file name where it has none yet
 * @path:        the plugin's file; "(built in)" for a linked-in one
 * @name:        generic name, "rotate(rht)"; "" where the plugin was refused whole
 * @driver_name: "rht-avx2"; "" likewise
 * @memory:      "host", "cuda", "opencl"
 * @device:      what it runs on, "cpu" or the device's own name
 * @priority:    higher wins
 * @state:       enum tq_driver_state
 * @selftest:    "passed", "failed", "not run"
 * @reason:      why it is not selectable, or "" ; never NULL
 * @version:     the plugin's; "" where it was refused before that was read
 * @licence:     the plugin's, an SPDX expression; likewise
 * @needs:       CPU groups that the driver needs, separated by blanks
 *
 * Strings live as long as the context.
 */
struct tq_driver_info {
	uint32_t struct_size;
	const char *plugin;
	const char *path;
	const char *name;
	const char *driver_name;
	const char *memory;
	const char *device;
	int priority;
	int state;
	const char *selftest;
	const char *reason;
	const char *version;
	const char *licence;
	const char *needs;
};

/** tq_driver_state_name - "selectable", "not present", ... */
TQ_API const char *tq_driver_state_name(int state);

/**
 * tq_context_driver - describe the @index-th driver (or wholly refused plugin)
 * @ctx:   the context
 * @index: 0, 1, ...
 * @info:  written
 *
 * Return: TQ_OK; TQ_ERR_RANGE past the last.
 */
TQ_API int tq_context_driver(struct tq_context *ctx, size_t index, struct tq_driver_info *info);

/**
 * tq_context_selftest - run the gate for every capable driver over all spec families
 * @ctx:    the context
 * @failed: receives how many drivers failed; may be NULL
 *
 * Thread-safe; slow (seconds).
 *
 * Return: TQ_OK, also if drivers failed; TQ_ERR_NOMEM.
 */
TQ_API int tq_context_selftest(struct tq_context *ctx, unsigned *failed);

/**
 * tq_context_config - the settings in force
 * @ctx: the context
 * @out: receives one line per setting: name, value, where it came from
 */
TQ_API void tq_context_config(struct tq_context *ctx, FILE *out);

/**
 * tq_context_profile - the spec string of a named profile of the configuration
 * @ctx:  the context
 * @name: NULL for the one that the setting "profile" names
 * @spec: receives the string, which lives as long as the context
 *
 * Return: TQ_OK; TQ_ERR_CONFIG, with the nearest name: there is none; TQ_ERR_ARG.
 */
TQ_API int tq_context_profile(struct tq_context *ctx, const char *name, const char **spec);

/**
 * tq_context_calibrate - time every driver on this machine and write the profile
 * @ctx:  the context
 * @path: where to write, atomically; NULL: where contexts with this configuration read it from
 * @out:  receives one line per measurement, or NULL
 *
 * Puts the drivers for host memory through the gate for dimensions 128 and 768 and 1, 2, 3, 4 and 8
 * bits, and times each operation of those that pass, one thread, in turn. A context made later reads
 * the profile and prefers the faster driver where neither a pin nor the configured order decides, for
 * as long as library, build, CPU, usable CPU groups and plugin are those that it was made with; see
 * tq_quantizer_explain(). Nothing else ever measures or writes. Slow (seconds); the machine should be
 * idle.
 *
 * Return: TQ_OK; TQ_ERR_ARG: no place to write to; TQ_ERR_IO; TQ_ERR_UNSUPPORTED: built without
 * configuration files; TQ_ERR_NOMEM.
 */
TQ_API int tq_context_calibrate(struct tq_context *ctx, const char *path, FILE *out);

/**
 * tq_context_machine - write what the CPU has, what of it may be used, and the machine's topology
 * @ctx:  the context
 * @out:  receives "key: value" lines
 * @json: one JSON object instead
 */
TQ_API void tq_context_machine(struct tq_context *ctx, FILE *out, bool json);

/**
 * tq_config_dump - write the commented default configuration file
 * @out: receives the text that conf/tq.conf holds
 */
TQ_API void tq_config_dump(FILE *out);

#ifdef __cplusplus
}
#endif
#endif
