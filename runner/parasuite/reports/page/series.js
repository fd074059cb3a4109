// Connects the parts of the page of a series.

window.addEventListener("hashchange", openLinkedFinding);
startTests();
openLinkedFinding();
