// Which part of the run is in view, and the scale above it.

/** The time in view, in microseconds. At least 20 of them, and nothing before or after the run. */
const view = { from: 0, to: Math.max(timeline.end, 1000), left: 150, width: 0 };
const wholeRun = view.to;
const SPAN_MIN = 20;

const spanInView = () => view.to - view.from;
const xOf = (us) => view.left + ((us - view.from) / spanInView()) * view.width;
const timeAt = (x) => view.from + ((x - view.left) / view.width) * spanInView();

function show(from, to) {
  const span = Math.min(Math.max(to - from, SPAN_MIN), wholeRun);
  const middle = (from + to) / 2;
  view.from = Math.min(Math.max(middle - span / 2, 0), wholeRun - span);
  view.to = view.from + span;
}

/** *factor* below 1 comes nearer; the moment *around* stays where it is. */
function zoom(factor, around = (view.from + view.to) / 2) {
  const span = Math.min(Math.max(spanInView() * factor, SPAN_MIN), wholeRun);
  const from = around - ((around - view.from) / spanInView()) * span;
  show(from, from + span);
}

function move(share) {
  const by = spanInView() * share;
  show(view.from + by, view.to + by);
}

/** Bring the moment from *from* to *to* into view, with something of what came before and after. */
function showMoment(from, to) {
  const around = Math.max((to - from) * 0.4, wholeRun * 0.01, 500);
  show(from - around, to + around);
}

/** The colours of the style, read again when the scheme changes. */
const colours = {};
const COLOUR_NAMES = ["text", "muted", "line", "strong-line", "lane", "surface", "hold", "hold-text", "found", "found-text", "found-warning",
  "test", "test-bad", "error", "warning", "window", "accent"];

function readColours() {
  const style = getComputedStyle(document.documentElement);
  for (const name of COLOUR_NAMES) colours[name] = style.getPropertyValue(`--${name}`).trim();
}

/** A context of *canvas* in CSS pixels, cleared, sharp on every screen. */
function cleared(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const { clientWidth: width, clientHeight: height } = canvas;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}

/** The times of the ticks: round ones, some 90 pixels apart. */
function ticks() {
  const wanted = (spanInView() * 90) / Math.max(view.width, 1);
  const power = 10 ** Math.floor(Math.log10(wanted));
  const step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= wanted);
  const found = [];
  for (let at = Math.ceil(view.from / step) * step; at <= view.to; at += step) found.push(at);
  return { found, step };
}

function drawAxis() {
  const context = cleared(element("axis"));
  const { found, step } = ticks();
  const digits = Math.min(6, Math.max(0, 6 - Math.floor(Math.log10(step))));
  context.font = `12px ${getComputedStyle(document.body).fontFamily}`;
  context.textBaseline = "middle";
  context.fillStyle = colours.muted;
  for (const at of found) {
    const x = xOf(at);
    const label = `${(at / 1e6).toFixed(digits)} s`;
    const width = context.measureText(label).width;
    context.fillText(label, Math.min(Math.max(x - width / 2, view.left), view.left + view.width - width), 12);
    context.fillRect(Math.round(x), 22, 1, 6);
  }
}
