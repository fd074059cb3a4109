// The table of tests: how often each passed, in copies or in rounds, the worst first, a page of rows at a time.

const tests = parsed("test-data");
const TEST_ROWS = 100;
const testName = (i) => tests.strings[tests.names[i]];
const testState = { matching: [], shown: 0 };
const BAD_LETTERS = "FELC";

function matchesTest(i) {
  const passedEverywhere = tests.passed[i] === tests.of[i];
  return testName(i).includes(element("test-search").value) && !(element("test-uneven").checked && passedEverywhere);
}

/** "copy 0", or "round 1". */
const cellName = (place) => `${tests.unit} ${place + tests.first}`;

function cellsOf(outcomes) {
  const cells = made("span", "");
  cells.setAttribute("role", "img");
  cells.setAttribute("aria-label", [...outcomes].map((letter, place) => `${cellName(place)} ${tests.letters[letter] ?? "no result"}`).join(", "));
  [...outcomes].forEach((letter, place) => {
    const cell = made("span", `cell ${letter === "P" ? "" : BAD_LETTERS.includes(letter) ? "bad-cell" : "other-cell"}`);
    cell.title = `${cellName(place)}: ${tests.letters[letter] ?? "no result"}`;
    cells.append(cell);
  });
  return cells;
}

function testRow(i) {
  const outcomes = tests.outcomes[i];
  const isBad = [...outcomes].some((letter) => BAD_LETTERS.includes(letter));
  const name = made("th", "", made("code", "", testName(i)));
  name.scope = "row";
  return made("tr", "", name, made("td", isBad ? "rate bad" : "rate", `${tests.passed[i]} of ${tests.of[i]}`),
    made("td", outcomes.length > 40 ? "" : "cells", cellsOf(outcomes)), made("td", "number", tests.last[i]));
}

function showMoreTests() {
  const next = testState.matching.slice(testState.shown, testState.shown + TEST_ROWS);
  element("test-rows").append(...next.map(testRow));
  testState.shown += next.length;
  element("test-more").hidden = testState.shown === testState.matching.length;
}

function showTests() {
  testState.matching = tests.names.map((_, i) => i).filter(matchesTest);
  testState.shown = 0;
  element("test-rows").replaceChildren();
  setText("test-count", count(testState.matching.length, "test"));
  showMoreTests();
}

function startTests() {
  element("test-filters").addEventListener("input", showTests);
  element("test-filters").addEventListener("submit", (event) => event.preventDefault());
  element("test-more").addEventListener("click", showMoreTests);
  element("tests-left-out").hidden = !tests.left_out;
  element("tests-left-out").textContent = `Left out: ${count(tests.left_out, "test")}, of those that failed least often; see ${tests.more_in}.`;
  element("tests-panel").hidden = false;
  showTests();
}
