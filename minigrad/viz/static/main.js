// What the reader does.
function select(n, back = state.back, pan = true) {
  if (n < 0 || n >= N) return;
  state.selected = n; state.back = back;
  if (C.block[n] === STEP) setStep(C.step[n]);
  if (pan) { clampView(); intoView(n, back); }
  details(n);
  const measured = back && lit(n) ? `cotangent norm ${number(C.g_norm[n])}` : `mean ${number(C.v_mean[n])}`;
  byId("live").textContent = `${nameOf(n)} ${opName(n)}, ${where(n)}, ${back ? "backward" : "forward"}, ${D.shapes[C.shape[n]]}, ${measured}`;
  draw();
  tell();
}
function setStep(t) {
  if (t === state.step && byId("step-now").textContent) return;
  state.step = t;
  byId("step").value = t;
  byId("step-now").textContent = t;
  for (const mark of document.querySelectorAll("#maps i")) mark.style.left = `${(100 * (t + 0.5)) / D.steps}%`;
  flowStep(t);
}
function chooseStep(t) {
  const twin = state.selected >= 0 ? at(state.selected, t) : -1;
  setStep(t);
  if (twin >= 0) select(twin); else { draw(); tell(); }
}
// A page beside this one (Page.beside) follows what is chosen here, and the other way round.
let following = false;
function tell() {
  if (window.parent === window || following) return;
  const n = state.selected;
  window.parent.postMessage({ minigrad: { step: state.step, n, count: N, op: n < 0 ? "" : opName(n), name: n < 0 ? "" : nameOf(n), back: state.back } }, "*");
}
function follow(told) {
  following = true;
  const here = (n) => opName(n) === told.op && (C.block[n] !== STEP || C.step[n] === told.step);
  const same = (n) => here(n) && nameOf(n) === told.name;
  if (told.step < D.steps) setStep(told.step);
  let n = told.count === N && told.n >= 0 && same(told.n) ? told.n : -1;
  for (const like of [same, here]) for (let m = 0; n < 0 && m < N; m++) if (like(m)) n = m;
  if (n >= 0) select(n, told.back); else draw();
  following = false;
}
addEventListener("message", (event) => { if (event.source === window.parent && event.data?.minigrad) follow(event.data.minigrad); });

// What is looked for: a word that an op or a name has in it.
function find(text) {
  const word = text.trim().toLowerCase();
  state.found = word ? Uint8Array.from({ length: N }, (_, n) => opName(n).toLowerCase().includes(word) || nameOf(n).toLowerCase().includes(word)) : null;
  const hits = state.found ? state.found.reduce((a, b) => a + b, 0) : 0;
  byId("hits").textContent = state.found ? `${hits} node${hits === 1 ? "" : "s"}` : "";
  draw();
}
function findNext(way) {
  if (!state.found) return;
  for (let k = 1; k <= N; k++) {
    const n = (((state.selected + way * k) % N) + N) % N;
    if (state.found[n]) { select(n); return; }
  }
}
function pressFolded() {
  byId("folded").setAttribute("aria-pressed", state.folded);
  byId("unrolled").setAttribute("aria-pressed", !state.folded);
}
function setFolded(on) {
  if (on === state.folded || D.steps < 2) return;
  state.folded = on;
  pressFolded();
  view.kx = on ? 0 : 62;
  view.oy = 0;
  if (state.selected >= 0 && C.block[state.selected] === STEP) setStep(C.step[state.selected]);
  if (state.selected >= 0) { clampView(); intoView(state.selected, state.back); }
  draw();
}
function setPlayed(k, follow = true) {
  state.played = Math.max(0, Math.min(C.order.length, k));
  byId("slider").value = state.played;
  const n = current();
  byId("slider").setAttribute("aria-valuetext", n < 0 ? "not begun" : `${state.played} of ${C.order.length}: ${opName(n)}, ${where(n)}`);
  byId("now").textContent = n < 0 ? `0 of ${C.order.length}: nothing has gone back yet`
    : `${state.played} of ${C.order.length}: through ${nameOf(n) && opName(n) !== "leaf" ? nameOf(n) + " = " : ""}${title(n)}, ${where(n)}; its cotangent has norm ${number(C.g_norm[n])}`;
  if (follow && n >= 0) select(n, true); else { details(state.selected); draw(); }
}
let timer = 0;
function play(on) {
  clearInterval(timer);
  timer = 0;
  byId("play").setAttribute("aria-pressed", on);
  byId("play").textContent = on ? "❚❚ Pause" : "▶ Play backward";
  if (!on) return;
  if (state.played === C.order.length) setPlayed(0);
  const stride = Math.max(1, Math.round(C.order.length / 600)); // a long tape in about a minute and a half
  timer = setInterval(() => { setPlayed(state.played + stride); if (state.played === C.order.length) play(false); }, 160);
}

const unit = (event) => { const box = canvas.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
let grabbed = null;
canvas.addEventListener("pointerdown", (event) => { const [x, y] = unit(event); grabbed = { x, y, ox: view.ox, oy: view.oy, moved: false }; canvas.setPointerCapture(event.pointerId); });
canvas.addEventListener("pointermove", (event) => {
  const [x, y] = unit(event), tip = byId("tip");
  if (grabbed) {
    grabbed.moved ||= Math.hypot(x - grabbed.x, y - grabbed.y) > 4;
    if (grabbed.moved) { view.ox = grabbed.ox - (x - grabbed.x) / view.kx; view.oy = grabbed.oy - (y - grabbed.y) / ky(); tip.hidden = true; draw(); }
    return;
  }
  const hit = nodeAt(x, y);
  canvas.style.cursor = hit ? "pointer" : "grab";
  tip.hidden = !hit;
  if (hit) {
    const [n, back] = hit;
    tip.textContent = `${nameOf(n) && opName(n) !== "leaf" ? nameOf(n) + " = " : ""}${title(n)}, ${where(n)}: ` + (back ? (lit(n) ? `cotangent's norm ${number(C.g_norm[n])}` : "no cotangent yet") : `mean ${number(C.v_mean[n])}`);
    tip.style.left = `${Math.min(x + 14, view.width - tip.offsetWidth - 4)}px`;
    tip.style.top = `${y + 16}px`;
  }
});
canvas.addEventListener("pointerup", (event) => {
  const moved = grabbed?.moved;
  grabbed = null;
  if (moved) return;
  const hit = nodeAt(...unit(event));
  if (hit) select(hit[0], hit[1], false);
});
canvas.addEventListener("pointerleave", () => { byId("tip").hidden = true; });
canvas.addEventListener("dblclick", (event) => zoom(2.2, ...unit(event)));
canvas.addEventListener("wheel", (event) => {
  if (!event.ctrlKey && document.activeElement !== canvas) return; // or the page could not be scrolled
  event.preventDefault();
  if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) { view.ox += event.deltaX / view.kx; draw(); } else zoom(Math.exp(-event.deltaY / 400), ...unit(event));
}, { passive: false });

const keys = {
  ArrowRight: (n) => select(n + 1), ArrowLeft: (n) => select(n - 1),
  ArrowUp: (n) => select(parents(n)[0] ?? n), ArrowDown: (n) => select(users(n)[0] ?? n),
  Home: () => select(0), End: () => select(N - 1),
  Enter: () => byId("details").focus(),
  " ": () => play(!timer),
  b: (n) => select(n, !state.back), f: () => setFolded(!state.folded),
  "+": () => zoomHere(1.4), "=": () => zoomHere(1.4), "-": () => zoomHere(1 / 1.4), "0": showAll,
  "/": () => byId("find").focus(),
};
canvas.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const n = state.selected < 0 ? (event.key.startsWith("Arrow") ? -1 : 0) : state.selected;
  const sideways = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
  const action = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (event.shiftKey && sideways && n >= 0 && C.block[n] === STEP) select(at(n, C.step[n] + sideways));
  else if (n < 0) select(0);
  else if (action) action(n);
  else return;
  event.preventDefault();
});

byId("details").addEventListener("click", (event) => { const chosen = event.target.closest("[data-node]"); if (chosen) select(+chosen.dataset.node); });
byId("details").addEventListener("toggle", (event) => { // a long listing is made when it is asked for
  const place = event.target.querySelector("[data-loop], [data-part]");
  if (place && !place.firstChild) place.innerHTML = listing((D.loops[place.dataset.loop] ?? D.parts[place.dataset.part]).text, 0, -1);
}, true);
byId("details").addEventListener("keydown", (event) => { if (event.key === "Escape") canvas.focus(); });
byId("maps").addEventListener("click", (event) => {
  const map = event.target.closest("canvas");
  if (map) chooseStep(Math.min(D.steps - 1, Math.floor((event.offsetX / map.clientWidth) * D.steps)));
});
byId("find").addEventListener("input", (event) => find(event.target.value));
byId("find").addEventListener("keydown", (event) => {
  if (event.key === "Enter") findNext(event.shiftKey ? -1 : 1);
  else if (event.key === "Escape") { byId("find").value = ""; find(""); canvas.focus(); }
});
byId("unrolled").addEventListener("click", () => setFolded(false));
byId("folded").addEventListener("click", () => setFolded(true));
byId("in").addEventListener("click", () => zoomHere(1.6));
byId("out").addEventListener("click", () => zoomHere(1 / 1.6));
byId("fit").addEventListener("click", showAll);
byId("step").addEventListener("input", (event) => chooseStep(+event.target.value));
byId("slider").addEventListener("input", (event) => { play(false); setPlayed(+event.target.value); });
byId("back").addEventListener("click", () => { play(false); setPlayed(state.played - 1); });
byId("forth").addEventListener("click", () => { play(false); setPlayed(state.played + 1); });
byId("play").addEventListener("click", () => play(!timer));

function resize() {
  const ratio = devicePixelRatio || 1;
  view.width = canvas.clientWidth || 1; view.height = canvas.clientHeight || 1; // 0 while a frame is not laid out
  canvas.width = Math.round(view.width * ratio); canvas.height = Math.round(view.height * ratio);
  paint(); // at once, as the new size has emptied it
}
new ResizeObserver(() => { resize(); flow(); }).observe(canvas);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readColours(); paintMaps(); draw(); });

readColours();
byId("slider").max = C.order.length;
byId("step").max = Math.max(0, D.steps - 1);
byId("stepper").hidden = D.steps < 2;
byId("folded").disabled = D.steps < 2;
pressFolded();
byId("known").innerHTML = [...new Set([...D.ops.map((op) => op.name), ...D.names])].sort().map((word) => `<option value="${escaped(word)}">`).join("");
["v", "g"].forEach((side, k) => ["low", "high"].forEach((end, j) => { byId(`${side}-${end}`).textContent = number(ends[k][j]); }));
resize();
heatMaps();
setStep(state.step);
setPlayed(C.order.length, false);
showAll();
following = true; // the other page has an output of its own
select(N - 1, false, false);
following = false;
if (!state.folded && unrolled.width < 40 && (view.height - HEAD) / rows() > 19) { view.kx = 62; draw(); }
