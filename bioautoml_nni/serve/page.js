"use strict";
const byId = (id) => document.getElementById(id);
const percent = (value) => `${(100 * value).toFixed(value > 0.995 || value < 0.1 ? 1 : 0)} %`;
const PLACES = 5;
const NAMED = 20;
const HINTS = {
  size: "number, as in the training table", numeric: "number", fraction: "from 0 to 1", date: "such as 2024-06-30",
  hour: "such as 21:30", coordinates: "latitude, longitude", latitude: "degrees, south is negative", longitude: "degrees, west is negative",
  categorical: "one of those known", text: "words",
};
let info = null;
let items = [];
let chosen = null;
let round = 0;
let waiting = [];

function make(tag, content, properties = {}) {
  const element = document.createElement(tag);
  if (content !== undefined) element.textContent = content;
  return Object.assign(element, properties);
}

async function begin() {
  try {
    info = await (await fetch("/info")).json();
  } catch (error) {
    return complain("The service does not answer; is it still running?");
  }
  byId("title").textContent = `${info.name}: name a specimen`;
  const local = ["localhost", "127.0.0.1"].includes(location.hostname);
  const here = local ? "nothing leaves this machine." : `what you drop here is sent to ${location.hostname} and not kept there.`;
  byId("about").textContent = `${info.description}. It uses ${info.modalities.join(" and ")}; ${here}`;
  document.title = byId("title").textContent;
  if (info.brand) Object.assign(byId("brand"), { textContent: info.brand, hidden: false });
  byId("known").hidden = info.metadata.length === 0;
  for (const question of info.metadata) byId("fields").append(field(question));
  const sure = info.thresholds.find((entry) => entry.threshold !== null);
  byId("advice").textContent = "Below it the answer is a coarser taxon, or none." + (sure
    ? ` On validation specimens, ${percent(sure.accuracy)} of the answers above ${percent(sure.threshold)} were right.` : "");
  byId("switch").hidden = !info.explains;
  byId("address").textContent = info.address ?? "";
  byId("network").hidden = !info.address;
}

function field({ column, role, values }) {
  const label = make("label", column);
  const input = make("input", undefined, { name: column, type: "text" });
  input.dataset.role = role;
  if (values) {
    const list = make("datalist", undefined, { id: `values-${column}` });
    list.append(...values.map((value) => make("option", undefined, { value })));
    input.setAttribute("list", list.id);
    label.append(list);
  }
  label.append(input, make("span", HINTS[role] ?? role, { className: "role" }));
  return label;
}

function metadata() {
  const row = {};
  for (const input of byId("fields").querySelectorAll("input")) {
    const text = input.value.trim();
    if (!text) continue;
    const asNumber = !["categorical", "text", "date", "coordinates"].includes(input.dataset.role);
    const number = asNumber ? Number(text.replace(",", ".")) : NaN;
    if (asNumber && !/\d/.test(text)) throw new Error(`${input.name}: ${text} is not a number.`);
    row[input.name] = Number.isNaN(number) ? text : number;  // the service reads 12 mm, 21:30 and 48° 12' N, or says that it cannot
  }
  return row;
}

async function ask(item, asked) {
  const form = new FormData();
  form.append("images", item.file, item.file.name);
  form.append("metadata", JSON.stringify(metadata()));
  const coverages = info.coverages.filter((value) => value >= 0.9);
  const options = { threshold: Number(byId("threshold").value), explain: info.explains };
  if (coverages.length) options.coverage = coverages[0];
  form.append("config", JSON.stringify(options));
  const response = await fetch("/upload", { method: "POST", body: form });
  const answer = await response.json();
  if (asked !== round) return false;
  if (!response.ok) throw new Error(typeof answer.detail === "string" ? answer.detail : answer.detail.map((one) => `${one.loc.join(".")}: ${one.msg}`).join("; "));
  item.error = answer.errors[0]?.error ?? null;
  item.found = answer.detections[0]?.classifications[0] ?? null;
  item.coverage = options.coverage;
  item.doubts = answer.warnings.filter((text) => text !== info.brand);
  return true;
}

// Asks about images, the one that is shown first; whoever asks later ends this round, so that no answer is out of date.
async function answer(list) {
  const asked = ++round;
  waiting = [...new Set([...list, ...waiting])].sort((one, other) => (other === chosen) - (one === chosen));
  byId("again").disabled = true;
  while (waiting.length) {
    const item = waiting[0];
    try {
      if (!await ask(item, asked)) return;
    } catch (error) {
      if (asked !== round) return;
      Object.assign(item, { error: error.message, found: null });
    }
    waiting = waiting.filter((other) => other !== item);
    chosen ??= item;
    show();
  }
  byId("again").disabled = items.length === 0;
}

function add(files) {
  const fresh = [...files].map((file) => ({ file, url: URL.createObjectURL(file), found: null, error: null }));
  if (!fresh.length) return;
  items = [...fresh, ...items];
  chosen = fresh[0];
  show();
  answer(fresh);
}

function asCsv() {
  const quoted = (value) => /[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value;
  const lines = [["image", "prediction", "rank", "confidence", "classification", "set", "error"]];
  for (const { file, found, error } of items) {
    if (!found && !error) continue;
    const answer = found?.answer ?? {};
    lines.push([file.name, answer.prediction ?? "", answer.rank ?? "", answer.confidence ?? "", found?.classification ?? "",
      (answer.set ?? []).join("; "), error ?? ""]);
  }
  return lines.map((line) => line.map((value) => quoted(String(value))).join(",")).join("\r\n") + "\r\n";
}

function download() {
  const url = URL.createObjectURL(new Blob([asCsv()], { type: "text/csv;charset=utf-8" }));
  make("a", undefined, { href: url, download: "answers.csv" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

function show() {
  byId("empty").hidden = items.length > 0;
  byId("download").hidden = !items.some((item) => item.found || item.error);
  byId("strip").replaceChildren(...(items.length > 1 ? items.map(thumbnail) : []));
  const found = chosen?.found;
  byId("answer").hidden = !found;
  complain(chosen?.error ? `${chosen.file.name}: ${chosen.error}` : "");
  if (!found) return;
  const { answer, explanation } = found;
  const sure = answer.prediction !== "";
  byId("name").textContent = sure ? answer.prediction : "Not sure";
  byId("name").dataset.prediction = answer.prediction;
  byId("meaning").textContent = sure
    ? `${answer.rank === "label" ? "" : `${answer.rank}, `}confidence ${percent(answer.confidence)}${answer.prediction === found.classification ? "" : `; no ${info.pipelines[0].algorithms[0].category_map.data[0].rank} is sure enough`}`
    : "No taxon reaches the confidence that you ask for; the likeliest are below.";
  const order = found.scores.map((score, index) => [score, found.labels[index]]).sort((one, other) => other[0] - one[0]);
  byId("bars").replaceChildren(...order.slice(0, PLACES).map(bar));
  byId("set").textContent = answer.set ? `With ${percent(chosen.coverage)} certainty it is ${answer.set.length === 1 ? "" : "one of "}${members(answer.set, order)}.` : "";
  byId("doubts").textContent = chosen.doubts.join(" ");
  const looked = explanation && byId("look").checked;
  byId("specimen").src = looked ? explanation.overlay : (explanation?.seen ?? chosen.url);
  byId("legend").textContent = !looked ? chosen.file.name
    : `${explanation.found ? "Brighter: speaks more for" : "No part of the image speaks for"} ${explanation.label}`;
}

function members(set, order) {
  if (set.length <= NAMED) return set.join(", ");
  const inside = new Set(set);
  const best = order.map(([, label]) => label).filter((label) => inside.has(label)).slice(0, NAMED);
  return `${best.join(", ")} and ${set.length - NAMED} more`;
}

function thumbnail(item) {
  const button = make("button", undefined, { type: "button" });
  button.setAttribute("role", "option");
  button.setAttribute("aria-selected", String(item === chosen));
  const image = item.error ? make("span", "", { className: "blank" }) : make("img", undefined, { src: item.url, alt: "" });
  button.append(image, make("span", item.error ? "unreadable" : item.found ? item.found.answer.prediction || "not sure" : "…"));
  button.addEventListener("click", () => { chosen = item; show(); });
  return button;
}

function bar([score, label]) {
  const row = make("tr");
  const meter = make("meter", undefined, { min: 0, max: 1, value: score });
  meter.setAttribute("aria-label", label);
  const cell = make("td");
  cell.append(meter);
  row.append(make("td", label), cell, make("td", percent(score)));
  return row;
}

function complain(text) {
  Object.assign(byId("problem"), { textContent: text, hidden: !text });
}

const drop = byId("drop");
for (const id of ["files", "shot"]) byId(id).addEventListener("change", (event) => { add(event.target.files); event.target.value = ""; });
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    drop.classList.toggle("over", kind === "dragover");
    if (kind === "drop") add(event.dataTransfer.files);
  });
}
byId("camera").hidden = !matchMedia("(pointer: coarse)").matches;
byId("download").addEventListener("click", download);
let soon = 0;
byId("threshold").addEventListener("input", (event) => {
  byId("least").textContent = percent(Number(event.target.value));
  clearTimeout(soon);
  soon = setTimeout(() => { if (items.length) answer(items); }, 120);
});
byId("again").addEventListener("click", () => answer(items));
byId("look").addEventListener("change", show);
for (const form of document.forms) form.addEventListener("submit", (event) => { event.preventDefault(); if (items.length) answer(items); });
begin();
