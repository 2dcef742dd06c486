"""An Optuna storage that calls its database again after a lost connection."""

from collections.abc import Callable, Sequence
from typing import Any

from optuna.exceptions import DuplicatedStudyError, UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import TrialState

from gridsearch.results.shared.retry import Retries


def _retried(name: str) -> Callable[..., Any]:
    """Return a method that calls the inner storage's of this name: to call it twice changes nothing."""

    def method(storage: "RetryingStorage", *args: Any, **kwargs: Any) -> Any:
        return storage.retries.call(lambda: getattr(storage.inner, name)(*args, **kwargs))

    method.__name__ = name
    return method


class RetryingStorage(BaseStorage):
    """Forwards every call to an inner storage, and calls again after a lost connection (see `Retries`).

    A call whose answer was lost may have been carried out. To read, to set an attribute, a parameter or a
    rung's value again changes nothing; each other method says what it does. Several threads may call it.

    Raises, in every method:
        StorageLost: the database did not answer for as long as `retries` allow.
    """

    def __init__(self, inner: BaseStorage, retries: Retries | None = None):
        self.inner = inner
        self.retries = retries or Retries()

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
                if study_name is None:
                    raise
                made = self.inner.get_study_id_from_name(study_name)
                alike = self.inner.get_study_directions(made) == list(directions)
                if not alike or self.inner.get_n_trials(made):
                    raise
                return made

        return self.retries.call(first, again)

    def delete_study(self, study_id: int) -> None:
        """After a lost answer, a study that is not there is one that was deleted."""

        def again() -> None:
            try:
                self.inner.delete_study(study_id)
            except KeyError:
                return

        self.retries.call(lambda: self.inner.delete_study(study_id), again)

    set_study_user_attr = _retried("set_study_user_attr")
    set_study_system_attr = _retried("set_study_system_attr")
    get_study_id_from_name = _retried("get_study_id_from_name")
    get_study_name_from_id = _retried("get_study_name_from_id")
    get_study_directions = _retried("get_study_directions")
    get_study_user_attrs = _retried("get_study_user_attrs")
    get_study_system_attrs = _retried("get_study_system_attrs")
    get_all_studies = _retried("get_all_studies")

    # A trial

    # After a lost answer there may be the same new trial twice: nothing tells one from another. Optuna's own
    # five tries inside one call may do so too.
    create_new_trial = _retried("create_new_trial")

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

        return self.retries.call(first, again)

    def _put_back(self, trial_id: int) -> bool:
        """After a lost answer, a trial that another worker has taken since then stays with that worker."""
        taken = self.get_trial(trial_id).datetime_start

        def first() -> bool:
            return self.inner.set_trial_state_values(trial_id, TrialState.WAITING)

        def again() -> bool:
            return self.inner.get_trial(trial_id).datetime_start != taken or first()

        return self.retries.call(first, again)

    set_trial_param = _retried("set_trial_param")
    set_trial_intermediate_value = _retried("set_trial_intermediate_value")
    set_trial_user_attr = _retried("set_trial_user_attr")
    set_trial_system_attr = _retried("set_trial_system_attr")
    get_trial = _retried("get_trial")
    get_all_trials = _retried("get_all_trials")
    get_n_trials = _retried("get_n_trials")
    get_best_trial = _retried("get_best_trial")
    get_trial_param = _retried("get_trial_param")
    get_trial_id_from_study_id_trial_number = _retried("get_trial_id_from_study_id_trial_number")
    get_trial_number_from_id = _retried("get_trial_number_from_id")

    def remove_session(self) -> None:
        """Close this thread's connection, which needs no answer."""
        self.inner.remove_session()
