"""What a run was asked for, and which settings do not fit its target or each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from parasuite.model.ambient import AmbientService
from parasuite.model.suppression import Suppression
from parasuite.model.words import ExitCodeFrom, FailOn, NetworkMode, OptionalReport, Until
from parasuite.plan.baseline import Baseline
from parasuite.plan.errors import ConfigError
from parasuite.plan.setting import Origin, Setting, Source
from parasuite.plan.settings import SETTINGS, Settings, optional_reports
from parasuite.plan.targets import ResultSource, Target

_RUN_AGAIN = ("control", "prove_s")
"""The fields of settings that have tests run once more after the run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSpec(Settings):
    """Everything that a run was asked for. *timeout_s*: per copy. *sensors*: names, ("auto",), or () for none.

    *origins*: of each setting, by its name. *ambient*: what the suite is meant to use outside the run.
    *suppressions*, *accepted*: findings that the project lives with. *notes*: what was found out before
    the run began, a sentence each.
    """

    target: Target
    pytest_args: tuple[str, ...]
    origins: Mapping[str, Source]
    ambient: tuple[AmbientService, ...] = ()
    suppressions: tuple[Suppression, ...] = ()
    accepted: Baseline = field(default_factory=Baseline)
    notes: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        settings: Settings,
        *,
        target: Target,
        pytest_args: tuple[str, ...],
        origins: Mapping[str, Source],
        ambient: tuple[AmbientService, ...],
    ) -> RunSpec:
        """A run with these *settings*."""
        values = {name: getattr(settings, name) for name in SETTINGS}
        return cls(target=target, pytest_args=pytest_args, origins=origins, ambient=ambient, **values)

    @property
    def optional_reports(self) -> frozenset[OptionalReport]:
        """Which of them are to be written."""
        return optional_reports(page=self.page, trace=self.trace)

    @property
    def is_observed_only(self) -> bool:
        """Whether the only copy is to run as if parasuite were not there, with parasuite's own standard streams."""
        return self.exit_code_from is ExitCodeFrom.SUITE and self.copies == 1

    @property
    def is_series(self) -> bool:
        """Whether more than one round was asked for."""
        return (self.repeat or 1) > 1 or self.duration_s is not None or self.until is not None

    def check(self) -> None:
        """Raises ConfigError for settings that do not fit the target, or each other."""
        for setting in SETTINGS.values():
            self._check_applies(setting)
        if self.until is Until.FINDING and self.fail_on is FailOn.NEVER:
            label = SETTINGS["until"].label(self.origins["until"])
            raise ConfigError(f"{label} {self.until} would never stop: --fail-on {self.fail_on} lets no finding fail")
        if self.collect_junit is not None and "{copy}" not in self.collect_junit and self.copies > 1:
            label = SETTINGS["collect_junit"].label(self.origins["collect-junit"])
            raise ConfigError(
                f"{label} must contain {{copy}}, or the copies overwrite each other's file; "
                "the command finds its copy's number in $PARASUITE_COPY"
            )
        if self.port_range is not None and self.network is not NetworkMode.PRIVATE:
            label = SETTINGS["port_range"].label(self.origins["port-range"])
            raise ConfigError(f"{label} only applies to a private network; add --network {NetworkMode.PRIVATE}")
        if self.hosts is not None and self.dask is None:
            raise ConfigError("--hosts only applies to the hosts of a cluster; add --dask ADDRESS")
        if self.dask is not None and self.is_observed_only:
            raise ConfigError("--dask shows no output of the suite, as a single copy with --exit-code suite must")
        if self.prove_s is not None and not self.sensors:
            label = SETTINGS["prove_s"].label(self.origins["prove"])
            raise ConfigError(f"{label} has nothing to prove with --sensors none, which finds nothing; leave one out")
        for setting in (SETTINGS[name] for name in _RUN_AGAIN if getattr(self, name) is not None):
            if self.is_observed_only or self.is_series:
                label = setting.label(self.origins[setting.name])
                why = "the only copy is just observed" if self.is_observed_only else "there are several rounds"
                raise ConfigError(f"{label} runs tests once more, which does not apply here: {why}")

    def _check_applies(self, setting: Setting[Any]) -> None:
        source = self.origins[setting.name]
        if setting.applies_to in (None, self.target.results) or source.origin is Origin.DEFAULT:
            return
        if setting.is_ignored_elsewhere and source.origin is not Origin.COMMAND_LINE:
            return
        intended = "pytest targets" if setting.applies_to is ResultSource.PYTEST else "commands"
        raise ConfigError(f"{setting.label(source)} only applies to {intended}; {setting.instead}")
