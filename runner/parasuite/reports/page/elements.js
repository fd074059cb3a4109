// What the scripts of every page use. Names in the data come from the suite: they are set as text, never as HTML.

const element = (id) => document.getElementById(id);
const parsed = (id) => JSON.parse(element(id).textContent);

/** A new element with *content*: text, or elements. */
function made(tag, className, ...content) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.append(...content);
  return node;
}

/** Screen readers read out a status each time it is set, so it is set only if it has changed. */
function setText(id, words) {
  if (element(id).textContent !== words) element(id).textContent = words;
}

const count = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;

function openLinkedFinding() {
  const card = document.getElementById(location.hash.slice(1));
  if (card instanceof HTMLDetailsElement) card.open = true;
}
