// SPDX-License-Identifier: Apache-2.0
/*
 * Makes a process take this CPU for one without AVX-512 and AMX, whatever libraries are in it: some peers choose
 * their instructions by CPUID and by nothing else. On Linux on x86-64, with CPUs that can fault on CPUID
 * (cpuid_fault in /proc/cpuinfo):
 *
 *	cc -O2 -fPIC -shared -o cpuid.so cpuid.c
 *	LD_PRELOAD=./cpuid.so PEERS_ISA=avx2 program		also without AVX-VNNI: a CPU with AVX2
 *	LD_PRELOAD=./cpuid.so PEERS_ISA=avxvnni program		with what AVX-VNNI is on such CPUs
 *
 * CPUID raises SIGSEGV then; the handler lets it run and takes bits out of what it says. Threads and forked
 * processes inherit that, an exec'ed one begins anew. XGETBV says as before that the kernel saves those
 * registers; nobody asks it without having found the bit in CPUID. What the dynamic linker chose before this
 * (libc's memcpy) stays; GLIBC_TUNABLES would hold it. Without faults on CPUID the process ends with status 125.
 */

#define _GNU_SOURCE
#include <cpuid.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define SET_CPUID 0x1012 /* ARCH_SET_CPUID of <asm/prctl.h> */

#define LEAF7_EBX (1u << 16 | 1u << 17 | 1u << 21 | 1u << 26 | 1u << 27 | 1u << 28 | 1u << 30 | 1u << 31) /* F DQ IFMA PF ER CD BW VL */
#define LEAF7_ECX (1u << 1 | 1u << 6 | 1u << 11 | 1u << 12 | 1u << 14) /* VBMI VBMI2 VNNI BITALG VPOPCNTDQ */
/* 4VNNIW 4FMAPS VP2INTERSECT AMX-BF16 FP16 AMX-TILE AMX-INT8 */
#define LEAF7_EDX (1u << 2 | 1u << 3 | 1u << 8 | 1u << 22 | 1u << 23 | 1u << 24 | 1u << 25)
#define LEAF7_1_EAX (1u << 5 | 1u << 21) /* AVX512-BF16 AMX-FP16 */
#define LEAF7_1_EDX (1u << 8 | 1u << 19) /* AMX-COMPLEX AVX10 */
#define AVX_VNNI (1u << 4) /* leaf 7.1 EAX; 1 << 4 and 1 << 10 of its EDX: of other widths */
#define AVX_VNNI_WIDTHS (1u << 4 | 1u << 10)
#define XCR0_KEPT 7u /* x87, SSE, AVX */

static struct sigaction before;
static int without_vnni;

static void take_out(unsigned int leaf, unsigned int sub, unsigned int r[4])
{
	if (leaf == 7 && sub == 0) {
		r[1] &= ~LEAF7_EBX;
		r[2] &= ~LEAF7_ECX;
		r[3] &= ~LEAF7_EDX;
	} else if (leaf == 7 && sub == 1) {
		r[0] &= ~(LEAF7_1_EAX | (without_vnni ? AVX_VNNI : 0));
		r[3] &= ~(LEAF7_1_EDX | (without_vnni ? AVX_VNNI_WIDTHS : 0));
	} else if (leaf == 0xd && sub == 0) {
		r[0] &= XCR0_KEPT;
	} else if ((leaf == 0xd && sub >= 5 && sub <= 7) || (leaf == 0xd && (sub == 17 || sub == 18)) || leaf == 0x1d ||
		   leaf == 0x1e || leaf == 0x24) {
		memset(r, 0, 4 * sizeof(*r));
	}
}

static void on_fault(int number, siginfo_t *info, void *context)
{
	greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;
	static const unsigned char cpuid[2] = {0x0f, 0xa2};
	const unsigned char *at = (const unsigned char *)g[REG_RIP];
	unsigned int r[4], leaf, sub;

	(void)number;
	/* a jump to where nothing is has that address as the one that failed; CPUID has none */
	if (info->si_code != SI_KERNEL || memcmp(at, cpuid, sizeof(cpuid))) {
		sigaction(SIGSEGV, &before, NULL); /* the instruction is run again, and fails again */
		return;
	}
	leaf = (unsigned int)g[REG_RAX];
	sub = (unsigned int)g[REG_RCX];
	syscall(SYS_arch_prctl, SET_CPUID, 1);
	__cpuid_count(leaf, sub, r[0], r[1], r[2], r[3]);
	syscall(SYS_arch_prctl, SET_CPUID, 0);
	take_out(leaf, sub, r);
	g[REG_RAX] = r[0];
	g[REG_RBX] = r[1];
	g[REG_RCX] = r[2];
	g[REG_RDX] = r[3];
	g[REG_RIP] += (greg_t)sizeof(cpuid);
}

__attribute__((constructor)) static void start(void)
{
	struct sigaction on = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK};
	const char *isa = getenv("PEERS_ISA");

	if (!isa || (strcmp(isa, "avx2") && strcmp(isa, "avxvnni")))
		return;
	without_vnni = !strcmp(isa, "avx2");
	sigaction(SIGSEGV, &on, &before);
	if (syscall(SYS_arch_prctl, SET_CPUID, 0)) {
		perror("cpuid.so: this CPU, or what runs on it, cannot fault on CPUID");
		_exit(125);
	}
}
