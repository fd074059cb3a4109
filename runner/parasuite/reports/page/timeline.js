// The timeline: drawing it, moving in it, and what is under the pointer.

const panel = element("view");
const canvas = element("lanes");
/** The mark that was stepped to, -1 for none. */
const stepped = { mark: -1 };
let isDrawingDue = false;

function draw() {
  isDrawingDue = false;
  view.width = Math.max(canvas.clientWidth - view.left - 8, 50);
  drawAxis();
  const context = cleared(canvas);
  const height = canvas.clientHeight;
  context.translate(0, -panel.scrollTop);
  context.font = `11px ${getComputedStyle(document.querySelector("code")).fontFamily}`;
  context.textBaseline = "middle";
  const shown = lanes.filter((lane) => lane.top < panel.scrollTop + height && lane.top + lane.height > panel.scrollTop);
  for (const lane of shown) drawLane(context, lane);
  clippedToTimes(context, height, () => {
    for (const lane of shown) { drawTests(context, lane); drawHolds(context, lane); }
    // Marks of lanes above and below may have their other end here.
    for (const lane of lanes) for (const i of lane.marks) drawMark(context, lane, i);
  });
  describeView();
}

function clippedToTimes(context, height, action) {
  context.save();
  context.beginPath();
  context.rect(view.left - 8, panel.scrollTop, view.width + 16, height);
  context.clip();
  action();
  context.restore();
}

function drawLane(context, lane) {
  if (lane.number % 2) {
    context.fillStyle = colours.lane;
    context.fillRect(0, lane.top, canvas.clientWidth, lane.height);
  }
  context.fillStyle = colours.line;
  context.fillRect(0, lane.top + lane.height - 1, canvas.clientWidth, 1);
  for (const at of ticks().found) context.fillRect(Math.round(xOf(at)), lane.top, 1, lane.height);
  context.fillStyle = colours.text;
  const font = context.font;
  context.font = `600 12px ${getComputedStyle(document.body).fontFamily}`;
  context.fillText(fitted(context, lane.name, view.left - 22), 12, lane.top + lane.height / 2);
  context.font = font;
}

function fitted(context, name, width) {
  if (context.measureText(name).width <= width) return name;
  let length = name.length;
  while (length > 1 && context.measureText(`${name.slice(0, length)}…`).width > width) length -= 1;
  return `${name.slice(0, length)}…`;
}

/** Draw before the next frame, however often this is called until then. */
function redraw() {
  if (!isDrawingDue) requestAnimationFrame(draw);
  isDrawingDue = true;
}

function under(event) {
  const box = canvas.getBoundingClientRect();
  return { x: event.clientX - box.left, y: event.clientY - box.top + panel.scrollTop };
}

/** What to say about the place under the pointer; "" if there is nothing. */
function described({ x, y }) {
  const lane = lanes.find((each) => y >= each.top && y < each.top + each.height);
  if (!lane || x < view.left - 8) return lane ? lane.name : "";
  const { marks, holds, tests: spans } = timeline;
  const mark = lane.marks.find((i) => Math.hypot(xOf(marks.at[i]) - x, markMiddle(lane, marks.port[i]) - y) < 9);
  if (mark !== undefined) return markText(mark);
  const near = 2 * (spanInView() / view.width);
  const at = timeAt(x);
  const covers = (start, end) => start - near <= at && at <= end + near;
  const isInRow = (top, height) => y >= top && y <= top + height;
  const hold = lane.holds.find((i) => covers(holds.start[i], holds.end[i]) && isInRow(holdTop(lane, rowOfHold[i]), ROW));
  if (hold !== undefined) return holdText(hold);
  const test = lane.tests.find((i) => covers(spans.start[i], spans.end[i]) && isInRow(testTop(lane, rowOfTest[i]), TEST_ROW + 1));
  return test === undefined ? "" : testText(test);
}

function showTip(event) {
  const tip = element("tip");
  const words = described(under(event));
  tip.hidden = !words;
  if (!words) return;
  tip.textContent = words;
  const box = element("timeline-panel").getBoundingClientRect();
  const left = Math.min(event.clientX - box.left + 14, box.width - tip.offsetWidth - 8);
  tip.style.left = `${Math.max(left, 8)}px`;
  tip.style.top = `${event.clientY - box.top + 16}px`;
}

function listenToPointer() {
  let grabbedAt = null;
  panel.addEventListener("pointerdown", (event) => {
    if (event.button || event.offsetX > panel.clientWidth) return;
    grabbedAt = event.clientX;
    panel.setPointerCapture(event.pointerId);
  });
  panel.addEventListener("pointermove", (event) => {
    if (grabbedAt === null) { showTip(event); return; }
    panel.classList.add("moving");
    element("tip").hidden = true;
    move((grabbedAt - event.clientX) / view.width);
    grabbedAt = event.clientX;
    redraw();
  });
  for (const kind of ["pointerup", "pointercancel"]) {
    panel.addEventListener(kind, () => { grabbedAt = null; panel.classList.remove("moving"); });
  }
  panel.addEventListener("pointerleave", () => { element("tip").hidden = true; });
  panel.addEventListener("dblclick", (event) => { zoom(0.4, timeAt(under(event).x)); redraw(); });
  panel.addEventListener("wheel", (event) => {
    const isAcross = event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY);
    if (!event.ctrlKey && !event.metaKey && !isAcross) return;
    event.preventDefault();
    if (isAcross) move((event.deltaX || event.deltaY) / view.width);
    else zoom(1.0015 ** event.deltaY, timeAt(under(event).x));
    redraw();
  }, { passive: false });
  panel.addEventListener("scroll", redraw);
}

const keys = {
  ArrowLeft: () => move(-0.2), ArrowRight: () => move(0.2), "+": () => zoom(0.6), "=": () => zoom(0.6), "-": () => zoom(1 / 0.6),
  0: () => show(0, wholeRun), Home: () => show(0, wholeRun), n: () => step(1), p: () => step(-1),
};

function listenToKeys() {
  panel.addEventListener("keydown", (event) => {
    const action = event.ctrlKey || event.metaKey || event.altKey ? undefined : keys[event.key];
    if (!action) return;
    event.preventDefault();
    action();
    redraw();
  });
}
