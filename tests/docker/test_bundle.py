"""The kit's images by digest, and saved: on a real engine."""

import hashlib
import json
import tarfile

from deployment import docker, fedlora

from fedlora.air_gap import ROLES, find_images
from fedlora.air_gap.images import save_images


def test_every_image_is_listed_by_its_digest(engine):
    listed = json.loads(fedlora("bundle", "images", "--format", "json"))
    assert [one["name"].partition(":")[0].removeprefix("fedlora-") for one in listed] == list(ROLES)
    for one in listed:
        assert one["id"] == docker("image", "inspect", "--format", "{{.Id}}", one["name"]).stdout.strip()
        assert one["digest"] == ""  # built here, and pushed nowhere
    none = fedlora("bundle", "images", "--tag", "none")
    assert none.count("not on this engine") == len(ROLES)


def test_what_is_saved_is_the_image_that_was_listed(engine, tmp_path):
    (gateway,) = (image for image in find_images("fedlora-", "") if "gateway" in image.name)
    save_images([gateway], tmp_path / "images.tar")
    with tarfile.open(tmp_path / "images.tar") as saved:
        (about,) = json.load(saved.extractfile("manifest.json"))
        configuration = saved.extractfile(about["Config"]).read()
    assert about["RepoTags"] == [gateway.name]
    assert f"sha256:{hashlib.sha256(configuration).hexdigest()}" == gateway.id
