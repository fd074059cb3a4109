// Connects the parts of the page.

function fillSelect(id, labels) {
  labels.forEach((label, number) => element(id).append(new Option(label, String(number))));
}

const findingLabel = (finding) => `${finding.id} ${finding.cause}: ${text(finding.title).slice(0, 60)}`;

function readFilters() {
  filters.port = element("filter-port").value.trim();
  filters.lane = element("filter-lane").value;
  filters.test = element("filter-test").value;
  const finding = element("filter-finding").value;
  filters.finding = finding === "" ? null : Number(finding);
  stepped.mark = -1;
  selectCard();
  redraw();
}

function selectCard() {
  for (const card of document.querySelectorAll(".finding.selected")) card.classList.remove("selected");
  if (filters.finding !== null) element(`finding-${timeline.findings[filters.finding].id}`)?.classList.add("selected");
}

/** Show when *number*, a finding, happened, and nothing but what concerns it. */
function showFinding(number) {
  element("filters").reset();
  element("filter-finding").value = String(number);
  readFilters();
  const { moment } = timeline.findings[number];
  if (moment) showMoment(...moment);
  stepped.mark = marksInOrder.filter(markPasses)[0] ?? -1;
  if (stepped.mark >= 0) scrollToLane(timeline.marks.lane[stepped.mark]);
  element("timeline").scrollIntoView();
  panel.focus({ preventScroll: true });
  redraw();
}

function sayWhatWasLeftOut() {
  const left = Object.entries(timeline.left_out).filter(([, number]) => number);
  element("left-out").hidden = !left.length;
  const parts = left.map(([what, number]) => `${number.toLocaleString("en")} ${what}`).join(", ");
  element("left-out").textContent = `The page has the most important ones. Left out: ${parts}. Ports of findings come first, then what lasted longest.`;
}

function start() {
  readColours();
  fillSelect("filter-lane", timeline.lanes);
  fillSelect("filter-finding", timeline.findings.map(findingLabel));
  for (const hidden of document.querySelectorAll("#timeline-panel, .to-timeline")) hidden.hidden = false;
  panel.style.height = `${Math.min(Math.max(lanesHeight, 80), 460) + 2}px`;
  canvas.style.height = `${Math.min(Math.max(lanesHeight, 80), 460)}px`;
  element("height").style.height = `${Math.max(0, lanesHeight - canvas.clientHeight)}px`;
  listenToPointer();
  listenToKeys();
  const acts = { "zoom-in": () => zoom(0.6), "zoom-out": () => zoom(1 / 0.6), "zoom-all": () => show(0, wholeRun),
    "mark-next": () => step(1), "mark-previous": () => step(-1) };
  for (const [id, act] of Object.entries(acts)) element(id).addEventListener("click", () => { act(); redraw(); });
  for (const button of document.querySelectorAll(".to-timeline")) button.addEventListener("click", () => showFinding(Number(button.dataset.finding)));
  element("filters").addEventListener("input", readFilters);
  element("filters").addEventListener("submit", (event) => event.preventDefault());
  element("filter-clear").addEventListener("click", () => { element("filters").reset(); readFilters(); });
  element("events").addEventListener("toggle", redraw);
  window.addEventListener("hashchange", openLinkedFinding);
  new ResizeObserver(redraw).observe(panel);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readColours(); redraw(); });
  // A print has the colours of its own style, and is made before the next frame.
  window.addEventListener("beforeprint", () => { readColours(); draw(); });
  window.addEventListener("afterprint", () => { readColours(); redraw(); });
  sayWhatWasLeftOut();
  startTests();
  openLinkedFinding();
  draw();
}

start();
