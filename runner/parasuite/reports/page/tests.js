// The table of tests: how often each passed, the worst first, a page of rows at a time.

const TEST_ROWS = 100;
const testName = (i) => tests.strings[tests.names[i]];
const testState = { matching: [], shown: 0 };
const BAD_LETTERS = "FELC";

function matchesTest(i) {
  const passedEverywhere = /^P*$/.test(tests.outcomes[i]);
  return testName(i).includes(element("test-search").value) && !(element("test-uneven").checked && passedEverywhere);
}

function cellsOf(outcomes) {
  const cells = made("span", "");
  cells.setAttribute("role", "img");
  cells.setAttribute("aria-label", [...outcomes].map((letter, copy) => `copy ${copy} ${tests.letters[letter] ?? "no result"}`).join(", "));
  [...outcomes].forEach((letter, copy) => {
    const cell = made("span", `cell ${letter === "P" ? "" : BAD_LETTERS.includes(letter) ? "bad-cell" : "other-cell"}`);
    cell.title = `copy ${copy}: ${tests.letters[letter] ?? "no result"}`;
    cells.append(cell);
  });
  return cells;
}

function testRow(i) {
  const outcomes = tests.outcomes[i];
  const passed = [...outcomes].filter((letter) => letter === "P").length;
  const isBad = [...outcomes].some((letter) => BAD_LETTERS.includes(letter));
  const name = made("th", "", made("code", "", testName(i)));
  name.scope = "row";
  return made("tr", "", name, made("td", isBad ? "rate bad" : "rate", `${passed} of ${outcomes.length}`),
    made("td", outcomes.length > 40 ? "" : "cells", cellsOf(outcomes)), made("td", "number", `${tests.seconds[i].toFixed(2)} s`));
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
