"use strict";
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const make = (tag, text, properties = {}) => Object.assign(document.createElement(tag), { textContent: text ?? "" }, properties);

// What a place in a chart says, while it is pointed at, touched or has the focus.
const tip = document.body.appendChild(make("div", "", { id: "told", hidden: true, role: "status" }));
function say(element, x, y) {
  tip.textContent = element.dataset.tip;
  tip.hidden = false;
  const room = document.documentElement.clientWidth - tip.offsetWidth - 8;
  tip.style.left = `${Math.max(8, Math.min(x + 12, room))}px`;
  tip.style.top = `${y > tip.offsetHeight + 24 ? y - tip.offsetHeight - 12 : y + 18}px`;
  const chart = element.closest(".chart"), series = element.closest("[data-series]");
  if (chart) pick(chart, series?.dataset.series);
}
function pick(chart, number) {
  chart.classList.toggle("picked", number !== undefined);
  for (const part of all("[data-series]", chart)) part.classList.toggle("picked", part.dataset.series === number);
}
function hush(event) {
  tip.hidden = true;
  const chart = event.target.closest?.(".chart");
  if (chart) pick(chart);
}
document.addEventListener("pointermove", (event) => {
  const told = event.target.closest?.("[data-tip]"), entry = event.target.closest?.(".legend [data-series]");
  if (told) say(told, event.clientX, event.clientY);
  else hush(event);
  if (entry) pick(entry.closest(".chart"), entry.dataset.series);
});
document.addEventListener("pointerout", hush);
document.addEventListener("focusin", (event) => {
  if (!event.target.dataset?.tip) return;
  const box = event.target.getBoundingClientRect();
  say(event.target, box.left + box.width / 2, box.top);
});
document.addEventListener("focusout", hush);

// One stop of the Tab key for each chart; arrow keys go on to its other places.
for (const svg of all("svg")) svg.querySelector("[tabindex]")?.setAttribute("tabindex", "0");
document.addEventListener("keydown", (event) => {
  const here = event.target, step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  if (here.dataset?.true !== undefined && ["Enter", " "].includes(event.key)) { event.preventDefault(); return here.dispatchEvent(new MouseEvent("click", { bubbles: true })); }
  if (!step || !here.matches?.("svg [tabindex]")) return;
  event.preventDefault();
  const middle = (one) => { const box = one.getBoundingClientRect(); return [box.left + box.width / 2, box.top + box.height / 2]; };
  const [x, y] = middle(here);
  const rank = (one) => { const [u, v] = middle(one), along = (u - x) * step[0] + (v - y) * step[1], aside = Math.abs((u - x) * step[1]) + Math.abs((v - y) * step[0]); return along > 1 ? along + 8 * aside : Infinity; };
  const next = all("[tabindex]", here.closest("svg")).reduce((best, one) => (rank(one) < rank(best) ? one : best), here);
  if (next === here) return;
  here.setAttribute("tabindex", "-1");
  next.setAttribute("tabindex", "0");
  next.focus();
});

// Explanations open beside their words.
for (const box of all("[popover]")) box.addEventListener("toggle", (event) => {
  const word = event.newState === "open" && (document.activeElement?.getAttribute("popovertarget") === box.id ? document.activeElement : document.querySelector(`[popovertarget="${box.id}"]`));
  if (!word) return;
  const place = word.getBoundingClientRect();
  box.classList.add("placed");
  box.style.left = `${Math.max(8, Math.min(place.left, document.documentElement.clientWidth - box.offsetWidth - 8)) + scrollX}px`;
  box.style.top = `${place.bottom + 6 + scrollY}px`;
});

// Tables: sorting by the whole header, and a hint where they are wider than the screen.
const worth = (cell) => {
  const text = cell.dataset.value ?? cell.textContent.trim();
  const number = parseFloat(text.replace(/[\s\u202f]/g, "").replace("−", "-"));
  return text === "–" ? null : /^[-−+\d]/.test(text) && !Number.isNaN(number) ? number : text.toLowerCase();
};
// A table that is too long for a page: its further rows lie in a list, and as many are shown at once as stand in it.
const pagers = new Map();
for (const store of all("script[data-rows]")) {
  const table = document.getElementById(store.dataset.rows), body = table.tBodies[0], size = body.rows.length;
  const further = JSON.parse(store.textContent).map((texts) => {
    const row = make("tr");
    row.append(...texts.map((text) => make("td", text)));
    return row;
  });
  const pager = { rows: [...body.rows, ...further], part: "", page: 0 };
  const bar = make("p", "", { className: "pager" }), place = make("span"), find = make("input", "", { type: "search", placeholder: "part of a name" });
  find.setAttribute("aria-label", "Find a class");
  pager.show = (page = 0) => {
    const found = pager.rows.filter((row) => row.cells[0].textContent.toLowerCase().includes(pager.part));
    pager.page = Math.max(0, Math.min(page, Math.ceil(found.length / size) - 1));
    const start = pager.page * size, shown = found.slice(start, start + size);
    body.replaceChildren(...shown);
    place.textContent = shown.length ? ` ${start + 1} to ${start + shown.length} of ${found.length} ` : " none ";
  };
  find.addEventListener("input", () => { pager.part = find.value.toLowerCase(); pager.show(); });
  const back = make("button", "Back", { type: "button" }), next = make("button", "Next", { type: "button" });
  back.addEventListener("click", () => pager.show(pager.page - 1));
  next.addEventListener("click", () => pager.show(pager.page + 1));
  bar.append(find, back, place, next);
  table.closest(".scroll").before(bar);
  pagers.set(table, pager);
  pager.show();
}
for (const table of all("table.sortable")) for (const head of all("thead th", table)) {
  const button = make("button", "", { type: "button", className: "sort" });
  button.append(...head.childNodes);
  head.replaceChildren(button);
  head.setAttribute("aria-sort", "none");
  button.addEventListener("click", (event) => {
    if (event.target.closest(".term")) return;
    const index = [...head.parentElement.children].indexOf(head), body = table.tBodies[0], pager = pagers.get(table), present = pager ? pager.rows : [...body.rows];
    const falls = head.getAttribute("aria-sort") === "none" ? typeof worth(present[0].cells[index]) !== "string" : head.getAttribute("aria-sort") === "ascending";
    const rows = [...present].sort((one, other) => {
      const a = worth(one.cells[index]), b = worth(other.cells[index]);
      if (a === null || b === null) return (a === null) - (b === null);
      return (a < b ? -1 : a > b ? 1 : 0) * (falls ? -1 : 1);
    });
    for (const other of all("thead th", table)) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", falls ? "descending" : "ascending");
    if (pager) { pager.rows = rows; pager.show(); }
    else body.append(...rows);
  });
}
const hints = new Map();
function hint() {
  for (const box of all(".scroll")) {
    if (!hints.has(box)) { hints.set(box, make("p", "Wider than the screen: scroll it sideways →", { className: "hint" })); box.before(hints.get(box)); }
    hints.get(box).hidden = box.scrollWidth <= box.clientWidth + 1;
  }
}
hint();
addEventListener("resize", hint);
for (const details of all("details")) details.addEventListener("toggle", hint);

// The contents say which section is being read.
const links = new Map(all("nav a").map((link) => [link.hash.slice(1), link]));
const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) if (entry.isIntersecting) {
    for (const link of links.values()) link.removeAttribute("aria-current");
    links.get(entry.target.id)?.setAttribute("aria-current", "true");
  }
}, { rootMargin: "-10% 0px -80% 0px" });
for (const section of all("main > section")) seen.observe(section);

// Images of one cell of the confusion matrix.
const browser = document.getElementById("browser");
function browse(button) {
  const { true: label, predicted } = button.dataset, count = Number(button.dataset.count);
  const found = all("figure", document.getElementById("cell-images").content).filter((one) => one.dataset.true === label && one.dataset.predicted === predicted);
  for (const one of all("[data-true][aria-pressed]")) one.setAttribute("aria-pressed", "false");
  for (const one of all(".cell")) if (one.dataset.true === label && one.dataset.predicted === predicted) one.setAttribute("aria-pressed", "true");
  const what = label === predicted ? `${label}, named rightly` : `${label} taken for ${predicted}`;
  const shown = found.length === count ? "" : found.length ? `, ${found.length} of them here` : "; none of their images is kept on this page";
  browser.querySelector("h4").textContent = `${what}: ${count} ${count === 1 ? "specimen" : "specimens"}${shown}`;
  browser.querySelector(".examples").replaceChildren(...found.map((one) => one.cloneNode(true)));
  browser.hidden = false;
}
if (browser) {
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-true][data-count]");
    if (!button) return;
    browse(button);
    if (!button.closest("svg")) browser.scrollIntoView({ block: "nearest" });
  });
  const errors = all(".cell.wrong, .link[data-true]").sort((one, other) => other.dataset.count - one.dataset.count);
  const first = errors[0] ?? document.querySelector(".cell");
  if (first) browse(first);
}

// The search, epoch by epoch; commands to copy.
const slider = document.getElementById("epoch");
if (slider) slider.addEventListener("input", () => {
  const figure = document.getElementById("epochs"), chosen = all("template", figure)[slider.value];
  figure.querySelector(".drawing").replaceChildren(chosen.content.cloneNode(true));
  figure.querySelector("output").textContent = chosen.dataset.epoch;
});
if (navigator.clipboard) for (const block of all(".command")) {
  const button = block.appendChild(make("button", "Copy", { type: "button", className: "copy" }));
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(block.querySelector("pre").textContent);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
}
