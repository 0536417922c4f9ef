/* SPDX-License-Identifier: Apache-2.0 */
/* The compiled kernels, for every architecture, as bytes of this plugin. */
#define TQC_IMAGE(name, file)                                                                      \
	__asm__(".section .rodata\n"                                                               \
		".balign 64\n"                                                                     \
		".globl " name "\n"                                                                \
		".hidden " name "\n" name ":\n"                                                    \
		".incbin \"" file "\"\n"                                                           \
		".byte 0\n"                                                                        \
		".previous\n")

TQC_IMAGE("tqc_fatbin", TQC_DIR "/kernels.fatbin");
TQC_IMAGE("tqc_kv_fatbin", TQC_DIR "/kv.fatbin");
TQC_IMAGE("tqc_tcq_fatbin", TQC_DIR "/tcq.fatbin");
TQC_IMAGE("tqc_radix_fatbin", TQC_DIR "/radix.fatbin");
TQC_IMAGE("tqc_warp_fatbin", TQC_DIR "/warp.fatbin");
