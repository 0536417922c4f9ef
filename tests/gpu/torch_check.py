#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""PyTorch and libtq on one device: PyTorch's results before and after are the same, libtq works on its tensors and
stream; then the times of the products that key logits are compared with. Usage: torch_check.py LIBTQ [attention]"""
import ctypes as c
import sys

import torch

lib = c.CDLL(sys.argv[1])
lib.tq_error_text.restype = c.c_char_p
for name in ("tq_code_size", "tq_device_query_size"):
    getattr(lib, name).restype = c.c_size_t


def tq(name, *args):
    if getattr(lib, name)(*args):
        raise SystemExit(f"{name}: {lib.tq_error_text().decode()}")


def size(n):
    return c.c_size_t(n)


def at(t):
    return c.c_void_p(t.data_ptr())


def made(name, *args):
    p = c.c_void_p()
    tq(name, *args, c.byref(p))
    return p


def coexist():
    torch.manual_seed(1)
    a = torch.randn(2048, 2048, device="cuda")
    before = a @ a
    n, d = 100000, 128
    x = torch.randn(n, d, device="cuda").bfloat16()
    q = torch.randn(4, d, device="cuda")
    ctx = made("tq_context_create", None)
    spec = c.create_string_buffer(4096)
    lib.tq_spec_init(spec)
    tq("tq_spec_parse", spec, b"bits=4 correction=ls")
    quantizer = made("tq_quantizer_create", ctx, spec, c.c_uint32(d), None)
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        queue = made("tq_queue_wrap_cuda", ctx, 0, c.c_void_p(stream.cuda_stream))
        codec = made("tq_device_codec_create", quantizer, queue)
        stream.wait_stream(torch.cuda.default_stream())
        codes = torch.empty(n * lib.tq_code_size(quantizer), dtype=torch.uint8, device="cuda")
        y = torch.empty_like(x)
        prepared = torch.empty(4 * lib.tq_device_query_size(codec), dtype=torch.uint8, device="cuda")
        scores = torch.empty(4, n, device="cuda")
        bf16 = 2
        tq("tq_encode_async", codec, queue, at(x), bf16, size(d), size(n), at(codes))
        tq("tq_decode_async", codec, queue, at(codes), size(n), at(y), bf16, size(d))
        tq("tq_query_prepare_async", codec, queue, at(q), size(d), size(4), at(prepared))
        tq("tq_score_async", codec, queue, at(prepared), size(4), at(codes), size(n), at(scores), size(n), None)
    stream.synchronize()
    error = ((y.float() - x.float()) ** 2).sum() / (x.float() ** 2).sum()
    exact = q @ x.float().T
    off = ((scores - exact) ** 2).sum() / (exact**2).sum()
    lib.tq_device_codec_destroy(codec)
    lib.tq_queue_destroy(queue)
    lib.tq_quantizer_destroy(quantizer)
    lib.tq_context_destroy(ctx)
    same = torch.equal(before, a @ a)
    ok = same and float(error) < 0.0105 and float(off) < 0.0105
    print(f"with PyTorch {torch.__version__}: decoded error {float(error):.4f}, scores' {float(off):.4f}, its product"
          f" {'the same' if same else 'CHANGED'} after")
    print(f"{int(ok)} passed, {int(not ok)} failed")
    return ok


def median_us(work, times=15):
    us = []
    for _ in range(times + 3):
        a, b = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        torch.cuda._sleep(400000)
        a.record()
        work()
        b.record()
        b.synchronize()
        us.append(a.elapsed_time(b) * 1e3)
    return sorted(us[3:])[times // 2]


def products():
    torch.backends.cuda.matmul.allow_tf32 = False
    heads, n, d = 32, 65536, 128
    for dtype in (torch.float32, torch.bfloat16):
        k = torch.randn(heads, n, d, device="cuda", dtype=dtype)
        for nq in (1, 4, 8, 16):
            q = torch.randn(heads, nq, d, device="cuda", dtype=dtype)
            us = min(median_us(lambda: torch.bmm(q, k.transpose(1, 2))), median_us(lambda: torch.bmm(k, q.transpose(1, 2))))
            print(f"| bmm {str(dtype)[6:]}, 32 x 65536 x {nq} queries | {us:.1f} us |", flush=True)
        del k


def attention():
    """Decode attention over keys and values in bf16: each backend, grouped heads as they are and folded into the query's
    length (no mask is needed for one token), the faster of the two"""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    heads, kv_heads, d = 32, 8, 128
    backends = {"flash": SDPBackend.FLASH_ATTENTION, "cudnn": SDPBackend.CUDNN_ATTENTION, "efficient": SDPBackend.EFFICIENT_ATTENTION}
    for batch, n in ((8, 32768), (64, 32768), (1, 131072)):
        k, v = (torch.randn(batch, kv_heads, n, d, device="cuda", dtype=torch.bfloat16) for _ in range(2))
        q = torch.randn(batch, heads, 1, d, device="cuda", dtype=torch.bfloat16)
        folded = q.view(batch, kv_heads, heads // kv_heads, d)
        for name, backend in backends.items():
            found = {}
            for form, work in (
                ("grouped", lambda: torch.nn.functional.scaled_dot_product_attention(q, k, v, enable_gqa=True)),
                ("folded", lambda: torch.nn.functional.scaled_dot_product_attention(folded, k, v)),
            ):
                try:
                    with sdpa_kernel(backend):
                        found[form] = median_us(work)
                except RuntimeError:
                    pass
            text = ", ".join(f"{form} {us:.1f} us" for form, us in found.items()) or "not served"
            print(f"| SDPA {name} bf16, {batch} x {n}, {heads}/{kv_heads} heads, d={d} | {text} |", flush=True)
        del k, v


if sys.argv[2:] != ["attention"]:
    products()
attention()
sys.exit(0 if coexist() else 1)
