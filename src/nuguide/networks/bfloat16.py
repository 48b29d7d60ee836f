"""Where bfloat16 is computed in hardware."""

from typing import Any

import torch


def computes_bfloat16(device: torch.device) -> bool:
    """Tell whether a device computes bfloat16 itself; where it does not, that is slow."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    # Younger than the oldest torch that is allowed; without it, what is slow but sure.
    known: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(known.get("avx512_bf16") or known.get("amx_bf16"))
