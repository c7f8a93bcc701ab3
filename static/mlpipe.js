// Theme, copying, ages, live updates and charts. No library but Plotly, and that only on pages that draw.
"use strict";

const root = document.documentElement;
const body = document.body;
const one = (selector, from = document) => from.querySelector(selector);
const all = (selector, from = document) => [...from.querySelectorAll(selector)];

// 1 Theme and copying ------------------------------------------------------------------------------
const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches);

function switchTheme() {
  root.dataset.theme = isDark() ? "light" : "dark";
  try { localStorage.setItem("theme", root.dataset.theme); } catch { /* it holds for this page alone then */ }
  drawAll();
}

async function copy(button) {
  const pre = one("pre", button.parentElement);
  try {
    await navigator.clipboard.writeText(pre.innerText);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(pre);
    button.textContent = "Selected";
  }
  setTimeout(() => { button.textContent = "Copy"; }, 2000);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button && "themeSwitch" in button.dataset) switchTheme();
  else if (button && "copy" in button.dataset) copy(button);
  else if (button && "again" in button.dataset) poll();
  else if (event.target.closest("nav.side a") && one("#side").matches(":popover-open")) one("#side").hidePopover();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawAll());

// A form names a path and asks twice: it stands in a <details> that must be opened first.
async function post(form) {
  const says = one("[role=status]", form), button = one("button", form);
  const reason = one("[name=reason]", form).value.trim();
  button.disabled = true;
  says.textContent = "Asked; one moment …";
  try {
    const answer = await fetch(form.dataset.post, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(reason ? { reason } : {}) });
    says.textContent = answer.ok ? "Done." : (await answer.json()).detail;
    if (answer.ok) { form.closest("details").open = false; poll(); }
  } catch (error) {
    says.textContent = `No answer from mlpipe: ${error.message}`;
  }
  button.disabled = false;
}

document.addEventListener("submit", (event) => {
  if (!event.target.dataset.post) return;
  event.preventDefault();
  post(event.target);
});

// 2 Ages and the clock -----------------------------------------------------------------------------
let skew = 0; // the server's clock minus this one's, so that ages are right on a wrong clock
let answeredAt = Date.now();
const DAY_S = 86400;
const clock = new Intl.DateTimeFormat("en-GB", { weekday: "long", day: "numeric", month: "long", year: "numeric", hour: "2-digit", minute: "2-digit", timeZone: "UTC" });

function span(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s}\u00a0s`;
  if (s < 3600) return `${Math.floor(s / 60)}\u00a0min`;
  return `${Math.floor(s / 3600)}\u00a0h ${Math.floor((s % 3600) / 60)}\u00a0min`;
}

function tick() {
  const now = Date.now() + skew;
  const age = (Date.now() - answeredAt) / 1000;
  all("[data-live]").forEach((el) => { el.textContent = failures > 1 ? "Cut off" : `Live, checked ${span(age)} ago`; });
  all("[data-since]").forEach((el) => {
    const s = (now - Date.parse(el.dateTime)) / 1000;
    if (s < DAY_S) el.textContent = `for ${span(s)}`;
  });
  all("[data-now]").forEach((el) => {
    const text = clock.formatToParts(now).map((part) => (part.type === "literal" && part.value.includes("at") ? ", " : part.value)).join("").replace(",", "");
    if (failures < 2 && el.textContent !== text) el.textContent = text;
  });
  tellCutOff(age);
}

// 3 Charts -----------------------------------------------------------------------------------------
let template = null;
let figures = {};
const drawn = {};

const resolved = (value, style) => {
  if (typeof value === "string") return value.replace(/^var\((--[\w-]+)\)$/, (_, name) => style.getPropertyValue(name).trim());
  if (Array.isArray(value)) return value.map((part) => resolved(part, style));
  if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, resolved(part, style)]));
  return value;
};

async function drawAll(force = true) {
  if (!window.Plotly || !all("[data-chart]").length) return;
  template ??= await (await fetch(body.dataset.template)).json();
  all("[data-chart]").forEach((el) => draw(el, force));
}

function draw(el, force) {
  const figure = figures[el.dataset.chart];
  const text = JSON.stringify(figure);
  if (!figure || (!force && el.classList.contains("js-plotly-plot") && drawn[el.dataset.chart] === text)) return;
  const ready = resolved(JSON.parse(text), getComputedStyle(root));
  const layout = { ...ready.layout, template: template[isDark() ? "dark" : "light"], uirevision: "kept" };
  Plotly.react(el, ready.data, layout, template.config);
  drawn[el.dataset.chart] = text;
}

// 4 Live updates -----------------------------------------------------------------------------------
const USUAL_S = 10, BUSY_S = 2, LONGEST_S = 300, SPOKEN_EVERY_MS = 60000;
let timer = 0, failures = 0, tag = null, busy = false, asking = false, nextAt = 0, spokenAt = 0, fault = "";
const seen = {};

function wait(seconds) {
  clearTimeout(timer);
  nextAt = Date.now() + seconds * 1000;
  timer = setTimeout(poll, seconds * 1000);
}

function keepTime(date) { // a server behind another may send the header twice
  const difference = Date.parse((date || "").slice(0, 29)) - Date.now();
  skew = Math.abs(difference) > 2000 ? difference : 0;
}

async function poll() {
  if (document.hidden || asking) return;
  asking = true;
  try {
    const answer = await fetch(body.dataset.source, { headers: tag ? { "If-None-Match": tag } : {}, cache: "no-store", signal: AbortSignal.timeout(15000) });
    if (answer.status === 401 || answer.status === 403) throw new Error("login");
    if (!answer.ok && answer.status !== 304) throw new Error(`status ${answer.status}`);
    keepTime(answer.headers.get("Date"));
    if (answer.status !== 304) {
      tag = answer.headers.get("ETag");
      show(await answer.json());
    }
    failures = 0;
    answeredAt = Date.now();
    wait(busy ? BUSY_S : USUAL_S);
  } catch (error) {
    failures += 1;
    fault = error.message;
    wait(Math.min(LONGEST_S, USUAL_S * 2 ** (failures - 1)) * (0.9 + 0.2 * Math.random()));
  } finally {
    asking = false;
    tick();
  }
}

function tellCutOff(age) {
  const note = one(".cut");
  if (note.hidden !== failures < 2) note.hidden = failures < 2;
  if (failures < 2) return;
  if (!note.firstChild) note.append(document.createElement("span"), document.createElement("button"));
  const at = new Date(answeredAt + skew).toISOString().slice(11, 16);
  const why = fault === "login" ? "mlpipe asks who you are: log in again." : `No answer from mlpipe for ${span(age)}; figures are those of ${at}.`;
  const [text, button] = note.children;
  text.textContent = `${why} Next try in ${span((nextAt - Date.now()) / 1000)}.`;
  if (!button.textContent) Object.assign(button, { className: "btn", textContent: "Try now" }).dataset.again = "";
}

function show(page) {
  if (page.page !== body.dataset.page) { location.reload(); return; }
  const before = one("h1").textContent;
  busy = page.busy;
  figures = page.figures;
  document.title = page.title;
  for (const [name, html] of Object.entries(page.parts)) {
    const part = one(`[data-part="${name}"]`);
    if (part && seen[name] !== html) replace(part, html);
    seen[name] = html;
  }
  const version = one("[data-version]");
  if (version && page.values.serving) version.textContent = `version ${page.values.serving.version}`;
  drawAll(false);
  speak(before);
}

function replace(part, html) {
  const fresh = document.createElement("template");
  fresh.innerHTML = html;
  const next = fresh.content;
  const focused = place(part, document.activeElement);
  const scrolled = all(".wide", part).map((el) => el.scrollLeft);
  const open = all("details", part).map((el) => el.open);
  const typed = all("input", part).map((el) => el.value);
  all("[data-keep]", next).forEach((el) => { // a drawn chart moves over instead of being drawn again
    const old = part.querySelector(`#${el.id}`);
    if (!old) return;
    old.setAttribute("aria-label", el.getAttribute("aria-label"));
    el.replaceWith(old);
  });
  part.replaceChildren(next);
  all("details", part).forEach((el, i) => { el.open = open[i] ?? false; });
  all("input", part).forEach((el, i) => { el.value = typed[i] ?? ""; });
  all(".wide", part).forEach((el, i) => { el.scrollLeft = scrolled[i] ?? 0; });
  if (focused >= 0) focusable(part)[focused]?.focus({ preventScroll: true });
}

const focusable = (part) => all("a[href], button, input, summary, [tabindex]", part);
const place = (part, el) => focusable(part).indexOf(el);

function speak(before) {
  const now = one("h1").textContent;
  if (now === before || Date.now() - spokenAt < SPOKEN_EVERY_MS) return;
  spokenAt = Date.now();
  one("#says").textContent = now;
}

document.addEventListener("visibilitychange", () => { if (document.hidden) clearTimeout(timer); else poll(); });

figures = JSON.parse(one("#figures")?.textContent || "{}");
busy = Boolean(one(".pulse"));
drawAll();
tick();
setInterval(tick, 1000);
wait(body.dataset.page === "empty" || busy ? BUSY_S : USUAL_S);
