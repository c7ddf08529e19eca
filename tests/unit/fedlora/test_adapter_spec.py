"""Parts of a spec: what of an adapter a round trains."""

import numpy as np

from tests.integration import stub_trainer


def test_a_round_that_freezes_a_factor_has_a_part_with_all_the_rest():
    """Magnitudes are in each part; what is cut out and put back touches nothing else, and leaves the whole."""
    whole = stub_trainer.spec(adapter="dora", rank=2, width=3, layers=2)
    vector = np.arange(whole.size, dtype=np.float32)
    for factors, number, sides in (
        ("both", 1, "ABm"),
        ("b", 2, "Bm"),
        ("alternating", 1, "Bm"),
        ("alternating", 2, "Am"),
    ):
        part = whole.trained(factors, number)
        assert {tensor.name.split(".lora_")[1][0] for tensor in part.tensors} == set(sides)
        assert (part is whole, part.sha256 == whole.sha256) == (factors == "both", factors == "both")
        values = whole.cut(vector, part)
        assert values.size == part.size
        changed = whole.replaced(vector, part, -values)
        for (name, before), (_, after) in zip(whole.views(vector), whole.views(changed), strict=True):
            np.testing.assert_array_equal(after, -before if name.split(".lora_")[1][0] in sides else before)
        assert vector.tobytes() == np.arange(whole.size, dtype=np.float32).tobytes()
