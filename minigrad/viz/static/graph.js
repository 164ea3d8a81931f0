// The graph, on a canvas: only what is in view is drawn, and less of it the further away it is.
const state = { selected: -1, back: false, played: C.order.length, folded: D.steps > 1, found: null, step: Math.max(0, D.steps - 1) };
const view = { kx: 60, ox: 0, oy: 0, width: 1, height: 1 };
const canvas = byId("graph"), pen = canvas.getContext("2d");
const MANY = 12; // users of a node from which its edges are drawn when it is selected
const PALE = 0.16; // of what is not what is looked for
const HEAD = 24, MIDDLE = 1.2, PAD = 0.5; // pixels of the scale of time; rows between the halves; lanes at the rims

// Places in lanes and rows. Unrolled, backward is below, upside down; folded, it is to the right, the other way round.
const pitch = D.widths[STEP] + 0.7, begin = D.widths[BEFORE] ? D.widths[BEFORE] + 0.6 : 0;
const unrolled = { start: [0, begin, begin + D.steps * pitch], pitch };
const folded = { start: [0, begin, begin + (D.steps ? pitch : 0)], pitch: 0 };
const placed = (how) => Float32Array.from({ length: N }, (_, n) => how.start[C.block[n]] + C.x[n] + C.step[n] * how.pitch + 0.5);
unrolled.x = placed(unrolled);
folded.x = placed(folded);
for (const how of [unrolled, folded]) how.width = how.start[AFTER] + D.widths[AFTER];
const sorted = Int32Array.from({ length: N }, (_, n) => n).sort((a, b) => unrolled.x[a] - unrolled.x[b]);
const laneOf = (n, back) => (!state.folded ? unrolled.x[n] : back ? 2 * folded.width + 1.5 - folded.x[n] : folded.x[n]);
const rowOf = (n, back) => (state.folded ? C.y[n] + 1.2 : !back ? C.y[n] + 0.5 : 2 * D.rows + MIDDLE - C.y[n] - 0.5);
const lanes = () => (state.folded ? 2 * folded.width + 1.5 : unrolled.width);
const rows = () => (state.folded ? D.rows + 1.4 : 2 * D.rows + MIDDLE);
const ky = () => {
  const fit = (view.height - HEAD - 8) / rows();
  return state.folded ? Math.max(Math.min(fit, 46), 26, Math.min(fit, 66, view.kx)) : Math.max(Math.min(fit, 44), Math.min(44, view.kx * 0.45));
};
const px = (n, back) => (laneOf(n, back) - view.ox) * view.kx;
const py = (n, back) => (rowOf(n, back) - view.oy) * ky() + HEAD;

function clampView() {
  view.kx = Math.max(Math.min(view.width / (lanes() + 2 * PAD), 90), Math.min(view.kx, state.folded ? 150 : 120));
  const w = view.width / view.kx, h = (view.height - HEAD) / ky();
  view.ox = w >= lanes() + 2 * PAD ? (lanes() - w) / 2 : Math.max(-PAD, Math.min(view.ox, lanes() + PAD - w));
  view.oy = h >= rows() ? (rows() - h) / 2 : Math.max(-0.2, Math.min(view.oy, rows() + 0.2 - h));
}

// Nodes whose lane lies between two.
function between(low, high) {
  if (state.folded) {
    const list = [];
    for (let n = 0; n < N; n++) if (C.block[n] !== STEP || C.step[n] === state.step) list.push(n);
    return list;
  }
  const first = (limit) => {
    let a = 0, b = N;
    while (a < b) { const m = (a + b) >> 1; if (unrolled.x[sorted[m]] < limit) a = m + 1; else b = m; }
    return a;
  };
  return sorted.subarray(first(low), first(high));
}

let colours;
function readColours() {
  const style = getComputedStyle(document.documentElement);
  const get = (name) => style.getPropertyValue(`--${name}`).trim();
  const rgb = (hex) => [1, 3, 5].map((k) => parseInt(hex.slice(k, k + 2), 16));
  const ramp = (a, b) => Array.from({ length: LEVELS }, (_, k) => rgb(a).map((v, j) => Math.round(v + ((rgb(b)[j] - v) * k) / (LEVELS - 1))));
  const css = (c) => `rgb(${c.join(" ")})`;
  const light = (c) => 0.3 * c[0] + 0.59 * c[1] + 0.11 * c[2] > 140;
  const ramps = [ramp(get("f0"), get("f1")), ramp(get("g0"), get("g1"))];
  colours = { fill: ramps.map((r) => r.map(css)), text: ramps.map((r) => r.map((c) => (light(c) ? "#14181f" : "#ffffff"))) };
  for (const name of ["paper", "card", "ink", "soft", "line", "edge", "accent", "band", "carry", "bad", "f1", "g1"]) colours[name] = get(name);
}

const lit = (n) => visited[n] > 0 && visited[n] <= state.played;
const current = () => (state.played > 0 ? C.order[state.played - 1] : -1);
function fillOf(n, back) {
  if (back && !lit(n)) return null;
  if (broken(n, back)) return colours.bad;
  const level = levels[+back][n];
  return level < 0 ? colours.line : colours.fill[+back][level];
}

let asked = false;
function draw() {
  if (!asked) { asked = true; requestAnimationFrame(paint); }
}
function paint() {
  asked = false;
  const begun = performance.now();
  clampView();
  const ratio = devicePixelRatio || 1;
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.fillStyle = colours.card;
  pen.fillRect(0, 0, view.width, view.height);
  const list = between(view.ox - 1, view.ox + view.width / view.kx + 1);
  const near = view.kx >= 34 && ky() >= 13;
  scaleOfTime();
  if (view.kx >= 13 && list.length < 3000) for (const back of [false, true]) edges(list, back);
  for (const back of [false, true]) (near ? boxes : dots)(list, back);
  if (state.selected >= 0) selection(near);
  titles();
  const s = state.selected;
  Object.assign(canvas.dataset, {
    selected: s, side: state.back ? "backward" : "forward", lit: state.played, folded: state.folded, step: state.step,
    found: state.found ? state.found.reduce((a, b) => a + b, 0) : "",
    at: s < 0 ? "" : `${Math.round(px(s, state.back))},${Math.round(py(s, state.back))}`,
    drawn: list.length, frame: (performance.now() - begun).toFixed(1),
  });
}

function scaleOfTime() {
  pen.font = "12px ui-sans-serif, system-ui, sans-serif";
  pen.textAlign = "center"; pen.textBaseline = "middle";
  if (state.folded || !D.steps) return;
  const every = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000].find((k) => k * pitch * view.kx >= 52) || 10000;
  const first = Math.max(0, Math.floor((view.ox - begin) / pitch)), last = Math.min(D.steps - 1, Math.ceil((view.ox + view.width / view.kx - begin) / pitch));
  for (let t = first; t <= last; t++) {
    const left = (begin + t * pitch - 0.35 - view.ox) * view.kx;
    if (t % 2 && pitch * view.kx > 10) { pen.fillStyle = colours.band; pen.fillRect(left, HEAD, pitch * view.kx, view.height); }
    if (t % every === 0) {
      pen.fillStyle = colours.soft;
      pen.fillText(every === 1 ? `step ${t}` : t, left + (pitch * view.kx) / 2, HEAD / 2);
    }
  }
}

function titles() {
  pen.font = "600 12.5px ui-sans-serif, system-ui, sans-serif";
  pen.textAlign = "left"; pen.textBaseline = "middle";
  const tag = (text, x, y, colour) => {
    pen.fillStyle = colours.card; pen.globalAlpha = 0.85;
    pen.fillRect(x - 5, y - 9, pen.measureText(text).width + 10, 18);
    pen.globalAlpha = 1; pen.fillStyle = colour; pen.fillText(text, x, y);
  };
  if (state.folded) {
    const middle = (folded.width + 0.75 - view.ox) * view.kx;
    tag(D.steps ? `forward, step ${state.step} of 0–${D.steps - 1}` : "forward", 12, HEAD / 2, colours.f1);
    tag("backward", Math.max(180, Math.min(middle + 8, view.width - 80)), HEAD / 2, colours.g1);
    pen.strokeStyle = colours.line; pen.beginPath(); pen.moveTo(middle, HEAD); pen.lineTo(middle, view.height); pen.stroke();
  } else {
    const middle = (D.rows + MIDDLE / 2 - view.oy) * ky() + HEAD;
    pen.strokeStyle = colours.line; pen.beginPath(); pen.moveTo(0, middle); pen.lineTo(view.width, middle); pen.stroke();
    tag("forward ↓", 12, middle - 13, colours.f1);
    tag("backward ↓", 12, middle + 14, colours.g1);
  }
}

// An edge from what was computed first; on the way back it is walked the other way.
function edges(list, back) {
  const h = boxHeight() / 2, plain = new Path2D(), carried = new Path2D();
  for (const n of list) {
    if (back && !lit(n)) continue;
    for (const p of parents(n)) {
      const inner = C.block[n] === STEP && C.block[p] === STEP && C.loop[n] === C.loop[p];
      const carry = inner && C.step[n] !== C.step[p];
      if (!inner && !(C.block[n] === C.block[p]) && !(state.folded && C.block[n] !== BEFORE)) continue;
      if (users(p).length > MANY && !carry && !state.folded) continue;
      if (state.folded && C.block[p] === STEP && !carry && C.step[p] !== state.step) continue;
      curve(carry ? carried : plain, n, p, back, h, carry);
    }
  }
  pen.lineWidth = view.kx > 50 ? 1.3 : 0.8;
  pen.strokeStyle = colours.edge; pen.stroke(plain);
  pen.strokeStyle = colours.carry; pen.lineWidth *= 1.5; pen.stroke(carried);
}
function curve(path, n, p, back, h, carry) {
  const up = back && !state.folded ? -1 : 1;
  const from = state.folded && carry ? at(p, state.step) : p;
  if (from < 0) return;
  const x0 = px(from, back), y0 = py(from, back) + up * h, x1 = px(n, back), y1 = py(n, back) - up * h;
  const bend = up * Math.max(10, Math.min(Math.abs(y1 - y0) / 2, 70));
  if (state.folded && carry) { // around the step's side, to where the next one begins
    const side = (folded.start[STEP] + (D.widths[STEP] + 0.25)) , X = ((back ? 2 * folded.width + 1.5 - side : side) - view.ox) * view.kx;
    const y = Math.min(y0 + 10, view.height - 4);
    path.moveTo(x0, y0);
    path.bezierCurveTo(x0, y + 14, X, y + 14, X, y - 12);
    path.lineTo(X, y1 - 8);
    path.bezierCurveTo(X, y1 - 34, x1, y1 - 26, x1, y1);
  } else {
    path.moveTo(x0, y0);
    path.bezierCurveTo(x0, y0 + bend, x1, y1 - bend, x1, y1);
  }
}

const boxWidth = () => Math.min(view.kx * 0.9, state.folded ? 132 : 104);
const boxHeight = () => Math.min(ky() * 0.72, state.folded ? 46 : 30);

function dots(list, back) { // far away: a heat map, a colour at a time
  const w = Math.max(0.9 * view.kx, 1), h = Math.max(2, ky() * 0.74), by = new Map();
  for (const n of list) {
    const fill = fillOf(n, back) ?? "";
    if (!by.has(fill)) by.set(fill, []);
    by.get(fill).push(n);
  }
  for (const [fill, nodes] of by) {
    pen.globalAlpha = fill ? 1 : 0.4;
    pen.fillStyle = fill || colours.line;
    for (const n of nodes) {
      if (state.found) pen.globalAlpha = state.found[n] ? 1 : PALE;
      pen.fillRect(px(n, back) - w / 2, py(n, back) - h / 2, w, h); // a path of all is far slower
    }
  }
  pen.globalAlpha = 1;
}

function boxes(list, back) {
  const w = boxWidth(), h = boxHeight(), size = Math.max(8, Math.min(12.5, w / 6.5, h * 0.62)), two = h >= 25;
  pen.textAlign = "center"; pen.textBaseline = "middle";
  for (const n of list) {
    const x = px(n, back), y = py(n, back), fill = fillOf(n, back);
    if (y < -h || y > view.height + h) continue;
    pen.globalAlpha = !state.found || state.found[n] ? 1 : PALE;
    pen.beginPath();
    pen.roundRect(x - w / 2, y - h / 2, w, h, Math.min(7, h / 3));
    pen.fillStyle = fill ?? colours.card; pen.fill();
    pen.strokeStyle = n === current() && back ? colours.accent : fill ? colours.edge : colours.line;
    pen.lineWidth = n === current() && back ? 3 : 1; pen.stroke();
    const level = levels[+back][n];
    pen.fillStyle = !fill ? colours.soft : broken(n, back) ? "#fff" : level < 0 ? colours.ink : colours.text[+back][level];
    pen.font = `${nameOf(n) ? 600 : 400} ${size}px ui-sans-serif, system-ui, sans-serif`;
    const label = nameOf(n) && opName(n) !== "leaf" ? `${nameOf(n)} = ${opName(n)}` : title(n);
    const spark = state.folded && h >= 22 && alike.has(C.key[n]) && (!back || fill);
    pen.fillText(label, x, spark ? y - h * 0.24 : two ? y - 5 : y + 0.5, w - 6);
    if (spark) sparkline(n, back, x - w / 2 + 6, y + h * 0.02, w - 12, h * 0.4);
    else if (two) {
      pen.font = `${size - 2}px ui-sans-serif, system-ui, sans-serif`;
      pen.fillText(D.shapes[C.shape[n]].replace(/^[a-z0-9]+(?=\[)/, ""), x, y + 8, w - 6);
    }
  }
  pen.globalAlpha = 1;
}

function sparkline(n, back, left, top, w, h) {
  const values = series(n, back);
  pen.strokeStyle = pen.fillStyle; pen.lineWidth = 1.3; pen.beginPath();
  const X = (t) => left + (w * t) / Math.max(1, D.steps - 1), Y = (v) => top + h * (1 - v);
  let down = false;
  values.forEach((v, t) => {
    if (Number.isNaN(v)) { down = false; return; }
    if (down) pen.lineTo(X(t), Y(v)); else pen.moveTo(X(t), Y(v));
    down = true;
  });
  pen.stroke();
  const v = values[state.step];
  if (!Number.isNaN(v)) { pen.beginPath(); pen.arc(X(state.step), Y(v), 2.4, 0, 7); pen.fill(); }
}
// Root mean square at every step, from 0 to 1; of cotangents the logarithm.
const seriesKnown = [new Map(), new Map()];
function series(n, back) {
  const memo = seriesKnown[+back], key = C.key[n];
  if (!memo.has(key)) {
    const raw = Array.from(alike.get(key), (m) => { const v = m < 0 ? NaN : rms(m, back); return back ? Math.log10(v) : v; });
    const finite = raw.filter(Number.isFinite), high = Math.max(...finite, 0 * !back - 1e9 * back);
    const low = Math.min(...finite), span = high - low || 1;
    memo.set(key, raw.map((v) => (Number.isFinite(v) ? (high === low ? 0.5 : (v - low) / span) : v === -Infinity ? 0 : NaN)));
  }
  return memo.get(key);
}

function selection(near) {
  const n = state.selected, w = near ? boxWidth() : Math.max(7, view.kx), h = near ? boxHeight() : Math.max(7, ky() * 0.74);
  const path = new Path2D();
  const shown = (m) => !state.folded || C.block[m] !== STEP || C.step[m] === state.step;
  for (const p of parents(n)) if (shown(p)) curve(path, n, p, state.back, h / 2, false);
  for (const u of [...users(n)].slice(0, 60)) if (shown(u)) curve(path, u, n, state.back, h / 2, false);
  pen.strokeStyle = colours.accent; pen.lineWidth = 1.8; pen.stroke(path);
  for (const back of [false, true]) {
    pen.lineWidth = back === state.back ? 3.2 : 1.4;
    pen.setLineDash(back === state.back ? [] : [4, 3]);
    pen.beginPath();
    pen.roundRect(px(n, back) - w / 2 - 3, py(n, back) - h / 2 - 3, w + 6, h + 6, 8);
    pen.stroke();
  }
  pen.setLineDash([]);
}

// The node at a pixel, and whether it is on the way back; null if there is none.
function nodeAt(x, y) {
  const lane = view.ox + x / view.kx, reach = Math.max(0.5, 4 / view.kx);
  let best = null, least = Infinity;
  for (const n of between(lane - reach, lane + reach)) {
    for (const back of [false, true]) {
      const dx = Math.abs(px(n, back) - x), dy = Math.abs(py(n, back) - y);
      if (dx > Math.max(4, view.kx / 2) || dy > Math.max(4, ky() / 2)) continue;
      if (dx + dy < least) { least = dx + dy; best = [n, back]; }
    }
  }
  return best;
}

function zoom(factor, x = view.width / 2, y = view.height / 2) {
  const lane = view.ox + x / view.kx, row = view.oy + (y - HEAD) / ky();
  view.kx *= factor;
  clampView();
  view.ox = lane - x / view.kx; view.oy = row - (y - HEAD) / ky();
  draw();
}
function zoomHere(factor) { // about the selected node
  if (state.selected < 0) { zoom(factor); return; }
  intoView(state.selected, state.back);
  clampView();
  zoom(factor, px(state.selected, state.back), py(state.selected, state.back));
}
function intoView(n, back) {
  const x = px(n, back), y = py(n, back), rim = Math.min(80, view.width / 6);
  if (x < rim || x > view.width - rim) view.ox = laneOf(n, back) - view.width / 2 / view.kx;
  if (y < HEAD + 16 || y > view.height - 16) view.oy = rowOf(n, back) - (view.height - HEAD) / 2 / ky();
}
function showAll() { view.kx = 0; view.oy = 0; draw(); }
