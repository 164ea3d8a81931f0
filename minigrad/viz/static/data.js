// What was recorded: columns by node, in order of creation.
const D = JSON.parse(document.getElementById("data").textContent);
const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
const C = {};
for (const [name, text] of Object.entries(D.ints)) C[name] = new Int32Array(bytes(text).buffer);
for (const [name, text] of Object.entries(D.floats)) C[name] = new Float32Array(bytes(text).buffer);
const N = D.count;
const BEFORE = 0, STEP = 1, AFTER = 2;

const parents = (n) => C.parent.subarray(C.starts[n], C.starts[n + 1]);
const users = (() => {
  const starts = new Int32Array(N + 1), list = new Int32Array(C.parent.length);
  for (const p of C.parent) starts[p + 1]++;
  for (let n = 0; n < N; n++) starts[n + 1] += starts[n];
  const next = starts.slice();
  for (let n = 0; n < N; n++) for (const p of parents(n)) list[next[p]++] = n;
  return (n) => list.subarray(starts[n], starts[n + 1]);
})();

// When each node is visited on the way back, from 1; 0 if it never is.
const visited = new Int32Array(N);
C.order.forEach((n, k) => { visited[n] = k + 1; });

// The nodes that are one and the same op at different steps, by step.
const alike = new Map();
for (let n = 0; n < N; n++) {
  if (C.block[n] !== STEP) continue;
  if (!alike.has(C.key[n])) alike.set(C.key[n], new Int32Array(D.steps).fill(-1));
  alike.get(C.key[n])[C.step[n]] = n;
}
const at = (n, step) => (C.block[n] === STEP ? alike.get(C.key[n])[step] ?? -1 : n);

const rms = (n, back) => (back ? C.g_norm : C.v_norm)[n] / Math.sqrt(Math.max(1, C.size[n]));
const known = (n, back) => !Number.isNaN((back ? C.g_finite : C.v_finite)[n]);
const broken = (n, back) => (back ? C.g_finite : C.v_finite)[n] < 1;

// From 0, small, to LEVELS - 1, large, on a logarithmic scale; -1 if there is nothing to measure.
const LEVELS = 16;
const ends = [false, true].map(() => [NaN, NaN]); // root mean squares of the first and the last level
const levels = [false, true].map((back) => {
  const logs = Float32Array.from({ length: N }, (_, n) => Math.log10(rms(n, back)));
  const sorted = logs.filter(Number.isFinite).sort();
  const low = Math.max(sorted[Math.floor(0.02 * sorted.length)] ?? 0, (sorted[sorted.length - 1] ?? 0) - 8);
  const span = (sorted[sorted.length - 1] ?? 1) - low || 1;
  if (sorted.length) ends[+back] = [10 ** low, 10 ** (low + span)];
  return Int8Array.from(logs, (log, n) => !known(n, back) ? -1
    : Math.max(0, Math.min(LEVELS - 1, Math.round(((log - low) / span) * (LEVELS - 1)) || 0)));
});

const opName = (n) => D.ops[C.op[n]].name;
const nameOf = (n) => (C.name[n] < 0 ? "" : D.names[C.name[n]]);
const title = (n) => (C.op[n] >= 0 && opName(n) === "leaf" ? nameOf(n) || "leaf" : opName(n));
const where = (n) => (!D.steps ? `number ${n}` : C.block[n] === STEP ? `step ${C.step[n]}` : C.block[n] === BEFORE ? "before the loop" : "after the loop");
const escaped = (text) => String(text).replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);
const number = (x) => (Number.isNaN(x) ? "–" : x === 0 ? "0" : Math.abs(x) >= 1e5 || Math.abs(x) < 1e-3 ? x.toExponential(2) : String(+x.toPrecision(4)));
const percent = (x) => (Number.isNaN(x) ? "–" : x === 0 ? "0%" : x === 1 ? "100%" : (100 * x).toPrecision(3) + "%");
const byId = (id) => document.getElementById(id);
