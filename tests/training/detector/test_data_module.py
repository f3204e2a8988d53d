"""Loaders: the same samples for any number of workers, shared by ranks, resumed where they stopped, ended when told."""

import hashlib
import multiprocessing
import shutil

import lightning
import numpy as np
import psutil
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.utils.data import DistributedSampler

from neanias_ml.datasets.variation.augmentation import AugmentConfig
from neanias_ml.training.detector.data_module import TileDataModule
from neanias_ml.training.sampling import ProcessPlace
from tests.training.conftest import SIZE

VARIED = AugmentConfig(fade=0.5, noise_jitter=0.1, paste_objects=0.5)


def digests(batches):
    """One digest for each sample of all batches."""
    return [hashlib.sha256(image.contiguous().numpy().tobytes()).hexdigest() for b in batches for image in b.images]


def module_of(folder, **settings):
    return TileDataModule(folder, **{"batch_size": 5, "augment": VARIED, "seed": 7, **settings})


def test_data_module_serves_the_prepared_folder(prepared_folder):
    module = module_of(prepared_folder, validation_tiles=3)
    train = list(module.train_dataloader())
    assert isinstance(module.train_dataloader().sampler, DistributedSampler)  # others Lightning would replace
    assert all(len(batch.images) == 5 for batch in train)
    assert len(train) == len(module.train_dataloader()) >= 24 // 5
    assert train[0].images.shape == (5, 5, SIZE, SIZE)
    assert sum(len(batch.images) for batch in module.val_dataloader()) == 3
    assert sum(len(batch.images) for batch in module.test_dataloader()) == len(module.tiles("test")) == 8


@pytest.mark.parametrize("workers", [1, 2])
def test_samples_do_not_depend_on_the_number_of_workers(prepared_folder, workers):
    alone, shared = module_of(prepared_folder), module_of(prepared_folder, workers=workers)
    try:
        one, other = alone.train_dataloader(), shared.train_dataloader()
        epochs = []
        for epoch in (0, 1):
            for loader in (one, other):
                loader.sampler.set_epoch(epoch)
            epochs.append(digests(one))
            assert digests(other) == epochs[-1]
        assert set(epochs[0]).isdisjoint(epochs[1])
        assert digests(alone.val_dataloader()) == digests(shared.val_dataloader())
    finally:
        shared.teardown()


def test_loading_leaves_the_programs_own_generators_alone(prepared_folder):
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    list(module_of(prepared_folder).train_dataloader())
    torch.testing.assert_close(torch.rand(2), expected)


def test_no_process_outlives_the_module(prepared_folder):
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    module = module_of(prepared_folder, workers=2)
    next(iter(module.train_dataloader()))
    next(iter(module.val_dataloader()))
    workers = [child for child in psutil.Process().children(recursive=True) if child.pid not in before]
    loading = [child for child in workers if "resource_tracker" not in " ".join(child.cmdline())]
    assert len(loading) >= 4
    module.teardown("fit")
    gone, alive = psutil.wait_procs(loading, timeout=20)
    assert not alive and len(gone) == len(loading)
    module.teardown("fit")


def _rank(rank, size, folder, store, queue):
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=size)
    try:
        module = module_of(folder, batch_size=3)
        loader = module.train_dataloader()
        loader.sampler.set_epoch(2)
        own = digests(loader)
        everything = [None] * size
        torch.distributed.all_gather_object(everything, own)
        if rank == 0:
            queue.put((everything, [draw.position for draw in loader.sampler]))
    finally:
        torch.distributed.destroy_process_group()


def test_two_processes_under_gloo_share_an_epoch(prepared_folder, tmp_path):
    context = multiprocessing.get_context("fork")  # spawned ones would import everything again
    queue = context.Queue()
    ranks = [
        context.Process(target=_rank, args=(rank, 2, prepared_folder, tmp_path / "store", queue)) for rank in range(2)
    ]
    for process in ranks:
        process.start()
    shared, positions = queue.get(timeout=120)
    for process in ranks:
        process.join(timeout=60)
        assert process.exitcode == 0
    alone = module_of(prepared_folder, batch_size=1).train_dataloader()
    alone.sampler.set_epoch(2)
    whole = digests(alone)
    assert len(shared[0]) == len(shared[1])
    assert positions == list(range(0, 2 * len(positions), 2))
    for rank in range(2):
        assert shared[rank] == whole[rank::2][: len(shared[rank])]


def test_horovods_ranks_share_an_epoch(prepared_folder, monkeypatch):
    monkeypatch.setenv("HOROVOD_SIZE", "3")
    parts, validation = [], []
    for rank in range(3):
        monkeypatch.setenv("HOROVOD_RANK", str(rank))
        module = module_of(prepared_folder, batch_size=1)
        assert module.place == ProcessPlace(rank, 3)
        parts.append(digests(module.train_dataloader()))
        validation += digests(module.val_dataloader())
    whole = module_of(prepared_folder, batch_size=1, place=ProcessPlace())
    expected = digests(whole.train_dataloader())
    assert [parts[place % 3][place // 3] for place in range(3 * len(parts[0]))] == expected[: 3 * len(parts[0])]
    assert sorted(validation) == sorted(digests(whole.val_dataloader()))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_loader_goes_on_where_its_state_was_taken(prepared_folder, workers):
    whole = module_of(prepared_folder).train_dataloader()
    whole.sampler.set_epoch(4)
    expected = digests(whole)
    module = module_of(prepared_folder, workers=workers)
    try:
        stopped = module.train_dataloader()
        stopped.sampler.set_epoch(4)
        batches = iter(stopped)
        seen = digests([next(batches) for _ in range(2)])
        resumed = module.train_dataloader()
        resumed.load_state_dict(stopped.state_dict())
        resumed.sampler.set_epoch(4)
        assert seen + digests(resumed) == expected
        assert digests(resumed) == expected
        resumed.load_state_dict({"epoch": 3, "batches": 2})
        assert digests(resumed) == expected
    finally:
        module.teardown()


class Recorder(lightning.LightningModule):
    """Notes what it is given."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.seen = []

    def training_step(self, batch, batch_idx):
        self.seen.append((self.current_epoch, *digests([batch])))
        return self.layer(batch.images.mean().reshape(1, 1)).sum()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fitted(folder, *, steps, output, checkpoint=None, save_after=None, workers=0):
    task = Recorder()
    saving = ModelCheckpoint(dirpath=output, filename="{step}", every_n_train_steps=save_after, save_top_k=-1)
    trainer = lightning.Trainer(
        max_steps=steps, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        callbacks=[saving] if save_after else [], enable_checkpointing=bool(save_after), default_root_dir=output,
        max_epochs=-1,
    )  # fmt: skip
    trainer.fit(task, module_of(folder, workers=workers), ckpt_path=checkpoint, weights_only=False)
    return task.seen


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("stop", [2, 4, 7])
def test_lightning_resumes_within_an_epoch(prepared_folder, tmp_path, stop):
    expected = fitted(prepared_folder, steps=11, output=tmp_path, save_after=stop)
    assert len({epoch for epoch, *_ in expected}) == 3 and len(set(expected)) == 11
    rest = fitted(prepared_folder, steps=11, output=tmp_path, checkpoint=tmp_path / f"step={stop}.ckpt")
    assert rest == expected[stop:]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_lightning_ends_the_workers(prepared_folder, tmp_path):
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    fitted(prepared_folder, steps=3, output=tmp_path, workers=1)
    left = [child for child in psutil.Process().children(recursive=True) if child.pid not in before]
    loading = [child for child in left if "resource_tracker" not in " ".join(child.cmdline())]
    _, alive = psutil.wait_procs(loading, timeout=20)
    assert not alive


def test_tiles_are_read_when_they_are_needed(prepared_folder, tmp_path):
    folder = shutil.copytree(prepared_folder, tmp_path / "data")
    module = module_of(folder, augment=AugmentConfig(symmetries=False))
    tiles = module.tiles("train")
    shutil.rmtree(folder / "validation")
    assert len(tiles) == 24 and not module.trainer
    sample = next(iter(module.train_dataloader()))
    rows = [draw.row for draw in module.train_dataloader().sampler][:5]
    for image, row in zip(sample.images, rows, strict=True):
        np.testing.assert_array_equal(image.numpy(), tiles[row].channels.astype(np.float32))
