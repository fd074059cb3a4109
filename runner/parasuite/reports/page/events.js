// What is in view in words: the status line, a table, and the step from mark to mark.

const ROWS_MAX = 100;
const marksInOrder = timeline.marks.at.map((_, i) => i).sort((a, b) => timeline.marks.at[a] - timeline.marks.at[b]);

const where = (lane, test) => (text(test) ? `${timeline.lanes[lane]}, ${text(test)}` : timeline.lanes[lane]);

function markText(i) {
  const { kind, lane, other, at, window: length, endpoint, test, recovered, count: times, finding } = timeline.marks;
  const lines = [`${text(kind[i])}: ${text(endpoint[i])} at ${seconds(at[i], spanInView())}`, where(lane[i], test[i])];
  if (other[i] >= 0) lines.push(`because of ${timeline.lanes[other[i]]}`);
  if (length[i]) lines.push(`the port had been free for ${(length[i] / 1000).toFixed(1)} ms`);
  if (recovered[i]) lines.push("went on with another port");
  if (times[i] > 1) lines.push(`${times[i]} times between these two; this is the first`);
  lines.push(`finding ${timeline.findings[finding[i]].id}`);
  return lines.join("\n");
}

function holdText(i) {
  const { lane, start, end, endpoint, test, place, pid, asked } = timeline.holds;
  const lines = [
    `${text(endpoint[i])} held for ${((end[i] - start[i]) / 1000).toFixed(1)} ms from ${seconds(start[i], spanInView())}`,
    where(lane[i], test[i]),
  ];
  if (text(place[i])) lines.push(text(place[i]));
  if (pid[i]) lines.push(`pid ${pid[i]}`);
  if (asked[i] >= 0) lines.push(asked[i] ? `asked for port ${asked[i]}` : "port chosen by the kernel");
  return lines.join("\n");
}

function testText(i) {
  const { lane, start, end, name, outcome } = timeline.tests;
  return `${text(name[i])}\n${tests.letters[outcome[i]]} in ${timeline.lanes[lane[i]]}, ${((end[i] - start[i]) / 1000).toFixed(1)} ms`;
}

const portOf = (port) => text(port).split(" ").slice(1).join(" ");

/** What of the kind of *i* is in view and passes the filters; marks first. */
function inView() {
  const { marks, holds } = timeline;
  const shownMarks = marksInOrder.filter((i) => isInView(marks.at[i] - marks.window[i], marks.at[i]) && markPasses(i));
  const shownHolds = [];
  holds.start.forEach((start, i) => { if (isInView(start, holds.end[i]) && holdPasses(i)) shownHolds.push(i); });
  return { shownMarks, shownHolds };
}

function describeView() {
  const { shownMarks, shownHolds } = inView();
  const span = spanInView();
  const range = `${seconds(view.from, span)} to ${seconds(view.to, span)}`;
  const at = stepped.mark >= 0 ? ` Now at: ${markText(stepped.mark).replaceAll("\n", ", ")}.` : "";
  setText("status", `${range}: ${count(shownHolds.length, "hold")}, ${count(shownMarks.length, "mark")}.${at}`);
  if (element("events").open) fillTable(shownMarks, shownHolds);
}

function fillTable(shownMarks, shownHolds) {
  const { marks, holds } = timeline;
  const rows = shownMarks.slice(0, ROWS_MAX).map((i) => row(marks.at[i], marks.lane[i], text(marks.kind[i]), marks.port[i], marks.test[i]));
  const byStart = shownHolds.toSorted((a, b) => holds.start[a] - holds.start[b]).slice(0, ROWS_MAX - rows.length);
  rows.push(...byStart.map((i) => row(holds.start[i], holds.lane[i], "held", holds.port[i], holds.test[i])));
  element("event-rows").replaceChildren(...rows);
  const left = shownMarks.length + shownHolds.length - rows.length;
  element("events-more").hidden = !left;
  element("events-more").textContent = `And ${left.toLocaleString("en")} more: zoom in, or filter.`;
}

function row(at, lane, what, port, test) {
  return made("tr", "", made("td", "when", seconds(at, spanInView())), made("td", "", timeline.lanes[lane]),
    made("td", what === "held" ? "" : "bad", what), made("td", "", made("code", "", portOf(port))), made("td", "", made("code", "", text(test))));
}

/** Go to the next mark (*by* 1) or the previous one (-1) that passes the filters. */
function step(by) {
  const { at } = timeline.marks;
  const passing = marksInOrder.filter(markPasses);
  if (!passing.length) return;
  const place = passing.indexOf(stepped.mark);
  const middle = (view.from + view.to) / 2;
  let next = place + by;
  if (place < 0) {
    next = by > 0 ? passing.findIndex((i) => at[i] >= middle) : passing.findLastIndex((i) => at[i] <= middle);
    if (next < 0) next = by > 0 ? passing.length - 1 : 0;
  }
  stepped.mark = passing[Math.min(Math.max(next, 0), passing.length - 1)];
  show(at[stepped.mark] - spanInView() / 2, at[stepped.mark] + spanInView() / 2);
  scrollToLane(timeline.marks.lane[stepped.mark]);
}

function scrollToLane(number) {
  const lane = lanes[number];
  const isVisible = lane.top >= panel.scrollTop && lane.top + lane.height <= panel.scrollTop + panel.clientHeight;
  if (!isVisible) panel.scrollTop = Math.max(0, lane.top - (panel.clientHeight - lane.height) / 2);
}
