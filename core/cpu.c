/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the CPU can do. An instruction set counts only as a whole group, as compilers use it, and only
 * if the operating system saves its registers: CPUID alone is not enough, XCR0 has the last word.
 */
#include <stdio.h>
#include <string.h>
#include "cpu.h"
#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

struct group {
	uint64_t bit;
	const char *word;
	const char *text;
};

static const struct group groups[] = {
	{ TQ_CPU_X86_64_V2, "v2", "x86-64-v2 (SSE4.2, POPCNT)" },
	{ TQ_CPU_X86_64_V3, "v3", "x86-64-v3 (AVX2, FMA, BMI2, F16C)" },
	{ TQ_CPU_AVX_VNNI, "v3-vnni", "AVX-VNNI" },
	{ TQ_CPU_AVX512, "avx512", "AVX-512 F CD BW DQ VL" },
	{ TQ_CPU_AVX512_VNNI, "avx512-vnni", "AVX-512 VNNI" },
	{ TQ_CPU_AVX512_VBMI, "avx512-vbmi", "AVX-512 VBMI and VBMI2" },
	{ TQ_CPU_AVX512_BITALG, "avx512-bitalg", "AVX-512 BITALG and VPOPCNTDQ" },
	{ TQ_CPU_AMX_INT8, "amx-int8", "AMX-TILE and AMX-INT8" },
	{ TQ_CPU_NEON, "neon", "NEON" },
	{ TQ_CPU_DOTPROD, "dotprod", "dot product (asimddp)" },
	{ TQ_CPU_I8MM, "i8mm", "int8 matrix multiply (i8mm)" },
	{ TQ_CPU_SVE, "sve", "SVE" },
};

#define NGROUPS (sizeof(groups) / sizeof(groups[0]))

uint32_t tq_cpu_arch(void)
{
#if defined(__x86_64__)
	return TQ_ARCH_X86_64;
#elif defined(__aarch64__)
	return TQ_ARCH_AARCH64;
#else
	return TQ_ARCH_ANY;
#endif
}

#if defined(__x86_64__)
#define BIT(n) (1u << (n))
#define XCR0_YMM 0x06u /* xmm, ymm */
#define XCR0_ZMM 0xe6u /* and opmask, upper halves, zmm16-31 */
#define XCR0_AMX 0x60000u /* tile configuration, tiles */

static uint32_t xcr0(void)
{
	uint32_t a, d;

	__asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
	return a;
}

static int has(uint32_t word, uint32_t bits)
{
	return (word & bits) == bits;
}

/* @trust_cpuid: what CPUID alone says, to tell a missing feature from registers nobody saves */
static uint64_t detect(int trust_cpuid)
{
	uint32_t a, b, c, d, c1, b7 = 0, c7 = 0, d7 = 0, a71 = 0, c81 = 0, x = 0;
	uint64_t cpu = 0;

	if (!__get_cpuid(1, &a, &b, &c1, &d))
		return 0;
	if (__get_cpuid_count(7, 0, &a, &b7, &c7, &d7))
		__get_cpuid_count(7, 1, &a71, &b, &c, &d);
	__get_cpuid(0x80000001u, &a, &b, &c81, &d);
	if (trust_cpuid)
		x = XCR0_ZMM | XCR0_AMX;
	else if (c1 & BIT(27)) /* OSXSAVE: xgetbv may be executed */
		x = xcr0();
	/* SSE3 SSSE3 CX16 SSE4.1 SSE4.2 POPCNT, LAHF */
	if (!has(c1, BIT(0) | BIT(9) | BIT(13) | BIT(19) | BIT(20) | BIT(23)) || !has(c81, BIT(0)))
		return 0;
	cpu |= TQ_CPU_X86_64_V2;
	/* FMA MOVBE AVX F16C; BMI1 AVX2 BMI2; LZCNT */
	if (!has(x, XCR0_YMM) || !has(c1, BIT(12) | BIT(22) | BIT(28) | BIT(29)) ||
	    !has(b7, BIT(3) | BIT(5) | BIT(8)) || !has(c81, BIT(5)))
		return cpu;
	cpu |= TQ_CPU_X86_64_V3;
	if (has(a71, BIT(4)))
		cpu |= TQ_CPU_AVX_VNNI;
	/* F DQ CD BW VL */
	if (!has(x, XCR0_ZMM) || !has(b7, BIT(16) | BIT(17) | BIT(28) | BIT(30) | BIT(31)))
		return cpu;
	cpu |= TQ_CPU_AVX512;
	if (has(c7, BIT(11)))
		cpu |= TQ_CPU_AVX512_VNNI;
	if (has(c7, BIT(1) | BIT(6)))
		cpu |= TQ_CPU_AVX512_VBMI;
	if (has(c7, BIT(12) | BIT(14)))
		cpu |= TQ_CPU_AVX512_BITALG;
	if (has(x, XCR0_AMX) && has(d7, BIT(24) | BIT(25)))
		cpu |= TQ_CPU_AMX_INT8;
	return cpu;
}
#elif defined(__aarch64__) && defined(__linux__)
static uint64_t detect(int trust_cpuid)
{
	unsigned long hw = getauxval(AT_HWCAP), hw2 = getauxval(AT_HWCAP2);
	uint64_t cpu = 0;

	(void)trust_cpuid;
	if (hw & (1ul << 1)) /* HWCAP_ASIMD */
		cpu |= TQ_CPU_NEON;
	if (hw & (1ul << 20)) /* HWCAP_ASIMDDP */
		cpu |= TQ_CPU_DOTPROD;
	if (hw2 & (1ul << 13)) /* HWCAP2_I8MM */
		cpu |= TQ_CPU_I8MM;
	if (hw & (1ul << 22)) /* HWCAP_SVE */
		cpu |= TQ_CPU_SVE;
	return cpu;
}
#else
static uint64_t detect(int trust_cpuid)
{
	(void)trust_cpuid;
	return 0;
}
#endif

uint64_t tq_cpu_detect(void)
{
	return detect(0);
}

static const char *arch_name(uint32_t arch)
{
	return arch == TQ_ARCH_X86_64	? "x86-64" :
	       arch == TQ_ARCH_AARCH64 ? "AArch64" :
					  "an unknown architecture";
}

int tq_cpu_missing(const struct tq_cpu_need *need, uint64_t cpu, char *why, size_t size)
{
	uint64_t missing = need->cpu & ~cpu, raw, real;
	const char *cause;
	size_t i;

	why[0] = '\0';
	if (need->arch != TQ_ARCH_ANY && need->arch != tq_cpu_arch()) {
		snprintf(why, size, "needs %s: this is %s", arch_name(need->arch),
			 arch_name(tq_cpu_arch()));
		return 0;
	}
	if (!missing)
		return 1;
	raw = detect(1);
	real = detect(0);
	for (i = 0; i < NGROUPS; i++) {
		if (!(missing & groups[i].bit))
			continue;
		cause = real & groups[i].bit ? "taken away by the cpu limit" :
			raw & groups[i].bit  ? "the operating system does not save its registers" :
					       "the CPU does not have it";
		snprintf(why, size, "needs %s: %s", groups[i].text, cause);
		return 0;
	}
	snprintf(why, size, "needs CPU features 0x%llx that this library does not know",
		 (unsigned long long)missing);
	return 0;
}

void tq_cpu_print(uint64_t cpu, char *buf, size_t size)
{
	size_t i, used = 0;

	buf[0] = '\0';
	for (i = 0; i < NGROUPS && used < size; i++)
		if (cpu & groups[i].bit)
			used += (size_t)snprintf(buf + used, size - used, "%s%s", used ? " " : "",
						 groups[i].word);
}

#if defined(__x86_64__)
void tq_cpu_model(char *buf, size_t size)
{
	uint32_t words[13] = { 0 };
	const char *text = (const char *)words;
	uint32_t i;

	if ((uint32_t)__get_cpuid_max(0x80000000u, NULL) >= 0x80000004u)
		for (i = 0; i < 3; i++)
			__get_cpuid(0x80000002u + i, &words[4 * i], &words[4 * i + 1],
				    &words[4 * i + 2], &words[4 * i + 3]);
	snprintf(buf, size, "%s", text + strspn(text, " "));
	for (i = (uint32_t)strlen(buf); i && buf[i - 1] == ' '; i--)
		buf[i - 1] = '\0';
}
#else
void tq_cpu_model(char *buf, size_t size)
{
	FILE *f = fopen("/sys/devices/system/cpu/cpu0/regs/identification/midr_el1", "re");

	if (!f || !fgets(buf, (int)size, f))
		buf[0] = '\0';
	buf[strcspn(buf, "\n")] = '\0';
	if (f)
		fclose(f);
}
#endif
