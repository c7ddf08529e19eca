"""The fused LoRA layer against PEFT's own, and against plain fp32 arithmetic."""

import pytest
import torch
from peft import LoraConfig, get_peft_model

from supernode.trainer.fused_lora import drop, fuse


class Layers(torch.nn.Module):
    """Two layers, so that one has an input that needs a gradient and one has not."""

    def __init__(self, *, bias):
        super().__init__()
        self.first = torch.nn.Linear(48, 64, bias=bias)
        self.second = torch.nn.Linear(64, 32, bias=bias)

    def forward(self, x):
        return self.second(torch.nn.functional.silu(self.first(x)))


def adapted(*, bias=True, dropout=0.0, dora=False, kind=torch.bfloat16):
    """Return the layers with an adapter whose B is not zero: the same values with every call."""
    torch.manual_seed(0)
    config = LoraConfig(r=4, lora_alpha=12, lora_dropout=dropout, use_dora=dora, target_modules=["first", "second"])
    model = get_peft_model(Layers(bias=bias).to(kind), config)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    return model


def step(model, *, kind=torch.bfloat16):
    """Return the output and the adapter's gradients, in one vector each."""
    x = torch.randn(3, 7, 48, generator=torch.Generator().manual_seed(1)).to(kind)
    torch.manual_seed(2)  # dropout
    with torch.autocast("cpu", torch.bfloat16, enabled=kind is torch.bfloat16):
        out = model(x)
    out.float().square().sum().backward()
    return out.detach().float().flatten(), torch.cat([p.grad.flatten() for p in model.parameters() if p.requires_grad])


def far(one, other):
    """Return the relative distance of two vectors."""
    return ((one - other).norm() / other.norm()).item()


@pytest.mark.parametrize("bias", [True, False])
def test_output_and_gradients_are_those_of_fp32_within_the_rounding_of_bf16(bias):
    exact = step(adapted(bias=bias).float(), kind=torch.float32)
    plain = step(adapted(bias=bias))
    fused = adapted(bias=bias)
    assert fuse(fused) == 2
    for value, unfused, true in zip(step(fused), plain, exact, strict=True):
        assert far(value, true) < 0.01
        assert far(value, true) < 1.2 * far(unfused, true)  # no worse than PEFT's own way


def test_in_fp32_it_is_the_same_arithmetic():
    fused = adapted(kind=torch.float32)
    fuse(fused)
    for value, true in zip(
        step(fused, kind=torch.float32), step(adapted(kind=torch.float32), kind=torch.float32), strict=True
    ):
        assert far(value, true) < 1e-5


class SameDropout(torch.nn.Dropout):
    """Dropout that draws as the fused layer does."""

    def forward(self, x):
        return drop(x, self.p) if self.training else x


def test_dropout_falls_on_the_adapters_input_alone():
    fused = adapted(dropout=0.5, kind=torch.float32).train()
    fuse(fused)
    plain = adapted(dropout=0.5, kind=torch.float32).train()
    for module in plain.modules():
        if hasattr(module, "lora_dropout"):
            module.lora_dropout["default"] = SameDropout(0.5)
    for value, true in zip(step(fused, kind=torch.float32), step(plain, kind=torch.float32), strict=True):
        assert far(value, true) < 1e-5
    assert far(step(plain.eval(), kind=torch.float32)[0], step(fused.eval(), kind=torch.float32)[0]) < 1e-5


@pytest.mark.parametrize("probability", [0.001, 0.05, 0.075, 0.5, 0.999])
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_dropout_drops_as_many_as_it_says_and_keeps_the_mean(probability, kind):
    torch.manual_seed(5)
    x, count = torch.full((999, 1003), 3.0, dtype=kind, requires_grad=True), 999 * 1003
    dropped = drop(x, probability)
    share = (dropped == 0).double().mean().item()
    assert abs(share - probability) < 5 * (probability * (1 - probability) / count) ** 0.5 + 2**-17
    kept = dropped[dropped != 0]
    assert (kept == kept[0]).all()
    assert kept[0].item() == pytest.approx(3 / (1 - probability), rel=0.01 if probability < 0.99 else 0.02)
    neighbours = ((dropped == 0)[:, 1:] & (dropped == 0)[:, :-1]).double().mean().item()
    assert abs(neighbours - probability**2) < 5 * probability / count**0.5 + 2**-16
    dropped.backward(torch.ones_like(dropped))
    assert torch.equal(x.grad * 3, dropped.detach())


def test_no_dropout_and_dropping_everything_stay_what_they_are():
    x = torch.randn(5, 7)
    assert torch.equal(drop(x, 0.0), x)
    assert torch.equal(drop(x, 1.0), torch.zeros(5, 7))


def test_gradients_reach_what_lies_before_the_layer():
    fused, plain = adapted(kind=torch.float32), adapted(kind=torch.float32)
    fuse(fused)
    gradients = []
    for model in (fused, plain):
        x = torch.randn(5, 48, generator=torch.Generator().manual_seed(3)).requires_grad_()
        model(x).square().sum().backward()
        gradients.append(x.grad)
    assert far(*gradients) < 1e-5


def test_what_is_no_plain_lora_layer_keeps_pefts_way():
    assert fuse(adapted(dora=True)) == 0


def test_the_adapter_can_be_turned_off_and_taken_out():
    fused = adapted()
    fuse(fused)
    x = torch.ones(1, 48, dtype=torch.bfloat16)
    base = Layers(bias=True).to(torch.bfloat16)
    base.load_state_dict(
        {name.replace("base_layer.", ""): value for name, value in fused.unload().state_dict().items()}
    )
    again = adapted()
    fuse(again)
    with torch.no_grad(), again.disable_adapter():
        assert torch.equal(again(x), base(x))
    assert not torch.equal(again(x), base(x))
