"""What a finding is called: its id, title and evidence, and the findings that it is related to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parasuite.judge.findings import Finding, find
from parasuite.judge.findings.programs import program_name
from parasuite.model.events import Event, Orphaned, ProcessSeen, Release, RunStarted, Seen
from parasuite.model.party import Caller, Party
from parasuite.model.words import Evidence, SocketOption

from runner.tests.building import by, connects, draws, refused, serves, tcp, udp

MS = 1_000_000
WORKERS = ("", "gw0", "py311/gw1")


@dataclass(frozen=True)
class Circumstances:
    """What differs between two runs of one suite."""

    copies: tuple[int, int]
    workers: tuple[str, str]
    pids: tuple[int, int]
    ports: tuple[int, int]
    start_ns: int
    step_ns: int


circumstances = st.builds(
    Circumstances,
    copies=st.permutations(range(8)).map(lambda copies: (copies[0], copies[1])),
    workers=st.tuples(st.sampled_from(WORKERS), st.sampled_from(WORKERS)),
    pids=st.permutations(range(1000, 1020)).map(lambda pids: (pids[0], pids[1])),
    ports=st.permutations(range(40000, 40010)).map(lambda ports: (ports[0], ports[1])),
    start_ns=st.integers(1, 1000) | st.integers(10**12, 10**13),
    step_ns=st.integers(11 * MS, 60 * MS),
)
USUAL = Circumstances((0, 1), ("", ""), (1000, 1001), (40000, 40001), 1, 20 * MS)


def planted(run: Circumstances) -> list[Finding]:
    """The findings of a suite with one defect of each kind, in the circumstances of *run*."""

    def party(number: int, line: str, test: str = "t.py::a") -> Caller:
        pid = run.pids[number]
        return by(run.copies[number], pid, tid=pid, worker=run.workers[number], test=test, line=line)

    moments = iter(run.start_ns + number * run.step_ns for number in range(1, 1000))
    drawn, other = run.ports
    events: list[Event] = [RunStarted(t_ns=0, wall_ns=1, ephemeral_first=32768, ephemeral_last=60999)]
    for number in (0, 1):
        described = party(number, "")._replace(test="")
        name, command = "node", f"/usr/bin/node --port={run.ports[number]} /tmp/{run.pids[number]}/a.test.js"
        events.append(ProcessSeen(t_ns=0, caller=described, name=name, command=command))
    # A fixed port, refused to the other party.
    owner = party(0, "conf.py:1:serve")
    events += serves(fixed := next(moments), owner, tcp(8025))
    events.append(refused(next(moments), party(1, "conf.py:1:serve"), tcp(8025), owner.process.party, fixed))
    # A fixed name of one party, and a fixed port of another program.
    events += serves(next(moments), party(0, "", ""), udp(8053))
    # A lost port.
    events += draws(next(moments), party(0, "conf.py:2:free_port"), tcp(drawn))
    events += serves(lost := next(moments), party(0, "t.py:3:start"), tcp(drawn))
    events.append(Release(t_ns=next(moments), cookie=lost))
    # A port that should stay closed.
    events += draws(next(moments), party(1, "t.py:4:closed"), tcp(other))
    events.append(connects(next(moments), party(1, "t.py:5:refusing"), tcp(other)))
    # Reuse, exposure, and an endpoint that outlives its copy.
    reuse = (SocketOption.REUSEADDR,)
    events += serves(next(moments), party(0, "t.py:6:peer"), udp(drawn), asked_port=0, options=reuse)
    events += serves(next(moments), party(1, "t.py:7:listen"), tcp(other, "0.0.0.0"), asked_port=0)
    orphaned = party(1, "")._replace(test="")
    events.append(Orphaned(t_ns=next(moments), caller=orphaned, endpoint=tcp(other), socket="inode:7"))
    return list(find(sorted(events, key=lambda event: event.t_ns)).findings)


def names(findings: Sequence[Finding]) -> set[tuple[str, str, str]]:
    return {(finding.cause, finding.id, finding.title) for finding in findings}


@given(circumstances)
def test_ids_and_titles_are_the_same_whatever_the_copies_workers_pids_ports_and_times(run: Circumstances) -> None:
    assert names(planted(run)) == names(planted(USUAL))


def test_each_of_those_defects_has_an_id_of_its_own() -> None:
    findings = planted(USUAL)
    assert sorted(finding.cause for finding in findings) == [
        "closed-port",
        "exposed",
        "hard-coded",
        "hard-coded",
        "lost-port",
        "orphan",
        "reuse",
    ]
    assert len({finding.id for finding in findings}) == len(findings)


def a_refusal(line: str) -> Finding:
    server = serves(1, by(0, 1, line=line), tcp(41000), asked_port=0)
    client = connects(5, by(1, 2, line=line), tcp(41000))
    (finding,) = find([*server, client]).findings
    return finding


def test_a_line_that_is_added_above_changes_no_id() -> None:
    assert a_refusal("t.py:3:f").id == a_refusal("t.py:4:f").id
    assert a_refusal("t.py:3:f").id != a_refusal("t.py:3:g").id


# --- evidence -------------------------------------------------------------------------------------------------------


def seen(t_ns: int, copy: int, inode: int, port: int) -> Seen:
    return Seen(t_ns=t_ns, caller=by(copy, 1000 + inode), endpoint=tcp(port), socket=f"inode:{inode}")


def test_a_finding_is_as_well_known_as_its_gravest_effect() -> None:
    events = [
        *serves(1, by(0, 1), tcp(8025), cookie=7),
        seen(2, 2, 9, 8025),
        refused(5, by(1, 2), tcp(8025), Party(0), 7),
    ]
    (finding,) = find(events).findings
    refusals = [effect for effect in finding.effects if effect.kind == "refused"]
    assert (finding.evidence, [effect.evidence for effect in refusals]) == (Evidence.EXACT, [Evidence.EXACT])


def test_a_cause_is_as_well_known_as_the_worst_known_of_its_parties() -> None:
    events = [*serves(1, by(0, 1), tcp(8025)), Release(t_ns=9, cookie=1), seen(20, 1, 9, 8025)]
    (finding,) = find(events).findings
    assert (finding.severity, finding.evidence) == ("warning", Evidence.SAMPLED)


# --- related --------------------------------------------------------------------------------------------------------


def test_findings_about_one_port_name_each_other() -> None:
    everywhere = tcp(8025, "0.0.0.0")
    run = RunStarted(t_ns=0, wall_ns=1, addresses=("192.0.2.7",))
    events = [
        run,
        *serves(1, by(0, 1, line="t.py:3:f"), everywhere),
        *serves(20, by(0, 1, line="t.py:9:g"), tcp(8026)),
    ]
    by_cause = {(str(finding.cause), finding.endpoint.port): finding for finding in find(events).findings}
    exposed, fixed, other = (by_cause[key] for key in (("exposed", 8025), ("hard-coded", 8025), ("hard-coded", 8026)))
    assert (exposed.related, fixed.related, other.related) == ((fixed.id,), (exposed.id,), ())


# --- programs -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("process", "command", "name"),
    [
        ("node", "/usr/bin/node a.test.js", "node a.test.js"),
        ("node", "node --require ./setup.js --test-concurrency=4 /r/test/a.test.js --port 8025", "node a.test.js"),
        ("node", "node -e require('net')", "node"),
        ("java", "/opt/jdk/bin/java -Xmx1g -cp a.jar:b.jar org.example.Server 8025", "java org.example.Server"),
        ("java", "java -jar /r/target/server-1.0.jar --port 8025", "java server-1.0.jar"),
        ("java", "java -jar /r/target/surefire/surefirebooter4411020165.jar /r jvmRun1", "java surefirebooter.jar"),
        ("java", "java -m org.example/org.example.Main", "java org.example.Main"),
        ("python", "python -m http.server 8025", "python -m http.server"),
        ("python3", "/usr/bin/python3.11 -X dev /tmp/ab12/serve.py 8025", "python serve.py"),
        ("python", "python -c import", "python"),
        ("sh", "sh -c exec", "sh"),
        ("bash", "/bin/bash ./run-tests.sh", "bash run-tests.sh"),
        ("server.test", "/tmp/go-build77/b001/server.test -test.timeout=10m0s", "server.test"),
        ("", "/tmp/go-build77/b001/server.test -test.timeout=10m0s", "server.test"),
        ("redis-server", "redis-server 127.0.0.1:6379", "redis-server"),
        ("postgres", "postgres: checkpointer", "postgres"),
        ("nginx", "", "nginx"),
        ("probe-9949de816", "/r/target/debug/deps/probe-9949de8161234567 --test-threads=2", "probe"),
        ("prometheus-node", "/usr/bin/prometheus-node-exporter --port=8025", "prometheus-node-exporter"),
        ("odd", "odd 'unclosed", "odd"),
    ],
)
def test_a_program_is_called_by_the_script_that_it_runs(process: str, command: str, name: str) -> None:
    assert program_name(process, command) == name
