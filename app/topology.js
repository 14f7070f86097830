// Shows /topology.json, asked for every two seconds. Rates are differences between two answers.
"use strict";

const previous = new Map(); // caller, callee and kind → {time, calls, errors}
const element = (id) => document.getElementById(id);

function duration(ms) {
  if (ms < 0) return "never";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const s = ms / 1000;
  if (s < 90) return `${s.toFixed(s < 10 ? 1 : 0)} s`;
  if (s < 5400) return `${Math.round(s / 60)} min`;
  return s < 129600 ? `${Math.round(s / 3600)} h` : `${Math.round(s / 86400)} d`;
}

const rate = (n) => (n === null ? "…" : n.toFixed(n < 10 ? 1 : 0));
const latency = (us) => (us ? `${(us / 1000).toFixed(us < 10000 ? 2 : 0)} ms` : "");

function row(cells, kind) {
  const tr = document.createElement("tr");
  if (kind) tr.className = kind;
  for (const [text, mark] of cells) {
    const td = document.createElement("td");
    if (mark === "n") td.className = "n";
    if (mark === "mark") td.append(Object.assign(document.createElement("span"), { className: "mark" }));
    td.append(String(text ?? ""));
    tr.append(td);
  }
  return tr;
}

// edges are the calls between processes, with their rates since the last answer.
function edges(processes) {
  const all = [];
  for (const p of processes) {
    const time = Number(p.status?.timeMs ?? 0);
    for (const t of p.status?.traffic ?? []) {
      const id = [p.bootId, t.service, t.bootId, t.kind].join(" ");
      const calls = Number(t.calls ?? 0), errors = Number(t.errors ?? 0);
      const last = previous.get(id);
      const seconds = last ? (time - last.time) / 1000 : 0;
      const known = seconds > 0 && calls >= last.calls;
      if (!last || seconds > 0) previous.set(id, { time, calls, errors });
      all.push({
        caller: p.bootId, service: t.service, callee: t.bootId, kind: t.kind, calls, us: Number(t.latencyUs ?? 0),
        rate: known ? (calls - last.calls) / seconds : null, errors: known ? (errors - last.errors) / seconds : null,
      });
    }
  }
  return all;
}

// served sums up what all callers sent to an instance.
function served(all, i) {
  const mine = all.filter((e) => e.service === i.service && e.callee === i.bootId);
  const known = mine.filter((e) => e.rate !== null);
  const weight = known.reduce((sum, e) => sum + e.rate, 0);
  const us = weight ? known.reduce((sum, e) => sum + e.rate * e.us, 0) / weight : mine[0]?.us ?? 0;
  return { rate: known.length || !mine.length ? weight : null, us };
}

function show(topology) {
  const instances = topology.instances ?? [], processes = topology.processes ?? [];
  const all = edges(processes);
  const names = new Map();
  for (const i of instances) names.set(i.bootId, [...(names.get(i.bootId) ?? []), i.service]);
  const name = (id) => `${(names.get(id) ?? ["?"]).join("+")} ${id.slice(0, 8)}`;
  const silent = processes.filter((p) => p.error);
  element("summary").textContent = `${instances.length} instances in ${processes.length} processes, seen by ` +
    `${name(topology.asked)} at ${new Date().toLocaleTimeString()}` +
    (silent.length ? `; no answer from ${silent.map((p) => name(p.bootId)).join(", ")}` : "");
  element("instances").replaceChildren(...instances.map((i) => {
    const s = served(all, i);
    return row([
      [i.service], [i.bootId.slice(0, 8)], [i.down ? "down" : i.state, "mark"], [i.version], [i.zone], [i.http], [i.grpc],
      [i.weight ?? 1, "n"], [duration(Date.now() - Number(i.startedMs ?? 0)), "n"],
      [duration(Number(i.heartbeatAgeMs ?? 0)), "n"], [rate(s.rate), "n"], [latency(s.us), "n"],
    ], i.down ? "down" : i.state);
  }));
  element("calls").replaceChildren(...all.map((e) => row([
    [e.kind === "public" ? "clients" : name(e.caller)], [`${e.service} ${e.callee.slice(0, 8)}`], [e.kind],
    [rate(e.rate), "n"], [rate(e.errors), "n"], [latency(e.us), "n"], [e.calls, "n"],
  ], e.errors ? "failed" : "")));
}

async function poll() {
  try {
    const answer = await fetch("topology.json", { signal: AbortSignal.timeout(10000) });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    show(await answer.json());
  } catch (error) {
    element("summary").textContent = `This process does not answer: ${error.message}`;
  }
  setTimeout(poll, 2000);
}

poll();
