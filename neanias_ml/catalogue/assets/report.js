"use strict";
(() => {
  const table = document.getElementById("sources");
  const body = table.tBodies[0];
  const rows = Array.from(body.rows);
  const figures = Array.from(document.querySelectorAll(".gallery figure"));
  const words = document.getElementById("words");
  const least = document.getElementById("least");
  const boxes = Array.from(document.querySelectorAll("#filters input[data-class]"));
  const texts = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));

  function show() {
    const hidden = new Set(boxes.filter((box) => !box.checked).map((box) => box.dataset.class));
    const parts = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    const limit = Number(least.value) || 0;
    let count = 0;
    for (const row of rows) {
      const fits = !hidden.has(row.dataset.class) && Number(row.dataset.snr) >= limit &&
        parts.every((part) => texts.get(row).includes(part));
      row.hidden = !fits;
      count += fits ? 1 : 0;
    }
    for (const figure of figures) figure.hidden = hidden.has(figure.dataset.class);
    document.getElementById("shown").textContent = count + " of " + rows.length + " shown";
  }

  function sortBy(heading) {
    const column = heading.cellIndex;
    const numeric = heading.dataset.kind === "number";
    const up = heading.getAttribute("aria-sort") === "ascending";
    const sign = up ? -1 : 1;
    const key = (row) => numeric ? Number(row.cells[column].dataset.key) : row.cells[column].textContent;
    const keyed = rows.map((row, index) => [key(row), index, row]);
    keyed.sort(([a, i], [b, j]) => {
      if (numeric && (Number.isNaN(a) || Number.isNaN(b))) return Number.isNaN(a) - Number.isNaN(b) || i - j;
      return sign * (numeric ? a - b : a.localeCompare(b)) || i - j;
    });
    for (const other of table.tHead.rows[0].cells) other.setAttribute("aria-sort", "none");
    heading.setAttribute("aria-sort", up ? "descending" : "ascending");
    body.append(...keyed.map((entry) => entry[2]));
  }

  for (const heading of table.tHead.rows[0].cells) heading.addEventListener("click", () => sortBy(heading));
  for (const input of [words, least, ...boxes]) input.addEventListener("input", show);
  document.getElementById("filters").addEventListener("submit", (event) => event.preventDefault());
  document.getElementById("theme").addEventListener("click", () => {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  });
  show();
})();
