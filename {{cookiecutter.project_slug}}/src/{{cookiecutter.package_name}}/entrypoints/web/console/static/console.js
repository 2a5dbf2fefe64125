// Pages work without this. With it they stay true while they are open: the server is asked for the
// same page again, and what has changed in it is put in place, with what somebody is typing kept.
"use strict";

const known = new Map(); // what the server last said of each part, by its id
const saying = document.getElementById("saying");
const scroller = document.getElementById("scroller");
const { stream, refresh: seconds } = document.body.dataset;
const SLOWEST = 8000, MOST = 300;
let asking = false, again = false, isAway = false, source = null, wait = 500;
const parse = (text) => new DOMParser().parseFromString(text, "text/html");
const parts = (root) => root.querySelectorAll("[data-live]");
const isAtEnd = () => scroller && scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 60;
const toEnd = () => scroller?.scrollTo(0, scroller.scrollHeight);
const isKept = (part) => part.dataset.live === "list" || part.dataset.live === "log";

function tell(text, tone = "") {
  const notice = document.getElementById("notice");
  notice.textContent = text;
  notice.className = `notice ${tone}`;
  notice.hidden = !text;
}

function away(now) {
  if (now && !isAway) tell("The server does not answer just now. This page goes on by itself.", "warn");
  if (!now && isAway) tell("");
  isAway = now;
}

function remember(root) {
  for (const part of parts(root)) {
    if (isKept(part)) for (const child of part.children) known.set(child.id, child.outerHTML);
    else known.set(part.id, part.outerHTML);
  }
}

// Somebody writes there: it is left alone until it is sent.
function isBusy(part) {
  const fields = [...part.querySelectorAll("input:not([type=hidden]), textarea")];
  const typing = document.activeElement?.matches("input, textarea, select");
  return fields.some((one) => one.value !== one.defaultValue) || (typing && part.contains(document.activeElement));
}

function put(here, next) {
  const fresh = document.importNode(next, true);
  const focused = here.contains(document.activeElement);
  for (const open of here.querySelectorAll("details[open][id]")) {
    fresh.querySelector(`#${CSS.escape(open.id)}`)?.setAttribute("open", "");
  }
  known.set(next.id, next.outerHTML);
  here.replaceWith(fresh);
  if (focused) (fresh.querySelector("button:enabled, summary, a") || document.getElementById("main")).focus({ preventScroll: true });
}

function mergeInto(here, next) {
  const wanted = new Set([...next.children].map((child) => child.id));
  let place = null;
  for (const child of [...next.children]) {
    const old = document.getElementById(child.id);
    if (!old) {
      known.set(child.id, child.outerHTML);
      const fresh = document.importNode(child, true);
      if (place) place.after(fresh);
      else if (here.dataset.live === "log") here.append(fresh);
      else here.prepend(fresh);
    } else if (known.get(child.id) !== child.outerHTML && !isBusy(old)) put(old, child);
    place = document.getElementById(child.id);
  }
  const gone = [...here.children].filter((child) => !wanted.has(child.id));
  if (here.dataset.live === "log") gone.splice(Math.max(0, here.children.length - MOST));
  for (const child of gone) {
    if (child.contains(document.activeElement)) document.getElementById("main").focus();
    child.remove();
  }
}

function merge(page) {
  const heard = saying?.querySelector(".text").textContent.length || 0;
  const atEnd = isAtEnd();
  for (const next of parts(page)) {
    const here = document.getElementById(next.id);
    if (!here) continue;
    if (isKept(next)) mergeInto(here, next);
    else if (known.get(next.id) !== next.outerHTML && !isBusy(here)) put(here, next);
  }
  document.title = page.title || document.title;
  if (saying) spell(saying.querySelector(".text").textContent.slice(heard));
  if (atEnd) toEnd();
  tick();
}

async function refresh() {
  if (asking) return void (again = true);
  asking = true;
  try {
    const answer = await fetch(location.pathname + location.search);
    if (new URL(answer.url).pathname === "/sign-in") return location.assign(answer.url);
    if (answer.status === 404) return location.reload();
    if (answer.ok) merge(parse(await answer.text()));
    away(answer.status >= 500);
  } catch {
    away(true);
  } finally {
    asking = false;
    if (again) again = void setTimeout(refresh, 200);
  }
}

function spell(text) {
  saying.querySelector(".text").textContent = text;
  saying.hidden = !text;
}

function listen() {
  source = new EventSource(stream);
  source.addEventListener("token", (event) => {
    const atEnd = isAtEnd();
    spell(saying.querySelector(".text").textContent + JSON.parse(event.data));
    if (atEnd) toEnd();
  });
  source.addEventListener("more", refresh);
  source.onopen = () => {
    if (isAway || wait > 500) refresh();
    wait = 500;
  };
  source.onerror = () => {
    away(true);
    wait = Math.min(wait * 2, SLOWEST);
    if (source.readyState !== EventSource.CLOSED) return;
    refresh(); // the page says what the stream can't: that nobody is signed in, or it is gone
    setTimeout(() => document.hidden || listen(), wait);
  };
}

async function send(event) {
  const form = event.target;
  if ("plain" in form.dataset) return;
  event.preventDefault();
  const once = form.querySelector("[data-once]");
  if (once && !once.value) once.value = [...crypto.getRandomValues(new Uint8Array(16))].map((n) => n.toString(16).padStart(2, "0")).join("");
  const body = new URLSearchParams(new FormData(form, event.submitter));
  form.setAttribute("aria-busy", "true");
  try {
    const answer = await fetch(form.getAttribute("action"), { method: "POST", body });
    const page = parse(await answer.text());
    const why = page.getElementById("why");
    if (once && (answer.ok || answer.status === 409)) once.value = ""; // it has been used, maybe unheard
    if (!answer.ok) return tell(why ? why.textContent : `It was not taken (${answer.status}): send it again.`, "bad");
    form.reset();
    tell("");
    const there = new URL(answer.url);
    if (there.pathname !== location.pathname) return location.assign(there);
    merge(page);
  } catch {
    tell("The server does not answer. What you wrote is still here: send it again in a moment.", "bad");
  } finally {
    form.removeAttribute("aria-busy");
  }
}

function aged(since) {
  const steps = [[60, 1, "s"], [3600, 60, "min"], [86400, 3600, "h"], [Infinity, 86400, "d"]];
  const [, size, unit] = steps.find(([most]) => since < most);
  return `${Math.max(0, Math.floor(since / size))} ${unit}`;
}

function tick() {
  for (const time of document.querySelectorAll("time[data-time]")) {
    const at = new Date(time.dateTime);
    const isToday = at.toDateString() === new Date().toDateString();
    time.title ||= at.toLocaleString();
    if (time.dataset.time === "age") time.textContent = aged((Date.now() - at) / 1000);
    else time.textContent = isToday ? at.toLocaleTimeString() : at.toLocaleString([], { dateStyle: "short", timeStyle: "short" });
  }
}

function reveal() {
  document.querySelector(`${location.hash.match(/^#e\d+$/)?.[0] || "#none"} details`)?.setAttribute("open", "");
}

remember(document);
tick();
toEnd();
reveal();
setInterval(tick, 5000);
addEventListener("hashchange", reveal);
document.addEventListener("submit", send);
document.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  event.target.closest("form.compose, form.start")?.requestSubmit();
});
document.addEventListener("visibilitychange", () => {
  source?.close(); // a browser has six connections to a server, for all of its pages
  if (document.hidden) return;
  if (stream || seconds) refresh();
  if (stream) listen();
});
if (stream && !document.hidden) listen();
if (seconds) setInterval(() => document.hidden || refresh(), seconds * 1000);
