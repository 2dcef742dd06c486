"""An Optuna storage that waits for its database."""

from collections.abc import Callable, Container, Sequence
from typing import Any, TypeVar

from optuna.distributions import BaseDistribution
from optuna.exceptions import DuplicatedStudyError, UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.study._frozen import FrozenStudy
from optuna.study._study_direction import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from gridsearch.results.shared.retry import Waiting

Result = TypeVar("Result")


class Patient(BaseStorage):
    """Forwards every call to an inner storage; a lost connection is waited for (see `Waiting`).

    A call whose answer was lost may have been carried out. To read, to set an attribute, a parameter or a
    rung's value again changes nothing; each other method says what it does. Several threads may call it.

    Raises, in every method:
        StorageLost: the database did not answer for as long as `waiting` is patient.
    """

    def __init__(self, inner: BaseStorage, waiting: Waiting | None = None):
        self.inner = inner
        self.waiting = waiting or Waiting()

    def _call(self, first: Callable[[], Result], again: Callable[[], Result] | None = None) -> Result:
        return self.waiting.call(first, again)

    # A study

    def create_new_study(self, directions: Sequence[StudyDirection], study_name: str | None = None) -> int:
        """After a lost answer, an empty study of that name and these directions is the one that was made.

        Without a name a second one may be left behind, as its random name was never learnt.
        """

        def first() -> int:
            return self.inner.create_new_study(directions, study_name)

        def again() -> int:
            try:
                return first()
            except DuplicatedStudyError:
                made = self.inner.get_study_id_from_name(study_name)
                alike = self.inner.get_study_directions(made) == list(directions)
                if not alike or self.inner.get_n_trials(made):
                    raise
                return made

        return self._call(first, again)

    def delete_study(self, study_id: int) -> None:
        """After a lost answer, a study that is not there is one that was deleted."""

        def again() -> None:
            try:
                self.inner.delete_study(study_id)
            except KeyError:
                return

        self._call(lambda: self.inner.delete_study(study_id), again)

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        self._call(lambda: self.inner.set_study_user_attr(study_id, key, value))

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        self._call(lambda: self.inner.set_study_system_attr(study_id, key, value))

    def get_study_id_from_name(self, study_name: str) -> int:
        return self._call(lambda: self.inner.get_study_id_from_name(study_name))

    def get_study_name_from_id(self, study_id: int) -> str:
        return self._call(lambda: self.inner.get_study_name_from_id(study_id))

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        return self._call(lambda: self.inner.get_study_directions(study_id))

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        return self._call(lambda: self.inner.get_study_user_attrs(study_id))

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        return self._call(lambda: self.inner.get_study_system_attrs(study_id))

    def get_all_studies(self) -> list[FrozenStudy]:
        return self._call(self.inner.get_all_studies)

    # A trial

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """After a lost answer there may be the same trial twice: nothing tells one from another.

        Optuna's own five tries inside one call may do so too.
        """
        return self._call(lambda: self.inner.create_new_trial(study_id, template_trial))

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution
    ) -> None:
        self._call(
            lambda: self.inner.set_trial_param(trial_id, param_name, param_value_internal, distribution)
        )

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """After a lost answer, a trial that has ended in this state with these values was ended by this call.

        A trial taken from the queue (RUNNING) whose answer was lost counts as taken by somebody else: False.
        It then runs without a worker, until the leader finds that nobody holds it and queues it again.
        """
        if state == TrialState.WAITING:
            return self._put_back(trial_id)

        def first() -> bool:
            return self.inner.set_trial_state_values(trial_id, state, values)

        def again() -> bool:
            try:
                return first()
            except UpdateFinishedTrialError:
                ended = self.inner.get_trial(trial_id)
                if ended.state != state or (values is not None and ended.values != list(values)):
                    raise
                return True

        return self._call(first, again)

    def _put_back(self, trial_id: int) -> bool:
        """After a lost answer, one that another worker has taken since then stays with that one."""
        taken = self.get_trial(trial_id).datetime_start

        def first() -> bool:
            return self.inner.set_trial_state_values(trial_id, TrialState.WAITING)

        def again() -> bool:
            return self.inner.get_trial(trial_id).datetime_start != taken or first()

        return self._call(first, again)

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        self._call(lambda: self.inner.set_trial_intermediate_value(trial_id, step, intermediate_value))

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        self._call(lambda: self.inner.set_trial_user_attr(trial_id, key, value))

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        self._call(lambda: self.inner.set_trial_system_attr(trial_id, key, value))

    def get_trial(self, trial_id: int) -> FrozenTrial:
        return self._call(lambda: self.inner.get_trial(trial_id))

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        return self._call(lambda: self.inner.get_all_trials(study_id, deepcopy, states))

    def get_n_trials(self, study_id: int, state: tuple[TrialState, ...] | TrialState | None = None) -> int:
        return self._call(lambda: self.inner.get_n_trials(study_id, state))

    def get_best_trial(self, study_id: int) -> FrozenTrial:
        return self._call(lambda: self.inner.get_best_trial(study_id))

    def get_trial_param(self, trial_id: int, param_name: str) -> float:
        return self._call(lambda: self.inner.get_trial_param(trial_id, param_name))

    def get_trial_id_from_study_id_trial_number(self, study_id: int, trial_number: int) -> int:
        return self._call(lambda: self.inner.get_trial_id_from_study_id_trial_number(study_id, trial_number))

    def get_trial_number_from_id(self, trial_id: int) -> int:
        return self._call(lambda: self.inner.get_trial_number_from_id(trial_id))

    def remove_session(self) -> None:
        """Closes this thread's connection: nothing to wait for."""
        self.inner.remove_session()
