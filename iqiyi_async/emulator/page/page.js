"use strict";
// The page of the emulator: it shows what /__emulator__/events sends, and gives orders to the control API.

const CONTROL = "__emulator__/";
const byId = (id) => document.getElementById(id);
const PRESETS = [
  ["Ranges: every tenth answers 503", { operation: "upload_chunk", probability: 0.1, status: 503 }],
  ["Ranges: one second late", { operation: "upload_chunk", delay: 1 }],
  ["Ranges: one in ten damaged", { operation: "upload_chunk", probability: 0.1, wrong_md5: true }],
  ["Ranges: connection cut at 64 KiB", { operation: "upload_chunk", probability: 0.2, after_bytes: 65536, drop: true }],
  ["Finish: the answer is lost", { operation: "finish_upload", lost_answer: true }],
  ["Status: 20 seconds behind", { operation: "finish_upload", lag: 20 }],
  ["Everything: 503", { operation: "*", status: 503, headers: { "Retry-After": "1" } }],
];
const STATES = {
  uploading: "uploading", publishing: "publishing", published: "published", review_failed: "review failed",
  publishing_failed: "publishing failed", cancelled: "cancelled", deleted: "deleted",
};
let seen = null;

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (key === "class") made.className = value;
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

async function tell(name, body, method = "POST") {
  const options = { method };
  if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers = { "Content-Type": "application/json" };
  }
  try {
    const answer = await fetch(CONTROL + name, options);
    if (!answer.ok) say((await answer.json()).msg);
    return answer.ok;
  } catch {
    say("The emulator does not answer.");
    return false;
  }
}

let saying = 0;
function say(text) {
  byId("said").textContent = text;
  byId("said").hidden = false;
  clearTimeout(saying);
  saying = setTimeout(() => { byId("said").hidden = true; }, 6000);
}

const now = () => Date.now() / 1000 + (seen ? seen.offset : 0);
const two = (number) => String(number).padStart(2, "0");

function clockText(moment) {
  const at = new Date(moment * 1000);
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${timeText(moment)}`;
}

function timeText(moment) {
  const at = new Date(moment * 1000);
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

function spanText(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86400)} d ${Math.floor((whole % 86400) / 3600)} h`;
}

function sizeText(bytes) {
  for (const [unit, size] of [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]]) {
    if (bytes >= size) return `${(bytes / size).toFixed(bytes >= 10 * size ? 0 : 1)} ${unit}`;
  }
  return `${bytes} B`;
}

// Rows are kept by key and changed in place: a player goes on, a menu stays open, the focus stays where it is.
function keep(list, items, key, make, update) {
  const old = new Map([...list.children].map((row) => [row.dataset.key, row]));
  let place = list.firstElementChild;
  for (const item of items) {
    const name = String(key(item));
    let row = old.get(name);
    old.delete(name);
    if (!row) {
      row = make(item);
      row.dataset.key = name;
    }
    update(row, item);
    if (row === place) place = place.nextElementSibling;
    else list.insertBefore(row, place);
  }
  for (const row of old.values()) row.remove();
}

function set(row, selector, text) {
  const found = row.querySelector(selector);
  if (found.textContent !== text) found.textContent = text;
}

function makeVideo(file) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("viewBox", "0 0 1000 14");
  svg.setAttribute("role", "img");
  const outcome = element("select", {
    "aria-label": "What becomes of this video",
    onchange: (event) => tell(`files/${file.file_id}/outcome`, { outcome: event.target.value }),
  });
  for (const word of ["published", "review_failed", "publishing_failed", "publishing"]) {
    outcome.append(element("option", { value: word }, word === "publishing" ? "stays in publishing" : STATES[word]));
  }
  return element("li", { class: "video" },
    element("div", { class: "head" }, element("span", { class: "name" }), element("span", { class: "state" }),
      element("span", { class: "id" }, file.file_id), element("span", { class: "facts" })),
    svg,
    element("div", { class: "actions" },
      element("button", { type: "button", class: "play", "aria-expanded": "false", onclick: (event) => togglePlayer(event.target, file.file_id) }, "Play"),
      element("label", { class: "outcome" }, "Outcome ", outcome)));
}

function togglePlayer(button, fileId) {
  const row = button.closest("li");
  const open = row.querySelector("video");
  button.setAttribute("aria-expanded", String(!open));
  button.textContent = open ? "Play" : "Close the player";
  if (open) {
    open.remove();
    return;
  }
  const player = element("video", { controls: "", preload: "metadata", src: `${CONTROL}files/${fileId}/play` });
  player.addEventListener("error", () => say("The browser can't play these bytes; that they are there is all the emulator knows."));
  row.append(player);
  player.play().catch(() => {});
}

function updateVideo(row, file) {
  const whole = file.accepted === file.size;
  row.classList.toggle("whole", whole);
  set(row, ".name", file.name || "(no metadata yet)");
  const state = row.querySelector(".state");
  state.className = `state ${file.state}`;
  set(row, ".state", STATES[file.state]);
  const facts = [file.file_type, whole ? sizeText(file.size) : `${sizeText(file.accepted)} of ${sizeText(file.size)}`];
  if (file.duration) facts.push(spanText(file.duration));
  if (file.plays) facts.push(`${file.plays} plays`);
  set(row, ".facts", facts.join(" · "));
  const svg = row.querySelector("svg");
  const shape = JSON.stringify(file.ranges);
  if (svg.dataset.shape !== shape) {
    svg.dataset.shape = shape;
    svg.setAttribute("aria-label", `${file.accepted} of ${file.size} bytes accepted, in ${file.ranges.length} pieces`);
    const made = file.ranges.map(([first, last]) => {
      const rect = document.createElementNS("http://www.w3.org/2000/svg", "rect");
      rect.setAttribute("x", String((first / file.size) * 1000));
      rect.setAttribute("width", String(Math.max(1, ((last + 1 - first) / file.size) * 1000)));
      rect.setAttribute("height", "14");
      return rect;
    });
    svg.replaceChildren(...made);
  }
  const gone = file.state === "cancelled" || file.state === "deleted";
  svg.toggleAttribute("hidden", gone);
  row.querySelector(".play").hidden = !file.listed;
  row.querySelector(".outcome").hidden = gone;
  const outcome = row.querySelector("select");
  if (document.activeElement !== outcome && [...outcome.options].some((option) => option.value === file.outcome)) {
    outcome.value = file.outcome;
  }
}

function showTokens() {
  byId("no-tokens").hidden = seen.tokens.length > 0;
  keep(byId("tokens"), seen.tokens, (token) => `${token.kind} ${token.app_key} ${token.expires_at}`,
    (token) => element("li", {}, element("div", { class: "line" }, element("span", {}, `${token.kind} · ${token.app_key}`),
      element("span", { class: "left" })), element("progress", { "aria-label": `life of the ${token.kind} token` })),
    (row, token) => {
      const left = token.expires_at - now();
      const bar = row.querySelector("progress");
      bar.max = seen.lifetimes[token.kind];
      bar.value = Math.max(0, left);
      set(row, ".left", left > 0 ? `${spanText(left)} left` : "expired");
    });
}

// Two plans of one fault are the same when their fields are, in whatever order they come.
const sorted = (fault) => JSON.stringify(Object.entries(fault).filter(([key]) => key !== "fired").sort());

function showFaults() {
  const places = new Map(seen.faults.map((fault, at) => [sorted(fault), at]));
  for (const button of byId("presets").children) {
    const at = places.get(button.dataset.fault);
    button.setAttribute("aria-checked", String(at !== undefined));
    button.dataset.at = at === undefined ? "" : String(at);
  }
  const rows = seen.faults.map((fault, at) => ({ fault, at }));
  keep(byId("faults"), rows, ({ fault, at }) => at + sorted(fault),
    ({ fault, at }) => {
      const { fired, ...fields } = fault;
      return element("li", {}, element("code", {}, JSON.stringify(fields)), element("span", { class: "fired" }),
        element("button", { type: "button", onclick: () => tell(`faults/${at}`, undefined, "DELETE") }, "Remove"));
    },
    (row, { fault }) => set(row, ".fired", fault.fired === 1 ? "fired once" : `fired ${fault.fired} times`));
}

function showHistory() {
  const wanted = byId("filter").value.trim().toLowerCase();
  const rows = seen.history.filter((each) => !wanted || JSON.stringify(each).toLowerCase().includes(wanted));
  byId("no-history").hidden = rows.length > 0;
  byId("no-history").textContent = wanted ? "No request fits the filter." : "Nothing has been asked.";
  byId("history").hidden = rows.length === 0;
  keep(byId("history").tBodies[0], rows, (each) => each.number,
    (each) => element("tr", {}, element("td", {}, String(each.number)), element("td", {}, timeText(each.started)),
      element("td", {}, each.operation), element("td", { class: "what" }), element("td", { class: "answer" }),
      element("td", { class: "number bytes" }), element("td", { class: "number ms" }), element("td", { class: "file" })),
    (row, each) => {
      const shape = JSON.stringify(each);
      if (row.dataset.shape === shape) return;
      row.dataset.shape = shape;
      const failed = each.ending && each.ending !== "answered";
      // The codes of full status are states, not failures.
      const refused = each.code !== undefined && each.code !== "A00000" && !(each.operation === "get_status" && each.code < "A00010");
      row.classList.toggle("bad", failed || (each.status || 200) >= 400 || refused);
      set(row, ".answer", each.ending ? [each.status, each.code, failed ? each.ending : ""].filter(Boolean).join(" ") : "…");
      set(row, ".bytes", each.bytes ? sizeText(each.bytes) : "");
      set(row, ".ms", each.ended ? String(Math.round((each.ended - each.started) * 1000)) : "");
      const span = each.first === undefined ? "" : ` ${each.first}–${each.last}`;
      const notes = (each.violations || []).map((text) => element("span", { class: "note violation" }, `Violation: ${text}`));
      if (each.faults) notes.push(element("span", { class: "note fault" }, `fault ${each.faults.join(", ")} fired`));
      row.querySelector(".what").replaceChildren(`${each.method} ${each.path}`, ...notes);
      row.querySelector(".file").replaceChildren(element("span", { class: "id" }, each.file_id ? each.file_id.slice(0, 8) + span : ""));
    });
}

function tick() {
  if (!seen) return;
  byId("now").textContent = clockText(now());
  byId("ahead").textContent = seen.offset >= 1 ? `${spanText(seen.offset)} ahead` : "";
  showTokens();
}

function show(snapshot) {
  seen = snapshot;
  byId("no-videos").hidden = seen.files.length > 0;
  byId("total").textContent = seen.total > seen.files.length ? `the newest ${seen.files.length} of ${seen.total}` : seen.total ? String(seen.total) : "";
  keep(byId("videos"), seen.files, (file) => file.file_id, makeVideo, updateVideo);
  showFaults();
  showHistory();
  tick();
}

function connect() {
  const source = new EventSource(`${CONTROL}events`);
  const link = (state, text) => {
    byId("link").className = `link ${state}`;
    if (byId("link-text").textContent !== text) byId("link-text").textContent = text;
  };
  source.onmessage = (event) => { link("live", "live"); show(JSON.parse(event.data)); };
  source.onerror = () => {
    link("lost", "the emulator does not answer");
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, 2000);
  };
}

for (const [label, fault] of PRESETS) {
  byId("presets").append(element("button", {
    type: "button", role: "switch", "aria-checked": "false", "data-fault": sorted(fault),
    onclick: ({ target }) => target.dataset.at ? tell(`faults/${target.dataset.at}`, undefined, "DELETE") : tell("faults/add", [fault]),
  }, label));
}
byId("turns").addEventListener("click", ({ target }) => {
  if (target.dataset.advance) tell("clock", { advance: Number(target.dataset.advance) });
});
for (const button of document.querySelectorAll("[data-spoil]")) {
  button.addEventListener("click", () => tell("tokens", { spoil: button.dataset.spoil }));
}
byId("reset").addEventListener("click", () => {
  if (confirm("Forget all videos, tokens and requests?")) tell("reset");
});
byId("custom").addEventListener("submit", async (event) => {
  event.preventDefault();
  let fault;
  try {
    fault = JSON.parse(byId("plan").value);
  } catch {
    say("This is no JSON.");
    return;
  }
  await tell("faults/add", Array.isArray(fault) ? fault : [fault]);
});
byId("filter").addEventListener("input", () => { if (seen) showHistory(); });
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName)) return;
  if (event.key === "/") {
    event.preventDefault();
    byId("filter").focus();
  } else if (event.key === "t") tell("clock", { advance: 60 });
});
setInterval(tick, 1000);
connect();
