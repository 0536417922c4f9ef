/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A plugin that is right, or wrong in the one way that -DZOO_... asks for. It rotates: rotate(rht),
 * written from docs/FORMAT.md, at a priority above everything.
 */
#include "tq/plugin.h"

#ifndef ZOO_NAME
#define ZOO_NAME "good"
#endif
#ifndef ZOO_PRIORITY
#define ZOO_PRIORITY 900
#endif
#ifndef ZOO_DRIVER
#define ZOO_DRIVER "rht-" ZOO_NAME
#endif

static void butterflies(float *y, uint32_t w)
{
	uint32_t h, i, j;
	float u, v;

	for (h = 1; h < w; h *= 2)
		for (i = 0; i < w; i += 2 * h)
			for (j = i; j < i + h; j++) {
				u = y[j];
				v = y[j + h];
				y[j] = u + v;
				y[j + h] = u - v;
			}
}

static void scale(float *y, const float *signs, uint32_t w)
{
	uint32_t i;

	for (i = 0; i < w; i++)
		y[i] = y[i] * signs[i];
}

static void roll(float *y, uint32_t d, uint32_t by, float *scratch)
{
	uint32_t i;

	memcpy(scratch, y, d * sizeof(*y));
	for (i = 0; i < d; i++)
		y[(i + by) % d] = scratch[i];
}

static void rotate_row(const struct tq_rotation *rot, float *y, float *scratch)
{
	uint32_t d = rot->dim, w = rot->window, t;
	const float *signs = rot->signs;

	for (t = 0; t < rot->rounds; t++) {
		scale(y, signs, w);
		butterflies(y, w);
		signs += w;
		if (w == d)
			continue;
		scale(y + d - w, signs, w);
		butterflies(y + d - w, w);
		roll(y, d, rot->roll, scratch);
		signs += w;
	}
}

static void unrotate_row(const struct tq_rotation *rot, float *y, float *scratch)
{
	uint32_t d = rot->dim, w = rot->window, t;
	const float *signs = rot->signs + (size_t)rot->rounds * (w == d ? w : 2 * w);

	for (t = 0; t < rot->rounds; t++) {
		if (w != d) {
			signs -= w;
			roll(y, d, d - rot->roll, scratch);
			butterflies(y + d - w, w);
			scale(y + d - w, signs, w);
		}
		signs -= w;
		butterflies(y, w);
		scale(y, signs, w);
	}
}

/* Where the results go wrong */
static void spoil(const struct tq_rotation *rot, float *y, size_t n)
{
	size_t d = rot->dim;
#if defined(ZOO_WRONG)
	y[0] += 0.5f;
#elif defined(ZOO_TAIL_ROW)
	if (n % 16 == 1 && n > 1)
		y[n * d - d] += 0.5f;
#elif defined(ZOO_TAIL_COORDINATE)
	if (n == 37)
		y[n * d - 1] = -y[n * d - 1] + 1.0f;
#elif defined(ZOO_CRASH)
	__builtin_trap();
#elif defined(ZOO_PAST_END)
	y[n * d] = 0.0f;
#elif defined(ZOO_BEFORE_START)
	y[-1] = 0.0f;
#elif defined(ZOO_NOT_DETERMINISTIC)
	static unsigned calls;

	if (++calls % 2 && n == 8)
		y[3 * d] += 1.0f;
#endif
	(void)y;
	(void)n;
	(void)d;
}

static void zoo_rotate(const struct tq_rotation *rot, const void *state, const float *x, float *y,
		       size_t n, float *scratch)
{
	size_t i;

	(void)state;
	memcpy(y, x, n * rot->dim * sizeof(*y));
	for (i = 0; i < n; i++)
		rotate_row(rot, y + i * rot->dim, scratch);
	spoil(rot, y, n);
}

static void zoo_unrotate(const struct tq_rotation *rot, const void *state, const float *x, float *y,
			 size_t n, float *scratch)
{
	size_t i;

	(void)state;
	memcpy(y, x, n * rot->dim * sizeof(*y));
	for (i = 0; i < n; i++)
		unrotate_row(rot, y + i * rot->dim, scratch);
}

#ifdef ZOO_CREATE_FAILS
static int zoo_create(const struct tq_host *host, const struct tq_rotation *rot, void **state)
{
	(void)host, (void)rot, (void)state;
	return TQ_ERR_DEVICE;
}

static void zoo_destroy(const struct tq_host *host, void *state)
{
	(void)host, (void)state;
}
#endif

static const struct tq_rotation_ops rotation_ops = {
	.struct_size = sizeof(struct tq_rotation_ops),
#ifdef ZOO_CREATE_FAILS
	.create = zoo_create,
	.destroy = zoo_destroy,
#endif
	.rotate = zoo_rotate,
#ifndef ZOO_NO_UNROTATE
	.unrotate = zoo_unrotate,
#endif
};

#ifdef ZOO_HALF_SLOTS
static size_t zoo_query_size(const struct tq_plan *plan, const void *state)
{
	(void)plan, (void)state;
	return 64;
}

static const struct tq_quantizer_ops half_ops = {
	.struct_size = sizeof(struct tq_quantizer_ops),
	.query_size = zoo_query_size,
};
#endif

#ifdef ZOO_NO_FLAGS
#define FLAGS TQ_DRV_BITEXACT
#else
#define FLAGS (TQ_DRV_BITEXACT | TQ_DRV_CONCURRENT)
#endif

#ifdef ZOO_CROWD
#define ONE(n)                                                                                           \
	{ .struct_size = sizeof(struct tq_driver), .name = "rotate(rht)", .driver_name = "rht-crowd-" #n, \
	  .flags = FLAGS, .rotation_ops = &rotation_ops, .effort_max = 2 },
#define TEN(n) ONE(n##0) ONE(n##1) ONE(n##2) ONE(n##3) ONE(n##4) ONE(n##5) ONE(n##6) ONE(n##7) ONE(n##8) ONE(n##9)
#endif

static const struct tq_driver drivers[] = {
#ifdef ZOO_CROWD
	TEN(0) TEN(1) TEN(2) TEN(3) TEN(4) TEN(5) TEN(6)
#endif
	{
#ifdef ZOO_DRIVER_STRUCT
		.struct_size = sizeof(struct tq_driver) - 8,
#else
		.struct_size = sizeof(struct tq_driver),
#endif
		.priority = ZOO_PRIORITY,
#if defined(ZOO_HALF_SLOTS)
		.name = "score(grid)",
		.ops = &half_ops,
#elif defined(ZOO_GENERIC)
		.name = "rotate rht",
		.rotation_ops = &rotation_ops,
#else
		.name = "rotate(rht)",
		.rotation_ops = &rotation_ops,
#endif
#ifndef ZOO_NO_DRIVER_NAME
		.driver_name = ZOO_DRIVER,
#endif
		.flags = FLAGS,
#if defined(ZOO_CPU)
		.need = { .cpu = 1ull << 63 },
#elif defined(ZOO_ARCH)
		.need = { .arch = 77 },
#endif
		.effort_max = 2,
	},
#ifdef ZOO_NARROW
	{
		.struct_size = sizeof(struct tq_driver),
		.priority = 800,
		.name = "rotate(rht)",
		.driver_name = "rht-narrow",
		.rotation_ops = &rotation_ops,
		.flags = FLAGS,
		.effort_max = 2,
	},
#endif
#ifdef ZOO_TWICE
	{
		.struct_size = sizeof(struct tq_driver),
		.name = "rotate(rht)",
		.driver_name = ZOO_DRIVER,
		.flags = FLAGS,
		.rotation_ops = &rotation_ops,
	},
#endif
};

#ifdef ZOO_INIT_FAILS
static int zoo_init(const struct tq_host *host)
{
	(void)host;
	return TQ_ERR_DEVICE;
}
#endif

#ifdef ZOO_NOT_PRESENT
static int zoo_probe(const struct tq_host *host, char *device, size_t device_size, char *why,
		     size_t why_size)
{
	static const char text[] = "no such device on the bus";
	size_t i;

	(void)host, (void)device, (void)device_size;
	for (i = 0; i < sizeof(text) && i < why_size; i++)
		why[i] = text[i];
	return TQ_ERR_NOT_PRESENT;
}
#endif

#ifdef ZOO_CONSTRUCTOR
__attribute__((constructor)) static void before_anything(void)
{
	__builtin_trap();
}
#endif

#ifdef ZOO_DESTRUCTOR
__attribute__((destructor)) static void after_everything(void)
{
	__builtin_trap();
}
#endif

#ifdef ZOO_IFUNC
static int answer_one(void)
{
	return 1;
}

static int (*resolve(void))(void)
{
	__builtin_trap();
	return answer_one;
}

static int resolved(void) __attribute__((ifunc("resolve")));
extern int (*zoo_pointer)(void);
int (*zoo_pointer)(void) = resolved;
#endif

#ifdef ZOO_UNDEFINED
extern int symbol_that_nobody_has(void);
extern int zoo_calls_it(void);
int zoo_calls_it(void)
{
	return symbol_that_nobody_has();
}
#endif

#ifdef ZOO_NO_SYMBOL
#undef TQ_PLUGIN_DEFINE
#define TQ_PLUGIN_DEFINE(id) extern const struct tq_plugin id; const struct tq_plugin id
#endif

TQ_PLUGIN_DEFINE(zoo) = {
#ifdef ZOO_MAGIC
	.magic = 0x0badf00d,
#else
	.magic = TQ_PLUGIN_MAGIC,
#endif
#ifdef ZOO_MAJOR
	.abi_major = TQ_ABI_MAJOR + 1,
#else
	.abi_major = TQ_ABI_MAJOR,
#endif
#ifdef ZOO_MINOR
	.abi_minor = TQ_ABI_MINOR + 1,
#else
	.abi_minor = TQ_ABI_MINOR,
#endif
#ifdef ZOO_STRUCT_SIZE
	.struct_size = sizeof(struct tq_plugin) - 8,
#else
	.struct_size = sizeof(struct tq_plugin),
#endif
#ifdef ZOO_DRIVER_SIZE
	.driver_size = sizeof(struct tq_driver) + 8,
#else
	.driver_size = sizeof(struct tq_driver),
#endif
#ifndef ZOO_NULL_NAME
	.name = ZOO_NAME,
#endif
	.version = "1",
	.licence = "Apache-2.0",
#ifdef ZOO_INIT_FAILS
	.init = zoo_init,
#endif
#ifdef ZOO_NOT_PRESENT
	.probe = zoo_probe,
#endif
#ifndef ZOO_NO_DRIVERS
	.drivers = drivers,
	.ndrivers = sizeof(drivers) / sizeof(drivers[0]),
#endif
};
