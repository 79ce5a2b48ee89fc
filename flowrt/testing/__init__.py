"""Declarative flow tests: a `*.test.yaml` beside a flow says what goes in and what must come out.

    flow: intersection.yaml
    tests:
      - name: a car that runs the red light is reported once
        set: {north.uri: "sim://four-way?seed=11&camera=north&scenario=red_light&duration_s=40"}
        input: {signals: [{time_s: 0, states: {phase_2: stop-and-remain}}]}
        expect:
          - {from: to_broker, topic: violations, where: {violation_type: red_light, phase: new}, count: 1}

The flow runs in full, under virtual time; brokers and databases are recorders, so a test needs neither and takes only the time to
compute. `input` puts literal messages in the place of a source, or a recording in the place of any node:
`input: {tracks: {recorded: monday.recording}}`. Besides what a test expects, every payload must keep to its schema; of telemetry every
tenth is looked at.

`suite.py` reads such a file, `check.py` finds what makes no sense in it, `run.py` runs it.
"""

from flowrt.testing.suite import Case, Expectation, FromRecording, Suite, read_suite
from flowrt.testing.suite_checks import Ready, prepare
from flowrt.testing.suite_run import Failure, Outcome, run_case

__all__ = [
    "Case",
    "Expectation",
    "Failure",
    "FromRecording",
    "Outcome",
    "Ready",
    "Suite",
    "prepare",
    "read_suite",
    "run_case",
]
