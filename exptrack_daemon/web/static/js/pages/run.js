/** One run: status, what was configured and reached, where its rows are, what was lost. */

import { api } from "../api.js";
import { MediaSection } from "../charts/media.js";
import { afterQuiet, fill, h } from "../dom.js";
import { lostBadge, statusBadge, tagChips } from "../parts/badges.js";
import { box, plainTable, sampled, valuesTable } from "../parts/box.js";
import { editable, tagChange } from "../parts/edit.js";
import { flatRows } from "../parts/flat.js";
import { isDark } from "../pure/colours.js";
import { age, bytes, counted, duration, moment, value, whole } from "../pure/format.js";
import { formatRoute } from "../pure/route.js";

/** @type {(main: HTMLElement, route: any, shell: any) => () => void} */
export function runPage(main, route, shell) {
  const id = route.rest;
  const head = h("div", { class: "head" });
  const said = h("div");
  const about = h("div");
  const boxes = h("div", { class: "boxes" });
  const tables = h("div");
  const picture = h("div");
  const mediaHost = h("div");
  let media = null;
  let run = null;
  let stopping = ""; // "", "sure?" or "asked"

  async function load() {
    const isFirst = run === null;
    try {
      run = await api.run(id);
    } catch (error) {
      if (isFirst && error.status === 404) fill(main, notFound(id));
      else if (isFirst) shell.say(error, main);
      return;
    }
    if (isFirst) begin();
    draw();
  }

  function begin() {
    shell.title(run.name || run.id);
    fill(main, head, said, about, h("div", { class: "run" }, boxes, h("div", { class: "aside" }, picture)), tables, mediaHost);
    drawAbout();
    drawPicture();
    media = new MediaSection(mediaHost, [run]);
    media.load().catch((error) => shell.say(error));
  }

  function draw() {
    drawHead();
    fill(said, ...troubles(run));
    for (const [host, content] of [[boxes, valueBoxes(run)], [tables, tableBoxes(run)]]) {
      const isUsed = host.contains(document.activeElement) || host.contains(getSelection()?.anchorNode);
      if (!isUsed || !host.childElementCount) fill(host, content);
    }
  }

  function drawHead() {
    if (run.status !== "running") stopping = "";
    const nameHost = head.querySelector(".name") ?? h("h1", { class: "name" });
    const facts = [run.project, run.group, run.job_type].filter(Boolean).join(" · ");
    const span = (run.status === "running" ? Date.now() : run.updated_ms) - run.created_ms;
    const actions = h("span", { class: "row actions" },
      h("a", { class: "button primary", href: formatRoute("charts", { runs: run.id }) }, "Charts"),
      h("a", { class: "button", href: formatRoute("compare", { runs: run.id }) }, "Compare with …"), tensorboardButton(), run.status === "running" && stopButton());
    const line = h("p", { class: "muted facts" }, `${facts} · started ${age(run.created_ms)}, ${run.status === "running" ? "running for" : "ran for"} ${duration(span / 1000)} · last step ${whole(run.last_step)} · ${counted(run.rows, "row")}, ${counted(run.points, "point")}`);
    if (!nameHost.childElementCount) {
      editable(nameHost, { label: "name", text: () => run.name ?? "", shown: () => h("span", { class: "text" }, run.name || run.id), save: (text) => save({ name: text.trim() }) });
    }
    if (nameHost.parentNode === head && head.contains(document.activeElement)) return;
    fill(head, nameHost, h("span", {}, statusBadge(run.status), lostBadge(run.lost_items)), h("code", { class: "muted" }, run.id), actions, line);
  }

  function tensorboardButton() {
    return h("button", { type: "button", on: { click: async (event) => {
      event.target.disabled = true;
      try {
        await api.tensorboard("POST"); // says in words what is missing, where it cannot start
        window.open("/tensorboard/", "_blank", "noopener");
      } catch (error) {
        shell.say(error);
      }
      event.target.disabled = false;
    } } }, "TensorBoard");
  }

  // Asked twice: it can't be taken back. Nothing is killed, so it may run on for a while.
  function stopButton() {
    const button = h("button", { type: "button", class: "stop", disabled: stopping === "asked", title: "Ask its training to stop, as `exptrack stop` does; nothing is killed", on: { click: press, blur: () => stopping === "sure?" && say("") } });
    const say = (state) => {
      stopping = state;
      button.disabled = state === "asked";
      fill(button, { "": "Stop", "sure?": "Really stop?", asked: "Asked to stop" }[state]);
    };
    async function press() {
      if (stopping === "") return say("sure?");
      say("asked");
      try {
        await api.stop(id);
      } catch (error) {
        say("");
        shell.say(error);
      }
    }
    say(stopping);
    return button;
  }

  async function save(change) {
    run = { ...run, ...(await api.edit(id, change)) };
    shell.title(run.name || run.id);
  }

  function drawAbout() {
    const tags = h("div", { class: "cell" });
    const notes = h("div", { class: "cell notes" });
    editable(tags, {
      label: "tags", hint: "tags, with commas between", text: () => (run.tags ?? []).join(", "),
      shown: () => (run.tags?.length ? tagChips(run.tags) : h("span", { class: "muted" }, "No tags")), save: (text) => save(tagChange(run.tags ?? [], text)),
    });
    editable(notes, {
      label: "notes", isLong: true, text: () => run.notes ?? "", shown: () => (run.notes ? h("p", { class: "text" }, run.notes) : h("span", { class: "muted" }, "No notes")), save: (text) => save({ notes: text }),
    });
    fill(about, h("div", { class: "about panelbox" }, tags, notes));
  }

  function drawPicture() {
    const theme = () => (isDark() ? "dark" : "light");
    const image = h("img", { alt: `Loss, learning rate, gradients and speed of ${run.name || run.id}, as a picture`, on: {
      load: () => image.classList.add("there"),
      error: () => fill(picture, box("Picture", h("p", { class: "muted" }, "There is no picture of this run yet."))),
    } });
    image.src = api.pictureUrl(id, theme());
    fill(picture, box("Picture", h("a", { href: api.pictureUrl(id, theme()), target: "_blank", rel: "noopener", title: "Open in full size" }, image)));
    themed = () => (image.src = api.pictureUrl(id, theme()));
    document.addEventListener("exptrack:theme", themed);
  }

  let themed = () => {};
  load();
  const stopHearing = shell.live.listen(afterQuiet(300, (changed) => {
    if (!changed.some((one) => one.id === id)) return;
    load();
    media?.grown(changed);
  }));
  return () => {
    stopHearing();
    media?.close();
    document.removeEventListener("exptrack:theme", themed);
  };
}

function notFound(id) {
  return h("div", { class: "empty" }, h("h1", {}, "There is no such run"), h("p", {}, h("code", {}, id), " is not in this home: it may have been removed, or stand in another home."), h("p", {}, h("a", { href: "#/runs" }, "See all runs")));
}

/** What a reader must not miss, in words. */
function troubles(run) {
  const said = [];
  const say = (kind, words) => said.push(h("p", { class: `notice ${kind} boxed` }, words));
  const detail = run.status_detail ? `: ${run.status_detail}` : "";
  if (run.status === "crashed") say("bad", `This run crashed${detail || ": its process is gone and never said goodbye. What it had logged was recovered"}.`);
  if (run.status === "failed") say("bad", `This run failed${detail}${run.exit_code ? ` (exit code ${run.exit_code})` : ""}.`);
  if (run.status === "preempted") say("warn", `This run was preempted${detail}.`);
  if (run.lost_items) say("bad", `${counted(run.lost_items, "row")} could not be kept. The loss ledger below says which and why.`);
  if (!run.rows) say("plain", "This run has not logged anything yet.");
  for (const sink of run.sinks ?? []) if (/fail|unavailable|down|crash/.test(sink.status ?? "")) say("warn", `Sink ${sink.name} is ${sink.status}${sink.reason ? `: ${sink.reason}` : ""}. Its rows wait in the journal; nothing is lost.`);
  for (const problem of run.problems ?? []) say("warn", value(problem));
  return said;
}

function valueBoxes(run) {
  const none = (words) => h("p", { class: "muted" }, words);
  const table = (label, values, words, said) => {
    const rows = flatRows(values);
    return box(label, rows.length ? valuesTable(label, rows, said) : none(words));
  };
  return [
    table("Summary", run.summary, "No values yet."),
    table("Config", run.config, "This run was started without a config."),
    table("System", run.system, "The sampler has written nothing for this run.", sampled),
    alertsBox(run), notesBox(run),
  ];
}

const tableBoxes = (run) => [sinksBox(run), streamsBox(run), ledgerBox(run), artifactsBox(run)];

function alertsBox({ alerts }) {
  if (!alerts?.length) return null;
  return box("Alerts", h("ul", { class: "plain" }, alerts.map((alert) => h("li", {}, h("span", { class: `badge ${{ error: "bad", warning: "warn" }[alert.level] ?? "plain"}` }, alert.level ?? "alert"), " ", h("b", {}, alert.title ?? ""), " ", alert.text ?? "", h("small", {}, ` ${moment(alert.time_ms)}`)))));
}

function notesBox({ user_notes: notes }) {
  if (!notes?.length) return null;
  return box("Notes from training", h("ul", { class: "plain" }, notes.map(({ text, time_ms: time }) => h("li", {}, text, h("small", {}, ` ${moment(time)}`)))));
}

function artifactsBox({ artifacts }) {
  if (!artifacts?.length) return null;
  return box("Artifacts", plainTable("Artifacts", [
    ["Name", (one) => one.name ?? ""], ["Type", (one) => one.type], ["Place", (one) => h("code", {}, one.path)],
    ["Size", (one) => bytes(one.size_bytes), true], ["Step", (one) => whole(one.step), true], ["When", (one) => moment(one.time_ms)],
  ], artifacts));
}

function sinksBox({ sinks }) {
  if (!sinks?.length) return box("Sinks", h("p", { class: "muted" }, "No sink has taken this run yet."));
  const kind = (status) => (/fail|unavailable|down|crash/.test(status ?? "") ? "bad" : /lag|behind|wait/.test(status ?? "") ? "warn" : "good");
  return box("Sinks", plainTable("Sinks", [
    ["Sink", (one) => one.name], ["Status", (one) => h("span", { class: `badge ${kind(one.status)}`, title: one.reason || null }, one.status ?? "unknown")], ["Rows", (one) => whole(one.rows), true],
    ["Behind", (one) => whole(one.lag_rows), true], ["Set aside", (one) => whole(one.dead_letters), true], ["Why", (one) => one.reason ?? ""],
  ], sinks));
}

function streamsBox({ streams }) {
  if (!streams?.length) return null;
  return box("Attempts and ranks", plainTable("Attempts and ranks", [
    ["Attempt", (one) => one.attempt, true], ["Rank", (one) => one.rank, true], ["Role", (one) => one.role], ["Host", (one) => `${one.host}:${one.pid}`], ["Status", (one) => statusBadge(one.status)],
    ["Exit", (one) => value(one.exit_code), true], ["Rows", (one) => whole(one.rows), true], ["From", (one) => moment(one.opened_ms)], ["Ran for", (one) => (one.closed_ms ? duration((one.closed_ms - one.opened_ms) / 1000) : "–"), true],
  ], streams));
}

function ledgerBox({ ledger }) {
  if (!ledger?.length) return box("Loss ledger", h("p", { class: "muted" }, "Empty: every row that was logged is here."));
  return box("Loss ledger", plainTable("Loss ledger", [
    ["Rank", (one) => one.rank, true], ["Items", (one) => whole(one.items), true], ["Numbers", (one) => `${whole(one.first)} – ${whole(one.last)}`], ["Why", (one) => one.reason], ["When", (one) => moment(one.time_ms)],
  ], ledger));
}
