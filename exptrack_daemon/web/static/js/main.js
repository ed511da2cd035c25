/** Where the studio's own pages meet: address, navigation bar, notices, and the page that is open. */

import { api, onAnswer, Refused, ServerGone } from "./api.js";
import { fill, h, sentenceNodes } from "./dom.js";
import { Live } from "./live.js";
import { mountNav } from "./nav.js";
import { duration } from "./pure/format.js";
import { formatRoute, parseRoute } from "./pure/route.js";
import { chartsPage } from "./pages/charts.js";
import { comparePage } from "./pages/compare.js";
import { runPage } from "./pages/run.js";
import { runsPage } from "./pages/runs.js";

const PAGES = { runs: runsPage, charts: chartsPage, compare: comparePage, run: runPage };
const TITLES = { runs: "Runs", charts: "Charts", compare: "Compare", run: "Run" };
const HEALTH_MS = 10000;

const main = document.getElementById("main");
const notices = document.getElementById("notices");
const nav = mountNav(document.getElementById("bar"), "runs");
const live = new Live();
let open = { page: "", close() {} };

/** What each page gets, with a way to `keep` what it shows in the address for as long as it is open. */
const shell = {
  live,
  title(text) {
    document.title = `${text} · exptrack`;
  },
  go(page, params, rest) {
    location.hash = formatRoute(page, params, rest);
  },
  /** Say what was refused, where the page would have been or above it. */
  say(error, host = null) {
    const words = error instanceof Refused || error instanceof ServerGone ? error.message : `This page has a fault: ${error.message}`;
    if (!(error instanceof Refused || error instanceof ServerGone)) console.error(error);
    if (host) fill(host, h("p", { class: "empty bad", role: "alert" }, sentenceNodes(words)));
    else notice("refused", "bad", words, 8000);
  },
  tell: (words) => notice("told", "good", words, 4000),
};

/** Show words above the page, under a name; null takes them away. */
function notice(name, kind, words, forMs = 0) {
  notices.querySelector(`[data-name="${name}"]`)?.remove();
  if (!words) return;
  const shown = h("p", { class: `notice ${kind}`, data: { name } }, sentenceNodes(words));
  notices.append(shown);
  if (forMs) setTimeout(() => shown.remove(), forMs);
}

function show() {
  const route = parseRoute(location.hash);
  open.close();
  nav.select(route.page);
  const page = PAGES[route.page];
  shell.title(TITLES[route.page] ?? "Not found");
  main.replaceChildren();
  main.className = `page-${page ? route.page : "none"}`;
  window.scrollTo(0, 0);
  if (page) open = visit(page, route);
  else {
    open = { page: "", close() {} };
    fill(main, h("h1", {}, "There is no such page"), h("p", {}, h("a", { href: "#/runs" }, "See all runs")));
  }
}

function visit(page, route) {
  let isOpen = true;
  const keep = (address) => isOpen && history.replaceState(null, "", address);
  const close = page(main, route, { ...shell, keep });
  return {
    page: route.page,
    close() {
      isOpen = false;
      close();
    },
  };
}

let isGone = false;
onAnswer((isThere) => {
  if (isThere === !isGone) return;
  isGone = !isThere;
  notice("gone", "bad", isGone && "The studio’s server does not answer. Is `exptrack ui` still running? This page asks again by itself.");
  if (isGone) nav.daemon("gone", "Server gone");
  else {
    live.forget();
    checkHealth();
    show();
  }
});

async function checkHealth() {
  if (document.visibilityState !== "visible") return;
  try {
    const health = await api.health();
    const { daemon } = health;
    nav.daemon(daemon.running ? "running" : "stopped", daemon.running ? `Daemon up ${duration(daemon.uptime_s)}` : "Daemon stopped");
    notice("daemon", "warn", !daemon.running && "The daemon is stopped: what is shown is what was written so far. Start it with `exptrack daemon start`.");
    const sick = (health.sinks ?? []).filter((sink) => /fail|unavailable|down|crash/.test(sink.status ?? ""));
    notice("sinks", "warn", sick.length > 0 && sick.map((sink) => `Sink ${sink.name} is ${sink.status}${sink.reason ? `: ${sink.reason}` : ""}.`).join(" "));
    notice("health", "warn", (health.notices ?? []).map((said) => said.text ?? said).join(" "));
  } catch (error) {
    if (error instanceof Refused) shell.say(error);
  }
}

document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
window.addEventListener("hashchange", show);
show();
live.start(show);
checkHealth();
setInterval(checkHealth, HEALTH_MS);
