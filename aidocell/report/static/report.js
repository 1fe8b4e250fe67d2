"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const all = (selector, root = document) => Array.from(root.querySelectorAll(selector));
  const make = (tag, text, attributes = {}) => {
    const node = document.createElement(tag);
    if (text !== "") node.textContent = text; // text only: names from files are never markup
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    return node;
  };

  // --- tables: sort by a click or Enter on a heading, filter by words ---
  const valueOf = (row, column) => {
    const cell = row.cells[column];
    const number = parseFloat(cell.dataset.v ?? cell.textContent.replace(/[,\s]/g, ""));
    return cell.dataset.v !== undefined || cell.classList.contains("num")
      ? (Number.isNaN(number) ? -Infinity : number)
      : cell.textContent.trim().toLowerCase();
  };
  const sortBy = (table, column, heading) => {
    const down = heading.getAttribute("aria-sort") === "ascending";
    all("thead th", table).forEach((th) => th.removeAttribute("aria-sort"));
    heading.setAttribute("aria-sort", down ? "descending" : "ascending");
    const rows = all("tbody tr", table);
    const keys = new Map(rows.map((row) => [row, valueOf(row, column)]));
    rows.sort((a, b) => {
      const [x, y] = [keys.get(a), keys.get(b)];
      return (x < y ? -1 : x > y ? 1 : 0) * (down ? -1 : 1);
    });
    table.tBodies[0].append(...rows);
  };
  all("table.sortable").forEach((table) => {
    all("thead th", table).forEach((heading, column) => {
      const button = make("button", heading.textContent, { type: "button" });
      heading.replaceChildren(button);
      button.addEventListener("click", () => sortBy(table, column, heading));
    });
  });
  all("table[data-filter]").forEach((table) => {
    if (table.tBodies[0].rows.length < 3) return;
    const label = make("label", "", { class: "filter" });
    const words = table.dataset.filter;
    const input = make("input", "", { type: "search", placeholder: words, "aria-label": words });
    const shown = make("output", "");
    label.append(input, shown);
    table.parentElement.before(label);
    input.addEventListener("input", () => {
      const wanted = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      const rows = all("tbody tr", table);
      rows.forEach((row) => {
        const text = row.textContent.toLowerCase();
        row.hidden = !wanted.every((word) => text.includes(word));
      });
      const left = rows.filter((row) => !row.hidden).length;
      shown.textContent = wanted.length ? `${left} of ${rows.length} rows` : "";
    });
  });

  // --- figures: the value of a mark on hover, or by arrow keys once the figure has the focus ---
  const tip = $("tip");
  const showTip = (mark) => {
    const box = mark.getBoundingClientRect();
    tip.textContent = mark.getAttribute("data-tip");
    tip.hidden = false;
    const left = Math.min(box.left + box.width / 2 + 10, document.documentElement.clientWidth - tip.offsetWidth - 8);
    const above = box.top - tip.offsetHeight - 8;
    tip.style.left = `${Math.max(left, 4) + scrollX}px`;
    tip.style.top = `${(above > 4 ? above : box.bottom + 8) + scrollY}px`;
  };
  const hideTip = () => { tip.hidden = true; };
  all("svg.plot").forEach((plot) => {
    const marks = all("[data-tip]", plot);
    let place = -1;
    const light = (next) => {
      marks[place]?.classList.remove("lit");
      place = next;
      marks[place]?.classList.add("lit");
      if (marks[place]) showTip(marks[place]);
    };
    plot.addEventListener("pointerover", (event) => {
      const mark = event.target.closest("[data-tip]");
      if (mark) showTip(mark); else hideTip();
    });
    plot.addEventListener("pointerleave", hideTip);
    plot.addEventListener("blur", () => { light(-1); hideTip(); });
    plot.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (event.key === "Escape") { light(-1); hideTip(); }
      if (!step || !marks.length) return;
      event.preventDefault();
      light((place + step + marks.length) % marks.length);
    });
  });

  // --- copy buttons ---
  const copy = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
    } catch { // pages opened from a disk may not use the clipboard directly
      const area = make("textarea", text, { "aria-hidden": "true" });
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
  };
  all("button.copy").forEach((button) => button.addEventListener("click", async () => {
    await copy($(button.dataset.copy).innerText);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  }));

  // --- one cell type lit in the composition of the samples ---
  all(".legend button").forEach((button) => button.addEventListener("click", () => {
    const on = button.getAttribute("aria-pressed") !== "true";
    all(".legend button").forEach((b) => b.setAttribute("aria-pressed", String(on && b === button)));
    all("svg.plot [data-label]").forEach((segment) => {
      const mine = segment.getAttribute("data-label") === button.dataset.label;
      segment.classList.toggle("dimmed", on && !mine);
      segment.classList.toggle("chosen", on && mine && segment.classList.contains("grey"));
    });
  }));

  // --- one method's figures at a time ---
  $("method-choice")?.addEventListener("change", (event) => {
    all(".method").forEach((block) => { block.hidden = block.dataset.method !== event.target.value; });
  });

  // --- contents: where the reader is ---
  const links = new Map(all(".contents a").map((a) => [a.hash.slice(1), a]));
  const mark = () => {
    const passed = all("main section").filter((s) => s.getBoundingClientRect().top < innerHeight / 3);
    const here = passed.length ? passed[passed.length - 1].id : "";
    links.forEach((a, id) => {
      a.classList.toggle("here", id === here);
      if (id === here) a.setAttribute("aria-current", "true"); else a.removeAttribute("aria-current");
    });
  };
  addEventListener("scroll", mark, { passive: true });
  mark();

  // --- print: everything open ---
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = all("details:not([open])");
    opened.forEach((d) => { d.open = true; });
  });
  addEventListener("afterprint", () => opened.forEach((d) => { d.open = false; }));

  // --- the map: plain canvas, so that no graphics card is needed ---
  const source = $("map-data");
  if (source) drawMap(JSON.parse(source.textContent));

  function drawMap(data) {
    const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer;
    const xs = new Float32Array(bytes(data.x)), ys = new Float32Array(bytes(data.y));
    const fields = data.fields.map((f) => f.groups
      ? { ...f, codes: new Uint16Array(bytes(f.codes)) }
      : { ...f, values: new Float32Array(bytes(f.values)) });
    const n = xs.length;
    const canvas = $("map-canvas"), legend = $("map-legend"), choice = $("map-colour"), read = $("map-read");
    const pen = canvas.getContext("2d", { willReadFrequently: true });
    const [width, height] = [canvas.width, canvas.height];
    const extent = (v) => v.reduce(([a, b], x) => [Math.min(a, x), Math.max(b, x)], [Infinity, -Infinity]);
    const [xLow, xHigh] = extent(xs), [yLow, yHigh] = extent(ys);
    const fit = Math.min((width - 100) / (xHigh - xLow || 1), (height - 100) / (yHigh - yLow || 1));
    const view = { zoom: 1, x: (xLow + xHigh) / 2, y: (yLow + yHigh) / 2 };
    const sx = (i) => width / 2 + (xs[i] - view.x) * fit * view.zoom;
    const sy = (i) => height / 2 - (ys[i] - view.y) * fit * view.zoom;
    const radius = () => Math.max(2.2, Math.min(9, 130 / Math.sqrt(n))) * Math.min(2, Math.sqrt(view.zoom));
    let field = fields[0], lit = -1, chosen = -1;

    // dark blue to yellow, even steps of lightness: reads in grey as well
    const RAMP = [[0, 32, 77], [60, 77, 110], [124, 123, 120], [187, 173, 108], [255, 234, 70]];
    const ramp = (t) => {
      const place = Math.max(0, Math.min(0.9999, t)) * (RAMP.length - 1), k = Math.floor(place);
      return `rgb(${RAMP[k].map((c, j) => Math.round(c + (RAMP[k + 1][j] - c) * (place - k))).join()})`;
    };
    const scaleOf = (f) => {
      const known = Array.from(f.values).filter(Number.isFinite).sort((a, b) => a - b);
      const bend = f.log ? (v) => Math.log10(Math.max(v, 1)) : (v) => v;
      const low = known[0] ?? 0, high = known[Math.min(known.length - 1, Math.floor(known.length * 0.99))] ?? 1;
      return { low, high, part: (v) => (bend(v) - bend(low)) / (bend(high) - bend(low) || 1) };
    };
    const GREY = data.grey;
    const styleOf = (i) => {
      if (!field) return [GREY, "disc"];
      if (field.values) return Number.isFinite(field.values[i]) ? [ramp(field.scale.part(field.values[i])), "disc"] : [GREY, "ring"];
      const group = field.groups[field.codes[i]];
      if (!group) return [GREY, "ring"];
      if (lit < 0) return [group.colour, group.shape];
      return field.codes[i] === lit ? [group.colour === GREY ? "#0072b2" : group.colour, group.shape] : ["#dfe3e7", "disc"];
    };
    const dot = (context, x, y, r, colour, shape) => {
      context.beginPath();
      context.arc(x, y, shape === "ring" ? r * 0.8 : r, 0, 2 * Math.PI);
      if (shape === "ring") { context.strokeStyle = colour; context.lineWidth = r * 0.6; context.stroke(); }
      else { context.fillStyle = colour; context.fill(); }
    };
    const order = Array.from({ length: n }, (_, i) => i);
    const draw = () => {
      pen.fillStyle = "#fff";
      pen.fillRect(0, 0, width, height);
      const r = radius();
      const isLit = (i) => field?.codes && lit >= 0 && field.codes[i] === lit;
      const paint = (i) => dot(pen, sx(i), sy(i), r, ...styleOf(i));
      order.forEach((i) => { if (!isLit(i)) paint(i); });
      order.forEach((i) => { if (isLit(i)) paint(i); });
      names();
      drawn = pen.getImageData(0, 0, width, height);
      ring();
    };
    // the chosen cell is marked on top of what is drawn, so that the pointer may move fast
    let drawn = null;
    const ring = () => {
      if (chosen < 0) return;
      pen.beginPath();
      pen.arc(sx(chosen), sy(chosen), radius() + 7, 0, 2 * Math.PI);
      pen.strokeStyle = "#000";
      pen.lineWidth = 4;
      pen.stroke();
    };
    // groups are named where they lie, so that colour is never the only sign
    const median = (v) => v.sort((a, b) => a - b)[v.length >> 1];
    const names = () => {
      if (!field?.groups) return;
      pen.font = "600 26px system-ui, sans-serif";
      pen.textAlign = "center";
      pen.lineJoin = "round";
      const taken = [];
      field.groups.forEach((group, code) => {
        if (lit >= 0 ? code !== lit : field.groups.length > 12) return;
        const mine = order.filter((i) => field.codes[i] === code);
        if (!mine.length) return;
        const text = group.name.length > 24 ? `${group.name.slice(0, 23)}…` : group.name;
        const half = pen.measureText(text).width / 2;
        const x = Math.max(half + 8, Math.min(width - half - 8, median(mine.map(sx))));
        let y = median(mine.map(sy));
        while (taken.some(([a, b, w]) => Math.abs(a - x) < w + half && Math.abs(b - y) < 30)) y += 15;
        taken.push([x, y, half]);
        pen.strokeStyle = "rgba(255,255,255,.92)";
        pen.lineWidth = 8;
        pen.strokeText(text, x, y + 8);
        pen.fillStyle = "#1b1f24";
        pen.fillText(text, x, y + 8);
      });
    };
    const number = (v, unit) => Number.isFinite(v)
      ? `${Math.abs(v) >= 100 ? Math.round(v).toLocaleString("en") : Number(v.toPrecision(3))}${unit}` : "–";
    const swatch = (colour, shape) => {
      const small = make("canvas", "", { width: 22, height: 22, "aria-hidden": "true" });
      small.style.width = "11px";
      dot(small.getContext("2d"), 11, 11, 9, colour, shape);
      return small;
    };
    const showLegend = () => {
      legend.replaceChildren();
      if (!field) return;
      if (field.values) return showRamp();
      const sizes = new Array(field.groups.length + 1).fill(0);
      field.codes.forEach((code) => { sizes[code] += 1; });
      field.groups.forEach((group, code) => {
        if (!sizes[code]) return;
        const button = make("button", "", { type: "button", "aria-pressed": String(lit === code) });
        const colour = group.colour === GREY && lit === code ? "#0072b2" : group.colour;
        button.append(swatch(colour, group.shape), make("span", group.name), make("span", sizes[code].toLocaleString("en"), { class: "n" }));
        button.addEventListener("click", () => {
          lit = lit === code ? -1 : code;
          draw();
          showLegend();
          all("button", legend).find((b) => b.textContent.startsWith(group.name))?.focus();
        });
        legend.append(button);
      });
      const none = sizes[field.groups.length];
      if (none) legend.append(make("p", `${none.toLocaleString("en")} cells without a value (grey rings)`, { class: "soft" }));
      if (field.groups.length > 12) legend.append(make("p", "Many groups: choose one to light it.", { class: "soft" }));
    };
    const showRamp = () => {
      const bar = make("canvas", "", { width: 40, height: 400, "aria-hidden": "true" });
      bar.style.width = "20px";
      const context = bar.getContext("2d");
      for (let y = 0; y < 400; y += 1) { context.fillStyle = ramp(1 - y / 400); context.fillRect(0, y, 40, 1); }
      legend.append(
        make("p", `${number(field.scale.high, field.unit)} and more`), bar,
        make("p", number(field.scale.low, field.unit)),
        make("p", field.log ? "logarithmic steps; the top 1 % share a colour" : "even steps; the top 1 % share a colour", { class: "soft" }));
    };
    const tell = (i) => {
      chosen = i;
      const values = fields.map((f) => f.groups
        ? `${f.title}: ${f.groups[f.codes[i]]?.name ?? "–"}` : `${f.title}: ${number(f.values[i], f.unit)}`);
      read.textContent = `${data.names[i]} · ${values.join(" · ")}`;
      pen.putImageData(drawn, 0, 0);
      ring();
    };
    const nearest = (x, y, allowed = () => true) => {
      let best = -1, least = Infinity;
      for (let i = 0; i < n; i += 1) {
        const d = (sx(i) - x) ** 2 + (sy(i) - y) ** 2;
        if (d < least && allowed(i)) { best = i; least = d; }
      }
      return [best, Math.sqrt(least)];
    };
    const zoomBy = (factor) => { view.zoom = Math.max(1, Math.min(60, view.zoom * factor)); draw(); };
    const reset = () => { Object.assign(view, { zoom: 1, x: (xLow + xHigh) / 2, y: (yLow + yHigh) / 2 }); draw(); };
    const toward = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    canvas.addEventListener("keydown", (event) => {
      if (event.key === "+" || event.key === "=") zoomBy(1.5);
      if (event.key === "-") zoomBy(1 / 1.5);
      if (event.key === "0") reset();
      const way = toward[event.key];
      if (!way) return;
      event.preventDefault();
      if (chosen < 0) return tell(nearest(width / 2, height / 2)[0]);
      const [x, y] = [sx(chosen), sy(chosen)];
      const ahead = (i) => {
        const along = (sx(i) - x) * way[0] + (sy(i) - y) * way[1];
        const across = Math.abs((sx(i) - x) * way[1]) + Math.abs((sy(i) - y) * way[0]);
        return along > 0.5 && along >= across;
      };
      const [next] = nearest(x, y, ahead);
      if (next >= 0) tell(next);
    });
    let dragged = null;
    const onCanvas = (event) => {
      const box = canvas.getBoundingClientRect();
      return [(event.clientX - box.left) * width / box.width, (event.clientY - box.top) * height / box.height];
    };
    canvas.addEventListener("pointerdown", (event) => { dragged = onCanvas(event); });
    addEventListener("pointerup", () => { dragged = null; });
    canvas.addEventListener("pointermove", (event) => {
      const [x, y] = onCanvas(event);
      if (dragged && event.buttons) {
        view.x -= (x - dragged[0]) / fit / view.zoom;
        view.y += (y - dragged[1]) / fit / view.zoom;
        dragged = [x, y];
        return draw();
      }
      const [i, distance] = nearest(x, y);
      if (i >= 0 && distance < radius() + 8 && i !== chosen) tell(i);
    });
    canvas.addEventListener("dblclick", (event) => {
      const [x, y] = onCanvas(event);
      view.x += (x - width / 2) / fit / view.zoom / 2;
      view.y -= (y - height / 2) / fit / view.zoom / 2;
      zoomBy(2);
    });
    $("map-in").addEventListener("click", () => zoomBy(1.5));
    $("map-out").addEventListener("click", () => zoomBy(1 / 1.5));
    $("map-reset").addEventListener("click", reset);
    fields.forEach((f, place) => {
      if (f.values) f.scale = scaleOf(f);
      choice.append(make("option", f.title, { value: place }));
    });
    choice.addEventListener("change", () => {
      field = fields[Number(choice.value)];
      lit = -1;
      draw();
      showLegend();
    });
    draw();
    showLegend();
  }
})();
