"""What all generators around a network share: engine, pictures as tensors, the shape of a person, cost."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from visavis.audio.feature import SoundFeature
from visavis.core.config import build
from visavis.face.overlay import Patch
from visavis.face.types import Observation
from visavis.generators.base import Person, Prior, References
from visavis.media.frame import Pixels
from visavis.motion.kind import MotionKind
from visavis.motion.layout import Motion
from visavis.nn.cost import Cost
from visavis.nn.engine import PLAIN, Engine
from visavis.nn.graph import CompileGraphs, Graph, Runner, Step, by_torch
from visavis.nn.pictures import Picture, as_tensor, to_pixels

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from visavis.nn.torch_runner import TorchRunner


class Shape(Protocol):
    """A network's shape: a frozen dataclass that knows the side of its pictures."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def size(self) -> int:
        """Side of the square pictures."""


ShapeT = TypeVar("ShapeT", bound=Shape)
NetworkT = TypeVar("NetworkT", bound="nn.Module")
PreparedT = TypeVar("PreparedT")


class NetworkGenerator(ABC, Generic[ShapeT, NetworkT, PreparedT]):
    """Base of generators: families say what is computed, this says where and how.

    A family names the classes of its shape and its network, and writes ``kind``, ``gmac_of`` and the three steps
    ``_analyse``, ``_prepare`` and ``_render``, in which gradients are off and denormals flushed. The last two run in
    the engine's precision; analysis is in float32, since reduced precision moves places.

    A family that asks its network for graphs alone, by ``run``, and does all else in NumPy works without torch too: its
    network is then imported by ``new_network``, which it writes itself, and by nothing else.

    Args:
        config: shape of the network.
        network: weights; new ones when None.
        engine: where and how to compute, with nothing left to choose.
        runner: what computes the graphs without a network.

    Attributes:
        run: computes the graphs.
        family: as in the checkpoint's header.
        shape_class, network_class: of the family; a network is made of its shape alone.
        named: plain configs that can be asked for by name.
        exact: children of the network that stay in float32 at any precision.
        moved_by: children of the network that make motion of pictures; empty where nobody shares them.
        graphs: methods of the network that another engine may compute, which is all of it that every frame costs.
        references, memory: see :class:`visavis.generators.base.Generator`.
    """

    family: ClassVar[str]
    shape_class: ClassVar[type[Any]]
    network_class: ClassVar[type[nn.Module]]
    named: ClassVar[Mapping[str, Mapping[str, object]]] = {}
    exact: ClassVar[tuple[str, ...]] = ()
    moved_by: ClassVar[tuple[str, ...]] = ()
    graphs: ClassVar[tuple[Graph, ...]] = ()
    references: References = References(1, 1)
    memory: int = 0

    def __init__(
        self,
        config: ShapeT,
        network: NetworkT | None = None,
        engine: Engine = PLAIN,
        *,
        runner: Runner | None = None,
    ) -> None:
        self.config: ShapeT = config
        # A family without graphs is torch's, in the precision that was chosen.
        self.engine = engine if self.graphs else replace(engine, name="torch")
        self.run: Runner = self._by_torch(network) if runner is None else runner

    def _by_torch(self, network: NetworkT | None) -> TorchRunner[NetworkT]:
        from visavis.nn.torch_runner import TorchRunner

        made = cast(NetworkT, self.new_network(self.plain_config)) if network is None else network
        return TorchRunner(made, self.engine)

    @property
    def network(self) -> NetworkT:
        """The network.

        Raises:
            ConfigError: its graphs are computed without it.
        """
        return self._torch().network

    @property
    def device(self) -> torch.device:
        """Where torch computes."""
        return self._torch().device

    def _torch(self) -> TorchRunner[NetworkT]:
        return by_torch(self.run, self.family)

    @classmethod
    def new_network(cls, config: Mapping[str, object]) -> nn.Module:
        """The network that a checkpoint's plain config describes, with new weights."""
        return cls.network_class(build(cls.shape_class, config))

    @classmethod
    def from_checkpoint(
        cls, config: Mapping[str, object], network: NetworkT | None = None, engine: Engine = PLAIN
    ) -> Self:
        """Build from a checkpoint's plain config, around its network or a new one."""
        return cls(build(cls.shape_class, config), network, engine)

    @classmethod
    def of_graphs(cls, config: Mapping[str, object], runner: Runner, engine: Engine) -> Self:
        """Build from a checkpoint's plain config and what computes its graphs without its network."""
        return cls(build(cls.shape_class, config), engine=engine, runner=runner)

    @property
    def plain_config(self) -> dict[str, object]:
        """The config as a checkpoint stores it."""
        return asdict(self.config)

    @property
    def size(self) -> int:
        """Side of the pictures."""
        return self.config.size

    @property
    @abstractmethod
    def kind(self) -> MotionKind:
        """What sort of motion it takes."""

    @property
    def needs(self) -> frozenset[Prior]:
        """Nothing but the picture, unless a family says otherwise."""
        return frozenset()

    @property
    def needs_of_driver(self) -> frozenset[Prior]:
        """As of the source, unless a family says otherwise."""
        return self.needs

    @property
    def hears(self) -> SoundFeature | None:
        """Nothing, unless a family says otherwise."""
        return None

    @staticmethod
    @abstractmethod
    def gmac_of(network: nn.Module) -> dict[str, dict[str, float]]:
        """1e9 multiply-accumulates by occasion, then by part, of a network of the family."""

    @abstractmethod
    def _analyse(self, observation: Observation) -> Motion:
        """Motion of one observation."""

    @abstractmethod
    def _prepare(self, references: Sequence[Observation]) -> PreparedT:
        """All that depends on the person alone."""

    @abstractmethod
    def _render(
        self, person: PreparedT, motions: Sequence[Motion], sound: NDArray[np.float32] | None
    ) -> Picture | Tensor:
        """One picture ``float [1, 3, S, S]`` in [0, 1]."""

    def analyse(self, observation: Observation) -> Motion:
        """Return the motion of one observation."""
        with self.run.computing(reduced=False):
            return self._analyse(observation)

    def prepare(self, references: Sequence[Observation]) -> Person:
        """Compute once whatever depends on the person alone."""
        if not self.references.least <= len(references) <= self.references.most:
            least, most = self.references
            raise ValueError(f"{self.family} takes {least} to {most} references, got {len(references)}")
        with self.run.computing(reduced=True):
            return _Ready(self, self._prepare(references))

    def expect(self, steps: Collection[Step]) -> None:
        """Begin to make ready what steps need, see :class:`visavis.generators.base.Generator`."""
        self.run.expect([graph.name for graph in self.graphs if not graph.steps.isdisjoint(steps)])

    def keep_for(self, steps: Collection[Step]) -> None:
        """Free memory that other steps alone need, see :class:`visavis.generators.base.Generator`."""
        self.run.let_go([graph.name for graph in self.graphs if graph.steps.isdisjoint(steps)])

    def fold(self, compile_graphs: CompileGraphs | None = None) -> None:
        """Make rendering fast, see :class:`visavis.generators.base.Generator`."""
        self._torch().fold(self.exact, self.graphs, compile_graphs)

    def cost(self) -> Cost:
        """Parameters and multiply-accumulates by part."""
        return self.cost_of(self.plain_config)

    @classmethod
    def cost_of(cls, config: Mapping[str, object]) -> Cost:
        """What the network of a plain config costs; whatever size it claims, nothing is computed."""
        import torch
        from torch._subclasses.fake_tensor import FakeTensorMode

        with FakeTensorMode(), torch.no_grad():
            network = cls.new_network(config).eval()
            return Cost.of(network, **cls.gmac_of(network))

    def _picture(self, observation: Observation) -> Tensor:
        """The observation's picture ``float32 [1, 3, S, S]`` in [0, 1], on torch's device."""
        return as_tensor(observation.picture, self.device)


class _Ready(Generic[PreparedT]):
    """A person and the generator that prepared it."""

    def __init__(self, generator: NetworkGenerator[ShapeT, NetworkT, PreparedT], prepared: PreparedT) -> None:
        self._generator, self._prepared = generator, prepared

    def render(self, motions: Sequence[Motion], sound: NDArray[np.float32] | None) -> Pixels:
        """See :class:`visavis.generators.base.Person`."""
        generator = self._generator
        if len(motions) != generator.memory + 1:
            raise ValueError(f"{generator.family} renders {generator.memory + 1} motions, got {len(motions)}")
        with generator.run.computing(reduced=True):
            return to_pixels(generator._render(self._prepared, motions, sound))


def overlaid(picture: Picture, patches: Iterable[Patch]) -> Picture:
    """Lay the source's own skin over a picture ``[1, 3, S, S]``, in its place."""
    for patch in patches:
        height, width = patch.weight.shape[:2]
        here = picture[0, :, patch.top : patch.top + height, patch.left : patch.left + width]
        here += patch.weight.transpose(2, 0, 1) * (patch.picture.transpose(2, 0, 1) - here)
    return picture
