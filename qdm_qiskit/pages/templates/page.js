"use strict";
// Tables in order, charts that zoom, a slider through frames. Without it a page shows all the same.

const SVG = "http://www.w3.org/2000/svg";

// --- tables: a click orders by a column, the next turns it round, the third puts rows back ---------
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const original = [...body.rows];
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = head.querySelector("button");
    if (!button) return;
    button.addEventListener("click", () => {
      const next = { none: "ascending", ascending: "descending", descending: "none" };
      const order = next[head.getAttribute("aria-sort")];
      for (const each of heads) if (each.hasAttribute("aria-sort")) each.setAttribute("aria-sort", "none");
      head.setAttribute("aria-sort", order);
      const sign = order === "descending" ? -1 : 1;
      const rows = order === "none" ? original : [...original].sort((a, b) => sign * compared(a, b, column, sign));
      body.append(...rows);
    });
  });
}

function compared(one, other, column, sign) {
  const [a, b] = [one.cells[column], other.cells[column]];
  const [x, y] = [rank(a), rank(b)];
  if (x !== y) return sign * (x - y); // what is missing stays last either way
  if (x === 0) return Number(a.dataset.key) - Number(b.dataset.key);
  return a.textContent.localeCompare(b.textContent, "en", { numeric: true });
}

function rank(cell) {
  if (cell.dataset.key !== undefined && cell.dataset.key !== "nan") return 0;
  return ["-", "", "nan"].includes(cell.textContent.trim()) ? 2 : 1;
}

// --- charts -----------------------------------------------------------------------------------------
const [LEFT, TOP, WIDTH, HEIGHT] = [70, 12, 680, 270];

for (const figure of document.querySelectorAll("figure.chart")) {
  const view = JSON.parse(figure.dataset.view);
  const axes = figure.querySelector("svg.axes");
  const plot = figure.querySelector("svg.plot");
  const chosen = figure.querySelector("rect.chosen");
  let window_ = [0, 0, 1000, 1000]; // part of the plot that is shown: left, top, width, height
  let start = null;

  function show(left, top, width, height) {
    const [w, h] = [Math.min(Math.max(width, 1), 1000), Math.min(Math.max(height, 1), 1000)];
    window_ = [Math.min(Math.max(left, 0), 1000 - w), Math.min(Math.max(top, 0), 1000 - h), w, h];
    plot.setAttribute("viewBox", window_.join(" "));
    const [x, y, across, down] = window_;
    draw("x", valueAt(view.x, false, x / 1000), valueAt(view.x, false, (x + across) / 1000), false);
    draw("y", valueAt(view.y, view.log, 1 - (y + down) / 1000), valueAt(view.y, view.log, 1 - y / 1000), view.log);
  }

  function draw(axis, low, high, log) {
    const group = axes.querySelector(`g.${axis}-ticks`);
    group.replaceChildren();
    const place = (v) => (log ? Math.log(v / low) / Math.log(high / low) : (v - low) / (high - low));
    for (const value of ticks(Math.min(low, high), Math.max(low, high), log, 6)) {
      const at = place(value);
      const line = document.createElementNS(SVG, "line");
      const text = document.createElementNS(SVG, "text");
      const [x, y] = [LEFT + WIDTH * at, TOP + HEIGHT * (1 - at)];
      const ends = axis === "x" ? [x, x, TOP + HEIGHT, TOP + HEIGHT + 5] : [LEFT, LEFT + WIDTH, y, y];
      ["x1", "x2", "y1", "y2"].forEach((name, k) => line.setAttribute(name, ends[k]));
      text.setAttribute("x", axis === "x" ? x : LEFT - 6);
      text.setAttribute("y", axis === "x" ? TOP + HEIGHT + 20 : y + 4);
      text.textContent = String(Number(value.toPrecision(4)));
      group.append(line, text);
    }
  }

  function at(event) { // pointer in coordinates of the axes' own viewBox
    const box = axes.getBoundingClientRect();
    const x = ((event.clientX - box.left) * 760) / box.width;
    const y = ((event.clientY - box.top) * 340) / box.height;
    return [Math.min(Math.max(x, LEFT), LEFT + WIDTH), Math.min(Math.max(y, TOP), TOP + HEIGHT)];
  }

  function mark(x, y, width, height) {
    ["x", "y", "width", "height"].forEach((name, k) => chosen.setAttribute(name, [x, y, width, height][k]));
  }

  axes.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    start = at(event);
    axes.setPointerCapture(event.pointerId);
  });
  axes.addEventListener("pointermove", (event) => {
    if (!start) return;
    const end = at(event);
    mark(Math.min(start[0], end[0]), Math.min(start[1], end[1]), Math.abs(end[0] - start[0]), Math.abs(end[1] - start[1]));
  });
  axes.addEventListener("pointerup", (event) => {
    if (!start) return;
    const [one, other] = [start, at(event)];
    start = null;
    mark(0, 0, 0, 0);
    const [width, height] = [Math.abs(other[0] - one[0]), Math.abs(other[1] - one[1])];
    if (width < 8 || height < 8) return; // a click
    const [x, y, w, h] = window_;
    show(
      x + ((Math.min(one[0], other[0]) - LEFT) / WIDTH) * w, y + ((Math.min(one[1], other[1]) - TOP) / HEIGHT) * h,
      (width / WIDTH) * w, (height / HEIGHT) * h,
    );
  });
  axes.addEventListener("pointercancel", () => { start = null; mark(0, 0, 0, 0); });
  axes.addEventListener("dblclick", () => show(0, 0, 1000, 1000));
  for (const button of figure.querySelectorAll("button[data-zoom]")) {
    button.addEventListener("click", () => {
      const factor = Number(button.dataset.zoom);
      const [x, y, w, h] = window_;
      if (factor === 0) show(0, 0, 1000, 1000);
      else show(x + (w * (1 - factor)) / 2, y + (h * (1 - factor)) / 2, w * factor, h * factor);
    });
  }
  window.addEventListener("beforeprint", () => show(0, 0, 1000, 1000));
}

function valueAt([low, high], log, share) {
  return log ? low * (high / low) ** share : low + (high - low) * share;
}

// The rule of pages/scales.py.
function ticks(low, high, log, most) {
  if (!log) return linear(low, high, most);
  const [first, last] = [Math.log10(low), Math.log10(high)];
  const decades = [];
  for (let k = Math.ceil(first - 1e-9); k <= Math.floor(last + 1e-9); k++) decades.push(k);
  if (decades.length >= 3) {
    const every = Math.ceil(decades.length / most);
    return decades.filter((k) => k % every === 0).map((k) => 10 ** k);
  }
  const found = [];
  for (let k = Math.floor(first); k <= Math.floor(last); k++) {
    for (const m of [1, 2, 5]) {
      const value = m * 10 ** k;
      if (value >= low * (1 - 1e-9) && value <= high * (1 + 1e-9)) found.push(value);
    }
  }
  return found.length >= 3 ? found : linear(low, high, most);
}

function linear(low, high, most) {
  const rough = (high - low) / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough * (1 - 1e-9));
  const found = [];
  for (let k = Math.ceil(low / step - 1e-9); k <= Math.floor(high / step + 1e-9); k++) found.push(Number((k * step).toPrecision(12)));
  return found;
}

// --- chains -------------------------------------------------------------------------------------------
for (const figure of document.querySelectorAll("figure.chain")) {
  const slider = figure.querySelector("input");
  const frames = [...figure.querySelectorAll("ol.frames li")];
  slider.addEventListener("input", () => {
    const frame = frames[Number(slider.value)];
    figure.querySelector("output").textContent = frame.dataset.label;
    figure.querySelector(".said").textContent = frame.textContent;
    for (const each of figure.querySelectorAll(".now svg")) {
      const [x, , width, height] = each.getAttribute("viewBox").split(" ");
      each.setAttribute("viewBox", [x, Number(slider.value) * Number(each.dataset.pitch), width, height].join(" "));
    }
  });
}
