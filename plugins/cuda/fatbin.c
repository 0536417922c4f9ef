/* SPDX-License-Identifier: Apache-2.0 */
/* The compiled kernels, for every architecture, as bytes of this plugin. */
__asm__(".section .rodata\n"
	".balign 64\n"
	".globl tqc_fatbin\n"
	".hidden tqc_fatbin\n"
	"tqc_fatbin:\n"
	".incbin \"" TQC_FATBIN "\"\n"
	".byte 0\n"
	".previous\n");
