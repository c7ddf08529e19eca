// Sorting, filtering and comparing. Without it, every table stands there in the order of its scores.
"use strict";

function keyOf(row, column) {
  const cell = row.cells[column];
  const value = cell.dataset.value ?? cell.textContent.trim().toLowerCase();
  return value !== "" && !Number.isNaN(Number(value)) ? Number(value) : value;
}

function compareKeys(one, other) {
  if (one === "" || other === "") return 0;
  if (typeof one === "number" && typeof other === "number") return one - other;
  return String(one).localeCompare(String(other));
}

function sortBy(table, header, column) {
  const rising = header.getAttribute("aria-sort") === "descending"
    || (!header.hasAttribute("aria-sort") && header.dataset.first === "ascending");
  for (const other of header.parentElement.cells) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", rising ? "ascending" : "descending");
  const body = table.tBodies[0];
  const rows = [...body.rows].map((row) => [keyOf(row, column), row]);
  const known = rows.filter(([key]) => key !== "");
  known.sort(([one], [other]) => (rising ? 1 : -1) * compareKeys(one, other));
  const unknown = rows.filter(([key]) => key === "");  // last, whichever way
  body.append(...[...known, ...unknown].map(([, row]) => row));
}

function makeSortable(table) {
  for (const header of table.tHead.rows[0].cells) {
    if (!header.dataset.first) continue;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    header.append(button);
    button.addEventListener("click", () => sortBy(table, header, header.cellIndex));
  }
}

function makeFilterable(form) {
  const table = document.getElementById(form.dataset.table);
  const rows = [...table.tBodies[0].rows];
  const search = form.elements.search, kind = form.elements.kind, rules = form.elements.rules;
  const count = form.querySelector(".count");
  const apply = () => {
    const wanted = search.value.trim().toLowerCase();
    let shown = 0;
    for (const row of rows) {
      const fits = (!wanted || row.textContent.toLowerCase().includes(wanted))
        && (!kind || kind.value === "all" || row.dataset.kind === kind.value)
        && !(rules.checked && row.dataset.broken !== "0");
      row.hidden = !fits;
      shown += fits;
    }
    count.textContent = `${shown} of ${rows.length} shown`;
  };
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  apply();
}

function cell(name, text, kind) {
  const made = document.createElement(name);
  made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

const percent = (share) => (100 * share).toFixed(2);

function comparisonRows(data, first, second) {
  const rows = [];
  for (const column of data.columns) {
    const ours = data.entries[first].scores[column.key], theirs = data.entries[second].scores[column.key];
    if (!ours && !theirs) continue;
    const row = document.createElement("tr");
    const header = cell("th", column.title);
    header.scope = "row";
    header.append(cell("span", column.about, "sub"));
    row.append(header);
    for (const score of [ours, theirs]) {
      const made = cell("td", score ? percent(score[0]) : "–", "n");
      if (score) made.append(cell("span", `${percent(score[1])} to ${percent(score[2])}`, "sub"));
      row.append(made);
    }
    const difference = ours && theirs ? 100 * (theirs[0] - ours[0]) : null;
    row.append(cell("td", difference === null ? "–" : `${difference > 0 ? "+" : ""}${difference.toFixed(2)}`, "n"));
    const [low, high] = first < second ? [first, second] : [second, first];
    const pair = (data.pairs[`${low}-${high}`] || {})[column.key];
    const alone = pair && (first < second ? [pair[1], pair[2]] : [pair[2], pair[1]]);
    row.append(cell("td", pair ? String(pair[0]) : "–", "n"));
    row.append(cell("td", pair ? `${alone[0]} : ${alone[1]}` : "–", "n"));
    row.append(cell("td", pair ? (pair[3] < 0.0001 ? "< 0.0001" : pair[3].toFixed(4)) : "–", "n"));
    rows.push(row);
  }
  return rows;
}

function makeComparison(form) {
  const data = JSON.parse(document.getElementById("comparison-data").textContent);
  const table = document.getElementById("comparison"), facts = document.getElementById("comparison-facts");
  const chosen = new URLSearchParams(location.hash.slice(1));
  const at = (id, otherwise) => {
    const found = data.entries.findIndex((entry) => entry.id === id);
    return String(found < 0 ? otherwise : found);
  };
  for (const select of [form.elements.first, form.elements.second]) {
    data.entries.forEach((entry, index) => select.add(new Option(entry.label, String(index))));
  }
  form.elements.first.value = at(chosen.get("first"), 0);
  form.elements.second.value = at(chosen.get("second"), Math.min(1, data.entries.length - 1));
  const apply = () => {
    const first = Number(form.elements.first.value), second = Number(form.elements.second.value);
    const names = [data.entries[first], data.entries[second]];
    table.tBodies[0].replaceChildren(...comparisonRows(data, first, second));
    facts.tBodies[0].replaceChildren(...data.facts.map((title, index) => {
      const row = document.createElement("tr");
      const header = cell("th", title);
      header.scope = "row";
      row.append(header, ...names.map((entry) => cell("td", entry.facts[index] || "–")));
      return row;
    }));
    for (const one of document.querySelectorAll("[data-side]")) one.textContent = names[Number(one.dataset.side)].title;
    form.querySelector(".count").textContent = `${names[0].title} against ${names[1].title}`;
    const hash = `#first=${names[0].id}&second=${names[1].id}`;
    if (location.hash !== hash) history.replaceState(null, "", hash);
  };
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  document.getElementById("comparison-view").hidden = false;
  form.hidden = false;
  apply();
}

for (const table of document.querySelectorAll("table[data-sortable]")) makeSortable(table);
for (const form of document.querySelectorAll("form.filters[data-table]")) makeFilterable(form);
for (const form of document.querySelectorAll("form.filters[data-comparison]")) makeComparison(form);
