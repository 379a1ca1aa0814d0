"""Which bundle answers for a key: its own, else the general one, and the answer says which it was."""

from contextlib import AbstractContextManager

from jobcast_server.errors import NotReadyError, UnknownModelError
from jobcast_server.model import Model
from jobcast_server.repository.repository import Repository
from jobcast_server.taskpredictor.engine import PREDICTOR, serves
from jobcast_server.taskpredictor.key import Key

OWN = "model"
GENERAL = "fallback"


class Bundles:
    """Finds the model for a key; used from the event loop only."""

    def __init__(self, repository: Repository[Model]) -> None:
        self._repository = repository
        self._own: dict[Key, str] = {}

    def refresh(self) -> None:
        """Look anew at what is loaded."""
        self._own = {
            Key(**key.model_dump()): model.name
            for model in self._repository.models()
            if model.tasks is not None and (key := model.bundle.manifest.task_key) is not None
        }

    def keys(self) -> list[Key]:
        """Keys that have a bundle of their own."""
        return list(self._own)

    def ready(self) -> bool:
        """Whether a task would be answered from a bundle now."""
        return any(map(self._repository.ready, (PREDICTOR, *self._own.values())))

    def choose(self, key: Key) -> tuple[str, str]:
        """Name of the model that answers for a key, and whether it is `OWN` or `GENERAL`.

        Raises:
            UnknownModelError: the key has no bundle, and there is no general one.
            NotReadyError: there is one and it does not answer, or there is none for anything.
        """
        own = self._own.get(key)
        if own is not None and self._repository.ready(own):
            return own, OWN
        if self._repository.ready(PREDICTOR):
            return PREDICTOR, GENERAL
        if PREDICTOR in self._repository.names():
            self._repository.get(PREDICTOR)  # raises why it does not answer
        if own is not None:
            raise NotReadyError(f"model {own}: is not ready, and there is no general {PREDICTOR} bundle")
        if any(map(serves, self._repository.names())):
            raise UnknownModelError(f"model {key.label}: has no bundle of its own, and there is no general {PREDICTOR}")
        raise NotReadyError(f"no {PREDICTOR} bundle is loaded: train one, or mend --models")

    def get(self, name: str) -> Model:
        """The model, for answers that are made at once."""
        return self._repository.get(name)

    def hold(self, name: str) -> AbstractContextManager[Model]:
        """Keep the model for the time of a request."""
        return self._repository.hold(name)
