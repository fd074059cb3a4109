// Where everything is drawn. A lane per party: tests on top, then a row for each port of a finding, so that a port has
// the same order of rows in every lane, then the other holds, packed into as few rows as they need.

const ROW = 15;
const GAP = 3;
const TEST_ROW = 7;
const PADDING = 7;
const OWN_ROWS_MAX = 6;
const PACKED_ROWS_MAX = 6;
const TEST_ROWS_MAX = 4;

const lanes = timeline.lanes.map((name, number) => ({
  name, number, tests: [], holds: [], marks: [], rowOfPort: new Map(), testRows: 0, rows: 0, top: 0, height: 0,
}));
const rowOfHold = new Int16Array(timeline.holds.start.length);
const rowOfTest = new Int16Array(timeline.tests.start.length);

/** The first row that is free at *start*; the last one where none is. */
function freeRow(ends, start, end, max) {
  let row = ends.findIndex((busyUntil) => busyUntil <= start);
  if (row < 0) row = Math.min(ends.length, max - 1);
  ends[row] = Math.max(ends[row] ?? 0, end);
  return row;
}

function takeOwnRow(lane, port) {
  if (findingOfPort.has(port) && lane.rowOfPort.size < OWN_ROWS_MAX) lane.rowOfPort.set(port, 0);
}

function layOut() {
  const { holds, marks, tests: spans } = timeline;
  const byStart = (starts) => (a, b) => starts[a] - starts[b];
  holds.lane.forEach((lane, i) => { lanes[lane].holds.push(i); takeOwnRow(lanes[lane], holds.port[i]); });
  spans.lane.forEach((lane, i) => lanes[lane].tests.push(i));
  marks.lane.forEach((lane, i) => { lanes[lane].marks.push(i); takeOwnRow(lanes[lane], marks.port[i]); });
  let top = 0;
  for (const lane of lanes) {
    lane.holds.sort(byStart(holds.start));
    lane.tests.sort(byStart(spans.start));
    const ports = [...lane.rowOfPort.keys()].sort((a, b) => findingOfPort.get(a) - findingOfPort.get(b) || a - b);
    ports.forEach((port, row) => lane.rowOfPort.set(port, row));
    const packed = [];
    const busy = [];
    for (const i of lane.tests) rowOfTest[i] = freeRow(busy, spans.start[i], spans.end[i], TEST_ROWS_MAX);
    for (const i of lane.holds) {
      const own = lane.rowOfPort.get(holds.port[i]);
      rowOfHold[i] = own ?? ports.length + freeRow(packed, holds.start[i], holds.end[i], PACKED_ROWS_MAX);
    }
    lane.testRows = busy.length;
    lane.rows = ports.length + packed.length;
    lane.top = top;
    lane.height = 2 * PADDING + Math.max(lane.testRows * (TEST_ROW + 2) + lane.rows * (ROW + GAP), ROW + GAP);
    top += lane.height;
  }
  return top;
}

const lanesHeight = layOut();
const testTop = (lane, row) => lane.top + PADDING + row * (TEST_ROW + 2);
const holdTop = (lane, row) => lane.top + PADDING + lane.testRows * (TEST_ROW + 2) + row * (ROW + GAP);
const markMiddle = (lane, port) => holdTop(lane, lane.rowOfPort.get(port) ?? 0) + ROW / 2;

const isInView = (start, end) => end >= view.from && start <= view.to;

function holdColours(i) {
  const finding = findingOfPort.get(timeline.holds.port[i]);
  const severity = finding === undefined ? "note" : timeline.findings[finding].severity;
  if (severity === "error") return [colours.found, colours["found-text"]];
  if (severity === "warning") return [colours["found-warning"], colours["hold-text"]];
  return [colours.hold, colours["hold-text"]];
}

/** The left and right end of a bar: cut at the edges of the view, never thinner than a pixel and a half. */
function ends(start, end) {
  const from = Math.max(xOf(start), view.left);
  return [from, Math.max(Math.min(xOf(end), view.left + view.width), from + 1.5)];
}

const FAINT = 0.22;

function drawTests(context, lane) {
  const { start, end, outcome } = timeline.tests;
  const drawnUntil = [];
  for (const i of lane.tests) {
    if (!isInView(start[i], end[i])) continue;
    const [from, to] = ends(start[i], end[i]);
    const isBad = BAD_LETTERS.includes(outcome[i]);
    // Thousands of short tests share a pixel: one of them is enough, unless it failed.
    if (!isBad && to <= (drawnUntil[rowOfTest[i]] ?? -1)) continue;
    drawnUntil[rowOfTest[i]] = to;
    context.globalAlpha = testSpanPasses(i) ? 1 : FAINT;
    context.fillStyle = isBad ? colours["test-bad"] : colours.test;
    context.fillRect(from, testTop(lane, rowOfTest[i]), Math.max(to - from - 0.7, 1), TEST_ROW);
  }
  context.globalAlpha = 1;
}

function drawHolds(context, lane) {
  const { start, end, port } = timeline.holds;
  const drawnUntil = [];
  for (const i of lane.holds) {
    if (!isInView(start[i], end[i])) continue;
    const [from, to] = ends(start[i], end[i]);
    const passes = holdPasses(i);
    if (to <= (drawnUntil[rowOfHold[i]] ?? -1) && !passes) continue;
    drawnUntil[rowOfHold[i]] = to;
    const [fill, ink] = holdColours(i);
    const top = holdTop(lane, rowOfHold[i]);
    context.globalAlpha = passes ? 1 : FAINT;
    context.fillStyle = fill;
    context.beginPath();
    context.roundRect(from, top, to - from, ROW, Math.min(3, (to - from) / 2));
    context.fill();
    const label = text(port[i]).split(" ").slice(1).join(" ");
    if (to - from > 8 + 7 * label.length) {
      context.fillStyle = ink;
      context.fillText(label, from + 5, top + ROW / 2 + 0.5);
    }
  }
  context.globalAlpha = 1;
}

function drawWindow(context, lane, i) {
  const { at, window: length, port } = timeline.marks;
  if (!length[i] || !isInView(at[i] - length[i], at[i])) return;
  const [from, to] = ends(at[i] - length[i], at[i]);
  const top = markMiddle(lane, port[i]) - ROW / 2;
  context.strokeStyle = colours.window;
  context.lineWidth = 1;
  context.save();
  context.beginPath();
  context.rect(from, top, to - from, ROW);
  context.stroke();
  context.clip();
  context.beginPath();
  for (let x = from - ROW; x < to; x += 5) { context.moveTo(x, top + ROW); context.lineTo(x + ROW, top); }
  context.stroke();
  context.restore();
}

function drawMark(context, lane, i) {
  const { at, other, port, kind, recovered } = timeline.marks;
  context.globalAlpha = markPasses(i) ? 1 : FAINT;
  drawWindow(context, lane, i);
  if (isInView(at[i], at[i]) && text(kind[i]) !== "lost window") {
    const x = xOf(at[i]);
    const y = markMiddle(lane, port[i]);
    context.fillStyle = context.strokeStyle = recovered[i] ? colours.warning : colours.error;
    if (other[i] >= 0) drawLink(context, x, y, markMiddle(lanes[other[i]], port[i]));
    drawShape(context, text(kind[i]), x, y);
    if (i === stepped.mark) {
      context.strokeStyle = colours.accent;
      context.lineWidth = 2;
      context.beginPath();
      context.arc(x, y, 11, 0, 7);
      context.stroke();
    }
  }
  context.globalAlpha = 1;
}

/** From the party that something happened to, to the one whose doing it was. */
function drawLink(context, x, from, to) {
  context.lineWidth = 1;
  context.setLineDash([3, 3]);
  context.beginPath();
  context.moveTo(x, from);
  context.lineTo(x, to);
  context.stroke();
  context.setLineDash([]);
  context.beginPath();
  context.arc(x, to, 2.5, 0, 7);
  context.fill();
}

function drawShape(context, kind, x, y) {
  context.beginPath();
  if (kind === "crosstalk") [[0, -7], [7, 0], [0, 7], [-7, 0]].forEach(([dx, dy]) => context.lineTo(x + dx, y + dy));
  else if (kind === "shared") context.arc(x, y, 6, 0, 7);
  else [[-7, -6], [7, -6], [0, 7]].forEach(([dx, dy]) => context.lineTo(x + dx, y + dy));
  context.closePath();
  context.fill();
  context.strokeStyle = colours.surface;
  context.lineWidth = 1.5;
  context.stroke();
}
