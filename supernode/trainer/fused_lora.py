"""LoRA's linear layers as one operation, forward and backward.

PEFT's layer computes ``x W^T + s (x A^T) B^T`` as a chain of operations: under autocast it casts its input to fp32 and
back, and writes and reads the whole output three times more than the products need. Here the low-rank product is added
to the frozen one in place, and only the input and ``x A^T`` are kept for the way back. What is computed is the same.
"""

from functools import partial
from typing import Any

import torch
from peft import PeftModel
from peft.tuners.lora import Linear

__all__ = ["drop", "fuse"]


def fuse(model: PeftModel) -> int:
    """Let the LoRA layers of `model` that can be fused compute so; return how many.

    Others (quantised ones, DoRA's) keep PEFT's own way.
    """
    fused = [module for module in model.modules() if isinstance(module, Linear) and _is_plain(module)]
    for module in fused:
        module.forward = partial(_forward, module, module.forward)  # type: ignore[method-assign]
    return len(fused)


def _is_plain(layer: Linear) -> bool:
    """Whether a layer is an ordinary linear one with one ordinary LoRA adapter."""
    base, (name, *others) = layer.base_layer, layer.active_adapters
    return (
        type(base) is torch.nn.Linear
        and not others
        and name in layer.lora_A
        and not (layer.lora_variant or layer.fan_in_fan_out or layer.lora_B[name].bias is not None)
    )


def _forward(layer: Linear, unfused: Any, x: torch.Tensor, *arguments: Any, **named: Any) -> torch.Tensor:
    """Compute a layer's output: fused where its input has the precision that the products are to be made in."""
    base, kind = layer.base_layer, x.device.type
    precision = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype
    if arguments or named or layer.merged or layer.disable_adapters or not x.dtype == base.weight.dtype == precision:
        plain: torch.Tensor = unfused(x, *arguments, **named)
        return plain
    (name,) = layer.active_adapters
    a, b, dropout = layer.lora_A[name].weight, layer.lora_B[name].weight, layer.lora_dropout[name]
    dropped = drop(x, dropout.p) if isinstance(dropout, torch.nn.Dropout) and dropout.training else None
    operands = (x, dropped, base.weight, base.bias, a, b, layer.scaling[name])
    out: torch.Tensor = _Adapted.apply(*operands)  # type: ignore[no-untyped-call]
    return out


def drop(x: torch.Tensor, probability: float) -> torch.Tensor:
    """Return `x` after dropout: values are zero with `probability`, to one part in 65,536, and the others scaled.

    On a CPU torch's own draws a floating-point number for each value, which took a tenth of a step; 16 bits do as well.
    """
    threshold = round(probability * 2**16)
    if x.device.type != "cpu" or not 0 < threshold < 2**16:
        return torch.nn.functional.dropout(x, probability)
    words = torch.empty((x.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
    keep = words.view(torch.int16)[: x.numel()] >= threshold - 2**15
    return x * (keep.view(x.shape).to(x.dtype) * (2**16 / (2**16 - threshold)))


class _Adapted(torch.autograd.Function):
    """``x W^T + bias + scale (d A^T) B^T``, where d is x after its dropout, if there is any."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        dropped: torch.Tensor | None,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        a: torch.Tensor,
        b: torch.Tensor,
        scale: float,
    ) -> torch.Tensor:
        rows = x.reshape(-1, x.shape[-1])
        low = rows if dropped is None else dropped.reshape(rows.shape)
        a, b = a.to(x.dtype), (b * scale).to(x.dtype)
        inner = low @ a.T
        out = torch.nn.functional.linear(rows, weight, bias).addmm_(inner, b.T)
        ctx.save_for_backward(low, inner, weight, a, b)
        ctx.scale, ctx.shape, ctx.same = scale, x.shape, dropped is None
        return out.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        low, inner, weight, a, b = ctx.saved_tensors
        gradient = gradient.reshape(-1, gradient.shape[-1])
        of_inner = gradient @ b
        of_x = of_dropped = of_a = of_b = None
        if ctx.needs_input_grad[4]:
            of_a = (of_inner.T @ low).float()
        if ctx.needs_input_grad[5]:
            of_b = (gradient.T @ inner).float() * ctx.scale
        if ctx.needs_input_grad[0]:
            of_x = gradient @ weight
            if ctx.same:
                of_x.addmm_(of_inner, a)
            else:
                of_dropped = (of_inner @ a).view(ctx.shape)
            of_x = of_x.view(ctx.shape)
        return of_x, of_dropped, None, None, of_a, of_b, None
