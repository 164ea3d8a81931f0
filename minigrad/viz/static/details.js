// What is known of one node, beside the graph; and the pictures below it.
function listing(text, first, here) {
  return `<pre tabindex="0">${text.replace(/\n$/, "").split("\n").map((line, k) =>
    `<span${k + first === here ? ' class="here"' : ""}>${first ? `<i>${k + first}</i>` : ""}${escaped(line) || " "}</span>`).join("")}</pre>`;
}
const chip = (n) => `<button data-node="${n}">${escaped(nameOf(n) && opName(n) !== "leaf" ? `${nameOf(n)} = ${opName(n)}` : title(n))}`
  + `${C.block[n] === STEP ? ` · ${C.step[n]}` : ""}</button>`;

function details(n) {
  const box = byId("details");
  if (n < 0) { box.innerHTML = "<p>Choose a node: click it, or press an arrow key in the graph.</p>"; return; }
  const site = C.site[n] < 0 ? null : D.sites[C.site[n]], name = nameOf(n), leaf = opName(n) === "leaf";
  const parts = [`<h2>${escaped(title(n))}${name && !leaf ? ` <span class="name">${escaped(name)}</span>` : ""}</h2>`];
  parts.push(`<p>node ${n} of ${N.toLocaleString("en")}${D.steps ? `, ${where(n)}` : ""} · <b>${escaped(D.shapes[C.shape[n]])}</b>${D.params[C.params[n]] ? ` · ${escaped(D.params[C.params[n]])}` : ""}</p>`);
  if (site) {
    parts.push(`<h3>Source line</h3><p class="where" id="source-line">${escaped(site.file)}:${site.line}</p>`);
    const f = D.functions[site.function];
    parts.push(f ? listing(f.text, f.first, site.line) : listing(site.text || "(source not at hand)", site.line, site.line));
  }
  parts.push(statistics(n), backward(n));
  if (!leaf) parts.push(kernels(site));
  const from = [...parents(n)], to = [...users(n)];
  if (from.length) parts.push(`<h3>Inputs</h3><div class="chips">${from.slice(0, 24).map(chip).join("")}${from.length > 24 ? `<span>and ${from.length - 24} more</span>` : ""}</div>`);
  if (to.length) parts.push(`<h3>Used by</h3><div class="chips">${to.slice(0, 24).map(chip).join("")}${to.length > 24 ? `<span>and ${to.length - 24} more</span>` : ""}</div>`);
  box.innerHTML = parts.join("");
  const here = box.querySelector("pre .here");
  if (here) here.parentElement.scrollTop = Math.max(0, here.offsetTop - here.parentElement.offsetTop - 60);
}

function statistics(n) {
  if (!known(n, false) && !known(n, true)) return C.size[n] === 1 && D.shapes[C.shape[n]].endsWith("results") ? "<p>Its results are nodes of their own, below.</p>" : "";
  const shown = known(n, true) && lit(n);
  const row = (label, column, how = number, extra = "") =>
    `<tr><th scope="row">${label}</th><td>${how(C[`v_${column}`][n])}</td><td>${shown ? how(C[`g_${column}`][n]) : "–"}</td></tr>${extra}`;
  const rows = ["min", "mean", "max", "norm"].map((c) => row(c, c)).join("") + row("zeros", "zeros", percent) + row("finite", "finite", percent)
    + (Number.isNaN(C.saturated[n]) ? "" : `<tr><th scope="row" title="places that pass on less than a tenth of their cotangent">saturated</th><td>${percent(C.saturated[n])}</td><td></td></tr>`);
  let spark = "";
  if (alike.has(C.key[n]) && D.steps > 1) spark = `<h3>Over the steps, root mean square</h3>${sparkSvg(n)}`;
  return `<h3>Statistics</h3><table><thead><tr><th></th><th scope="col">value</th><th scope="col">cotangent</th></tr></thead><tbody>${rows}</tbody></table>${spark}`;
}

function sparkSvg(n) {
  const path = (values) => {
    let d = "", down = false;
    values.forEach((v, t) => {
      if (Number.isNaN(v)) { down = false; return; }
      d += `${down ? "L" : "M"}${((100 * t) / (D.steps - 1)).toFixed(2)} ${(38 - 34 * v).toFixed(2)}`; down = true;
    });
    return d;
  };
  const x = (100 * C.step[n]) / (D.steps - 1);
  return `<svg class="spark" viewBox="0 0 100 40" preserveAspectRatio="none" role="img" aria-label="value in blue, cotangent, logarithmic, in orange">`
    + `<line class="now" x1="${x}" x2="${x}" y1="0" y2="40" vector-effect="non-scaling-stroke"/><path class="value" d="${path(series(n, false))}"/><path d="${path(series(n, true))}"/></svg>`;
}

function backward(n) {
  const vjp = D.ops[C.op[n]].vjp;
  const turn = !visited[n] ? "No cotangent comes here: the result does not depend on it."
    : lit(n) ? `Visited as number ${visited[n]} of ${C.order.length} on the way back.` : `Not visited yet: it is number ${visited[n]} of ${C.order.length}.`;
  const rows = vjp.map(([input, text]) => `<dt>${input ? `∂ ${escaped(input)}` : ""}</dt><dd>${text.includes("\n") ? listing(text, 0, -1) : `<code>${escaped(text)}</code>`}</dd>`).join("");
  return `<h3>Backward, g being the cotangent</h3><p>${turn}</p>${rows ? `<dl id="vjp">${rows}</dl>` : ""}`;
}

function kernels(site) {
  const of = (list, label) => list.map((k, j) => {
    const part = D.parts[k];
    return `<details${j ? "" : " open"}><summary>${label}: ${escaped(part.title)}</summary>${j ? `<div data-part="${k}"></div>` : listing(part.text, 0, -1)}</details>`;
  }).join("");
  let text = site ? of(site.forward, "forward") + of(site.backward, "backward") : "";
  const outside = site ? site.outside : [];
  text += outside.map((line) => `<p>${escaped(line)}</p>`).join("");
  if (!text) text = `<p>${D.loops.length ? "No work of its own: a part of another value's memory, or done away with." : "No kernel: its ops run one by one."}</p>`;
  if (D.why_not) text += `<p>${escaped(D.why_not)}</p>`;
  text += D.loops.map((loop, k) => `<details><summary>whole loop, ${escaped(loop.title)}</summary><div data-loop="${k}"></div></details>`).join("");
  return `<h3>Under mg.jit</h3>${text}`;
}

// Heat maps: from a pale zero, or from minus to plus through the card's colour.
function heatMaps() {
  byId("maps-section").hidden = !D.maps.length;
  byId("maps").innerHTML = D.maps.map((m, k) => `<div class="map"><span class="range">${number(m.low)} <span class="ramp ${m.low < 0 ? "signed" : "plain"}"></span> ${number(m.high)}</span><b>${escaped(m.name)}</b>`
    + ` <small>${m.rows < m.units ? `${m.rows} of ${m.units} units` : `${m.units} unit${m.units > 1 ? "s" : ""}`}</small>`
    + `<div><i></i><canvas data-map="${k}" role="img" aria-label="${escaped(m.name)}, ${m.units} units over ${D.steps} steps, from ${number(m.low)} to ${number(m.high)}"></canvas></div></div>`).join("");
  paintMaps();
}
function paintMaps() {
  const rgb = (text) => [1, 3, 5].map((k) => parseInt(text.slice(k, k + 2), 16));
  const style = getComputedStyle(document.documentElement), get = (name) => rgb(style.getPropertyValue(name).trim());
  const zero = get("--card"), plus = get("--g1"), minus = get("--f1"), bad = get("--bad");
  for (const canvas of document.querySelectorAll("#maps canvas")) {
    const m = D.maps[canvas.dataset.map], data = bytes(m.data), T = data.length / m.rows;
    canvas.width = T; canvas.height = m.rows;
    const image = new ImageData(T, m.rows);
    data.forEach((byte, k) => {
      const v = byte / 254, signed = m.low < 0 ? 2 * v - 1 : v, end = signed < 0 ? minus : plus;
      const c = byte === 255 ? bad : zero.map((z, j) => z + (end[j] - z) * Math.abs(signed));
      image.data.set([...c, 255], 4 * k);
    });
    const ink = canvas.getContext("2d");
    ink.putImageData(image, 0, 0);
  }
}

let flowStep = () => {}; // moves the mark of the step
function flow() {
  byId("flow-section").hidden = !D.flow.length;
  if (!D.flow.length) return;
  const W = Math.max(420, byId("flow").clientWidth - 30), H = 230, left = 64, right = 90, top = 10, bottom = 34;
  const all = D.flow.flatMap((f) => f.norms).filter((v) => v > 0).map(Math.log10);
  let low = Math.floor(Math.min(...all, 0)), high = Math.ceil(Math.max(...all, low + 1));
  if (!all.length) { low = -1; high = 0; }
  const X = (t) => left + ((W - left - right) * t) / Math.max(1, D.steps - 1), Y = (v) => top + ((H - top - bottom) * (high - v)) / (high - low);
  const parts = [];
  const each = Math.max(1, Math.ceil((high - low) / 6));
  for (let e = low; e <= high; e += each) parts.push(`<line class="grid" x1="${left}" x2="${W - right}" y1="${Y(e)}" y2="${Y(e)}"/><text x="${left - 8}" y="${Y(e) + 4}" text-anchor="end">${e === 0 ? "1" : e === 1 ? "10" : `1e${e}`}</text>`);
  const ticks = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000].find((k) => D.steps / k <= 14) || 5000;
  for (let t = 0; t < D.steps; t += ticks) parts.push(`<text x="${X(t)}" y="${H - 14}" text-anchor="middle">${t}</text>`);
  parts.push(`<text x="${(left + W - right) / 2}" y="${H - 1}" text-anchor="middle">step</text>`);
  parts.push(`<line class="now" id="flow-now" y1="${top}" y2="${H - bottom}"/>`);
  const labels = [];
  D.flow.forEach((f, k) => {
    let d = "", down = false, last = null;
    f.norms.forEach((v, t) => {
      if (v === null || v <= 0) { down = false; return; }
      d += `${down ? "L" : "M"}${X(t).toFixed(1)} ${Y(Math.log10(v)).toFixed(1)}${down ? "" : "h0.01"}`; down = true; last = [X(t), Y(Math.log10(v))];
    });
    const kind = ["first", "second", "third"][k % 3];
    parts.push(`<path class="${kind}" d="${d}"/>`);
    if (last) labels.push([last[0] + 8, last[1] + 4, kind, `∂L/∂${f.name}`]);
  });
  labels.sort((a, b) => a[1] - b[1]).forEach((l, k) => { if (k) l[1] = Math.max(l[1], labels[k - 1][1] + 14); });
  parts.push(...labels.map(([x, y, kind, text]) => `<text class="${kind}" x="${x}" y="${y}">${escaped(text)}</text>`));
  const spoken = D.flow.map((f) => `${f.name}: ${number(f.norms[0] ?? NaN)} at step 0, ${number(f.norms[D.steps - 1] ?? NaN)} at the last`).join("; ");
  byId("flow").innerHTML = `<svg viewBox="0 0 ${W} ${H}" width="100%" role="img" aria-label="Norm of the gradient: ${escaped(spoken)}">${parts.join("")}</svg>`;
  flowStep = (t) => { for (const end of ["x1", "x2"]) byId("flow-now").setAttribute(end, X(t)); };
  flowStep(state.step);
}
