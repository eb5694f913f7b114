"use strict";

// A viewer that shows the page in a frame of its own, as MLflow's, lets no link go anywhere; these stay here.
for (const link of document.querySelectorAll("a[href^='#']")) {
  link.addEventListener("click", (event) => {
    if (location.protocol !== "blob:") return;
    event.preventDefault();
    document.getElementById(link.hash.slice(1)).scrollIntoView();
  });
}

// Long tables are folded, and can be searched and sorted. Printed, all of their rows are there.
const FIRST = 25;
for (const table of document.querySelectorAll("table.long")) {
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const bar = document.createElement("p");
  bar.className = "search";
  const label = document.createElement("label");
  const input = document.createElement("input");
  const count = document.createElement("span");
  input.type = "search";
  count.setAttribute("aria-live", "polite");
  label.append("Search ", input);
  bar.append(label, count);
  table.parentElement.before(bar);
  const unfold = document.createElement("button");
  unfold.type = "button";
  unfold.className = "unfold";
  unfold.textContent = `Show all ${rows.length} rows`;
  table.parentElement.after(unfold);
  let isFolded = rows.length > FIRST + 5;
  const draw = () => {
    const wanted = input.value.toLowerCase();
    let shown = 0;
    for (const row of rows) {
      const isWanted = row.textContent.toLowerCase().includes(wanted);
      shown += isWanted;
      row.classList.toggle("folded", !isWanted || (isFolded && shown > FIRST));
    }
    count.textContent = wanted ? `${shown} of ${rows.length}` : "";
    unfold.hidden = !isFolded || shown <= FIRST;
  };
  input.addEventListener("input", draw);
  unfold.addEventListener("click", () => {
    isFolded = false;
    draw();
  });

  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    const isNumber = head.classList.contains("number");
    button.addEventListener("click", () => {
      const isUp = head.ariaSort ? head.ariaSort === "descending" : !isNumber;
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.ariaSort = isUp ? "ascending" : "descending";
      const key = (row) => row.cells[column].dataset.order;
      const order = (a, b) =>
        key(a) !== undefined && key(b) !== undefined
          ? key(a) - key(b)
          : textOf(a, column).localeCompare(textOf(b, column), undefined, { numeric: true });
      rows.sort((a, b) => (isUp ? order(a, b) : order(b, a)));
      body.append(...rows);
      draw();
    });
  });
  draw();
}

function textOf(row, column) {
  return row.cells[column].textContent;
}

// The threshold: what each would have decided, and what that would cost.
const chooser = document.getElementById("chooser");
if (chooser) {
  const points = JSON.parse(document.getElementById("thresholds").textContent);
  const slider = document.getElementById("slider");
  const costOf = (id) => Number(document.getElementById(id).value) || 0;
  const show = (id, text) => (document.getElementById(id).textContent = text);
  const count = (value) => value.toLocaleString("en", { maximumFractionDigits: value < 1000 ? 2 : 0 });
  const share = (part, whole) => (whole ? `${((100 * part) / whole).toPrecision(3)}%` : "\u2013");
  const f1 = (p) => (2 * p.tp) / (2 * p.tp + p.fp + p.fn) || 0;
  const cost = (p) => costOf("cost-fp") * p.fp + costOf("cost-fn") * p.fn;
  const place = (better) => points.reduce((best, p, i) => (better(p, points[best]) ? i : best), 0);
  const chosen = Number(slider.dataset.chosen);
  const asChosen = () => place((p, best) => Math.abs(p.threshold - chosen) < Math.abs(best.threshold - chosen));

  const draw = () => {
    const p = points[slider.value];
    for (const name of ["tp", "fp", "fn", "tn"]) show(`out-${name}`, count(p[name]));
    show("chosen", p.threshold.toPrecision(3));
    show("out-precision", share(p.tp, p.tp + p.fp));
    show("out-recall", share(p.tp, p.tp + p.fn));
    show("out-f1", f1(p).toPrecision(3));
    show("out-yes", share(p.tp + p.fp, p.tp + p.fp + p.fn + p.tn));
    show("out-cost", count(cost(p)));
  };
  const go = (where) => {
    slider.value = where;
    draw();
  };
  slider.addEventListener("input", draw);
  document.getElementById("cost-fp").addEventListener("input", draw);
  document.getElementById("cost-fn").addEventListener("input", draw);
  document.getElementById("cheapest").addEventListener("click", () => go(place((p, best) => cost(p) < cost(best))));
  document.getElementById("best-f1").addEventListener("click", () => go(place((p, best) => f1(p) > f1(best))));
  document.getElementById("as-chosen").addEventListener("click", () => go(asChosen()));
  chooser.hidden = false;
  go(asChosen());
}
