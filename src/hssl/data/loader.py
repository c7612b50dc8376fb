"""Batches cut from a store by index: no worker processes, no state but (epoch, next batch), exact after a resume."""

import hashlib
import weakref
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import cache, partial
from typing import Any, NamedTuple

import torch

from hssl.data.store import Store
from hssl.errors import ConfigurationError, DataError
from hssl.shapes import Images, Labels


class Batch(NamedTuple):
    """One rank's part of a step.

    Attributes:
        images: normalised, [B, C, H, W].
        labels: int64 [B]; all -1 when the store has no labels, so that every batch has the same form.
        indices: int64 [B], positions in the store.
    """

    images: Images
    labels: Labels
    indices: Labels


class BatchLoader:
    """Iterates one epoch at a time over a store; each full iteration advances `epoch` by one.

    The order of an epoch is a function of (seed, epoch) alone. A global batch is the same for any number of ranks: rank
    r takes the r-th contiguous part of it. Leaving an iteration early and starting another one begins the same epoch
    again; only a loaded state continues within an epoch.

    From a store that reads its images from a file the next batches are cut by a thread while the present one is worked
    on. That changes neither the batches nor the state: it tells of the batch that was handed out last.

    Args:
        store: on the device where the batches are wanted.
        batch_size: images a step over all ranks. With `drop_last`, at most the whole store; the attribute
            `batch_size` tells what it came to.
        seed: of the order.
        rank, world_size: which part of each global batch to yield, of how many.
        shuffle: False keeps the order of the store.
        parts: batches come in groups of this many, the parts of one accumulated step; with `drop_last` an incomplete
            group is left out.
        drop_last: leave the incomplete batch at the end out; else its parts differ by at most one image between
            ranks, and may be empty.
        dtype: of the images.
        ahead: how many batches are cut ahead of time where the store reads from a file.

    Raises:
        ConfigurationError: a rank outside the world, or a batch that does not divide among the ranks.
        DataError: fewer images than ranks.
    """

    def __init__(
        self,
        store: Store,
        batch_size: int,
        *,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        shuffle: bool = True,
        drop_last: bool = True,
        parts: int = 1,
        dtype: torch.dtype = torch.float32,
        ahead: int = 2,
    ) -> None:
        if not 0 <= rank < world_size:
            raise ConfigurationError("a rank outside the world", got=f"rank {rank} of {world_size}")
        if batch_size < 1 or (drop_last and batch_size % world_size):
            raise ConfigurationError(
                "a batch does not divide among the devices",
                got=f"batch size {batch_size} on {world_size}",
                expected=f"a positive multiple of {world_size}",
                hint=f"--trainer.batch_size {max(1, round(batch_size / world_size)) * world_size}",
            )
        if drop_last and len(store) < batch_size * parts:
            batch_size = len(store) // (world_size * parts) * world_size
            if batch_size == 0:
                raise DataError("there are fewer images than devices", got=f"{len(store)} images, {world_size} devices")
        self.store = store
        self.batch_size = batch_size
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.parts = parts
        self.dtype = dtype
        self.ahead = ahead
        self._epoch = 0
        self._next_batch = 0
        self._first_batch = 0

    def __repr__(self) -> str:
        return (
            f"BatchLoader({len(self.store):,} images -> {len(self)} batches of {self.batch_size}, "
            f"seed {self.seed}, rank {self.rank} of {self.world_size})"
        )

    def __len__(self) -> int:
        """Steps in an epoch."""
        complete, rest = divmod(len(self.store), self.batch_size)
        return complete // self.parts * self.parts if self.drop_last else complete + (rest > 0)

    @property
    def epoch(self) -> int:
        """The epoch that the next batch belongs to."""
        return self._epoch

    def set_epoch(self, epoch: int) -> None:
        """Goes to the beginning of `epoch`; stays where it is when that is the epoch already."""
        if epoch != self._epoch:
            self._epoch, self._next_batch, self._first_batch = epoch, 0, 0

    def order(self, epoch: int) -> Labels:
        """The indices of a whole epoch, int64 [N]: where the store looks its images up, on its device or on the CPU."""
        device = torch.device("cpu") if self.store.on_disk else self.store.device
        if not self.shuffle:
            return torch.arange(len(self.store), device=device)
        digest = hashlib.sha256(f"{self.seed}:{epoch}".encode()).digest()
        # On the CPU always: generators of different devices give different orders for one seed.
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
        return torch.randperm(len(self.store), generator=generator).to(device)

    def __iter__(self) -> Iterator[Batch]:
        first, self._first_batch = self._first_batch, 0
        epoch, steps = self._epoch, len(self)
        cut = partial(self._cut, self.order(epoch))
        left = range(first, steps)
        on_disk, device = self.store.on_disk, self.store.device
        with closing(made_ahead(cut, left, self.ahead, device) if on_disk else (cut(step) for step in left)) as batches:
            for step, batch in enumerate(batches, first):
                # Before the yield: a state saved while this batch is worked on continues with the batch after it.
                self._epoch, self._next_batch = (epoch, step + 1) if step + 1 < steps else (epoch + 1, 0)
                yield batch

    def _cut(self, order: Labels, step: int) -> Batch:
        """This rank's part of a step. Runs ahead of the iteration, so it leaves the state alone."""
        labels, device = self.store.labels, self.store.device
        begin, end = step * self.batch_size, min((step + 1) * self.batch_size, len(order))
        part = slice(
            begin + (end - begin) * self.rank // self.world_size,
            begin + (end - begin) * (self.rank + 1) // self.world_size,
        )
        images = self.store.batch(order[part], self.dtype)
        indices = order[part].to(device)
        return Batch(
            images, torch.full_like(indices, -1) if labels is None else labels.index_select(0, indices), indices
        )

    def state_dict(self) -> dict[str, Any]:
        """Where the iteration stands, and what the order depends on. The same on every rank."""
        return {"epoch": self._epoch, "next_batch": self._next_batch, **self._identity()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continues exactly after the last batch of the saved iteration.

        Raises:
            ConfigurationError: the state of a loader that would yield other batches.
        """
        unlike = [
            f"{name}: {state.get(name)!r} there, {value!r} here"
            for name, value in self._identity().items()
            if state.get(name) != value
        ]
        if unlike:
            raise ConfigurationError(
                "the saved position belongs to another order of images",
                got="; ".join(unlike),
                hint="resume with the data, batch size and seed of the run that saved it",
            )
        self._epoch, self._next_batch = int(state["epoch"]), int(state["next_batch"])
        self._first_batch = self._next_batch

    def _identity(self) -> dict[str, Any]:
        return {
            "seed": self.seed,
            "images": len(self.store),
            "batch_size": self.batch_size,
            "shuffle": self.shuffle,
            "drop_last": self.drop_last,
        }


def made_ahead(
    make: Callable[[int], Batch], steps: Sequence[int], ahead: int, device: torch.device
) -> Generator[Batch, None, None]:
    """The batch of each step, made by a thread that is up to `ahead` steps further than the batch in use.

    An error is raised where its batch would have come. The thread ends with the iteration, however it ends.

    On a GPU batches are made on a stream of their own, so that copies run beside the work on the present batch; who
    takes a batch has the work that follows on its own stream wait for it.
    """
    lane = _lane(device)
    if lane is not None:
        # What the batches are cut from may still be on its way to the device.
        lane.wait_stream(torch.cuda.current_stream(device))

    def made(step: int) -> tuple[Batch, torch.cuda.Event | None]:
        with torch.cuda.stream(lane):
            return make(step), None if lane is None else lane.record_event()

    def taken() -> Batch:
        batch, event = waiting.popleft().result()
        if event is not None:
            current = torch.cuda.current_stream(device)
            current.wait_event(event)
            for tensor in batch:
                # Else the memory would be given to a later batch while this stream still reads it.
                tensor.record_stream(current)
        return batch

    pool = ThreadPoolExecutor(1, "hssl-prefetch")
    # Also at the end of the program, while what it needs is still there.
    end = weakref.finalize(made, pool.shutdown, cancel_futures=True)
    try:
        waiting = deque(pool.submit(made, step) for step in steps[:ahead])
        for place in range(len(steps)):
            if place + ahead < len(steps):
                waiting.append(pool.submit(made, steps[place + ahead]))
            # Not kept in a variable: while the next batch is waited for, only the consumer may keep this one.
            yield taken()
    finally:
        end()


@cache
def _lane(device: torch.device) -> torch.cuda.Stream | None:
    """One stream for all iterations on a device: freed memory is kept for the stream that it was made on."""
    return torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]
