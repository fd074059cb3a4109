// The data of the timeline, which the page contains as JSON, and what passes the filters.

const timeline = parsed("timeline-data");
const text = (number) => timeline.strings[number];

/** The numbers of a column that is stored as differences, each from the number before it. */
function summed(differences) {
  let sum = 0;
  return differences.map((difference) => { sum += difference; return sum; });
}
timeline.tests.start = summed(timeline.tests.after);
timeline.tests.end = timeline.tests.start.map((start, i) => start + timeline.tests.took[i]);

/** "2.350 s", or with microseconds where *span*, the time in view, is short. */
function seconds(us, span = 1e7) {
  const digits = span > 2e7 ? 1 : span > 2e5 ? 3 : 6;
  return `${(us / 1e6).toFixed(digits)} s`;
}

/** Which finding each port or path belongs to: the gravest, since findings come in that order. */
const findingOfPort = new Map();
timeline.findings.forEach((finding, number) => {
  for (const port of finding.endpoints) {
    if (!findingOfPort.has(port)) findingOfPort.set(port, number);
  }
});

/** What the user asks for: everything that is "" or null is not asked for. */
const filters = { port: "", lane: "", test: "", finding: null };

const SAME_PORT = /^\d+$/;

/** Whether a port ("tcp 8025") or a path is asked for: a number asks for exactly that port. */
function portPasses(port) {
  if (!filters.port) return true;
  const name = text(port);
  return SAME_PORT.test(filters.port) ? name.endsWith(` ${filters.port}`) : name.includes(filters.port);
}

function endpointsPass(port) {
  return filters.finding === null || timeline.findings[filters.finding].endpoints.includes(port);
}

const lanePasses = (lane) => filters.lane === "" || Number(filters.lane) === lane;
const testPasses = (test) => !filters.test || text(test).includes(filters.test);

function holdPasses(i) {
  const { lane, port, test } = timeline.holds;
  return lanePasses(lane[i]) && portPasses(port[i]) && endpointsPass(port[i]) && testPasses(test[i]);
}

function markPasses(i) {
  const { lane, other, port, test, finding } = timeline.marks;
  const isOfLane = lanePasses(lane[i]) || lanePasses(other[i]);
  return isOfLane && portPasses(port[i]) && testPasses(test[i]) && (filters.finding === null || finding[i] === filters.finding);
}

function testSpanPasses(i) {
  return lanePasses(timeline.tests.lane[i]) && testPasses(timeline.tests.name[i]);
}
