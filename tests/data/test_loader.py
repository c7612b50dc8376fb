import contextlib
import gc
import itertools
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch

from hssl.data import Batch, BatchLoader, ImageStore, MappedStore, Store, loader
from hssl.data.loader import made_ahead
from hssl.errors import ConfigurationError, DataError
from small_data import mapped
from waiting import HANG_SECONDS, until


def _store(count: int = 23, labels: bool = True) -> ImageStore:
    images = torch.arange(count, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 2, 2).contiguous()
    return ImageStore(
        images, torch.arange(count) % 5 if labels else None, torch.zeros(1), torch.ones(1), tuple("abcde")
    )


def _in_memory(store: ImageStore) -> Store:
    return store


# How the images are held: batches of a mapped store are cut ahead of time.
HELD = pytest.mark.parametrize("held", [_in_memory, mapped])
Held = Callable[[ImageStore], Store]


def _threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("hssl-prefetch")]


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    assert not _threads()


def _epoch(loader: BatchLoader) -> list[list[int]]:
    return [batch.indices.tolist() for batch in loader]


def _flat(batches: list[list[int]]) -> list[int]:
    return list(itertools.chain.from_iterable(batches))


@HELD
def test_each_index_comes_once_an_epoch(held: Held) -> None:
    loader = BatchLoader(held(_store()), 4, seed=0, drop_last=False)
    for _ in range(3):
        batches = _epoch(loader)
        assert len(batches) == len(loader) == 6
        assert sorted(_flat(batches)) == list(range(23))
        assert [len(batch) for batch in batches] == [4, 4, 4, 4, 4, 3]


def test_drop_last_leaves_the_incomplete_batch_out() -> None:
    loader = BatchLoader(_store(), 4, seed=0)
    batches = _epoch(loader)
    assert len(batches) == len(loader) == 5
    assert len(set(_flat(batches))) == 20
    assert _flat(batches) == loader.order(0)[:20].tolist()
    assert set(_flat(batches)) != set(_flat(_epoch(loader)))


def test_a_batch_holds_the_images_and_labels_of_its_indices() -> None:
    store = _store()
    for batch in BatchLoader(store, 4, seed=0, dtype=torch.float64):
        assert isinstance(batch, Batch)
        images, labels, indices = batch
        assert torch.equal(images, store.batch(indices, torch.float64))
        assert torch.equal(labels, store.labels[indices])


def test_labels_of_an_unlabelled_store_are_minus_one() -> None:
    batch = next(iter(BatchLoader(_store(labels=False), 4, seed=0)))
    assert batch.labels.tolist() == [-1] * 4
    assert batch.labels.dtype == torch.int64


def test_the_order_depends_on_seed_and_epoch_and_nothing_else() -> None:
    first, second = (_epoch(loader) for loader in [BatchLoader(_store(), 4, seed=0)] * 2)
    assert first != second
    again = BatchLoader(_store(), 4, seed=0)
    torch.manual_seed(99)
    again.set_epoch(1)
    assert _epoch(again) == second
    assert _epoch(BatchLoader(_store(), 4, seed=1)) != first
    # Seed and epoch do not add up to the same thing.
    shifted = BatchLoader(_store(), 4, seed=1)
    assert BatchLoader(_store(), 4, seed=0).order(1).tolist() != shifted.order(0).tolist()


def test_iterating_leaves_the_global_generator_alone() -> None:
    state = torch.get_rng_state()
    _epoch(BatchLoader(_store(), 4, seed=0))
    assert torch.equal(torch.get_rng_state(), state)


def test_without_shuffling_the_order_is_the_stores() -> None:
    assert _flat(_epoch(BatchLoader(_store(), 5, seed=0, shuffle=False, drop_last=False))) == list(range(23))


@pytest.mark.parametrize("world_size", [1, 2, 3, 6])
@pytest.mark.parametrize("drop_last", [True, False])
def test_ranks_partition_the_global_batch(world_size: int, drop_last: bool) -> None:
    whole = _epoch(BatchLoader(_store(), 6, seed=4, drop_last=drop_last))
    loaders = [
        BatchLoader(_store(), 6, seed=4, rank=rank, world_size=world_size, drop_last=drop_last)
        for rank in range(world_size)
    ]
    parts = [_epoch(loader) for loader in loaders]
    assert [_flat(list(step)) for step in zip(*parts, strict=True)] == whole
    complete = [step for step, batch in enumerate(whole) if len(batch) == 6]
    assert {len(part[step]) for part in parts for step in complete} == {6 // world_size}
    assert {len(loader) for loader in loaders} == {len(whole)}


def test_a_batch_larger_than_the_store_is_the_store() -> None:
    loader = BatchLoader(_store(), 100, seed=0)
    assert (loader.batch_size, len(loader)) == (23, 1)
    assert sorted(_flat(_epoch(loader))) == list(range(23))
    ranks = [BatchLoader(_store(), 100, seed=0, rank=rank, world_size=2) for rank in range(2)]
    assert [loader.batch_size for loader in ranks] == [22, 22]
    assert [len(batch.indices) for loader in ranks for batch in loader] == [11, 11]
    assert BatchLoader(_store(), 8, seed=0).batch_size == 8


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"rank": 2, "world_size": 2}, ConfigurationError),
        ({"rank": -1}, ConfigurationError),
        ({"batch_size": 7, "world_size": 2}, ConfigurationError),
        ({"batch_size": 0}, ConfigurationError),
        ({"batch_size": 64, "world_size": 32}, DataError),
    ],
)
def test_what_cannot_be_divided_is_refused(fields: dict, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        BatchLoader(_store(), **{"batch_size": 4, "seed": 0, **fields})


@HELD
@pytest.mark.parametrize("done", range(1, 12))
def test_a_resumed_iteration_continues_exactly(done: int, held: Held) -> None:
    def steps(loader: BatchLoader):
        while True:
            yield from loader

    whole = [batch.indices.tolist() for batch in itertools.islice(steps(BatchLoader(_store(), 4, seed=2)), 15)]
    first = BatchLoader(held(_store()), 4, seed=2)
    begun = [batch.indices.tolist() for batch in itertools.islice(steps(first), done)]
    second = BatchLoader(held(_store()), 4, seed=2)
    second.load_state_dict(first.state_dict())
    rest = [batch.indices.tolist() for batch in itertools.islice(steps(second), 15 - done)]
    assert begun + rest == whole
    # The control: a loader that does not load the state begins again.
    assert (
        begun + [batch.indices.tolist() for batch in itertools.islice(steps(BatchLoader(_store(), 4, seed=2)), 1)]
        != (whole[: done + 1])
    )


def test_a_loaded_position_is_used_once() -> None:
    loader = BatchLoader(_store(), 4, seed=2)
    next(itertools.islice(loader, 1, 2))
    resumed = BatchLoader(_store(), 4, seed=2)
    resumed.load_state_dict(loader.state_dict())
    resumed.set_epoch(0)
    assert [len(_epoch(resumed)), len(_epoch(resumed))] == [3, 5]


@HELD
def test_an_abandoned_iteration_begins_again(held: Held) -> None:
    loader = BatchLoader(held(_store()), 4, seed=2)
    first = next(iter(loader)).indices.tolist()
    assert next(iter(loader)).indices.tolist() == first
    assert loader.epoch == 0


def test_set_epoch_goes_back_and_forth() -> None:
    loader = BatchLoader(_store(), 4, seed=2)
    first, second = _epoch(loader), _epoch(loader)
    assert loader.epoch == 2
    loader.set_epoch(0)
    assert [_epoch(loader), _epoch(loader)] == [first, second]


@pytest.mark.parametrize("change", [{"seed": 1}, {"batch_size": 5}, {"shuffle": False}, {"drop_last": False}])
def test_the_state_of_another_order_is_refused(change: dict) -> None:
    state = BatchLoader(_store(), 4, seed=0).state_dict()
    other = BatchLoader(_store(), **{"batch_size": 4, "seed": 0, **change})
    with pytest.raises(ConfigurationError, match=next(iter(change))):
        other.load_state_dict(state)
    with pytest.raises(ConfigurationError, match="images: 23 there, 24 here"):
        BatchLoader(_store(24), 4, seed=0).load_state_dict(state)
    BatchLoader(_store(), 4, seed=0).load_state_dict(state)


class _Recorder(lightning.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seen: list[list[int]] = []

    def training_step(self, batch: Batch, _: int) -> torch.Tensor:
        self.seen.append(batch.indices.tolist())
        return self.weight.sum() + batch.images.sum()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


class _Killed(Exception):
    pass


class _SaveAndDie(lightning.Callback):
    def __init__(self, step: int, path: Path) -> None:
        self.step, self.path = step, path

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: object) -> None:
        if trainer.global_step == self.step:
            trainer.save_checkpoint(self.path)
            raise _Killed


def _fit(
    root: Path, *callbacks: lightning.Callback, checkpoint: Path | None = None, held: Held = _in_memory
) -> list[list[int]]:
    module = _Recorder()
    trainer = lightning.Trainer(
        accelerator="cpu", max_epochs=3, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=root, callbacks=list(callbacks),
    )  # fmt: skip
    with contextlib.suppress(_Killed):
        trainer.fit(module, BatchLoader(held(_store()), 4, seed=3), ckpt_path=checkpoint)
    return module.seen


@HELD
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("step", [1, 4, 5, 6, 12])
def test_lightning_trains_on_it_and_resumes_within_an_epoch(tmp_path: Path, step: int, held: Held) -> None:
    whole = _fit(tmp_path)
    expected = BatchLoader(_store(), 4, seed=3)
    assert whole == _epoch(expected) + _epoch(expected) + _epoch(expected)
    begun = _fit(tmp_path, _SaveAndDie(step, tmp_path / "x.ckpt"), held=held)
    assert len(begun) == step
    assert not _threads(), "whatever ends the training ends the thread"
    assert begun + _fit(tmp_path, checkpoint=tmp_path / "x.ckpt", held=held) == whole


@pytest.mark.parametrize("parts", [1, 2, 4])
def test_accumulated_parts_make_whole_batches_only(parts: int) -> None:
    """320 images in batches of 128 are two steps, however many parts a step is computed in."""
    loader = BatchLoader(_store(320), 128 // parts, seed=0, parts=parts)
    assert len(loader) == 2 * parts
    whole = BatchLoader(_store(320), 128, seed=0)
    seen = torch.cat([batch.indices for batch in loader])
    assert torch.equal(seen, torch.cat([batch.indices for batch in whole]))


def test_parts_of_a_batch_larger_than_the_store() -> None:
    loader = BatchLoader(_store(50), 64, seed=0, parts=4)
    assert (loader.batch_size, len(loader)) == (12, 4)


def _noise(count: int = 23, labels: bool = True) -> ImageStore:
    images = torch.randint(0, 256, (count, 3, 6, 6), dtype=torch.uint8, generator=torch.Generator().manual_seed(7))
    statistics = torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0.5, 0.6, 0.7])
    return ImageStore(images, torch.arange(count) % 5 if labels else None, *statistics, tuple("abcde"))


@pytest.mark.parametrize(("rank", "world_size"), [(0, 1), (0, 2), (1, 2)])
@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("drop_last", [True, False])
@pytest.mark.parametrize("labels", [True, False])
def test_epochs_from_a_file_are_those_from_memory_bit_for_bit(
    rank: int, world_size: int, shuffle: bool, drop_last: bool, labels: bool, device: torch.device
) -> None:
    def loader(store: Store, seed: int = 5) -> BatchLoader:
        return BatchLoader(
            store.to(device), 6, seed=seed, rank=rank, world_size=world_size, shuffle=shuffle, drop_last=drop_last
        )

    memory, file = loader(_noise(labels=labels)), loader(mapped(_noise(labels=labels)))
    for _ in range(2):
        for one, other in zip(file, memory, strict=True):
            for name in Batch._fields:
                left, right = getattr(one, name), getattr(other, name)
                assert torch.equal(left, right)
                assert (left.dtype, left.device) == (right.dtype, right.device)
        assert file.state_dict() == memory.state_dict()
    # The control: another order.
    if shuffle:
        assert _epoch(loader(mapped(_noise(labels=labels)), 6)) != _epoch(loader(_noise(labels=labels)))


class _Counting(MappedStore):
    """Counts the batches that were cut."""

    cut = 0

    def batch(self, indices: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        type(self).cut += 1
        return super().batch(indices, dtype)


def _counting() -> _Counting:
    _Counting.cut = 0
    store = mapped(_store())
    return _Counting(store.images, store.labels, store.mean, store.std, store.class_names)


@pytest.mark.parametrize("ahead", [1, 2, 3])
def test_the_state_tells_of_the_batch_in_use_and_not_of_those_cut_ahead(ahead: int) -> None:
    whole = _epoch(BatchLoader(_store(), 4, seed=2))
    loader = BatchLoader(_counting(), 4, seed=2, ahead=ahead)
    for step, batch in enumerate(loader):
        cut = min(step + 1 + ahead, 5)
        until(lambda cut=cut: _Counting.cut >= cut)  # type: ignore[misc]
        # The control: there is something that the state could have been taken in by.
        assert _Counting.cut == cut
        assert batch.indices.tolist() == whole[step]
        state = loader.state_dict()
        assert (state["epoch"], state["next_batch"]) == ((0, step + 1) if step < 4 else (1, 0))
        resumed = BatchLoader(mapped(_store()), 4, seed=2, ahead=ahead)
        resumed.load_state_dict(state)
        assert _epoch(resumed) == (whole[step + 1 :] or _epoch(_at(1)))


def _at(epoch: int) -> BatchLoader:
    loader = BatchLoader(_store(), 4, seed=2)
    loader.set_epoch(epoch)
    return loader


def _break(loader: BatchLoader) -> None:
    for _ in loader:
        assert len(_threads()) == 1, "the control: batches are cut ahead of time"
        break


def _fail(loader: BatchLoader) -> None:
    def work() -> None:
        for _ in loader:
            assert len(_threads()) == 1
            raise ValueError("in the loop")

    with pytest.raises(ValueError, match="in the loop"):
        work()


def _finish(loader: BatchLoader) -> None:
    assert len(_epoch(loader)) == 5


@pytest.mark.parametrize("leave", [_break, _fail, _finish])
def test_no_thread_outlives_an_iteration(leave: Callable[[BatchLoader], None]) -> None:
    loader = BatchLoader(mapped(_store()), 4, seed=2)
    leave(loader)
    assert not _threads()


def test_a_store_in_memory_needs_no_thread() -> None:
    for _ in BatchLoader(_store(), 4, seed=2):
        assert not _threads()


def test_an_error_of_the_file_reaches_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> torch.Tensor:
        raise OSError(5, "Input/output error")

    store = mapped(_store())
    loader = BatchLoader(store, 4, seed=2)
    monkeypatch.setattr(MappedStore, "pixels", broken)
    with pytest.raises(OSError, match="Input/output error"):
        next(iter(loader))
    assert loader.state_dict()["next_batch"] == 0


CPU = torch.device("cpu")


def _made_ahead(
    make: Callable[[int], Any], count: int, ahead: int = 2, device: torch.device = CPU
) -> Generator[Any, None, None]:
    return made_ahead(make, range(count), ahead, device)


def _full(number: int) -> tuple[torch.Tensor]:
    return (torch.full((3,), number),)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 20])
@pytest.mark.parametrize("ahead", [1, 2, 5])
def test_batches_made_ahead_come_in_order(count: int, ahead: int, device: torch.device) -> None:
    items = _made_ahead(lambda number: (torch.full((3,), number, device=device),), count, ahead, device)
    assert [int(item[0][0]) for item in items] == list(range(count))
    assert next(items, None) is None, "a finished iteration goes on"
    assert not _threads()


@pytest.mark.parametrize("ahead", [1, 2, 4])
def test_the_thread_is_so_many_batches_ahead_and_no_more(ahead: int) -> None:
    made: list[int] = []

    def make(number: int) -> tuple[torch.Tensor]:
        made.append(number)
        return _full(number)

    items = _made_ahead(make, 20, ahead)
    for taken in range(1, 6):
        next(items)
        until(lambda wanted=taken + ahead: len(made) >= wanted)  # type: ignore[misc]
        assert len(made) == taken + ahead
    items.close()  # and with it the thread
    assert len(made) == 5 + ahead


def test_batches_are_made_in_a_thread_of_its_own_while_one_is_used() -> None:
    used = threading.Event()

    def make(number: int) -> tuple[torch.Tensor]:
        # Cannot go on before the first batch is in use: whoever makes batches only when asked waits for ever.
        assert not number or used.wait(HANG_SECONDS)
        return _full(threading.get_ident() != main)

    main = threading.get_ident()
    items = _made_ahead(make, 2)
    next(items)
    used.set()
    assert next(items)[0][0].item() == 1


@pytest.mark.parametrize("after", [0, 1, 3])
@pytest.mark.parametrize("error", [OSError(5, "the disk is gone"), KeyboardInterrupt("the disk is gone")])
def test_an_error_is_raised_where_its_batch_would_have_come(after: int, error: BaseException) -> None:
    def make(number: int) -> tuple[torch.Tensor]:
        if number == after:
            raise error
        return _full(number)

    items = _made_ahead(make, 20)
    assert [int(item[0][0]) for item in itertools.islice(items, after)] == list(range(after))
    with pytest.raises(type(error), match="the disk is gone") as caught:
        next(items)
    assert any(entry.name == "make" for entry in caught.traceback), "where it came from is lost"
    assert not _threads()
    assert next(items, None) is None


def _close() -> None:
    items = _made_ahead(_full, 20)
    next(items)
    items.close()
    items.close()
    assert next(items, None) is None


def _never_begin() -> None:
    _made_ahead(_full, 20)


def _lose_in_a_cycle() -> None:
    items = _made_ahead(_full, 20)
    itself: list[object] = [items]
    itself.append(itself)
    next(items)
    del items, itself
    gc.collect()


@pytest.mark.parametrize("leave_ahead", [_close, _never_begin, _lose_in_a_cycle])
def test_the_thread_ends_with_what_it_makes(leave_ahead: Callable[[], None]) -> None:
    leave_ahead()
    assert not _threads()
    # The control: while it goes on, there is one.
    items = _made_ahead(_full, 20)
    next(items)
    assert len(_threads()) == 1
    items.close()


def test_a_batch_that_was_used_is_not_kept_while_the_next_one_is_made() -> None:
    dropped = threading.Event()

    def make(number: int) -> tuple[torch.Tensor]:
        assert not number or dropped.wait(HANG_SECONDS)
        return _full(number)

    items = _made_ahead(make, 3)
    item = next(items)[0]
    used = weakref.ref(item)
    assert used() is not None
    del item
    until(lambda: used() is None)
    dropped.set()
    items.close()


def test_a_program_ends_with_an_iteration_in_its_hands() -> None:
    script = (
        "import torch\n"
        "from hssl.data.loader import made_ahead\n"
        "torch.set_num_threads(1)\n"
        "make = lambda _: (torch.rand(300, 300) @ torch.rand(300, 300),)\n"
        "items = made_ahead(make, range(10**6), 100, torch.device('cpu'))\n"
        "next(items)\n"
        "print('end')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=HANG_SECONDS, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "end\n", "")


class _Lane:
    """Stands for a stream: writes down, in order, what is asked of it."""

    def __init__(self, name: str, log: list[tuple[Any, ...]]) -> None:
        self.name, self.log, self.device, self.events = name, log, "gpu", itertools.count()

    def wait_stream(self, other: "_Lane") -> None:
        self.log.append((self.name, "waits for", other.name))

    def record_event(self) -> str:
        return f"event {next(self.events)}"

    def wait_event(self, event: str) -> None:
        self.log.append((self.name, "waits for", event))


class _Tensor:
    def __init__(self, number: int, log: list[tuple[Any, ...]]) -> None:
        self.number, self.log = number, log

    def record_stream(self, lane: _Lane) -> None:
        self.log.append((lane.name, "uses", self.number))


class _On:
    def __init__(self, lane: _Lane) -> None:
        self.lane = lane

    def __enter__(self) -> None:
        current.lane = self.lane

    def __exit__(self, *_: object) -> None:
        del current.lane


current = threading.local()


def test_a_batch_from_another_stream_is_waited_for_before_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[tuple[Any, ...]] = []
    main, beside = _Lane("main", log), _Lane("beside", log)
    made_on: list[str] = []

    def make(number: int) -> Any:
        made_on.append(current.lane.name)
        return _Tensor(number, log), _Tensor(10 + number, log)

    monkeypatch.setattr(loader, "_lane", lambda _: beside)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _: main)
    monkeypatch.setattr(torch.cuda, "stream", _On)
    items = _made_ahead(make, 3)
    next(items)
    assert log.pop(0) == ("beside", "waits for", "main")
    for number in range(3):
        assert log == [
            ("main", "waits for", f"event {number}"), ("main", "uses", number), ("main", "uses", 10 + number)
        ]  # fmt: skip
        log.clear()
        next(items, None)
    assert made_on == ["beside"] * 3
